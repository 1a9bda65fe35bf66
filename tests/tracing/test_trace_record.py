"""From modules to records: laws of sizes, repeated blocks, initial values, ties, inputs and outputs, messages."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from fractions import Fraction

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from scalerules.errors import ScaleRulesError
from scalerules.sizes.lengths import Length, Monomial, parse_length
from scalerules.tracing.exporting.export import trace
from scalerules.tracing.exporting.isomorphic import NotIsomorphic
from scalerules.tracing.exporting.number_laws import Laws, Rounded, given, spread
from scalerules.tracing.exporting.recording import record
from scalerules.tracing.exporting.repeated_blocks import find_repeats
from scalerules.tracing.exporting.traces import Trace
from scalerules.tracing.record import Call, Record, Ref, references, text

torch.set_num_threads(1)

WIDTH = {"width": (32, 48, 64)}


def vectors(size: int = 5):
    return lambda **_: torch.ones(2, size)


def once(make, inputs=None, **sizes: int) -> Trace:
    """One trace, where the laws do not matter: a fifth of the time."""
    return trace(make, inputs or vectors(), sizes or {"width": 32})


def shapes(found: Record) -> dict[str, str]:
    return {weight.name: text(weight.shape) for weight in found.weights}


def calls(found: Record, target: str) -> list[Call]:
    return [call for call in found.calls if call.target.startswith(f"aten.{target}")]


# The laws of numbers


def laws(**scales: tuple[int, ...]) -> Laws:
    return Laws(spread(scales, {}))


def column(fitted: Laws, function) -> tuple:
    return tuple(function(**point) for point in fitted.points)


def fit(function, **scales: tuple[int, ...]) -> Length | None:
    """The law of a number when the scales themselves and their products are known."""
    fitted = laws(**scales)
    for scale in scales:
        fitted.learn(column(fitted, lambda s=scale, **sizes: sizes[s]))
    return fitted.law(column(fitted, function), last=True)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda width, **_: 7, "7"),
        (lambda width, **_: 3 * width, "3*width"),
        (lambda width, **_: width // 4, "width/4"),
        (lambda width, state: width * state, "width*state"),
        (lambda width, state: width // 16 + 2 * state, "2*state+width/16"),
        (lambda width, state: 2 * width + 2 * state + width // 8, "17/8*width+2*state"),
        (lambda width, **_: (width // 4) ** -0.5, "2*width^(-1/2)"),
        (lambda width, state: width**0.5 / state, "width^(1/2)/state"),
    ],
)
def test_exact_laws(function, expected: str) -> None:
    found = fit(function, width=(32, 48, 64), state=(8, 16, 24))
    assert found is not None
    wanted = {"17/8*width+2*state": Length((_monomial("width", 17, 8), _monomial("state", 2, 1)))}.get(expected)
    wanted = wanted or parse_length(expected)
    assert {(m.powers, round(float(m.constant), 9)) for m in found.monomials} == {
        (m.powers, round(float(m.constant), 9)) for m in wanted.monomials
    }


def _monomial(scale: str, top: int, bottom: int) -> Monomial:
    return Monomial(Fraction(top, bottom), ((scale, Fraction(1)),))


@pytest.mark.parametrize(
    "function",
    [
        lambda width: math.ceil(width / 16),
        lambda width: width // 10,
        lambda width: 64 * math.ceil(8 * width / 3 / 64),
        lambda width: math.ceil(width / 16) + 2 * width,
    ],
)
def test_rounded_laws_hold_at_sizes_that_were_not_traced(function) -> None:
    found = fit(function, width=(24, 40, 56))
    assert found is not None
    for width in (24, 40, 56, 72, 104, 1000):
        if isinstance(found, Rounded) or found.at({"width": width}) != function(width):
            assert found.at({"width": width}) == pytest.approx(function(width), rel=0.02)


@pytest.mark.parametrize(
    "function", [lambda width: hash(str(width)) % 1000 + 1, lambda width: int(math.log2(width) * 1000) ** 2 % 977 + 5]
)
def test_numbers_without_a_law_stay_unresolved(function) -> None:
    assert fit(function, width=(32, 48, 64)) is None


def test_infinity_and_zero_are_no_monomials() -> None:
    assert fit(lambda width: math.inf, width=(32, 48, 64)) is None
    assert fit(lambda width: width - 64, width=(64, 96, 128)) is not None  # zero at the first size


def test_every_scale_differs_by_other_ratios() -> None:
    points = spread({"width": (32, 48, 64), "state": (8, 16), "experts": (4, 8)}, {})
    assert len(points) == 5 and points[0] == {"width": 32, "state": 16, "experts": 8}
    for scale in points[0]:
        assert len({point[scale] for point in points}) == 5
    ratios = [tuple(point[scale] / points[0][scale] for point in points) for scale in points[0]]
    assert len(set(ratios)) == 3


def test_given_sizes_alone() -> None:
    assert given({"width": (3, 5, 9)}) == [{"width": 3}, {"width": 5}, {"width": 9}]
    points = given({"width": (3, 5, 9), "state": (2, 4, 6)})
    assert len(points) == 5 and points[0] == {"width": 3, "state": 2}


# Modules


def mlp(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(5, width), nn.ReLU(), nn.Linear(width, 4 * width), nn.Tanh(), nn.Linear(4 * width, 3)
    )


def test_a_perceptron() -> None:
    steps: list[tuple[int, int]] = []
    found = record(mlp, WIDTH, vectors(), progress=lambda done, of: steps.append((done, of)))
    assert steps == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    assert [call.target for call in found.calls] == [
        "aten.linear.default", "aten.relu.default", "aten.linear.default", "aten.tanh.default", "aten.linear.default"
    ]  # fmt: skip
    assert shapes(found)["2.weight"] == "[4*width, width]"
    assert text(found.calls[2].shape) == "[2, 4*width]"
    assert found.calls[2].args == (Ref("relu"), Ref("2.weight"), Ref("2.bias"))
    assert found.calls[2].stack == (("", "Sequential"), ("2", "Linear"))
    assert found.inputs[0].path == "args[0]" and found.outputs[0].ref == Ref("linear_2")
    assert found.resolved() == (9, 9, 10, 10)
    hidden = found.by_name["2.weight"]
    assert hidden.initial.kind == "normal" and hidden.initial.exponents["width"] == -0.5  # pyright: ignore
    assert str(found).count("\n") > 10


class Attention(nn.Module):
    """Fused projections of all heads, head size from a product, a number that depends on it."""

    def __init__(self, width: int, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, time, width = x.shape
        q, k, v = self.qkv(x).view(batch, time, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(width // self.heads), -1)
        return self.out((weights @ v).transpose(1, 2).reshape(batch, time, width))


def test_fused_projections_and_the_number_under_the_root() -> None:
    found = record(Attention, WIDTH, lambda width: torch.ones(2, 7, width))
    assert shapes(found) == {"qkv.weight": "[3*width, width]", "out.weight": "[width, width]"}
    view = calls(found, "view")[0]
    assert text(view.shape) == "[2, 7, 3, 2, 1/2*width]"
    [scale] = calls(found, "div")
    factor = scale.args[1]
    assert isinstance(factor, Length) and factor.monomials[0].powers == (("width", Fraction(1, 2)),)
    assert float(factor.monomials[0].constant) == pytest.approx(2**-0.5)


class Block(nn.Module):
    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        nn.init.normal_(self.down.weight, std=0.1 / math.sqrt(depth))
        nn.init.zeros_(self.down.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(F.gelu(self.up(self.norm(x))))


class Residual(nn.Module):
    """Embedding, `depth` blocks, output tied to the embedding."""

    def __init__(self, width: int, depth: int = 3) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, width)
        self.blocks = nn.ModuleList(Block(width, depth) for _ in range(depth))
        self.head = nn.Linear(width, 20, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def ids(**_: int) -> torch.Tensor:
    return torch.arange(14).reshape(2, 7)


def test_repeated_blocks_are_a_run_with_a_depth_scale() -> None:
    found = record(Residual, {"width": (16, 24, 32), "depth": (2, 3, 4)}, ids)
    [run] = found.repetitions
    assert run.path == "blocks" and str(run.count) == "depth" and len(run.copies) == found.sizes()["depth"] == 2
    assert [found.by_name[name].target for name in run.copies[0]] == [  # pyright: ignore
        "aten.layer_norm.default", "aten.linear.default", "aten.gelu.default", "aten.linear.default", "aten.add.Tensor"
    ]  # fmt: skip
    assert run.carried == ((Ref("embedding"), Ref(run.copies[0][-1])),) and not run.captured and not run.stepped
    assert run.weights[1][0] == "blocks.1.norm.weight" and len(run.weights[0]) == 6
    down = found.by_name["blocks.0.down.weight"]
    assert down.initial.exponents == {"width": 0.0, "depth": -0.5}  # pyright: ignore
    assert found.by_name["blocks.1.up.weight"].shape == found.by_name["blocks.0.up.weight"].shape  # pyright: ignore


def test_tied_weights_are_one_and_blocks_repeat_without_a_depth_scale() -> None:
    found = record(Residual, {"width": (16, 24, 32)}, ids, measure=False)
    [run] = found.repetitions
    assert str(run.count) == "3" and len(run.copies) == 3
    tied = found.by_name["head.weight"]
    assert tied is found.by_name["embedding.weight"] and tied.aliases == ("head.weight",)  # pyright: ignore
    assert calls(found, "linear")[-1].args[1] == Ref("embedding.weight")


class Alternating(nn.Module):
    """Two kinds of blocks in turn, a first one that is different."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, width), *(self.pair(width, i) for i in range(6)))

    @staticmethod
    def pair(width: int, index: int) -> nn.Module:
        return nn.Sequential(nn.Linear(width, width), nn.ReLU() if index % 2 else nn.Tanh())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def test_a_pattern_of_two_kinds_of_blocks_repeats() -> None:
    [run] = find_repeats(once(Alternating))
    assert len(run.copies) == 3 and len(run.copies[0]) == 4 and run.members == [[1, 2], [3, 4], [5, 6]]


