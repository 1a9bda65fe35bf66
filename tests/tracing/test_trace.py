"""Traced modules: rules equal to the catalogue's, parts of fused weights, depth, messages, the command line."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import scalerules as sr
from scalerules.commands.main import main
from scalerules.errors import Clash
from scalerules.ops.functions import POINTS, named
from scalerules.tracing.lowering.curves import UNARY
from scalerules.tracing.traced import Traced

WIDTHS = {"width": (32, 48, 64)}


def exponents(solution: sr.Solution, name: str) -> tuple[Fraction, Fraction]:
    """Init and learning rate of a parameter in the width, the multiplier taken into both."""
    rule = solution.parameters[name]
    mult = rule.mult.fractions.get("width", Fraction(0))
    return rule.init.fractions["width"] + mult, rule.lr.fractions["width"] + mult


class Perceptron(nn.Sequential):
    def __init__(self, width: int) -> None:
        layers = [nn.Linear(16, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 8)]
        super().__init__(*layers)


def rows(**_: int) -> torch.Tensor:
    return torch.ones(4, 16)


class Block(nn.Module):
    """Fused queries, keys and values, heads of growing size, attention written out."""

    def __init__(self, n: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(n), nn.LayerNorm(n)
        self.qkv, self.out = nn.Linear(n, 3 * n, bias=False), nn.Linear(n, n, bias=False)
        self.up, self.down = nn.Linear(n, 4 * n), nn.Linear(4 * n, n, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, n = x.shape
        qkv = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, n // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        scores = (q @ k.transpose(-2, -1)) * (n // self.heads) ** -0.5
        mask = torch.ones(t, t, dtype=torch.bool).tril()
        weights = scores.masked_fill(~mask, float("-inf")).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(b, t, n))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    def __init__(self, width: int, depth: int = 2) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(50, width), nn.Embedding(8, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 50, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def ids(**_: int) -> torch.Tensor:
    return torch.zeros(2, 8, dtype=torch.long)


@pytest.fixture(scope="module")
def gpt() -> Traced:
    return sr.trace(lambda width, depth: GPT(width, depth), {**WIDTHS, "depth": (2, 3, 4)}, ids)


class TwoLayers(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.a, self.b = nn.Linear(4, width, bias=False), nn.Linear(width, 3, bias=False)

    def forward(self, x):
        h = torch.relu(self.a(x))
        return self.b(h)


def test_a_clash_names_the_line_of_the_module():
    graph = sr.trace(TwoLayers, WIDTHS, lambda width: torch.randn(8, 4), measure=False, progress=False)
    with pytest.raises(Clash, match=r"test_trace\.py:\d+ return self\.b\(h\)"):
        sr.derive(graph, optimizer="adam", given={"b.weight": {"init": 0}}, progress=False)


def test_a_perceptron_has_the_rules_of_the_catalogue():
    traced, graph = sr.trace(Perceptron, WIDTHS, rows), sr.graph("mlp")
    for optimizer in ("adam", "sgd"):
        ours, theirs = sr.derive(traced, optimizer), sr.derive(graph, optimizer)
        for mine, name in (("0.weight", "input"), ("2.weight", "h1"), ("4.weight", "output")):
            assert exponents(ours, mine) == exponents(theirs, name), (optimizer, name)
        assert exponents(ours, "0.bias") == exponents(ours, "0.weight"), optimizer


def test_a_gpt_has_the_rules_of_the_catalogue(gpt):
    ours, theirs = sr.derive(gpt, "adam"), sr.derive(sr.graph("transformer"), "adam")
    names = {
        "wte.weight": "W_E", "blocks.*.out.weight": "attention.W_O", "blocks.*.up.weight": "mlp.W_up",
        "blocks.*.down.weight": "mlp.W_down", "blocks.*.norm1.weight": "attention.gain", "head.weight": "W_U",
        "blocks.*.up.bias": "mlp.b_up", "norm.weight": "final.gain",
    }  # fmt: skip
    for mine, name in names.items():
        assert exponents(ours, mine) == exponents(theirs, name), name
    fused = [name for name in ours.parameters if name.startswith("blocks.*.qkv")]
    assert fused == [f"blocks.*.qkv.weight[{part}, :]" for part in ("0:width", "width:2*width", "2*width:3*width")]
    for mine, letter in zip(fused, "QKV", strict=True):
        assert exponents(ours, mine) == exponents(theirs, f"attention.W_{letter}")
    ((_, found),) = ours.multipliers.items()
    assert found["width"] == theirs.multipliers["attention.scores"]["width"] == -1, (
        "1/head, where the module has a root"
    )


def test_depth_is_folded_whatever_it_is(gpt):
    (repeat,) = [node for node in gpt.nodes.values() if node.op == "repeat"]
    assert gpt.axes[str(repeat.axis)] == "depth"
    residuals = [node for node in (repeat.body or {}).values() if node.op == "residual"]
    assert len(residuals) == 2, "the stream goes on through residuals"
    deep = sr.trace(lambda width: GPT(width, 6), WIDTHS, ids, measure=False)
    shallow = sum(1 for _ in gpt.walk())
    assert sum(1 for _ in deep.walk()) == shallow, "six blocks are as many nodes as two"
    assert deep.axes[next(str(n.axis) for n in deep.nodes.values() if n.op == "repeat")] == "6"


def test_the_graph_reads_back_from_yaml(gpt, tmp_path):
    path = tmp_path / "gpt.yaml"
    path.write_text(gpt.to_yaml())
    assert sr.graph(path).to_dict() == gpt.to_dict()


class Gated(nn.Module):
    """One weight for gate and value, cut behind the product."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.both, self.last = nn.Linear(16, width), nn.Linear(width, 4 * width), nn.Linear(2 * width, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, value = self.both(self.first(x)).chunk(2, -1)
        return self.last(F.silu(gate) * value)


