"""What the calculus works on: an operation with the labels of its growing axes, and a parameter that it reads."""

from __future__ import annotations

from dataclasses import dataclass

from scalerules.terms.pieces import Labels

from .node import Node

Chosen = tuple[tuple[str, str], ...]
"""Axes that a router chooses from, each with the axis of its choices."""


@dataclass(frozen=True)
class Site:
    """One elementary operation with the labels of its growing axes.

    `name` is the node's (both copies of a repeated node share it). `judged`: its value and changes have to be stable;
    `asked`: where it is judged, own contributions have to reach size 0 there, and not only behind it; `carries`: a
    parameter's own change is followed through it to what reads it; `makes`: it has no data yet, so how much each
    parameter contributes is asked where data meets it; `joins`: a residual that sums over depth; `given`: fixed factors
    and norms alone say how large it is, so that what it changes by is held against that; `beside`: own contributions
    are asked for beside its size, whatever that is.
    """

    key: str
    name: str
    op: str
    node: Node
    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    labels: tuple[Labels, ...]
    result: Labels
    judged: bool = True
    asked: bool = True
    carries: bool = False
    makes: bool = False
    given: bool = False
    beside: bool = False
    joins: str | None = None
    chosen: Chosen = ()

    @property
    def operands(self) -> tuple[str, ...]:
        """Keys of the sites and then of the parameters that it reads."""
        return (*self.inputs, *self.parameters)


@dataclass(frozen=True)
class Held:
    """A parameter (one per copy of a repeat): its key, its name, the axes that grow, and how a matrix reads them.

    `fan_in` are its growing axes that the node that reads it sums over, `fan_out` those that it keeps; `matrix`: it has
    axes of both kinds, growing or not. `first`, `last`: no other matrix stands between it and the data, the outputs.
    `woven`: it is read in the making of a weight, so that its gradient may be a matrix of full rank.
    """

    key: str
    name: str
    axes: tuple[str, ...]
    depth: str | None
    fan_in: tuple[str, ...] = ()
    fan_out: tuple[str, ...] = ()
    matrix: bool = False
    first: bool = False
    last: bool = False
    woven: bool = False
    chosen: Chosen = ()
