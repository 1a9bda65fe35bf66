"""Trains a graph for a few steps and measures every size on the way: values, gradients, changes, own contributions.

Optimizers are functions of one parameter, `(gradient, state, setting) -> step`, with one learning rate per parameter;
they are those of the calculus (`scalerules.optimizers`), entrywise sign-like, spectral or plain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scalerules.errors import UnknownName
from scalerules.graph import Graph

from . import natural
from .interpret import Data, Program, Run

Key = tuple[str, str, int, str | None]
"""What was measured: (quantity, node, step, parameter for an own contribution)."""

NOISE = 2e-6
"""Differences below this part of the value are rounding in float32 and count as zero."""


@dataclass
class Setting:
    """What a step of one parameter needs: its rate, epsilon, decay, and the axes of a matrix (out, in)."""

    lr: float
    eps: float = 1e-10
    weight_decay: float = 0.0
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.999)
    matrix: tuple[list[int], list[int]] | None = None
    state: dict[str, Any] = field(default_factory=dict[str, Any])


Update = Callable[[Tensor, Tensor, Setting], Tensor]
"""(gradient, parameter, setting) -> what is taken off the parameter."""


def _sgd(gradient: Tensor, parameter: Tensor, setting: Setting) -> Tensor:
    return setting.lr * gradient


def _momentum(gradient: Tensor, parameter: Tensor, setting: Setting) -> Tensor:
    velocity = setting.state.get("velocity", 0.0) * setting.momentum + gradient
    setting.state["velocity"] = velocity
    return setting.lr * velocity


def _adam(gradient: Tensor, parameter: Tensor, setting: Setting) -> Tensor:
    state, (first, second) = setting.state, setting.betas
    count = state["count"] = state.get("count", 0) + 1
    mean = state["mean"] = first * state.get("mean", 0.0) + (1 - first) * gradient
    square = state["square"] = second * state.get("square", 0.0) + (1 - second) * gradient.square()
    root = (square / (1 - second**count)).sqrt() + setting.eps
    return setting.lr * mean / (1 - first**count) / root


def _rmsprop(gradient: Tensor, parameter: Tensor, setting: Setting) -> Tensor:
    square = setting.state["square"] = 0.99 * setting.state.get("square", gradient.square()) + 0.01 * gradient.square()
    return setting.lr * gradient / (square.sqrt() + setting.eps)


def _adagrad(gradient: Tensor, parameter: Tensor, setting: Setting) -> Tensor:
    total = setting.state["total"] = setting.state.get("total", 0.0) + gradient.square()
    return setting.lr * gradient / (total.sqrt() + setting.eps)


def _sign(gradient: Tensor, parameter: Tensor, setting: Setting) -> Tensor:
    return setting.lr * gradient.sign()


def _lion(gradient: Tensor, parameter: Tensor, setting: Setting) -> Tensor:
    mean = setting.state.get("mean", 0.0)
    setting.state["mean"] = 0.99 * mean + 0.01 * gradient
    return setting.lr * (0.9 * mean + 0.1 * gradient).sign()


def _muon(adjust: Callable[[float, float], float]) -> Update:
    """Muon with a rate adjusted by (fan_out, fan_in); what is no matrix moves by Adam's rule."""

    def update(gradient: Tensor, parameter: Tensor, setting: Setting) -> Tensor:
        if setting.matrix is None:
            return _adam(gradient, parameter, setting)
        velocity = setting.state["velocity"] = setting.state.get("velocity", 0.0) * setting.momentum + gradient
        out, into = (math.prod(parameter.shape[i] for i in dims) for dims in setting.matrix)
        return setting.lr * adjust(out, into) * orthogonal(velocity, *setting.matrix)

    return update


def orthogonal(tensor: Tensor, out: list[int], into: list[int]) -> Tensor:
    """The nearest semi-orthogonal matrix (out x in, flattened from these dimensions; the others are a batch).

    Directions below 1e-5 of the largest singular value are left out: they are rounding, not gradient.
    """
    batch = [i for i in range(tensor.ndim) if i not in (*out, *into)]
    moved = tensor.permute(*batch, *out, *into)
    matrix = moved.flatten(len(batch) + len(out)).flatten(len(batch), len(batch) + len(out) - 1)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    kept = (values > 1e-5 * values[..., :1]).to(matrix.dtype)
    whole = (left * kept[..., None, :]) @ right
    back = torch.tensor([*batch, *out, *into]).argsort().tolist()
    return whole.reshape(moved.shape).permute(back)


OPTIMIZERS: dict[str, Update] = {
    "sgd": _sgd,
    "momentum": _momentum,
    "adam": _adam,
    "adamw": _adam,
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
    "sign": _sign,
    "lion": _lion,
    "muon": _muon(lambda out, into: 1.0),
    "muon-spectral": _muon(lambda out, into: math.sqrt(out / into)),
    "muon-original": _muon(lambda out, into: math.sqrt(max(1.0, out / into))),
    "muon-match-rms": _muon(lambda out, into: math.sqrt(max(out, into))),
}
"""What one step takes off a parameter, by the optimizer's name; weight decay is decoupled, for all of them."""


@dataclass(frozen=True)
class Trial:
    """One training run to measure: the base learning rate, how long, and with what."""

    lr: float
    steps: int = 3
    seed: int = 0
    optimizer: str | None = None
    weight_decay: float = 0.0
    eps: float = 1e-10
    dtype: str = "float32"


@dataclass(frozen=True)
class Measurement:
    """Root mean squares by key, and the loss before every step and after the last."""

    rms: dict[Key, float]
    losses: list[float]


