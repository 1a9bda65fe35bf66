"""An exact linear programme, solved by the dual simplex method in fractions, one inequality at a time.

It starts with every variable at its upper bound, which is optimal while nothing is asked, and lowers what each
inequality makes necessary; inequalities can be added to a solved programme. When they clash it names the ones that do.
Constants are vectors: the first entry is the number that decides, the others are carried along (how the solution moves
with the growth of each scale, while the same inequalities bind).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from fractions import Fraction

Row = dict[Hashable, Fraction]
Vector = tuple[Fraction, ...]


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
        self._cost: Row = {name: Fraction(weights[name]) for name in upper}
        self._rows: dict[Hashable, tuple[Vector, Row]] = {}
        """Every basic variable as a constant plus a combination of the others, which are all 0."""

    def require(self, name: Hashable, form: Mapping[Hashable, Fraction], constant: Vector) -> None:
        """Adds `form + constant <= 0`. Raises `Infeasible`."""
        const, row = tuple(-entry for entry in constant), Row()
        for variable, coefficient in form.items():
            const = plus(const, self.upper[variable], -coefficient)
            if variable in self._rows:
                basic, combination = self._rows[variable]
                const = plus(const, basic, coefficient)
                _add(row, combination, coefficient)
            else:
                _add(row, {variable: Fraction(1)}, coefficient)
        self._rows[name] = (const, row)
        self._restore()

    def loosen(self) -> None:
        """Drops the inequalities that do not bind; who asks for it checks them again, and adds what is broken."""
        self._rows = {name: row for name, row in self._rows.items() if name in self.upper}

    def solution(self) -> dict[Hashable, Vector]:
        """The value of every variable."""
        return {
            name: plus(bound, self._rows[name][0], Fraction(-1)) if name in self._rows else bound
            for name, bound in self.upper.items()
        }

    def blocked_by(self, variable: Hashable) -> list[Hashable]:
        """Names of what keeps a variable below its upper bound."""
        return list(self._rows[variable][1]) if variable in self._rows else []

    def binding(self) -> list[Hashable]:
        """Names of the inequalities (and of the variables at their upper bound) that determine the solution."""
        return list(self._cost)

    def _restore(self) -> None:
        while True:
            broken = [(const[0], str(name), name) for name, (const, _) in self._rows.items() if const[0] < 0]
            if not broken:
                return
            leaving = min(broken, key=lambda item: item[:2])[2]
            row = self._rows[leaving][1]
            entering = [name for name, coefficient in row.items() if coefficient > 0]
            if not entering:
                raise Infeasible([leaving, *row])
            self._pivot(leaving, min(entering, key=lambda name: (self._cost[name] / row[name], str(name))))

    def _pivot(self, leaving: Hashable, entering: Hashable) -> None:
        const, row = self._rows.pop(leaving)
        pivot = row.pop(entering)
        solved: Row = {name: -coefficient / pivot for name, coefficient in row.items()}
        solved[leaving] = 1 / pivot
        value = tuple(-entry / pivot for entry in const)
        for name, (other, combination) in list(self._rows.items()):
            share = combination.pop(entering, None)
            if share:
                _add(combination, solved, share)
                self._rows[name] = (plus(other, value, share), combination)
        _add(self._cost, solved, self._cost.pop(entering))
        self._rows[entering] = (value, solved)


def plus(a: Vector, b: Vector, share: Fraction) -> Vector:
    """The vector `a + share * b`."""
    return tuple(x + share * y for x, y in zip(a, b, strict=True))


def _add(row: Row, other: Mapping[Hashable, Fraction], share: Fraction) -> None:
    for name, coefficient in other.items():
        total = row.get(name, Fraction(0)) + share * coefficient
        if total:
            row[name] = total
        else:
            row.pop(name, None)
