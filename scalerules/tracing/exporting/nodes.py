"""What a node of an exported program says of itself: its operation, arguments, shapes, modules and line."""

# torch's own annotations are partial: what comes out of it is taken as Any.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import nn

from .measured_values import number
from .users_lines import is_users, short_path

LAYOUT = (torch.device, torch.memory_format, torch.layout)


def shape_of(value: torch.Tensor) -> tuple[int, ...]:
    """The lengths of a tensor; those that data decide as they were measured."""
    return tuple(number(length) if isinstance(length, torch.SymInt) else length for length in value.shape)


def entry_of(value: torch.Tensor) -> float | None:
    """What all entries of a constant are, if it is known and the same for all of them."""
    readable = value.device.type == "cpu" and type(value) in (torch.Tensor, nn.Parameter) and value.numel() > 0
    if not readable or value.is_complex() or bool((value != value.flatten()[0]).any()):
        return None
    return float(value.flatten()[0])


def target_of(target: Any) -> str:
    """`aten.linear.default`, `scalerules.selective_scan`, `getitem`."""
    if isinstance(target, torch._ops.OpOverload):
        text = str(target)
        return text.removesuffix(".default") if text.startswith("scalerules.") else text
    return str(getattr(target, "__name__", target))


def plain(value: Any, refs: dict[str, Any]) -> Any:
    """An argument of a call: tensors as references, everything else as numbers, texts and tuples of them."""
    if isinstance(value, torch.fx.Node):
        return refs[value.name]
    if isinstance(value, (tuple, list)):
        return tuple(plain(inner, refs) for inner in cast("Sequence[Any]", value))
    if isinstance(value, Mapping):
        return {str(key): plain(inner, refs) for key, inner in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, torch.dtype):
        return dtype_of(value)
    if isinstance(value, LAYOUT):
        return None
    if isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool)):
        return number(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def dtype_of(dtype: torch.dtype) -> str:
    """The name of a type: `float32`."""
    return str(dtype).removeprefix("torch.")


def stack_of(node: Any) -> tuple[tuple[str, str], ...]:
    """Paths and class names of the modules around a node, outermost first."""
    modules: list[tuple[str, str]] = []
    for path, kind in node.meta.get("nn_module_stack", {}).values():
        name = kind.rpartition(".")[2] if isinstance(kind, str) else kind.__name__
        modules.append((re.sub(r"@\d+$", "", path), name))
    return tuple(modules)


_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in \S+\n\s*(?P<code>.*)')


def source_of(node: Any) -> str:
    """The innermost line outside of torch that made a node: `transformers/models/llama/modeling_llama.py:243 code`."""
    frames = _FRAME.findall(node.meta.get("stack_trace") or "")
    mine = [frame for frame in frames if is_users(frame[0])] or frames
    return f"{short_path(mine[-1][0])}:{mine[-1][1]} {mine[-1][2].strip()}" if mine else ""
