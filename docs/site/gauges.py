"""A page per gauge: the same training run written in another way, and what it moves from where to where."""

from __future__ import annotations

from scalerules.derivation import derive
from scalerules.derivation.gauges.gauge import GAUGES, Gauge
from scalerules.solution.rule import SIZES

from .page import Page, table, titled

FOLDER = "gauges"
EXAMPLE, OPTIMIZERS = "mlp", ("adam", "sgd")


def gauge_pages() -> list[Page]:
    """The list of gauges, and a page for each."""
    rows = [[f"[{name}]({name}.md)", gauge.reason] for name, gauge in GAUGES.items()]
    text = titled(
        "Gauges",
        "A constant factor can stand in front of a parameter or in its initial value and rate: the training run is the "
        "same. A gauge is a choice of where it stands.",
        table(["gauge", "where factors stand"], rows),
    )
    return [Page(f"{FOLDER}/index.md", "All gauges", text), *(_page(gauge) for gauge in GAUGES.values())]


def _page(gauge: Gauge) -> Page:
    parts = [f"{gauge.reason} ({gauge.source}.)", *(part for name in OPTIMIZERS for part in _shown(gauge, name))]
    return Page(f"{FOLDER}/{gauge.name}.md", gauge.name, titled(gauge.name, *parts))


def _shown(gauge: Gauge, optimizer: str) -> list[str]:
    plain = derive(EXAMPLE, optimizer=optimizer, progress=False)
    here = derive(EXAMPLE, optimizer=optimizer, gauge=gauge.name, progress=False)
    rows: list[list[str]] = []
    for name, rule in here.parameters.items():
        cells = [(str(getattr(rule, size)), str(getattr(plain[name], size))) for size in SIZES]
        rows.append([f"`{name}`", *(now if now == was else f"**{now}** (plain: {was})" for now, was in cells)])
    head = f"## [{EXAMPLE}](../architectures/{EXAMPLE}.md) under {optimizer}"
    return [head, table(["parameter", *SIZES], rows), f"`scalerules derive {EXAMPLE} --optimizer {optimizer} "
            f"--gauge {gauge.name}`"]  # fmt: skip
