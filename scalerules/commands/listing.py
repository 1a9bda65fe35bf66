"""What `scalerules list` shows: names, each with a line that says what it is."""

from __future__ import annotations

from collections.abc import Callable

from scalerules.catalogue.backends import backends as named
from scalerules.catalogue.folders import folder, headline
from scalerules.catalogue.graphs import headlines

Rows = list[tuple[str, str]]


def graphs() -> Rows:
    """The catalogue, with the first line of each file's docstring; no file is run."""
    return headlines()


def backends() -> Rows:
    """The backends, with the first line of each file's docstring."""
    return [(name, headline(folder("backends") / name / "__init__.py")) for name in named()]


def ops() -> Rows:
    """The elementary operations, with the fields that each takes and its reason."""
    from scalerules.ops import OPS

    rows: Rows = []
    for name, op in sorted(OPS.items()):
        fields = [*sorted(op.required), *(f"[{field}]" for field in sorted(op.optional))]
        rows.append((name, f"{' '.join(fields)}: {op.reason}" if fields else op.reason))
    return rows


def optimizers() -> Rows:
    """The optimizers, with the reason of each law and its source."""
    from scalerules.optimizers import OPTIMIZERS

    return [(name, f"{rule.reason} ({rule.source})") for name, rule in OPTIMIZERS.items()]


def gauges() -> Rows:
    """The named gauges, with what each fixes."""
    from scalerules.derivation.gauges.gauge import GAUGES

    return [(name, f"{gauge.reason} ({gauge.source})") for name, gauge in GAUGES.items()]


def fits() -> Rows:
    """Fits of how settings change with batch and training length: measured, not derived, and off by default."""
    from scalerules.reporting.literature.fits import listed

    return listed()


LISTS: dict[str, Callable[[], Rows]] = {
    "graphs": graphs,
    "optimizers": optimizers,
    "gauges": gauges,
    "ops": ops,
    "backends": backends,
    "fits": fits,
}
