"""A module may be called with objects of the user's own: their tensors are inputs like others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from scalerules.backends.training.module_program import LiveProgram
from torch import Tensor, nn

import scalerules as sr

WIDTH = {"width": (16, 24, 32)}
VECTORS = torch.linspace(-1, 1, 30).view(6, 5)
EDGES = torch.tensor([[0, 1, 2], [1, 2, 0]])


@dataclass
class Batch:
    """Vectors, and whatever else is passed along with them."""

    x: Tensor
    edges: Tensor = field(default_factory=lambda: EDGES)
    device: type = Tensor
    owner: Any = None


class Store:
    """Keeps its tensors in a dictionary, and knows who holds it."""

    def __init__(self) -> None:
        self.held: dict[str, Any] = {"x": VECTORS, "edges": EDGES, "kind": Tensor}
        self.owner: Any = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "held":
            raise AttributeError(name)
        return self.held[name]


def stored(**_: int) -> Any:
    """A batch whose fields lie in another object, each of which holds the other."""
    batch = Batch(VECTORS)
    batch.owner = Store()
    batch.owner.owner = batch
    return batch


class Messages(nn.Module):
    """A layer of messages along edges."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.message, self.last = nn.Linear(5, width), nn.Linear(width, width), nn.Linear(width, 4)

    def of(self, x: Tensor, edges: Tensor) -> Tensor:
        """Logits of every node."""
        h = torch.relu(self.first(x))
        sums = torch.zeros_like(h).index_add(0, edges[1], self.message(h)[edges[0]])
        return self.last(torch.relu(sums))

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        return self.of(x, edges)


class OfABatch(Messages):
    def forward(self, batch: Batch) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        assert isinstance(batch, Batch)
        assert batch.device is Tensor
        return self.of(batch.x, batch.edges)


class OfAStore(Messages):
    def forward(self, batch: Batch) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.of(batch.owner.x, batch.owner.edges)


class OfAList(Messages):
    def forward(self, x: Tensor, others: list[Batch]) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.of(x, others[0].edges)


CASES = [
    (OfABatch, lambda **_: Batch(VECTORS)),
    (OfABatch, lambda **_: {"batch": Batch(VECTORS)}),
    (OfAStore, stored),
    (OfAList, lambda **_: (VECTORS, [Batch(VECTORS)])),
]


@pytest.mark.parametrize(("kind", "inputs"), CASES, ids=["object", "by name", "inner", "list"])
def test_the_rules_are_those_of_its_tensors(kind: type[nn.Module], inputs: Any) -> None:
    graph = sr.trace(kind, WIDTH, inputs, progress=False)
    plain = sr.trace(Messages, WIDTH, lambda **_: (VECTORS, EDGES), progress=False)
    found, wanted = sr.derive(graph, "adamw"), sr.derive(plain, "adamw")
    assert {name: (rule.init, rule.lr) for name, rule in found.parameters.items()} == {
        name: (rule.init, rule.lr) for name, rule in wanted.parameters.items()
    }
    program = LiveProgram(graph, found, {"width": 16.0}, {"width": 16.0})
    parameters, data = program.initial(0), program.data(0)
    (output,) = program.outputs(program.forward(parameters, data))
    model = Messages(16)
    weights = program.weights.weights(parameters, program.exported.weights)
    model.load_state_dict({name: weights[name] for name in model.state_dict()})
    vectors = [tensor for tensor in data.inputs.values() if tensor.is_floating_point()]  # some are not read
    assert any(torch.allclose(output, model(drawn, EDGES), atol=1e-5) for drawn in vectors)


class Two(Messages):
    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        return self.of(x * 2, EDGES) + self.first(edges).mean()


def test_a_tensor_that_is_given_twice_is_two_inputs() -> None:
    graph = sr.trace(Two, WIDTH, lambda **_: (VECTORS, VECTORS), progress=False)
    read = {name: [n for n, node in graph.walk() if name in node.inputs] for name in ("x", "edges")}
    assert all(read.values()), read
