"""A module exported at one size: the program that torch makes of it, run with other weights, whole or a call again."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols

from scalerules.errors import ScaleRulesError
from scalerules.tracing.exporting.factories import quiet
from scalerules.tracing.exporting.library_kernels import whole_kernels
from scalerules.tracing.exporting.plain_inputs import Arguments
from scalerules.tracing.exporting.settled_names import fed_by
from scalerules.tracing.exporting.whole_program import whole_program

from .module_calls import Calls, ForwardPass, drawn


@contextmanager
def _by_default(dtype: torch.dtype) -> Generator[None]:
    """Inside, numbers that are made without saying in which precision have this one."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _say_dtypes(graph: fx.Graph) -> None:
    """Calls that make numbers without saying in which precision say it: they are run when another is the default."""
    for node in graph.nodes:
        arguments = getattr(getattr(node.target, "_schema", None), "arguments", ())
        if any(argument.name == "dtype" for argument in arguments) and not node.all_input_nodes:
            node.update_kwarg("dtype", node.meta["val"].dtype)


@dataclass(frozen=True)
class ExportedModule:
    """The exported program of `model`, and the weight that each placeholder stands for (`names`)."""

    program: Any
    names: Mapping[str, str]
    model: torch.nn.Module

    @classmethod
    def of(cls, model: torch.nn.Module, arguments: Arguments, dtype: torch.dtype) -> ExportedModule:
        """Exports a module that is called with these arguments; real ones get this dtype."""

        def cast(leaf: Any) -> Any:
            return leaf.to(dtype) if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf

        with quiet(), whole_kernels(), _by_default(dtype):
            program, *_ = whole_program(model, arguments.changed(cast))
        _say_dtypes(program.graph_module.graph)
        first: dict[int, str] = {}
        for name, tensor in model.named_parameters(remove_duplicate=False):
            first.setdefault(id(tensor), name)
        alias = {name: first[id(t)] for name, t in model.named_parameters(remove_duplicate=False)}
        names = {str(k): alias[str(v)] for k, v in program.graph_signature.inputs_to_parameters.items()}
        return cls(program, names, model)

    def missing(self, calls: Iterable[str]) -> list[str]:
        """Those of these calls that are not in the program."""
        return sorted(set(calls) - {node.name for node in self.nodes})

    def check(self, calls: Iterable[str], where: str) -> None:
        """Raises `ScaleRulesError` where one of these calls is not in the program."""
        if missing := self.missing(calls):
            raise ScaleRulesError(
                f"there is no call {missing[0]} when it runs", where=where,
                hint="a recurrence that is traced as one call is not run; verify the graph: sr.graph(path of its yaml)",
            )  # fmt: skip

    @property
    def nodes(self) -> Sequence[fx.Node]:
        """The calls of the program, in order."""
        return list(self.program.graph_module.graph.nodes)

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """The weights and buffers of the module, as it was made."""
        return {name: tensor.detach() for name, tensor in owned(self.model).items()}

    @cached_property
    def real_inputs(self) -> frozenset[str]:
        """What the module is called with and is drawn anew, by name."""
        return frozenset(node.name for node in self._inputs if _is_real(node))

    @cached_property
    def fed(self) -> frozenset[str]:
        """The calls that depend on what the module is called with, by name."""
        return self.fed_by(node.name for node in self._inputs)

    @property
    def tensor_inputs(self) -> list[str]:
        """The tensors among what the module is called with, in order."""
        return [node.name for node in self._inputs if isinstance(node.meta.get("val"), Tensor)]

    @property
    def _inputs(self) -> list[fx.Node]:
        given = set(map(str, self.program.graph_signature.user_inputs))
        return [node for node in self.nodes if node.name in given]

    def fed_by(self, inputs: Iterable[str]) -> frozenset[str]:
        """The calls that depend on some of the inputs, by name."""
        return frozenset(node.name for node in fed_by(self.nodes, set(inputs)))

    def chosen(self, origins: Iterable[str]) -> frozenset[str]:
        """The calls with as many entries as values choose that are made of `origins`: the rows that a mask picks."""
        made, known, lengths, chosen = set(origins), set[Any](), set[Any](), set[str]()
        for node in self.nodes:
            sources, here = node.all_input_nodes, _lengths(node)
            choosing = [source for source in sources if not _is_real(source)] or sources
            if any(source.name in made for source in choosing):
                lengths |= here - known
            if any(source.name in made for source in sources):
                made.add(node.name)
            if here & lengths:
                chosen.add(node.name)
            known |= here
        return frozenset(chosen)

    def run(self, weights: Mapping[str, Tensor], inputs: Iterable[Tensor], factors: Mapping[str, float]) -> Calls:
        """Runs the program; `factors`: what the results of calls are multiplied with."""
        given, signature = list(inputs), self.program.graph_signature
        arguments: list[Any] = []
        for node in self.nodes:
            if node.op != "placeholder":
                continue
            if node.name in self.names:
                arguments.append(weights[self.names[node.name]])
            elif node.name in signature.inputs_to_buffers:
                arguments.append(weights[signature.inputs_to_buffers[node.name]].clone())
            elif node.name in signature.inputs_to_lifted_tensor_constants:
                arguments.append(self.program.constants[signature.inputs_to_lifted_tensor_constants[node.name]])
            else:
                arguments.append(given.pop(0) if isinstance(node.meta.get("val"), Tensor) else node.meta.get("val"))
        calls = Calls(self.program.graph_module, factors)
        calls.run(*arguments)
        return calls

    def again(self, forward: ForwardPass, path: Sequence[fx.Node], weights: Mapping[str, Tensor]) -> Tensor:
        """What the last call of a path from weights returns with these weights and otherwise what it read.

        In double precision: what is small beside the value is not lost.
        """
        env, kept = forward.calls.env, dict(forward.calls.env)
        for n in path:
            for source in n.all_input_nodes:
                if source not in path and isinstance(kept[source], Tensor) and kept[source].is_floating_point():
                    env[source] = kept[source].detach().double()
            name = self.names.get(n.name)
            env[n] = forward.calls.called(n) if name is None else weights[name].detach().double()
        result = env[path[-1]]
        env.clear()
        env.update(kept)
        return result

    def paths(self, data: set[str]) -> dict[str, list[fx.Node]]:
        """The path to each of the calls `data`: the weights, the views of them that it takes, and the call, in order.

        What another call of `data` returns is data, and stays, unless it is made of weights alone: `1 - gate` reads the
        weight that `gate = sigmoid(weight)` does.
        """
        order = {node: i for i, node in enumerate(self.nodes)}
        paths: dict[str, list[fx.Node]] = {}

        def made(node: fx.Node, path: dict[fx.Node, bool]) -> bool:
            """Whether a node is a weight or made of one; `path` keeps what is known."""
            if node not in path:
                inner = [
                    made(source, path)
                    for source in node.all_input_nodes
                    if source.name not in data or source.name not in self.fed
                ]
                path[node] = node.name in self.names or (any(inner) and not drawn(node))
            return path[node]

        for reader in (node for node in order if node.name in data):
            path: dict[fx.Node, bool] = {}
            made(reader, path)
            paths[reader.name] = sorted({*(n for n in path if path[n]), reader}, key=order.__getitem__)
        return paths


def owned(model: torch.nn.Module) -> dict[str, Tensor]:
    """The parameters of a module and its buffers, by name: a random matrix that is not trained may be either."""
    return dict([*model.named_buffers(remove_duplicate=False), *model.named_parameters(remove_duplicate=False)])


def _lengths(node: fx.Node) -> set[Any]:
    """The lengths in what a call returns that only values decide."""
    leaves = torch.utils._pytree.tree_leaves(node.meta.get("val"))  # pyright: ignore
    return {
        symbol for leaf in leaves if isinstance(leaf, (Tensor, torch.SymInt)) for symbol in free_unbacked_symbols(leaf)
    }


def _is_real(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.is_floating_point()
