"""A training loop of one's own in a sweep: a Llama tuned at one width, and swept at eight times that width to compare.

The model is that of transformers, from its configuration; text, data loader and loop are this file's. The text is
Python's own documentation (`pydoc_data.topics`, in every standard library), character by character.

    python examples/own_loop.py --quick                  (a minute; 32 and 256 wide)
    python examples/own_loop.py --plot own-loop.svg      (about 20 minutes on one core; stopped, it goes on)
"""

from __future__ import annotations

import argparse
import functools
import pydoc_data.topics

import torch
from torch.utils.data import DataLoader, Dataset
from transformers import LlamaConfig, LlamaForCausalLM

import scalerules as sr

TEXT = "\n".join(pydoc_data.topics.topics.values())
CHARACTERS = sorted(set(TEXT))
DATA = torch.tensor([CHARACTERS.index(character) for character in TEXT])
BATCH, LENGTH, HEAD = 8, 64, 16


def make_model(width: int) -> LlamaForCausalLM:
    """Two blocks; the heads are 16 wide, and as many as the width allows."""
    config = LlamaConfig(
        vocab_size=len(CHARACTERS),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=width // HEAD,
        num_key_value_heads=width // HEAD,
        max_position_embeddings=LENGTH,
        initializer_range=width**-0.5,
        use_cache=False,
    )
    return LlamaForCausalLM(config)


def make_inputs(width: int) -> dict[str, torch.Tensor]:
    """A batch to trace the model with; it does not depend on the width."""
    return {"input_ids": torch.zeros(2, 8, dtype=torch.long)}


def rules() -> sr.Solution:
    """How initialisation and rates of this model have to change with its width."""
    graph = sr.trace(make_model, scales={"width": (32, 64, 96, 160)}, inputs=make_inputs)
    return sr.derive(graph, optimizer="adamw")


class Pieces(Dataset):
    """The text in pieces that follow each other, the first nine tenths or the rest."""

    def __init__(self, held_out: bool) -> None:
        pieces = DATA.unfold(0, LENGTH, LENGTH)
        border = len(pieces) * 9 // 10
        self.pieces = pieces[border:] if held_out else pieces[:border]

    def __len__(self) -> int:
        return len(self.pieces)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.pieces[index]


def train(lr: float, seed: int, rule, width: int, steps: int) -> float:
    """The loss on held-out text after so many steps, in nats per character; the rate warms up and falls to zero."""
    torch.manual_seed(seed)
    model = make_model(width)
    groups = rule.apply(model, lr=lr, reference=make_model(rule.base["width"]), optimizer=torch.optim.AdamW)
    optimizer = groups.optimizer(torch.optim.AdamW)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, groups.per_group(lr), total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    order = torch.Generator().manual_seed(seed)
    loader = DataLoader(Pieces(held_out=False), BATCH, shuffle=True, generator=order)
    for _, piece in zip(range(steps), loader, strict=False):
        loss = model(input_ids=piece, labels=piece).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        losses = [model(input_ids=piece, labels=piece).loss for piece in DataLoader(Pieces(held_out=True), 64)]
    return torch.stack(losses).mean().item()


def main() -> None:
    """Sweeps the rate at both widths, and prints what the rate that is best at the small one gives at the large one."""
    parser = argparse.ArgumentParser(description="Tunes at one width, and sweeps at eight times it to compare.")
    parser.add_argument("--quick", action="store_true", help="32 and 256 wide, few steps and rates")
    parser.add_argument("--plot", help="where the figure goes")
    options = parser.parse_args()
    base, width, steps = (32, 256, 50) if options.quick else (64, 512, 240)
    rates = [2.0**-k for k in ((4, 5, 6, 7, 8) if options.quick else range(5, 12))]

    report = sr.transfer(
        functools.partial(train, steps=steps), rules(), sizes=[base, width], lrs=rates, seeds=1,
        store=None if options.quick else "own-loop.sqlite",
    )  # fmt: skip
    print(report.to_markdown())
    small = dict(report.row("derived", base).points)
    tuned = min(small, key=small.__getitem__)
    print(f"width {base}: the best rate is {tuned:.4f}, with a loss of {small[tuned]:.3f}")
    for rule in report.rules:
        losses = dict(report.row(rule, width).points)
        best = min(losses, key=losses.__getitem__)
        print(
            f"width {width}, {rule}: rate {tuned:.4f} gives a loss of {losses[tuned]:.3f}, "
            f"the sweep at {width} has its best {losses[best]:.3f} at {best:.4f}"
        )
    print(f"{report.cpu_seconds / 60:.1f} minutes of CPU in training")
    if options.plot:
        report.plot(options.plot)


if __name__ == "__main__":
    main()
