"""Shorter starts of `trace`: a configuration of transformers, modules of two sizes; and a module that ends the process."""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import scalerules as sr
from scalerules.boundary.isolated import isolated
from scalerules.errors import ScaleRulesError
from scalerules.tracing.exporting.configurations import Configured
from scalerules.tracing.exporting.growing_fields import Measured
from scalerules.tracing.exporting.pairs import scales_of
from scalerules.tracing.traced import graph_of


class Net(nn.Module):
    def __init__(self, width: int, inner: int, out: int = 10) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(16, width), nn.LayerNorm(width)
        self.up, self.last = nn.Linear(width, inner), nn.Linear(inner, out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.up(self.norm(self.first(x)))))


def test_a_pair_of_modules_has_the_rules_of_its_factory() -> None:
    pair = sr.trace((Net(32, 128), Net(64, 256)), inputs=torch.ones(4, 16))
    made = sr.trace(lambda width: Net(width, 4 * width), {"width": (32, 48, 64)}, lambda width: torch.ones(4, 16))
    assert pair.axes == made.axes
    assert pair.parameters == made.parameters
    assert sr.derive(pair, optimizer="adamw").to_dict() == sr.derive(made, optimizer="adamw").to_dict()
    assert "rest on the 2 modules" in pair.notes[0]


@pytest.mark.parametrize(
    "models, scales, said",
    [
        ([Net(32, 64)], None, "one module does not say what grows"),
        ([Net(32, 64), Net(32, 64)], None, "have the same shapes: nothing grows"),
        ([Net(32, 64), nn.Linear(3, 3)], None, "differ in structure: module 2 of 2 has no 'first.weight'"),
        ([Net(32, 64), Net(64, 128, 15)], None, "two things grow: axis 0 of 'first.weight' is 32 and 64 long"),
        ([Net(32, 64), Net(64, 128)], {"width": (32, 64), "inner": (64, 128)}, "do not tell 'width' and 'inner' apart"),
        ([Net(32, 64), Net(64, 128)], {"width": (32, 64, 96)}, "a value for each of the 2 modules"),
    ],
)
def test_modules_whose_sizes_cannot_be_told(models: list[nn.Module], scales: Any, said: str) -> None:
    with pytest.raises(ScaleRulesError) as error:
        scales_of(models, scales)
    assert said in str(error.value)


def test_a_third_module_tells_two_scales_apart() -> None:
    models = (Net(32, 64), Net(64, 64), Net(32, 128))
    graph = sr.trace(models, {"width": (32, 64, 32), "inner": (64, 64, 128)}, torch.ones(4, 16))
    assert {"width", "inner"} <= set(graph.axes.values())


def llama(**fields: Any) -> Any:
    transformers = pytest.importorskip("transformers")
    sizes: dict[str, Any] = {
        "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 88, "vocab_size": 40,
        "num_hidden_layers": 2,
    }  # fmt: skip
    return transformers.LlamaConfig(**sizes, **fields)


def test_the_fields_that_follow_the_width_are_measured() -> None:
    configured = Configured(llama())
    assert "head_dim" not in configured.fields  # its class computes it from the width and the heads
    found = Measured(configured, configured.inputs, graph_of).following("hidden_size")
    assert set(found.with_it) == {"num_attention_heads", "num_key_value_heads", "intermediate_size"}


@pytest.mark.parametrize(
    "scales, said",
    [
        (None, "no field is named that grows"),
        ({"width": "hidden_sise"}, "did you mean 'hidden_size'?"),
        ({"width": "hidden_act"}, "is 'silu': no size that can grow"),
        ({"width": (32, 48)}, "a scale is a field of the configuration"),
        ({"width": ("hidden_size", "num_hidden_layers"), "depth": ("num_hidden_layers",)}, "grows with 'width' and"),
    ],
)
def test_fields_that_cannot_grow(scales: Any, said: str) -> None:
    with pytest.raises(ScaleRulesError) as error:
        sr.trace(llama(), scales)
    assert said in str(error.value)


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def crash_behind_a_library() -> None:
    """The handlers of signals, as of pytest's own `faulthandler`, have been taken since."""
    faulthandler.enable()
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    isolated(crash)


def end() -> None:
    os._exit(3)


def complain() -> None:
    raise ScaleRulesError("nothing fits", hint="change it")


@pytest.mark.parametrize(
    "work, said",
    [
        (crash, "test_trace_starts.py:99 crash: the process crashed (SIGSEGV)"),
        (crash_behind_a_library, "test_trace_starts.py:99 crash: the process crashed (SIGSEGV)"),
        (end, "with status 3"),
        (complain, "nothing fits (change it)"),
    ],
)
def test_what_ends_a_process_is_an_exception_where_it_is_isolated(work: Callable[[], None], said: str) -> None:
    with pytest.raises(ScaleRulesError) as error:
        isolated(work)
    assert said in str(error.value)
    assert isolated(lambda: {"width": 3}) == {"width": 3}
