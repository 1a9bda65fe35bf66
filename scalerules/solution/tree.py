"""The tree of rows above one exponent: the condition that gave it, and what each row follows from, every row once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from scalerules.errors import UnknownName
from scalerules.sizes.exponents import Exponents

from .answer import Answer
from .derivation import Condition, Derivation, Row, Solved, written
from .views import heading

HALF = Fraction(1, 2)


@dataclass(frozen=True)
class Branch:
    """A line of the tree: how deep, the row, the rows that pass it on as it is, and what is said of it beside."""

    depth: int
    row: Row
    passed: tuple[Row, ...]
    beside: str
    notes: Mapping[str, str]
    """What is said of the rows that it follows from and that have no line: of size 1 by their law, or cancelled."""


def branches(derivation: Derivation, start: str, leaves: frozenset[str] = frozenset()) -> Iterator[Branch]:
    """The tree above a row, every row once. A row that another condition holds is a leaf, as is one that cancels."""
    held = {c.row: c.name for c in derivation.conditions if c.name in leaves and c.row != start}
    counts = _counts(derivation, start, held)
    seen: set[str] = set()
    stack = [(0, start)]
    while stack:
        depth, name = stack.pop()
        row, passed = derivation.row(name), list[Row]()
        while name not in held and name not in seen and counts[name] and _passes(row):
            seen.add(name)
            passed.append(row)
            name = row.follows[0][0]
            row = derivation.row(name)
        if name in seen:
            continue
        seen.add(name)
        above = [] if name in held else [parent for parent in dict(row.follows) if parent in row.linear]
        notes = {parent: "cancels" for parent in above if not counts[parent]}
        notes |= {parent: str(derivation.row(parent).size) for parent in above if _bare(derivation, parent)}
        yield Branch(depth, row, tuple(passed), f"held by {held[name]}" if name in held else "", notes)
        stack += [(depth + 1, parent) for parent in reversed(above) if parent not in notes]


def _bare(derivation: Derivation, name: str) -> bool:
    """Whether a row, and what passes it on, has no unknown and no sum: data, what is normalised, fixed numbers."""
    row = derivation.row(name)
    while _passes(row):
        row = derivation.row(row.follows[0][0])
    return not row.linear and row.stage == "forward"


def _counts(derivation: Derivation, start: str, held: Mapping[str, str]) -> dict[str, Fraction]:
    """How often every row counts in the end: what is divided by itself counts no more."""
    counts = dict.fromkeys((row.name for row in derivation.rows), Fraction(0)) | {start: Fraction(1)}
    for row in reversed(derivation.rows):
        if counts[row.name] and row.name not in held:
            for parent, share in row.follows:
                counts[parent] += share * counts[row.name]
    return counts


def _passes(row: Row) -> bool:
    """Whether a row passes a size on as it is."""
    return len(row.follows) == 1 and row.follows[0][1] == 1 and not row.adds and row.stage not in ("gradient", "update")


def explained(solution: Answer, name: str) -> str:
    """Why every number of a parameter, or the size of a quantity or a row, is what it is."""
    derivation = solution.derivation
    if derivation is None:
        return _without(solution, name)
    if name in solution.parameters or name in solution.multipliers:
        lines = _numbers(solution, derivation, name)
    elif name in derivation.by_name:
        lines = _single(derivation, name)
    else:
        lines = _quantities(solution, derivation, name)
    return "\n".join([f"{name} in {heading(solution)}", "", *lines]) + "\n"


def _without(solution: Answer, name: str) -> str:
    """What is said without a derivation: the sentences alone."""
    if name not in solution.explanations:
        solution[name]
    found = [f"{e.quantity} = {e.size}. {e.equation}" for e in solution.explanations.get(name, ())]
    return "\n".join([*found, "There is no derivation here: derive again to see how it follows."]) + "\n"


def _numbers(solution: Answer, derivation: Derivation, name: str) -> list[str]:
    lines: list[str] = []
    for section in sections(solution, derivation, name).values():
        lines += [*section, ""]
    if solution.gauge != "plain" and name in solution.parameters:
        rule = solution[name]
        lines += [f"In the gauge {solution.gauge}: init {rule.init}, mult {rule.mult}, lr {rule.lr}.", ""]
    return lines[:-1]


def sections(solution: Answer, derivation: Derivation, name: str) -> dict[str, list[str]]:
    """By number of a parameter or a multiplier: a sentence, then the lines of its tree."""
    found: dict[str, list[str]] = {}
    for symbol, number in ((f"m_{name}", "mult"), (f"a_{name}", "init"), (f"c_{name}", "lr")):
        solved = derivation.of(symbol)
        if solved is not None:
            found[number] = _unknown(derivation, number, solved)
    for number in derivation.readings.get(name, {}):
        if number not in ("init", "lr"):
            found[number] = _read(solution, derivation, name, number)
    return found


def _unknown(derivation: Derivation, number: str, solved: Solved) -> list[str]:
    """One unknown: the condition that gave it and the tree above."""
    if solved.condition is None:
        return [f"{number} = {solved.value}. {solved.why}"]
    condition = derivation[solved.condition]
    assert isinstance(condition, Condition)
    head = f"{number} = {solved.value} by {condition.name}: {condition.words}."
    leaves = frozenset(_elsewhere(derivation, solved))
    sign, more = "<=" if condition.relation == "at most" else "=", reason(derivation, condition, solved)
    line = f"  {condition.name}  {said(condition)}, which is {written(condition.form)} {sign} 0. {more}"
    return [head, line, *drawn(derivation, branches(derivation, condition.row, leaves))]


def _elsewhere(derivation: Derivation, solved: Solved) -> Iterator[str]:
    """The conditions that hold their rows: those before, and every contribution that has to stay, whatever gives it."""
    before = derivation.solved[: derivation.solved.index(solved)]
    yield from (each.condition for each in before if each.condition is not None)
    yield from (each.name for each in derivation.conditions if each.relation == "reaches")


def why(derivation: Derivation, solved: Solved) -> str:
    """Why an unknown is what it is; with the later conditions, if some of its own unknowns are known only by them."""
    later = {each.symbol: each.condition for each in derivation.solved[derivation.solved.index(solved) + 1 :]}
    names = [condition for symbol in solved.known if (condition := later.get(symbol))]
    return f"{solved.why.rstrip('.')}, with {', '.join(names)}." if names else solved.why


def said(condition: Condition) -> str:
    """A condition with its row: `C8 <= 0`."""
    adds = f" + {written(condition.adds)}".replace("+ -", "- ") if condition.adds else ""
    return f"{condition.row}{adds} {'<=' if condition.relation == 'at most' else '='} 0"


def reason(derivation: Derivation, condition: Condition, solved: Solved) -> str:
    """Why it is not more: what grows then."""
    share = condition.form.get(solved.symbol, Fraction(0)) * HALF
    row = derivation.row(condition.row)
    grows = Exponents(dict.fromkeys(derivation.scales[:1], share))
    return f"Half a power more, and the {row.what} grows like {grows}."


def drawn(derivation: Derivation, lines: Iterator[Branch]) -> list[str]:
    """The lines of a tree in columns."""
    cells: list[tuple[str, ...]] = []
    for each in lines:
        row = each.row
        names = " = ".join(other.name for other in (*each.passed, row))
        on = "".join(f", {other.law}" for other in reversed(each.passed))
        sums = "; ".join(f"[{s}]" if s.share > 0 else str(s) for s in row.sums if s.how != "fixed")
        mirror = "[mirror] " if row.law == "mirror" else ""
        beside = f"  ({each.beside})" if each.beside else ""
        cells.append((f"{'  ' * (each.depth + 1)}{names}", row.what, f"{row.operation}{on}", f"{mirror}{sums}",
                      _noted(row, each.notes), f"{row.size}{beside}"))  # fmt: skip
    widths = [max((len(row[i]) for row in cells), default=0) for i in range(6)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _noted(row: Row, notes: Mapping[str, str]) -> str:
    return written({f"{name} ({notes[name]})" if name in notes else name: v for name, v in row.linear.items()})


def _read(solution: Answer, derivation: Derivation, name: str, number: str) -> list[str]:
    """A number that is read off rows and unknowns: epsilon, weight decay, further dampings."""
    rule = solution.parameters[name]
    size = getattr(rule, number, None) or rule.dampings.get(number)
    linear = derivation.readings[name][number]
    why = {
        "eps": "epsilon grows as what it is added to",
        "wd": next((text.rstrip(".") for text in solution.assumptions if text.startswith("Weight decay")),
                   "decay acts through lr * wd, which keeps one time scale"),
    }.get(number, "it grows as what it is added to")  # fmt: skip
    head = f"{number} = {size}, read from {written(linear)}: {why}."
    rows = [row for row in linear if row in derivation.by_name]
    known = frozenset(each.condition for each in derivation.solved if each.condition)
    return [head, *(line for row in rows for line in drawn(derivation, branches(derivation, row, known)))]


def _single(derivation: Derivation, name: str) -> list[str]:
    found = derivation[name]
    if isinstance(found, Condition):
        solved = next((each for each in derivation.solved if each.condition == name), None)
        return _unknown(derivation, solved.symbol, solved) if solved else [said(found)]
    return [
        f"{found.name}: the {found.what} {found.when} {goes(found.size)}.",
        *drawn(derivation, branches(derivation, name)),
    ]


def goes(size: Exponents) -> str:
    """A size in words."""
    return f"goes like {size}" if any(size.fractions.values()) else "stays as large as it is"


def _quantities(solution: Answer, derivation: Derivation, name: str) -> list[str]:
    """The sizes of a node: its value, its gradient, its changes, each with its tree."""
    rows = [row for row in derivation.rows if row.quantity == name and not row.second]
    if not rows:
        quantities = (row.quantity for row in derivation.rows)
        names = dict.fromkeys((*solution.parameters, *solution.multipliers, *quantities))
        raise UnknownName("parameter, node or row", name, names, where=f"graph {solution.graph!r}")
    lines: list[str] = []
    known = frozenset(each.condition for each in derivation.solved if each.condition)
    for stage in ("forward", "backward", "own"):
        here = [r for r in rows if r.stage == stage or (stage == "own" and r.stage == "change")]
        if here:
            top = max(here, key=lambda row: float(max(row.size.fractions.values(), default=Fraction(0))))
            lines += [
                f"the {top.what} {top.when} {goes(top.size)}:",
                *drawn(derivation, branches(derivation, top.name, known)),
                "",
            ]
    return lines[:-1]
