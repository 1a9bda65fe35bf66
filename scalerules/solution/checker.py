"""Checks the JSON of a solution without trusting what wrote it: needs sympy and the standard library, nothing else.

`python checker.py FILE` says which row, condition or number does not follow: every row from its rows by its law, none
growing that must not; the unknowns from the conditions, solved by sympy; the numbers of the rules; the cone.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

import sympy  # pyright: ignore[reportMissingTypeStubs]

NUMBER = re.compile(r"-?\d{1,9}(/[1-9]\d{0,8})?")
Linear = dict[str, Fraction]
SHARES = {"aligned": 1, "independent": Fraction(1, 2)}


def read(mapping: Mapping[str, str]) -> Linear:
    """Exact numbers by name."""
    for name, text in mapping.items():
        if not isinstance(text, str) or not NUMBER.fullmatch(text):
            raise ValueError(f"{name} is {str(text)[:40]!r}, not an exact number")
    return {name: Fraction(text) for name, text in mapping.items() if Fraction(text)}


def total(*parts: tuple[Mapping[str, Fraction], Fraction | int]) -> Linear:
    """A sum of linear forms with factors."""
    found: Linear = {}
    for form, share in parts:
        for name, value in form.items():
            found[name] = found.get(name, Fraction(0)) + share * value
    return {name: value for name, value in found.items() if value}


def failures(data: Mapping[str, Any]) -> Iterator[str]:
    """What does not follow, the first thing first, each with the row, the condition or the number."""
    story, direction = data["derivation"], read(data["direction"])
    sizes = {each["symbol"]: read(each["value"]) for each in story["solved"]}
    sizes |= {name: read(size) for name, size in story["growths"].items()}
    forms, rows, judged = dict[str, Linear](), dict[str, Any](), dict[str, Linear]()

    def value(form: Mapping[str, Fraction]) -> Linear:
        return total(*((sizes[name], share) for name, share in form.items()))

    def along(size: Linear) -> Fraction:
        return sum((share * direction.get(scale, 0) for scale, share in size.items()), Fraction(0))

    for row in story["rows"]:
        name, adds = row["row"], read(row["adds"])
        if name in rows or any(parent not in rows for parent, _ in row["follows"]):
            yield f"row {name} follows from rows that do not stand before it"
            return
        if wrong := law(row, adds, rows, story["reads"]):
            yield f"row {name} does not follow by its law ({row['law']}): {wrong}"
        forms[name] = total((adds, 1), *((forms[parent], Fraction(share)) for parent, share in row["follows"]))
        sizes[name], rows[name] = read(row["size"]), row
        if value(forms[name]) != sizes[name]:
            yield f"row {name} does not follow: its rows and its law do not add up to the size {row['size']}"
        if row.get("judged"):
            judged[name] = total((sizes[name], 1), (value(read(row.get("below", {}))), 1))
            if along(judged[name]) > 0:
                yield f"row {name} grows, and has to stay"
    gives = {each["condition"]: each["symbol"] for each in story["solved"]}
    for each in story["conditions"]:
        name, row, form = each["name"], rows[each["row"]], read(each["form"])
        if form != total((forms[row["row"]], 1), (read(each["adds"]), 1)) or value(form):
            yield f"condition {name} is not what its row {row['row']} says, or does not hold with equality"
        bounds = {"at most": form.get(gives.get(name, ""), 0) > 0, "reaches": row["pass"] == "own"}
        if not bounds[each["relation"]] or name not in gives or row["pass"] in ("backward", "gradient", "update"):
            yield f"condition {name} does not bound {gives.get(name)}"
    yield from solved(story, sizes)
    yield from numbers(data, story, value)
    yield from cone(data["cone"], judged, direction)
    for each in data["sizes"]:
        key = " ".join(
            str(each[part]) for part in ("quantity", "node", "step", "parameter") if each.get(part, "") != ""
        )
        row = rows.get(story["shown"].get(key, ""))
        seen = row and along(total((sizes[row["row"]], 1), (value(read(row.get("below", {}))), 1)))
        apart = Fraction(story.get("apart", {}).get(key, 0))
        if each["size"] is not None and (seen is None or read({"": each["size"]}).get("", 0) != seen + apart):
            yield f"the size of {key} is not that of row {story['shown'].get(key)}"


def law(row: Mapping[str, Any], adds: Linear, rows: Mapping[str, Any], reads: Mapping[str, list[str]]) -> str | None:
    """What is wrong with one application of a law, if anything."""
    around, sums = reads[row["at"]], [(axis, how, read({axis: share}).get(axis, 0)) for axis, how, share in row["sums"]]
    if total(*(({f"g_{axis}": share}, 1) for axis, _, share in sums)) != {
        n: s for n, s in adds.items() if n[:2] == "g_"
    }:
        return "the growths that it adds are not its sums"
    for axis, how, share in sums:
        if (
            how in SHARES
            and (share <= 0 or share % SHARES[how])
            or share * (how == "fixed")
            or share * (how == "divided by") > 0
        ):
            return f"a sum over {axis} that is {how} does not give {share}"
    for parent, share in row["follows"]:
        read({parent: share})
        late = rows[parent]["step"] > row["step"] or row["pass"] == "forward" != rows[parent]["pass"]
        if late or rows[parent]["of"] not in around:
            return f"{row['at']} does not read {rows[parent]['of']} there ({parent})"
    for name in adds:
        if name[:2] in ("a_", "c_") and not {name[2:], name[2:] + "'"} & set(around):
            return f"{row['at']} does not read {name[2:]}"
    if row["law"] == "input" and (row["follows"] or adds):
        return "data has the size 0"
    return (
        "it has no rate"
        if row["law"] == "update" and not any(n[:2] == "c_" and s == 1 for n, s in adds.items())
        else None
    )


def solved(story: Mapping[str, Any], sizes: Mapping[str, Linear]) -> Iterator[str]:
    """The unknowns, from the conditions alone."""
    forms = {each["name"]: read(each["form"]) for each in story["conditions"]}
    order = {each["symbol"]: each["condition"] for each in story["solved"]}
    given = {
        name: total(({name: Fraction(1)}, 1), ({f"s_{k}": v for k, v in sizes[name].items()}, -1)) for name in order
    }
    rows = [forms[condition] if condition else given[name] for name, condition in order.items()]
    sums = [
        sympy.Add(*(sympy.Rational(v.numerator, v.denominator) * sympy.Symbol(n) for n, v in row.items()))
        for row in rows
    ]
    found = list(sympy.linsolve(sums, [sympy.Symbol(name) for name in order]))
    if not found or any(str(symbol) in order for part in found[0] for symbol in part.free_symbols):
        yield "the conditions do not give the unknowns"
        return
    for name, expression in zip(order, found[0], strict=True):
        shares = {
            str(symbol): Fraction(str(share)) for symbol, share in expression.as_coefficients_dict().items() if share
        }
        if (
            set(shares) - set(sizes)
            or total(*((sizes[symbol], share) for symbol, share in shares.items())) != sizes[name]
        ):
            yield f"the unknown {name} is not what the conditions give"


def numbers(data: Mapping[str, Any], story: Mapping[str, Any], value: Callable[[Linear], Linear]) -> Iterator[str]:
    """The numbers of the rules, from what they are read from."""
    for name, rule in data["parameters"].items():
        moved = {number: read(size) for number, size in story.get("moved", {}).get(name, {}).items()}
        for number, form in story["readings"][name].items():
            size = {**rule.get("dampings", {}), **rule}.get(number)
            if size is not None and read(size) != total((value(read(form)), 1), (moved.get(number, {}), 1)):
                yield f"the {number} of {name} is not what the derivation gives"
        start = moved.get("init", {})
        if total((read(rule["mult"]), 1), (start, 1)) or (start and data["gauge"] == "plain"):
            yield f"the multiplier of {name} is not taken from its initial size"
    for name, size in data["multipliers"].items():
        if value({f"m_{name}": Fraction(1)}) != read(size):
            yield f"the multiplier {name} is not what the derivation gives"


def cone(texts: list[str], judged: Mapping[str, Linear], direction: Linear) -> Iterator[str]:
    """The directions in which no row grows."""
    bounds: dict[str, Linear] = {}
    for text in texts:
        parts = [
            (part.split("*"), sign)
            for side, sign in zip(text.split(" <= "), (1, -1), strict=True)
            for part in side.split(" + ")
        ]
        bounds[text] = total(
            *(({part[-1]: read({text: (["1"] + part)[-2]})[text]}, sign) for part, sign in parts if part != ["0"])
        )
        same = any(implies(size, bounds[text]) and implies(bounds[text], size) for size in judged.values())
        if not same or sum(share * direction.get(scale, 0) for scale, share in bounds[text].items()) > 0:
            yield f"the cone {text} is that of no row"
    for name, size in judged.items():
        if any(share > 0 for share in size.values()) and not any(implies(bound, size) for bound in bounds.values()):
            yield f"row {name} grows in a direction of the cone"


def implies(b: Linear, a: Linear) -> bool:
    """Whether `a <= 0` follows from `b <= 0` where no growth is negative: some `a - k b` has no positive entry."""
    pairs = [(a.get(name, Fraction(0)), b.get(name, Fraction(0))) for name in {*a, *b}]
    low = max([Fraction(0), *(x / y for x, y in pairs if y > 0)])
    return all(x <= 0 for x, y in pairs if not y) and all(low <= x / y for x, y in pairs if y < 0)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        found = list(failures(json.load(file)))
    print("\n".join(found) or "every row follows")
    sys.exit(bool(found))