def test_a_fused_weight_is_read_in_parts():
    graph = sr.trace(Gated, WIDTHS, rows, measure=False)
    parts = [name for name in graph.parameters if name.startswith("both.weight")]
    assert parts == ["both.weight[0:2*width, :]", "both.weight[2*width:4*width, :]"]


class Both(Gated):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        both = self.both(self.first(x))
        gate, value = both.chunk(2, -1)
        return self.last(F.silu(gate) * value) + both.sum(-1, keepdim=True)


def test_a_weight_that_is_also_read_whole_stays_whole():
    graph = sr.trace(Both, WIDTHS, rows, measure=False)
    assert "both.weight" in graph.parameters
    assert sum(node.op == "slice" for _, node in graph.walk()) == 2


class Rotary(nn.Module):
    """Halves that change places and come together again are the same values."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.q, self.last = nn.Linear(16, width), nn.Linear(width, width), nn.Linear(width, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q = self.q(self.first(x))
        a, b = q.chunk(2, -1)
        return self.last(q * 0.5 + torch.cat([-b, a], -1) * 0.5)


def test_halves_that_come_together_again_leave_the_weight_whole():
    graph = sr.trace(Rotary, WIDTHS, rows, measure=False)
    assert "q.weight" in graph.parameters
    assert not any(node.op in ("slice", "concat") for _, node in graph.walk())


class Norm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.last, self.gain = nn.Linear(16, width), nn.Linear(width, 8), nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return self.last(self.gain * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)))


def test_a_norm_that_is_written_out_is_a_norm():
    graph = sr.trace(Norm, WIDTHS, rows)
    assert [node.op for _, node in graph.walk() if "norm" in node.op] == ["rms_norm"]
    assert not any(node.op in ("rsqrt", "square", "scale") for _, node in graph.walk())
    assert graph.parameters["gain"].init == "ones"


class WithLoss(Perceptron):
    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return F.cross_entropy(super().forward(x), torch.zeros(len(x), dtype=torch.long)) * 0.5


def test_a_loss_inside_of_the_module_is_left_out():
    graph = sr.trace(WithLoss, WIDTHS, rows, measure=False)
    assert graph.loss == "cross_entropy"
    assert graph.axes_of(graph.outputs[0])[-1] == graph.parameters["4.weight"].axes[0]


class Tied(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(50, width)
        self.mid = nn.Linear(width, width)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return F.relu(self.mid(self.table(ids))) @ self.table.weight.t()


def test_a_table_that_is_read_out_gets_a_factor():
    solution = sr.derive(sr.trace(Tied, WIDTHS, ids), "adam")
    assert exponents(solution, "table.weight") == (0, 0)
    assert [factor["width"] for factor in solution.multipliers.values()] == [-1]


class Running(Perceptron):
    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return self[4](self[0](x).cumsum(-1))


def test_what_is_not_known_stops_with_name_module_and_line():
    with pytest.raises(sr.ScaleRulesError) as caught:
        sr.trace(Running, WIDTHS, rows, measure=False)
    text = str(caught.value)
    assert "aten.cumsum.default" in text and "Running" in text and "self[0](x).cumsum(-1)" in text
    assert "an axis of width, which grows" in text


class Convolution(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.depthwise = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, width, 3, groups=width)
        self.norm, self.up = nn.GroupNorm(4, width), nn.ConvTranspose2d(width, width, 2, stride=2)
        self.head = nn.Linear(width, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.depthwise(F.relu(self.first(x)))))
        return self.head(self.up(x).mean((2, 3)))


def test_convolutions_are_products_with_windows():
    solution = sr.derive(sr.trace(Convolution, WIDTHS, lambda **_: torch.ones(2, 3, 8, 8)), "adam")
    half, one = Fraction(1, 2), Fraction(1)
    expected = {
        "first.weight": (0, 0),
        "depthwise.weight": (0, 0),
        "up.weight": (-half, -one),
        "head.weight": (-one, -one),
    }
    for name, rule in expected.items():
        assert exponents(solution, name) == rule, name


@pytest.mark.parametrize(
    ("name", "kind"),
    [("relu", "relu"), ("gelu", "gelu"), ("tanh", "tanh"), ("neg", "identity"), ("abs", "abs"), ("square", "square"),
     ("cos", "cos"), ("sigmoid", "sigmoid"), ("softplus", "softplus"), ("hardswish", "some_function_through_zero"), ("rrelu", "relu"),
     ("exp", "exp"), ("log_sigmoid", "some_function")],
)  # fmt: skip
def test_what_a_function_is_shows_at_a_few_points(name, kind):
    assert named(tuple(UNARY[name](x) for x in POINTS)) == kind


def test_a_chain_that_is_a_function_of_the_engine_has_its_name():
    """`-exp(A_log)` decays: a verification that ran something else in its place would explode."""
    assert named(tuple(-UNARY["exp"](x) for x in POINTS)) == "negative_exp"
    assert named(tuple(3 * max(x, 0.0) ** 2 for x in POINTS)) == "relu_squared"


MODELS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first, self.last = nn.Linear(16, width), nn.Linear(width, 8)

    def forward(self, x):
        return self.last(torch.relu(self.first(x)))

def make_net(width):
    return Net(width)

def make_inputs(width):
    return torch.ones(4, 16)

def described():
    return make_net, {"width": (32, 48, 64)}, make_inputs
"""


@pytest.fixture
def models(tmp_path, monkeypatch):
    (tmp_path / "models.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands_take_a_factory(models, capsys):
    assert main(["trace", "models.py:make_net", "--scale", "width=32,48,64", "-o", "net.yaml"]) == 0
    assert main(["derive", "net.yaml"]) == 0
    whole = capsys.readouterr().out
    assert main(["derive", "models.py:make_net", "--scale", "width=32,48,64"]) == 0
    assert capsys.readouterr().out == whole
    assert main(["derive", "models.py:described"]) == 0
    assert capsys.readouterr().out == whole and "first.weight" in whole
    assert main(["explain", "models.py:described", "last.weight"]) == 0


def test_mistakes_on_the_command_line(models, capsys):
    assert main(["derive", "models.py:make_net"]) == 2
    assert "--scale width=32,48,64" in capsys.readouterr().err
    assert main(["trace", "models.py:make_net", "--scale", "width=32,x"]) == 2
    assert "no values of a scale" in capsys.readouterr().err
    assert main(["trace", "models.py:none", "--scale", "width=32,48,64"]) == 2
    assert "none" in capsys.readouterr().err
