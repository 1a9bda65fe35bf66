"""The step of a law that a user wrote: a function `step`, a class of torch's, or the formula itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from scalerules.errors import ScaleRulesError
from scalerules.optimizers import own
from scalerules.optimizers.form import arity
from scalerules.optimizers.law import Optimizer
from scalerules.optimizers.symbolic import Place

from .formula import Memory, direction, place
from .singular import flattened

STEP = "step"
ARGUMENTS = ("g", "w", "p", "state")
Direction = Callable[[Tensor, Tensor, Place, dict[str, Any], Any], Tensor]
"""(gradient, parameter, place, state, setting) -> what the rate multiplies."""


def update(law: Optimizer) -> Callable[[Tensor, Tensor, Any], Tensor]:
    """The step of a law: `(gradient, parameter, setting) -> what is taken off`. Raises `ScaleRulesError` for none."""
    inner = _direction(law)

    def taken(gradient: Tensor, parameter: Tensor, setting: Any) -> Tensor:
        blocks = gradient.unbind(0) if setting.stack else [gradient]
        olds = parameter.unbind(0) if setting.stack else [parameter]
        states = setting.state.setdefault("blocks", [{} for _ in blocks])
        directions = [_one(inner, setting, *three) for three in zip(blocks, olds, states, strict=True)]
        return setting.lr * (torch.stack(directions) if setting.stack else directions[0])

    return taken


def perturbed(law: Optimizer, gradient: Tensor, parameter: Tensor, setting: Any) -> Tensor:
    """A parameter where its gradient is taken: moved uphill by its radius."""
    blocks = gradient.unbind(0) if setting.stack else [gradient]
    olds = parameter.unbind(0) if setting.stack else [parameter]
    inner = _formula(law.perturbation)
    directions = [_one(inner, setting, g, w, {}) for g, w in zip(blocks, olds, strict=True)]
    return parameter + setting.radius * (torch.stack(directions) if setting.stack else directions[0])


def _one(inner: Direction, setting: Any, gradient: Tensor, parameter: Tensor, state: dict[str, Any]) -> Tensor:
    """The direction of one block: matrices as (fan-out x fan-in), one by one."""
    if not setting.facts.matrix or setting.matrix is None:
        return inner(gradient, parameter, place(setting.facts, tuple(gradient.shape)), state, setting)
    out, into = ([i - setting.stack for i in side] for side in setting.matrix)
    g, back = flattened(gradient, out, into)
    w, _ = flattened(parameter, out, into)
    many, rest = g.shape[:-2], g.shape[-2:]
    here = place(setting.facts, tuple(rest))
    pairs = list(zip(g.reshape(-1, *rest), w.reshape(-1, *rest), strict=True))
    directions = [inner(one, old, here, state.setdefault(str(i), {}), setting) for i, (one, old) in enumerate(pairs)]
    return back(torch.stack(directions).reshape(*many, *rest))


def _direction(law: Optimizer) -> Direction:
    if law.file is None:
        return _formula(law.formula)
    written = _written(law)
    if written is None:
        hint = "a function step(g, w, p, state), a class of torch.optim.Optimizer, or `step = law`"
        raise ScaleRulesError("holds no step, so training by it cannot be measured", file=law.file, hint=hint)
    if inspect.isclass(written):
        return _of_class(written, law.file)
    if written is law.original:
        return _formula(law.formula)
    return _of_function(written, law.file)


def _written(law: Optimizer) -> Any:
    if law.name.partition("(")[0] in own.STEPS:
        return own.STEPS[law.name.partition("(")[0]]
    return vars(own.module(str(law.file))).get(STEP) or own.torch_class(law)


def _formula(law: Any) -> Direction:
    def inner(g: Tensor, w: Tensor, p: Place, state: dict[str, Any], setting: Any) -> Tensor:
        memory = state.setdefault("memory", Memory(setting.eps, setting.damping))
        memory.read = setting.read
        count = arity(law)
        return direction(lambda *three: law(*three[:count]), g, w, p, memory)

    return inner


def _of_function(step: Any, file: str) -> Direction:
    count = len(inspect.signature(step).parameters) if callable(step) else 0
    if not 1 <= count <= len(ARGUMENTS):
        hint = f"step({', '.join(ARGUMENTS)}), from the first of them on"
        raise ScaleRulesError(f"step() takes {count} arguments", file=file, hint=hint)

    def inner(g: Tensor, w: Tensor, p: Place, state: dict[str, Any], setting: Any) -> Tensor:
        try:
            taken = step(*(g, w, p, state)[:count])
        except Exception as error:
            raise own.told(error, file) from error
        if not isinstance(taken, Tensor) or taken.shape != g.shape:
            got = f"a tensor {list(taken.shape)}" if isinstance(taken, Tensor) else f"a {type(taken).__qualname__}"
            text = f"step() returns {got}, not a tensor {list(g.shape)} like the gradient"
            raise ScaleRulesError(text, file=file, line=step.__code__.co_firstlineno)
        return taken

    return inner


def _of_class(kind: Any, file: str) -> Direction:
    def inner(g: Tensor, w: Tensor, p: Place, state: dict[str, Any], setting: Any) -> Tensor:
        try:
            if "optimizer" not in state:
                state["parameter"] = torch.nn.Parameter(w.detach().clone().double())
                options = {"lr": 1.0, "weight_decay": 0.0, "eps": setting.eps}
                taken = inspect.signature(kind).parameters
                state["optimizer"] = kind([state["parameter"]], **{k: v for k, v in options.items() if k in taken})
            parameter = state["parameter"]
            with torch.no_grad():
                parameter.copy_(w)
            parameter.grad = g.detach().to(parameter.dtype)
            state["optimizer"].step()
        except Exception as error:
            raise own.told(error, file) from error
        return (w.to(parameter.dtype) - parameter.detach()).to(w.dtype)

    return inner
