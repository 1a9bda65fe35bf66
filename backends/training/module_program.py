"""Trains a traced module itself and looks at its intermediate values: what `verify` measures of a module.

The module is built and exported at every size; the exported calls are run one by one. It stands in for
`program.Program` in `measure.py`: parameters go by the graph's names.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import compress
from typing import Any

import torch
from torch import Tensor, fx

from scalerules.errors import ScaleRulesError
from scalerules.tracing.exporting.factories import arguments_of, module_of, quiet
from scalerules.tracing.exporting.failures import cannot_trace
from scalerules.tracing.exporting.plain_inputs import Arguments
from scalerules.tracing.exporting.ways import evaluation
from scalerules.tracing.writing.places import Live

from . import measure as training
from .abstract_program import AbstractProgram, Data
from .exported_module import ExportedModule, owned
from .module_calls import ForwardPass, together
from .module_weights import Weights

SEEDS = (11, 12)
"""Copies at the base size that the standard deviations there are taken from."""


class LiveProgram(AbstractProgram):
    """A traced module at given values of its scales, with the numbers of a solution."""

    @property
    def live(self) -> Live:
        """The places of nodes, weights and factors in the module."""
        return self.graph.live  # type: ignore[attr-defined]

    @cached_property
    def whole(self) -> dict[str, int]:
        """The sizes as whole numbers, as factories take them."""
        return {scale: round(value) for scale, value in self.sizes.items()}

    def module(self, seed: int, as_built: bool = False) -> torch.nn.Module:
        """The module as its factory makes it, in evaluation mode or `as_built`."""
        with quiet():
            torch.manual_seed(seed)
            model = module_of(self.live.make_model, self.whole)
        if not as_built:
            evaluation(model)
        return model.to(self.dtype)

    @cached_property
    def exported(self) -> ExportedModule:
        """The module as torch exports it; in training mode where it is another computation, and was traced, in that."""
        calls = {call for calls in self.live.nodes.values() for call in calls}
        try:
            exported = ExportedModule.of(self.module(0), self._arguments, self.dtype)
            if exported.missing(calls):
                exported = ExportedModule.of(self.module(0, as_built=True), self._arguments, self.dtype)
        except (RuntimeError, TypeError, ValueError) as error:  # whatever the user's module, or torch, raises
            raise cannot_trace(self.whole, [("real", error)]) from error
        exported.check(calls, f"module {self.graph.name}")
        return exported

    @cached_property
    def weights(self) -> Weights:
        """The module's weights as parameters of the graph."""
        return Weights(self.graph, self.live.weights, self.whole)

    # --- parameters and data -----------------------------------------------------------------------

    def initial(self, seed: int) -> dict[str, Tensor]:
        """The module's own initial values; random ones as large as the solution says."""
        own = owned(self.module(seed))
        values = {name: self.weights.stacked(name, own) for name in self._held}
        for name, value in values.items():
            rule = self.solution.parameters.get(name)
            if self.graph.parameters[name].init == "normal" and rule is not None and _spread(value):
                std = self._base_std[name] * rule.init.change(self.ratios)
                values[name] = value * (std / _spread(value))
        return values

    @cached_property
    def _held(self) -> list[str]:
        """The parameters of the graph that the module holds: a matrix that it makes while it runs is none of them."""
        there = self.exported.weights.keys()
        return [name for name, pieces in self.live.weights.items() if {piece.weight for piece in pieces} <= there]

    @cached_property
    def _base_std(self) -> dict[str, float]:
        spreads: dict[str, list[float]] = {}
        base = LiveProgram(self.graph, self.solution, self.base, self.base, self.dtype)
        for seed in SEEDS:
            own = owned(base.module(seed))
            for name in self._held:
                spreads.setdefault(name, []).append(_spread(base.weights.stacked(name, own)))
        return {name: math.fsum(values) / len(values) for name, values in spreads.items()}

    def data(self, seed: int) -> Data:
        """The module's inputs, real numbers drawn anew; random targets of order one."""
        drawn, forward = self._drawn(seed)
        targets: list[Tensor] = []
        for output, value in zip(self.graph.outputs, self.outputs(forward), strict=True):
            if output in self.chosen:
                said, where = "cannot be trained: weights choose its rows", f"output {output!r}"
                hint = "return an output for every row, or verify the graph: sr.graph(path of its yaml)"
                raise ScaleRulesError(said, where=where, hint=hint)
            shape = value.shape
            own = torch.Generator().manual_seed(zlib.crc32(f"{seed} target {output}".encode()))
            if self.graph.loss == "cross_entropy":
                chosen = torch.randint(shape[-1], shape[:-1], generator=own)
                targets.append(torch.nn.functional.one_hot(chosen, shape[-1]).to(self.dtype))
            else:
                targets.append(torch.randn(shape, generator=own, dtype=self.dtype))
        return Data(drawn, targets)

    def _drawn(self, seed: int) -> tuple[dict[str, Tensor], ForwardPass]:
        """Inputs that the module has finite outputs of, and what it makes of them.

        Real ones are normal numbers; where they have to be positive (a degree, what a logarithm is taken of) their
        absolute values; where that is not enough, what is given.
        """
        parameters = self.initial(seed)
        ways: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
            lambda new, _: new, lambda new, _: new.abs(), lambda _, given: given
        )  # fmt: skip
        for way in ways:
            generator = torch.Generator().manual_seed(seed)
            drawn: dict[str, Tensor] = {}
            for i, leaf in enumerate(self._arguments.tensors):
                real = leaf.is_floating_point()
                drawn[f"{i}"] = way(torch.randn(leaf.shape, generator=generator), leaf).to(self.dtype) if real else leaf
            with torch.no_grad():
                forward = self._run(parameters, drawn)
            if all(bool(value.isfinite().all()) for value in self.outputs(forward)):
                return drawn, forward
        where, hint = f"module {self.graph.name}", "give inputs of which the module, as it starts, has finite outputs"
        raise ScaleRulesError("its outputs are not finite", where=where, hint=hint)

    @cached_property
    def _arguments(self) -> Arguments:
        """What the module is called with."""
        return arguments_of(self.live.inputs, self.whole)

    def outputs(self, forward: Any) -> list[Tensor]:
        """The values of the output nodes."""
        return [forward.values[self.live.nodes[output][0]] for output in self.graph.outputs]

    def loss_of(self, outputs: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
        """As `Program.loss`."""
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

    def forward(self, parameters: Mapping[str, Tensor], data: Data, look: bool = True) -> ForwardPass:
        """Runs the module."""
        return self._run(parameters, data.inputs)

    def _run(self, parameters: Mapping[str, Tensor], inputs: Mapping[str, Tensor]) -> ForwardPass:
        weights = self.weights.weights(parameters, self.exported.weights)
        calls = self.exported.run(weights, inputs.values(), self.factors)
        return ForwardPass(parameters, weights, calls.seen, self._places, calls)

    @cached_property
    def _places(self) -> dict[str, tuple[str, ...]]:
        """The calls of every node; of a part of what a call does (a product in front of its bias) that call.

        Such parts are there for own contributions alone.
        """
        return {**{node: calls for (node, _), calls in self.live.readers.items()}, **self.live.nodes}

    @cached_property
    def factors(self) -> dict[str, float]:
        """What the free factors of the module have to be multiplied with, by call."""
        factors: dict[str, float] = {}
        for node, (factor, calls) in self.live.factors.items():
            wanted = self.number(factor, self.base) * self.solution.multipliers[node].change(self.ratios)
            factors.update({call: wanted / self.number(factor) for call in calls})
        return factors

    def depends(self, node: str) -> bool:
        """Whether other inputs change a node: rows of a table at fixed places they do not."""
        calls = self.live.nodes.get(node)
        return calls is None or not self._varied.isdisjoint(calls)

    @cached_property
    def _varied(self) -> frozenset[str]:
        """The calls that depend on inputs of which there are others: whole numbers that are all alike have none.

        Raises `ScaleRulesError` where there are none of any input.
        """
        given = self._arguments.tensors
        others = [leaf.is_floating_point() or not torch.equal(training.reordered(leaf), leaf) for leaf in given]
        if others and not any(others):
            said, hint = "they are whole numbers, all alike", "give different ones: torch.arange, torch.randint"
            raise ScaleRulesError(said, where=f"inputs of {self.graph.name}", hint=hint)
        return self.exported.fed_by(compress(self.exported.tensor_inputs, others))

    @cached_property
    def chosen(self) -> Collection[str]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The nodes whose rows a router chooses by its weights."""
        return self.picked(self.exported.names)

    def picked(self, origins: Collection[str]) -> list[str]:
        """The nodes with as many entries as values choose that are made of these weights and inputs."""
        calls = self.exported.chosen(origins)
        return [node for node, copies in self._places.items() if not calls.isdisjoint(copies)]

    # --- own contributions -------------------------------------------------------------------------

    def readers(self, parameter: str) -> list[str]:
        """The nodes that read a parameter directly."""
        return [node for node, name in self.live.readers if name == parameter]

    def own(self, forward: ForwardPass, initial: Mapping[str, Tensor], parameter: str, node: str,
            fine: bool = True) -> Tensor:  # fmt: skip
        """What the calls that read a parameter return, less what they would with its initial value."""
        calls = self.live.readers.get((node, parameter))
        if calls is None:
            return torch.full((1,), math.nan)
        before = self.weights.weights({parameter: initial[parameter]}, forward.weights)
        parts: list[Tensor] = []
        for call in calls:
            factor = 1.0 if node in self.live.nodes else self.factors.get(call, 1.0)
            path = self._paths[call]
            now, then = (self.exported.again(forward, path, weights) for weights in (forward.weights, before))
            parts.append(((now - then) / factor).to(self.dtype))
        return torch.cat([_moved(part).flatten() for part in parts]) if self._is_part(parameter) else together(parts)

    def _is_part(self, parameter: str) -> bool:
        """Whether a parameter of the graph is a part of one that the module has."""
        return not all(piece.whole for piece in self.live.weights[parameter])

    def linear(self, node: str, parameter: str) -> bool:
        """True: own contributions are computed in double precision, where what is small is not lost."""
        return True

    @cached_property
    def _paths(self) -> dict[str, list[fx.Node]]:
        """The path from weights to each call that reads one."""
        calls = (*self.live.nodes.values(), *self.live.readers.values())
        return self.exported.paths({call for copies in calls for call in copies})


def _spread(value: Tensor) -> float:
    """The standard deviation of the entries; of those that agree in sign, or of a single one, how large they are."""
    std = float(value.std()) if value.numel() > 1 else 0.0
    return std if std >= float(value.mean().abs()) else float(value.square().mean().sqrt())


def _moved(part: Tensor) -> Tensor:
    """What the rows of a part add along the last dimension: other rows of the same weight stand still there."""
    part = torch.atleast_1d(part)
    rows = (part != 0).reshape(-1, part.shape[-1]).any(0)
    return part[..., rows] if rows.any() else part


def silent(program: LiveProgram) -> list[str]:
    """The parameters of `training.silent`; none where the module does not run in double precision."""
    try:
        return training.silent(program)
    except (RuntimeError, ScaleRulesError):  # constants of single precision that a call does not take beside double
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
    if watched is not None:
        others = program.picked({*program.exported.names, *program.exported.real_inputs})
        watched = replace(watched, data=frozenset(filter(program.depends, watched.data)).difference(others))
    for trial in trials:
        whole = training.measure(program, trial, pairs, watched)
        hidden = [key for key in whole.rms if key[0] in ("value", "change") and key[1] not in program.live.nodes]
        yield training.Measurement({key: whole.rms[key] for key in whole.rms if key not in hidden}, whole.losses)
