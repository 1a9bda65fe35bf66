"""One step of every optimizer, as a function of one parameter: `(gradient, parameter, setting) -> step`.

They are the laws of `scalerules.optimizers` in numbers. Rules that act on singular values work on the range of the
gradients, whose rank is the number of samples and not the width: a thin decomposition costs little and is exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scalerules.optimizers.law import Optimizer
from scalerules.optimizers.named import named_in
from scalerules.optimizers.named import optimizer as law_of
from scalerules.optimizers.powers import GRADIENT, atom
from scalerules.optimizers.symbolic import Facts

from . import own_steps
from .singular import flattened, kept, orthogonal, thin


@dataclass
class Setting:
    """What a step of one parameter needs: its rate, epsilon, decay, and the axes of a matrix (out, in).

    `stack` counts the first dimensions that run over blocks, each a parameter of its own; `floor` is Adafactor's eps2;
    `threshold` the global norm above which gradients are clipped; `damping` what K-FAC and SOAP add, relative to the
    largest eigenvalue.
    """

    lr: float
    eps: float = 1e-10
    weight_decay: float = 0.0
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.999)
    matrix: tuple[list[int], list[int]] | None = None
    stack: int = 0
    floor: float = 1e-3
    threshold: float | None = None
    damping: float = 1e-2
    inside: float = 0.0
    """Weight decay that LAMB adds to Adam's step before it takes the norm."""
    facts: Facts = Facts()
    radius: float = 0.0
    """The distance that a parameter is moved before its gradient is taken (SAM)."""
    read: Tensor | None = None
    """What the parameter reads, one row for each sample, for laws that ask for its covariance."""
    state: dict[str, Any] = field(default_factory=dict[str, Any])


Update = Callable[[Tensor, Tensor, Setting], Tensor]
"""(gradient, parameter, setting) -> what is taken off the parameter."""


# --- entry by entry ---------------------------------------------------------------------


def _sgd(gradient: Tensor, parameter: Tensor, setting: Setting) -> Tensor:
    return setting.lr * gradient


def _momentum(gradient: Tensor, parameter: Tensor, setting: Setting) -> Tensor:
    return setting.lr * _velocity(gradient, setting)


def _nesterov(gradient: Tensor, parameter: Tensor, setting: Setting) -> Tensor:
    return setting.lr * (gradient + setting.momentum * _velocity(gradient, setting))


def _velocity(gradient: Tensor, setting: Setting) -> Tensor:
    velocity = setting.state["velocity"] = setting.state.get("velocity", 0.0) * setting.momentum + gradient
    return velocity


def _moments(gradient: Tensor, setting: Setting) -> tuple[Tensor, Tensor]:
    """Adam's mean and root mean square, both without their bias."""
    state, (first, second) = setting.state, setting.betas
    count = state["count"] = state.get("count", 0) + 1
    mean = state["mean"] = first * state.get("mean", 0.0) + (1 - first) * gradient
    square = state["square"] = second * state.get("square", 0.0) + (1 - second) * gradient.square()
    return mean / (1 - first**count), (square / (1 - second**count)).sqrt()


def _adam(gradient: Tensor, parameter: Tensor, setting: Setting) -> Tensor:
    mean, root = _moments(gradient, setting)
    return setting.lr * mean / (root + setting.eps)


def _adam_atan2(gradient: Tensor, parameter: Tensor, setting: Setting) -> Tensor:
    return setting.lr * torch.atan2(*_moments(gradient, setting))


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


# --- relative to the parameter ---------------------------------------------------------------------


def _rms(tensor: Tensor, stack: int) -> Tensor:
    """Root mean square per block."""
    dims = list(range(stack, tensor.ndim))
    return tensor.square().mean(dims, keepdim=True).sqrt() if dims else tensor.abs()


