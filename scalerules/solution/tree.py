"""The story of one exponent: the condition that gave it, and the tree of rows above, each with what it follows from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from functools import partial
from itertools import groupby

from scalerules.errors import UnknownName
from scalerules.sizes.exponents import Exponents

from .answer import Answer
from .branches import Branch, Trees
from .derivation import Condition, Derivation, Row, Solved, written
from .views import heading

HALF = Fraction(1, 2)

READ = (
    "A line is a row: name, quantity, operation, sums, size in symbols, factor; what it follows from stands below it, "
    "one step in. Words: scalerules explain --glossary"
)
"""How a tree is read."""

Parts = dict[str, list[str]]
"""The rows that are told apart, each with the lines of its story."""


def explained(solution: Answer, name: str) -> str:
    """Why every number of a parameter, or the size of a quantity or a row, is what it is."""
    derivation = solution.derivation
    if derivation is None:
        return _without(solution, name)
    parts: Parts = {}
    if name in solution.parameters or name in solution.multipliers:
        told = _numbers(solution, derivation, name, parts)
    elif name in derivation.by_name:
        told = [_single(derivation, name, parts)]
    else:
        told = _quantities(solution, derivation, name, parts)
    paragraphs = [[f"{name} in {heading(solution)}"], *told, *parts.values(), [READ]]
    return "\n\n".join("\n".join(lines) for lines in paragraphs) + "\n"


def _without(solution: Answer, name: str) -> str:
    """What is said without a derivation: the sentences alone."""
    if name not in solution.explanations:
        solution[name]
    found = [f"{e.quantity} = {e.size}. {e.equation}" for e in solution.explanations.get(name, ())]
    return "\n".join([*found, "There is no derivation here: derive again to see how it follows."]) + "\n"


def _numbers(solution: Answer, derivation: Derivation, name: str, parts: Parts) -> list[list[str]]:
    told = [tell(parts) for tell in _tellers(solution, derivation, name).values()]
    if solution.gauge != "plain" and name in solution.parameters:
        rule = solution[name]
        told.append([f"In the gauge {solution.gauge}: init {rule.init}, mult {rule.mult}, lr {rule.lr}."])
    return told


def sections(solution: Answer, derivation: Derivation, name: str) -> dict[str, list[str]]:
    """By number of a parameter or a multiplier: a sentence, the lines of its tree, and of those that are told apart."""
    found: dict[str, list[str]] = {}
    for number, tell in _tellers(solution, derivation, name).items():
        parts: Parts = {}
        found[number] = tell(parts)
        found[number] += (line for part in parts.values() for line in part)
    return found


def _tellers(solution: Answer, derivation: Derivation, name: str) -> dict[str, Callable[[Parts], list[str]]]:
    """By number, what tells a sentence and the lines of its tree, and adds to the parts what is told apart."""
    found: dict[str, Callable[[Parts], list[str]]] = {}
    for symbol, number in ((f"m_{name}", "mult"), (f"a_{name}", "init"), (f"c_{name}", "lr")):
        if (solved := derivation.of(symbol)) is not None:
            found[number] = partial(_unknown, derivation, number, solved)
    for number in derivation.readings.get(name, {}):
        if number not in ("init", "lr"):
            found[number] = partial(_read, solution, derivation, name, number)
    return found


def _unknown(derivation: Derivation, number: str, solved: Solved, parts: Parts) -> list[str]:
    """One unknown: the condition that gave it and the tree above."""
    if solved.condition is None:
        return [f"{number} = {solved.value}. {solved.why}"]
    condition = derivation.condition(solved.condition)
    head = f"{number} = {solved.value} by {condition.name}: {condition.words}."
    sign, more = "<=" if condition.relation == "at most" else "=", reason(derivation, condition, solved)
    line = f"  {condition.name}  {said(condition)}, which is {written(condition.form)} {sign} 0. {more}"
    found = [head, line, *tree(derivation, condition.row, _elsewhere(derivation, solved), parts)]
    update = derivation.of(f"u{solved.symbol[1:]}") if solved.symbol.startswith("c_") else None
    if update is None or update.symbol not in condition.adds:
        return found
    return [*found, *_unknown(derivation, update.symbol, update, parts)]


def tree(derivation: Derivation, start: str, leaves: Iterable[str], parts: Parts, solved: bool = True) -> list[str]:
    """The lines of the tree above a row; adds to `parts` the rows that it leaves to be told apart.

    `leaves`: the conditions that hold their rows; `solved`: whether rows have a size.
    """
    trees = Trees(derivation, frozenset(leaves), dict.fromkeys(parts), solved)
    lines = _drawn(trees.lines(start), solved)
    for name in trees.apart:
        if name not in parts:
            row, parts[name] = derivation.row(name), []
            head = f"{name}: the {row.what} {derivation.when(row)}{f' {goes(row.size)}' if solved else ''}."
            parts[name] = [head, *tree(derivation, name, trees.leaves, parts, solved)]
    return lines


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
    what = "own contribution beyond the saddle" if row.stage == "update" else row.what
    grows = Exponents(dict.fromkeys(derivation.scales[:1], share))
    return f"Half a power more, and the {what} grows like {grows}."


def _drawn(lines: Iterable[Branch], sizes: bool) -> list[str]:
    """The lines of a tree in columns."""
    cells: list[tuple[str, ...]] = []
    for each in lines:
        row = each.row
        names, on = " = ".join(each.names), "".join(f", {law}" for law in _laws(each.passed))
        sums = [f"[{s}]" if s.share > 0 else str(s) for s in row.sums if s.how != "fixed"]
        sums = "; ".join([*(f"[{law}]" for law in laws(row) if law not in ("normalised", "constant part")), *sums])
        beside = f"  ({each.beside})" if each.beside else ""
        cells.append((f"{'  ' * (each.depth + 1)}{names}", row.what, f"{row.operation}{on}", sums,
                      _noted(row, each.notes), f"{row.size}{beside}" if sizes else ""))  # fmt: skip
    widths = [max((len(row[i]) for row in cells), default=0) for i in range(6)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def laws(row: Row) -> list[str]:
    """What is said of a law beside its sums."""
    if row.law == "mirror":
        return [" of ".join(["mirror", *(name for name, share in row.follows if share < 0)])]
    if row.stage == "update":
        return ["normalised"] if any(name not in row.linear for name, _ in row.follows) else []
    if row.law in ("input", "product", "loss", "recurrence"):
        return []
    constant = row.stage == "forward" and not row.follows and not row.adds
    return ["constant part"] if constant else ["square"] if list(row.linear.values()) == [2] else []


def _laws(passed: Iterable[Row]) -> Iterator[str]:
    """The laws by which rows are passed on, from the first to the last one; how often in a row."""
    for law, rows in groupby(reversed(list(passed)), lambda row: row.law):
        times = len(list(rows))
        yield f"{law} x {times}" if times > 1 else law


def _noted(row: Row, notes: Mapping[str, str]) -> str:
    return written({f"{name} ({notes[name]})" if name in notes else name: v for name, v in row.linear.items()})


def _read(solution: Answer, derivation: Derivation, name: str, number: str, parts: Parts) -> list[str]:
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
    return [head, *(line for row in rows for line in tree(derivation, row, _known(derivation), parts))]


def _known(derivation: Derivation) -> Iterator[str]:
    """The conditions that gave an unknown: all that there are."""
    yield from (each.condition for each in derivation.solved if each.condition)


def _single(derivation: Derivation, name: str, parts: Parts) -> list[str]:
    found = derivation[name]
    if isinstance(found, Condition):
        solved = next((each for each in derivation.solved if each.condition == name), None)
        return _unknown(derivation, solved.symbol, solved, parts) if solved else [said(found)]
    head = f"{found.name}: the {found.what} {derivation.when(found)} {goes(found.size)}."
    return [head, *tree(derivation, name, (), parts)]


def goes(size: Exponents) -> str:
    """A size in words."""
    return f"goes like {size}" if any(size.fractions.values()) else "neither grows nor vanishes"


def _quantities(solution: Answer, derivation: Derivation, name: str, parts: Parts) -> list[list[str]]:
    """The sizes of a node: its value, its gradient, its changes, each with its tree."""
    rows = [row for row in derivation.rows if row.quantity == name and not row.second]
    if not rows:
        quantities = (row.quantity for row in derivation.rows)
        names = dict.fromkeys((*solution.parameters, *solution.multipliers, *quantities))
        raise UnknownName("parameter, node or row", name, names, where=f"graph {solution.graph!r}")
    told: list[list[str]] = []
    for stages in (("forward",), ("backward",), ("own", "change")):
        here = [row for row in rows if row.stage in stages]
        if here:
            top = max(here, key=lambda row: float(max(row.size.fractions.values(), default=Fraction(0))))
            head = f"the {top.what} {derivation.when(top)} {goes(top.size)}:"
            told.append([head, *tree(derivation, top.name, _known(derivation), parts)])
    return told
