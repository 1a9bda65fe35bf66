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
        _include(self.shares, other.shares, its)
        self.reduce(common)

    def solved_for(self, name: Hashable, basic: Hashable) -> _Row:
        """The row `basic = ...` as `name = ...`."""
        shares = dict(self.shares)
        pivot = shares.pop(name)
        sign = 1 if pivot > 0 else -1
        solved = _Row([-sign * entry for entry in self.constant], {n: -sign * share for n, share in shares.items()})
        solved.shares[basic] = sign * self.over
        solved.reduce(abs(pivot))
        return solved

    def vector(self) -> Vector:
        """The constant."""
        return tuple(Fraction(entry, self.over) for entry in self.constant)

    def reduce(self, over: int) -> None:
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
    """Maximises variables one after the other, below their upper bounds and the inequalities.

    The maximum is lexicographic in the order of `upper`: no gain of a later variable is worth any loss of an earlier
    one. What is computed with are distances, of every variable from its bound and of every inequality from equality.
    """

    def __init__(self, upper: Mapping[Hashable, Vector]) -> None:
        self.upper = dict(upper)
        self._bounds = {name: float(bound[0]) for name, bound in upper.items()}
        self._whole = {name: _whole(bound) for name, bound in upper.items()}
        self._zero: dict[Hashable, None] = dict.fromkeys(upper)
        """The distances that are 0."""
        self._rows: dict[Hashable, _Row] = {}
        """Every other (basic) one as a constant plus a combination of these."""
        self._sizes = dict(self._bounds)
        self._moved: dict[Hashable, None] = {}
        """The variables whose rounded size is an earlier one."""

    def require(self, name: Hashable, form: Mapping[Hashable, int | Fraction], constant: Vector) -> None:
        """Adds `form + constant <= 0`. Raises `Infeasible`."""
        self._rows[name] = self._distance(form, _whole(constant))
        self._restore()

    def _distance(self, form: Mapping[Hashable, int | Fraction], constant: _Row) -> _Row:
        """How far a form is from equality: every variable is its bound less its own distance."""
        parts = [(share, self._whole[variable], self._rows.get(variable), variable) for variable, share in form.items()]
        over = lcm(constant.over, *[share.denominator * lcm(bound.over, row.over if row is not None else 1)
                                    for share, bound, row, _ in parts])  # fmt: skip
        total = [-over // constant.over * entry for entry in constant.constant]
        shares: dict[Hashable, int] = {}
        for share, bound, row, variable in parts:
            times = over // share.denominator * share.numerator
            part = times // bound.over
            total = [entry - part * more for entry, more in zip(total, bound.constant, strict=True)]
            if row is None:
                _include(shares, {variable: 1}, times)
                continue
            part = times // row.over
            total = [entry + part * more for entry, more in zip(total, row.constant, strict=True)]
            _include(shares, row.shares, part)
        distance = _Row(total, shares)
        distance.reduce(over)
        return distance

    def loosen(self) -> None:
        """Drops the inequalities that do not bind; who asks for it checks them again, and adds what is broken."""
        self._rows = {name: row for name, row in self._rows.items() if name in self.upper}

    def solution(self) -> dict[Hashable, Vector]:
        """The value of every variable."""
        return {
            name: plus(bound, self._rows[name].vector(), Fraction(-1)) if name in self._rows else bound
            for name, bound in self.upper.items()
        }

    def sizes(self) -> Mapping[Hashable, float]:
        """The number that decides of every variable, rounded: one mapping, which `moves` brings up to date."""
        self.moves()
        return self._sizes

    def moves(self) -> dict[Hashable, float]:
        """What the rounded sizes have changed by since they were last asked for."""
        changes: dict[Hashable, float] = {}
        for name in self._moved:
            row, bound, size = self._rows.get(name), self.upper[name][0], self._bounds[name]
            if row is not None:
                over = bound.denominator * row.over
                size = (bound.numerator * row.over - row.constant[0] * bound.denominator) / over
            changes[name], self._sizes[name] = size - self._sizes[name], size
        self._moved.clear()
        return changes

    def blocked_by(self, variable: Hashable) -> list[Hashable]:
        """Names of what keeps a variable below its upper bound."""
        return list(self._rows[variable].shares) if variable in self._rows else []

    def binding(self) -> list[Hashable]:
        """Names of the inequalities (and of the variables at their upper bound) that determine the solution."""
        rows = [self._rows[name].shares for name in self.upper if name in self._rows]
        return [name for name in self._zero if name in self.upper or any(name in shares for shares in rows)]

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
            self._pivot(leaving, self._cheapest(entering, shares))

    def _cheapest(self, names: list[Hashable], shares: Mapping[Hashable, int]) -> Hashable:
        """The distance that costs the variables least for what it gives, variable after variable in their order."""
        left = dict.fromkeys(names)
        for variable in self.upper:
            if len(left) == 1:
                break
            row = self._rows.get(variable)
            if row is None:
                left.pop(variable, None)
            elif not row.shares.keys().isdisjoint(left):
                left = dict.fromkeys(_least(list(left), row.shares, shares))
        return min(left, key=str)

    def _pivot(self, leaving: Hashable, entering: Hashable) -> None:
        solved, moved = self._rows.pop(leaving).solved_for(entering, leaving), [leaving, entering]
        for name, row in self._rows.items():
            share = row.shares.pop(entering, None)
            if share:
                row.add(solved, share, row.over)
                moved.append(name)
        self._rows[entering] = solved
        self._moved.update((name, None) for name in moved if name in self.upper)
        del self._zero[entering]
        self._zero[leaving] = None


def _least(names: list[Hashable], costs: Mapping[Hashable, int], shares: Mapping[Hashable, int]) -> list[Hashable]:
    """The names whose cost over their share, which is above 0, is least."""
    kept = names[:1]
    for name in names[1:]:
        best = kept[0]
        more = costs.get(name, 0) * shares[best] - costs.get(best, 0) * shares[name]
        if more <= 0:
            kept = [*kept, name] if more == 0 else [name]
    return kept


def _include(shares: dict[Hashable, int], more: Mapping[Hashable, int], times: int) -> None:
    """Adds a multiple of shares to others; those that vanish are left out."""
    for name, share in more.items():
        total = shares.get(name, 0) + times * share
        if total:
            shares[name] = total
        else:
            shares.pop(name, None)


def _whole(constant: Vector) -> _Row:
    """A constant over one denominator."""
    over = lcm(*(entry.denominator for entry in constant))
    return _Row([entry.numerator * (over // entry.denominator) for entry in constant], {}, over)
