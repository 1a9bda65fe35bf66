"""What a module computes without gradients has its size and its changes, and nothing learns by it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

import scalerules as sr
from scalerules.tracing.traced import Traced

torch.set_num_threads(1)


def traced(model: type[nn.Module]) -> Traced:
    return sr.trace(model, {"width": (32, 48, 64)}, torch.randn(5, 12), progress=False)


def detached(graph: Traced) -> list[str]:
    """What stands in front of the nodes that let no gradient through."""
    return [name for node in graph.nodes.values() if node.op == "stop_gradient" for name in node.inputs]


class Layers(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(12, width), nn.Linear(width, 4)


class Context(Layers):
    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(x))
        with torch.no_grad():
            fixed = torch.tanh(torch.tanh(h))
            with torch.enable_grad():
                again = torch.sigmoid(fixed)
        return self.last(h + fixed * again)


class Conditional(Layers):
    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        for step in range(3):
            with torch.set_grad_enabled(step == 2):
                h = torch.tanh(h)
        return self.last(h)


class Decorated(Layers):
    @torch.no_grad()
    def target(self, h: Tensor) -> Tensor:
        return torch.tanh(h)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.target(self.first(x)))


class InPlace(Layers):
    """A codebook that follows what is nearest to its rows, and a gain that is held in its bounds."""

    codes: Tensor

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.register_buffer("codes", torch.randn(6, width))
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.first(x))
        nearest = one_hot((h @ self.codes.T).argmax(-1), 6).float()
        with torch.no_grad():
            self.codes.mul_(0.9).add_(nearest.T @ h, alpha=0.1)
            self.gain.clamp_(0.0, 2.0)
        return self.last((h + nearest @ self.codes) * self.gain)


def test_what_is_computed_without_gradients_is_detached_where_it_is_read_with_them() -> None:
    assert set(detached(traced(Context))) == {"tanh_1"}
    assert detached(traced(Conditional)) == ["tanh_1"]
    assert detached(traced(Decorated)) == ["tanh"]


def test_buffers_that_follow_without_gradients_are_detached_and_weights_are_not() -> None:
    graph = traced(InPlace)
    assert len(detached(graph)) == 1 and "gain" in graph.parameters
    solution = sr.derive(graph, optimizer="sgd")
    assert str(solution.parameters["gain"].lr["width"]) == "1"
