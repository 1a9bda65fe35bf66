"""One evaluation of an exported module, call by call: what a functional call returns is seen as well."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from scalerules.errors import ScaleRulesError
from scalerules.tracing.exporting.nodes import source_of

from . import recurrences
from .refusals import Diverged, reason, told


class Calls(fx.Interpreter):
    """Runs an exported graph, multiplies what free factors stand at, and keeps every tensor."""

    def __init__(self, module: fx.GraphModule, factors: Mapping[str, float]) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.factors, self.seen = factors, dict[str, Tensor]()

    def run_node(self, n: fx.Node) -> Any:
        """One call; attention takes its factor as an argument, everything else is multiplied behind it.

        Raises `MemoryError`; `Diverged`; `ScaleRulesError`, with the line, where torch cannot run it, or has no
        derivative of it.
        """
        try:
            result = self.called(n)
        except (IndexError, RuntimeError) as error:
            if any(_diverged(value) for value in self.seen.values()):
                raise Diverged from error
            raise self._told(n, error) from error
        except TypeError as error:
            raise self._told(n, error) from error
        if isinstance(result, Tensor):
            self.seen[n.name] = result
        return result

    def _told(self, n: fx.Node, error: Exception) -> Exception:
        if isinstance(error, IndexError):
            said, hint = f"{n.target} cannot be run: {reason(error)}", "give inputs that the module takes"
            return ScaleRulesError(said, where=source_of(n) or n.name, hint=hint)
        said = f"{n.target} cannot be trained: {reason(error)}"
        hint = "verify the graph instead of the module: write graph.to_yaml() to a file and read it with sr.graph"
        return told(error, ScaleRulesError(said, where=source_of(n) or n.name, hint=hint))

    def called(self, n: fx.Node) -> Any:
        """The result of a call with the values that are there now; noise is the same in every evaluation."""
        if not drawn(n):
            return self._called(n)
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(zlib.crc32(n.name.encode()))
            return self._called(n)

    def _called(self, n: fx.Node) -> Any:
        factor = self.factors.get(n.name)
        other = _run_instead(n)
        if other is not None:
            args, kwargs = self.fetch_args_kwargs_from_env(n)
            return other(*args, **kwargs)
        if factor is None or n.op != "call_function":
            return super().run_node(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        if n.target in BIASED:  # the factor stands at the product and not at its bias
            args = [arg * factor if i == BIASED[n.target] else arg for i, arg in enumerate(args)]
            return n.target(*args, **kwargs)  # type: ignore[operator]
        if str(n.target) == "flex_attention":
            return n.target(args[0] * factor, *args[1:], **kwargs)  # type: ignore[operator]
        if "scaled_dot_product" in str(n.target):
            scale = kwargs.get("scale")
            own = args[0].shape[-1] ** -0.5 if scale is None else scale
            return n.target(*args, **{**kwargs, "scale": own * factor})  # type: ignore[operator]
        return n.target(*args, **kwargs) * factor  # type: ignore[operator]


FAR = 1e6
"""No value that trains well is as large; far below 0 are masks."""


def _diverged(value: Tensor) -> bool:
    """Whether an entry is no number, or out of all bounds: of such numbers a difference of 1 is none."""
    return value.is_floating_point() and bool((value.isnan() | (value > FAR)).any())


def drawn(n: fx.Node) -> bool:
    """Whether a call draws its entries. Drawn anew they would hide what a parameter changes."""
    return torch.Tag.nondeterministic_seeded in getattr(n.target, "tags", ())


def slice_written(x: Tensor, part: Tensor, dim: int = 0, start: int | None = None, end: int | None = None,
                  step: int = 1) -> Tensor:  # fmt: skip
    """`aten.slice_scatter`: a tensor with a part of an axis written over."""
    return _written(x, part, dim, slice(start, end, step))


def row_written(x: Tensor, part: Tensor, dim: int, index: int) -> Tensor:
    """`aten.select_scatter`: a tensor with one entry of an axis written over."""
    return _written(x, part, dim, index)


def _written(x: Tensor, part: Tensor, dim: int, where: slice | int) -> Tensor:
    result = x.clone()
    result[(*[slice(None)] * (dim % x.ndim), where)] = part
    return result


def copied(target: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    """`aten.copy`: a tensor in the shape and the precision of another."""
    return source.to(target.dtype).expand_as(target)


def in_own_precision(x: Tensor, **to: Any) -> Tensor:
    """`aten._to_copy`, but real numbers keep the precision of the measurement, whatever they are rounded to."""
    if x.is_floating_point() and to.get("dtype", x.dtype).is_floating_point:
        to["dtype"] = x.dtype
    return torch.ops.aten._to_copy.default(x, **to)


INSTEAD: Mapping[Any, Callable[..., Any]] = {
    torch.ops.aten.view.default: torch.reshape,  # the strides of what a recurrence returns are others
    torch.ops.aten.slice_scatter.default: slice_written,  # torch's own have no derivative for complex numbers,
    torch.ops.aten.select_scatter.default: row_written,
    torch.ops.aten.copy.default: copied,  # or for none
    torch.ops.aten._to_copy.default: in_own_precision,
    torch.ops.aten._assert_tensor_metadata.default: lambda *_, **__: None,
}


BIASED: Mapping[Any, int] = {
    torch.ops.aten.linear.default: 0, torch.ops.aten.convolution.default: 0, torch.ops.aten.addmm.default: 1,
}  # fmt: skip
"""Products with a bias, and which argument is a factor of the product alone."""


def _run_instead(n: fx.Node) -> Callable[..., Any] | None:
    """What runs a call that cannot be run as it is, and a loop over time that was exported as one call."""
    if n.op == "call_function" and n.target in INSTEAD:
        return INSTEAD[n.target]
    library, _, name = str(n.target).partition(".")
    return recurrences.TABLE.get(name.removesuffix(".default")) if library == "scalerules" else None


@dataclass
class ForwardPass:
    """One evaluation of an exported module: what calls returned, and the interpreter that runs single ones again."""

    parameters: Mapping[str, Tensor]
    weights: Mapping[str, Tensor]
    values: dict[str, Tensor]
    nodes: Mapping[str, Sequence[str]]
    calls: Calls

    def all_values(self) -> dict[str, Tensor]:
        """Every node's value, detached; those of repeated blocks are stacked."""
        return {
            name: together([self.values[call].detach() for call in calls])
            for name, calls in self.nodes.items()
            if all(call in self.values and self.values[call].is_floating_point() for call in calls)
        }


def together(parts: Sequence[Tensor]) -> Tensor:
    """Tensors stacked; the entries one behind the other where there are not as many in each."""
    alike = all(part.shape == parts[0].shape for part in parts)
    return torch.stack([*parts]) if alike else torch.cat([part.flatten() for part in parts])
