"""Outputs of modules as what the exporter knows: tuples, lists and dictionaries of tensors."""

# torch's own annotations are partial: what comes out of it is taken as Any.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree as pytree


def plain_output(module: nn.Module, args: object, output: Any) -> Any:
    """An output that torch does not know, a dataclass or an object with tensors in it, as a dictionary."""
    return _plain(output)


def _plain(output: Any) -> Any:
    if isinstance(output, PackedSequence):
        return output.data
    if type(output) in (tuple, list):
        return type(output)([_plain(item) for item in output])
    if isinstance(output, Mapping):
        return {key: _plain(item) for key, item in cast("Mapping[Any, Any]", output).items()}
    if _is_cache(output):
        return None
    if isinstance(output, tuple) or type(output) in pytree.SUPPORTED_NODES or not hasattr(output, "__dict__"):
        return output
    fields: dict[str, Any] = dict(vars(output))
    tensors = any(isinstance(item, torch.Tensor) for item in pytree.tree_leaves(fields))
    as_it_is = isinstance(output, (torch.Tensor, nn.Module)) or not tensors
    return output if as_it_is else {key: _plain(item) for key, item in fields.items()}


def _is_cache(output: object) -> bool:
    """Whether it keeps keys and values for later calls: nothing is trained on it."""
    return type(output) not in pytree.SUPPORTED_NODES and any(
        base.__name__.endswith("Cache") for base in type(output).__mro__
    )
