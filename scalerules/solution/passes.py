"""The derivation as tables that every view prints: conditions in the order of solving, then one table for each pass."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from scalerules.sizes.exponents import Exponents

from .derivation import Condition, Derivation, Row, written
from .tree import laws, said, why

GLOSSARY = {
    "size": "the exponent with which a typical entry grows: size 1/2 means that it grows like the root of the scale; "
    "0 that it stays. The factor is the same as a power: width^(1/2), 1.",
    "growth": "the size of the length of an axis, g_n for the axis n.",
    "unknown": "what is solved for: a_W the size of the initial entries of W, c_W that of its learning rate, m_s that "
    "of a free factor s; at a saddle u_W, that of the update of W beyond it.",
    "aligned": "terms of a sum that have one sign in common, so that n of them make n times as much (size + g_n).",
    "independent": "terms of a sum with signs of their own, so that n of them make the root of n (size + g_n/2).",
    "fixed": "an axis that is summed over and does not grow.",
    "constant part": "a value whose size is that of its law alone: a function that is not 0 at 0, fixed entries.",
    "square": "the part of a function that is even, as x^2/2 in exp(x): it counts once its argument is as large as 1.",
    "normalised": "an update that is as large whatever the size of the gradient: what is left of that are the signs.",
    "cancels": "a size that is taken and given back: what is normalised is divided by its own size, and so is the "
    "gradient in the update of Adam, Lion or Muon, of which the signs are left.",
    "mirror": "what a random matrix and its own transpose make together: an aligned sum that neither makes alone.",
    "own contribution": "what the update of a parameter changes where it is read, dW x, without what others change.",
    "value, change": "what a node is at the start, and by how much it has moved after so many steps.",
    "stable": "values, changes and what an update changes in the loss have at most size 0: nothing grows.",
    "maximal": "the own contribution of every parameter reaches size 0: no parameter is left behind.",
    "joint": "all parameters move together, over several steps.",
    "isolated": "one step, each parameter alone.",
    "saddle": "where the own contribution of a parameter is small at first and grows by a constant factor a step; "
    "beyond it every update has the size at which nothing is lost and nothing grows, and the rate is the one that "
    "makes this update of the gradient there.",
    "gauge": "where constant factors stand: in front of a parameter, or in its initial size and rate. The training run "
    "is the same.",
    "cone": "the directions, of several scales that grow together, in which the rule holds.",
    "row": "one application of a law: F forward, B backward, G the gradient of a parameter, U its update, C a change, "
    "L what an update changes in the loss. x' is the second copy of x in a repeated block.",
    "condition": "E: what has to hold of a row, here with equality, so that it gives an unknown.",
}
"""What the words of a derivation mean."""


@dataclass(frozen=True)
class Table:
    """A table with a title, its column heads, and rows of cells; the first cell of a row is its name."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


ROW_HEADS = ("row", "quantity", "operation", "sums", "follows from", "size in symbols", "factor")
CONDITION_HEADS = ("", "condition", "of", "in unknowns", "gives", "why")


def tables(derivation: Derivation, everything: bool = False) -> Iterator[Table]:
    """The conditions, then the passes: the rows that lead to them, or `everything`."""
    yield conditions(derivation)
    wanted = {row.name for row in derivation.rows} if everything else relevant(derivation)
    groups: dict[str, list[Row]] = {}
    for row in derivation.rows:
        if row.name in wanted:
            groups.setdefault(title(derivation, row), []).append(row)
    order = {name: place for place, name in enumerate(("Forward", "backward", "gradients and updates", "changes"))}
    place = {name: (rows[0].name in derivation.beyond, rows[0].step, order.get(name.rpartition(": ")[2], 0))
             for name, rows in groups.items()}  # fmt: skip
    for name in sorted(groups, key=place.__getitem__):
        yield Table(name, ROW_HEADS, tuple(cells(row, wanted) for row in groups[name]))


def title(derivation: Derivation, row: Row) -> str:
    """The table that a row stands in."""
    if row.stage == "forward":
        return "Forward, at initialisation"
    part = {"backward": "backward", "own": "changes", "change": "changes"}.get(row.stage, "gradients and updates")
    return f"{'Beyond the saddle, step' if row.name in derivation.beyond else 'Step'} {row.step}: {part}"


def conditions(derivation: Derivation) -> Table:
    """What gave every unknown, in the order of solving."""
    rows: list[tuple[str, ...]] = []
    for each in derivation.solved:
        gives = f"{each.symbol} = {exponent(each.value)}"
        if each.condition is None:
            rows.append(("", "", "", "", gives, each.why))
            continue
        condition = derivation[each.condition]
        assert isinstance(condition, Condition)
        row = derivation.row(condition.row)
        sign = "<=" if condition.relation == "at most" else "="
        form = f"{written(condition.form)} {sign} 0"
        what = f"{row.what}, {derivation.when(row)}"
        rows.append((condition.name, said(condition), what, form, gives, why(derivation, each)))
    return Table("Conditions that bind, in the order of solving", CONDITION_HEADS, tuple(rows))


def exponent(size: Exponents) -> str:
    """A size as what a symbol stands for: a number, or the growths of several scales with their shares."""
    if len(size.fractions) < 2:
        return str(next(iter(size.fractions.values()), 0))
    return written({f"s_{scale}": share for scale, share in size.fractions.items() if share})


def cells(row: Row, shown: Collection[str]) -> tuple[str, ...]:
    """A row as cells; of the rows that it follows from those that count, and if they are `shown` those that cancel."""
    sums = "; ".join([*laws(row), *map(str, row.sums)])
    parents = [name for name in dict(row.follows) if name in row.linear or name in shown]
    follows = " ".join(name if name in row.linear else f"{name} (cancels)" for name in parents)
    quantity = f"{row.quantity}{' (a smaller term)' if row.second else ''}"
    return (row.name, quantity, row.operation, sums, follows, written(row.linear), str(row.size))


def relevant(derivation: Derivation) -> set[str]:
    """The rows that lead to a condition or to another number of a rule; what cancels in an update does not."""
    names = {row.name for row in derivation.rows}
    start = [condition.row for condition in derivation.conditions]
    start += [
        name for forms in derivation.readings.values() for form in forms.values() for name in form if name in names
    ]
    found = set[str]()
    while start:
        name = start.pop()
        if name not in found:
            found.add(name)
            row = derivation.row(name)
            start += [parent for parent, _ in row.follows if parent in row.linear or row.stage != "update"]
    return found


def glossary() -> Sequence[tuple[str, str]]:
    """The words of a derivation with what they mean."""
    return list(GLOSSARY.items())


def causes(derivation: Derivation) -> dict[str, str]:
    """The condition or row behind every number: see `cause`."""
    found = {each.symbol: each.condition for each in derivation.solved if each.condition}
    for name, forms in derivation.readings.items():
        for number, form in forms.items():
            first = next((part for part in form if part in derivation.by_name), None)
            if first is not None and number not in ("init", "lr"):
                found[f"{name} {number}"] = first
    return found


def cause(found: Mapping[str, str], name: str, number: str) -> str | None:
    """The condition or row behind a number of a parameter or a multiplier, of those that `causes` found."""
    kind = {"init": "a", "lr": "c", "mult": "m"}.get(number)
    return found.get(f"{kind}_{name}" if kind else f"{name} {number}")
