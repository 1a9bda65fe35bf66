"""Views that torch makes of others (`flatten`, `chunk`, `expand_as`), written with those that they are made of."""

# torch's own annotations are partial: what comes out of it is taken as Any.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map


def is_composite(operator: Any) -> bool:
    """Whether torch makes an operator of others, for every device alike."""
    return torch._C._dispatch_has_kernel_for_dispatch_key(operator.name(), "CompositeImplicitAutograd")


def is_composite_view(node: Any, whole: Collection[Any]) -> bool:
    """Whether a call gives a view of an operand that is made of other views; not of those that are left `whole`."""
    operator = node.target
    if not isinstance(operator, torch._ops.OpOverload) or operator in whole or operator._schema.is_mutable:
        return False
    if not is_composite(operator):
        return False
    views = all(result.alias_info is not None for result in operator._schema.returns)
    return views and all(isinstance(each.meta.get("val"), torch.Tensor) for each in node.all_input_nodes)


def write_out(node: Any) -> None:
    """Puts the calls of a composite view in its place; each knows the line and the module that it had."""
    values = tree_map(_value, (node.args, node.kwargs))
    with _Calls() as seen:
        result = node.target(*values[0], **values[1])
    made: dict[Any, Any] = {id(each.meta["val"]): each for each in node.all_input_nodes}
    with node.graph.inserting_before(node):
        for operator, given, out in seen.calls:
            args, kwargs = tree_map(partial(_made, made), given)
            call = node.graph.create_node("call_function", operator, args, kwargs, operator.overloadpacket.__name__)
            call.meta = {**node.meta, "val": out}
            made[_identity(out)] = call
    node.replace_all_uses_with(made[_identity(result)])
    node.graph.erase_node(node)


class _Calls(TorchDispatchMode):
    """What is called in here that is not made of other calls: operator, arguments, result."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, Any], Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The call as it is, noted."""
        result = func(*args, **(kwargs or {}))
        if isinstance(result, (torch.Tensor, list, tuple)):  # not what only asks where a tensor is
            self.calls.append((func, (args, kwargs or {}), result))
        return result


def _made(made: Mapping[Any, Any], value: Any) -> Any:
    return made[id(value)] if isinstance(value, torch.Tensor) else value


def _value(given: Any) -> Any:
    return given.meta["val"] if isinstance(given, torch.fx.Node) else given


def _identity(result: Any) -> Any:
    """What tells a result from others: itself, of several tensors all of them."""
    return id(result) if isinstance(result, torch.Tensor) else tuple([id(each) for each in result])
