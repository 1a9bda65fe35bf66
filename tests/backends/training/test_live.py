"""Verifying a traced module measures the module itself: its own values, with the numbers of the solution."""

from __future__ import annotations

import pytest
import torch
from scalerules.backends.training import measure as training
from scalerules.backends.training.module_program import LiveProgram, measure
from torch import nn
from torch.nn import functional as F

import scalerules as sr

BASE = {"width": 32.0}


class Gated(nn.Module):
    """A fused weight, a bias, a fixed factor that varies with the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.first, self.qk, self.last = nn.Linear(16, width), nn.Linear(width, 2 * width), nn.Linear(width, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.tanh(self.first(x))
        q, k = self.qk(h).chunk(2, -1)
        return self.last(((q @ k.t()) * self.width**-0.5).softmax(-1) @ h)


@pytest.fixture(scope="module")
def traced() -> tuple[sr.Graph, sr.Solution]:
    graph = sr.trace(Gated, {"width": (32, 48, 64)}, lambda width: torch.ones(6, 16))
    return graph, sr.derive(graph, "adamw")


@pytest.fixture(scope="module")
def program(traced: tuple[sr.Graph, sr.Solution]) -> LiveProgram:
    """The module at its base size."""
    return LiveProgram(*traced, BASE, BASE)


def test_what_runs_is_the_module(traced, program):
    graph, _ = traced
    parameters, data = program.initial(3), program.data(0)
    run = program.forward(parameters, data)
    model = Gated(32)
    weights = program.weights.weights(parameters, program.exported.weights)
    model.load_state_dict({name: weights[name] for name in model.state_dict()})
    wanted = model(data.inputs["0"])
    assert torch.allclose(run.values[program.live.nodes[graph.outputs[0]][0]], wanted, atol=1e-6)
    own = program.module(3).state_dict()
    for name, tensor in model.state_dict().items():  # at the base size nothing is changed but the overall scale
        ratio = tensor / own[name]
        parts = ratio.chunk(2) if name.startswith("qk") else (ratio,)
        assert all(float(part.std()) < 1e-4 for part in parts), name


def test_factors_are_those_of_the_solution(traced):
    """At four times the width scores are divided by four where the module divides by two."""
    graph, solution = traced
    ((node, mult),) = solution.multipliers.items()
    assert mult["width"] == -1
    program = LiveProgram(graph, solution, {"width": 128.0}, BASE)
    (factor,) = program.factors.values()
    assert factor == pytest.approx(0.5)
    before, data = program.initial(0), program.data(0)
    run = program.forward(before, data)
    (call,) = program.live.nodes[node]
    h = torch.tanh(
        F.linear(
            data.inputs["0"],
            *(program.weights.weights(before, program.exported.weights)[f"first.{x}"] for x in ("weight", "bias")),
        )
    )
    q, k = F.linear(
        h, *(program.weights.weights(before, program.exported.weights)[f"qk.{x}"] for x in ("weight", "bias"))
    ).chunk(2, -1)
    assert torch.allclose(run.values[call], q @ k.t() * 128**-0.5 * 0.5, atol=1e-5)


def test_an_own_contribution_is_that_of_one_parameter(traced, program):
    graph, _ = traced
    before, data = program.initial(0), program.data(0)
    name = "last.weight"
    (node,) = program.readers(name)
    after = {**before, name: before[name] + 1, "last.bias": before["last.bias"] + 5}
    run = program.forward(after, data)
    changed = program.own(run, before, name, node)
    through = run.values[program.live.nodes[graph.outputs[0]][0]]
    (call,) = program.live.readers[node, name]
    x = next(run.calls.env[n] for n in run.calls.env if n.name == call)
    assert changed.shape[1:] == through.shape and x is run.values[call]
    assert torch.allclose(changed[0], changed[0][:, :1].expand_as(changed[0]), atol=1e-5), (
        "all outputs see the same change"
    )


def test_an_own_contribution_of_a_part_is_that_of_its_rows(program):
    """Other rows of the same weight stand still: with them the mean would fall where a part does not grow."""
    before, data = program.initial(0), program.data(0)
    name = "qk.weight[0:width, :]"
    (node,) = program.readers(name)
    changed = program.own(program.forward({**before, name: before[name] + 1}, data), before, name, node)
    assert changed.numel() == 6 * 32


class Reflected(nn.Module):
    """A reflection by the rows of one matrix: what a row contributes to its own length is a single number."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.rows = nn.Linear(16, width), nn.Parameter(torch.randn(2, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x)
        for row in self.rows:
            h = h - 2 * (h @ row)[:, None] * row / (row @ row)
        return h


