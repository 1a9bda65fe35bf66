"""A module is run as it was traced, whatever its outputs, names, inputs and precisions are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from scalerules.backends.training import measure as training
from scalerules.backends.training.module_program import LiveProgram, measure
from torch import Tensor, nn
from torch.nn.attention.flex_attention import flex_attention
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import scalerules as sr

BASE = {"width": 16.0}
VECTORS = torch.linspace(-1, 1, 30).view(6, 5)


@dataclass
class Output:
    """What a model returns besides tensors that torch knows."""

    logits: Tensor
    loss: Tensor | None = None


class Plain(nn.Module):
    """Two layers and a head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(5, width), nn.Linear(width, width), nn.Linear(width, 4)

    def hidden(self, x: Tensor) -> Tensor:
        """What the head reads."""
        return torch.relu(self.b(torch.relu(self.a(x))))

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        return self.c(self.hidden(x))


class InAClass(Plain):
    def forward(self, x: Tensor) -> Output:
        return Output(self.c(self.hidden(x)))


class Named(nn.Module):
    """Parts whose names exported modules have themselves."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.code, self.graph = nn.Linear(5, width), nn.Linear(width, 4)
        self.meta: Tensor
        self.register_buffer("meta", torch.full((width,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.graph(torch.relu(self.code(x)) * self.meta)


class Packed(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(5, width, batch_first=True), nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        packed = pack_padded_sequence(x[None], torch.tensor([6]), batch_first=True)
        return self.head(pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0])


class Rounded(Plain):
    """A layer in half precision: what a measurement adds would be rounded away."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            h = self.hidden(x)
        return self.c(h.float().double().float())


class Flexible(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner, self.qkv, self.out = nn.Linear(5, width), nn.Linear(width, 3 * width), nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        heads = (part.view(1, 6, 2, -1).transpose(1, 2) for part in self.qkv(self.inner(x)).chunk(3, -1))
        return self.out(flex_attention(*heads).transpose(1, 2).flatten(2))  # pyright: ignore


def traced(kind: type[nn.Module], inputs: Any = lambda **_: VECTORS) -> Any:
    """The graph of a module."""
    return sr.trace(kind, {"width": (16, 24, 32)}, inputs, progress=False)


@pytest.mark.parametrize(
    ("kind", "tolerance"), [(InAClass, 1e-5), (Named, 1e-5), (Packed, 1e-5), (Rounded, 0.05), (Flexible, 1e-5)]
)
def test_what_runs_is_the_module(kind: type[nn.Module], tolerance: float) -> None:
    graph = traced(kind)
    program = LiveProgram(graph, sr.derive(graph, "adamw"), BASE, BASE, torch.float64)
    parameters, data = program.initial(3), program.data(0)
    (found,) = program.outputs(program.forward(parameters, data))
    assert found.dtype == torch.float64
    model = kind(16).requires_grad_(False)
    weights = program.weights.weights(parameters, program.exported.weights)
    model.load_state_dict({name: weights[name].float() for name in model.state_dict()})
    wanted = model(data.inputs["0"].float())
    wanted = wanted.logits if isinstance(wanted, Output) else wanted
    assert torch.allclose(found, wanted.double(), atol=tolerance), (found - wanted).abs().max()
    for name in parameters:  # what a weight adds is seen in full
        moved = {**parameters, name: parameters[name] * (1 + 1e-9)}
        assert not torch.equal(program.outputs(program.forward(moved, data))[0], found), name


class Masked(nn.Module):
    """A mask that is written in place: what fills it is exported as three calls without memory, and as one with it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner, self.out = nn.Linear(5, width), nn.Linear(width, 4)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.zeros(2, 3, dtype=torch.bool, device=x.device)
        mask[:, -1] = True
        h = self.inner(x.view(2, 3, 5))
        return self.out(self.attention(h, h, h, key_padding_mask=mask, need_weights=False)[0])


def test_every_node_is_measured_at_its_own_call() -> None:
    graph = traced(Masked)
    program = LiveProgram(graph, sr.derive(graph, "adamw"), BASE, BASE)
    values = program.forward(program.initial(0), program.data(0)).values
    lengths = {axis: length.value(BASE) for axis, length in graph.lengths.items()}
    for node, (call, *_) in program.live.nodes.items():
        assert values[call].numel() == math.prod(lengths[axis] for axis in graph.axes_of(node)), (node, call)


class Nearer(Plain):
    """A loss of which no call returns what the graph has for it."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.triplet_margin_loss(*(self.c(self.hidden(x.roll(i, 0))) for i in range(3)))  # pyright: ignore


class Distant(nn.Module):
    """Distances of growing vectors: their squares have a factor, of which torch returns the root."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, width), nn.Linear(9, 4)
        self.centres = nn.Parameter(torch.randn(9, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.exp(-(torch.cdist(torch.relu(self.a(x)), self.centres) ** 2)))


class Whole(Plain):
    """As many repetitions as a number of the data says."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.hidden(x)
        for _ in range(int(x[0, 0].item()) + 3):
            h = torch.relu(self.b(h))
        return self.c(h)


class Conditional(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return self.c(torch.cond(x.sum() > 0, lambda h: torch.relu(self.b(h)), lambda h: h * 2, (self.hidden(x),)))


class Mapped(Plain):
    def forward(self, x: Tensor) -> Tensor:
        from torch._higher_order_ops.map import map as mapped

        return self.c(mapped(lambda h: torch.relu(self.b(h)), self.hidden(x)))  # pyright: ignore


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Whole, "a branch depends on values"),
        (Conditional, "what cond does"),
        (Mapped, "what map_impl"),
        (Nearer, "no call"),
        (Distant, "inside of the call"),
    ],
)
def test_what_is_not_run_as_it_was_traced_is_measured_as_a_graph(kind: type[nn.Module], said: str) -> None:
    graph = traced(kind)
    assert graph.live is None
    assert any("verify runs the graph" in note and said in note for note in graph.notes), graph.notes
    found = sr.verify(graph, sr.derive(graph, "adamw"), sizes=[32, 64, 128], seeds=2, progress=False, jobs=1)
    assert not found.wrong
    assert not found.failed


