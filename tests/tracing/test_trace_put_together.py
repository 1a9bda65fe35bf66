"""Values put together of parts that grow and parts that do not, and what is done to their entries before a layer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import scalerules as sr

torch.set_num_threads(1)
WIDTH = {"width": (16, 24, 32)}


def sizes(solution: sr.Solution) -> dict[str, tuple[str, str]]:
    return {name: (str(r.init["width"]), str(r.lr["width"])) for name, r in solution.parameters.items()}


class Beside(nn.Module):
    """A hidden layer beside the inputs, `between`, and a layer that reads both."""

    def __init__(self, width: int, between: str) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, width), nn.Linear(width, width)
        self.both, self.out = nn.Linear(width + 6, width), nn.Linear(width, 3)
        self.gain, self.norm, self.between = nn.Parameter(torch.ones(width + 6)), nn.LayerNorm(width + 6), between

    def forward(self, x: Tensor) -> Tensor:
        z = torch.cat([F.relu(self.second(F.relu(self.first(x)))), x], -1)
        between: dict[str, Callable[[], Tensor]] = {
            "nothing": lambda: z,
            "a function": lambda: F.silu(z),
            "a gain": lambda: self.gain * z,
            "a norm": lambda: self.norm(z),
            "a sum with itself": lambda: z + z.tanh(),
            "a mean over tokens": lambda: z.mean(1, keepdim=True),
            "one more": lambda: torch.cat([z, x[..., :1]], -1)[..., : z.shape[-1]].tanh(),
            "another order of tokens": lambda: z.flip(1),
            "more of it": lambda: torch.cat([z[..., :-6], F.silu(z[..., -6:])], -1),
        }
        return self.out(F.relu(self.both(between[self.between]())))


KINDS = (
    "nothing",
    "a function",
    "a gain",
    "a norm",
    "a sum with itself",
    "a mean over tokens",
    "one more",
    "more of it",
)


@pytest.mark.parametrize("between", KINDS)
def test_what_stands_in_front_of_a_layer_leaves_its_columns_apart(between: str) -> None:
    """Columns that read six inputs were held against those that read the width, and lost: -1/2 with rate -1.

    Plain torch, AdamW, widths 64 to 512, a norm in between: they contribute -0.18, the others -0.08.
    """
    graph = sr.trace(lambda width: Beside(width, between), WIDTH, torch.ones(4, 5, 6))
    found = sizes(sr.derive(graph, optimizer="adamw"))
    assert found["both.weight[:, 0:width]"] == ("-1/2", "-1")
    assert found["both.weight[:, width:width + 6]"] == ("0", "0")
    assert found["second.weight"] == ("-1/2", "-1")


class Timed(nn.Module):
    """A hidden layer beside one number, the time, normalised together."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.both, self.out = nn.Linear(6, width), nn.Linear(1 + width, width), nn.Linear(width, 3)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        z = torch.cat([t, self.first(x)], -1)
        return self.out(F.relu(self.both(F.rms_norm(z, (z.shape[-1],)))))


def test_the_column_of_one_number_is_apart() -> None:
    found = sizes(sr.derive(sr.trace(Timed, WIDTH, (torch.ones(4, 6), torch.ones(4, 1))), optimizer="adamw"))
    assert found["both.weight[:, 0:1]"] == ("0", "0")
    assert found["both.weight[:, 1:1 + width]"] == ("-1/2", "-1")


