"""Graphs and backends found by name, by path, or by `module:factory`; nothing is registered anywhere.

`graph("mlp")` is `build()` of `graphs/mlp.py`: a new file there is found by its name. A user's own file has the same
form and is given by its path.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scalerules.architecture.graph import Graph
from scalerules.errors import GraphError, nearest

from .folders import folder, headline, names_in
from .user_code import call_factory, existing_file, imported, kind_of, loaded


def headlines() -> list[tuple[str, str]]:
    """The catalogue, with the first line of each file's docstring; no file is run."""
    return [(name, headline(folder("graphs") / f"{name}.py")) for name in catalogue()]


def catalogue() -> list[str]:
    """Names of the architectures that come with the package."""
    return names_in("graphs")


def graph(spec: str | Path, *, trace: Mapping[str, Any] | None = None, **options: Any) -> Graph:
    """The graph that `spec` names; `options` go to its `build()` (or factory, or class of configurations).

    `trace` are values of scales, `{"width": (32, 48, 64)}`: the factory builds a torch module then, which is traced. Of
    a configuration of transformers they are fields, `{"width": "hidden_size"}`.

    `spec` is a name of `catalogue()`, a path to a `.py` file with `build() -> Graph`, a path to `.yaml`, `.yml` or
    `.json`, or `module:factory` (`file.py:factory` too). Raises `ScaleRulesError` with file and line, and with the
    nearest valid name where a name is not known.
    """
    if not isinstance(spec, str | Path):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise GraphError(f"a graph has a name or a path, not {kind_of(spec)}", hint="such as 'mlp' or 'my_arch.yaml'")
    text = str(spec)
    place, _, factory = text.rpartition(":")
    if place and factory.isidentifier():
        from scalerules.tracing import factories
        from scalerules.tracing.starts import is_configuration

        module = loaded(existing_file(place)) if place.endswith(".py") else imported(place)
        if is_configuration(getattr(module, factory, None)):
            return factories.configured(module, factory, trace, options)
        if trace or not options:
            if values := trace or factories.values_in(module, factory):
                return factories.traced(module, factory, values, place)
            factories.check_called(module, factory, place)
        return call_factory(module, factory, options, place)
    if trace:
        raise GraphError(f"{text!r} is no module:factory", hint="values of a scale are for modules that are traced")
    if text.endswith(".py"):
        return call_factory(loaded(existing_file(text)), "build", options, text)
    if text.lower().endswith((".yaml", ".yml", ".json")):
        return _from_data(existing_file(text), options)
    if text not in catalogue():
        hint = nearest(text, catalogue()) + "; or a path to .py, .yaml or .json, or module:factory"
        raise GraphError(f"unknown graph {text!r}", hint=hint)
    return call_factory(importlib.import_module(f"scalerules.graphs.{text}"), "build", options, text)


def _from_data(path: Path, options: Mapping[str, Any]) -> Graph:
    from scalerules.architecture.specification import read_graph

    for name in options:
        raise GraphError(f"takes no option {name!r}", file=str(path), hint="only a Python file has options")
    return read_graph(path)
