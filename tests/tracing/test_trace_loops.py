"""Loops over time and repeated blocks in traced modules: folded, as fast as short ones, with the right rules."""

from __future__ import annotations

import time
from collections import Counter
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import scalerules as sr
from scalerules.architecture.block_names import is_blocks, of_block, stands_for
from scalerules.errors import ScaleRulesError, UnknownName
from scalerules.tracing.exporting.export import trace as once
from scalerules.tracing.exporting.short_inputs import cut_of
from scalerules.tracing.exporting.time_loops import KEPT, shortened

WIDTHS = {"width": (32, 48, 64)}
VOCABULARY = 24


def ids(steps: int) -> Any:
    """Token indices, `steps` long."""
    return lambda **_: torch.arange(2 * steps).reshape(2, steps) % VOCABULARY


def pair(solution: sr.Solution, name: str, scale: str = "width") -> tuple[Fraction, Fraction]:
    """Init and learning rate with the multiplier taken in."""
    rule = solution[name]
    mult = rule.mult.fractions.get(scale, Fraction(0))
    return rule.init.fractions[scale] + mult, rule.lr.fractions[scale] + mult


class Recurrent(nn.Module):
    """An embedding, something that goes along the times, a readout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.emb, self.head = nn.Embedding(VOCABULARY, width), nn.Linear(width, VOCABULARY, bias=False)
        self.build(width)

    def build(self, n: int) -> None: ...

    def along(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.along(self.emb(tokens)))


class Elman(Recurrent):
    def build(self, n: int) -> None:
        self.into, self.back = nn.Linear(n, n), nn.Linear(n, n, bias=False)

    def along(self, x: torch.Tensor) -> torch.Tensor:
        h, out = torch.zeros_like(x[:, 0]), []
        for t in range(x.shape[1]):
            h = torch.tanh(self.into(x[:, t]) + self.back(h))
            out.append(h)
        return torch.stack(out, 1)


class InPlace(Elman):
    """The same, written into a tensor of zeros."""

    def along(self, x: torch.Tensor) -> torch.Tensor:
        h, out = torch.zeros_like(x[:, 0]), torch.zeros_like(x)
        for t in range(x.shape[1]):
            h = torch.tanh(self.into(x[:, t]) + self.back(h))
            out[:, t] = h
        return out


class Unbound(Elman):
    """The same over a list of times, without a state before the first, and only the last state is read."""

    def along(self, x: torch.Tensor) -> torch.Tensor:
        h = None
        for x_t in x.unbind(1):
            h = torch.tanh(self.into(x_t) if h is None else self.into(x_t) + self.back(h))
        assert h is not None
        return h


class Reversed(Elman):
    """From the last time to the first, put side by side with new axes of length one."""

    def along(self, x: torch.Tensor) -> torch.Tensor:
        h, out = x.new_zeros(x.shape[0], x.shape[2]), []
        for t in reversed(range(x.shape[1])):
            h = torch.tanh(self.into(x[:, t]) + self.back(h))
            out.append(h.unsqueeze(1))
        return torch.cat(out, 1)


class Scanned(Elman):
    """The same through torch's scan."""

    def along(self, x: torch.Tensor) -> torch.Tensor:
        from torch._higher_order_ops.scan import scan

        def step(h: torch.Tensor, x_t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            h = torch.tanh(self.into(x_t) + self.back(h))
            return h, h.clone()

        return scan(step, torch.zeros_like(x[:, 0]), x.transpose(0, 1), dim=0)[1].transpose(0, 1)


class Cell(Recurrent):
    def build(self, n: int) -> None:
        self.cell = nn.GRUCell(n, n)

    def along(self, x: torch.Tensor) -> torch.Tensor:
        h, out = x.new_zeros(x.shape[0], self.width), []
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
            out.append(h)
        return torch.stack(out, 1)


class Fast(Recurrent):
    """Linear attention with a state: a factor before the product of two values of the data."""

    def build(self, n: int) -> None:
        self.qkv, self.out, self.norm = nn.Linear(n, 3 * n, bias=False), nn.Linear(n, n, bias=False), nn.LayerNorm(n)

    def along(self, x: torch.Tensor) -> torch.Tensor:
        (b, steps, n), heads = x.shape, 4
        parts = self.qkv(self.norm(x)).chunk(3, -1)
        q, k, v = (part.view(b, steps, heads, n // heads) for part in parts)
        state, out = torch.zeros(b, heads, n // heads, n // heads), []
        for t in range(steps):
            state = 0.9 * state + k[:, t, :, :, None] * v[:, t, :, None, :]
            read = (q[:, t, :, None, :] * (n // heads) ** -0.5) @ state
            out.append(read[:, :, 0])
        return x + self.out(torch.stack(out, 1).reshape(b, steps, n))


RULES = {"into.weight": (Fraction(-1, 2), -1), "back.weight": (Fraction(-1, 2), -1), "head.weight": (-1, -1)}


@pytest.mark.parametrize("kind", [Elman, InPlace, Unbound, Reversed, Scanned])
def test_a_loop_over_time_is_its_first_steps(kind):
    short, long = (shortened(once(lambda width: kind(width), ids(steps), {"width": 32})) for steps in (6, 24))
    assert len(long.loops) == 1 and len(long.steps) == len(short.steps)
    assert sum(step.target == "aten.tanh.default" for step in long.steps) <= KEPT + 1


@pytest.mark.parametrize("kind", [InPlace, pytest.param(Scanned, marks=pytest.mark.slow)])  # its steps: above
def test_a_nonlinear_recurrence_has_the_rules_of_hidden_layers(kind):
    solution = sr.derive(sr.trace(lambda width: kind(width), WIDTHS, ids(5), measure=False), "adam")
    for name, rule in RULES.items():
        assert pair(solution, name) == rule, name


def test_a_state_of_zeros_adds_nothing():
    graph = sr.trace(lambda width: Elman(width), WIDTHS, ids(6), measure=False)
    readers = [node for node in graph.nodes.values() if "back.weight" in node.parameters]
    assert len(readers) == KEPT - 1, "the first step has no state to read"


def test_a_long_loop_derives_as_fast_as_a_short_one():
    graphs, seconds = [], []
    for steps in (4, 20):
        graphs.append(sr.trace(lambda width: Elman(width), WIDTHS, ids(steps), measure=False))
        start = time.process_time()
        sr.derive(graphs[-1], "adam")
        seconds.append(time.process_time() - start)
    assert len(graphs[0].nodes) == len(graphs[1].nodes)
    assert graphs[0].record.cut is None and graphs[1].record.cut == (20, 6), "exported on short inputs"
    assert any("along 6 of 20 steps" in note for note in graphs[1].notes)
    assert seconds[1] < 2 * seconds[0] + 0.5


def test_inputs_as_long_as_a_weight_are_not_cut():
    class Placed(Elman):
        def build(self, n: int) -> None:
            super().build(n)
            self.places = nn.Parameter(torch.randn(20, n))

        def along(self, x: torch.Tensor) -> torch.Tensor:
            return super().along(x + self.places[: x.shape[1]])

    found = {kind: shortened(once(kind, ids(20), {"width": 32})) for kind in (Elman, Placed)}
    assert [loop.count for loop in found[Placed].loops] == [20]
    assert cut_of(found[Elman]) == (20, 6) and cut_of(found[Placed]) is None


@pytest.mark.slow
def test_a_cell_of_torch_has_the_rules_of_the_module_for_sequences():
    class Whole(Recurrent):
        def build(self, n: int) -> None:
            self.cell = nn.GRU(n, n, batch_first=True)

        def along(self, x: torch.Tensor) -> torch.Tensor:
            return self.cell(x)[0]

    ours = sr.derive(sr.trace(lambda width: Cell(width), WIDTHS, ids(5), measure=False), "adam")
    theirs = sr.derive(sr.trace(lambda width: Whole(width), WIDTHS, ids(5), measure=False), "adam")
    assert {n.replace("_l0", "") for n in theirs.parameters} == set(ours.parameters)
    for name in theirs.parameters:
        assert pair(theirs, name) == pair(ours, name.replace("_l0", "")), name


def test_linear_attention_with_a_state():
    solution = sr.derive(sr.trace(lambda width: Fast(width), WIDTHS, ids(5), measure=False), "adam")
    [factor] = {found.fractions["width"] for found in solution.multipliers.values()}
    init, rate = pair(solution, "out.weight")  # the factor and what is linear behind it go together
    assert (factor + init, factor + rate) == (-1 - Fraction(1, 2), -1 - 1), "1/head, where the module has a root"
    assert all(pair(solution, name) == (Fraction(-1, 2), -1) for name in solution.parameters if "qkv" in name)


def test_loops_whose_steps_have_other_weights_stay():
    class Layers(Recurrent):
        def build(self, n: int) -> None:
            self.weights = nn.Parameter(torch.randn(6, n, n))

        def along(self, x: torch.Tensor) -> torch.Tensor:
            for k in range(6):
                x = torch.tanh(x @ self.weights[k])
            return x

    found = shortened(once(lambda width: Layers(width), ids(3), {"width": 32}))
    assert not found.loops and sum(step.target == "aten.tanh.default" for step in found.steps) == 6


def test_a_loop_as_long_as_a_scale_says_is_refused():
    with pytest.raises(ScaleRulesError, match="a loop has as many steps as time says.*hold it fixed"):
        scales = {**WIDTHS, "time": (4, 6, 8)}
        sr.trace(lambda width, time: Elman(width), scales, lambda width, time: ids(time)(), measure=False)


# --- state-space models --------------------------------------------------------------------------------


class Diagonal(Recurrent):
    """S4D, Euler: everything in the loop, or the decay before it; the state read in it, or behind it."""

    inside, behind = True, False

    def __init__(self, width: int, state: int = 4) -> None:
        self.state = state
        super().__init__(width)

    def build(self, n: int) -> None:
        self.norm, self.final, self.out = nn.RMSNorm(n), nn.RMSNorm(n), nn.Linear(n, n, bias=False)
        self.log_dt, self.D = nn.Parameter(torch.randn(n)), nn.Parameter(torch.ones(n))
        self.A_log = nn.Parameter(torch.log(torch.arange(1.0, self.state + 1)).repeat(n, 1))
        self.B, self.C = (nn.Parameter(torch.randn(n, self.state)) for _ in range(2))

    def along(self, x: torch.Tensor) -> torch.Tensor:
        u, dt = self.norm(x), torch.exp(self.log_dt)[:, None]
        decay, into = torch.exp(dt * -torch.exp(self.A_log)), dt * self.B
        h, out = torch.zeros(*u[:, 0].shape, self.state), []
        for t in range(u.shape[1]):
            if self.inside:
                decay = torch.exp(dt * -torch.exp(self.A_log))
            h = decay * h + into * u[:, t, :, None]
            out.append(h if self.behind else (h * self.C).sum(-1))
        y = torch.stack(out, 1)
        y = torch.einsum("btcn,cn->btc", y, self.C) if self.behind else y
        return self.final(x + self.out(F.gelu(y + u * self.D)))


class Before(Diagonal):
    inside = False


class Behind(Diagonal):
    inside, behind = False, True


S4D = {"emb": "W_E", "norm": "gain", "log_dt": "log_dt", "A_log": "A_log", "B": "B", "C": "C", "D": "D",
       "out": "W_out", "final": "final_gain", "head": "W_U"}  # fmt: skip


@pytest.mark.parametrize("kind", [Diagonal, *(pytest.param(kind, marks=pytest.mark.slow) for kind in (Before, Behind))])
def test_a_diagonal_recurrence_is_the_scan_of_the_catalogue(kind):
    from scalerules.graphs import s4d

    scales = {**WIDTHS, "state": (4, 6, 8)}
    graph = sr.trace(lambda width, state: kind(width, state), scales, ids(7))
    [scan] = [node for node in graph.nodes.values() if node.op == "scan"]
    assert len(scan.inputs) == 5 and not any(name.endswith(".all") for name in scan.inputs)
    direction = {"width": 1, "state": "1/4"}
    ours, theirs = (sr.derive(g, "adam", scales=direction) for g in (graph, s4d.build(discretisation="euler")))
    for mine, name in S4D.items():
        mine = mine if mine in ours.parameters else f"{mine}.weight"
        for scale in direction:
            assert pair(ours, mine, scale) == pair(theirs, name, scale), (name, scale)


class Mamba(nn.Module):
    """A block of the plain reference implementation."""

    def __init__(self, n: int, state: int) -> None:
        super().__init__()
        self.norm, self.inner, self.rank, self.state = nn.RMSNorm(n), 2 * n, n // 16, state
        self.in_proj, self.out_proj = nn.Linear(n, 4 * n, bias=False), nn.Linear(2 * n, n, bias=False)
        self.conv = nn.Conv1d(2 * n, 2 * n, 4, groups=2 * n, padding=3)
        self.x_proj = nn.Linear(2 * n, self.rank + 2 * state, bias=False)
        self.dt_proj, self.D = nn.Linear(self.rank, 2 * n), nn.Parameter(torch.ones(2 * n))
        self.A_log = nn.Parameter(torch.log(torch.arange(1.0, state + 1)).repeat(2 * n, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        u, z = self.in_proj(self.norm(x)).chunk(2, -1)
        u = F.silu(self.conv(u.transpose(1, 2))[..., : u.shape[1]].transpose(1, 2))
        dt, B, C = self.x_proj(u).split([self.rank, self.state, self.state], -1)
        dt, A = F.softplus(self.dt_proj(dt)), -torch.exp(self.A_log)
        decay, into = torch.exp(torch.einsum("bld,dn->bldn", dt, A)), torch.einsum("bld,bln,bld->bldn", dt, B, u)
        h, out = torch.zeros(x.shape[0], self.inner, self.state), []
        for t in range(x.shape[1]):
            h = decay[:, t] * h + into[:, t]
            out.append(torch.einsum("bdn,bn->bd", h, C[:, t]))
        return x + self.out_proj((torch.stack(out, 1) + u * self.D) * F.silu(z))


class Stack(nn.Module):
    """An embedding, blocks, a norm, a readout."""

    def __init__(self, width: int, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.emb, self.blocks = nn.Embedding(VOCABULARY, width), nn.ModuleList(blocks)
        self.norm, self.head = nn.RMSNorm(width), nn.Linear(width, VOCABULARY, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.emb(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


MAMBA = {
    "emb.weight": "W_E", "norm.weight": "final_gain", "head.weight": "W_U",
} | {
    f"blocks.1.{mine}": theirs
    for mine, theirs in {
        "norm.weight": "gain", "A_log": "A_log", "D": "D", "out_proj.weight": "W_out",
        "in_proj.weight[0:2*width, :]": "W_u", "in_proj.weight[2*width:4*width, :]": "W_z",
        "conv.weight": "W_conv", "conv.bias": "b_conv", "dt_proj.weight": "W_dt", "dt_proj.bias": "b_dt",
        "x_proj.weight[0:1/16*width, :]": "W_rank",
        "x_proj.weight[1/16*width:1/16*width + state, :]": "W_B",
        "x_proj.weight[1/16*width + state:1/16*width + 2*state, :]": "W_C",
    }.items()
}  # fmt: skip


@pytest.fixture(scope="module")
def mamba() -> sr.Graph:
    def make(width: int, state: int, depth: int) -> Stack:
        return Stack(width, [Mamba(width, state) for _ in range(depth)])

    return sr.trace(make, {**WIDTHS, "state": (4, 6, 8), "depth": (2, 3, 4)}, ids(6))


def test_a_plain_mamba_has_the_rules_of_the_catalogue(mamba):
    from scalerules.graphs import mamba as catalogue

    assert sum(node.op == "scan" for _, node in mamba.walk()) == 1, "both blocks are one, and its loop a scan"
    for mode in ("joint", "isolated"):
        ours = sr.derive(mamba, "adam", mode=mode)
        theirs = sr.derive(catalogue.build(discretisation="euler"), "adam", mode=mode)
        for mine, name in MAMBA.items():
            assert pair(ours, mine) == pair(theirs, name), (mode, name)


@pytest.mark.slow
def test_mamba_in_width_and_depth(mamba):
    solution = sr.derive(mamba, "adam", scales={"width": 1, "depth": 1})
    assert pair(solution, "blocks.0.out_proj.weight", "depth") == (Fraction(-1, 2), -1)
    assert pair(solution, "blocks.0.x_proj.weight[0:1/16*width, :]", "depth") == (0, Fraction(-1, 2))
    assert pair(solution, "head.weight", "depth") == (0, 0)


# --- depth ---------------------------------------------------------------------------------------------


class Wide(nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.RMSNorm(n), nn.Linear(n, 2 * n, bias=False), nn.Linear(2 * n, n, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(F.gelu(self.up(self.norm(x))))


class Mixed(nn.Module):
    """A block of another kind that has parameters of the same names."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.RMSNorm(n), nn.Linear(n, n, bias=False), nn.Linear(n, n, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(x)
        return x + self.down(torch.tanh(self.up(y)) * y)


KINDS = {"W": Wide, "M": Mixed}
BRANCH = {"up.weight": (Fraction(-1, 2), -1), "down.weight": (Fraction(-1, 2), -1), "norm.weight": (0, 0)}


def hybrid(width: int, pattern: str) -> Stack:
    """Blocks of the kinds that the letters say."""
    return Stack(width, [KINDS[letter](width) for letter in pattern])


def body(graph: sr.Graph) -> dict[str, Any]:
    [repeat] = [node for node in graph.nodes.values() if node.op == "repeat"]
    return repeat.body or {}


def test_blocks_that_repeat_in_groups_are_folded():
    scales = {**WIDTHS, "depth": (4, 6, 8)}
    graph = sr.trace(lambda width, depth: hybrid(width, "WM" * (depth // 2)), scales, ids(4), measure=False)
    [repeat] = [node for node in graph.nodes.values() if node.op == "repeat"]
    assert graph.axes[str(repeat.axis)] == "1/2*depth"
    assert sum(node.op == "residual" for node in body(graph).values()) == 2
    solution = sr.derive(graph, "adam", scales={"width": 1, "depth": 1})
    for index in range(4):
        for name, rule in BRANCH.items():
            assert pair(solution, f"blocks.{index}.{name}") == rule
        assert pair(solution, f"blocks.{index}.down.weight", "depth") == (Fraction(-1, 2), -1)
    assert "blocks.0::2.up.weight" in solution.parameters and "blocks.1::2.up.weight" in solution.parameters


@pytest.mark.slow
def test_groups_of_three_behind_a_block_of_its_own():
    graph = sr.trace(lambda width: hybrid(width, "M" + "WWM" * 3), WIDTHS, ids(4), measure=False)
    solution = sr.derive(graph, "adam")
    for index in range(10):
        for name, rule in BRANCH.items():
            assert pair(solution, f"blocks.{index}.{name}") == rule
    assert len([name for name in solution.parameters if name.endswith("up.weight")]) <= 4


def test_two_stretches_of_one_list_have_names_of_their_own():
    graph = sr.trace(lambda width: hybrid(width, "WWWMMM"), WIDTHS, ids(4), measure=False)
    assert {"blocks.0:3.up.weight", "blocks.3:6.up.weight"} <= set(graph.parameters)
    assert graph.parameters["blocks.0:3.up.weight"].axes != graph.parameters["blocks.3:6.up.weight"].axes


def test_apply_finds_the_blocks_of_a_group():
    graph = sr.trace(lambda width: hybrid(width, "WM" * 3), WIDTHS, ids(4))
    solution, model = sr.derive(graph, "adam"), hybrid(64, "WM" * 4)
    groups = sr.apply(model, solution, base={"width": 32}, sizes={"width": 64}, lr=1.0, reference=hybrid(32, "WM" * 4))
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert len(rates) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        assert rates[id(parameter)] == (0.5 if name.endswith(("up.weight", "down.weight", "head.weight")) else 1), name


def test_encoder_and_decoder_share_a_depth_scale():
    class Cross(nn.Module):
        def __init__(self, n: int) -> None:
            super().__init__()
            self.norm, self.read, self.out = nn.RMSNorm(n), nn.Linear(n, n, bias=False), nn.Linear(n, n, bias=False)

        def forward(self, x: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
            return x + self.out(self.norm(x) * self.read(memory))

    class Both(nn.Module):
        def __init__(self, n: int, depth: int) -> None:
            super().__init__()
            self.emb, self.norm, self.head = nn.Embedding(VOCABULARY, n), nn.RMSNorm(n), nn.Linear(n, VOCABULARY)
            self.encoder = nn.ModuleList(Wide(n) for _ in range(depth))
            self.decoder = nn.ModuleList(Cross(n) for _ in range(depth))

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            x = memory = self.emb(tokens)
            for block in self.encoder:
                memory = block(memory)
            memory = self.norm(memory)
            for block in self.decoder:
                x = block(x, memory)
            return self.head(x)

    graph = sr.trace(lambda width, depth: Both(width, depth), {**WIDTHS, "depth": (2, 3, 4)}, ids(4), measure=False)
    assert [graph.axes[str(n.axis)] for n in graph.nodes.values() if n.op == "repeat"] == ["depth", "depth"]
    solution = sr.derive(graph, "adam", scales={"width": 1, "depth": 1})
    for name in ("encoder.0.down.weight", "decoder.1.out.weight"):
        assert pair(solution, name, "depth") == (Fraction(-1, 2), -1), name


class Shared(nn.Module):
    """One block, applied again and again (as ALBERT does)."""

    def __init__(self, n: int, depth: int, after: bool = False) -> None:
        super().__init__()
        self.emb, self.block, self.depth = nn.Embedding(VOCABULARY, n), Wide(n), depth
        self.norm, self.after, self.head = nn.RMSNorm(n), after, nn.Linear(n, VOCABULARY, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.emb(tokens)
        for _ in range(self.depth):
            x = self.norm(self.block(x)) if self.after else self.block(x)
        return self.head(x)


@pytest.mark.parametrize("depths", [(2, 3, 4), pytest.param((6, 12, 18), marks=pytest.mark.slow)])
def test_one_block_applied_again_adds_up_in_step(depths):
    graph = sr.trace(lambda width, depth: Shared(width, depth), {**WIDTHS, "depth": depths}, ids(4), measure=False)
    solution = sr.derive(graph, "adam", scales={"width": 1, "depth": 1})
    assert pair(solution, "block.down.weight", "depth") == (-1, -1), "aligned: L, not its root"
    assert pair(solution, "block.up.weight", "depth") == (0, 0)
    assert pair(sr.derive(graph, "adam"), "block.down.weight") == (Fraction(-1, 2), -1)


def test_one_block_applied_again_without_a_stream_holds_the_number_fixed():
    scales = {**WIDTHS, "depth": (4, 6, 8)}
    graph = sr.trace(lambda width, depth: Shared(width, depth, after=True), scales, ids(4), measure=False)
    assert list(graph.scales) == ["width"] and any("number is held fixed" in note for note in graph.notes)
    assert pair(sr.derive(graph, "adam"), "block.down.weight") == (Fraction(-1, 2), -1)


@pytest.mark.slow
def test_many_blocks_cost_as_much_as_two():
    seconds, nodes = [], []
    for depth in (3, 96):
        graph = sr.trace(lambda width, depth=depth: hybrid(width, "W" * depth), WIDTHS, ids(4), measure=False)
        start = time.process_time()
        sr.derive(graph, "adam")
        seconds.append(time.process_time() - start)
        nodes.append(sum(1 for _ in graph.walk()))
    assert nodes[0] == nodes[1] and seconds[1] < 2 * seconds[0] + 0.5


# --- names ---------------------------------------------------------------------------------------------


def test_names_of_blocks():
    assert stands_for("h.*.attn.weight", "h.11.attn.weight") and not stands_for("h.*.attn", "h.x.attn")
    assert stands_for("h.1::2.w[0:width, :]", "h.3.w[0:width, :]") and not stands_for("h.1::2.w", "h.2.w")
    assert stands_for("h.0:6.w", "h.5.w") and not stands_for("h.0:6.w", "h.6.w")
    assert of_block("h.4.w", ["h.0::2.w", "h.1::2.w", "h.0:4.w"]) == ["h.0::2.w"]
    assert is_blocks("*") and is_blocks("3:9:2") and not is_blocks("attn")


def test_a_rule_is_found_by_the_name_of_a_block():
    graph = sr.trace(lambda width: hybrid(width, "WWW"), WIDTHS, ids(4), measure=False)
    solution = sr.derive(graph, "adam")
    assert solution["blocks.2.up.weight"] is solution["blocks.*.up.weight"]
    assert "blocks.*.up.weight" in solution.explain("blocks.2.up.weight")
    with pytest.raises(UnknownName, match=r"unknown parameter 'blocks.2.upp.weight'"):
        solution["blocks.2.upp.weight"]


def test_a_state_of_zeros_beside_the_input_is_not_read():
    """In front of the first step the columns of the state contribute nothing: nothing is asked of them there."""

    class Cell(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.width, self.cell, self.last = width, nn.Linear(6 + width, width), nn.Linear(width, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = torch.zeros(x.shape[0], self.width)
            for t in range(x.shape[1]):
                h = torch.tanh(self.cell(torch.cat([x[:, t], h], 1)))
            return self.last(h)

    graph = sr.trace(Cell, {"width": (32, 48, 64)}, lambda width: torch.ones(4, 3, 6))
    reads = Counter(name for _, node in graph.walk() for name in node.parameters)
    assert reads["cell.weight[:, 0:6]"] == 3
    assert reads["cell.weight[:, 6:6 + width]"] == 2
