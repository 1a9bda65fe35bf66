"""Recurrences kept whole while tracing: a loop over time in plain Python becomes one call.

Libraries send their state-space and linear-attention layers through named functions of a module, for which a fused
kernel may stand in. While a module is traced these are custom operations of torch that only know their shapes, so
the graph does not depend on the length of the sequence. What surrounds a recurrence (softplus of the step size, the
skip connection `D`, the gate) stays elementary.

`scalerules.selective_scan(u [b, c, t], dt [b, c, t], A [c, n], B [b, n, t], C [b, n, t]) -> y [b, c, t]`:
`h_t = exp(dt A) h_{t-1} + dt B u`, `y_t = sum_n C h_t` (Mamba, Gu & Dao 2023, equation 2, Euler rule for B).
`scalerules.head_scan(x [b, t, h, p], dt [b, t, h], A [h], B [b, t, g, n], C [b, t, g, n]) -> y [b, t, h, p]`: the same
with one decay per head and `B`, `C` shared by the heads of a group (Mamba-2, Dao & Gu 2024, section 7).
`scalerules.delta_rule(q [b, t, h, k], k, v [b, t, h, v], g, beta [b, t, h]) -> [b, t, h, v]`:
`S = exp(g) S (1 - beta k k^T) + beta v k^T`, `y = S q` (gated delta rule, Yang et al. 2024); `g` has a last axis k
where the decay is per channel.
`scalerules.wkv(decay [c], first [c], k [b, t, c], v [b, t, c]) -> [b, t, c]`: the average of `v` over time with
weights `exp(k - exp(decay) * distance)`, `exp(first + k)` for the present (RWKV-4, Peng et al. 2023, equation 16).
`scalerules.mlstm(q [b, h, t, k], k, v [b, h, t, v], i, f [b, h, t]) -> h [b, h, t, v], and the last states C, n, m`:
matrix memory with exponential gates, divided by its normaliser (xLSTM, Beck et al. 2024, equations 19 to 27).
"""

# torch's own annotations are partial, and what is replaced here has none.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUntypedFunctionDecorator=false

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional as F

Tensor = torch.Tensor
Function = Callable[..., Any]


def _shapes_only() -> RuntimeError:
    return RuntimeError("this operation stands for a recurrence while a module is traced; it is never run")


