"""Sequences at their full lengths while a module is traced: a packed batch is then a view of the padded one.

How many entries a packed sequence has only its lengths say, which are data. No size depends on how many of the steps a
sequence has, so all of them have all: `data` is (time * batch, features), `batch_sizes` has the batch at every step,
and a recurrent layer reads the padded sequence.
"""

# torch's own annotations are partial: what comes out of it is taken as Any.
# pyright: reportUntypedFunctionDecorator=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import rnn
from torch.nn.utils.rnn import PackedSequence

from .users_lines import is_users, short_path

LAYERS: tuple[Any, ...] = (nn.RNN, nn.LSTM, nn.GRU)

_notes: list[str] = []


@contextmanager
def full_lengths() -> Generator[list[str]]:
    """Inside, sequences are packed at full length; yields a note for each that is packed, with the line.

    The functions get other code, as users import them by name.
    """
    del _notes[:]
    swapped: dict[Any, Any] = {
        rnn.pack_padded_sequence: _pack,
        rnn.pad_packed_sequence: _pad,
        rnn.pad_sequence: _stack,
        functional.ctc_loss: _ctc,
    }
    codes = {function: function.__code__ for function in swapped}
    forwards = {layer: layer.forward for layer in LAYERS}
    for function, other in swapped.items():
        function.__code__ = other.__code__
    for layer in LAYERS:
        layer.forward = _on_padded(layer.forward)
    try:
        yield _notes
    finally:
        for function, code in codes.items():
            function.__code__ = code
        for layer, forward in forwards.items():
            layer.forward = forward


def unpacked(inputs: Any) -> Any:
    """An input that is a packed sequence, at its full length; others as they are."""
    if not isinstance(inputs, PackedSequence):
        return inputs
    padded, _ = rnn.pad_packed_sequence(inputs)
    return packed(padded, False)


def packed(padded: Tensor, batch_first: bool) -> PackedSequence:
    """The packed form of a padded batch whose sequences all have its length."""
    steps = padded.transpose(0, 1) if batch_first else padded
    frames = [f for f in traceback.extract_stack() if is_users(f.filename)]
    if frames:
        line = f"{short_path(frames[-1].filename)}:{frames[-1].lineno} {frames[-1].line}"
        _notes.append(f"{line}: sequences of different lengths are traced at full length")
    sizes = torch.tensor([steps.shape[1]] * steps.shape[0], device="cpu")
    return PackedSequence(steps.flatten(0, 1), sizes)


def padded(sequence: PackedSequence, batch_first: bool, value: float, length: int | None) -> tuple[Tensor, Tensor]:
    """The padded batch (time, batch, features) of a packed one, or (batch, time, features), and the lengths."""
    time = sequence.batch_sizes.shape[0]
    steps = sequence.data.unflatten(0, (time, -1))
    lengths = torch.tensor([time] * steps.shape[1], device="cpu")
    if length is not None and length > time:
        steps = torch.cat([steps, steps.new_full((length - time, *steps.shape[1:]), value)])
    return steps.transpose(0, 1) if batch_first else steps, lengths


def _pack(input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True) -> PackedSequence:
    from scalerules.tracing.exporting.packed_sequences import packed  # its names are those of torch's file

    return packed(input, batch_first)


def _pad(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    from scalerules.tracing.exporting.packed_sequences import padded  # its names are those of torch's file

    return padded(sequence, batch_first, padding_value, total_length)


def stacked(sequences: Any, batch_first: bool, value: float, side: str) -> Tensor:
    """Sequences (time, ...) of different lengths as one padded batch (time, batch, ...), or (batch, time, ...)."""
    each = list(sequences)
    most = max(sequence.shape[0] for sequence in each)
    missing = [sequence.new_full((most - sequence.shape[0], *sequence.shape[1:]), value) for sequence in each]
    pairs = [(gap, own) if side == "left" else (own, gap) for own, gap in zip(each, missing, strict=True)]
    whole = [
        torch.cat(pair) if pair[0].shape[0] and pair[1].shape[0] else own for own, pair in zip(each, pairs, strict=True)
    ]
    return torch.stack(whole, 0 if batch_first else 1)


def _stack(
    sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    from scalerules.tracing.exporting.packed_sequences import stacked  # its names are those of torch's file

    return stacked(sequences, batch_first, padding_value, padding_side)


@torch.library.custom_op("scalerules::unplaced_labels_loss", mutates_args=())
def unplaced_labels_loss(log_probs: Tensor, targets: Tensor, blank: int, reduction: int, zero_infinity: bool) -> Tensor:
    """The loss of labels without places (CTC), where all sequences and all labels have their full length.

    `log_probs` (time, batch, classes), `targets` (batch, labels) or one row. Torch's own has no shapes without entries.
    """
    time, batch = log_probs.shape[0], log_probs.shape[1] if log_probs.ndim > 2 else 1
    labels = targets.numel() // batch
    return torch.ctc_loss(log_probs, targets, [time] * batch, [labels] * batch, blank, reduction, zero_infinity)


@unplaced_labels_loss.register_fake
def _(log_probs: Tensor, targets: Tensor, blank: int, reduction: int, zero_infinity: bool) -> Tensor:  # pyright: ignore[reportUnusedFunction]
    return log_probs.new_empty(() if reduction or log_probs.ndim < 3 else (log_probs.shape[1],))


def _ctc(
    log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any, blank: int = 0,
    reduction: str = "mean", zero_infinity: bool = False,
) -> Tensor:  # fmt: skip
    # its names are those of torch's file
    from scalerules.tracing.exporting.packed_sequences import unplaced_labels_loss

    how = ("none", "mean", "sum").index(reduction)
    return unplaced_labels_loss(log_probs, targets, blank, how, zero_infinity)


def _on_padded(forward: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(forward)
    def run(self: Any, input: Any, hx: Any = None) -> Any:
        if not isinstance(input, PackedSequence):
            return forward(self, input, hx)
        steps, _ = padded(input, self.batch_first, 0.0, None)
        output, last = forward(self, steps, hx)
        output = output.transpose(0, 1) if self.batch_first else output
        return PackedSequence(output.flatten(0, 1), input.batch_sizes), last

    return run