class Cell(nn.Module):
    """A convolutional cell: inputs of three channels beside a state (ConvGRU, 1511.06432)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gates, self.inner = (nn.Conv2d(3 + width, size, 3, padding=1) for size in (2 * width, width))
        self.out, self.width = nn.Conv2d(width, 2, 1), width

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(len(x), self.width, *x.shape[-2:])
        for frame in x.unbind(1):
            z, r = torch.sigmoid(self.gates(torch.cat([frame, h], 1))).chunk(2, 1)
            h = (1 - z) * h + z * torch.tanh(self.inner(torch.cat([frame, r * h], 1)))
        return self.out(h)


def test_windows_of_channels_leave_them_apart() -> None:
    """A convolution over inputs beside a state lost the inputs, step by step."""
    found = sizes(sr.derive(sr.trace(Cell, WIDTH, torch.ones(2, 3, 3, 5, 5)), optimizer="adamw"))
    assert found["inner.weight[:, 0:3, :, :]"] == ("0", "0")
    assert found["inner.weight[:, 3:3 + width, :, :]"] == ("-1/2", "-1")


class Dense(nn.Module):
    """Layers that read all that came before them, the inputs among it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(6 + k * width, width) for k in range(3))
        self.out = nn.Linear(6 + 3 * width, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([layer(F.relu(x)), x], -1)
        return self.out(F.relu(x))


def test_parts_of_parts_are_apart() -> None:
    found = sizes(sr.derive(sr.trace(Dense, WIDTH, torch.ones(4, 6)), optimizer="adamw"))
    assert found["layers.2.weight[:, 0:2*width]"] == ("-1/2", "-1")
    assert found["layers.2.weight[:, 2*width:2*width + 6]"] == ("0", "0")
    assert found["layers.1.weight[:, 0:width]"] == ("-1/2", "-1")


class Apart(nn.Module):
    """Two layers that read the two parts of a function of both, cut where they were put together."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second, self.a = nn.Linear(6, width), nn.Linear(width, width), nn.Linear(width, width)
        self.b, self.out = nn.Linear(6, width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = F.silu(torch.cat([x, self.second(F.relu(self.first(x)))], -1))
        return self.out(F.relu(self.a(z[:, 6:]) + self.b(z[:, :6])))


def test_a_stretch_is_the_part_that_lies_there() -> None:
    """What came back along six entries was taken to reach all parts: the layer in front started at 1/width."""
    assert sizes(sr.derive(sr.trace(Apart, WIDTH, torch.ones(4, 6)), optimizer="adamw"))["second.weight"] == (
        "-1/2",
        "-1",
    )


class Padded(nn.Module):
    """Zeros beside the inputs or beside hidden values, and a layer that reads them."""

    def __init__(self, width: int, inputs: bool) -> None:
        super().__init__()
        self.first, self.both, self.out = nn.Linear(6, width), nn.Linear(2 * width, width), nn.Linear(width, 3)
        self.width, self.inputs = width, inputs

    def forward(self, x: Tensor) -> Tensor:
        h = F.pad(x, (0, 2 * self.width - 6)) if self.inputs else F.pad(self.first(x).tanh(), (0, self.width))
        return self.out(self.both(h).tanh())


@pytest.mark.parametrize("inputs", [True, False], ids=["inputs", "hidden"])
def test_zeros_beside_values_leave_their_columns_apart(inputs: bool) -> None:
    """Six inputs beside zeros were read as so many data, at -1/2 with rate -1; beside hidden values zeros stopped.

    Plain torch, AdamW, widths 64 to 512, as inputs: the layer contributes -0.01 to the outputs, -0.68 with that rule.
    """
    graph = sr.trace(lambda width: Padded(width, inputs), WIDTH, torch.ones(4, 6))
    found = sizes(sr.derive(graph, optimizer="adamw"))
    assert found["out.weight"] == ("-1", "-1")
    if inputs:
        assert found["both.weight[:, 0:6]"] == ("0", "0")
    else:
        assert found["both.weight"] == ("-1/2", "-1")


class Flat(nn.Module):
    """Tokens of a hidden layer beside the inputs, in one row; `adapted`: a layer with an update of rank 2 reads each."""

    def __init__(self, width: int, adapted: bool) -> None:
        super().__init__()
        long = (1 if adapted else 5) * (width + 6)
        self.first, self.both, self.out = nn.Linear(6, width), nn.Linear(long, width), nn.Linear(width, 3)
        self.a, self.b = nn.Parameter(torch.randn(2, long)), nn.Parameter(torch.zeros(width, 2))
        self.adapted = adapted

    def forward(self, x: Tensor) -> Tensor:
        z = torch.cat([F.relu(self.first(x)), x], -1)
        if self.adapted:
            return self.out(F.linear(z, self.both.weight + self.b @ self.a).tanh())
        return self.out(self.both(z.flatten(1)).tanh())


def test_a_factor_of_a_long_row_is_apart_too() -> None:
    graph = sr.trace(lambda width: Flat(width, False), WIDTH, torch.ones(4, 5, 6))
    solution = sr.derive(graph, optimizer="adamw")
    found = sizes(solution)
    assert found["both.weight[:, (5, width + 6)[:, 0:width]]"] == ("-1/2", "-1")
    assert found["both.weight[:, (5, width + 6)[:, width:width + 6]]"] == ("0", "0")
    model, base = Flat(256, False), Flat(16, False)
    options = {"base": {"width": 16}, "sizes": {"width": 256}, "unruled": ("a", "b")}
    with pytest.warns(match="the smallest is taken"):
        sr.apply(model, solution, lr=1e-3, reference=base, **options)  # type: ignore[arg-type]
    many, few = model.both.weight.detach().unflatten(1, (5, 262)).split([256, 6], -1)
    assert few.std() / many.std() == pytest.approx(4, rel=0.1)


def test_columns_of_what_weights_make_are_apart() -> None:
    found = sizes(sr.derive(sr.trace(lambda width: Flat(width, True), WIDTH, torch.ones(4, 5, 6)), optimizer="adamw"))
    assert (found["both.weight[:, 0:width]"], found["a[:, 0:width]"]) == (("-1/2", "-1"), ("-1", "-1"))
    assert found["both.weight[:, width:width + 6]"] == found["a[:, width:width + 6]"] == ("0", "0")


class Reversed(Beside):
    """The same in another order of features, by what `between` says."""

    def forward(self, x: Tensor) -> Tensor:
        z = torch.cat([F.relu(self.first(x)), x], -1)
        return self.out(F.relu(self.both(z.flip(-1) if self.between == "flip" else z.roll(3, -1))))


@pytest.mark.parametrize("how", ["flip", "roll"])
def test_features_in_another_order_are_not_apart(how: str) -> None:
    """Where the few entries stand then is not known: columns of others had their rule, in silence."""
    graph = sr.trace(lambda width: Reversed(width, how), WIDTH, torch.ones(4, 6))
    assert sizes(sr.derive(graph, optimizer="adamw"))["both.weight"] == ("-1/2", "-1")
