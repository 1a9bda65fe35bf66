"""Checks the JSON of a solution, trusting nothing of what wrote it, with sympy: `python checker.py < FILE`."""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import sympy  # pyright: ignore[reportMissingTypeStubs]

NUMBER = re.compile(r"-?\d{1,9}(/[1-9]\d{0,8})?")
Linear = dict[str, Fraction]
READS = {"forward": "f", "gradient": "fbuoc"}  # the first letters of the passes that it reads, where not all


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
    names = dict.fromkeys(name for form, _ in parts for name in form)
    sums = ((name, sum(factor * form[name] for form, factor in parts if name in form)) for name in names)
    return {name: Fraction(share) for name, share in sums if share}


def failures(data: Mapping[str, Any]) -> Iterator[str]:
    """What does not follow, the first thing first, each with the row, the condition or the number."""
    story, along = data["derivation"], {scale: {"": number(growth)} for scale, growth in data["direction"].items()}
    sizes = {e["symbol"]: read(e["value"]) for e in story["solved"]} | {n: read(s) for n, s in story["growths"].items()}
    forms, seen, rows = dict[str, Linear](), dict[str, Linear](), dict[str, Any]()
    for row in story["rows"]:
        name, adds, follows = row["row"], read(row["adds"]), [(p, number(share)) for p, share in row["follows"]]
        if wrong := law(row, adds, rows, story["reads"]):
            yield f"row {name} does not follow by its law ({row['law']}): {wrong}"
        forms[name] = total((adds, 1), *((forms.get(parent, {}), share) for parent, share in follows))
        sizes[name], rows[name] = read(row["size"]), row
        if value(forms[name], sizes) != sizes[name]:
            yield f"row {name} does not follow: its rows and its law do not add up to the size {row['size']}"
        seen[name] = total((sizes[name], 1), (value(read(row.get("below", {})), sizes), 1))
    gives = {each["condition"]: each["symbol"] for each in story["solved"]}
    for condition in story["conditions"]:
        name, row, form = condition["name"], rows[condition["row"]], read(condition["form"])
        adds, symbol = read(condition["adds"]), gives.get(name, "")
        kept = (row["pass"], adds.get(f"u{symbol[1:]}")) in (("own", None), ("update", -1))
        bounds = form.get(symbol, 0) > 0 if condition["relation"] == "at most" else kept
        if form != total((forms[row["row"]], 1), (adds, 1)) or value(form, sizes) or not bounds:
            yield f"condition {name} is not what row {row['row']} says, or does not give {symbol}"
    yield from solved(story, sizes)
    yield from rules(data, story, sizes)
    yield from cone(data["cone"], {name: seen[name] for name, row in rows.items() if row.get("judged")}, along)
    for predicted in data["sizes"]:
        key = " ".join(str(predicted[part]) for part in ("quantity", "node", "step", "parameter") if part in predicted)
        size, row, apart = predicted["size"], story["shown"].get(key, ""), number(story.get("apart", {}).get(key, "0"))
        if size is not None and (row not in rows or number(size) != value(seen[row], along).get("", 0) + apart):
            yield f"the size of {key} is not that of row {row}"


def value(form: Mapping[str, Fraction], sizes: Mapping[str, Linear]) -> Linear:
    """The exponents of a linear form."""
    return total(*((sizes[name], share) for name, share in form.items()))


def law(row: Mapping[str, Any], adds: Linear, rows: Mapping[str, Any], reads: Mapping[str, list[str]]) -> str | None:
    """What is wrong with one application of a law, if anything."""
    if row["row"] in rows or not dict(row["follows"]).keys() <= rows.keys():
        return "rows that it follows from do not stand before it"
    around, sums = {*reads[row["at"]]}, [(axis, how, number(share)) for axis, how, share in row["sums"]]
    if total(*(({f"g_{axis}": s}, 1) for axis, _, s in sums)) != {n: s for n, s in adds.items() if n[:2] == "g_"}:
        return "the growths that it adds are not its sums"
    for axis, how, share in sums:
        right = {"aligned": share > 0 == share % 1, "independent": share > 0 == 2 * share % 1, "fixed": not share}
        if not (right | {"divided by": share < 0, "decaying": True, "scaled": True})[how]:
            return f"a sum over {axis} that is {how} does not give {share}"
    for parent, share in ((rows[name], share) for name, share in row["follows"]):
        there = parent["step"] <= row["step"] and parent["pass"][0] in READS.get(row["pass"], "fbguoc")
        itself = share < "0" and parent["of"] == row["at"] and parent["pass"][0] in "foc" and row["pass"][0] in "fboc"
        if not there or (itself and row["law"] != "mirror") or parent["of"] not in around:
            return f"{row['at']} does not read {parent['of']} there ({parent['row']})"
    normed = dict.fromkeys(("rms_norm", "layer_norm"), (-1,)) | {"gradient": (-1, 1, 2)}
    twice = (1, 2) if len(around) < len(reads[row["at"]]) else (1,)
    powers = ({"product": twice, "mirror": (1, 2), "update": adds.values()} | normed).get(row["law"], (1, 2))
    for name, share in ((name, share) for name, share in adds.items() if name[0] in "acmu"):
        if not {name[2:], name[2:] + "'"} & around or share not in (powers if name[0] == "a" else (1,)):
            return f"{row['at']} does not read {name}, {share} times"
    if len({(name, share < "0") for name, share in row["follows"]}) < len(row["follows"]):
        return "it follows twice from one row"
    return "it has no rate" if row["law"] == "update" and sum(name[0] in "cu" for name in adds) != 1 else None


