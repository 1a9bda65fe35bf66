"""Checks the JSON of a solution without trusting what wrote it: needs sympy and the standard library, nothing else.

`python checker.py FILE` says which row, condition or number does not follow: every row from its rows by its law, none
growing that must not; the unknowns from the conditions, solved by sympy; the numbers of the rules; the cone.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import sympy  # pyright: ignore[reportMissingTypeStubs]

NUMBER = re.compile(r"-?\d{1,9}(/[1-9]\d{0,8})?")
SHARES = {"aligned": Fraction(1), "independent": Fraction(1, 2)}
Linear = dict[str, Fraction]


def number(text: Any) -> Fraction:
    """An exact number."""
    if not isinstance(text, str) or not NUMBER.fullmatch(text):
        raise ValueError(f"{str(text)[:40]!r} is not an exact number")
    return Fraction(text)


def read(mapping: Mapping[str, str]) -> Linear:
    """Exact numbers by name, without those that are 0."""
    return {name: number(text) for name, text in mapping.items() if number(text)}


def total(*parts: tuple[Mapping[str, Fraction], Fraction | int]) -> Linear:
    """A sum of linear forms with factors."""
    found: Linear = {}
    for form, share in parts:
        for name, value in form.items():
            found[name] = found.get(name, Fraction(0)) + share * value
    return {name: value for name, value in found.items() if value}


def failures(data: Mapping[str, Any]) -> Iterator[str]:
    """What does not follow, the first thing first, each with the row, the condition or the number."""
    story, direction, forms, rows = data["derivation"], read(data["direction"]), dict[str, Linear](), dict[str, Any]()
    sizes = {name: read(size) for name, size in story["growths"].items()}
    sizes |= {each["symbol"]: read(each["value"]) for each in story["solved"]}
    judged, seen = dict[str, Linear](), dict[str, Linear]()
    for row in story["rows"]:
        name, adds, follows = row["row"], read(row["adds"]), [(p, number(share)) for p, share in row["follows"]]
        if name in rows or any(parent not in rows for parent, _ in follows):
            yield f"row {name} follows from rows that do not stand before it"
            return
        if wrong := law(row, adds, rows, story["reads"]):
            yield f"row {name} does not follow by its law ({row['law']}): {wrong}"
        forms[name], rows[name] = total((adds, 1), *((forms[parent], share) for parent, share in follows)), row
        sizes[name] = read(row["size"])
        if value(forms[name], sizes) != sizes[name]:
            yield f"row {name} does not follow: its rows and its law do not add up to the size {row['size']}"
        seen[name] = total((sizes[name], 1), (value(read(row.get("below", {})), sizes), 1))
        if row.get("judged"):
            judged[name] = seen[name]
            if value(seen[name], direction) > 0:
                yield f"row {name} grows, and has to stay"
    gives = {each["condition"]: each["symbol"] for each in story["solved"]}
    for each in story["conditions"]:
        name, row, form = each["name"], rows[each["row"]], read(each["form"])
        if form != total((forms[row["row"]], 1), (read(each["adds"]), 1)) or value(form, sizes):
            yield f"condition {name} is not what its row {row['row']} says, or does not hold with equality"
        bounds = {"at most": form.get(gives.get(name, ""), 0) > 0, "reaches": row["pass"] == "own"}
        if not bounds[each["relation"]] or name not in gives or row["pass"] in ("backward", "gradient", "update"):
            yield f"condition {name} does not bound {gives.get(name)}"
    yield from solved(story, sizes)
    yield from rules(data, story, sizes)
    yield from cone(data["cone"], judged, direction)
    for each in data["sizes"]:
        key = " ".join(str(each[part]) for part in ("quantity", "node", "step", "parameter") if part in each)
        size, row = each["size"], story["shown"].get(key, "")
        apart = number(story.get("apart", {}).get(key, "0"))
        if size is not None and (row not in rows or number(size) != value(seen[row], direction) + apart):
            yield f"the size of {key} is not that of row {row}"


def value(form: Mapping[str, Fraction], sizes: Mapping[str, Any]) -> Any:
    """The exponents of a linear form; of exponents, the size along a direction (its growths as numbers)."""
    if all(isinstance(size, Fraction) for size in sizes.values()):
        return sum((share * sizes.get(name, 0) for name, share in form.items()), Fraction(0))
    return total(*((sizes[name], share) for name, share in form.items()))


def law(row: Mapping[str, Any], adds: Linear, rows: Mapping[str, Any], reads: Mapping[str, list[str]]) -> str | None:
    """What is wrong with one application of a law, if anything."""
    around, sums = reads[row["at"]], [(axis, how, number(share)) for axis, how, share in row["sums"]]
    if total(*(({f"g_{axis}": s}, 1) for axis, _, s in sums)) != {n: s for n, s in adds.items() if n[:2] == "g_"}:
        return "the growths that it adds are not its sums"
    for axis, how, share in sums:
        wrong = how in SHARES and (share <= 0 or share % SHARES[how])
        if wrong or share * (how == "fixed") or share * (how == "divided by") > 0:
            return f"a sum over {axis} that is {how} does not give {share}"
    for parent, _ in row["follows"]:
        late = rows[parent]["step"] > row["step"] or row["pass"] == "forward" != rows[parent]["pass"]
        if late or rows[parent]["of"] not in around:
            return f"{row['at']} does not read {rows[parent]['of']} there ({parent})"
    for name in adds:
        if name[:2] in ("a_", "c_") and not {name[2:], name[2:] + "'"} & set(around):
            return f"{row['at']} does not read {name[2:]}"
    rate = any(name[:2] == "c_" and share == 1 for name, share in adds.items())
    return "it has no rate" if row["law"] == "update" and not rate else None


def solved(story: Mapping[str, Any], sizes: Mapping[str, Linear]) -> Iterator[str]:
    """The unknowns, from the conditions alone; those that no condition gives are taken as they are stated."""
    forms, order = {each["name"]: read(each["form"]) for each in story["conditions"]}, dict[str, Linear]()
    for name, condition in ((each["symbol"], each["condition"]) for each in story["solved"]):
        given = {name: Fraction(-1), **{f"s_{scale}": share for scale, share in sizes[name].items()}}
        order[name] = forms[condition] if condition else given
    exact = [{n: sympy.Rational(v.numerator, v.denominator) for n, v in form.items()} for form in order.values()]
    sums = [sympy.Add(*(share * sympy.Symbol(name) for name, share in form.items())) for form in exact]
    found = list(sympy.linsolve(sums, [sympy.Symbol(name) for name in order]))
    if not found or any(str(symbol) in order for part in found[0] for symbol in part.free_symbols):
        yield "the conditions do not give the unknowns"
        return
    for name, expression in zip(order, found[0], strict=True):
        shares = {str(symbol): Fraction(str(s)) for symbol, s in expression.as_coefficients_dict().items() if s}
        if set(shares) - set(sizes) or value(shares, sizes) != sizes[name]:
            yield f"the unknown {name} is not what the conditions give"


def rules(data: Mapping[str, Any], story: Mapping[str, Any], sizes: Mapping[str, Linear]) -> Iterator[str]:
    """The numbers of the rules, from what they are read from."""
    for name, rule in data["parameters"].items():
        moved = {which: read(size) for which, size in story.get("moved", {}).get(name, {}).items()}
        for which, form in story["readings"][name].items():
            size = {**rule.get("dampings", {}), **rule}.get(which)
            if size is not None and read(size) != total((value(read(form), sizes), 1), (moved.get(which, {}), 1)):
                yield f"the {which} of {name} is not what the derivation gives"
        if total((read(rule["mult"]), 1), (moved.get("init", {}), 1)) or ("init" in moved and data["gauge"] == "plain"):
            yield f"the multiplier of {name} is not taken from its initial size"
    for name, size in data["multipliers"].items():
        if sizes[f"m_{name}"] != read(size):
            yield f"the multiplier {name} is not what the derivation gives"


def cone(texts: list[str], judged: Mapping[str, Linear], direction: Linear) -> Iterator[str]:
    """The directions in which no row grows."""
    bounds: dict[str, Linear] = {}
    for text in texts:
        sides = [[part.split("*") for part in side.split(" + ") if part != "0"] for side in text.split(" <= ")]
        left, right = (total(*(({part[-1]: number((["1"] + part)[-2])}, 1) for part in side)) for side in sides)
        bound = bounds[text] = total((left, 1), (right, -1))
        same = any(implies(size, bound) and implies(bound, size) for size in judged.values())
        if not same or value(bound, direction) > 0:
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
    print("\n".join(failures(json.loads(Path(sys.argv[1]).read_text("utf-8")))) or "every row follows")
