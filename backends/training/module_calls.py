"""One evaluation of an exported module, call by call: what a functional call returns is seen as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from . import recurrences


class Calls(fx.Interpreter):
    """Runs an exported graph, multiplies what free factors stand at, and keeps every tensor."""

    def __init__(self, module: fx.GraphModule, factors: Mapping[str, float]) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.factors, self.seen = factors, dict[str, Tensor]()

    def run_node(self, n: fx.Node) -> Any:
        """One call; attention takes its factor as an argument, everything else is multiplied behind it."""
        result = self.called(n)
        if isinstance(result, Tensor):
            self.seen[n.name] = result
        return result

    def called(self, n: fx.Node) -> Any:
        """The result of a call with the values that are there now."""
        factor = self.factors.get(n.name)
        other = _run_instead(n)
        if other is not None:
            args, kwargs = self.fetch_args_kwargs_from_env(n)
            return other(*args, **kwargs)
        if factor is None or n.op != "call_function":
            return super().run_node(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        if "scaled_dot_product" in str(n.target):
            scale = kwargs.get("scale")
            own = args[0].shape[-1] ** -0.5 if scale is None else scale
            return n.target(*args, **{**kwargs, "scale": own * factor})  # type: ignore[operator]
        return n.target(*args, **kwargs) * factor  # type: ignore[operator]


def _run_instead(n: fx.Node) -> Callable[..., Any] | None:
    """What runs a loop over time that was exported as one call, and a view of its result, whose strides are others."""
    if n.target is torch.ops.aten.view.default:
        return torch.reshape
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
            name: torch.stack([self.values[call].detach() for call in calls])
            for name, calls in self.nodes.items()
            if all(call in self.values and self.values[call].is_floating_point() for call in calls)
        }