def solved(story: Mapping[str, Any], sizes: Mapping[str, Linear]) -> Iterator[str]:
    """The unknowns, from the conditions and from those that no condition gives, which are as they are stated."""
    algebra: Any = sympy
    forms = {condition["name"]: read(condition["form"]) for condition in story["conditions"]}
    order = {each["symbol"]: forms[each["condition"]] for each in story["solved"] if each["condition"]}
    sums = [sum(algebra.Rational(str(s)) * algebra.Symbol(n) for n, s in f.items()) for f in order.values()]
    solutions: list[Any] = [*algebra.linsolve(sums, [*map(algebra.Symbol, order)]), [algebra.Symbol("")] * len(order)]
    for name, expression in zip(order, solutions[0], strict=True):
        shares = {str(growth): Fraction(str(s)) for growth, s in expression.as_coefficients_dict().items() if s}
        if shares.keys() & {"", *order} or value(shares, sizes) != sizes[name]:
            yield f"the unknown {name} is not what the conditions give"


def rules(data: Mapping[str, Any], story: Mapping[str, Any], sizes: Mapping[str, Linear]) -> Iterator[str]:
    """The numbers of the rules, from what they are read from."""
    for name, rule in data["parameters"].items():
        moved = {which: read(size) for which, size in story.get("moved", {}).get(name, {}).items()}
        for which, form in story["readings"][name].items():
            size = {**rule.get("dampings", {}), **rule}.get(which, {})
            if read(size) != total((value(read(form), sizes), 1), (moved.get(which, {}), 1)):
                yield f"the {which} of {name} is not what the derivation gives"
        if total((read(rule["mult"]), 1), (moved.get("init", {}), 1)) or ("init" in moved and data["gauge"] == "plain"):
            yield f"the multiplier of {name} is not taken from its initial size"
    wrong = [name for name, size in data["multipliers"].items() if sizes[f"m_{name}"] != read(size)]
    yield from (f"the multiplier {name} is not what the derivation gives" for name in wrong)


def cone(texts: list[str], judged: Mapping[str, Linear], along: Mapping[str, Linear]) -> Iterator[str]:
    """The directions in which no row grows."""
    bounds: list[Linear] = []
    for text in texts:
        sides = [[part.split("*") for part in side.split(" + ") if part != "0"] for side in text.split(" <= ")]
        left, right = (total(*(({part[-1]: number((["1"] + part)[-2])}, 1) for part in side)) for side in sides)
        bounds.append(bound := total((left, 1), (right, -1)))
        same = [size for size in judged.values() if implies(size, bound) and implies(bound, size)]
        if not same or value(bound, along).get("", 0) > 0:
            yield f"the cone {text} is that of no row"
    for name, size in judged.items():
        if any(share > 0 for share in size.values()) and not any(implies(bound, size) for bound in bounds):
            yield f"row {name} grows in a direction of the cone"


def implies(b: Linear, a: Linear) -> bool:
    """Whether `a <= 0` follows from `b <= 0` where no growth is negative: some `a - k b` has no positive entry."""
    pairs = [(a.get(name, Fraction(0)), b.get(name, Fraction(0))) for name in {*a, *b}]
    low = max([Fraction(0), *(x / y for x, y in pairs if y > 0)])
    return all(low <= x / y if y < 0 else x <= 0 for x, y in pairs if y <= 0)


if __name__ == "__main__":
    print("\n".join(failures(json.load(sys.stdin))) or "every row follows")