class Turning(Plain):
    def forward(self, x: Tensor) -> Tensor:
        from torch._higher_order_ops.while_loop import while_loop

        return while_loop(lambda i, h: i < 3, lambda i, h: (i + 1, self.b(h)), (torch.tensor(0), self.hidden(x)))[1]


def test_a_loop_that_data_end_is_told_with_the_users_line() -> None:
    with pytest.raises(sr.ScaleRulesError, match=r"test_live_kinds.py:\d+ return while_loop.*only the data say"):
        traced(Turning)


class Bag(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(20, width), nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.table(x))


def test_inputs_that_are_all_alike_are_told() -> None:
    graph = traced(Bag, lambda **_: torch.ones(3, 4, dtype=torch.int64))
    with pytest.raises(
        sr.ScaleRulesError, match=r"inputs of Bag: they are whole numbers, all alike \(give different ones"
    ):
        sr.verify(graph, sr.derive(graph, "adamw"), sizes=[16, 32], seeds=1, progress=False, jobs=1)


class Both(nn.Module):
    """Vectors, and tokens for them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.table, self.head = nn.Linear(5, width), nn.Embedding(20, width), nn.Linear(width, 4)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        return self.head(torch.relu(self.first(x)) + torch.relu(self.table(tokens)))


@pytest.mark.parametrize(
    ("tokens", "asked"),
    [([[1, 1], [1, 1]], [False, True]), ([[1, 2], [1, 2]], [True, True]), ([[1, 1], [2, 2]], [True, True])],
)
def test_only_what_other_inputs_change_is_asked_to_depend_on_them(tokens: list[list[int]], asked: list[bool]) -> None:
    graph = traced(Both, lambda **_: (torch.ones(2, 2, 5), torch.tensor(tokens)))
    program = LiveProgram(graph, sr.derive(graph, "adamw"), BASE, BASE)
    bent = [name for name, node in graph.walk() if node.op == "relu"]
    assert sorted(map(program.depends, bent)) == asked
    watched = training.Watched({}, bent)
    (seen,) = measure(program, [training.Trial(0.01, steps=1)], [], watched=watched)
    moved = {key[1]: size for key, size in seen.rms.items() if key[0] == "data"}
    assert sorted(moved) == sorted(filter(program.depends, bent))
    assert all(moved.values())


def test_packed_inputs_are_run_at_their_full_length() -> None:
    class Reads(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.rnn, self.head = nn.GRU(5, width), nn.Linear(width, 4)

        def forward(self, x: PackedSequence) -> Tensor:
            return self.head(pad_packed_sequence(self.rnn(x)[0])[0])

    graph = traced(Reads, lambda **_: nn.utils.rnn.pack_sequence([torch.ones(5, 5), torch.ones(3, 5)]))
    program = LiveProgram(graph, sr.derive(graph, "adamw"), BASE, BASE)
    assert program.outputs(program.forward(program.initial(0), program.data(0)))[0].shape == (5, 2, 4)


class MadeInForward(Plain):
    """Numbers that the module makes while it runs, in the precision that torch has by default."""

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.hidden(x + torch.sin(torch.arange(5) * torch.linspace(0.1, 1.0, 5) + torch.ones(5))))


def test_numbers_that_a_module_makes_have_the_precision_of_the_measurement() -> None:
    """In double precision it was said that the module cannot be traced."""
    graph = sr.trace(MadeInForward, {"width": (16, 24, 32)}, VECTORS, progress=False)
    program = LiveProgram(graph, sr.derive(graph, "adamw"), BASE, BASE, torch.float64)
    kinds = {node.meta["val"].dtype for node in program.exported.nodes if "val" in node.meta}
    assert kinds <= {torch.float64, torch.int64}
    (seen,) = measure(program, [training.Trial(0.01, steps=1)], [])
    assert seen is not None
