"""A derivative inside of `forward`, as the computation that it is.

An export happens in front of autograd and cannot follow it. Where a module calls `torch.autograd.grad` or `torch.func`,
it is traced once behind autograd (`make_fx`), where a derivative is calls like any others: these take the place of its
`forward`.
"""

# torch's own annotations are partial: what comes out of it is taken as Any.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
import traceback
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scalerules.errors import ScaleRulesError

_WITHOUT_AUTOGRAD = (
    "does not require grad|have been used in the graph|found a fake tensor in the exported|functorch tensor"
)
_TRANSFORMS = frozenset(
    str(Path(torch.__file__).parent / "_functorch" / name)
    for name in ("apis.py", "eager_transforms.py", "functional_call.py", "vmap.py")
)
"""Where `torch.func` is: `grad`, `jacrev`, `vmap`. Every export runs through other files beside them."""


def needs_derivative(error: Exception) -> bool:
    """Whether autograd was asked for a derivative that it had not followed, or `torch.func` could not be exported."""
    if re.search(_WITHOUT_AUTOGRAD, str(error)) is not None:
        return True
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code.co_filename in _TRANSFORMS for frame, _ in frames)


def differentiates(graph: torch.fx.Graph) -> bool:
    """Whether an exported program has a derivative of `torch.func` in it: its calls are taken apart only later."""
    return any(getattr(node.target, "__module__", "").startswith("torch._functorch") for node in graph.nodes)


def convolution_backward(
    grad: Any, given: Any, weight: Any, bias_sizes: Any, stride: list[int], padding: list[int], dilation: list[int],
    transposed: bool, output_padding: list[int], groups: int, mask: list[bool],
) -> tuple[Any, Any, Any]:  # fmt: skip
    """The derivative of a convolution by what it reads, which is one with the turned weight; torch has it whole.

    Raises `ScaleRulesError` where the derivative by its weight is asked for too.
    """
    if mask[1] or mask[2]:
        raise ScaleRulesError(
            "a derivative by the weight of a convolution inside of forward is not known",
            hint="take it by the inputs alone, or write the convolution with F.unfold and a matrix product",
        )
    missing = [0] * len(stride)
    if not transposed:
        reached = [
            (size - 1) * s - 2 * p + d * (kernel - 1) + 1
            for size, s, p, d, kernel in zip(grad.shape[2:], stride, padding, dilation, weight.shape[2:], strict=True)
        ]
        missing = [size - there for size, there in zip(given.shape[2:], reached, strict=True)]
    turned = torch.ops.aten.convolution.default
    return turned(grad, weight, None, stride, padding, dilation, not transposed, missing, groups), None, None


def with_derivative(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Replaces the module's `forward`, for these inputs, by the calls that it and its derivatives make."""
    from torch._decomp import decomposition_table  # pyright: ignore[reportPrivateImportUsage]
    from torch.func import functional_call
    from torch.fx.experimental.proxy_tensor import make_fx

    def weights() -> dict[str, Any]:
        return {**dict(model.named_parameters()), **dict(model.named_buffers())}

    def computed(given: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return functional_call(model, given, args, kwargs)

    backward = {op: rule for op, rule in decomposition_table.items() if "backward" in str(op)}
    backward[torch.ops.aten.convolution_backward.default] = convolution_backward
    with torch.enable_grad():
        traced = make_fx(computed, decomposition_table=backward)(weights(), args, kwargs)
    for node in list(traced.graph.nodes):
        if node.target is torch.ops.aten.detach.default:  # autograd keeps values so: they are followed all the same
            node.replace_all_uses_with(node.args[0])
    traced.graph.eliminate_dead_code()
    traced.recompile()

    def forward(*args: Any, **kwargs: Any) -> Any:
        return traced(weights(), args, kwargs)

    model.forward = forward
