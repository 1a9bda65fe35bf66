"""What a user asks on the command line, as the arguments of the Python functions.

The options that many commands share are declared once, here, and turned into a graph, a solution, a direction.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from cyclopts import Parameter

from scalerules.boundary.amounts import LARGEST_SIZE, MOST_STEPS, seeds_of, several, whole
from scalerules.errors import ScaleRulesError, UnknownName

if TYPE_CHECKING:
    from scalerules.architecture.graph import Graph
    from scalerules.derivation.derive import Solution


Repeated = Parameter(negative="", show_default=False)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Question:
    """The options of every command that derives: what grows, how it is trained, what is asked."""

    optimizer: str = "adam"
    """How it is trained (scalerules list optimizers), or a FILE.py with a law of your own."""
    scale: Annotated[tuple[str, ...], Repeated] = ()
    """NAME[=GROWTH]: a scale that grows, such as width or state=1/4; repeatable. Others are held fixed. Of a torch
    module NAME=VALUES[:GROWTH], such as width=32,48,64; of a configuration NAME=FIELD, such as width=hidden_size."""
    mode: Literal["joint", "isolated"] = "joint"
    """All parameters move, or one step of each parameter alone."""
    gauge: str = "plain"
    """How the answer is written: where the multipliers stand (scalerules list gauges)."""
    alignment: str = "derived"
    """derived, or assumed: full, none, or a FILE with three exponents (of dW x, W dx, dW dx) per parameter."""
    steps: int = 3
    """Steps of training over which stability is asked for."""
    given: str | None = None
    """A FILE (.yaml, .json) with sizes that are fixed, or standard, ntk, mean-field, mup."""
    nonlazy: Annotated[bool, Parameter(negative="")] = False
    """With a growing depth: what changes has to count inside every block, not only in the sum over blocks."""
    lazy: Annotated[bool, Parameter(negative="")] = False
    """Where given sizes leave a parameter behind: its largest stable rate and a warning, not a clash."""
    tied: Annotated[tuple[str, ...], Repeated] = ()
    """all, or names and patterns with commas between them: parameters that share one learning rate; repeatable."""
    decay: Literal["time-scale", "update"] | None = None
    """What weight decay keeps: its time-scale in steps (as without this option), or its share of every update."""
    set: Annotated[tuple[str, ...], Repeated] = ()
    """NAME=VALUE: an option of the architecture, such as discretisation=euler; repeatable."""

    def graph(self, spec: str) -> Graph:
        """The graph that `spec` names, built with the options that were set."""
        from scalerules.catalogue import graph

        whole(self.steps, "--steps", 1, self.most_steps)
        return graph(spec, trace=traced_at(self.scale, fields=":" in spec), **pairs(self.set))

    @property
    def most_steps(self) -> int:
        """The most steps that `--steps` may name: more are a slip of the keyboard."""
        from scalerules.derivation.question import MOST_STEPS as most

        return most

    def scales(self, graph: Graph) -> dict[str, Fraction] | None:
        """The direction, or None where no scale was named."""
        direction: dict[str, Fraction] = {}
        for text in self.scale:
            name, _, growth = text.partition("=")
            if "," in growth or (hasattr(graph, "record") and fields_in(growth)):
                growth = growth.partition(":")[2]
            if name not in graph.scales:
                raise UnknownName("scale", name, graph.scales, where=f"graph {graph.name!r}")
            if name in direction:
                raise ScaleRulesError(f"--scale {text!r}: {name!r} stands twice")
            direction[name] = _growth(growth or "1", text)
        return direction or None

    def solve(self, spec: str) -> tuple[Graph, Solution]:
        """The graph and its solution."""
        from scalerules.derivation import derive

        graph = self.graph(spec)
        given = self.sizes_given()
        more = {"nonlazy": self.nonlazy, "lazy": self.lazy, "tied": self.groups(), "decay": self.decay}
        return graph, derive(graph, given=given, **more, **self.asked(graph))

    def groups(self) -> Any:
        """None, `all`, or groups of parameters."""
        if self.tied in ((), ("all",)):
            return "all" if self.tied else None
        return {text: [part.strip() for part in text.split(",")] for text in self.tied}

    def asked(self, graph: Graph) -> dict[str, Any]:
        """The arguments of `derive` and `classify` except `given`."""
        return {
            "optimizer": self.optimizer,
            "scales": self.scales(graph),
            "mode": self.mode,
            "gauge": self.gauge,
            "alignment": self.alignment_asked(),
            "steps": self.steps,
        }

    def alignment_asked(self) -> Any:
        """The name of an alignment, or what the file says: `{"h1": ["1", "1/2", "1"], "output": "full"}`."""
        file = Path(self.alignment)
        if not file.suffix:
            return self.alignment
        if not file.is_file():
            raise ScaleRulesError(f"there is no file {self.alignment!r}", hint="or one of: derived, full, none")
        from scalerules.architecture.documents import read

        data = read(file).data
        if not isinstance(data, Mapping):
            raise ScaleRulesError("holds no mapping of parameters to three exponents", file=self.alignment)
        return cast(Mapping[str, Any], data)

    def sizes_given(self) -> Any:
        """None, the name of a parametrization, or what the file says: `{"h1": {"init": {"width": "-1/2"}}}`."""
        from scalerules.derivation.parametrizations import PARAMETRIZATIONS

        if self.given is None or self.given in PARAMETRIZATIONS:
            return self.given
        if not Path(self.given).is_file():
            hint = f"one of: {', '.join(PARAMETRIZATIONS)}; or a file that is there"
            raise ScaleRulesError(f"unknown parametrization {self.given!r}", hint=hint)
        from scalerules.architecture.documents import read

        data = read(Path(self.given)).data
        if not isinstance(data, Mapping):
            raise ScaleRulesError("holds no mapping of parameters to sizes", file=self.given)
        written = cast(Mapping[str, Any], data)
        return written.get("parameters", written)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Trained(Question):
    """The options of every command that derives, but `steps` are those of a training run."""

    steps: int = 100
    """Steps of each run."""

    @property
    def most_steps(self) -> int:
        """The most steps of a training run."""
        return MOST_STEPS

    def asked(self, graph: Graph) -> dict[str, Any]:
        """The arguments of `Question.asked`; stability is asked for over as many steps as everywhere."""
        return super().asked(graph) | {"steps": Question.steps}


def numbers(text: str | None, option: str, few: int = 1, most: float = LARGEST_SIZE) -> list[float] | None:
    """The numbers of `64,128,256`, all above 0, at least `few` different ones. Raises `ScaleRulesError`."""
    if text is None:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise ScaleRulesError(f"{option} {text!r} is not a list of numbers", hint="such as 64,128,256") from None
    return several(values, option, few, most)


def whole_numbers(text: str, option: str) -> list[int]:
    """The whole numbers of `8,4,2`. Raises `ScaleRulesError`."""
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        hint = "such as 4, or 8,4,2"
        raise ScaleRulesError(f"{option} {text!r} is not a list of whole numbers", hint=hint) from None
    return seeds_of(counts, option)


def traced_at(texts: Sequence[str], fields: bool = True) -> dict[str, Any]:
    """The scales of `NAME=VALUES` with values, those of `NAME=FIELD` with fields. Raises `ScaleRulesError`.

    `fields` False: a graph that is no configuration has none.
    """
    scales: dict[str, Any] = {}
    for text in texts:
        name, _, values = text.partition("=")
        if fields and (named := fields_in(values)):
            scales[name] = named[0] if len(named) == 1 else named
        elif "," in values:
            numbers = values.partition(":")[0].split(",")
            if not all(number.strip().isdigit() and int(number) > 0 for number in numbers):
                hint = "whole numbers, such as width=32,48,64"
                raise ScaleRulesError(f"--scale {text!r}: {values!r} are no values of a scale", hint=hint)
            scales[name] = tuple(int(number) for number in numbers)
    return scales


def fields_in(values: str) -> tuple[str, ...]:
    """The fields of a configuration that are named in place of values, if there are any."""
    names = tuple(name.strip() for name in values.partition(":")[0].split(","))
    return names if all(name.isidentifier() for name in names) else ()


def _growth(text: str, whole: str) -> Fraction:
    from scalerules.architecture.specification import GROWTH

    if not GROWTH.fullmatch(text):
        hint = "a growth is a number or a fraction, such as state=1/4"
        raise ScaleRulesError(f"--scale {whole!r}: {text!r} is not a number", hint=hint)
    return Fraction(text)


def pairs(texts: Sequence[str]) -> dict[str, Any]:
    """`NAME=VALUE` with whole numbers, decimal numbers, true and false read as such."""
    pairs: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ScaleRulesError(f"--set {text!r} is not NAME=VALUE", hint="such as --set discretisation=euler")
        if name in pairs:
            raise ScaleRulesError(f"--set {text!r}: {name!r} stands twice")
        pairs[name] = _value(value)
    return pairs


def _value(text: str) -> str | int | float | bool:
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    if re.fullmatch(r"[+-]?(\d+\.\d*|\.\d+|\d+(?=e))(e[+-]?\d+)?", text):
        return float(text)
    return text