def settings(program: Program, trial: Trial) -> dict[str, Setting]:
    """A setting per trained parameter: the base rate, epsilon and decay times the solution's factors."""
    result: dict[str, Setting] = {}
    for name, parameter in program.graph.parameters.items():
        rule = program.solution.parameters.get(name)
        if parameter.trained and rule is not None:
            lr, eps, wd = (e.factor(program.ratios) if e is not None else 1.0 for e in (rule.lr, rule.eps, rule.wd))
            result[name] = Setting(
                trial.lr * lr, trial.eps * eps, trial.weight_decay * wd, matrix=_matrix(program.graph, name)
            )
    return result


def _matrix(graph: Graph, name: str) -> tuple[list[int], list[int]] | None:
    """The dimensions (out, in) of a parameter that the first einsum to read it sums over, and that it alone brings."""
    nodes, stack = dict(graph.walk()), int(bool(graph.repeat_of(name)))
    for use in natural.uses(graph, name):
        node = nodes[use.node]
        operands, result = node.labels()
        at = len(node.inputs) + node.parameters.index(name)
        elsewhere = {label for i, part in enumerate(operands) if i != at for label in part}
        labels = list(enumerate(operands[at], stack))
        into = [i for i, label in labels if label not in result]
        out = [i for i, label in labels if label in result and label not in elsewhere]
        return (out, into) if into and out else None
    return None


def step(parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor], chosen: Mapping[str, Setting],
         update: Update) -> dict[str, Tensor]:  # fmt: skip
    """The parameters after one step."""
    after = dict(parameters)
    for name, gradient in gradients.items():
        old, setting = parameters[name].detach(), chosen[name]
        decayed = old * (1 - setting.lr * setting.weight_decay) if setting.weight_decay else old
        after[name] = decayed - update(gradient, old, setting)
    return after


def optimizer(name: str) -> Update:
    """The optimizer of that name. Raises `UnknownName`."""
    if name not in OPTIMIZERS:
        raise UnknownName("optimizer to train with", name, OPTIMIZERS)
    return OPTIMIZERS[name]


def gradients(program: Program, parameters: Mapping[str, Tensor], data: Data,
              names: Collection[str], look: bool = True) -> tuple[Run, float, dict[str, Tensor]]:  # fmt: skip
    """A forward and a backward pass: (run, loss, gradient per name); zeros where the loss does not depend on it."""
    leaves = {name: value.detach().requires_grad_(name in names) for name, value in parameters.items()}
    run = program.forward(leaves, data, look=look)
    loss = program.loss(run, data)
    found = torch.autograd.grad(loss, [leaves[name] for name in names], allow_unused=True)
    zipped = zip(names, found, strict=True)
    return run, float(loss.detach()), {n: torch.zeros_like(leaves[n]) if g is None else g for n, g in zipped}


def losses(program: Program, trial: Trial) -> list[float]:
    """The loss before every step and after the last; stops early where it is not finite."""
    return _train(program, trial, lambda *_: None)


def measure(program: Program, trial: Trial, own: Collection[tuple[str, str]] | None = None) -> Measurement:
    """Trains for `trial.steps` steps and returns every size on the way.

    `own` lists the (node, parameter) pairs whose contribution is wanted; by default every trained parameter at
    every node that reads it.
    """
    if own is None:
        trained = [name for name, parameter in program.graph.parameters.items() if parameter.trained]
        own = [(node, name) for name in trained for node in program.readers(name)]
    rms: dict[Key, float] = {}
    first: dict[str, Tensor] = {}
    start: dict[str, Tensor] = {}

    def look(count: int, run: Run, data: Data, grads: Mapping[str, Tensor] | None) -> None:
        values = run.all_values()
        if count == 0:
            first.update(values)
            start.update({name: value.detach() for name, value in run.parameters.items()})
            rms.update({("value", name, 0, None): root_mean_square(value) for name, value in values.items()})
        else:
            for name, value in values.items():
                rms["change", name, count, None] = difference(value - first[name], value)
            for node, parameter in (pair for pair in own if pair[0] in values):
                part = program.own(run, data, start, parameter, node)
                rms["own", node, count, parameter] = difference(part, values[node])
        for name, gradient in (grads or {}).items():
            rms["gradient", name, count + 1, None] = root_mean_square(gradient)

    history = _train(program, trial, look)
    for count in range(2, trial.steps + 1):  # steps that were not reached, because training diverged
        for quantity, node, _, parameter in [key for key in rms if key[2] == 1]:
            rms.setdefault((quantity, node, count, parameter), math.nan)
    return Measurement(rms, history)


def _train(program: Program, trial: Trial, look: Callable[..., None]) -> list[float]:
    data, parameters = program.data(trial.seed), program.initial(trial.seed)
    chosen, update = settings(program, trial), optimizer(trial.optimizer or program.solution.optimizer)
    history: list[float] = []
    for count in range(trial.steps):
        run, loss, grads = gradients(program, parameters, data, list(chosen))
        history.append(loss)
        with torch.no_grad():
            look(count, run, data, grads)
            parameters = step(parameters, grads, chosen, update)
        if not math.isfinite(loss):
            return history
    with torch.no_grad():
        run = program.forward(parameters, data)
        look(trial.steps, run, data, None)
        history.append(float(program.loss(run, data)))
    return history


def root_mean_square(tensor: Tensor) -> float:
    """Root mean square of the entries."""
    flat = tensor.detach().reshape(-1)
    return float(torch.linalg.vector_norm(flat)) / math.sqrt(max(1, flat.numel()))


def difference(change: Tensor, value: Tensor) -> float:
    """Root mean square of a difference; 0 where it is no more than the rounding of the value."""
    size = root_mean_square(change)
    noise = NOISE if value.dtype == torch.float32 else 1e-14
    return size if size > noise * root_mean_square(value) else 0.0


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: small products lose by more, and runs stand side by side anyway."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
