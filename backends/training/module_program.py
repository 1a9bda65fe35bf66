"""Trains a traced module itself and looks at its intermediate values: what `verify` measures of a module.

The module is built and exported at every size; the exported calls are run one by one, so that what a functional call
returns is seen as well. It stands in for `program.Program` in `measure.py`: parameters go by the graph's names.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx

from scalerules.errors import ScaleRulesError
from scalerules.tracing.exporting.export import as_call, call_with, module_of, number_views, quiet, without_looking
from scalerules.tracing.exporting.export import evaluation as evaluation  # pyright: ignore[reportPrivateUsage]
from scalerules.tracing.exporting.library_kernels import whole_kernels
from scalerules.tracing.writing.places import Live, Piece

from . import measure as training
from . import recurrences
from .program import Data, Program

SEEDS = (11, 12)
"""Copies at the base size that the standard deviations there are taken from."""


@dataclass
class Run:
    """One forward pass: what the calls returned, by name, and the interpreter with which single calls run again."""

    parameters: Mapping[str, Tensor]
    weights: Mapping[str, Tensor]
    values: dict[str, Tensor]
    nodes: Mapping[str, Sequence[str]]
    calls: _Calls
    inputs: dict[str, Tensor] = field(default_factory=dict[str, Tensor])

    def all_values(self) -> dict[str, Tensor]:
        """Every node's value, detached; those of repeated blocks are stacked."""
        return {
            name: torch.stack([self.values[call].detach() for call in calls])
            for name, calls in self.nodes.items()
            if all(call in self.values and self.values[call].is_floating_point() for call in calls)
        }


class _Calls(fx.Interpreter):
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