def test_an_own_contribution_of_a_part_may_be_one_number() -> None:
    inputs = (torch.randn(4, 16),)
    graph = sr.trace(Reflected, scales={"width": (16, 24, 32)}, inputs=lambda width: inputs, progress=False)
    report = sr.verify(graph, sr.derive(graph, "adamw"), sizes=[16, 32], seeds=1, progress=False, jobs=1)
    assert any(row.quantity == "own" and row.parameter and row.parameter.startswith("rows[") for row in report.rows)


class Prefixed(nn.Module):
    """Rows of a table at fixed places beside what the inputs make."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.table, self.up = nn.Embedding(3, 12), nn.Linear(12, width)
        self.first, self.last = nn.Linear(16, width), nn.Linear(width, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        prefix = torch.tanh(self.up(self.table(torch.arange(3))))
        return self.last(torch.tanh(self.first(x)) + prefix.mean(0))


def test_what_rows_at_fixed_places_make_is_not_asked_to_depend_on_the_inputs() -> None:
    graph = sr.trace(Prefixed, {"width": (32, 48, 64)}, lambda width: torch.ones(6, 16))
    solution = sr.derive(graph, "adamw")
    program = LiveProgram(graph, solution, BASE, BASE)
    bent = [name for name, node in graph.walk() if node.op == "tanh"]
    assert sorted(map(program.depends, bent)) == [False, True]
    watched = training.Watched({}, bent)
    (seen,) = measure(program, [training.Trial(0.01, steps=1)], [], watched=watched)
    assert [program.depends(key[1]) for key in seen.rms if key[0] == "data"] == [True]


class Seen(nn.Module):
    """A token that is expanded before it is read, and a weight that is read from behind."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.first, self.last = nn.Linear(16, width), nn.Parameter(torch.randn(width, 8) / width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.cat([self.token.expand(x.shape[0], -1, -1), torch.tanh(self.first(x))], 1)
        return h.transpose(1, 2).transpose(1, 2) @ self.last.t().t()


def test_weights_are_followed_through_views():
    """What a call reads of a weight may be a view of it: the initial value has to come the same way."""
    graph = sr.trace(Seen, {"width": (32, 48, 64)}, lambda width: torch.ones(6, 3, 16))
    program = LiveProgram(graph, sr.derive(graph, "adamw"), BASE, BASE)
    before, data = program.initial(0), program.data(0)
    for name in ("token", "last"):
        (node,) = program.readers(name)
        run = program.forward({**before, name: before[name] + 1}, data)
        changed = program.own(run, before, name, node)
        unchanged = program.forward(before, data)
        (call,) = program.live.readers[node, name]
        assert torch.allclose(changed[0], run.values[call] - unchanged.values[call], atol=1e-6), name
        assert float(changed.abs().max()) > 0.5, name


def test_the_module_agrees_and_a_wrong_rule_does_not(traced):
    graph, solution = traced
    right = sr.verify(graph, solution, sizes=[32, 64, 128, 256], seeds=2, progress=False, jobs=1)
    assert right.verdict is not False and len(right.rows) > 40, right.wrong
    wrong = solution.changed("last.weight", lr={"width": 0}, init={"width": 0})
    assert sr.verify(graph, wrong, sizes=[32, 64, 128, 256], seeds=2, progress=False, jobs=1, looks=1).verdict is False


