"""Graphs as data: made from YAML and JSON, with a message that says where a mistake stands, and written readably."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalerules.errors import GraphError, ScaleRulesError, UnknownName
from scalerules.ops.node import Node, Parameter

from .documents import Document, Route, read
from .graph import Graph

if TYPE_CHECKING:
    from pydantic import ValidationError


GROWTH = re.compile(r"[+-]?\d{1,9}(?:\.\d{1,9}|/0*[1-9]\d{0,8})?")
"""A growth as text: a fraction or a decimal number of usual length."""


def read_graph(file: Path) -> Graph:
    """The graph in a YAML or JSON file. Raises `ScaleRulesError` with file, line, column and the nearest name."""
    return from_document(read(file))


def from_document(document: Document) -> Graph:
    """The graph that a document holds. Raises `ScaleRulesError`; every message says where the mistake stands."""
    from pydantic import ValidationError

    _check_growths(document)
    try:
        graph = Graph.model_validate(document.data)
    except ValidationError as error:
        raise _placed(document, invalid(error), _where(document, _first(error))) from None
    except ScaleRulesError as error:
        raise _placed(document, error, _pointed(document, error)) from None
    nodes = {route[-1]: place for route, place in document.places.items() if route[-2:-1] in (("nodes",), ("body",))}
    graph.written_at({str(name): f"{document.file}:{place.key[0]}" for name, place in nodes.items()})
    return graph


def invalid(error: ValidationError) -> ScaleRulesError:
    """The first message of pydantic as one of ours, with the nearest valid name where a name is not known."""
    first = _first(error)
    route: Route = tuple(first["loc"])
    where = _owner(route)
    if first["type"] == "extra_forbidden":
        model = Graph if len(route) == 1 else Parameter if route[0] == "parameters" else Node
        return UnknownName("key", str(route[-1]), model.model_fields, where=where)
    if first["type"] == "missing":
        return GraphError(f"needs the key {route[-1]!r}", where=where)
    if first["type"] == "literal_error":
        expected = re.findall(r"'([^']*)'", str(first.get("ctx", {}).get("expected", "")))
        return UnknownName(str(route[-1]), str(first["input"]), expected, where=where)
    what = re.sub(r"a valid dictionary( or instance of \w+)?", "a mapping", first["msg"][:1].lower() + first["msg"][1:])
    return GraphError(f"{route[-1] if route else 'the graph'}: {what}", where=where)


def _first(error: ValidationError) -> Any:
    """The message to show: a key that is not known rather than the one that is missing for it."""
    messages = error.errors()
    return next((message for message in messages if message["type"] == "extra_forbidden"), messages[0])


def _check_growths(document: Document) -> None:
    """Refuses a growth such as `1e999999999`, whose exact value would fill the memory, before it is computed."""
    for route in document.places:
        if len(route) == 2 and route[0] == "scales":
            growth = document.at(route)
            if isinstance(growth, str) and not GROWTH.fullmatch(growth):
                what = f"the growth {growth[:40]!r} is not a number"
                error = GraphError(what, where=f"scale {route[1]!r}", hint="such as 1/4")
                raise _placed(document, error, document.locate(route))


def _owner(route: Route) -> str | None:
    """The parameter or the (innermost) node that a route passes through."""
    if route[:1] == ("parameters",) and len(route) > 1:
        return f"parameter {route[1]!r}"
    if route[:1] in (("axes",), ("scales",)) and len(route) > 1:
        return f"{'axis' if route[0] == 'axes' else 'scale'} {route[1]!r}"
    names = [after for before, after in zip(route, route[1:], strict=False) if before in ("nodes", "body")]
    return f"node {names[-1]!r}" if names else None


def _placed(document: Document, error: ScaleRulesError, place: tuple[int, int]) -> ScaleRulesError:
    """`error` with the file and this line and column."""
    error.file, (error.line, error.column) = document.file, place
    return error


def _where(document: Document, message: Any) -> tuple[int, int]:
    """Line and column of what a message of pydantic is about: a wrong key, or a wrong value."""
    route: Route = tuple(message["loc"])
    return document.places[route].key if message["type"] == "extra_forbidden" else document.locate(route)


_HOLDERS = {"node": ("nodes", "body"), "parameter": ("parameters",), "axis": ("axes",), "scale": ("scales",)}


def _pointed(document: Document, error: ScaleRulesError) -> tuple[int, int]:
    """Line and column that a message of the graph points to.

    `where` names a node, a parameter or an axis; what is wrong there is what the message quotes last, if it is
    written there.
    """
    kind, _, name = (error.where or "").partition(" ")
    below: Route = ("outputs",) if isinstance(error, UnknownName) and error.kind == "output" else ()
    for route in document.places:
        if len(route) > 1 and route[-2] in _HOLDERS.get(kind, ()) and repr(route[-1]) == name:
            below = route
            break
    for quoted in reversed(re.findall(r"'([^']*)'", error.what) if below else []):
        place = document.find(quoted, below)
        if place is not None:
            return place
    return document.locate(below)