def _adafactor(gradient: Tensor, parameter: Tensor, setting: Setting) -> Tensor:
    """Shazeer and Stern 2018, algorithm 4: factored second moment, clipped update, rate relative to the parameter."""
    state = setting.state
    count = state["count"] = state.get("count", 0) + 1
    decay, square = 1 - count**-0.8, gradient.square() + 1e-30
    out, into = setting.matrix or ([], [])
    for name, dims in (("rows", into), ("columns", out)):
        mean = square.mean(dims, keepdim=True) if dims else square
        state[name] = mean if count == 1 else decay * state[name] + (1 - decay) * mean
    rows = state["rows"]
    step = gradient * rows.rsqrt()
    if out:  # two roots, not the root of a product: that of two silent units would underflow
        step = step * rows.mean(out, keepdim=True).sqrt() * state["columns"].rsqrt()
    step = step / _rms(step, setting.stack).clamp(min=1.0)
    return setting.lr * _rms(parameter, setting.stack).clamp(min=setting.floor) * step


def _relative(step: Tensor, parameter: Tensor, setting: Setting) -> Tensor:
    """The step as large as the parameter; as it is where one of the two is zero."""
    ratio = _rms(parameter, setting.stack) / _rms(step, setting.stack)
    return setting.lr * torch.where(ratio.isfinite() & (ratio > 0), ratio, torch.ones_like(ratio)) * step


def _lamb(gradient: Tensor, parameter: Tensor, setting: Setting) -> Tensor:
    mean, root = _moments(gradient, setting)
    return _relative(mean / (root + setting.eps) + setting.inside * parameter, parameter, setting)


def _lars(gradient: Tensor, parameter: Tensor, setting: Setting) -> Tensor:
    return _relative(gradient, parameter, setting)


# --- by singular values ---------------------------------------------------------------------


def _as_matrix(tensor: Tensor, setting: Setting) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The matrices of `flattened`; a parameter that is no matrix as one column."""
    out, into = setting.matrix or (list(range(setting.stack, tensor.ndim)), [])
    return flattened(tensor, out, into)


def _muon(adjust: Callable[[float, float], float]) -> Update:
    """Muon with a rate adjusted by (fan_out, fan_in); what is no matrix moves by Adam's rule."""

    def update(gradient: Tensor, parameter: Tensor, setting: Setting) -> Tensor:
        if setting.matrix is None:
            return _adam(gradient, parameter, setting)
        out, into = (math.prod(parameter.shape[i] for i in dims) for dims in setting.matrix)
        return setting.lr * adjust(out, into) * orthogonal(_velocity(gradient, setting), *setting.matrix)

    return update


def _grown(matrix: Tensor, setting: Setting) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Eigenvectors and roots of eigenvalues of Shampoo's L and R, the sums of Gram matrices over the steps so far."""
    left, values, right = thin(matrix)
    sides: list[Tensor] = []
    for name, vectors in (("left", left), ("right", right.mT)):
        scaled = vectors * (values * kept(values))[..., None, :]
        before = setting.state.get(name)
        basis, roots, _ = thin(scaled if before is None else torch.cat([before, scaled], -1))
        count = max(1, int(kept(roots).sum(-1).max()))
        basis, roots = basis[..., :count], roots[..., :count]
        setting.state[name] = basis * roots[..., None, :]
        sides += [basis, roots]
    return sides[0], sides[1], sides[2], sides[3]


def _inverse(roots: Tensor, exponent: float) -> Tensor:
    """`eigenvalue**-exponent` of the eigenvalues that count, from their roots."""
    return torch.where(kept(roots) > 0, roots.clamp(min=1e-38) ** (-2 * exponent), torch.zeros_like(roots))


def _shampoo(left_exponent: float, right_exponent: float) -> Update:
    """L^-left G R^-right; a vector is a matrix of one column."""

    def update(gradient: Tensor, parameter: Tensor, setting: Setting) -> Tensor:
        matrix, back = _as_matrix(gradient, setting)
        left, left_roots, right, right_roots = _grown(matrix, setting)
        inner = _inverse(left_roots, left_exponent)[..., :, None] * (left.mT @ matrix @ right)
        step = left @ (inner * _inverse(right_roots, right_exponent)[..., None, :]) @ right.mT
        return setting.lr * back(step)

    return update


