"""Trains several copies of a graph at once, one per seed or learning rate, and measures every size on the way.

The copies are stacked in the first dimension and run through `torch.func.vmap`: at small sizes the work is Python's,
and is then done once for all. Numbers are those of `training.measure`, run by run. `verify` trains through this, on
any torch device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as tree

from . import measure as training
from .abstract_program import Data
from .call import ForwardPass
from .contributions import minus
from .measure import Key, Measurement, Trial, Watched
from .own_steps import perturbed
from .program import Program
from .reads import read_by

STACKED, ALONE = 2**21, 2**19
"""Parameter entries of all copies together, and of one, above which stacking gains nothing: the caches overflow."""
KERNELS = frozenset({"scan"})
"""Operations with kernels of their own, which `vmap` cannot go through."""
ENTRYWISE = frozenset({"sgd", "momentum", "adam", "adamw", "rmsprop", "adagrad", "sign", "lion"})
"""Optimizers whose step of an entry depends on that entry alone, so that stacked copies step together."""
SMALL = 1e-3
"""Own contributions below this part of the value are taken again from the difference of the parameter."""

Stacked = dict[str, Any]
"""By name a tensor whose first dimension is that of the copies, or, for a parameter of a repeat, one per block: what
indexes into one large tensor costs its whole length in the backward pass."""


def at_once(program: Program, copies: int) -> int:
    """How many of `copies` to stack."""
    entries = sum(math.prod(program.shape(name)) for name in program.graph.parameters)
    if entries > ALONE or any(node.op in KERNELS for _, node in program.graph.walk()):
        return 1
    return max(1, min(copies, STACKED // max(1, entries)))


def losses(program: Program, trials: Sequence[Trial], device: str = "cpu") -> list[list[float]]:
    """The loss before every step and after the last, for each trial; they differ in seed and rate only."""
    return [measured.losses for measured in _in_parts(program, trials, None, device)]


def measure(program: Program, trials: Sequence[Trial], own: Collection[tuple[str, str]], device: str = "cpu",
            watched: Watched | None = None) -> Iterator[Measurement]:  # fmt: skip
    """Every size on the way, for each trial, one after the other as they are ready.

    `own` lists the (node, parameter) pairs whose contribution is wanted.
    """
    return _in_parts(program, trials, sorted(own), device, watched)


def _in_parts(program: Program, trials: Sequence[Trial], own: list[tuple[str, str]] | None,
              device: str, watched: Watched | None = None) -> Iterator[Measurement]:  # fmt: skip
    many = at_once(program, len(trials))
    ensemble: _Ensemble | None = None
    for part in (trials[i : i + many] for i in range(0, len(trials), many)):
        if ensemble is None or not ensemble.takes(part):
            ensemble = _Ensemble(program, part, own, torch.device(device), watched)
        yield from ensemble.train(part)


def _each(function: Callable[..., Any], copies: int) -> Callable[..., Any]:
    """A function of one copy as a function of stacked copies."""
    if copies > 1:
        return torch.func.vmap(function)

    def alone(*arguments: Any) -> Any:
        return tree.tree_map(lambda x: x[None], function(*tree.tree_map(lambda x: x.squeeze(0), arguments)))

    return alone


class _Ensemble:
    """Stacked copies of one size, which can be trained again with other seeds; `own` None: only losses are wanted."""

    def __init__(self, program: Program, trials: Sequence[Trial], own: list[tuple[str, str]] | None,
                 device: torch.device, watched: Watched | None) -> None:  # fmt: skip
        self.program, self.own, self.device, self.copies = program, own, device, len(trials)
        self.watched = watched
        self.stepper = _Stepper(program, trials)
        self.parameters: Stacked = {}

    def takes(self, trials: Sequence[Trial]) -> bool:
        """Whether these trials can be trained with the same memory: as many, at the same rate."""
        return self.stepper.together and len(trials) == self.copies and {t.lr for t in trials} == {self.stepper.lr}

    def train(self, trials: Sequence[Trial]) -> list[Measurement]:
        """One run for each trial."""
        self._draw(trials)
        self.history: list[list[float]] = []
        self.keys: list[Key] = []
        self.sizes: list[Tensor] = []
        self.first: Stacked = {}
        # entered for nothing, the device would slow down every call
        with self.device if self.device.type != "cpu" else nullcontext():
            for count in range(trials[0].steps):
                values, gradients = self._forward_backward()
                if self.own is not None:
                    self._look(count, values, gradients)
                gradients = self._uphill(gradients)
                with torch.no_grad():
                    self.stepper(self.parameters, gradients, values[0])
            with torch.no_grad():
                values = self._forward(self.parameters)[1:]
            if self.own is not None:
                self._look(trials[0].steps, values, {})
            if self.watched is not None:
                self._watch(trials, self.watched, _by_node(values))
        return self._measurements()

    def _draw(self, trials: Sequence[Trial]) -> None:
        """Initial parameters and data; the memory of parameters that have been trained is used again."""
        drawn = {seed: (self._initial(seed), self.program.data(seed)) for seed in {trial.seed for trial in trials}}
        starts, data = zip(*(drawn[trial.seed] for trial in trials), strict=True)
        self.start: Stacked = self._stack(starts)
        self.inputs, self.targets = self._stack([(d.inputs, d.targets) for d in data])
        if self.parameters:
            tree.tree_map(Tensor.copy_, self.parameters, self.start)
            self.stepper.reset()
        else:
            self.parameters = tree.tree_map(lambda x: x.clone(memory_format=torch.contiguous_format), self.start)

    def _initial(self, seed: int) -> Stacked:
        repeat_of = self.program.graph.repeat_of
        parameters = self.program.initial(seed)
        return {name: tuple(value.unbind(0)) if repeat_of(name) else value for name, value in parameters.items()}

    def _stack(self, items: Sequence[Any]) -> Any:
        """A pytree of tensors on the device, with the copies in the first dimension."""
        return tree.tree_map(lambda *x: (x[0][None] if len(x) == 1 else torch.stack(x)).to(self.device), *items)

    def _forward(self, parameters: Stacked) -> tuple[Tensor, Any, Any]:
        """Losses, which are noted, values of the top level, values of the blocks."""

        def forward(parameters: Stacked, inputs: Stacked, targets: list[Tensor]) -> Any:
            data = Data(inputs, targets)
            forward_pass = self.program.forward(parameters, data, look=self.own is not None)
            return self.program.loss(forward_pass, data), forward_pass.values, forward_pass.blocks

        results = _each(forward, self.copies)(parameters, self.inputs, self.targets)
        self.history.append(results[0].detach().tolist())
        return results

    def _forward_backward(self) -> tuple[Any, Stacked]:
        names = self.stepper.names
        leaves = {
            name: tree.tree_map(lambda x, name=name: x.detach().requires_grad_(name in names), value)
            for name, value in self.parameters.items()
        }
        loss, *values = self._forward(leaves)
        wanted, form = tree.tree_flatten({name: leaves[name] for name in names})
        gradients = torch.autograd.grad(loss.sum(), wanted, allow_unused=True)
        filled = [torch.zeros_like(leaf) if g is None else g for leaf, g in zip(wanted, gradients, strict=True)]
        return tree.tree_map(Tensor.detach, values), tree.tree_unflatten(filled, form)

    def _uphill(self, gradients: Stacked) -> Stacked:
        """The gradients that the step takes: those where the law's perturbation leads to, if it has one."""
        if self.stepper.update.law.perturbation is None:
            return gradients
        start = self.parameters
        self.parameters = {**start, **self.stepper.perturbed(start, gradients)}
        uphill = self._forward_backward()[1]
        self.history.pop()  # the loss there is not one of training
        self.parameters = start
        return uphill

    @torch.no_grad()
    def _look(self, count: int, values: Any, gradients: Stacked) -> None:
        """Notes the root mean squares of everything after `count` steps, and how large what they were taken from is."""
        now = _by_node(values)
        scale = {name: _norm(value) for name, value in now.items()}
        if not count:
            self.first = self._kept(now)
            self._note({("value", name, 0, None): (norm, None) for name, norm in scale.items()}, now)
        else:
            changes = {name: minus(value, self.first[name]) for name, value in now.items()}
            self._note({("change", n, count, None): (_norm(c), scale[n]) for n, c in changes.items()}, changes)
            self._own(count, values, scale)
        self._note({("gradient", n, count + 1, None): (_norm(g), None) for n, g in gradients.items()}, gradients)
        if gradients:
            left = self._remaining(count, values[0])
            self._note({("pull", "", count + 1, None): (left, None)}, {"": left[:, None]})

    def _kept(self, values: Stacked) -> Stacked:
        """The values, of which those that are views of a parameter are copied: steps are taken in place."""

        def memory(tensor: Tensor) -> int:
            return tensor.untyped_storage().data_ptr()

        moving = {memory(parameter) for parameter in tree.tree_leaves(self.parameters)}
        return tree.tree_map(lambda x: x.clone() if memory(x) in moving else x, values)

    @torch.no_grad()
    def _watch(self, trials: Sequence[Trial], watched: Watched, now: Stacked) -> None:
        """Notes what each parameter contributes, and what the inputs do, where it is watched."""

        def forward(parameters: Stacked, inputs: Stacked) -> Any:
            forward_pass = self.program.forward(parameters, Data(inputs, []), look=False)
            return forward_pass.values, forward_pass.blocks

        def noted(quantity: str, parameter: str | None, nodes: Collection[str], others: Any) -> None:
            there = _by_node(others)
            parts = {node: minus(now[node], there[node]) for node in nodes if node in now}
            steps = trials[0].steps
            norms: dict[Key, tuple[Tensor, Tensor | None]]
            norms = {(quantity, n, steps, parameter): (_norm(part), _norm(now[n])) for n, part in parts.items()}
            self._note(norms, parts)

        again = _each(forward, self.copies)
        for name, nodes in watched.frozen.items():
            noted("counts", name, nodes, again({**self.parameters, name: self.start[name]}, self.inputs))
        others: dict[int, Any] = {}
        for trial in trials:
            if trial.seed not in others:
                others[trial.seed] = training.other_data(self.program, trial.seed, self.program.data(trial.seed)).inputs
        drawn = self._stack([others[trial.seed] for trial in trials])
        noted("data", None, watched.data, again(self.parameters, drawn))

    def _remaining(self, count: int, values: Stacked) -> Tensor:
        """The part of the outputs' first gradient that is left, by copy."""

        def pulled(outputs: list[Tensor], targets: list[Tensor]) -> Tensor:
            return training.pull(self.program, outputs, targets)

        with torch.enable_grad():
            now = _each(pulled, self.copies)([values[name] for name in self.program.graph.outputs], self.targets)
        if not count:
            self.pull = now
        return training.remaining(now, self.pull)

    def _own(self, count: int, values: Any, scale: dict[str, Tensor]) -> None:
        pairs = [pair for pair in self.own or [] if pair[0] in scale]

        def contributed(pairs: list[tuple[str, str]], fine: bool) -> Iterator[tuple[str, str, Any, Tensor]]:
            def parts(values: Any, start: Stacked, parameters: Stacked) -> Any:
                forward_pass = ForwardPass(parameters, values[0], values[1])
                return [self.program.own(forward_pass, start, parameter, node, fine) for node, parameter in pairs]

            contributions = _each(parts, self.copies)(values, self.start, self.parameters)
            for (node, parameter), part in zip(pairs, contributions, strict=True):
                yield node, parameter, part, _norm(part)

        small: list[tuple[str, str]] = []
        for node, parameter, part, norm in contributed(pairs, fine=False):
            if self.program.linear(node, parameter) and bool((norm < SMALL * scale[node]).any()):
                small.append((node, parameter))
            else:
                self._note({("own", node, count, parameter): (norm, scale[node])}, {node: part})
        for node, parameter, part, norm in contributed(small, fine=True) if small else ():
            self._note({("own", node, count, parameter): (norm, training.FINE * scale[node])}, {node: part})

    def _note(self, norms: dict[Key, tuple[Tensor, Tensor | None]], tensors: Stacked) -> None:
        for key, (norm, scale) in norms.items():
            tensor = tensors[key[1]]
            entries = sum(x[0].numel() for x in tensor) if isinstance(tensor, (tuple, list)) else tensor[0].numel()
            self.keys.append(key)
            self.sizes += [norm / math.sqrt(max(1, entries)), norm if scale is None else norm / scale]

    def _measurements(self) -> list[Measurement]:
        noise = training.NOISE if self.program.dtype == torch.float32 else 1e-14
        table = torch.stack(self.sizes, 1).tolist() if self.sizes else [[] for _ in range(self.copies)]
        measurements: list[Measurement] = []
        for row, history in zip(table, zip(*self.history, strict=True), strict=True):
            pairs = zip(row[::2], row[1::2], strict=True)
            sizes = [0.0 if ratio <= noise and key[0] not in ("value", "gradient", "pull") else size
                     for key, (size, ratio) in zip(self.keys, pairs, strict=True)]  # fmt: skip
            measurements.append(Measurement(dict(zip(self.keys, sizes, strict=True)), list(history)))
        return measurements


