"""A derivation as data: the passes row by row, the conditions that bind, and the order in which they were solved.

Sizes are linear in unknowns and growths. Symbols are written `a_h1` (initial size), `c_h1` (learning rate), `m_scores`
(a free factor), `u_h1` (the update once a saddle is left), `g_n` (growth of an axis) and `s_width` (growth of a scale);
a row stands by its name in the rows that follow from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Literal, cast

from scalerules.errors import UnknownName
from scalerules.sizes.exponents import Exponents

if TYPE_CHECKING:
    import sympy  # pyright: ignore[reportMissingTypeStubs]

Linear = Mapping[str, Fraction]
"""A linear form: coefficients by symbol, or by the name of a row."""

Stage = Literal["forward", "backward", "gradient", "update", "own", "change", "loss"]
STAGES: Mapping[str, str] = {
    "forward": "F", "backward": "B", "gradient": "G", "update": "U", "own": "C", "change": "C", "loss": "L",
}  # fmt: skip
"""Every kind of row with the letter of its name."""
KINDS = {"init": "a", "lr": "c", "mult": "m", "update": "u", "growth": "g", "scale": "s"}
"""The letter of every kind of symbol."""


@dataclass(frozen=True)
class Sum:
    """What one axis does in a row: by which share of its growth it enlarges the result, and how (`aligned`, ...)."""

    axis: str
    how: str
    share: Fraction

    def __str__(self) -> str:
        if self.share < 0:
            return f"{self.axis}: {self.how} {self.axis}" + (f"^({-self.share})" if self.share != -1 else "")
        return f"{self.axis}: {self.how}" + (f" {self.share}" if self.share else "")


@dataclass(frozen=True)
class Row:
    """One application of a law: the size of `quantity` from the rows that it follows from.

    `at`: the operation whose law it is; `law`: its name. `follows`: rows by name with coefficients, in the order of the
    law (a row may stand twice with opposite ones, as a gradient over its own size does); `adds`: what the law adds, in
    unknowns and growths. `size`: the exponents at the solution. `judged`: it has to stay at most 0. `second`: a larger
    term stands beside it. `below`: how far the root mean square lies from it, where entries decay along an axis.
    """

    name: str
    stage: Stage
    step: int
    quantity: str
    at: str
    operation: str
    law: str
    sums: tuple[Sum, ...]
    follows: tuple[tuple[str, Fraction], ...]
    adds: Linear
    size: Exponents
    judged: bool = False
    second: bool = False
    below: Linear = field(default_factory=dict[str, Fraction])

    @property
    def symbols(self) -> sympy.Expr:
        """The size in unknowns, growths and the names of rows."""
        return expression(self.linear)

    @property
    def linear(self) -> Linear:
        """The size as coefficients of unknowns, growths and rows."""
        total = dict(self.adds)
        for name, share in self.follows:
            total[name] = total.get(name, Fraction(0)) + share
        return {name: share for name, share in total.items() if share}

    @property
    def what(self) -> str:
        """The quantity in words."""
        words = {
            "forward": "value of {}", "backward": "gradient at {}", "gradient": "gradient of {}",
            "update": "update of {}", "own": "change of {}", "change": "change of {}",
            "loss": "change of the loss by the update of {}",
        }[self.stage]  # fmt: skip
        return words.format(self.quantity)

    @property
    def when(self) -> str:
        """The pass in words."""
        return "at initialisation" if self.stage == "forward" else f"in step {self.step}"


@dataclass(frozen=True)
class Condition:
    """What has to hold of a row: `row + adds <= 0` (`at most`), or `= 0` (`reaches`: a contribution that is not lost).

    `form` is the same in unknowns and growths alone.
    """

    name: str
    relation: Literal["at most", "reaches"]
    row: str
    adds: Linear
    form: Linear
    words: str

    @property
    def symbols(self) -> sympy.Expr:
        """What is compared with 0, in unknowns and growths."""
        return expression(self.form)

    @property
    def sympy(self) -> sympy.Basic:
        """The condition as a sympy relation."""
        import sympy  # pyright: ignore[reportMissingTypeStubs]

        relation = sympy.Le if self.relation == "at most" else sympy.Eq
        return cast("sympy.Basic", relation(self.symbols, 0, evaluate=False))


@dataclass(frozen=True)
class Solved:
    """One unknown, in the order of solving: the condition that gave it, or why none did, and its exponents.

    `from_`: the unknowns that were known before and stand in the condition.
    """

    symbol: str
    value: Exponents
    condition: str | None
    why: str
    known: tuple[str, ...] = ()


@dataclass(frozen=True)
class Derivation:
    """The passes as rows, the conditions that bind, the order of solving, and what each number is read from."""

    growths: Mapping[str, Exponents]
    reads: Mapping[str, tuple[str, ...]]
    """What the rows of every operation and parameter may follow from."""
    rows: tuple[Row, ...]
    conditions: tuple[Condition, ...]
    solved: tuple[Solved, ...]
    readings: Mapping[str, Mapping[str, Linear]]
    """What each number of every parameter is, in unknowns, growths and rows."""
    shown: Mapping[str, str] = field(default_factory=dict[str, str])
    """The row of every quantity: by `value h1 0`, `gradient h1 1`, `own h1 1 h1`, `change h1 1`."""
    apart: Mapping[str, Fraction] = field(default_factory=dict[str, Fraction])
    """The exponent by which such a quantity differs from its row: of what a router or a mask leaves out."""

    @cached_property
    def by_name(self) -> Mapping[str, Row | Condition]:
        """Rows and conditions by name."""
        return {entry.name: entry for entry in (*self.rows, *self.conditions)}

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __getitem__(self, name: str) -> Row | Condition:
        if name not in self.by_name:
            raise UnknownName("row", name, self.by_name)
        return self.by_name[name]

    def value(self, linear: Linear) -> Exponents:
        """The exponents of a linear form in symbols and rows."""
        total = dict.fromkeys(self.scales, Fraction(0))
        for name, share in linear.items():
            for scale, exponent in self.values[name].fractions.items():
                total[scale] += share * exponent
        return Exponents(total)

    @property
    def scales(self) -> list[str]:
        """What grows."""
        return list(next(iter(self.growths.values()))) if self.growths else []

    @cached_property
    def values(self) -> Mapping[str, Exponents]:
        """The exponents of every symbol and row."""
        solved = {unknown.symbol: unknown.value for unknown in self.solved}
        return {**self.growths, **solved, **{row.name: row.size for row in self.rows}}

    @cached_property
    def forms(self) -> Mapping[str, Linear]:
        """The size of every row in unknowns and growths alone."""
        forms: dict[str, Linear] = {}
        for row in self.rows:
            total = dict(row.adds)
            for name, share in row.follows:
                for symbol, value in forms[name].items():
                    total[symbol] = total.get(symbol, Fraction(0)) + share * value
            forms[row.name] = {symbol: value for symbol, value in total.items() if value}
        return forms

    @cached_property
    def beyond(self) -> frozenset[str]:
        """The rows of the training beyond a saddle: those in whose size an update has its size there."""
        return frozenset(row for row, form in self.forms.items() if any(name.startswith("u_") for name in form))

    def when(self, row: Row) -> str:
        """The pass of a row in words."""
        return f"{row.when}{' beyond the saddle' if row.name in self.beyond else ''}"

    def row(self, name: str) -> Row:
        """A row by name."""
        entry = self[name]
        if not isinstance(entry, Row):
            raise UnknownName("row", name, [row.name for row in self.rows])
        return entry

    def condition(self, name: str) -> Condition:
        """A condition by name."""
        entry = self[name]
        if not isinstance(entry, Condition):
            raise UnknownName("condition", name, [condition.name for condition in self.conditions])
        return entry

    def of(self, symbol: str) -> Solved | None:
        """How an unknown was solved."""
        return next((unknown for unknown in self.solved if unknown.symbol == symbol), None)

    def __repr__(self) -> str:
        return f"<derivation: {len(self.rows)} rows, {len(self.conditions)} conditions, {len(self.solved)} unknowns>"


def expression(linear: Linear) -> sympy.Expr:
    """A linear form as a sympy expression."""
    import sympy  # pyright: ignore[reportMissingTypeStubs]

    parts = (sympy.Rational(v.numerator, v.denominator) * sympy.Symbol(name) for name, v in linear.items())
    return sympy.Add(*parts)


def written(linear: Linear) -> str:
    """A linear form as text: `a_h1 + F3 + g_n/2`."""
    text = ""
    for name, value in linear.items():
        size = abs(value)
        part = name if size.numerator == 1 else f"{size.numerator}*{name}"
        part += f"/{size.denominator}" if size.denominator != 1 else ""
        sign = "-" if value < 0 else "+"
        text += f" {sign} {part}" if text else f"-{part}" if value < 0 else part
    return text or "0"
