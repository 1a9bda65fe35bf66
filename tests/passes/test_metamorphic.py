"""One graph written in other ways has one rule: names, order, identities, views, gauges, and where a factor stands."""

from __future__ import annotations

import pytest

import scalerules as sr
from benchmarks.metamorphic import CHANGES, GAUGES, OPTIMIZERS, both
from scalerules.measurement.fuzzing.random_graphs import draw
from scalerules.measurement.fuzzing.variants import written
from scalerules.passes.propagate import start

SLOW = pytest.mark.slow
WAYS = (*CHANGES, "in front", *GAUGES)


def same(graph: sr.Graph, name: str, optimizer: str) -> None:
    """Raises unless the graph has one rule whichever way it is written."""
    one, other = both(graph, name, optimizer)
    assert one == other


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize(
    ("seed", "optimizer"),
    [(1, "adamw"), (5, "muon"), *(pytest.param(*c, marks=SLOW) for c in [(2, "sgd"), (7, "adamw")])],
)
def test_a_random_graph_written_in_another_way_has_the_same_rule(seed: int, optimizer: str, name: str) -> None:
    same(draw(seed), name, optimizer)


@pytest.mark.parametrize("name", ["hybrid", "lru", "mamba2", "moe", "vit"])
def test_sites_stand_in_one_order_whatever_the_order_of_the_nodes(name: str) -> None:
    """They are computed as the outputs read them, and so are the parameters met."""
    graph = sr.graph(name)
    plans = [start(each, each.scales) for each in (graph, written(graph, CHANGES["reordered"]))]
    one, other = ([*(site.key for site in plan.sites), *plan.parameters] for plan in plans)
    assert one == other


def test_an_identity_passes_a_gradient_on_as_it_is() -> None:
    """Its derivative is a number: parts of it that were none had rows that do not follow, and decided between ties."""
    sr.derive(written(draw(42035), CHANGES["with identities"]), optimizer="adamw").check()


@pytest.mark.slow
@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("seed", range(100, 133))
def test_many_random_graphs(seed: int, optimizer: str, name: str) -> None:
    same(draw(seed), name, optimizer)


@pytest.mark.slow
@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("graph", ["lora", "mlp", "moe", "sparse", "transformer", "vit"])
def test_the_catalogue(graph: str, optimizer: str, name: str) -> None:
    same(sr.graph(graph), name, optimizer)