def _soap(gradient: Tensor, parameter: Tensor, setting: Setting) -> Tensor:
    """Adam in the eigenbasis of Shampoo's factors, which is recomputed at every step; all past gradients are turned."""
    if setting.matrix is None:
        return _adam(gradient, parameter, setting)
    matrix, back = flattened(gradient, *setting.matrix)
    left, _, right, _ = _grown(matrix, setting)
    past = setting.state.setdefault("past", [])
    past.append(matrix)
    turned = [left.mT @ old @ right for old in past]
    first, second = ([b ** (len(past) - 1 - i) for i in range(len(past))] for b in setting.betas)
    mean = sum((w * g for w, g in zip(first, turned, strict=True)), torch.zeros_like(turned[0])) / sum(first)
    square = sum((w * g.square() for w, g in zip(second, turned, strict=True)), torch.zeros_like(mean)) / sum(second)
    eps = setting.damping * square.sqrt().amax((-2, -1), keepdim=True)
    return setting.lr * back(left @ (mean / (square.sqrt() + eps + 1e-38)) @ right.mT)


def _kfac(gradient: Tensor, parameter: Tensor, setting: Setting) -> Tensor:
    """B^-1 G A^-1 of one batch, damped.

    With G = D^T X (a row per sample), A = X^T X and B = D^T D it is the transposed pseudo-inverse of G where the
    samples are linearly independent, as they are behind wide layers; so G alone says what it is.
    """
    matrix, back = _as_matrix(gradient, setting)
    left, values, right = thin(matrix)
    inverse = kept(values) * values / (values.square() + setting.damping * values[..., :1].square() + 1e-38)
    return setting.lr * back((left * inverse[..., None, :]) @ right)


OPTIMIZERS: dict[str, Update] = {
    "sgd": _sgd,
    "momentum": _momentum,
    "nesterov": _nesterov,
    "adam": _adam,
    "adamw": _adam,
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
    "adam-atan2": _adam_atan2,
    "sign": _sign,
    "learned": _sign,
    "lion": _lion,
    "adafactor": _adafactor,
    "lamb": _lamb,
    "lars": _lars,
    "muon": _muon(lambda out, into: 1.0),
    "muon-spectral": _muon(lambda out, into: math.sqrt(out / into)),
    "muon-original": _muon(lambda out, into: math.sqrt(max(1.0, out / into))),
    "muon-match-rms": _muon(lambda out, into: math.sqrt(max(out, into))),
    "shampoo": _shampoo(0.25, 0.25),
    "soap": _soap,
    "kfac": _kfac,
}
"""What one step takes off a parameter, by the optimizer's name."""


@dataclass(frozen=True)
class Steps:
    """The steps of an optimizer with the options of the question: how decay enters, and clipping."""

    update: Update
    law: Optimizer

    def __call__(self, gradient: Tensor, parameter: Tensor, setting: Setting, share: float | Tensor = 1.0) -> Tensor:
        """What is taken off the parameter, decay included; clipping leaves `share` of the gradient."""
        decay, wd = self.law.decay, setting.weight_decay
        if not self.law.sides:
            gradient, share = gradient * share, 1.0
        if wd and decay == "coupled":
            if self.law.matrix.decayed != atom(GRADIENT):
                setting.inside = wd
                return self.update(gradient, parameter, setting)
            return self.update(gradient + wd * parameter, parameter, setting)
        taken = self.update(gradient, parameter, setting) * share  # K-FAC's factors are of gradients before clipping
        return taken + (setting.lr * wd if decay == "decoupled" else wd) * parameter if wd else taken


def trainable(name: str) -> None:
    """Raises `ScaleRulesError` where what a solution names cannot be trained with: a law that holds no step."""
    named_in(name)
    optimizer(name)


def optimizer(name: str) -> Steps:
    """The optimizer of that name, options in brackets; one that has no step here steps by its formula.

    Raises `UnknownName`, and `ScaleRulesError` for a user's file without a step.
    """
    law = law_of(name)
    if law.exponents is not None:
        return Steps(_shampoo(*(float(e) for e in law.exponents)), law)
    base = name.partition("(")[0].strip()
    return Steps(OPTIMIZERS[base] if base in OPTIMIZERS else own_steps.update(law), law)
