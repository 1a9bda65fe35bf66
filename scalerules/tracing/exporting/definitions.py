"""Operators that no law is known of, written as torch itself defines them with others."""

# torch's own annotations are partial, and what it knows of its operators are its internals.
# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false, reportPrivateImportUsage=false

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch
from torch._decomp import decomposition_table
from torch._export import utils

from .composite_views import is_composite

DEEP = 3
"""How often what an operator is made of is made of others in turn."""


def written_out(program: Any, known: Collection[str]) -> Any:
    """The program with torch's definition in place of what is not `known` of what it computes with values.

    What computes truth values, whole numbers or random numbers stays, and what has no definition that can be exported.
    """
    for _ in range(DEEP):
        targets = {node.target for node in _of_values(program.graph.nodes) if _unknown(node, known)}
        definitions = {target: found for target in targets if (found := _definition(target)) is not None}
        if not definitions:
            return program
        try:
            program = program.run_decompositions(definitions)
        except RuntimeError:
            return program
    return program


def _of_values(nodes: Iterable[Any]) -> list[Any]:
    """The calls that depend on weights or inputs."""
    values: set[Any] = set()
    for node in nodes:
        if node.op == "placeholder" or not values.isdisjoint(node.all_input_nodes):
            values.add(node)
    return [node for node in nodes if node.op == "call_function" and node in values]


def _unknown(node: Any, known: Collection[str]) -> bool:
    """Whether a call computes numbers of numbers in a way that is not known, and no primitive of torch itself."""
    if not isinstance(node.target, torch._ops.OpOverload) or node.target.namespace != "aten":
        return False
    name = node.target._schema.name.removeprefix("aten::")
    if name in known or hasattr(torch.ops.prims, name) or torch.Tag.nondeterministic_seeded in node.target.tags:
        return False
    if _of_each_entry(node):
        return False
    return _real(node.meta.get("val")) and any(_real(each.meta.get("val")) for each in node.all_input_nodes)


def _of_each_entry(node: Any) -> bool:
    """Whether a call is a function of each entry of one value: torch says what it is, and what it is made of may have
    no derivative where it has one itself, as the quotient in `sinc` at 0.
    """
    value, (first, *others) = node.meta.get("val"), node.all_input_nodes
    single = isinstance(value, torch.Tensor) and value.is_floating_point() and not others
    return single and torch.Tag.pointwise in node.target.tags and first.meta["val"].is_floating_point()


def _real(value: Any) -> bool:
    """Whether a value is a tensor, or several, of numbers with a fraction."""
    tensors = value if isinstance(value, (tuple, list)) else [value]
    return any(isinstance(each, torch.Tensor) and (each.is_floating_point() or each.is_complex()) for each in tensors)


def _definition(operator: Any) -> Callable[..., Any] | None:
    found, made_of = decomposition_table.get(operator), getattr(utils, "_get_decomp_for_cia", None)
    return found or (made_of(operator) if is_composite(operator) and made_of is not None else None)
