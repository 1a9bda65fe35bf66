"""The selective scan: the reference for every state-space model here.

`selective_scan` (or `selective_scan_fn`) takes the arguments of mamba_ssm's function and is differentiable once; the
loops are compiled by numba, in `kernels.py`. Nothing of size batch x length x channels x state is
ever stored: the state is kept every 32 steps and the rest is recomputed in the backward pass. That is on the CPU; on
any other device a loop of torch operations runs instead (`by_steps.py`).

Sources: Mamba (Gu and Dao 2023, arXiv 2312.00752), S4D (arXiv 2206.11893), LRU (arXiv 2303.06349),
Mamba-2 (arXiv 2405.21060).
"""

import torch
from torch import Tensor
from torch.nn import functional

from .arguments import (
    DISCRETISATIONS,
    by_channel,
    check_finite,
    check_kinds,
    check_shapes,
    compute_dtype,
    entrywise,
    lengths_of,
    one_state_more,
    projection,
    rates_of,
)
from .by_steps import scan_by_steps
from .differentiable import ComplexScan, RealScan


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    *,
    discretisation: str = "euler",
    initial_state: Tensor | None = None,
    check: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """y, or (y, last_state): h_t = decay h_{t-1} + weight B_t u_t, y_t = C_t h_t + D u_t, times silu(z_t).

    With dt = softplus(delta + delta_bias), or without softplus, (decay, weight) is, by discretisation:
    "euler" (mamba_ssm's) exp(dt A), dt; "zoh" exp(dt A), (exp(dt A) - 1) / A; "bilinear"
    (1 + dt A / 2) / (1 - dt A / 2), dt / (1 - dt A / 2). For complex A, y_t is 2 Re(C_t h_t) + D u_t,
    as in mamba_ssm and S4D: halve C where no conjugate half is meant (LRU).

    Shapes: u, z (batch, dim, length); delta the same, or (batch, heads, length); A (dim, state),
    (heads, state), (heads, 1), (heads,) or a number (Mamba-2), real or complex; B, C (dim, state),
    (batch, state, length) or (batch, groups, state, length), for complex A complex, real, or real with
    2 length numbers (Re, Im) as in mamba_ssm; D, delta_bias (dim,) or (heads,); initial_state,
    last_state (batch, dim, state). A head is dim / heads channels in a row.

    y has u's dtype. last_state has the dtype of the computation (float32 or more, complex as A), carries
    gradient, and given as the next call's initial_state continues the scan exactly. Results do not
    depend on the number of threads. With `check`, and within `torch.autograd.set_detect_anomaly(True)`, NaN and
    infinity in an argument are errors.

    Raises ScanError (a ValueError) for shapes and numbers, ScanTypeError (a TypeError) for dtypes, and
    DoubleBackwardError where the gradient is differentiated.
    """
    named = dict(u=u, delta=delta, A=A, B=B, C=C, D=D, z=z, delta_bias=delta_bias, initial_state=initial_state)
    tensors = {name: tensor for name, tensor in named.items() if tensor is not None}
    check_kinds(tensors, discretisation)
    if check or torch.is_anomaly_enabled():
        check_finite(tensors)
    lengths = lengths_of(u, A, B)
    check_shapes(tensors, lengths)
    real = compute_dtype(u, delta, A)
    kept = real.to_complex() if A.is_complex() else real

    dt = delta.to(real) if delta_bias is None else delta.to(real) + delta_bias.to(real)[:, None]
    if delta_softplus:
        dt = entrywise(functional.softplus, dt)
    dt = by_channel(dt, lengths.dim, 1)
    rates = rates_of(A.to(kept), lengths)
    inputs, outputs = projection(B, kept, lengths), projection(C, kept, lengths)
    skip = u.new_zeros(lengths.dim, dtype=real) if D is None else by_channel(D.to(real), lengths.dim, 0)
    shape = (lengths.batch, lengths.dim, lengths.states)
    start = u.new_zeros(shape, dtype=kept) if initial_state is None else initial_state.to(kept)

    run = _compiled if u.device.type == "cpu" else scan_by_steps
    y, last_state = run(u.to(real), dt, rates, inputs, outputs, skip, start, discretisation)
    if z is not None:
        y = y * entrywise(functional.silu, z.to(real))
    y = y.to(u.dtype)
    return (y, last_state) if return_last_state else y


def _compiled(
    u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, start: Tensor, discretisation: str
) -> tuple[Tensor, Tensor]:
    """(y, last state) by the kernels: what `scan_by_steps` gives."""
    states, scan = A.shape[1], ComplexScan if A.is_complex() else RealScan
    if scan is RealScan and states % 2:  # the kernels take states by twos: one more, without effect
        A, start = functional.pad(A, (0, 1)), functional.pad(start, (0, 1))
        B, C = one_state_more(B), one_state_more(C)
    arguments = (u, dt, A, B, C, D, start)
    keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in arguments)
    y, last_state = scan.apply(*arguments, DISCRETISATIONS[discretisation], keep)
    return y, last_state[..., :states]


selective_scan_fn = selective_scan
"""The name under which mamba_ssm has it (`mamba_ssm.ops.selective_scan_interface`)."""