def _by_node(values: Any) -> Stacked:
    """The values of the top level by node, and of the bodies of repeats block by block."""
    now: Stacked = dict(values[0])
    for blocks in values[1].values():
        now |= {name: [block[name] for block in blocks] for name in blocks[0] if name != "stream"}
    return now


def _norm(tensor: Any) -> Tensor:
    """The norm of each copy, over all its blocks."""
    if isinstance(tensor, Tensor):
        if tensor.ndim == 1:  # one number for each copy: an empty `dim` would take them all together
            return tensor.abs()
        return torch.linalg.vector_norm(tensor, dim=tuple(range(1, tensor.ndim)))
    return torch.linalg.vector_norm(torch.stack([_norm(x) for x in tensor]), dim=0)


class _Stepper:
    """Steps all copies in place: together where entries do not depend on each other."""

    def __init__(self, program: Program, trials: Sequence[Trial]) -> None:
        self.program, self.values = program, None
        self.name, self.lr = trials[0].optimizer or program.solution.optimizer, trials[0].lr
        self.update = training.optimizer(self.name)
        self.plain = not trials[0].weight_decay
        self.together = self.name in ENTRYWISE
        rates = [trial.lr / self.lr for trial in trials]
        self.ratios = None if set(rates) == {1.0} or not self.together else torch.tensor(rates)
        self.settings = [training.settings(program, trial) for trial in (trials[:1] if self.together else trials)]
        self.names = tuple(self.settings[0])
        self.fused: torch.optim.Optimizer | None = None

    def reset(self) -> None:
        """Forgets the runs so far; the memory of Adam's moments stays."""
        for settings in self.settings:
            for setting in settings.values():
                setting.state.clear()
        for state in self.fused.state.values() if self.fused is not None else ():
            for tensor in state.values():
                tensor.zero_()

    def __call__(self, parameters: Stacked, gradients: Stacked, values: Stacked | None = None) -> None:
        self.values = values
        if self.ratios is None:
            self._step(parameters, gradients)
            return
        before = tree.tree_map(Tensor.clone, parameters)  # steps are proportional to their rate
        self._step(parameters, gradients)
        for new, old in zip(tree.tree_leaves(parameters), tree.tree_leaves(before), strict=True):
            ratios = self.ratios.to(new.device, new.real.dtype).view(-1, *[1] * (new.ndim - 1))
            new.sub_(old).mul_(ratios).add_(old)

    def _step(self, parameters: Stacked, gradients: Stacked) -> None:
        if self.together and self.plain and self.name in ("adam", "adamw"):
            self._adam(parameters, gradients)
        elif self.together and self.plain and self.name == "sgd":
            for name, setting in self.settings[0].items():
                tree.tree_map(partial(Tensor.sub_, alpha=setting.lr), parameters[name], gradients[name])
        elif self.together:
            self._one(..., self.settings[0], parameters, gradients)
        else:
            for copy, settings in enumerate(self.settings):
                self._one(copy, settings, parameters, gradients)

    def _one(self, copy: Any, settings: Any, parameters: Stacked, gradients: Stacked) -> None:
        """Steps one copy, or with `...` all of them, by `training.step`, which wants blocks in the first dimension."""
        stack = 1 if copy is ... else 0

        def picked(value: Any) -> Tensor:
            return value[copy] if isinstance(value, Tensor) else torch.stack([x[copy] for x in value], stack)

        taken = {name: picked(gradients[name]) for name in self.names}
        old = {name: picked(parameters[name]) for name in self.names}
        if copy is not ... and not all(bool(torch.isfinite(gradient).all()) for gradient in taken.values()):
            new = {name: torch.full_like(value, math.nan) for name, value in old.items()}  # an SVD would refuse it
        else:
            reads = None
            if self.update.law.sides and copy is not ...:
                reads = read_by(self.program, {n: v[copy] for n, v in (self.values or {}).items()}, self.names)
            new = training.step(old, taken, settings, self.update, reads)
        for name in self.names:
            target = parameters[name]
            parts = [new[name]] if isinstance(target, Tensor) else new[name].unbind(stack)
            for tensor, part in zip([target] if isinstance(target, Tensor) else target, parts, strict=True):
                tensor[copy] = part

    @torch.no_grad()
    def perturbed(self, parameters: Stacked, gradients: Stacked) -> Stacked:
        """All copies where the law's perturbation leads to."""
        moved = tree.tree_map(Tensor.clone, {name: parameters[name] for name in self.names})
        for copy, settings in enumerate(self.settings):
            for name in self.names:
                parts, g = tree.tree_leaves(moved[name]), tree.tree_leaves(gradients[name])
                single = replace(settings[name], stack=0) if len(parts) > 1 or settings[name].stack else settings[name]
                shifted = tuple([i - settings[name].stack for i in side] for side in single.matrix or ([], []))
                single = replace(single, matrix=shifted if single.matrix else None)
                for part, gradient in zip(parts, g, strict=True):
                    part[copy] = perturbed(self.update.law, gradient[copy], part[copy], single)
        return moved

    def _adam(self, parameters: Stacked, gradients: Stacked) -> None:
        """Torch's own Adam in one kernel: the same numbers ten times faster."""
        leaves = {name: tree.tree_leaves(parameters[name]) for name in self.names}
        if self.fused is None:
            groups = [
                {"params": leaves[name], "lr": s.lr, "eps": s.eps, "betas": s.betas}
                for name, s in self.settings[0].items()
            ]
            self.fused = torch.optim.Adam(groups, fused=True)
        for name in self.names:
            for leaf, gradient in zip(leaves[name], tree.tree_leaves(gradients[name]), strict=True):
                leaf.grad = gradient.contiguous()  # the kernel goes through memory, not through indices
        self.fused.step()
