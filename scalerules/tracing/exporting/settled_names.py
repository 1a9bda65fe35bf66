"""Names of calls and inputs in an exported program that are the same in all exports of a module."""

from __future__ import annotations

import itertools
from typing import Any

import torch

_VIEWS = (torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default, torch.ops.aten.reshape.default)


def settle_names(program: Any) -> None:
    """Gives calls and inputs names that are the same in all exports, and none that a weight has, too.

    Whether a reshape is a view or a copy depends on strides, which differ between kernels (attention on the meta
    device and on a real one): every view is called `view_N` by its place among them. And a module may call a weight
    as torch calls a call, or as it calls its input: `self.exp`, `self.x`.
    """
    nodes, signature = list(program.graph.nodes), program.graph_signature
    weights = {*(str(spec.target) for spec in signature.input_specs if spec.target), *map(str, program.constants)}
    inputs = {spec.arg.name: spec.arg for spec in signature.input_specs if spec.kind.name == "USER_INPUT"}
    views = [node for node in nodes if node.op == "call_function" and node.target in _VIEWS]
    taken = weights | ({node.name for node in nodes} - {node.name for node in views})
    for node in views:
        node.name = _free("view", taken)
    for node in nodes:
        if node.name in weights and (node.op == "call_function" or node.name in inputs):
            given = inputs.get(node.name)
            node.name = _free(node.name, taken)
            if given is not None:
                given.name = node.name


def _free(name: str, taken: set[str]) -> str:
    """The first of `name`, `name_1`, `name_2` that is free; it is taken then."""
    numbered = itertools.chain([name], (f"{name}_{i}" for i in itertools.count(1)))
    free = next(each for each in numbered if each not in taken)
    taken.add(free)
    return free
