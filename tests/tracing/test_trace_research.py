"""What research code showed: weights quantised by their mean size, derivatives by `torch.func`, values of biases alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import scalerules as sr

torch.set_num_threads(1)
WIDTH = {"width": (16, 24, 32)}


def size(solution: sr.Solution, name: str) -> tuple[str, str]:
    rule = solution[name]
    return str(rule.init["width"]), str(rule.lr["width"])


class Ternary(nn.Linear):
    """Weights of three values and inputs of eight bits, both passed straight through (BitNet b1.58, 2402.17764)."""

    def forward(self, input: Tensor) -> Tensor:
        mean = self.weight.abs().mean().clamp(min=1e-5)
        weight = self.weight + ((self.weight / mean).round().clamp(-1, 1) * mean - self.weight).detach()
        x = F.rms_norm(input, (input.shape[-1],))
        steps = 127.0 / x.abs().max(dim=-1, keepdim=True).values.clamp(min=1e-5)
        return F.linear(x + ((x * steps).round() / steps - x).detach(), weight)


class Quantised(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b, self.c = (Ternary(i, o, bias=False) for i, o in ((6, width), (width, width), (width, 3)))

    def forward(self, x: Tensor) -> Tensor:
        return self.c(F.relu(self.b(F.relu(self.a(x)))))


def test_a_weight_over_its_mean_size_is_normalised() -> None:
    solution = sr.derive(sr.trace(Quantised, WIDTH, torch.ones(4, 6)), optimizer="adamw")
    assert [size(solution, f"{layer}.weight") for layer in "abc"] == [("0", "0"), ("-1/2", "-1"), ("-1", "-1")]


class Physics(nn.Module):
    """A network and its derivatives by the inputs; `how`: what takes them."""

    def __init__(self, width: int, how: str) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )
        self.how = how

    def u(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze(-1)

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "jvp":
            return sum(torch.func.jvp(self.u, (x,), (torch.ones_like(x),)), torch.zeros(()))
        if self.how == "call":  # of the network as a function of its weights
            weights: dict[str, Tensor] = dict(self.net.named_parameters())
            return torch.func.grad(lambda y: torch.func.functional_call(self.net, weights, (y,)).sum())(x)
        by: Any = {"grad": torch.func.grad, "jacrev": torch.func.jacrev}[self.how]
        return self.u(x) + torch.func.vmap(by(self.u))(x).sum(-1)


@pytest.mark.skipif(torch.__version__ < "2.13", reason="torch exports no derivative of torch.func before 2.13")
@pytest.mark.parametrize("how", ["grad", "jacrev", "jvp", "call"])
def test_a_derivative_of_torch_func_is_a_computation(how: str) -> None:
    graph = sr.trace(lambda width: Physics(width, how), WIDTH, torch.ones(4, 2), measure=False)
    solution = sr.derive(graph, optimizer="adamw")
    rules = [size(solution, f"net.{layer}.weight") for layer in (0, 2, 4)]
    assert rules == [("0", "0"), ("-1/2", "-1"), ("-1", "-1")]


class FirstOfDecoder(nn.Module):
    """Learnt queries that attend to each other before anything else: the values are the bias alone (DETR)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.queries, self.memory = nn.Embedding(4, width), nn.Linear(6, width)
        self.own, self.cross = (nn.MultiheadAttention(width, 4, batch_first=True) for _ in range(2))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        memory, place = self.memory(x), self.queries.weight.expand(len(x), -1, -1)
        target = torch.zeros_like(place)
        query = key = target + place
        target = self.norm(target + self.own(query, key, value=target)[0])
        return self.out(target + self.cross(target + place, memory, memory)[0])


def test_a_part_of_a_bias_is_viewed_in_heads() -> None:
    graph = sr.trace(FirstOfDecoder, WIDTH, torch.ones(2, 5, 6))
    assert "own.in_proj_bias[2*width:3*width]" in graph.parameters
    solution = sr.derive(graph, optimizer="adamw")
    ends = ("cross.in_proj_weight[width:3*width, :]", "cross.out_proj.weight")
    assert sum(solution[name].init["width"] for name in ends) == -1  # only the product of the two has a size
    assert size(solution, "own.in_proj_bias[2*width:3*width]") == ("0", "0")
    assert size(solution, "cross.in_proj_weight[0:width, :]") == (
        "-1/2",
        "-1",
    )  # had a rate of width^-2, behind no factor
    assert size(solution, "own.out_proj.weight") == ("-1/2", "-1")
    assert size(solution, "out.weight") == ("-1", "-1")


def test_a_function_of_a_whole_matrix_stops_and_says_what_to_write() -> None:
    def orthogonal(width: int) -> nn.Module:
        layer = torch.nn.utils.parametrizations.orthogonal(nn.Linear(width, width), orthogonal_map="householder")
        return nn.Sequential(nn.Linear(6, width), layer, nn.Linear(width, 3))

    with pytest.raises(sr.ScaleRulesError) as caught:
        sr.trace(orthogonal, WIDTH, torch.ones(4, 6))
    said = str(caught.value)
    assert "in 1.parametrizations.weight.0 (_Orthogonal)" in said and "nn.init.orthogonal_" in said
    assert "householder_product of a matrix whose axes grow is not known" in said


