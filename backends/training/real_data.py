"""Real data that comes with a package: the text of `pydoc_data.topics`, the digits of scikit-learn.

A `Source` fits a graph's fixed axes (batch, time, pixels, classes) to the data, and makes the batch of any step of any
run: the same for the same seed and step, whatever the size or the learning rate, so that runs can be compared in pairs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from scalerules.architecture.graph import Graph
from scalerules.errors import GraphError, MissingExtra, UnknownName

from .program import Data

HELD_OUT = 0.1
"""The part of the data that is never trained on."""
CLASSES = 10


class Source(Protocol):
    """Where the batches of a sweep come from; one can be written by a user and given as `data=`."""

    @property
    def name(self) -> str:
        """What tells these data from others: finished runs are found again by it."""
        ...

    def fitted(self, graph: Graph, axes: Mapping[str, int]) -> Graph:
        """The graph with its fixed axes as long as the data needs them, or as `axes` says."""
        ...

    def batch(self, graph: Graph, seed: int, step: int) -> Data:
        """The batch of one step of the runs with this seed."""
        ...

    def held_out(self, graph: Graph) -> Iterator[Data]:
        """The batches, never trained on, that every run is judged by."""
        ...


def source(name: str, graph: Graph) -> Source:
    """The source of that name (`text`, `digits`), or with `auto` the one that fits the graph's inputs and loss.

    Raises `UnknownName`, and `GraphError` for a graph that neither fits.
    """
    if name == "auto":
        return Text() if _input(graph)[1] else Digits()
    if name not in SOURCES:
        raise UnknownName("data", name, [*SOURCES, "auto"])
    return SOURCES[name]()


def _input(graph: Graph) -> tuple[str, bool]:
    """The one input of the graph, and whether it is tokens."""
    inputs = [(name, node.kind == "tokens") for name, node in graph.nodes.items() if node.op == "input"]
    if len(inputs) != 1 or len(graph.outputs) != 1:
        raise _misfit(graph, f"it has {len(inputs)} inputs and {len(graph.outputs)} outputs, not one of each")
    return inputs[0]


def _misfit(graph: Graph, why: str) -> GraphError:
    hint = "give data=, an object with the methods of scalerules.backends.training.real_data.Source"
    return GraphError(f"fits no data that comes with the project: {why}", where=f"graph {graph.name!r}", hint=hint)


def _with_axes(graph: Graph, axes: Mapping[str, int]) -> Graph:
    """The graph with other lengths of axes that do not grow."""
    for axis in axes:
        if axis not in graph.axes:
            raise UnknownName("axis", axis, graph.axes, where=f"graph {graph.name!r}")
        if graph.lengths[axis].scales:
            raise GraphError("grows with a scale", where=f"axis {axis!r}", hint="its length follows from the sizes")
    return Graph.model_validate(graph.to_dict() | {"axes": {**graph.axes, **axes}})


@dataclass(frozen=True)
class Text:
    """Character language modelling on the text of Python's own manual, `pydoc_data.topics` (about 465,000 characters).

    Lower case; the most frequent characters each have a class, all others share the last one. Loss: nats per
    character.
    """

    name: str = "text"

    def fitted(self, graph: Graph, axes: Mapping[str, int]) -> Graph:
        """The graph with 16 pieces of 32 characters a batch; the vocabulary is its own."""
        (name, tokens), nodes = _input(graph), graph.nodes
        shape = nodes[name].axes or []
        if not tokens or len(shape) != 3 or graph.axes_of(graph.outputs[0]) != tuple(shape):
            raise _misfit(graph, "text needs tokens (batch time vocab) and as many logits")
        return _with_axes(graph, {shape[0]: 16, shape[1]: 32} | dict(axes))

    def batch(self, graph: Graph, seed: int, step: int) -> Data:
        """The batch of a step: pieces from random places."""
        batch, time, vocab = _lengths(graph)
        text = coded(vocab)
        train = text[: math.floor(len(text) * (1 - HELD_OUT))]
        draw = torch.Generator().manual_seed(1_000_003 * seed + step)
        return _pieces(graph, train, torch.randint(len(train) - time, (batch,), generator=draw), time, vocab)

    def held_out(self, graph: Graph) -> Iterator[Data]:
        """The batches of 128 pieces, evenly spaced over the end of the text."""
        batch, time, vocab = _lengths(graph)
        text = coded(vocab)
        rest = text[math.floor(len(text) * (1 - HELD_OUT)) :]
        starts = torch.linspace(0, len(rest) - time - 1, 128).long()
        for part in starts.split(batch):
            yield _pieces(graph, rest, part, time, vocab)


def _lengths(graph: Graph) -> tuple[int, ...]:
    return tuple(graph.lengths[axis].at({}) for axis in graph.nodes[_input(graph)[0]].axes or [])


@cache
def coded(vocab: int) -> Tensor:
    """The text as numbers below `vocab`."""
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics)).lower()
    ranked = [letter for letter, _ in sorted(Counter(text).items(), key=lambda item: (-item[1], item[0]))]
    code = {letter: number for number, letter in enumerate(ranked[: vocab - 1])}
    return torch.tensor([code.get(letter, vocab - 1) for letter in text])


def _pieces(graph: Graph, text: Tensor, starts: Tensor, time: int, vocab: int) -> Data:
    """Pieces of the text and, as targets, the same one character further on."""
    places = starts[:, None] + torch.arange(time)
    tokens, following = (one_hot(text[places + ahead], vocab).float() for ahead in (0, 1))
    return Data({_input(graph)[0]: tokens}, [following])


@dataclass(frozen=True)
class Digits:
    """Ten classes of 8 x 8 images of handwritten digits, 1797 of them (scikit-learn's `load_digits`).

    Source: Alpaydin and Kaynak 1998, UCI Machine Learning Repository.
    """

    name: str = "digits"

    def fitted(self, graph: Graph, axes: Mapping[str, int]) -> Graph:
        """The graph with 32 images a batch; their axes are (64), (16 patches, 4 pixels) or (8, 8, 1)."""
        name, tokens = _input(graph)
        shape, output = graph.nodes[name].axes or [], graph.axes_of(graph.outputs[0])
        forms = {1: (64,), 2: (16, 4), 3: (8, 8, 1)}
        if tokens or len(shape) - 1 not in forms or len(output) != 2:
            raise _misfit(graph, "digits need an input (batch pixels), (batch patches pixels) or (batch y x colours)")
        lengths = dict(zip(shape, (32, *forms[len(shape) - 1]), strict=True)) | {output[1]: CLASSES}
        return _with_axes(graph, lengths | dict(axes))

    def batch(self, graph: Graph, seed: int, step: int) -> Data:
        """The batch of a step: images drawn at random."""
        images, _ = pictures()
        count = math.floor(len(images) * (1 - HELD_OUT))
        draw = torch.Generator().manual_seed(1_000_003 * seed + step)
        return self._data(graph, torch.randint(count, (_lengths(graph)[0],), generator=draw))

    def held_out(self, graph: Graph) -> Iterator[Data]:
        """The batches of the last tenth of the images."""
        images, _ = pictures()
        chosen = torch.arange(math.floor(len(images) * (1 - HELD_OUT)), len(images))
        batch = _lengths(graph)[0]
        for part in chosen.split(batch):
            if len(part) == batch:
                yield self._data(graph, part)

    def _data(self, graph: Graph, chosen: Tensor) -> Data:
        images, classes = pictures()
        shape, picked = _lengths(graph), images[chosen]
        if len(shape) == 3:  # patches of a square grid, each flattened
            side = math.isqrt(shape[1])
            edge = 8 // side
            picked = picked.reshape(-1, side, edge, side, edge).transpose(2, 3)
        target = one_hot(classes[chosen], CLASSES).float()
        target = target - 1 / CLASSES if graph.loss == "mse" else target
        return Data({_input(graph)[0]: picked.reshape(shape)}, [target])


@cache
def pictures() -> tuple[Tensor, Tensor]:
    """(images of unit variance, classes), in an order that is always the same."""
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise MissingExtra("training on images of digits (scikit-learn)", "data") from error
    pixels, classes = load_digits(return_X_y=True)
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
    images = torch.tensor(pixels, dtype=torch.float32)[order].reshape(-1, 8, 8)
    return (images - images.mean()) / images.std(), torch.tensor(classes)[order]


SOURCES = {"text": Text, "digits": Digits}
