"""Rules that were derived once and were wrong are refuted without a prediction, by what is wanted of any rule."""

from __future__ import annotations

import pytest

from benchmarks.wrong_rules import CASES
from scalerules.derivation.derive import derive
from scalerules.measurement.verification.verify import verify

pytest.importorskip("torch")
QUICK = ("readout over the width", "layer behind n^-1/2", "adapters over the rank", "mean field")


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in CASES])
def test_a_rule_that_was_wrong_is_refuted(name: str) -> None:
    case = CASES[name]
    graph = case.graph()
    base = graph.base_sizes()[case.scale]
    rule = case.rule(derive(graph, optimizer=case.optimizer, scales={case.scale: 1}))
    report = verify(graph, rule, sizes=[base * factor for factor in (1, 2, 4, 8)], progress=False)
    assert report.refuted and report.verdict is False and not report.wrong
