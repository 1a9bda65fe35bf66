"""How research code is written: weights put side by side, lazy and scripted layers, sparse matrices, generators."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import scalerules as sr

torch.set_num_threads(1)
WIDTH = {"width": (16, 24, 32)}
X = torch.ones(4, 5)


class SideBySide(nn.Module):
    """A square weight made of two halves, by rows or by columns."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        half = (width // 2, width) if dim == 0 else (width, width // 2)
        self.dim = dim
        self.first, self.last = nn.Linear(5, width), nn.Linear(width, 3)
        self.a, self.b = (nn.Parameter(torch.randn(half)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.linear(self.first(x).tanh(), torch.cat([self.a, self.b], self.dim)).tanh())


@pytest.mark.parametrize("dim", [0, 1])
def test_weights_that_are_put_side_by_side_stay_weights(dim: int) -> None:
    graph = sr.trace(lambda width: SideBySide(width, dim), WIDTH, X, measure=False)
    rules = sr.derive(graph, optimizer="adamw").parameters
    assert {(str(rules[name].init), str(rules[name].lr)) for name in "ab"} == {("width^(-1/2)", "width^-1")}


class Blocks(nn.Module):
    """A square weight made of four blocks; `how`: of four matrices, or of parts that stand in it twice."""

    def __init__(self, width: int, how: str) -> None:
        super().__init__()
        self.how, self.first, self.last = how, nn.Linear(5, width), nn.Linear(width, 3)
        self.a, self.b, self.c, self.d = (nn.Parameter(torch.randn(width // 2, width // 2)) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        a, b, c, d = self.a, self.b, self.c, self.d
        rows = {"four": ((a, b), (c, d)), "complex": ((a, -b), (b, a)), "turned": ((a, b), (b.t(), a.t()))}[self.how]
        weight = torch.cat([torch.cat(row, 1) for row in rows], 0)
        return self.last(F.linear(self.first(x).relu(), weight).relu())


@pytest.mark.parametrize("how", ["four", "complex", "turned"])
def test_a_matrix_of_blocks_is_a_hidden_one(how: str) -> None:
    """All started at `width^-1`: a matrix whose axes stand in another order was no fresh one, and its image aligned.

    A sum over the width of independent entries: `width^(-1/2)`; updates are aligned: `width^-1`. Complex and quaternion
    weights in real numbers, plain torch, AdamW, widths 64 to 512, 5 seeds, 4 steps: what the layer in front changes went
    like -0.54 (four blocks of a quaternion each way) and goes like -0.03, the outputs by -0.33 and -0.13.
    """
    graph = sr.trace(lambda width: Blocks(width, how), WIDTH, X, measure=False)
    rules = sr.derive(graph, optimizer="adamw").parameters
    blocks = {name: rule for name, rule in rules.items() if len(name) == 1}
    assert {(str(rule.init), str(rule.lr)) for rule in blocks.values()} == {("width^(-1/2)", "width^-1")}


class Reordered(nn.Module):
    """Features in an order that was drawn once, back in theirs, or the last first."""

    def __init__(self, width: int, how: str) -> None:
        super().__init__()
        self.how, self.first, self.inner = how, nn.Linear(5, width), nn.Linear(width, width)
        self.last = nn.Linear(width, 3)
        self.register_buffer("places", torch.randperm(width))

    def forward(self, x: Tensor) -> Tensor:
        h, places = self.first(x).relu(), self.get_buffer("places")
        if self.how == "there and back":
            h = torch.tanh(h[:, places])[:, torch.argsort(places)]
        else:
            turned = torch.arange(h.shape[1] - 1, -1, -1)
            h = h.index_select(1, places if self.how == "drawn" else turned)
        return self.last(self.inner(h).relu())


@pytest.mark.parametrize("how", ["drawn", "there and back", "reversed"])
def test_features_in_another_order_are_the_same_features(how: str) -> None:
    """It had been refused. Sums over the width do not ask for an order: the rules are those of a perceptron.

    Plain torch, AdamW, widths 64 to 512, 3 seeds, 4 steps: the outputs change by `width^-0.02`, every weight
    contributes by -0.05 to 0.10.
    """
    graph = sr.trace(lambda width: Reordered(width, how), WIDTH, X)
    rules = sr.derive(graph, optimizer="adamw").parameters
    found = [(str(rules[name].init), str(rules[name].lr)) for name in ("first.weight", "inner.weight", "last.weight")]
    assert found == [("1", "1"), ("width^(-1/2)", "width^-1"), ("width^-1", "width^-1")]


def test_entries_that_are_picked_twice_are_still_refused() -> None:
    class Picked(Reordered):
        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.first(x)[:, self.get_buffer("places") // 2])

    with pytest.raises(sr.ScaleRulesError, match="entries are picked from an axis of width, which grows"):
        sr.trace(lambda width: Picked(width, "drawn"), WIDTH, X)


class Sparse(nn.Module):
    """A graph convolution by a sparse matrix, with noise from a generator of its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, width), nn.Linear(width, 3)
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        near = torch.sparse_coo_tensor(edges, torch.ones(edges.shape[1]), (4, 4))
        h = torch.sparse.mm(near, self.first(x)).relu()
        return self.last(h + 0.1 * torch.randn(h.shape, generator=self.generator))


class Doubled(nn.Module):
    """A function of each entry."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)


class Scripted(nn.Module):
    """A scripted part."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.function, self.last = nn.Linear(5, width), torch.jit.script(Doubled()), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.function(self.first(x)))


class Lazy(nn.Module):
    """Layers that find the widths of their inputs at the first call."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.last = nn.LazyLinear(width), nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x).relu())


NEW_TORCH = pytest.mark.skipif(torch.__version__ < "2.13", reason="torch exports no generator before 2.13")


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        pytest.param(Sparse, (X, torch.tensor([[0, 1, 2], [1, 2, 3]])), marks=NEW_TORCH),
        (Scripted, (X,)),
        (Lazy, (X,)),
    ],
)
def test_these_have_the_rules_of_two_plain_layers(model: Any, inputs: Any) -> None:
    rules = sr.derive(sr.trace(model, WIDTH, inputs), optimizer="adamw").parameters
    found = {name: (str(rule.init), str(rule.lr)) for name, rule in rules.items() if "weight" in name}
    assert found == {"first.weight": ("1", "1"), "last.weight": ("width^-1", "width^-1")}


class MadeInForward(nn.Module):
    """A layer that is made at the first call."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width, self.first, self.last = width, nn.Linear(5, width), None

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        self.last = self.last or nn.Linear(self.width, 3).to(h.device)
        return self.last(h)


def test_a_layer_made_in_forward_is_one_message() -> None:
    with pytest.raises(sr.ScaleRulesError, match="make modules in __init__, not in forward"):
        sr.trace(MadeInForward, WIDTH, X, measure=False)


class Spike(torch.autograd.Function):
    """A step, whose derivative is that of a smooth function."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(x)
        return (x > 0).float()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return grad / (1 + 10 * ctx.saved_tensors[0].abs()) ** 2


class Spiking(nn.Module):
    """Two layers of neurons that leak, fire and are reset, over a loop of time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(5, width), nn.Linear(width, width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        first = second = torch.zeros(x.shape[0], self.first.out_features)
        outputs: list[Tensor] = []
        for step in x.unbind(1):
            first = 0.9 * first + self.first(step)
            fired: Any = Spike.apply(first - 1.0)
            first = first - fired
            second = 0.9 * second + self.middle(fired)
            again: Any = Spike.apply(second - 1.0)
            second = second * (1 - again)
            outputs.append(self.last(again))
        return torch.stack(outputs).mean(0)


def test_spikes_are_a_function_of_what_makes_them() -> None:
    graph = sr.trace(Spiking, WIDTH, torch.ones(2, 4, 5), measure=False)
    assert graph.notes == [
        "Spike: its backward() is not followed, and taken to keep the size of gradients",
        "verify runs the graph and not the module: a step is passed by a gradient of the module's own",
    ]
    rules = sr.derive(graph, optimizer="adamw").parameters
    found = {name: (str(rule.init), str(rule.lr)) for name, rule in rules.items() if "weight" in name}
    assert found == {
        "first.weight": ("1", "1"),
        "middle.weight": ("width^(-1/2)", "width^-1"),
        "last.weight": ("width^-1", "width^-1"),
    }


class FewBits(nn.Module):
    """A frozen layer whose weight is kept in four bits, and an update of low rank."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, width), nn.Linear(width, 3)
        self.codes: Tensor
        self.scale: Tensor
        self.register_buffer("codes", torch.randint(0, 255, (width, width // 2), dtype=torch.uint8))
        self.register_buffer("scale", torch.rand(width, 1) / width**0.5)
        self.down, self.up = nn.Parameter(torch.randn(4, width)), nn.Parameter(torch.zeros(width, 4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x).relu()
        codes = torch.stack([self.codes >> 4, self.codes & 15], -1).flatten(1).float() - 7.5
        return self.last((h @ (codes * self.scale).T + h @ self.down.T @ self.up.T).relu())


def test_a_weight_kept_in_few_bits_is_a_frozen_one() -> None:
    graph = sr.trace(FewBits, WIDTH, X)
    assert any("it counts as a random matrix that is not trained" in note for note in graph.notes)
    solution = sr.derive(graph, optimizer="adamw")
    found = {name: (str(solution[name].init), str(solution[name].lr)) for name in ("down", "up", "last.weight")}
    assert found == {"down": ("width^-1", "width^-1"), "up": ("1", "1"), "last.weight": ("width^-1", "width^-1")}
    sr.apply(FewBits(48), solution, base={"width": 16}, sizes={"width": 48}, lr=1e-3)