@torch.library.custom_op("scalerules::selective_scan", mutates_args=())
def selective_scan(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """`y_t = sum_n C h_t` with `h_t = exp(dt A) h_{t-1} + dt B u`."""
    raise _shapes_only()


@torch.library.custom_op("scalerules::head_scan", mutates_args=())
def head_scan(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """The selective scan with one decay per head."""
    raise _shapes_only()


@torch.library.custom_op("scalerules::delta_rule", mutates_args=())
def delta_rule(q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor) -> Tensor:
    """Linear attention whose state forgets what it held under a key before it writes there."""
    raise _shapes_only()


@torch.library.custom_op("scalerules::wkv", mutates_args=())
def wkv(decay: Tensor, first: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Average of the values over time with weights that decay."""
    raise _shapes_only()


@torch.library.custom_op("scalerules::mlstm", mutates_args=())
def mlstm(q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Matrix memory with exponential gates; its output and its last states."""
    raise _shapes_only()


@selective_scan.register_fake
def _(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:  # pyright: ignore[reportUnusedFunction]
    return torch.empty_like(u)


@head_scan.register_fake
def _(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:  # pyright: ignore[reportUnusedFunction]
    return torch.empty_like(x)


@delta_rule.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor) -> Tensor:  # pyright: ignore[reportUnusedFunction]
    return torch.empty_like(v)


@wkv.register_fake
def _(decay: Tensor, first: Tensor, k: Tensor, v: Tensor) -> Tensor:  # pyright: ignore[reportUnusedFunction]
    return torch.empty_like(v)


@mlstm.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # pyright: ignore[reportUnusedFunction]
    batch, heads, _, keys = q.shape
    return (
        torch.empty_like(v),
        v.new_empty(batch, heads, keys, v.shape[-1]),
        v.new_empty(batch, heads, keys),
        v.new_empty(batch, heads, 1),
    )


def _mamba(whole: Function) -> Function:
    def scan(
        hidden_states: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None = None,
        z: Tensor | None = None, delta_bias: Tensor | None = None, delta_softplus: bool = False,
        return_last_state: bool = False, **rest: Any,
    ) -> Any:  # fmt: skip
        if return_last_state:
            return whole(hidden_states, dt, A, B, C, D, z, delta_bias, delta_softplus, return_last_state, **rest)
        dt = dt if delta_bias is None else dt + delta_bias[..., None]
        dt = F.softplus(dt) if delta_softplus else dt
        y = selective_scan(hidden_states, dt, A, B, C)
        y = y if D is None else y + hidden_states * D[None, :, None]
        return y if z is None else y * F.silu(z)

    return scan


def _mamba2(whole: Function) -> Function:
    def scan(
        hidden_states: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, chunk_size: int, D: Tensor | None = None,
        dt_bias: Tensor | None = None, initial_states: Tensor | None = None, dt_softplus: bool = False,
        dt_limit: tuple[float, float] = (0.0, float("inf")), return_final_states: bool = False, **rest: Any,
    ) -> Any:  # fmt: skip
        if return_final_states or initial_states is not None:
            return whole(
                hidden_states, dt, A, B, C, chunk_size, D, dt_bias, initial_states, dt_softplus, dt_limit,
                return_final_states, **rest,
            )  # fmt: skip
        dt = dt if dt_bias is None else dt + dt_bias
        dt = F.softplus(dt) if dt_softplus else dt
        y = head_scan(hidden_states, dt, A, B, C)
        return y if D is None else y + hidden_states * D[..., None]

    return scan


def _delta(whole: Function) -> Function:
    def rule(
        query: Tensor, key: Tensor, value: Tensor, g: Tensor, beta: Tensor, chunk_size: int = 64,
        initial_state: Tensor | None = None, output_final_state: bool = False, use_qk_l2norm_in_kernel: bool = False,
        **rest: Any,
    ) -> Any:  # fmt: skip
        if output_final_state or initial_state is not None:
            return whole(
                query, key, value, g, beta, chunk_size, initial_state, output_final_state, use_qk_l2norm_in_kernel,
                **rest,
            )  # fmt: skip
        if use_qk_l2norm_in_kernel:
            query, key = (x * torch.rsqrt((x * x).sum(-1, keepdim=True) + 1e-6) for x in (query, key))
        copies = value.shape[2] // key.shape[2]
        if copies > 1:
            query, key = (x.repeat_interleave(copies, dim=2) for x in (query, key))
        return delta_rule(query * query.shape[-1] ** -0.5, key, value, g, beta), None

    return rule


def _rwkv(whole: Function) -> Function:
    def attention(
        time_decay: Tensor, time_first: Tensor, key: Tensor, value: Tensor, state: Any = None,
        return_state: bool = False,
    ) -> Any:  # fmt: skip
        if return_state or state is not None:
            return whole(time_decay, time_first, key, value, state, return_state)
        return wkv(time_decay, time_first, key, value), None

    return attention


def _xlstm(whole: Function) -> Function:
    def forward(
        self: Any, query: Tensor, key: Tensor, value: Tensor, igate: Tensor, fgate: Tensor,
        c_initial: Tensor | None = None, n_initial: Tensor | None = None, m_initial: Tensor | None = None,
        return_last_states: bool | None = None, mode: str | None = None,
    ) -> Any:  # fmt: skip
        if any(state is not None for state in (c_initial, n_initial, m_initial)):
            return whole(
                self, query, key, value, igate, fgate, c_initial, n_initial, m_initial, return_last_states, mode
            )
        y, *states = mlstm(query * query.shape[-1] ** -0.5, key, value, igate, fgate)
        asked = self.config.return_last_states if return_last_states is None else return_last_states
        return (y, tuple(states)) if asked or "inference" in (mode or self.config.mode) else y

    return forward


def _number(whole: Function) -> Function:
    """`torch.tensor(3.0, device=x.device)` on the meta device would forget its value; a call of `full` shows it."""

    def tensor(data: Any, **options: Any) -> Any:
        device = options.get("device")
        if not isinstance(data, (int, float)) or device is None or torch.device(device).type != "meta":
            return whole(data, **options)
        default = torch.get_default_dtype() if isinstance(data, float) else torch.int64
        default = torch.bool if isinstance(data, bool) else default
        return torch.full((), data, dtype=options.get("dtype") or default, device=device)

    return tensor


REPLACED: dict[str, Callable[[Function], Function]] = {
    "mamba_selective_scan": _mamba,
    "mamba2_chunk_scan": _mamba2,
    "torch_chunk_gated_delta_rule": _delta,
    "chunk_kimi_delta_attention": _delta,
    "rwkv_linear_attention": _rwkv,
    "xLSTMBackend.forward": _xlstm,
}
"""Functions of the modules of transformers, by name, and what stands in for them."""


@contextmanager
def whole_kernels() -> Generator[None]:
    """While it lasts, the named recurrences are single operations, and numbers made tensors keep their values."""
    changed: list[tuple[Any, str, Function]] = []
    try:
        loaded = list(sys.modules) if "transformers.models" in sys.modules else []
        for module in [sys.modules[name] for name in loaded if name.startswith("transformers.models.")]:
            for path, replacement in REPLACED.items():
                _replace(module, path, replacement, changed)
        _replace(torch, "tensor", _number, changed)
        yield
    finally:
        for owner, attribute, whole in reversed(changed):
            setattr(owner, attribute, whole)


def _replace(
    module: Any, path: str, replacement: Callable[[Function], Function], changed: list[tuple[Any, str, Function]]
) -> None:
    *owners, attribute = path.split(".")
    owner = module
    for name in owners:
        owner = vars(owner).get(name)
        if owner is None:
            return
    whole = vars(owner).get(attribute)
    if callable(whole):
        changed.append((owner, attribute, whole))
        setattr(owner, attribute, replacement(whole))
