"""An AdamW step with the groups of `apply` beside one with a single group: the same 100 million parameters.

    python -m benchmarks.bench_groups [--quick] [--repeats 21]

Twelve blocks of a transformer 768 wide with an embedding and logits, `foreach` on, one thread. They take turns on the
same parameters and gradients, each with its own state; figures are medians of CPU seconds, and of the ratio of
neighbouring steps. `--quick` takes a quarter of the width, and has a group per parameter beside them.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from fractions import Fraction

import torch
from torch import nn

import scalerules as sr
from scalerules.architecture.graph import Graph
from scalerules.sizes.exponents import Exponents
from scalerules.solution.rule import Rule
from scalerules.solution.solution import Solution

MATRICES = {"W_Q": "n n", "W_K": "n n", "W_V": "n n", "W_O": "n n", "W_up": "ffn n", "W_down": "n ffn"}
VECTORS = {"gain1": "n", "gain2": "n", "b_up": "ffn", "b_down": "n"}


class Block(nn.Module):
    """The parameters of a block; nothing is computed with them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        lengths = {"n": width, "ffn": 4 * width}
        for name, axes in {**MATRICES, **VECTORS}.items():
            self.register_parameter(name, nn.Parameter(torch.randn([lengths[a] for a in axes.split()]) * 0.02))


class Model(nn.Module):
    """Twelve blocks, an embedding, logits."""

    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__()
        self.W_E = nn.Parameter(torch.randn(vocabulary, width))
        self.blocks = nn.ModuleList(Block(width) for _ in range(12))
        self.W_U = nn.Parameter(torch.randn(vocabulary, width) * 0.02)


def graph(vocabulary: int) -> Graph:
    """A graph with these parameters."""
    g = sr.Builder("blocks", sizes={"width": 64},
                   axes={"batch": 4, "vocab": vocabulary, "n": "width", "ffn": "4*width", "layers": 12})  # fmt: skip
    g.parameter("W_E", "vocab n")
    x = g.einsum("x", "b v, v n -> b n", g.input("tokens", "batch vocab", kind="tokens"), parameters=("W_E",))
    with g.repeat("blocks", x, "layers") as block:
        h = g.gain("gain1", g.rms_norm(block.stream, axis="n", name="norm1"), "n")
        for name in ("W_Q", "W_K", "W_V", "W_O"):
            h = g.dense(name, h, "n n")
        h = g.gain("gain2", g.rms_norm(h, axis="n", name="norm2"), "n")
        h = g.gelu(g.bias("b_up", g.dense("W_up", h, "ffn n"), "ffn"), name="hidden")
        block.result = g.residual("out", block.stream, g.bias("b_down", g.dense("W_down", h, "n ffn"), "n"))
    g.parameter("W_U", "vocab n")
    return g.build(g.einsum("logits", "b n, v n -> b v", "blocks", parameters=("W_U",)))


def rules(blocks: Graph) -> Solution:
    """The rules of a transformer for AdamW, written down: what they are does not matter here, how many differ does."""
    parameters: dict[str, Rule] = {}
    for name in blocks.parameters:
        init, lr, eps = (-1, -1, 0) if name == "W_U" else (Fraction(-1, 2), -1, -1) if name in MATRICES else (0, 0, -1)
        init, mult, lr, eps, wd = (Exponents({"width": Fraction(size)}) for size in (init, 0, lr, eps, -lr))
        parameters[name] = Rule(blocks.shape_of(name), init, mult, lr, eps, wd)
    return Solution(
        "blocks", "adamw", "joint", "plain", ("width",), parameters, {}, {"width": Fraction(1)}, architecture=blocks
    )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeats", type=int, default=21)
    options = parser.parse_args()
    torch.set_num_threads(1)
    width, vocabulary = (192, 2_000) if options.quick else (768, 10_000)
    model = Model(width, vocabulary)
    warnings.simplefilter("ignore")
    groups = sr.apply(model, rules(graph(vocabulary)), base={"width": 64}, sizes={"width": width}, lr=3e-4, init=False)
    single = [{"params": [p for _, p in sorted(model.named_parameters())], "lr": 3e-4, "weight_decay": 0.0}]
    each = [{"params": [p], "lr": 3e-4, "weight_decay": 0.0} for p in model.parameters()]
    kinds = {"one group": single, f"groups of apply ({len(groups)})": groups, f"one per parameter ({len(each)})": each}
    if not options.quick:  # two states of 100 million parameters fill 1.6 GB
        kinds.pop(f"one per parameter ({len(each)})")
    optimizers = {name: torch.optim.AdamW(given, foreach=True) for name, given in kinds.items()}
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter) * 1e-3
    seconds: dict[str, list[float]] = {name: [] for name in optimizers}
    for repeat in range(options.repeats + 1):
        turn = list(optimizers.items())
        for name, optimizer in turn if repeat % 2 else turn[::-1]:
            began = time.process_time()
            optimizer.step()
            if repeat:  # the first makes the state
                seconds[name].append(time.process_time() - began)
    count = sum(p.numel() for p in model.parameters())
    print(f"{count / 1e6:.0f} million parameters in {len(each)} tensors, {options.repeats} steps each")
    first = seconds["one group"]
    for name, mine in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(mine, first, strict=True))
        print(f"  {name:28} {statistics.median(mine):8.4f} s   {ratio:6.3f} times one group")


if __name__ == "__main__":
    main()
