"""The same input gives the same bytes: across processes, hash seeds, numbers of threads, and threads at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import scalerules as sr
from benchmarks.determinism import printed, texts, told
from scalerules.architecture.builder import Builder
from scalerules.errors import Clash

# what is asked of each graph: a gauge of its own, a mode, two scales of which one is a depth
ASKED: dict[str, dict[str, Any]] = {
    "mlp": {"optimizer": "muon", "gauge": "unit"},
    "lora": {"optimizer": "sgd", "mode": "isolated"},
    "deep": {"optimizer": "adam", "scales": {"width": 1, "depth": "1/2"}},
}

SETTINGS = [("0", "1"), ("4242", "3")]
"""Hash seeds and numbers of threads of processes that run at the same time."""

DERIVED = """\
from benchmarks.determinism import told
from tests.test_determinism import ASKED, clash, written
for name in ASKED:
    print(name, told(written(name)))
print("clash", told([clash()]))
"""

MEASURED = """\
import json, torch
import scalerules as sr
from benchmarks.determinism import told
def make(width):
    return torch.nn.Sequential(torch.nn.Linear(8, width), torch.nn.GELU(), torch.nn.Linear(width, 4))
print(told([sr.trace(make, scales={"width": (16, 24, 32)}, inputs=lambda width: (torch.zeros(2, 8),)).to_yaml()]))
report = sr.verify(sr.graph("mlp"), sr.derive("mlp"), sizes=[16, 32], seeds=2, progress=False)
print(told([json.dumps(json.loads(report.to_json())["rows"])]))
"""


def deep() -> sr.Graph:
    """A residual block, repeated along a depth."""
    axes: dict[str, str | int] = {"batch": 4, "in": 3, "n": "width", "layers": "depth"}
    g = Builder("deep", scales={"width": 1, "depth": 0}, axes=axes)
    h = g.dense("input", g.input("x", "batch in"), "n in", "b")
    with g.repeat("blocks", h, axis="layers") as body:
        branch = g.scale("branch", g.dense("W", g.relu("stream", name="a"), "n n", "b"), free=True)
        body.result = g.residual("r", "stream", branch)
    return g.build(g.dense("output", "blocks", "in n", "b"))


def clash() -> str:
    """A message of several equations."""
    with pytest.raises(Clash) as caught:
        sr.derive("mlp", given={"h1": {"init": "1"}})
    return str(caught.value)


def written(name: str) -> list[str]:
    """Everything that is written of one of them."""
    return texts(deep() if name == "deep" else sr.graph(name), **ASKED[name])


def test_hash_seeds_and_processes_change_no_byte_of_what_is_derived():
    first, second = printed(DERIVED, SETTINGS)
    assert len(first) == len(ASKED) + 1 and first == second


@pytest.mark.slow
def test_hash_seeds_and_threads_change_no_byte_of_what_is_measured():
    pytest.importorskip("torch")
    first, second = printed(MEASURED, SETTINGS)
    assert len(first) == 2 and first == second


def test_deriving_in_threads_at_the_same_time_changes_nothing():
    alone = {name: told(written(name)) for name in ASKED}
    with ThreadPoolExecutor(len(ASKED)) as pool:
        together = dict(zip(ASKED, pool.map(lambda name: told(written(name)), ASKED), strict=True))
    assert together == alone
