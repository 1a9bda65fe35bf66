"""What a law of an operation is: value, pull of a gradient, push of a change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from scalerules.terms.pieces import Operand
from scalerules.terms.point import Scope
from scalerules.terms.term import Shift, Term

from .site import Site


class Point(Scope, Protocol):
    """What the laws ask beyond growths: exponents of unknowns and of fixed factors."""

    def unknown(self, kind: str, name: str) -> int: ...
    def factor(self, site: Site) -> tuple[int, Shift]: ...
    def once(self, key: str, pieces: Operand, compute: Callable[[], list[Term]]) -> list[Term]: ...


class Law(Protocol):
    """The laws of one operation."""

    def value(self, point: Point, site: Site, operands: Sequence[Operand]) -> list[Term]: ...
    def push(self, point: Point, site: Site, operands: Sequence[Operand], k: int, v: Operand) -> list[Term]: ...
    def pull(self, point: Point, site: Site, operands: Sequence[Operand], k: int, d: list[Term]) -> list[Term]: ...
