"""A page per gauge: the same training run written in another way, and what it moves from where to where."""

from __future__ import annotations

from functools import cache

from scalerules.derivation import derive
from scalerules.derivation.gauges.gauge import GAUGES, Gauge
from scalerules.reporting.html import power
from scalerules.sizes.exponents import Exponents
from scalerules.solution.rule import SIZES
from scalerules.solution.solution import Solution

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


def shown(gauge: Gauge) -> list[str]:
    """The rules of the example in a gauge, under each optimizer."""
    return [part for optimizer in OPTIMIZERS for part in _shown(gauge, optimizer)]


def _page(gauge: Gauge) -> Page:
    parts = [f"{gauge.reason} ({gauge.source}.)", *shown(gauge)]
    return Page(f"{FOLDER}/{gauge.name}.md", gauge.name, titled(gauge.name, *parts))


@cache
def _plain(optimizer: str) -> Solution:
    return derive(EXAMPLE, optimizer=optimizer, progress=False)


def _shown(gauge: Gauge, optimizer: str) -> list[str]:
    plain = _plain(optimizer)
    here = plain.in_gauge(gauge.name)
    rows = [
        [f"`{name}`", *(_cell(getattr(rule, size), getattr(plain[name], size)) for size in SIZES)]
        for name, rule in here.parameters.items()
    ]
    head = f"## [{EXAMPLE}](../architectures/{EXAMPLE}.md) under {optimizer}"
    return [head, table(["parameter", *SIZES], rows), f"`scalerules derive {EXAMPLE} --optimizer {optimizer} "
            f"--gauge {gauge.name}`"]  # fmt: skip


def _cell(now: Exponents, was: Exponents) -> str:
    """A size, and below it what the plain gauge has, where the gauge moves it."""
    return power(now) if now == was else f"**{power(now)}**<br><small>plain {power(was)}</small>"
