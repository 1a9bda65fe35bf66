"""Trains a graph for a few steps and measures every size on the way: values, gradients, changes, own contributions.

Optimizers are in `optimizer_steps.py`, functions of one parameter with one learning rate per parameter; they are those
of the calculus (`scalerules.optimizers`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from scalerules.architecture.ends import first, last
from scalerules.architecture.graph import Graph
from scalerules.architecture.uses import matrix, uses
from scalerules.errors import ScaleRulesError
from scalerules.measurement.verification.judge import Key
from scalerules.optimizers.law import RADIUS
from scalerules.optimizers.symbolic import Facts

from .abstract_program import AbstractProgram, Data
from .optimizer_steps import OPTIMIZERS, Setting, Steps, optimizer, orthogonal
from .own_steps import perturbed
from .reads import read_by
from .refusals import Diverged, reason, told

__all__ = ["OPTIMIZERS", "Measurement", "Setting", "Trial", "Watched", "gradients", "losses", "measure", "optimizer",
           "orthogonal", "settings", "step"]  # fmt: skip


NOISE = 2e-6
"""Differences below this part of the value are rounding in float32 and count as zero."""
FINE = 0.05
"""The part of it for what was made of the difference of a parameter: only the rounding of its entries is left."""
ROUNDING = 1e-4
"""A gradient whose part this is in double precision of what it is in single is rounding."""
OTHER = 7919
"""What is added to a seed for other inputs."""
GENERIC = 0.1
"""The part of its size by which each entry of a parameter is moved to look at a point where nothing is special."""


@dataclass(frozen=True)
class Trial:
    """One training run to measure: the base learning rate, how long, and with what."""

    lr: float
    steps: int = 3
    seed: int = 0
    optimizer: str | None = None
    weight_decay: float = 0.0
    eps: float = 1e-10
    radius: float = 0.05
    dtype: str = "float32"


@dataclass(frozen=True)
class Watched:
    """What is measured after the last step without asking what was derived.

    `frozen`: by parameter the nodes at which it is seen what changes where the parameter is put back to its initial
    value; `data`: the nodes at which it is seen what changes with other inputs.
    """

    frozen: Mapping[str, Collection[str]]
    data: Collection[str]


@dataclass(frozen=True)
class Measurement:
    """Root mean squares by key, and the loss before every step and after the last."""

    rms: dict[Key, float]
    losses: list[float]


def settings(program: AbstractProgram, trial: Trial) -> dict[str, Setting]:
    """A setting per trained parameter: the base rate, epsilon and decay times the solution's factors."""
    threshold = _threshold(program, trial)
    begins, ends = first(program.graph), last(program.graph)
    result: dict[str, Setting] = {}
    for name, parameter in program.graph.parameters.items():
        rule = program.solution.parameters.get(name)
        if parameter.trained and rule is not None:
            radius = rule.dampings.get(RADIUS)
            lr, eps, wd = (e.change(program.ratios) if e is not None else 1.0 for e in (rule.lr, rule.eps, rule.wd))
            result[name] = Setting(
                trial.lr * lr, trial.eps * eps, trial.weight_decay * wd, matrix=_matrix(program.graph, name),
                stack=int(bool(program.graph.repeat_of(name))), threshold=threshold,
                facts=Facts(name, matrix(program.graph, name) is not None, name in begins, name in ends),
                radius=trial.radius * radius.change(program.ratios) if radius is not None else 0.0,
            )  # fmt: skip
    return result


def _threshold(program: AbstractProgram, trial: Trial) -> float | None:
    """The global norm above which gradients are clipped: half of the first one at the base size, so that it acts there.

    Where it is to grow with the norm it is half of the first one at this size.
    """
    clip = optimizer(trial.optimizer or program.solution.optimizer).law.clip
    if clip is None:
        return None
    reference = program if clip == "scaled" else replace(program, sizes=program.base)
    names = [name for name, parameter in program.graph.parameters.items() if parameter.trained]
    grads = gradients(reference, reference.initial(trial.seed), reference.data(trial.seed), names, look=False)[2]
    return 0.5 * math.sqrt(sum(float(gradient.square().sum()) for gradient in grads.values()))


def _matrix(graph: Graph, name: str) -> tuple[list[int], list[int]] | None:
    """The dimensions (out, in) of a parameter that the first product that uses it as a matrix brings, and sums over."""
    nodes, stack = dict(graph.walk()), int(bool(graph.repeat_of(name)))
    for use in uses(graph, name, through_weights=True):
        node = nodes[use.node]
        if name not in node.parameters:  # what no einsum reads itself, one reads through a weight
            into, out = ([i + stack for i in side] for side in (use.summed, use.brought))
        else:
            operands, result = node.labels()
            place = len(node.inputs) + node.parameters.index(name)
            elsewhere = {label for i, part in enumerate(operands) if i != place for label in part}
            labels = list(enumerate(operands[place], stack))
            into = [i for i, label in labels if label not in result]
            out = [i for i, label in labels if label in result and label not in elsewhere]
        if into and out:
            return out, into
    return None


