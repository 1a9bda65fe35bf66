"""Inputs of modules as what the exporter knows: an object with tensors in it is taken as a dictionary of its fields."""

# torch's own annotations are partial: what comes out of it is taken as Any.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree as pytree


@dataclass(frozen=True)
class Arguments:
    """What a module is called with, in plain form, and as it was given (`whole`): the objects that it asks for."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    whole: tuple[tuple[Any, ...], dict[str, Any]]

    @classmethod
    def of(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        """The plain form of arguments; a tensor that is given twice is two: the exporter tells them by identity."""
        seen = set[int]()

        def apart(leaf: Any) -> Any:
            again = id(leaf) in seen
            seen.add(id(leaf))
            return leaf.clone() if again and isinstance(leaf, torch.Tensor) else leaf

        return cls(_plain(args), _plain(kwargs), (args, kwargs)).changed(apart)

    @property
    def tensors(self) -> list[torch.Tensor]:
        """All tensors, in order."""
        leaves = pytree.tree_leaves((self.args, self.kwargs))
        return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]

    def changed(self, change: Callable[[Any], Any]) -> Arguments:
        """Other tensors in the same places."""
        args, kwargs = pytree.tree_map(change, (self.args, self.kwargs))
        return replace(self, args=args, kwargs=kwargs)

    def made_whole(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A hook in front of `forward`: the objects that it asks for, with the fields that are given."""
        return _whole((args, kwargs), self.whole)


DEEP = 4
"""So many objects in objects are looked into: some hold each other."""


def _plain(given: Any, within: frozenset[int] = frozenset()) -> Any:
    """`within`: the objects that it is a field of."""
    if type(given) in (tuple, list):
        return type(given)([_plain(each, within) for each in given])
    if type(given) is dict:
        return {name: _plain(each, within) for name, each in given.items()}
    if not _is_object(given):
        return given
    within |= {id(given)}
    return {name: _plain(each, within) for name, each in _fields(given).items() if id(each) not in within}


def _whole(plain: Any, given: Any) -> Any:
    if type(given) in (tuple, list):
        return type(given)([_whole(each, other) for each, other in zip(plain, given, strict=True)])
    if type(given) is dict:
        return {name: _whole(plain[name], each) if name in plain else each for name, each in given.items()}
    if not _is_object(given):
        return plain
    whole = copy.copy(given)
    for name, each in plain.items():
        vars(whole)[name] = _whole(each, vars(given)[name])
    return whole


def _fields(given: Any) -> dict[str, Any]:
    """The fields of an object that have tensors in them, without the rest of what stands there."""
    fields: dict[str, Any] = {name: each for name, each in vars(given).items() if _has_tensors(each)}
    kept = {
        name: {k: v for k, v in each.items() if _has_tensors(v)} for name, each in fields.items() if type(each) is dict
    }
    return fields | kept


def _is_object(given: Any) -> bool:
    """Whether it is an object that torch does not know, with tensors in it."""
    known = type(given) in pytree.SUPPORTED_NODES or isinstance(given, (tuple, torch.Tensor, nn.Module, PackedSequence))
    return not known and not isinstance(given, type) and hasattr(given, "__dict__") and _has_tensors(given)


def _has_tensors(given: Any, deep: int = DEEP) -> bool:
    if isinstance(given, torch.Tensor) or not deep:
        return isinstance(given, torch.Tensor)
    leaves = pytree.tree_leaves(given)
    inside = leaves if len(leaves) != 1 or leaves[0] is not given else [*getattr(given, "__dict__", {}).values()]
    return not isinstance(given, (type, nn.Module)) and any(_has_tensors(each, deep - 1) for each in inside)
