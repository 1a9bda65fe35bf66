"""Records of published scaling rules as data: what a paper prints, in which setting, and why it may differ.

`scalerules.published` derives each of them and compares. A file of records is YAML or JSON; the project's own is
`published.yaml` beside this file, and a reader's file has the same form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from scalerules.architecture.documents import Document, Route, read
from scalerules.architecture.graph import Graph
from scalerules.architecture.specification import GROWTH, from_document
from scalerules.catalogue import graph as load
from scalerules.errors import ScaleRulesError, UnknownName

OWN = Path(__file__).parent / "published.yaml"
"""The project's records."""


def _exponent(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float | str) or not GROWTH.fullmatch(str(value)):
        raise ValueError(f"{value!r} is not an exponent, such as -1/2")
    return Fraction(str(value))


def _power(value: Any) -> Any:
    return value if isinstance(value, Mapping) else {"": value}  # pyright: ignore[reportUnknownVariableType]


def _names(value: object) -> object:
    return value.split() if isinstance(value, str) else value


Exponent = Annotated[Fraction, BeforeValidator(_exponent)]
Power = Annotated[dict[str, Exponent], BeforeValidator(_power)]
"""Exponents by scale; a plain number (the key `""`) is the exponent of the first scale of the direction."""
Quantity = Annotated[str, Field(pattern=r"^(init|mult|lr|eps|wd|damping \w+)$")]
"""A size of a parameter, or one of an optimizer's own dampings (`damping A`)."""
Names = Annotated[list[str], BeforeValidator(_names)]
"""Names as a list, or separated by spaces."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Setting(_Data):
    """What is derived: the arguments of `derive`; `gauge: own` is the one that the printed multipliers define."""

    graph: str
    options: dict[str, Any] = {}
    optimizer: Names = ["adam"]
    mode: str = "joint"
    gauge: str = "plain"
    scales: dict[str, Exponent] | None = None
    steps: int = 3
    alignment: str | dict[str, list[Exponent]] = "derived"
    given: str | dict[str, Any] | None = None
    lazy: bool = False
    nonlazy: bool = False


class Difference(_Data):
    """Why a printed exponent is not what the engine derives: `at` lists parameters (or patterns), `of` quantities."""

    at: Names
    of: Names
    kind: Literal["isolated step", "empirical choice", "misprint", "another assumption", "upper bound", "heuristic"]
    why: str


class Check(_Data):
    """One printed table, in one setting.

    `says` holds exponents by parameter (or pattern, or several names) and quantity (init, mult, lr, eps, wd, or the
    name of a damping); `multipliers` those of nodes without a parameter; `logs` the sizes that carry a logarithm.
    `regime`, `feature`, `rate` and `unstable` are what a given parametrization does (see `classify`). `clash` lists
    texts that have to occur in the equations that clash.
    """

    title: str = ""
    setting: Setting
    says: dict[str, dict[Quantity, Power]] = {}
    multipliers: dict[str, Power] = {}
    logs: dict[str, Names] = {}
    regime: Literal["unstable", "feature learning", "kernel"] | None = None
    feature: Exponent | None = None
    rate: Exponent | None = None
    unstable: Names | None = None
    clash: Names = []
    differs: list[Difference] = []

    @property
    def classifies(self) -> bool:
        """Whether it says what a given parametrization does."""
        return any(part is not None for part in (self.regime, self.feature, self.rate, self.unstable))

    @model_validator(mode="after")
    def _holds_something(self) -> Check:
        kinds = [bool(self.says or self.multipliers), self.classifies, bool(self.clash)]
        if sum(kinds) != 1:
            raise ValueError("needs either says (and multipliers), or regime (feature, rate, unstable), or clash")
        return self


class Record(_Data):
    """What one paper prints. `confidence`: read in the source, second-hand, or measured for this project."""

    id: str
    paper: str
    place: str = ""
    confidence: Literal["read", "second-hand", "measured"] = "read"
    says: str
    checks: list[Check] = Field(min_length=1)
    unchecked: str = ""


@dataclass(frozen=True)
class Records:
    """The records of one file, in order, and the graphs that it defines by name."""

    file: str
    records: tuple[Record, ...]
    graphs: Mapping[str, Graph]

    def graph(self, setting: Setting) -> Graph:
        """The graph of a setting: one of the file's own, a file beside it, or whatever the catalogue finds."""
        if setting.graph in self.graphs:
            if setting.options:
                raise ScaleRulesError("takes no options", where=f"graph {setting.graph!r}", file=self.file)
            return self.graphs[setting.graph]
        beside = Path(self.file).parent / setting.graph.partition(":")[0]
        spec = str(Path(self.file).parent / setting.graph) if beside.is_file() else setting.graph
        return load(spec, **setting.options)


def records(file: str | Path | None = None) -> Records:
    """The records of `file` (the project's own by default). Raises `ScaleRulesError` with line and column."""
    path = OWN if file is None else Path(file).expanduser()
    if not path.is_file():
        raise ScaleRulesError("there is no such file", file=str(path), hint="records are a .yaml or .json file")
    document = read(path)
    data = document.data
    if not isinstance(data, Mapping) or "records" not in data:
        raise ScaleRulesError("holds no records", file=str(path), hint="a mapping with the key 'records', a list")
    for key in data:  # pyright: ignore[reportUnknownVariableType]
        if key not in ("records", "graphs"):
            raise _at(document, (str(key),), UnknownName("key", str(key), ("records", "graphs")))  # pyright: ignore[reportUnknownArgumentType]
    try:
        listed = _File.model_validate({"records": document.data["records"]}).records
    except ValidationError as error:
        raise _invalid(document, error) from None
    graphs = {name: from_document(_part(document, ("graphs", name))) for name in document.data.get("graphs", {})}
    seen: set[str] = set()
    for index, record in enumerate(listed):
        if record.id in seen:
            raise _at(document, ("records", index), ScaleRulesError(f"the record {record.id!r} stands twice"))
        seen.add(record.id)
    return Records(str(path), tuple(listed), graphs)


class _File(_Data):
    records: list[Record]


def _part(document: Document, route: Route) -> Document:
    """The part of a document below `route`, with the places of the whole."""
    places = {r[len(route):]: place for r, place in document.places.items() if r[: len(route)] == route}  # fmt: skip
    return Document(document.file, document.at(route), places)


def _invalid(document: Document, error: ValidationError) -> ScaleRulesError:
    messages = error.errors()
    first = next((message for message in messages if message["type"] == "extra_forbidden"), messages[0])
    route: Route = tuple(part for part in first["loc"] if part not in ("[key]", ""))
    name = str(route[-1]) if route else "records"
    if first["type"] == "extra_forbidden":
        return _at(document, route, UnknownName("key", name, _keys(route)))
    if first["type"] == "missing":
        return _at(document, route, ScaleRulesError(f"needs the key {name!r}"))
    text = first["msg"].removeprefix("Value error, ")
    return _at(document, route, ScaleRulesError(f"{name}: {text[:1].lower()}{text[1:]}"))


def _keys(route: Route) -> list[str]:
    models: dict[str, type[_Data]] = {"setting": Setting, "differs": Difference, "checks": Check, "records": Record}
    owner = next((str(part) for part in reversed(route[:-1]) if part in models), "records")
    return list(models[owner].model_fields)


def _at(document: Document, route: Route, error: ScaleRulesError) -> ScaleRulesError:
    """`error` with the file, and line and column of what `route` leads to."""
    key = isinstance(error, UnknownName) and route in document.places
    place = document.places[route].key if key else document.locate(route)
    error.file, (error.line, error.column) = document.file, place
    return error