def step(parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor], chosen: Mapping[str, Setting],
         update: Steps, reads: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:  # fmt: skip
    """The parameters after one step; `reads` is what they read, where the law asks for it."""
    after, share = dict(parameters), _clipping(gradients, chosen) if update.law.clip else 1.0
    for name, gradient in gradients.items():
        old, chosen[name].read = parameters[name].detach(), (reads or {}).get(name)
        after[name] = old - update(gradient, old, chosen[name], share)
    return after


def _clipping(gradients: Mapping[str, Tensor], chosen: Mapping[str, Setting]) -> float | Tensor:
    """What all gradients are multiplied with so that their norm together is at most the threshold."""
    threshold = next((setting.threshold for setting in chosen.values()), None)
    if threshold is None:
        return 1.0
    norm = torch.stack([gradient.square().sum() for gradient in gradients.values()]).sum().sqrt()
    return (threshold / norm).clamp(max=1.0)


def gradients(program: AbstractProgram, parameters: Mapping[str, Tensor], data: Data,
              names: Collection[str], look: bool = True) -> tuple[Any, float, dict[str, Tensor]]:  # fmt: skip
    """(Forward pass, its loss, gradient per name); zeros where the loss does not depend on a parameter."""
    leaves = {name: value.detach().requires_grad_(name in names) for name, value in parameters.items()}
    forward = program.forward(leaves, data, look=look)
    loss = program.loss(forward, data)
    try:
        derivatives = torch.autograd.grad(loss, [leaves[name] for name in names], allow_unused=True)
    except RuntimeError as error:  # of an operator or a primitive that has no derivative
        said, where = f"cannot be trained: {reason(error)}", f"graph {program.graph.name!r}"
        mistake = ScaleRulesError(said, where=where, hint="write it with other operations")
        raise told(error, mistake) from error
    zipped = zip(names, derivatives, strict=True)
    return forward, float(loss.detach()), {n: torch.zeros_like(leaves[n]) if g is None else g for n, g in zipped}


