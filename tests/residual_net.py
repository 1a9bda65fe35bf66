"""A small residual network, as a graph and as a module, its rules by hand, and how tests apply them and train it."""

from __future__ import annotations

import math
import warnings

import torch
from handmade import handmade
from scalerules.backends.pytorch.model.apply import ModelWarning
from scalerules.backends.pytorch.source.emit import Groups, apply
from torch import Tensor, nn
from torch.nn import functional

import scalerules as sr
from scalerules.architecture.graph import Graph
from scalerules.solution.solution import Solution

BASE = {"width": 32}


def blocks_graph() -> Graph:
    """An embedding, residual blocks with scores-like multiplier, logits."""
    g = sr.Builder(
        "blocks",
        scales={"width": 1, "depth": 0},
        sizes={"width": 32, "depth": 2},
        axes={"batch": 4, "vocab": 11, "n": "width", "ffn": "4*width", "layers": "depth"},
        loss="cross_entropy",
    )
    g.parameter("W_E", "vocab n")
    x = g.einsum("x", "b v, v n -> b n", g.input("tokens", "batch vocab", kind="tokens"), parameters=("W_E",))
    with g.repeat("blocks", x, "layers") as block:
        h = g.gain("mlp.gain", g.rms_norm(block.stream, axis="n", name="norm"), "n")
        h = g.relu(g.bias("mlp.b_up", g.dense("mlp.W_up", h, "ffn n"), "ffn"), name="hidden")
        h = g.scale("scores", g.dense("mlp.W_down", h, "n ffn"), "1/n", free=True)
        block.result = g.residual("out", block.stream, h)
    g.parameter("W_U", "vocab n")
    return g.build(g.einsum("logits", "b n, v n -> b v", "blocks", parameters=("W_U",)))


class Perceptron(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.W_up = nn.Parameter(torch.randn(4 * width, width) / math.sqrt(width))
        self.b_up = nn.Parameter(torch.zeros(4 * width))
        self.W_down = nn.Parameter(torch.randn(width, 4 * width) / math.sqrt(4 * width))

    def forward(self, x: Tensor) -> Tensor:
        h = functional.rms_norm(x, x.shape[-1:]) * self.gain
        return functional.linear(functional.relu(functional.linear(h, self.W_up, self.b_up)), self.W_down)


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = Perceptron(width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mlp(x)


class Net(nn.Module):
    """The graph of `blocks_graph` as a reader would write it: layers in a list, each with names of its own."""

    def __init__(self, width: int, depth: int = 2, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.W_E = nn.Parameter(torch.randn(11, width))
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.W_U = nn.Parameter(torch.randn(11, width) / math.sqrt(width))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.W_E[tokens]
        for block in self.blocks:
            x = block(x)
        return x @ self.W_U.T


def rules(optimizer: str = "adam") -> Solution:
    return handmade(blocks_graph(), optimizer)


def quiet(model: nn.Module, solution: Solution, **options: object) -> Groups:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelWarning)
        return apply(model, solution, **{"base": BASE, "lr": 1e-2, "weight_decay": 0.1, **options})  # type: ignore[arg-type]


def run(model: nn.Module, optimizers: list[torch.optim.Optimizer], steps: int = 3) -> list[float]:
    torch.manual_seed(0)
    tokens, target = torch.randint(11, (16,)), torch.randint(11, (16,))
    losses: list[float] = []
    for _ in range(steps):
        loss = functional.cross_entropy(model(tokens), target)
        losses.append(loss.item())
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
    return losses
