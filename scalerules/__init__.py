"""scalerules derives how initialisation, multipliers and learning rates scale, from the computation graph."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scalerules.architecture.builder import Builder
    from scalerules.derivation.classify import classify
    from scalerules.derivation.derive import Solution, derive
    from scalerules.reporting.literature.fits import empirical
    from .errors import ScaleRulesError
    from scalerules.measurement.fuzzing.fuzz import fuzz
    from scalerules.architecture.graph import Graph
    from scalerules.ops.node import Node, Parameter
    from scalerules.derivation.export import apply, emit
    from scalerules.catalogue.graphs import graph
    from scalerules.reporting.literature.published import published
    from scalerules.reporting.page import report
    from scalerules.tracing.trace import trace
    from scalerules.measurement.sweeps.transfer import transfer
    from scalerules.measurement.verification.verify import verify

__all__ = [
    "Builder",
    "Graph",
    "Node",
    "Parameter",
    "ScaleRulesError",
    "Solution",
    "apply",
    "classify",
    "derive",
    "emit",
    "empirical",
    "fuzz",
    "graph",
    "published",
    "report",
    "trace",
    "transfer",
    "verify",
]

_HOMES = {
    "Builder": "build",
    "Graph": "graph",
    "Node": "graph",
    "Parameter": "graph",
    "ScaleRulesError": "errors",
    "Solution": "derivation",
    "apply": "lookup",
    "classify": "classify",
    "derive": "derivation",
    "emit": "lookup",
    "empirical": "empirical",
    "fuzz": "fuzz",
    "graph": "lookup",
    "published": "published",
    "report": "report",
    "trace": "trace",
    "transfer": "transfer",
    "verify": "verify",
}
"""The module of every public name; it is imported when the name is first used, so `import scalerules` is quick."""


class _Public:
    """A public name of the package, looked up in its module when it is used.

    A plain `__getattr__` does not do: importing the module `scalerules.graph` sets the attribute `graph` of the
    package to the module, and the function `scalerules.graph` would be gone. Here setting is without effect.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, package: ModuleType, kind: type | None = None) -> object:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[self.name]}"), self.name)

    def __set__(self, package: ModuleType, value: object) -> None:
        pass


def __dir__() -> list[str]:
    return sorted(__all__)


sys.modules[__name__].__class__ = type("Package", (ModuleType,), {name: _Public(name) for name in _HOMES})
