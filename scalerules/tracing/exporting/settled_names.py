"""Names of calls and inputs in an exported program that are the same in all exports of a module."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection
from typing import Any

import torch

_VIEWS = (torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default, torch.ops.aten.reshape.default)
_FED = ("USER_INPUT", "PARAMETER")


def settle_names(program: Any) -> None:
    """Gives calls and inputs names that are the same in all exports, and none that a weight has, too.

    Whether a reshape is a view or a copy depends on strides, which differ between kernels (attention on the meta
    device and on a real one): all are called `view`. How a mask is filled does, too: what no input and no parameter
    enters is counted apart. And a module may call a weight as torch calls a call, or as it calls its input:
    `self.exp`, `self.x`.
    """
    nodes, signature = list(program.graph.nodes), program.graph_signature
    weights = {*(str(spec.target) for spec in signature.input_specs if spec.target), *map(str, program.constants)}
    inputs = {spec.arg.name: spec.arg for spec in signature.input_specs if spec.kind.name == "USER_INPUT"}
    fed = fed_by(nodes, {spec.arg.name for spec in signature.input_specs if spec.kind.name in _FED})
    calls = [node for node in nodes if node.op == "call_function"]
    taken = weights | ({node.name for node in nodes} - {node.name for node in calls})
    for node in calls:
        base = "view" if node.target in _VIEWS else re.sub(r"_\d+$", "", node.name)
        node.name = _free(base if node in fed else f"fixed_{base}", taken)
    for node in nodes:
        if node.name in weights and node.name in inputs:
            given = inputs[node.name]
            given.name = node.name = _free(node.name, taken)


def fed_by(nodes: Collection[Any], names: Collection[str]) -> set[Any]:
    """The nodes that depend on some of those with these names."""
    fed = {node for node in nodes if node.name in names}
    for node in nodes:
        if not fed.isdisjoint(node.all_input_nodes):
            fed.add(node)
    return fed


def _free(name: str, taken: set[str]) -> str:
    """The first of `name`, `name_1`, `name_2` that is free; it is taken then."""
    numbered = itertools.chain([name], (f"{name}_{i}" for i in itertools.count(1)))
    free = next(each for each in numbered if each not in taken)
    taken.add(free)
    return free
