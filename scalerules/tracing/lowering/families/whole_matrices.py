"""Functions of a whole matrix (inverses, exponentials, factorisations): what they do depends on all its entries."""

from __future__ import annotations

from scalerules.tracing.record import Call
from scalerules.tracing.sketch.values import Result, Unknown

from ..state import Lowering, operation
from ..table import lowers

INSTEAD = (
    "hold both axes of that matrix at one length; for orthogonal weights take a plain layer that starts with "
    "torch.nn.init.orthogonal_, or rows of length 1, F.linear(x, F.normalize(weight, dim=1))"
)


@lowers("matrix_exp", "linalg_matrix_exp", "linalg_householder_product", "linalg_solve", "_linalg_solve_ex",
        "linalg_inv", "linalg_inv_ex", "inverse", "linalg_pinv", "pinverse", "linalg_qr", "qr", "linalg_svd",
        "_linalg_svd", "svd", "linalg_svdvals", "linalg_eig", "linalg_eigh", "_linalg_eigh", "linalg_eigvalsh",
        "linalg_cholesky", "linalg_cholesky_ex", "cholesky", "linalg_lu", "linalg_lu_factor", "linalg_lu_solve",
        "linalg_det", "_linalg_det", "det", "logdet", "slogdet", "linalg_slogdet", "_linalg_slogdet",
        "linalg_lstsq", "lstsq", "triangular_solve", "linalg_solve_triangular", "cholesky_solve",
        "linalg_matrix_power", "matrix_power", "linalg_matrix_norm", "nuclear_norm")  # fmt: skip
def whole_matrix(lowering: Lowering, call: Call) -> Result:
    """Some function of its operands where nothing of them grows."""
    try:
        return lowering.without_growth(call)
    except Unknown as error:
        name = operation(call.target).strip("_").removeprefix("linalg_")
        raise lowering.unknown(f"{name} of a matrix whose axes grow is not known", INSTEAD) from error
