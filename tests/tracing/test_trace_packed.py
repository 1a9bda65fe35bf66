"""Packed sequences, at their full lengths; slices that begin where data say; copies in `forward`."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    unpack_sequence,
)

import scalerules as sr

torch.set_num_threads(1)
WIDTH = {"width": (16, 24, 32)}
LENGTHS = torch.tensor([5, 3, 2])


class Reader(nn.Module):
    """A recurrence over sequences of different lengths, and a head on its last state or on all of them."""

    def __init__(self, width: int, kind: Any = nn.GRU, both: bool = False, first: bool = True) -> None:
        super().__init__()
        self.first = first
        self.embed = nn.Linear(6, width)
        self.rnn = kind(width, width, batch_first=first, bidirectional=both)
        self.head = nn.Linear(2 * width if both else width, 4)

    def forward(self, x: Tensor, lengths: Any) -> Tensor:
        """Logits at every step."""
        h = self.embed(x) if self.first else self.embed(x).transpose(0, 1)
        packed = pack_padded_sequence(h, lengths, batch_first=self.first, enforce_sorted=False)
        out, _ = self.rnn(packed)
        return self.head(pad_packed_sequence(out, batch_first=self.first, total_length=6)[0])


class Plain(Reader):
    """The same on whole sequences."""

    def forward(self, x: Tensor, lengths: Any) -> Tensor:
        h = self.embed(x) if self.first else self.embed(x).transpose(0, 1)
        return self.head(self.rnn(h)[0])


class FromMask(Reader):
    """Lengths that the data say; the mean over the steps that are there."""

    def forward(self, x: Tensor, lengths: Any) -> Tensor:
        lengths = (x[..., 0] > -9).sum(1).cpu()
        packed = pack_padded_sequence(self.embed(x), lengths, batch_first=True)
        _, last = self.rnn(packed)
        out, found = pad_packed_sequence(PackedSequence(packed.data.tanh(), packed.batch_sizes), batch_first=True)
        mask = torch.arange(out.shape[1]) < found[:, None]
        return self.head((out * mask[..., None]).sum(1) / found[:, None] + last[0])


class Listed(Reader):
    """A list of sequences goes in and comes out."""

    def forward(self, x: list[Tensor]) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        packed = pack_sequence([self.embed(each) for each in x], enforce_sorted=False)
        out, _ = self.rnn(packed)
        return torch.stack([self.head(each.mean(0)) for each in unpack_sequence(out)])


class Given(Reader):
    """A packed sequence goes in and comes out."""

    def forward(self, x: PackedSequence) -> PackedSequence:  # pyright: ignore[reportIncompatibleMethodOverride]
        out, _ = self.rnn(PackedSequence(self.embed(x.data), x.batch_sizes))
        return PackedSequence(self.head(out.data), out.batch_sizes)


@pytest.mark.parametrize(
    ("kind", "both", "first"), [(nn.LSTM, False, True), (nn.GRU, True, False), (nn.RNN, True, True)]
)
def test_a_packed_sequence_is_read_as_a_padded_one(kind: Any, both: bool, first: bool) -> None:
    inputs = torch.ones(3, 6, 6), LENGTHS
    packed = sr.trace(lambda width: Reader(width, kind, both, first), WIDTH, inputs, measure=False)
    plain = sr.trace(lambda width: Plain(width, kind, both, first), WIDTH, inputs, measure=False)
    assert list(packed.parameters) == list(plain.parameters)
    assert [node.op for node in packed.nodes.values()] == [node.op for node in plain.nodes.values()]
    assert any("sequences of different lengths are traced at full length" in note for note in packed.notes)


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (FromMask, (torch.ones(3, 5, 6), None)),
        (Listed, ([torch.ones(5, 6), torch.ones(3, 6)],)),
        (Given, (pack_padded_sequence(torch.ones(5, 3, 6), LENGTHS),)),
    ],
)
def test_lengths_from_data_lists_and_packed_inputs_have_the_rules_of_whole_sequences(model: Any, inputs: Any) -> None:
    graph = sr.trace(lambda width: model(width, nn.RNN, first=model is not Listed), WIDTH, lambda: inputs)
    rules = sr.derive(graph, optimizer="adamw").parameters
    found = {name: (str(rule.init), str(rule.lr)) for name, rule in rules.items() if "weight" in name}
    assert found == {
        "embed.weight": ("1", "1"),
        "rnn.weight_ih_l0": ("width^(-1/2)", "width^-1"),
        "rnn.weight_hh_l0": ("width^(-1/2)", "width^-1"),
        "head.weight": ("width^-1", "width^-1"),
    }


class Windows(Reader):
    """Slices that begin and end where data say, as a loop over packed batches has them."""

    def forward(self, x: Tensor, lengths: Any) -> Tensor:
        h, start, found = self.embed(x).flatten(0, 1), 0, list[Tensor]()
        for length in lengths.tolist():
            found.append(copy.deepcopy(torch.tanh(h[start : start + length])).mean(0))
            start += length
        return self.head(torch.stack(found))


def test_slices_that_begin_where_data_say_and_copies_are_traced() -> None:
    graph = sr.trace(Windows, WIDTH, (torch.ones(3, 6, 6), LENGTHS), measure=False)
    assert [node.op for node in graph.nodes.values() if node.op == "tanh"] == ["tanh"] * 3
    assert any("rows are chosen by values" in note for note in graph.notes)


class Speech(nn.Module):
    """Labels without places, of a recurrence in both directions."""

    def __init__(self, width: int, own: bool = True) -> None:
        super().__init__()
        self.own = own
        self.rnn, self.head = nn.GRU(5, width, bidirectional=True), nn.Linear(2 * width, 6)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        logits = self.head(self.rnn(x)[0])
        lengths = torch.tensor([8, 7]), torch.tensor([3, 2])
        return nn.CTCLoss()(logits.log_softmax(-1), labels, *lengths) if self.own else logits


def test_labels_without_places_are_classes() -> None:
    def traced(own: bool) -> sr.Graph:
        inputs = torch.ones(8, 2, 5), torch.tensor([[1, 2, 3], [2, 3, 0]])
        return sr.trace(lambda width: Speech(width, own), WIDTH, lambda **_: inputs, progress=False)

    found, logits = traced(True), traced(False)
    assert found.loss == "cross_entropy"
    one, other = sr.derive(found, "adamw"), sr.derive(logits.model_copy(update={"loss": "cross_entropy"}), "adamw")
    assert {n: (r.init, r.lr) for n, r in one.parameters.items()} == {
        n: (r.init, r.lr) for n, r in other.parameters.items()
    }
