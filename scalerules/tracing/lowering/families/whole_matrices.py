"""Functions of a whole matrix (inverses, exponentials, factorisations): what they do depends on all its entries."""

from __future__ import annotations

from scalerules.tracing.record import Call
from scalerules.tracing.sketch.values import Result, Unknown, Value

from ..state import Lowering, operation, several
from ..table import lowers
from .products import contracted

FIRST_ORDER = "{} is read as 1 + A at {}: of this size while A, as an operator, is not larger than 1"

INSTEAD = (
    "hold both axes of that matrix at one length; for orthogonal weights take a plain layer that starts with "
    "torch.nn.init.orthogonal_, or rows of length 1, F.linear(x, F.normalize(weight, dim=1))"
)


@lowers("matrix_exp", "linalg_matrix_exp")
def exponential(lowering: Lowering, call: Call) -> Result:
    """The exponential of a matrix of weights: as large as the identity and the matrix, as long as that is stable."""
    value = lowering.value(call, 0)
    if not _grows(value) or not lowering.of_weights(value):
        return whole_matrix(lowering, call)
    lowering.notes.append(FIRST_ORDER.format("exp(A)", lowering.sketch.nodes.name_here("matrix")))
    letters = [str(i) for i in range(len(value.dims))]
    one = lowering.identity(value.length(len(letters) - 2), value.length(len(letters) - 1))
    return lowering.sketch.combine("add", [(value, letters), (one, letters[-2:])], letters, "matrix_exp")


@lowers("linalg_inv", "linalg_inv_ex", "inverse", "linalg_solve", "_linalg_solve_ex")
def inverse(lowering: Lowering, call: Call) -> Result:
    """The inverse of an identity and a matrix of weights, times what it is applied to: as large as both, see above."""
    value = lowering.value(call, 0)
    if not _grows(value) or not lowering.of_weights(value) or not _beside_identity(lowering, value):
        return whole_matrix(lowering, call)
    lowering.notes.append(FIRST_ORDER.format("the inverse of 1 + A", lowering.sketch.nodes.name_here("matrix")))
    if "solve" not in call.target:
        return several(call, [value, *(None for _ in call.shapes[1:])])
    other = lowering.value(call, 1)
    letters = [str(i) for i in range(len(value.dims) - 1)]
    first = [*letters, "k"]
    second = [*letters[:-1], "k", *(["n"] if len(other.dims) == len(value.dims) else [])]
    kept = [*letters, *second[len(letters) :]]
    solved = contracted(lowering, [(value, first), (other, second)], kept, "solve")
    return several(call, [solved, *(None for _ in call.shapes[1:])])


def _grows(value: Value) -> bool:
    """Whether both axes of a matrix grow."""
    return len(value.dims) > 1 and all(value.length(len(value.dims) - k).scales for k in (1, 2))


def _beside_identity(lowering: Lowering, value: Value) -> bool:
    """Whether a matrix is a sum of which one part starts as the identity."""
    if not isinstance(value.source, str):
        return value.source.initial.kind == "identity"
    node = lowering.sketch.nodes[value.source]
    return node.op in ("add", "scale", "rearrange") and any(
        _beside_identity(lowering, Value(operand, ())) for operand in node.operands
    )


@lowers("linalg_householder_product", "linalg_pinv", "pinverse", "linalg_qr", "qr", "linalg_svd",
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
