"""A Hugging Face model through its Trainer: tuned at one width, trained at eight times that width.

A tiny Llama from its configuration, nothing is downloaded. The text is Python's own documentation (`pydoc_data.topics`,
in every standard library), character by character. What the Trainer needs is one argument: `optimizer_cls_and_kwargs`.

    python examples/hugging_face.py --quick      (half a minute)
    python examples/hugging_face.py              (minutes; 32 and 256 wide)
"""

from __future__ import annotations

import argparse
import pydoc_data.topics
import tempfile

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PrinterCallback, Trainer, TrainingArguments, set_seed

import scalerules as sr

TEXT = "\n".join(pydoc_data.topics.topics.values())
CHARACTERS = sorted(set(TEXT))
DATA = torch.tensor([CHARACTERS.index(character) for character in TEXT])
BATCH, LENGTH, HEAD = 16, 64, 8


def make_model(width: int) -> LlamaForCausalLM:
    """Two blocks; the heads are 8 wide, and as many as the width allows."""
    config = LlamaConfig(
        vocab_size=len(CHARACTERS),
        hidden_size=width,
        intermediate_size=4 * width,
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


class Pieces(torch.utils.data.Dataset):
    """Random pieces of the text; the model itself compares each character with the next."""

    def __init__(self, count: int) -> None:
        self.starts = torch.randint(len(DATA) - LENGTH, (count,), generator=torch.Generator().manual_seed(1)).tolist()

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        piece = DATA[self.starts[index] : self.starts[index] + LENGTH]
        return {"input_ids": piece, "labels": piece}


def train(model: LlamaForCausalLM, groups: list[dict], steps: int) -> float:
    """The mean loss of the last tenth of a run, in nats per character; the rate falls to zero."""
    arguments = TrainingArguments(
        output_dir=tempfile.gettempdir(),
        max_steps=steps,
        per_device_train_batch_size=BATCH,
        lr_scheduler_type="cosine",
        logging_steps=max(1, steps // 10),
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        seed=0,
    )
    trainer = Trainer(
        model,
        arguments,
        train_dataset=Pieces(steps * BATCH),
        optimizer_cls_and_kwargs=(torch.optim.AdamW, {"params": groups}),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry][-1]


def main() -> None:
    """Tunes at the base width, and trains at eight times it with the transferred and with the same plain rate."""
    parser = argparse.ArgumentParser(description="Tunes at one width, trains at eight times it.")
    parser.add_argument("--quick", action="store_true", help="16 and 128 wide, few steps")
    quick = parser.parse_args().quick
    base, steps = (16, 30) if quick else (32, 300)
    width, rates = 8 * base, [2.0**-k for k in ((5, 7) if quick else (4, 5, 6, 7, 8, 9))]
    solution = rules()
    print(solution.to_table())

    found: dict[float, float] = {}
    for lr in rates:
        set_seed(0)
        model = make_model(base)
        found[lr] = train(model, [{"params": list(model.parameters()), "lr": lr}], steps)
        print(f"width {base}, rate {lr:.4f}: loss {found[lr]:.3f}")
    best = min(found, key=found.__getitem__)

    set_seed(0)
    model = make_model(width)
    plain = train(model, [{"params": list(model.parameters()), "lr": best}], steps)
    print(f"width {width}, rate {best:.4f} for everything: loss {plain:.3f}")

    set_seed(0)
    model = make_model(width)
    groups = sr.apply(
        model, solution, base={"width": base}, sizes={"width": width}, lr=best, reference=make_model(base)
    )
    transferred = train(model, groups, steps)
    print(f"width {width}, rate {best:.4f} transferred:    loss {transferred:.3f}")


if __name__ == "__main__":
    main()