class LiveProgram(Program):
    """A traced module at given values of its scales, with the numbers of a solution."""

    @property
    def live(self) -> Live:
        """Where nodes, weights and factors stand in the module."""
        return self.graph.live  # type: ignore[attr-defined]

    @cached_property
    def whole(self) -> dict[str, int]:
        """The sizes as whole numbers, as factories take them."""
        return {scale: round(value) for scale, value in self.sizes.items()}

    def module(self, seed: int, sizes: Mapping[str, float]) -> torch.nn.Module:
        """The module as its factory makes it."""
        with quiet():
            torch.manual_seed(seed)
            model = module_of(self.live.make_model, {scale: round(value) for scale, value in sizes.items()})
        evaluation(model)
        return model.to(self.dtype)

    @cached_property
    def exported(self) -> tuple[Any, dict[str, str], torch.nn.Module]:
        """The exported program, the weight that each placeholder stands for, and the module it is of."""
        model = self.module(0, self.sizes)
        args, kwargs = as_call(call_with(self.live.inputs, self.whole))
        if self.dtype != torch.float32:
            args, kwargs = torch.utils._pytree.tree_map(self._cast, (args, kwargs))  # pyright: ignore
        with quiet(), torch.no_grad(), whole_kernels(), without_looking():
            program = torch.export.export(model, args, kwargs, strict=False).run_decompositions({})
        number_views(program.graph)
        first: dict[int, str] = {}
        for name, tensor in model.named_parameters(remove_duplicate=False):
            first.setdefault(id(tensor), name)
        alias = {name: first[id(t)] for name, t in model.named_parameters(remove_duplicate=False)}
        names = {str(k): alias[str(v)] for k, v in program.graph_signature.inputs_to_parameters.items()}
        missing = {call for calls in self.live.nodes.values() for call in calls}
        missing -= {node.name for node in program.graph_module.graph.nodes}
        if missing:
            raise ScaleRulesError(
                f"there is no call {sorted(missing)[0]} when it runs", where=f"module {self.graph.name}",
                hint="a recurrence that is traced as one call is not run; verify the graph: sr.graph(path of its yaml)",
            )  # fmt: skip
        return program, names, model

    def _cast(self, leaf: Any) -> Any:
        return leaf.to(self.dtype) if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf

    # --- parameters --------------------------------------------------------------------------------

    def initial(self, seed: int) -> dict[str, Tensor]:
        """The module's own initial values; random ones with the standard deviation that the solution says."""
        own = dict(self.module(seed, self.sizes).named_parameters(remove_duplicate=False))
        found = {name: self._stacked(name, own) for name in self.live.weights}
        for name, value in found.items():
            rule = self.solution.parameters.get(name)
            if self.graph.parameters[name].init == "normal" and rule is not None and _spread(value):
                std = self._base_std[name] * rule.init.change(self.ratios)
                found[name] = value * (std / _spread(value))
        return found

    @cached_property
    def _base_std(self) -> dict[str, float]:
        found: dict[str, list[float]] = {}
        at = LiveProgram(self.graph, self.solution, self.base, self.base, self.dtype)
        for seed in SEEDS:
            own = dict(at.module(seed, self.base).named_parameters(remove_duplicate=False))
            for name in self.live.weights:
                found.setdefault(name, []).append(_spread(at._stacked(name, own)))
        return {name: math.fsum(values) / len(values) for name, values in found.items()}

    def _stacked(self, name: str, own: Mapping[str, Tensor]) -> Tensor:
        """A parameter of the graph from the module's weights, the blocks of its repeat first."""
        shape = [self.lengths[axis] for axis in self.graph.parameters[name].axes]
        for piece in self.live.weights[name]:
            whole = [math.prod(self._count(length) for length, _, _ in factors) for factors in piece.factors]
            if whole != list(own[piece.weight].shape):
                raise ScaleRulesError(
                    f"{piece.weight} has the shape {tuple(own[piece.weight].shape)} at {dict(self.whole)}, and "
                    f"{tuple(whole)} by its lengths", where=f"module {self.graph.name}",
                    hint="the module rounds a size there: choose sizes at which it does not",
                )  # fmt: skip
        flat = [self._part(own[p.weight].detach(), p).reshape(shape) for p in self.live.weights[name]]
        return torch.stack(flat) if self.graph.repeat_of(name) else flat[0].clone()

    def _part(self, tensor: Tensor, piece: Piece) -> Tensor:
        """The part of a weight that a parameter of the graph is: a view of it."""
        dim = 0
        for factors in piece.factors:
            whole = [self._count(length) for length, _, _ in factors]
            tensor = tensor.unflatten(dim, whole) if len(whole) > 1 else tensor
            for i, (_, start, length) in enumerate(factors):
                if start is not None:
                    tensor = tensor.narrow(dim + i, self._count(start), self._count(length))
            dim += len(whole)
        return tensor

    def _count(self, length: Any) -> int:
        return math.ceil(length.value(self.sizes) - 1e-9)

    def _weights(
        self, parameters: Mapping[str, Tensor], others: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The module's weights from parameters of the graph; `others` are those of the weights that they do not set."""
        found = others or {n: t.detach() for n, t in self.exported[2].named_parameters(remove_duplicate=False)}
        filled: dict[str, Tensor] = {}
        for name, parameter in parameters.items():
            for k, piece in enumerate(self.live.weights[name]):
                value = parameter[k] if self.graph.repeat_of(name) else parameter
                if piece.whole:
                    filled[piece.weight] = value.reshape(found[piece.weight].shape)
                else:
                    if piece.weight not in filled:
                        filled[piece.weight] = found[piece.weight].detach().clone()
                    view = self._part(filled[piece.weight], piece)
                    view.copy_(value.reshape(view.shape))
        return {**found, **filled}

    # --- data --------------------------------------------------------------------------------------

    def data(self, seed: int) -> Data:
        """The module's inputs, real numbers drawn anew; random targets of order one."""
        generator = torch.Generator().manual_seed(seed)
        leaves = torch.utils._pytree.tree_leaves(as_call(call_with(self.live.inputs, self.whole)))  # pyright: ignore
        drawn: dict[str, Tensor] = {}
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        for i, leaf in enumerate(tensors):
            drawn[f"{i}"] = torch.randn(leaf.shape, generator=generator) if leaf.is_floating_point() else leaf
        with torch.no_grad():
            run = self._run(self.initial(seed), drawn)
        targets: list[Tensor] = []
        for output, value in zip(self.graph.outputs, self.outputs(run), strict=True):
            shape = value.shape
            own = torch.Generator().manual_seed(zlib.crc32(f"{seed} target {output}".encode()))
            if self.graph.loss == "cross_entropy":
                chosen = torch.randint(shape[-1], shape[:-1], generator=own)
                targets.append(torch.nn.functional.one_hot(chosen, shape[-1]).to(self.dtype))
            else:
                targets.append(torch.randn(shape, generator=own, dtype=self.dtype))
        return Data(drawn, targets)

    def outputs(self, run: Any) -> list[Tensor]:
        """The values of the output nodes."""
        return [run.values[self.live.nodes[output][0]] for output in self.graph.outputs]

    def loss_of(self, outputs: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
        """A mean over all axes but a last one that does not grow, over which it is a sum."""
        total = torch.zeros((), dtype=self.dtype)
        for output, value, target in zip(self.graph.outputs, outputs, targets, strict=True):
            if self.graph.loss == "cross_entropy":
                terms = -(target * torch.log_softmax(value, -1)).sum(-1)
            else:
                grows = any(self.graph.lengths[axis].scales for axis in self.graph.axes_of(output))
                terms = (value - target).square().sum(-1) / (2 * value.shape[-1] if grows else 2)
            total = total + terms.mean()
        return total

    # --- forward -----------------------------------------------------------------------------------

    def forward(self, parameters: Mapping[str, Tensor], data: Data, swap: Any = None, look: bool = True) -> Any:
        """Runs the module."""
        return self._run(parameters, data.inputs)

    def _run(self, parameters: Mapping[str, Tensor], inputs: Mapping[str, Tensor]) -> Run:
        program, names, _ = self.exported
        weights, given = self._weights(parameters), list(inputs.values())
        signature = program.graph_signature
        buffers = {**dict(program.named_buffers()), **program.constants}
        arguments: list[Any] = []
        for node in program.graph_module.graph.nodes:
            if node.op != "placeholder":
                continue
            if node.name in names:
                arguments.append(weights[names[node.name]])
            elif node.name in signature.inputs_to_buffers:
                arguments.append(buffers[signature.inputs_to_buffers[node.name]].clone())
            elif node.name in signature.inputs_to_lifted_tensor_constants:
                arguments.append(buffers[signature.inputs_to_lifted_tensor_constants[node.name]])
            else:
                arguments.append(given.pop(0) if isinstance(node.meta.get("val"), Tensor) else node.meta.get("val"))
        calls = _Calls(program.graph_module, self._factors)
        calls.run(*arguments)
        return Run(parameters, weights, calls.seen, {**self._within, **self.live.nodes}, calls)

    @cached_property
    def _within(self) -> dict[str, tuple[str, ...]]:
        """Nodes that are a part of what a call does (a product in front of its bias), for own contributions alone."""
        return {node: calls for (node, _), calls in self.live.readers.items() if node not in self.live.nodes}

    @cached_property
    def _factors(self) -> dict[str, float]:
        """What the free factors of the module have to be multiplied with, by call."""
        found: dict[str, float] = {}
        for node, (factor, calls) in self.live.factors.items():
            wanted = self.number(factor, self.base) * self.solution.multipliers[node].change(self.ratios)
            found.update({call: wanted / self.number(factor) for call in calls})
        return found

    def readers(self, parameter: str) -> list[str]:
        """The nodes that read a parameter directly."""
        return [node for node, name in self.live.readers if name == parameter]

    def own(self, run: Any, data: Data, initial: Mapping[str, Tensor], parameter: str, node: str) -> Tensor:
        """What the calls that read a parameter return, less what they would with its initial value."""
        calls = self.live.readers.get((node, parameter))
        if calls is None:
            return torch.full((1,), math.nan)
        before = self._weights({parameter: initial[parameter]}, run.weights)
        parts: list[Tensor] = []
        for call in calls:
            factor = 1.0 if node in self.live.nodes else self._factors.get(call, 1.0)
            both = [self._again(run, call, weights) for weights in (run.weights, before)]
            parts.append(((both[0] - both[1]) / factor).to(self.dtype))
        return torch.stack(parts)

    def linear(self, node: str, parameter: str) -> bool:
        """Own contributions are computed in double precision: what is small beside the value is not lost."""
        return True

    def _again(self, run: Any, call: str, weights: Mapping[str, Tensor]) -> Tensor:
        """What a call returns with these weights and otherwise what it read, in double precision."""
        again, env, kept = self._between[call], run.calls.env, dict(run.calls.env)
        for n in again:
            for source in n.all_input_nodes:
                if source not in again and isinstance(kept[source], Tensor) and kept[source].is_floating_point():
                    env[source] = kept[source].detach().double()
            name = self.exported[1].get(n.name)
            env[n] = run.calls.called(n) if name is None else weights[name].detach().double()
        result = env[again[-1]]
        env.clear()
        env.update(kept)
        return result

    @cached_property
    def _between(self) -> dict[str, list[fx.Node]]:
        """For each call that reads a weight: the weights, the views of them that it takes, and the call, in order.

        What an own node of the graph returns is data, and stays.
        """
        program, names, _ = self.exported
        order = {node: i for i, node in enumerate(program.graph_module.graph.nodes)}
        data = {call for calls in (*self.live.nodes.values(), *self.live.readers.values()) for call in calls}
        found: dict[str, list[fx.Node]] = {}

        def made(node: fx.Node, path: dict[fx.Node, bool]) -> bool:
            """Whether a node is a weight or made of one; `path` keeps what is known."""
            if node not in path:
                inner = [made(source, path) for source in node.all_input_nodes if source.name not in data]
                path[node] = node.name in names or any(inner)
            return path[node]

        for reader in (node for node in order if node.name in data):
            path: dict[fx.Node, bool] = {}
            made(reader, path)
            found[reader.name] = sorted({*(n for n in path if path[n]), reader}, key=order.__getitem__)
        return found


def _spread(value: Tensor) -> float:
    """The standard deviation of the entries; of a single one, which has none, its size."""
    return float(value.std()) if value.numel() > 1 else float(value.abs().max())


def silent(program: LiveProgram) -> list[str]:
    """As `training.silent`; nothing where the module does not run in double precision."""
    try:
        return training.silent(program)
    except RuntimeError:  # constants of single precision that a call does not take beside double
        return []


def losses(program: LiveProgram, trials: Sequence[training.Trial], device: str = "cpu") -> list[list[float]]:
    """The loss before every step and after the last, for each trial."""
    return [training.losses(program, trial) for trial in trials]


def measure(
    program: LiveProgram, trials: Sequence[training.Trial], own: Collection[tuple[str, str]], device: str = "cpu",
    watched: training.Watched | None = None,
) -> Iterator[training.Measurement]:  # fmt: skip
    """Every size that the module shows, for each trial."""
    pairs = [pair for pair in sorted(own) if pair in program.live.readers]
    for trial in trials:
        found = training.measure(program, trial, pairs, watched)
        hidden = [key for key in found.rms if key[0] in ("value", "change") and key[1] not in program.live.nodes]
        yield training.Measurement({key: found.rms[key] for key in found.rms if key not in hidden}, found.losses)