def test_training_lowers_the_loss(traced):
    graph, solution = traced
    losses = training.losses(LiveProgram(graph, solution, BASE, BASE), training.Trial(0.01, 4, 0))
    assert losses[-1] < losses[0]


class Attention(nn.Module):
    """Its reshape behind the attention is a copy on the meta device and a view on a real one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, n = x.shape
        q, k, v = (y.view(b, t, 4, n // 4).transpose(1, 2) for y in self.qkv(x).chunk(3, -1))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + self.out(mixed.transpose(1, 2).reshape(b, t, n))


def test_calls_have_the_same_names_whatever_the_kernel_of_attention() -> None:
    def make(width: int) -> nn.Module:
        return nn.Sequential(nn.Linear(5, width), *(Attention(width) for _ in range(3)), nn.Linear(width, 2))

    graph = sr.trace(make, {"width": (16, 24, 32)}, lambda width: torch.ones(2, 3, 5))
    solution = sr.derive(graph, optimizer="adamw")
    program = LiveProgram(graph, solution, {"width": 24.0}, {"width": 16.0})
    values = program.forward(program.initial(0), program.data(0)).all_values()
    assert graph.live is not None
    assert set(values) >= set(graph.live.nodes) and sum(len(calls) == 3 for calls in graph.live.nodes.values()) > 5


def test_a_complex_tensor_that_is_written_to_trains() -> None:
    """`out[..., :m] = low` of a Fourier operator: torch has no derivative of the functional call."""

    class Operator(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(4, width), nn.Linear(width, 3)
            self.weight = nn.Parameter(torch.randn(width, width) / width)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            spectrum = torch.fft.rfft(self.first(x), dim=1)
            out = torch.zeros_like(spectrum)
            out[:, :2] = spectrum[:, :2] @ self.weight.to(out.dtype)
            out[:, 2] = spectrum[:, 2]
            return self.last(torch.fft.irfft(out, n=x.shape[1], dim=1))

    graph = sr.trace(Operator, {"width": (32, 48, 64)}, lambda width: torch.ones(2, 6, 4))
    program = LiveProgram(graph, sr.derive(graph, "adamw"), BASE, BASE)
    losses = training.losses(program, training.Trial(0.01))
    assert losses[-1] < losses[0]


def test_what_cannot_be_trained_is_told() -> None:
    class Untaught(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(4, width), nn.Linear(width, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.zeta(self.last(self.first(x)) + 9, torch.ones(()))

    graph = sr.trace(Untaught, {"width": (32, 48, 64)}, lambda width: torch.ones(5, 4))
    program = LiveProgram(graph, sr.derive(graph, "adamw"), BASE, BASE)
    with pytest.raises(sr.ScaleRulesError, match="graph 'Untaught': cannot be trained: .*zeta"):
        training.losses(program, training.Trial(0.01))


def test_what_two_functions_of_a_weight_contribute_is_seen_of_both() -> None:
    """The program computes `1 - gate` from the gate, and the graph reads the weight for each."""

    class Mixed(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(4, width), nn.Linear(width, 3)
            self.gate = nn.Parameter(torch.zeros(width))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            gate, h = torch.sigmoid(self.gate), self.first(x)
            return self.last(gate * torch.tanh(h) + (1 - gate) * torch.relu(h))

    graph = sr.trace(Mixed, {"width": (32, 48, 64)}, lambda width: torch.ones(5, 4))
    program = LiveProgram(graph, sr.derive(graph, "adamw"), BASE, BASE)
    initial, data = program.initial(0), program.data(0)
    forward = program.forward({**initial, "gate": initial["gate"] + 0.1}, data)
    readers = program.readers("gate")
    assert len(readers) == 2
    assert all(float(program.own(forward, initial, "gate", node).abs().min()) > 0.01 for node in readers)


class WithNoise(nn.Module):
    """A variational encoder's middle: what is read is drawn around what is computed."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.sigma, self.last = nn.Linear(16, width), nn.Parameter(torch.ones(width)), nn.Linear(width, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.tanh(self.first(x))
        return self.last(torch.tanh(h + self.sigma * torch.randn_like(h)))


