"""What a user asks of `scalerules transfer` on the command line, as the arguments of `transfer`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from scalerules.boundary.files import destination
from scalerules.errors import ScaleRulesError

if TYPE_CHECKING:
    from scalerules.architecture.graph import Graph
    from scalerules.solution.solution import Solution

    from .options import Trained


def compared(question: Trained, graph: Graph, names: str) -> dict[str, str | Solution]:
    """The rules of `standard,isolated` by name: derived in the mode `isolated` or `joint`, or named ones."""
    from scalerules.derivation import derive

    rules: dict[str, str | Solution] = {}
    for name in (part.strip() for part in names.split(",") if part.strip() not in ("", "none")):
        if name in ("isolated", "joint"):
            asked: dict[str, Any] = question.asked(graph) | {"mode": name}
            rules[name] = derive(graph, **asked)
        else:
            rules[name] = name
    return rules


def own_loop(text: str) -> tuple[Any, str] | None:
    """The training function that `mytrain.py:train` names, and the graph in its file; None for what names a graph.

    The graph is what `build()` of the same file returns, or what its `make_model` is traced to.
    """
    from scalerules.catalogue.user_code import existing_file, imported, loaded
    from scalerules.measurement.sweeps.own import is_training

    place, _, name = text.rpartition(":")
    if not place or not name.isidentifier():
        return None
    module = loaded(existing_file(place)) if place.endswith(".py") else imported(place)
    train = getattr(module, name, None)
    if not is_training(train):
        return None
    for factory in ("build", "make_model"):
        if callable(getattr(module, factory, None)):
            return train, f"{place}:{factory}"
    hint = "add build(), which returns a Graph, or make_model(**sizes) with make_inputs and scales"
    raise ScaleRulesError("says nothing of what its rules are derived from", file=place, hint=hint)


def lengths(texts: Sequence[str]) -> dict[str, int]:
    """The lengths of `--axis batch=16`. Raises `ScaleRulesError`."""
    axes: dict[str, int] = {}
    for text in texts:
        name, _, length = text.partition("=")
        if not name or not length.isdecimal() or int(length) < 1:
            raise ScaleRulesError(f"--axis {text!r} is not NAME=LENGTH", hint="such as --axis batch=16")
        axes[name] = int(length)
    return axes


def place(store: str | None, graph: str) -> str:
    """The file that keeps the runs. Raises `ScaleRulesError` where it cannot be."""
    # a graph's name is text: no part of a path
    named = re.sub(r"[^\w.-]+", "_", graph)[:100].lstrip(".") or "graph"
    return str(destination(store or f"{named}.transfer.sqlite"))
