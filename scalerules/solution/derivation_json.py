"""A derivation as plain data, and from it."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, get_args

from scalerules.boundary.json_parts import Part
from scalerules.sizes.exponents import Exponents

from .derivation import Condition, Derivation, Linear, Row, Solved, Stage, Sum
from .rule import Rule


def plain(derivation: Derivation, rules: Mapping[str, Rule]) -> dict[str, Any]:
    """A derivation as plain data, with what moves the numbers of the rules: a gauge, the norm of all gradients."""
    moved = {name: differences for name, rule in rules.items() if (differences := _moved(derivation, name, rule))}
    return {
        "growths": {name: _size(size) for name, size in derivation.growths.items()},
        "reads": {name: list(names) for name, names in derivation.reads.items()},
        "rows": [_row(row) for row in derivation.rows],
        "conditions": [
            {"name": c.name, "relation": c.relation, "row": c.row, "adds": _linear(c.adds), "form": _linear(c.form)}
            | {"words": c.words}
            for c in derivation.conditions
        ],
        "solved": [
            {"symbol": s.symbol, "value": _size(s.value), "condition": s.condition}
            | {"why": s.why, "known": list(s.known)}
            for s in derivation.solved
        ],
        "readings": {
            name: {number: _linear(form) for number, form in forms.items()}
            for name, forms in derivation.readings.items()
        },
        "shown": dict(derivation.shown),
        **({"apart": _linear(derivation.apart)} if derivation.apart else {}),
        **({"moved": moved} if moved else {}),
    }


def _moved(derivation: Derivation, name: str, rule: Rule) -> dict[str, dict[str, str]]:
    """The exponents by which the numbers of a rule differ from what they are read from."""
    differences: dict[str, dict[str, str]] = {}
    for number, linear in derivation.readings.get(name, {}).items():
        size = getattr(rule, number, None) or rule.dampings.get(number)
        rest = size.plus(derivation.value(linear), -1) if isinstance(size, Exponents) else None
        if rest is not None and any(rest.fractions.values()):
            differences[number] = _size(rest)
    return differences


def _row(row: Row) -> dict[str, Any]:
    return {
        "row": row.name, "pass": row.stage, "step": row.step, "of": row.quantity, "at": row.at,
        "operation": row.operation, "law": row.law, "sums": [[s.axis, s.how, str(s.share)] for s in row.sums],
        "follows": [[name, str(share)] for name, share in row.follows], "adds": _linear(row.adds),
        "size": _size(row.size),
        **({"judged": True} if row.judged else {}), **({"second": True} if row.second else {}),
        **({"below": _linear(row.below)} if row.below else {}),
    }  # fmt: skip


def _linear(linear: Linear) -> dict[str, str]:
    return {name: str(value) for name, value in linear.items()}


def _size(size: Exponents) -> dict[str, str]:
    return {scale: str(value) for scale, value in size.fractions.items()}


def derivation_of(part: Part, scales: tuple[str, ...]) -> Derivation:
    """The derivation that a part of a JSON text holds."""
    forms = {name: item.entries() for name, item in part.at("readings").entries().items()}
    return Derivation(
        growths={name: _exponents(item, scales) for name, item in part.at("growths").entries().items()},
        reads={name: item.texts() for name, item in part.at("reads").entries().items()},
        rows=tuple(_read_row(item, scales) for item in part.at("rows").items()),
        conditions=tuple(_condition(item) for item in part.at("conditions").items()),
        solved=tuple(_solved(item, scales) for item in part.at("solved").items()),
        readings={name: {number: _form(form) for number, form in item.items()} for name, item in forms.items()},
        shown={name: item.text() for name, item in part.at("shown").entries().items()},
        apart=_form(part.at("apart", {})),
    )


def _exponents(part: Part, scales: tuple[str, ...]) -> Exponents:
    return Exponents(part.fractions(scales))


def _form(part: Part) -> dict[str, Fraction]:
    return {name: share.fraction() for name, share in part.entries().items()}


def _read_row(part: Part, scales: tuple[str, ...]) -> Row:
    sums = [item.items() for item in part.at("sums").items()]
    follows = [item.items() for item in part.at("follows").items()]
    if any(len(item) != 3 for item in sums) or any(len(item) != 2 for item in follows):
        raise part.error("a sum has an axis, a word and a share; what is followed has a name and a factor")
    return Row(
        name=part.at("row").text(),
        stage=part.at("pass").text(get_args(Stage)),  # pyright: ignore[reportArgumentType]
        step=part.at("step").whole(),
        quantity=part.at("of").text(),
        at=part.at("at").text(),
        operation=part.at("operation").text(),
        law=part.at("law").text(),
        sums=tuple(Sum(axis.text(), how.text(), share.fraction()) for axis, how, share in sums),
        follows=tuple((name.text(), share.fraction()) for name, share in follows),
        adds=_form(part.at("adds")),
        size=_exponents(part.at("size"), scales),
        judged=part.at("judged", False).value is True,
        second=part.at("second", False).value is True,
        below=_form(part.at("below", {})),
    )


def _condition(part: Part) -> Condition:
    relation = part.at("relation").text(("at most", "reaches"))
    return Condition(
        part.at("name").text(), relation, part.at("row").text(),  # pyright: ignore[reportArgumentType]
        _form(part.at("adds")), _form(part.at("form")), part.at("words").text(),
    )  # fmt: skip


def _solved(part: Part, scales: tuple[str, ...]) -> Solved:
    condition = part.at("condition", None)
    return Solved(
        part.at("symbol").text(), _exponents(part.at("value"), scales),
        None if condition.value is None else condition.text(), part.at("why").text(), part.at("known", ()).texts(),
    )  # fmt: skip