def test_noise_is_the_same_in_every_evaluation() -> None:
    """Drawn anew it was taken for what a parameter changes: half a power too little at a readout, in one run of two."""
    graph = sr.trace(WithNoise, {"width": (32, 48, 64)}, torch.ones(6, 16))
    program = LiveProgram(graph, sr.derive(graph, "adamw"), BASE, BASE)
    parameters, data = program.initial(0), program.data(0)
    state = torch.random.get_rng_state()
    first, second = (program.forward(parameters, data).all_values() for _ in range(2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert torch.equal(state, torch.random.get_rng_state())


def test_inputs_that_the_module_does_not_take_are_told() -> None:
    """A token that the table has no row for was a traceback."""
    graph = sr.trace(
        lambda width: nn.Sequential(nn.Embedding(4, width), nn.Linear(width, 3)),
        {"width": (32, 48, 64)},
        torch.tensor([[1, 7]]),
        measure=False,
    )
    with pytest.raises(sr.ScaleRulesError, match="cannot be run: index out of range"):
        sr.verify(graph, sr.derive(graph, "adamw"), sizes=[32, 64], seeds=1, progress=False)


class Reservoir(nn.Module):
    """A random matrix in a buffer, and an identity that the forward pass makes."""

    random: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(16, width), nn.Linear(width, 8)
        self.mixed = nn.Parameter(torch.randn(width, width) / width**0.5)
        self.register_buffer("random", torch.randn(width, width) / width**0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.first(x)) @ self.random
        return self.last(torch.relu(torch.relu(h) @ (self.mixed + torch.eye(len(self.mixed)))))


def test_matrices_that_are_no_parameters_are_those_of_the_module() -> None:
    """Both were looked for among the module's parameters: a KeyError."""
    graph = sr.trace(Reservoir, {"width": (32, 48, 64)}, torch.ones(6, 16))
    solution = sr.derive(graph, "adamw")
    program = LiveProgram(graph, solution, {"width": 128.0}, BASE)
    random = program.initial(3)["random"]
    assert abs(float(random.std()) * 128**0.5 - 1) < 0.05
    data, (other,) = program.data(0), [program.initial(4)["random"]]
    outputs = [
        program.forward({**program.initial(3), "random": each}, data).values[program.live.nodes[graph.outputs[0]][0]]
        for each in (random, other)
    ]
    assert not torch.allclose(*outputs)  # the one that it is given, not that of the exported copy
    assert sr.verify(graph, solution, sizes=[32, 64, 128], seeds=2, progress=False).verdict


class OnAGraph(nn.Module):
    """Roots of degrees, which have to be positive."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, width), nn.Linear(width, 3)

    def forward(self, x: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
        degrees = (adjacency + torch.eye(6)).sum(-1)
        return self.last(torch.relu(degrees.rsqrt()[:, None] * self.first(x)))


def test_numbers_that_have_to_be_positive_are_drawn_so() -> None:
    """Drawn as others are, roots of negative degrees left no learning rate that is stable."""
    graph = sr.trace(OnAGraph, {"width": (32, 48, 64)}, (torch.ones(6, 5), torch.ones(6, 6)))
    solution = sr.derive(graph, "adamw")
    data = LiveProgram(graph, solution, BASE, BASE).data(0)
    assert float(data.inputs["0"].min()) >= 0 < float(data.inputs["1"].std())
    assert sr.verify(graph, solution, sizes=[32, 64, 128], seeds=2, progress=False).verdict


def test_outputs_that_are_never_finite_are_told() -> None:
    class Never(OnAGraph):
        def forward(self, x: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
            return super().forward(x, -adjacency.abs() - 9)

    graph = sr.trace(Never, {"width": (32, 48, 64)}, (torch.ones(6, 5), torch.ones(6, 6)), measure=False)
    with pytest.raises(sr.ScaleRulesError, match="module Never: its outputs are not finite"):
        LiveProgram(graph, sr.derive(graph, "adamw"), BASE, BASE).data(0)