def pull(program: AbstractProgram, outputs: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """The norm of the gradient of the loss at the outputs."""
    grads = torch.func.grad(program.loss_of)([output.detach() for output in outputs], targets)
    return torch.stack([gradient.square().sum() for gradient in grads]).sum().sqrt()


def remaining(now: Tensor, first: Tensor) -> Tensor:
    """The part of the outputs' gradient that is left, at most 1: all other gradients are proportional to it.

    A wide network may have learned most of its few inputs within a step or two; what its gradients then lack says
    nothing about how they scale.
    """
    return (now / first).clamp(1e-30, 1.0)


def losses(program: AbstractProgram, trial: Trial) -> list[float]:
    """The loss before every step and after the last; stops early where it is not finite."""
    return _train(program, trial, lambda *_: None)


def other_data(program: AbstractProgram, seed: int, data: Data) -> Data:
    """The same targets behind other inputs: drawn anew, or, where they are given, in another order."""
    drawn = program.data(seed + OTHER).inputs
    return Data({n: reordered(x) if torch.equal(x, data.inputs[n]) else x for n, x in drawn.items()}, data.targets)


def reordered(given: Tensor) -> Tensor:
    """The rows of an input in the reverse order, or all entries, where the rows are alike."""
    rows = given.flip(0)
    return given.flip(*range(given.ndim)) if torch.equal(rows, given) else rows


def measure(program: AbstractProgram, trial: Trial, own: Collection[tuple[str, str]] | None = None,
            watched: Watched | None = None) -> Measurement:  # fmt: skip
    """Trains for `trial.steps` steps and returns every size; "pull" is what is left of the outputs' gradient.

    `own` lists the (node, parameter) pairs whose contribution is wanted; by default every trained parameter at
    every node that reads it.
    """
    if own is None:
        trained = [name for name, parameter in program.graph.parameters.items() if parameter.trained]
        own = [(node, name) for name in trained for node in program.readers(name)]
    rms: dict[Key, float] = {}
    first: dict[str, Tensor] = {}
    start: dict[str, Tensor] = {}
    pulls: list[float] = []

    def look(count: int, forward: Any, data: Data, grads: Mapping[str, Tensor] | None) -> None:
        values = forward.all_values()
        if count == 0:
            first.update(values)
            start.update({name: value.detach() for name, value in forward.parameters.items()})
            rms.update({("value", name, 0, None): root_mean_square(value) for name, value in values.items()})
        else:
            for name, value in values.items():
                if name not in program.chosen:
                    rms["change", name, count, None] = difference(value - first[name], value)
            for node, parameter in (pair for pair in own if pair[0] in values):
                part = program.own(forward, start, parameter, node)
                noise = FINE if program.linear(node, parameter) else 1.0
                rms["own", node, count, parameter] = difference(part, values[node], noise)
        if watched is not None and count == trial.steps:
            rms.update(_watched(program, trial, watched, forward, data, start))
        if grads is not None:
            with torch.enable_grad():
                pulls.append(float(pull(program, program.outputs(forward), data.targets)))
            rms["pull", "", count + 1, None] = float(remaining(torch.tensor(pulls[-1]), torch.tensor(pulls[0])))
            rms.update({("gradient", n, count + 1, None): root_mean_square(g) for n, g in grads.items()})

    history = _train(program, trial, look)
    for count in range(2, trial.steps + 1):  # steps that were not reached, because training diverged
        for quantity, node, _, parameter in [key for key in rms if key[2] == 1]:
            rms.setdefault((quantity, node, count, parameter), math.nan)
    return Measurement(rms, history)


def _watched(program: AbstractProgram, trial: Trial, watched: Watched, forward: Any, data: Data,
             start: Mapping[str, Tensor]) -> dict[Key, float]:  # fmt: skip
    """What each parameter contributes, and what the inputs do, where it is watched."""
    values = {name: value for name, value in forward.all_values().items() if name not in program.chosen}
    norms = dict[Key, float]()
    for name, nodes in watched.frozen.items():
        without = program.forward({**forward.parameters, name: start[name]}, data, look=False).all_values()
        for node in nodes:
            if node in values:
                norms["counts", node, trial.steps, name] = difference(values[node] - without[node], values[node])
    others = program.forward(forward.parameters, other_data(program, trial.seed, data), look=False).all_values()
    for node in watched.data:
        if node in values:
            norms["data", node, trial.steps, None] = difference(values[node] - others[node], values[node])
    return norms


def _train(program: AbstractProgram, trial: Trial, look: Callable[..., None]) -> list[float]:
    """The losses; the last is not a number where training diverged so far that the module cannot be run."""
    history: list[float] = []
    try:
        _steps(program, trial, look, history)
    except Diverged:
        history.append(math.nan)
    return history


def _steps(program: AbstractProgram, trial: Trial, look: Callable[..., None], history: list[float]) -> None:
    """Trains, and adds the losses to `history`. Raises `Diverged`."""
    data, parameters = program.data(trial.seed), program.initial(trial.seed)
    chosen, update = settings(program, trial), optimizer(trial.optimizer or program.solution.optimizer)
    for count in range(trial.steps):
        forward, loss, grads = gradients(program, parameters, data, list(chosen))
        history.append(loss)
        with torch.no_grad():
            look(count, forward, data, grads)
            taken = _uphill(program, parameters, grads, chosen, update, data)
            reads = read_by(program, forward.values, chosen) if update.law.sides else None
            parameters = step(parameters, taken, chosen, update, reads)
        if not math.isfinite(loss):
            return
    with torch.no_grad():
        forward = program.forward(parameters, data)
        look(trial.steps, forward, data, None)
        history.append(float(program.loss(forward, data)))


def _uphill(program: AbstractProgram, parameters: Mapping[str, Tensor], grads: dict[str, Tensor],
            chosen: Mapping[str, Setting], update: Steps, data: Data) -> dict[str, Tensor]:  # fmt: skip
    """The gradients that the step takes: those where the law's perturbation leads to, if it has one."""
    if update.law.perturbation is None:
        return grads
    moved = {n: perturbed(update.law, g, parameters[n].detach(), chosen[n]) for n, g in grads.items()}
    with torch.enable_grad():
        return gradients(program, {**parameters, **moved}, data, list(chosen), look=False)[2]


def root_mean_square(tensor: Tensor) -> float:
    """Root mean square of the entries."""
    flat = tensor.detach().reshape(-1)
    return float(torch.linalg.vector_norm(flat)) / math.sqrt(max(1, flat.numel()))


def difference(change: Tensor, value: Tensor, part: float = 1.0) -> float:
    """Root mean square of a difference; 0 where it is no more than (this part of) the rounding of the value."""
    size = root_mean_square(change)
    noise = part * (NOISE if value.dtype == torch.float32 else 1e-14)
    return size if size > noise * root_mean_square(value) else 0.0


def silent(program: AbstractProgram, seed: int = 0) -> list[str]:
    """The trained parameters that nothing depends on: their gradient is rounding, and far smaller in double precision.

    A bias in front of a norm that subtracts the mean, that of the keys of attention. Which ones they are is seen at any
    point; at the start other gradients may vanish as well.
    """
    names = [name for name in program.solution.parameters if program.graph.parameters[name].trained]
    generator, moved = torch.Generator().manual_seed(seed), dict[str, Tensor]()
    for name, value in program.initial(seed).items():
        noise = torch.randn(value.shape, generator=generator, dtype=value.dtype)
        moved[name] = value + noise * GENERIC * (root_mean_square(value) or GENERIC)
    data, double = program.data(seed), replace(program, dtype=torch.float64)
    sizes: list[dict[str, float]] = []
    for variant, dtype in ((program, torch.float32), (double, torch.float64)):
        here = {name: value.to(dtype) for name, value in moved.items()}
        inputs = {name: x.to(dtype) if x.is_floating_point() else x for name, x in data.inputs.items()}
        seen = Data(inputs, [target.to(dtype) for target in data.targets])
        grads = gradients(variant, here, seen, names, look=False)[2]
        sizes.append({name: root_mean_square(gradient) for name, gradient in grads.items()})
    single, fine = sizes
    return [name for name in names if fine[name] < ROUNDING * single[name] or (fine[name] > 0 == single[name])]


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: small products lose by more, and runs stand side by side anyway."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
