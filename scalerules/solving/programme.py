"""An exact linear programme, solved by the dual simplex method in whole numbers, one inequality at a time.

It starts with every variable at its upper bound, which is optimal while nothing is asked, and lowers what each
inequality makes necessary; inequalities can be added to a solved programme. When they clash it names the ones that do.
Constants are vectors: the first entry is the number that decides, the others are carried along (how the solution moves
with the growth of each scale, while the same inequalities bind).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm

from scalerules.sizes.vectors import Vector, plus


@dataclass
class _Row:
    """A constant vector plus a combination of variables, all over one denominator (fractions one by one are slow)."""

    constant: list[int]
    shares: dict[Hashable, int]
    over: int = 1

    def add(self, other: _Row, numerator: int, denominator: int) -> None:
        """Adds a fraction of another row."""
        common = lcm(self.over, other.over * denominator)
        mine, its = common // self.over, common // (other.over * denominator) * numerator
        if mine != 1:
            self.constant = [mine * entry for entry in self.constant]
            for name in self.shares:
                self.shares[name] *= mine
        self.constant = [entry + its * more for entry, more in zip(self.constant, other.constant, strict=True)]
        for name, share in other.shares.items():
            total = self.shares.get(name, 0) + its * share
            if total:
                self.shares[name] = total
            else:
                self.shares.pop(name, None)
        self._reduce(common)

    def solved_for(self, name: Hashable, basic: Hashable) -> _Row:
        """The row `basic = ...` as `name = ...`."""
        shares = dict(self.shares)
        pivot = shares.pop(name)
        sign = 1 if pivot > 0 else -1
        solved = _Row([-sign * entry for entry in self.constant], {n: -sign * share for n, share in shares.items()})
        solved.shares[basic] = sign * self.over
        solved._reduce(abs(pivot))
        return solved

    def vector(self) -> Vector:
        """The constant."""
        return tuple(Fraction(entry, self.over) for entry in self.constant)

    def _reduce(self, over: int) -> None:
        """Sets the denominator, and leaves out what it has in common with all the numbers."""
        shared = gcd(over, *self.constant, *self.shares.values()) if over != 1 else 1
        if shared != 1:
            self.constant = [entry // shared for entry in self.constant]
            for name in self.shares:
                self.shares[name] //= shared
        self.over = over // shared


class Infeasible(Exception):
    """The inequalities named in `clash` cannot hold together (a Farkas certificate with these as its support)."""

    def __init__(self, clash: list[Hashable]) -> None:
        super().__init__(f"{len(clash)} inequalities clash")
        self.clash = clash


class Programme:
    """Maximises the variables in the order of their weights, below their upper bounds and the inequalities.

    `weights` are positive whole numbers; with widely spaced ones the maximum is lexicographic.
    """

    def __init__(self, upper: Mapping[Hashable, Vector], weights: Mapping[Hashable, int]) -> None:
        self.upper = dict(upper)
        self._bounds = {name: float(bound[0]) for name, bound in upper.items()}
        self._cost = _Row([], {name: weights[name] for name in upper})
        self._rows: dict[Hashable, _Row] = {}
        """Every basic variable as a constant plus a combination of the others, which are all 0."""

    def require(self, name: Hashable, form: Mapping[Hashable, Fraction], constant: Vector) -> None:
        """Adds `form + constant <= 0`. Raises `Infeasible`."""
        row = _whole(constant, -1)
        for variable, share in form.items():
            row.add(_whole(self.upper[variable]), -share.numerator, share.denominator)
            basic = self._rows.get(variable) or _Row([0] * len(constant), {variable: 1})
            row.add(basic, share.numerator, share.denominator)
        self._rows[name] = row
        self._restore()

    def loosen(self) -> None:
        """Drops the inequalities that do not bind; who asks for it checks them again, and adds what is broken."""
        self._rows = {name: row for name, row in self._rows.items() if name in self.upper}

    def solution(self) -> dict[Hashable, Vector]:
        """The value of every variable."""
        return {
            name: plus(bound, self._rows[name].vector(), Fraction(-1)) if name in self._rows else bound
            for name, bound in self.upper.items()
        }

    def sizes(self) -> dict[Hashable, float]:
        """The number that decides of every variable, rounded."""
        found = dict(self._bounds)
        for name, row in self._rows.items():
            if name in found:
                bound = self.upper[name][0]
                found[name] = (bound.numerator * row.over - row.constant[0] * bound.denominator) / (
                    bound.denominator * row.over
                )
        return found

    def blocked_by(self, variable: Hashable) -> list[Hashable]:
        """Names of what keeps a variable below its upper bound."""
        return list(self._rows[variable].shares) if variable in self._rows else []

    def binding(self) -> list[Hashable]:
        """Names of the inequalities (and of the variables at their upper bound) that determine the solution."""
        return list(self._cost.shares)

    def _restore(self) -> None:
        while True:
            rows = self._rows.items()
            broken = [(Fraction(r.constant[0], r.over), str(name), name) for name, r in rows if r.constant[0] < 0]
            if not broken:
                return
            leaving = min(broken, key=lambda item: item[:2])[2]
            shares = self._rows[leaving].shares
            entering = [name for name, share in shares.items() if share > 0]
            if not entering:
                raise Infeasible([leaving, *shares])
            cost = self._cost.shares
            self._pivot(leaving, min(entering, key=lambda name: (Fraction(cost[name], shares[name]), str(name))))

    def _pivot(self, leaving: Hashable, entering: Hashable) -> None:
        solved = self._rows.pop(leaving).solved_for(entering, leaving)
        for row in self._rows.values():
            share = row.shares.pop(entering, None)
            if share:
                row.add(solved, share, row.over)
        price = _Row([], solved.shares, solved.over)
        self._cost.add(price, self._cost.shares.pop(entering), self._cost.over)
        self._rows[entering] = solved


def _whole(constant: Vector, sign: int = 1) -> _Row:
    """A constant over one denominator."""
    over = lcm(*(entry.denominator for entry in constant))
    return _Row([sign * entry.numerator * (over // entry.denominator) for entry in constant], {}, over)
