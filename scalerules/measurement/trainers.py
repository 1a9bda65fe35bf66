"""The modules of `backends/training`, which need torch; the engine does not, so they are imported when they train."""

from __future__ import annotations

import importlib
from typing import Any

from scalerules.architecture.graph import Graph
from scalerules.errors import MissingExtra


def training(part: str) -> Any:
    """A module of `backends/training`. Raises `MissingExtra` without torch."""
    try:
        return importlib.import_module(f"scalerules.backends.training.{part}")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "scalerules":
            raise
        raise MissingExtra("training a graph", "torch") from error


def trainer(graph: Graph) -> tuple[Any, Any, Any]:
    """What runs a graph, and what trains it: the interpreter, or of a traced module the module itself."""
    if getattr(graph, "live", None) is not None:
        module = training("module_program")
        return module.LiveProgram, module.losses, module.measure
    return training("program").Program, training("ensemble").losses, training("ensemble").measure
