"""Verification of outputs with as many classes as grow, of which the loss picks one for each example."""

from __future__ import annotations

from scalerules.architecture.builder import Builder
from scalerules.architecture.graph import Graph
from scalerules.derivation.derive import derive
from scalerules.measurement.verification.reading import Reading
from scalerules.measurement.verification.verify import verify


def read_out() -> Graph:
    """Two layers and a readout that starts at zero."""
    g = Builder("classes", axes={"batch": 4, "in": 8, "n": "width", "classes": "width/4"})
    h = g.gelu(g.dense("first", g.input("x", "batch in"), "n in"))
    written = g.build(g.dense("last", h, "classes n")).to_dict()
    written["parameters"]["last"]["init"] = "zeros"
    return Graph.model_validate(written | {"loss": "cross_entropy"})


def test_what_a_loss_picks_need_not_move_elsewhere() -> None:
    """Muon moves the rows of the labels; the root mean square of all logits goes by -0.51, which was called wrong."""
    graph = read_out()
    assert Reading(graph).picked("last") and not Reading(graph).picked("first")
    report = verify(graph, derive(graph, optimizer="muon"), sizes=[64, 128, 256, 512], seeds=2, progress=False)
    assert "counts" not in report.refuted