class Initials(nn.Module):
    """One parameter of every kind."""

    def __init__(self, width: int, state: int) -> None:
        super().__init__()
        counts = torch.arange(1, state + 1, dtype=torch.float32).expand(width, state)
        self.A_log = nn.Parameter(torch.log(counts))
        self.A = nn.Parameter(counts.clone())
        self.gain = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.temperature = nn.Parameter(torch.full((width,), 0.25))
        self.random = nn.Parameter(torch.randn(width, state) / state)
        self.shifted = nn.Parameter(3 + 0.1 * torch.randn(width, state))
        self.padded = nn.Embedding(9, width, padding_idx=0)
        self.register_buffer("waves", torch.sin(counts * torch.arange(width)[:, None]))
        self.eye = nn.Parameter(torch.eye(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mixed = (self.A_log + self.A + self.random + self.shifted + self.waves).sum(1)  # pyright: ignore
        return (x * mixed * self.gain + self.bias) * self.temperature @ self.eye + self.padded.weight.sum(0)


def test_initial_values_are_told_apart() -> None:
    scales = {"width": (32, 48, 64), "state": (8, 16, 24)}
    found = record(Initials, scales, lambda width, **_: torch.ones(2, width))
    initial = {weight.name: weight.initial for weight in found.weights}
    kinds = {name: each.kind for name, each in initial.items()}
    assert kinds == {
        "A_log": "log_range", "A": "range", "gain": "ones", "bias": "zeros", "temperature": "constant",
        "random": "normal", "shifted": "normal", "padded.weight": "normal", "waves": "structured", "eye": "identity",
    }  # fmt: skip
    assert initial["temperature"].value == 0.25
    assert initial["random"].exponents == {"width": 0.0, "state": -1.0}
    assert initial["shifted"].mean == pytest.approx(3, abs=0.02) and initial["random"].mean == 0
    assert "fixed" in initial["padded.weight"].note
    assert not found.by_name["waves"].trained  # pyright: ignore


def test_measuring_leaves_the_generators_as_they_were() -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    record(mlp, WIDTH, vectors())
    assert torch.equal(torch.rand(3), expected)


class Many(nn.Module):
    """Several inputs, a dictionary as output, a shared module, a loss of its own, an unused parameter."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.shared = nn.Linear(width, width)
        self.head = nn.Linear(width, 1)
        self.unused = nn.Parameter(torch.zeros(width))

    def forward(self, left: torch.Tensor, right: torch.Tensor, target: torch.Tensor | None = None) -> dict:
        pooled = self.head(torch.tanh(self.shared(left)) + torch.tanh(self.shared(right)))[:, 0]
        found = {"scores": pooled}
        if target is not None:
            found["loss"] = F.mse_loss(pooled, target)
        return found


def test_several_inputs_dictionaries_and_a_loss_inside() -> None:
    def inputs(width: int) -> dict:
        return {"left": torch.ones(2, width), "right": torch.ones(2, width), "target": torch.ones(2)}

    found = record(Many, WIDTH, inputs, measure=False)
    assert [each.path for each in found.inputs] == ["left", "right", "target"]
    assert [(each.path, each.loss) for each in found.outputs] == [("scores", False), ("loss", True)]
    assert sum(Ref("shared.weight") in call.args for call in found.calls) == 2
    assert "unused" in found.by_name


def test_dropout_is_left_out_and_batch_norm_stays() -> None:
    def make(width: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Dropout(0.5), nn.ReLU())

    steps = once(make, lambda **_: torch.ones(2, 3, 8, 8)).steps
    assert [step.target.split(".")[1] for step in steps][::2] == ["conv2d", "relu"] and "batch_norm" in steps[1].target


def test_several_outputs_are_read_by_index() -> None:
    class Gated(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.both = nn.Linear(5, 2 * width)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            gate, value = self.both(x).chunk(2, -1)
            return torch.sigmoid(gate) * value

    steps = once(Gated).steps
    [split] = [step for step in steps if len(step.shapes) == 2]
    assert split.shapes == ((2, 32), (2, 32))
    assert set(references([step.args for step in steps])) >= {Ref(split.name, 0), Ref(split.name, 1)}


def test_a_module_that_cannot_stand_on_meta_is_built_otherwise() -> None:
    def make(width: int) -> nn.Module:
        model = nn.Linear(5, width)
        with torch.no_grad():
            model.bias.copy_(torch.tensor([float(model.weight.numpy().mean())]))
        return model

    found = once(make)
    assert found.built == "real" and found.weights[0].shape == (32, 5)


def test_no_memory_is_taken_for_weights() -> None:
    def make(width: int) -> nn.Module:
        return nn.Sequential(*(nn.Linear(width, width) for _ in range(3)))

    found = record(make, {"width": (2**16, 3 * 2**16)}, lambda width: torch.ones(1, width), measure=False)
    assert text(found.weights[0].shape) == "[width, width]"
    assert found.sizes()["width"] >= 2**16


def test_initial_values_of_large_modules_are_measured_on_smaller_ones() -> None:
    def make(width: int) -> nn.Module:
        return nn.Linear(width, width)

    found = record(make, {"width": (2**14, 2**15)}, lambda width: torch.ones(1, width))
    assert found.weights[0].initial.exponents == {"width": -0.5}


# What cannot be traced


def test_a_computation_that_changes_with_the_size_names_the_call_and_the_sizes() -> None:
    class Branch(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.layer = nn.Linear(5, width)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.layer(x)
            return torch.tanh(x) if x.shape[1] > 40 else torch.relu(x)

    with pytest.raises(NotIsomorphic) as caught:
        record(Branch, WIDTH, vectors())
    message = str(caught.value)
    assert "aten.relu.default at width=32" in message and "aten.tanh.default at width=48" in message
    assert "test_trace_record.py" in message


def test_control_flow_on_values_is_that_of_the_given_inputs() -> None:
    class Peeking(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.layer = nn.Linear(5, width)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.layer(x)
            return x if x.sum() > 0 else -x

    [note] = once(Peeking).notes
    assert "return x if x.sum() > 0 else -x" in note and "traced as the given inputs decide it" in note


PEEKING = """\
from torch import nn

class Peeking(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layer = nn.Linear(5, width)

    def forward(self, x):
        x = self.layer(x)
        return x if x.sum() > 0 else -x
"""


@pytest.mark.parametrize("folder", ["scalerules", "torch"])
def test_a_folder_of_the_users_may_be_called_as_a_library_is(folder, tmp_path, monkeypatch) -> None:
    file = tmp_path / folder / f"peeking_in_{folder}.py"
    file.parent.mkdir()
    file.write_text(PEEKING)
    monkeypatch.syspath_prepend(file.parent)
    [note] = once(importlib.import_module(file.stem).Peeking).notes
    assert f"{file.stem}.py:10 return x if x.sum() > 0 else -x" in note


def test_a_factory_that_refuses_the_sizes() -> None:
    def make(width: int) -> nn.Module:
        raise ValueError("width must be a multiple of 7")

    with pytest.raises(ScaleRulesError, match=r"could not be built at width=32: ValueError: width must be a multiple"):
        record(make, WIDTH, vectors())


def test_given_sizes_are_used_where_the_factory_takes_no_others() -> None:
    def make(width: int) -> nn.Module:
        if width not in (32, 48, 64):
            raise ValueError("this width is not supported")
        return mlp(width)

    found = record(make, WIDTH, vectors(), measure=False)
    assert found.scales["width"] == (32, 48, 64) and shapes(found)["2.weight"] == "[4*width, width]"
    assert any("given sizes only" in note for note in found.notes)


@dataclass
class NoModule:
    width: int


@pytest.mark.parametrize(
    ("make", "scales", "message"),
    [
        (NoModule, {"width": (2, 3)}, "returned NoModule, not a torch.nn.Module"),
        (mlp, {}, "no scale is given"),
        (mlp, {"width": (0, 3)}, "whole numbers of at least 1"),
        (mlp, {"depth": (2, 3)}, "neither the model's nor the inputs' factory takes 'depth'"),
    ],
)
def test_mistakes(make, scales, message: str) -> None:
    with pytest.raises(ScaleRulesError, match=message):
        record(make, scales, lambda: torch.ones(2, 5))


class Recalled(Residual):
    """A part of the first block is used once more behind all blocks (as in diffusers' DiT)."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.blocks[0].norm(x))  # pyright: ignore


def test_a_part_of_a_block_used_again_behind_the_blocks() -> None:
    [run] = record(Recalled, {"width": (16, 24, 32), "depth": (2, 3, 4)}, ids, measure=False).repetitions
    assert str(run.count) == "depth" and len(run.copies[0]) == 5


class Recurrent(nn.Module):
    """The higher-order scan of torch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.read = nn.Linear(5, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        from torch._higher_order_ops.scan import scan

        def step(state: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            state = torch.tanh(state + value)
            return state, state.clone()

        values = self.read(x).transpose(0, 1)
        return scan(step, torch.zeros_like(values[0]), values, dim=0)[1]


def test_a_scan_of_torch_is_its_steps() -> None:
    found = once(Recurrent, lambda **_: torch.ones(2, 3, 5))
    steps = {step.name: step for step in found.steps}
    assert sum(step.target == "aten.tanh.default" for step in found.steps) == 3
    assert steps["scan_2_add"].args == (Ref("scan_1_tanh"), Ref("scan_2_transpose"))
    assert found.outputs[0].shape == (3, 2, 32)


def test_a_long_scan_is_its_first_steps() -> None:
    found = once(Recurrent, lambda **_: torch.ones(2, 33, 5))
    assert sum(step.target == "aten.tanh.default" for step in found.steps) == 6
    assert found.outputs[0].shape == (33, 2, 32)


def test_long_stacks_are_traced_whole_once() -> None:
    found = record(lambda width: Residual(width, 24), {"width": (16, 24, 32)}, ids, measure=False)
    [run] = found.repetitions
    assert str(run.count) == "24" and len(run.copies) == 24 and len(calls(found, "gelu")) == 24
    assert text(found.by_name["blocks.23.up.weight"].shape) == "[2*width, width]"  # pyright: ignore


class Scaled(nn.Module):
    """Divides by the root of a size that it makes a tensor of (as DeBERTa does)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)
        self.width = width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        half = torch.tensor(self.width / 2) * torch.tensor(self.width * 4, device=x.device)
        return self.layer(x) / torch.sqrt(half)


def test_constants_made_while_it_runs_are_read() -> None:
    found = record(Scaled, WIDTH, lambda width: torch.ones(2, width))
    made = [weight.initial for weight in found.weights if not weight.trained]
    assert [(each.kind, each.value, dict(each.exponents)) for each in made] == [("constant", 16.0, {"width": 1.0})]
    [full] = calls(found, "full")
    assert str(full.args[1]) == "4*width"
