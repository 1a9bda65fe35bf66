"""A small GPT in plain torch: its learning rate is tuned at one width and used at eight times that width.

The text is Python's own documentation (`pydoc_data.topics`, in every standard library), character by character. What
scalerules needs of the model is a function that builds it for a width; the model itself is not edited.

    python examples/gpt.py --quick      (half a minute)
    python examples/gpt.py              (minutes; 32 and 256 wide)
"""

from __future__ import annotations

import argparse
import math
import pydoc_data.topics
import sys
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

import scalerules as sr

TEXT = "\n".join(pydoc_data.topics.topics.values())
CHARACTERS = sorted(set(TEXT))
DATA = torch.tensor([CHARACTERS.index(character) for character in TEXT])
HEADS, LAYERS, BATCH, LENGTH = 4, 2, 16, 64


class Attention(nn.Module):
    """Causal self-attention with four heads, whose size is a quarter of the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads, self.scale = HEADS, (width // HEADS) ** -0.5
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, width) -> the same."""
        batch, length, width = x.shape
        q, k, v = (
            layer(x).view(batch, length, self.heads, width // self.heads).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=self.scale)
        return self.out(y.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    """Attention and a perceptron, each behind a norm and beside the stream."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width)
        self.norm2, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, width) -> the same."""
        x = x + self.attention(self.norm1(x))
        return x + self.down(functional.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    """Characters to the logits of the next one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.characters = nn.Embedding(len(CHARACTERS), width)
        self.positions = nn.Embedding(LENGTH, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(LAYERS))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, len(CHARACTERS), bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """(batch, time) -> (batch, time, characters)."""
        x = self.characters(tokens) + self.positions(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def make_inputs(width: int) -> Tensor:
    """A batch to trace the model with; it does not depend on the width."""
    return torch.zeros(2, 8, dtype=torch.long)


def rules() -> sr.Solution:
    """How initialisation and rates of this model have to change with its width."""
    graph = sr.trace(GPT, scales={"width": (32, 64, 96, 160)}, inputs=make_inputs)
    return sr.derive(graph, optimizer="adamw")


def batches(steps: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Random pieces of the text and the characters that follow."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        starts = torch.randint(len(DATA) - LENGTH - 1, (BATCH,), generator=generator)
        pieces = torch.stack([DATA[start : start + LENGTH + 1] for start in starts.tolist()])
        yield pieces[:, :-1], pieces[:, 1:]


def train(model: nn.Module, groups: list[dict] | None, lr: float, steps: int) -> float:
    """The mean loss of the last tenth of a run, in nats per character; the rate falls to zero."""
    optimizer = torch.optim.AdamW(groups if groups is not None else model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses: list[float] = []
    began = time.monotonic()
    for step, (tokens, following) in enumerate(batches(steps, seed=1), start=1):
        loss = functional.cross_entropy(model(tokens).flatten(0, 1), following.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            return math.inf
        if step % 20 == 0:
            left = (time.monotonic() - began) / step * (steps - step)
            print(f"\r  step {step} of {steps}, loss {losses[-1]:.3f}, {left:.0f} s left ", end="", file=sys.stderr)
    print("\r" + " " * 60, end="\r", file=sys.stderr)
    last = losses[-max(1, steps // 10) :]
    return sum(last) / len(last)


def main() -> None:
    """Tunes at the base width, and trains at eight times it with the transferred and with the same plain rate."""
    arguments = argparse.ArgumentParser(description="Tunes at one width, trains at eight times it.")
    arguments.add_argument("--quick", action="store_true", help="16 and 128 wide, few steps")
    quick = arguments.parse_args().quick
    base, steps = (16, 30) if quick else (32, 300)
    width, rates = 8 * base, [2.0**-k for k in ((5, 7) if quick else (4, 5, 6, 7, 8, 9))]
    solution = rules()
    print(solution.to_table())

    found: dict[float, float] = {}
    for lr in rates:
        torch.manual_seed(0)
        found[lr] = train(GPT(base), None, lr, steps)
        print(f"width {base}, rate {lr:.4f}: loss {found[lr]:.3f}")
    best = min(found, key=found.__getitem__)

    torch.manual_seed(0)
    plain = train(GPT(width), None, best, steps)
    print(f"width {width}, rate {best:.4f} for everything: loss {plain:.3f}")

    torch.manual_seed(0)
    model = GPT(width)
    groups = sr.apply(model, solution, base={"width": base}, sizes={"width": width}, lr=best, reference=GPT(base))
    transferred = train(model, groups, best, steps)
    print(f"width {width}, rate {best:.4f} transferred:    loss {transferred:.3f}")


if __name__ == "__main__":
    main()
