"""Gradients that a module has, and the calls that it is traced as have not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import scalerules as sr
from scalerules.tracing.traced import Traced

torch.set_num_threads(1)
SIZES = (32, 64, 128)


def traced(model: type[nn.Module]) -> Traced:
    return sr.trace(model, {"width": SIZES}, torch.randn(6, 12), progress=False)


class Straight(torch.autograd.Function):
    """A sign with the gradient of what it is the sign of."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        return torch.sign(args[0])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        return grad_outputs[0]


class Signs(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.hidden, self.last = nn.Linear(12, width), nn.Linear(width, width), nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.hidden(Straight.apply(self.first(x)))))  # pyright: ignore


class Filters(nn.Module):
    """A kernel of learnt frequencies, one point of which is 0: the quotient that `sinc` is has no derivative there."""

    points: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.low, self.last = nn.Parameter(torch.rand(width, 1)), nn.Linear(width, 4)
        self.register_buffer("points", torch.arange(-2.0, 3.0))

    def forward(self, x: Tensor) -> Tensor:
        kernel = torch.sinc(self.low * self.points)
        return self.last(torch.relu(nn.functional.conv1d(x[:, None], kernel[:, None])).mean(-1))


def test_a_step_with_a_gradient_of_its_own_is_measured_as_the_graph_reads_it() -> None:
    """The calls of the module let no gradient through a sign: what stands in front of it did not move at all."""
    graph = traced(Signs)
    assert any("a gradient of the module's own" in note for note in graph.notes)
    found = sr.verify(graph, sr.derive(graph, "adamw"), sizes=SIZES, seeds=2, progress=False, jobs=1)
    assert found.verdict is not False and not found.failed


def test_a_function_of_each_entry_is_trained_with_its_own_derivative() -> None:
    """Written out as a quotient it had none at 0, and no rate was stable."""
    graph = traced(Filters)
    found = sr.verify(graph, sr.derive(graph, "adamw"), sizes=SIZES, seeds=2, progress=False, jobs=1)
    assert found.verdict is not False


class Chosen(nn.Module):
    """The threshold of a sparsemax is looked up at a place that is counted: of no numbers there is none."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(12, width), nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.last(torch.exp(self.first(x)))
        ordered = scores.sort(-1, descending=True)[0]
        total = ordered.cumsum(-1) - 1
        support = (torch.arange(1, 6) * ordered > total).sum(-1, keepdim=True)
        return (scores - total.gather(-1, support - 1) / support).clamp(min=0)


def test_a_rate_with_which_the_module_cannot_be_run_is_not_stable() -> None:
    """It was said that the module cannot be trained, as one of the rates that are tried makes its numbers none."""
    graph = traced(Chosen)
    found = sr.verify(graph, sr.derive(graph, "sgd"), sizes=SIZES, seeds=2, progress=False, jobs=1)
    assert found.rows
    diverging = sr.verify(graph, sr.derive(graph, "sgd"), sizes=SIZES, seeds=2, lr=1e9, progress=False, jobs=1)
    assert diverging.verdict is False
