"""scalerules derives how initialisation, multipliers and learning rates scale, from the computation graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalerules.late import late

if TYPE_CHECKING:
    from scalerules.architecture.builder import Builder
    from scalerules.architecture.graph import Graph
    from scalerules.catalogue.graphs import graph
    from scalerules.derivation.classify import classify
    from scalerules.derivation.derive import Solution, derive
    from scalerules.derivation.export import apply, emit
    from scalerules.errors import ScaleRulesError
    from scalerules.measurement.fuzzing.fuzz import fuzz
    from scalerules.measurement.sweeps.transfer import transfer
    from scalerules.measurement.verification.verify import verify
    from scalerules.ops.node import Node, Parameter
    from scalerules.reporting.literature.fits import empirical
    from scalerules.reporting.literature.published import published
    from scalerules.reporting.page import report
    from scalerules.tracing.traced import trace

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
    "Builder": "architecture",
    "Graph": "architecture",
    "Node": "ops",
    "Parameter": "ops",
    "ScaleRulesError": "errors",
    "Solution": "solution",
    "apply": "derivation",
    "classify": "derivation",
    "derive": "derivation",
    "emit": "derivation",
    "empirical": "reporting",
    "fuzz": "measurement",
    "graph": "catalogue",
    "published": "reporting",
    "report": "reporting",
    "trace": "tracing",
    "transfer": "measurement",
    "verify": "measurement",
}
"""The package of every public name."""

__getattr__ = late(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