class Tied(nn.Module):
    """A tied readout of what is scaled down in front of it, as T5 has it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.table, self.norm, self.root = nn.Embedding(12, width), nn.RMSNorm(width), width**-0.5
        self.up, self.down = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.table(tokens)
        x = self.norm(x + self.down(F.relu(self.up(x))))
        return F.linear(x * self.root, self.table.weight)


def test_a_fixed_factor_in_front_of_a_tied_readout_stands_behind_it() -> None:
    """Together with the free one it is 1/width, as the readout needs, and the gain in front has the rate of a gain."""
    solution = sr.derive(sr.trace(Tied, WIDTH, torch.arange(10).view(2, 5)), optimizer="adamw")
    assert [str(factor["width"]) for factor in solution.multipliers.values()] == ["-1/2"]
    assert size(solution, "norm.weight") == ("0", "0") and size(solution, "up.weight") == ("-1/2", "-1")


class Pairs(nn.Module):
    """Two maps of attention for each head, one less the other, of rotated queries and keys (2410.05258)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (
            nn.Linear(i, o) for i, o in ((6, width), (6, width), (6, width), (width, 3))
        )

    def forward(self, x: Tensor) -> Tensor:
        q, k = (self.turned(layer(x).view(*x.shape[:2], 4, -1).transpose(1, 2)) for layer in (self.q, self.k))
        maps = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1).view(len(x), 2, 2, x.shape[1], x.shape[1])
        values = self.v(x).view(*x.shape[:2], 2, -1).transpose(1, 2)
        return self.out(((maps[:, :, 0] - 0.5 * maps[:, :, 1]) @ values).transpose(1, 2).flatten(2))

    def turned(self, x: Tensor) -> Tensor:
        angles = torch.arange(x.shape[-2])[:, None] / 100.0 ** torch.linspace(0, 1, x.shape[-1] // 2)
        a, b = x.chunk(2, -1)
        return torch.cat([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], -1)


def test_heads_are_cut_in_pairs_behind_a_join() -> None:
    graph = sr.trace(Pairs, {"width": (16, 32, 48)}, torch.ones(2, 5, 6), measure=False)
    solution = sr.derive(graph, optimizer="adamw")
    assert size(solution, "out.weight") == ("-1", "-1")
    assert all(size(solution, name)[1] == "0" for name in graph.parameters if name.startswith(("q.w", "k.w", "v.w")))


class Energy(nn.Module):
    """An energy of pictures and its gradient; the last layer reads all positions of all channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, width, 3, padding=1), nn.Conv2d(width, width, 3, 2, 1)
        self.out = nn.Linear(4 * width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x.detach().requires_grad_(True)
        energy = self.out(F.silu(self.b(F.silu(self.a(x)))).flatten(1))
        return energy.sum() + torch.autograd.grad(energy.sum(), x, create_graph=True)[0]


def test_a_derivative_through_convolutions() -> None:
    solution = sr.derive(sr.trace(Energy, WIDTH, torch.ones(2, 1, 4, 4), measure=False), optimizer="adamw")
    assert size(solution, "b.weight") == ("-1/2", "-1") and size(solution, "out.weight") == ("-1", "-1")


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("stride", "padding", "groups", "kernel"), [(1, 1, 1, 3), (2, 1, 2, 3), (2, 1, 1, 4)])
def test_the_derivative_of_a_convolution_is_torchs(
    turned: bool, stride: int, padding: int, groups: int, kernel: int
) -> None:
    from scalerules.tracing.exporting.derivatives import convolution_backward

    x, weight = torch.randn(2, 4, 9, 9, requires_grad=True), torch.randn(4, 4 // groups, kernel, kernel)
    steps, pads, ones, none = [stride] * 2, [padding] * 2, [1, 1], [0, 0]
    y = torch.ops.aten.convolution.default(x, weight, None, steps, pads, ones, turned, none, groups)
    grad, mask = torch.randn_like(y), [True, False, False]
    found, *_ = convolution_backward(grad, x, weight, None, steps, pads, ones, turned, none, groups, mask)
    assert torch.allclose(found, torch.autograd.grad(y, x, grad)[0], atol=1e-4)


class Coded(nn.Module):
    """A straight-through codebook: what is read is the code, and the gradient goes past it to what was coded."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encode, self.codes, self.decode = nn.Linear(6, width), nn.Embedding(16, width), nn.Linear(width, 6)

    def forward(self, x: Tensor) -> Tensor:
        z = self.encode(x)
        code = self.codes((z[:, None] - self.codes.weight).square().sum(-1).argmin(-1))
        return self.decode(z + (code - z).detach())


class Predictor(nn.Module):
    """A predictor of what its own projection is, detached (SimSiam): the targets teach it nothing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project, self.predict = nn.Linear(6, width), nn.Linear(width, width)
        self.target = nn.Linear(6, width)

    def forward(self, x: Tensor) -> Tensor:
        predicted = F.normalize(self.predict(F.relu(self.project(x))), dim=-1)
        return -(predicted * F.normalize(self.target(x).detach(), dim=-1)).sum(-1)


@pytest.mark.parametrize(("model", "still"), [(Coded, "codes.weight"), (Predictor, "target.weight")])
def test_nothing_learns_by_what_is_detached(model: type[nn.Module], still: str) -> None:
    graph = sr.trace(model, WIDTH, torch.randn(8, 6))
    solution = sr.derive(graph, optimizer="adamw")
    assert f"the gradient of {still!r} is exactly zero for all steps: any rate does" in solution.warnings
    found = sr.verify(graph, solution, sizes=[16, 32, 64], seeds=2, progress=False, jobs=1)
    assert not found.refuted and not [row for row in found.wrong if still in (row.node, row.parameter)]
