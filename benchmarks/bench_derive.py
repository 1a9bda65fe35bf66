"""`derive` over growing graphs, over the catalogue, and with depth: pytest-benchmark, run by `python -m benchmarks`."""

from __future__ import annotations

from typing import Any

import pytest

import scalerules as sr

LAYERS = (2, 4, 8, 16, 32)
CATALOGUE = ("mlp", "convnet", "transformer", "llama", "vit", "mamba")


@pytest.mark.benchmark(group="derive: perceptrons of growing length, adam")
@pytest.mark.parametrize("hidden", LAYERS)
def test_growing(benchmark: Any, hidden: int) -> None:
    graph = sr.graph("mlp", hidden=hidden)
    solution = benchmark.pedantic(sr.derive, (graph,), {"optimizer": "adam"}, rounds=3, warmup_rounds=1)
    assert solution["h1"].lr["width"] == -1


def stack(blocks: int) -> sr.Graph:
    """Residual blocks written out one by one: RMS norm, two layers, a gate."""
    g = sr.Builder("stack", axes={"batch": 16, "in": 16, "n": "width", "out": 8})
    x = g.dense("input", g.input("x", "batch in"), "n in")
    for block in range(blocks):
        h = g.rms_norm(x, axis="n", name=f"norm{block}")
        gate = g.node(f"silu{block}", "silu", g.dense(f"gate{block}", h, "n n"))
        product = g.einsum(f"product{block}", "b n, b n -> b n", gate, g.dense(f"up{block}", h, "n n"))
        x = g.residual(f"joined{block}", x, g.dense(f"down{block}", product, "n n"))
    return g.build(g.dense("output", g.rms_norm(x, axis="n", name="last"), "out n"))


@pytest.mark.benchmark(group="derive: gated residual blocks written out, adam")
@pytest.mark.parametrize("blocks", (1, 2, 4, 8))
def test_blocks(benchmark: Any, blocks: int) -> None:
    benchmark.pedantic(sr.derive, (stack(blocks),), {"optimizer": "adam"}, rounds=2, warmup_rounds=0)


@pytest.mark.benchmark(group="derive: catalogue, adamw")
@pytest.mark.parametrize("name", CATALOGUE)
def test_catalogue(benchmark: Any, name: str) -> None:
    benchmark.pedantic(sr.derive, (sr.graph(name),), {"optimizer": "adamw"}, rounds=3, warmup_rounds=0)


@pytest.mark.benchmark(group="derive: transformer with depth as a scale (folded), adam")
@pytest.mark.parametrize("scales", ({"width": 1}, {"depth": 1}, {"width": 1, "depth": 1}), ids=str)
def test_depth(benchmark: Any, scales: dict[str, int]) -> None:
    graph = sr.graph("transformer")
    benchmark.pedantic(sr.derive, (graph,), {"optimizer": "adam", "scales": scales}, rounds=2, warmup_rounds=0)
