"""Pieces of Python text: identifiers, numbers, lengths, powers of scales, lines that fit.

`source/model.py` (the model) and `source/recipe.py` (its initialisation and groups) are written with these.
"""

from __future__ import annotations

import builtins
import keyword
import re
import textwrap
import unicodedata
from collections.abc import Callable, Iterable
from fractions import Fraction

from scalerules.errors import one_line
from scalerules.sizes.exponents import Exponents
from scalerules.sizes.lengths import Length, Monomial

WIDTH = 120


_NOT_IN_WORDS = re.compile(r"[^0-9A-Za-z_\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u017f\u0391-\u03a9\u03b1-\u03c9]")
"""What no identifier of an emitted file holds: all but digits, underscores, Latin and Greek letters."""


class Identifiers:
    """Gives every name of a graph a Python identifier of its own: `attention.q` becomes `attention_q`."""

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._given: dict[str, str] = {}
        self._taken = {*keyword.kwlist, *keyword.softkwlist, *dir(builtins), *reserved}

    @property
    def given(self) -> frozenset[str]:
        """All identifiers that were given."""
        return frozenset(self._given.values())

    def __call__(self, name: str) -> str:
        """The identifier of `name`, the same one every time."""
        if name not in self._given:
            # Python reads identifiers in the form NFKC: two names that only this tells apart would be one variable
            word = _NOT_IN_WORDS.sub("_", unicodedata.normalize("NFKC", name))
            # two underscores in front mean something else inside a class
            word = word if word.isidentifier() and not word.startswith("__") else f"x_{word}"
            while word in self._taken:
                word += "_"
            self._taken.add(word)
            self._given[name] = word
        return self._given[name]


def shown(text: str) -> str:
    """The text in one line that shows every character: line ends, marks of direction and the like as escapes.

    All text that stands in a comment, a docstring or a string of an emitted file has passed here.
    """
    return one_line(text)


def quoted(text: str) -> str:
    r"""The text as a Python literal in double quotes; a quote in it is `\x22`, so that quotes are ends of strings."""
    return '"' + shown(text.replace("\\", "\\\\")).replace('"', "\\x22") + '"'


def documented(text: str) -> str:
    """The text as it stands in a docstring of three double quotes, line by line; something that is no quote follows."""
    lines = [shown(line) for line in text.split("\n")]
    return "\n".join(lines).replace("\\", "\\\\").replace('"""', r"\"\"\"")


def number(value: float) -> str:
    """A number as a reader would write it: 64, 0.25."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.12g}"


def power(base: str, exponent: Fraction) -> str:
    """`width`, `width**-1`, `width ** (-1 / 2)`, `(width / 64) ** -1`; `base` is a name or stands in parentheses."""
    if exponent == 1:
        return base
    if exponent.denominator == 1:
        return f"{base}**{exponent}" if base.isidentifier() else f"{base} ** {exponent}"
    return f"{base} ** ({exponent.numerator} / {exponent.denominator})"


def fractions(exponents: Exponents | None) -> dict[str, Fraction]:
    """The exponents that are not zero, exact."""
    exact = exponents.fractions if exponents is not None else {}
    return {scale: exponent for scale, exponent in exact.items() if exponent}


def scaled(start: str, exponents: Exponents | None, ratio: Callable[[str], str]) -> str:
    """Code for `start` times the ratios to the power of the exponents; `ratio` gives the code of a scale's ratio."""
    factors = [power(ratio(scale), exponent) for scale, exponent in fractions(exponents).items()]
    return " * ".join(factors if start == "1.0" and factors else [start, *factors])


def law(exponents: Exponents | None) -> str:
    """The exponents for a reader: `width^(-1/2) state`, or `1`."""
    words = {
        scale: scale if e == 1 else f"{scale}^{e}" if e.denominator == 1 else f"{scale}^({e})"
        for scale, e in fractions(exponents).items()
    }
    return " ".join(words.values()) or "1"


def value_code(length: Length, names: Identifiers) -> str:
    """Code for the value of a length (not rounded) in the scales."""
    return " + ".join(_monomial(monomial, names) for monomial in length.monomials)


def _monomial(monomial: Monomial, names: Identifiers) -> str:
    constant = monomial.constant
    simple = constant.denominator <= 10_000
    above = [number(float(constant.numerator)) if simple else number(float(constant))]
    above += [power(names(s), p) for s, p in monomial.powers if p > 0 or p.denominator > 1]
    below = [str(constant.denominator)] if simple and constant.denominator > 1 else []
    below += [power(names(s), -p) for s, p in monomial.powers if p < 0 and p.denominator == 1]
    if above[0] == "1" and len(above) > 1:
        above = above[1:]
    return " / ".join([" * ".join(above), *below])


def assign(target: str, expression: str, indent: int) -> list[str]:
    """`target = expression` in as many lines as it needs, broken as a formatter breaks them."""
    return item(f"{target} = ", expression, "", indent)


def item(start: str, expression: str, end: str, indent: int) -> list[str]:
    """`start expression end`, where the expression, if it is a call or a bracket, breaks between its arguments."""
    pad = " " * indent
    if indent + len(start + expression + end) <= WIDTH:
        return [pad + start + expression + end]
    opened = _outer(expression)
    if opened < 0:
        return [f"{pad}{start}(", f"{pad}    {expression}", f"{pad}){end}"]
    inside = expression[opened + 1 : -1]
    body = [f"{pad}    {inside}"]
    if len(body[0]) > WIDTH or expression[opened] != "(":
        body = [line for part in arguments(inside) for line in item("", part, ",", indent + 4)]
    return [pad + start + expression[: opened + 1], *body, pad + expression[-1] + end]


def _outer(expression: str) -> int:
    """Where the last bracket opens that closes at the end of the expression; -1 where there is none."""
    if expression[-1:] not in (")", "]", "}"):
        return -1
    depth, string = 0, False
    for index in range(len(expression) - 1, -1, -1):
        string ^= expression[index] == '"'
        if string:
            continue
        depth += (expression[index] in ")]}") - (expression[index] in "([{")
        if depth == 0:
            return index
    return -1


def arguments(text: str) -> list[str]:
    """The parts of `text` between the commas that stand in no bracket and no string."""
    parts, depth, string = [""], 0, False
    for character in text:
        string ^= character == '"'
        depth += 0 if string else (character in "([{") - (character in ")]}")
        if character == "," and not depth and not string:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def commented(text: str, indent: int) -> list[str]:
    """The text as comment lines that fit."""
    pad = " " * indent + "# "
    line = shown(" ".join(text.split()))
    return textwrap.wrap(line, WIDTH, initial_indent=pad, subsequent_indent=pad, break_long_words=False)
