"""Gauges: a constant factor can stand in front of a parameter or in its initial size and rate; nothing else changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from scalerules.errors import UnknownName
from scalerules.sizes.exponents import Exponents
from scalerules.solution.rule import Rule


@dataclass(frozen=True)
class Shape:
    """A parameter's kind: whether its entries are random at first, and its growing axes (the growth of the longest).

    `rate`: by how much its rate grows with its multiplier.
    """

    random: bool
    growing: int
    longest: Exponents
    rate: Fraction = Fraction(-1)


@dataclass(frozen=True)
class Gauge:
    """A choice of multipliers: `shift` says by how much the multiplier of a parameter grows and its std falls."""

    name: str
    reason: str
    source: str
    shift: Callable[[Rule, Shape], Exponents | None]


def _nothing(rule: Rule, shape: Shape) -> Exponents | None:
    return None


def _whole(rule: Rule, shape: Shape) -> Exponents | None:
    return rule.init


def _of_vectors(rule: Rule, shape: Shape) -> Exponents | None:
    return rule.init if shape.growing < 2 else None


def _balanced(rule: Rule, shape: Shape) -> Exponents | None:
    return rule.init.plus(shape.longest, Fraction(1, 2))


def _one_rate(rule: Rule, shape: Shape) -> Exponents | None:
    return rule.lr.plus(rule.lr, -1 - 1 / shape.rate) if shape.rate else None


GAUGES: dict[str, Gauge] = {
    gauge.name: gauge
    for gauge in [
        Gauge("plain", "No multipliers: init and lr carry everything.", "Tensor Programs V, table 3", _nothing),
        Gauge("table8", "Parameters with fewer than two growing axes start at std 1, multipliers make up for it.",
              "Tensor Programs V, table 8", _of_vectors),
        Gauge("table9", "Every std is one over the root of the longest growing axis.", "Tensor Programs V, table 9",
              _balanced),
        Gauge("ntk", "Every std is 1, multipliers carry the rest.", "Jacot et al. 2018, arXiv 1806.07572", _whole),
        Gauge("unit", "Every std is 1 and constant factors give every operation unit variance.",
              "u-muP, arXiv 2407.17465", _whole),
        Gauge("one-rate", "Multipliers make all rates of random parameters the same; of rules relative to them none can.",  # noqa: E501
              "Yang and Hu 2021, arXiv 2011.14522 (abc, c = 0)", _one_rate),
    ]
}  # fmt: skip


def gauge(name: str) -> Gauge:
    """The gauge called `name`. Raises `UnknownName` with the nearest one."""
    if not isinstance(name, str) or name not in GAUGES:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UnknownName("gauge", name, GAUGES)
    return GAUGES[name]


def regauged(
    rule: Rule, shape: Shape, chosen: Gauge, lr: Fraction, wd: Fraction, dampings: Mapping[str, Fraction]
) -> Rule:
    """The rule in a gauge: mult + t, init - t, and lr - 2t (SGD), or lr - t and eps + t (Adam-like).

    In general the gradient grows by t and the parameter falls by it: `lr`, `wd` and `dampings` are by how much each
    grows per t. LAMB's rate stays, and so does that of K-FAC.
    """
    t = chosen.shift(rule, shape) if shape.random else None
    if t is None:
        return rule
    moved = {name: size.plus(t, dampings.get(name, 0)) for name, size in rule.dampings.items()}
    return replace(
        rule, mult=rule.mult.plus(t), init=rule.init.plus(t, -1), lr=rule.lr.plus(t, lr), wd=rule.wd.plus(t, wd),
        eps=rule.eps.plus(t, dampings.get("eps", 0)), dampings=moved,
    )  # fmt: skip
