"""What a parameter contributes to a node that it is read for: the node's value less that with the initial parameter."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from scalerules.errors import GraphError
from scalerules.ops import OPS
from scalerules.ops.node import Node

from .call import ForwardPass, Scope
from .evaluation import Evaluation
from .operations import SCAN_PARTS


class Contributions:
    """The own contributions of the parameters of a graph that is evaluated."""

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation

    def readers(self, parameter: str) -> list[str]:
        """The nodes that read a parameter directly."""
        return [name for name, node in self.evaluation.graph.walk() if parameter in node.parameters]

    def own(self, forward: ForwardPass, initial: Mapping[str, Tensor], parameter: str, node: str,
            fine: bool = True) -> Tensor:  # fmt: skip
        """What `node` is minus what it would be had it read the initial value of `parameter`.

        If `node` reads the parameter directly, only there; otherwise the nodes that read it see the initial value
        and what lies between them and `node` follows, all other inputs staying as they are. Blocks are stacked; at a
        residual, where the branches of all blocks add up, so do their contributions. `fine`: of a linear node, from the
        difference of the parameter, which takes longer.
        """
        readers = [node] if node in self.readers(parameter) else self._last_readers(parameter, node)
        linear = fine and self.linear(node, parameter)
        moved = minus(forward.parameters[parameter], initial[parameter]) if linear else initial[parameter]
        swap = {(reader, parameter): moved for reader in readers}
        repeat, target = self._scope(readers[0]), self._whole(node)
        if target not in self.evaluation.nodes(repeat):
            sources = self.evaluation.nodes(None)
            inputs = {name: forward.values[name] for name in sources if sources[name].op == "input"}
            other = self.evaluation.run(forward.parameters, inputs, swap)
            return forward.all_values()[node] - other.all_values()[node]
        scopes = [forward.values] if repeat is None else forward.blocks[repeat]
        parts: list[Tensor] = []
        for index, values in enumerate(scopes):
            # a run of its own: a repeat on the way must not overwrite the blocks of this one
            block = None if repeat is None else index
            scope = Scope(ForwardPass(forward.parameters), dict(values), repeat, block, swap)
            if linear:
                parts.append(self.evaluation.compute(scope, node, self.evaluation.nodes(repeat)[node], parameter))
                continue
            self._rerun(scope, target)
            parts.append(values[node] - scope.values[node])
        if repeat is None:
            return parts[0].detach()
        stacked = torch.stack(parts).detach()
        return stacked.cumsum(0) if self.evaluation.nodes(repeat)[target].op == "residual" else stacked

    def _last_readers(self, parameter: str, node: str) -> list[str]:
        """The nodes that read it from which `node` is reached past no other of them: what it adds there is theirs."""
        readers = self.readers(parameter)
        nodes = self.evaluation.nodes(self._scope(readers[0]))
        if len(readers) < 2 or any(name not in nodes for name in (*readers, self._whole(node))):
            return readers
        before = {name: _before(nodes, name) for name in (*readers, self._whole(node))}
        on_the_way = [r for r in readers if r in before[self._whole(node)]]
        return [r for r in on_the_way if not any(r in before[other] for other in on_the_way)] or readers

    def linear(self, node: str, parameter: str) -> bool:
        """Whether a node is linear in a parameter that it reads: then its own contribution is that of the difference.

        The difference of two values that are nearly equal would lose what is small beside them.
        """
        return (node, parameter) in self._linear

    @cached_property
    def _linear(self) -> set[tuple[str, str]]:
        return {
            (name, parameter)
            for name, node in self.evaluation.graph.walk()
            if OPS[node.op].linear or OPS[node.op].multilinear
            for parameter in node.parameters
            if node.parameters.count(parameter) == 1 and self.evaluation.graph.parameters[parameter].density is None
        }

    def _whole(self, node: str) -> str:
        """The node itself, or the scan that `node` is an internal node of."""
        name, _, part = node.rpartition(".")
        return name if part in SCAN_PARTS and name in self._scans else node

    @cached_property
    def _scans(self) -> set[str]:
        return {name for name, node in self.evaluation.graph.walk() if node.op == "scan"}

    def _rerun(self, scope: Scope, target: str) -> None:
        nodes, stale = self.evaluation.nodes(scope.repeat), {reader for reader, _ in scope.swap}
        for name in self.evaluation.order[scope.repeat]:
            if name in stale or stale.intersection(nodes[name].inputs):
                stale.add(name)
                scope.values[name] = self.evaluation.compute(scope, name, nodes[name])
            if name == target:
                return

    def _scope(self, node: str) -> str | None:
        for name, outer in self.evaluation.graph.nodes.items():
            if outer.body is not None and node in outer.body:
                return name
        if node not in self.evaluation.graph.nodes:
            raise GraphError("is in no graph or body", where=f"node {node!r}")
        return None


def _before(nodes: Mapping[str, Node], name: str) -> set[str]:
    """The nodes of a scope that a node depends on."""
    sources, queue = set[str](), [name]
    while queue:
        new = [source for source in nodes[queue.pop()].inputs if source in nodes and source not in sources]
        sources.update(new)
        queue += new
    return sources


def minus(now: Any, before: Any) -> Any:
    """The difference of two tensors, or of two sequences of them (of a repeat: block by block)."""
    if isinstance(now, Tensor):
        return now - before
    return tuple(a - b for a, b in zip(now, before, strict=True))
