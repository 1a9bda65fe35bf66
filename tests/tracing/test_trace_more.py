"""What models that are not on the first list need: tiny modules that show one thing each."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import scalerules as sr
from scalerules.architecture.graph import Graph

torch.set_num_threads(1)
WIDTH = {"width": (16, 24, 32)}


def rules(make: Any, inputs: Any, graph: Any = None) -> dict[str, tuple[str, str]]:
    """Initial sizes and rates under AdamW, by the name of the parameter."""
    graph = graph or sr.trace(make, WIDTH, inputs)
    solution = sr.derive(graph, optimizer="adamw")
    return {name: (str(rule.init), str(rule.lr)) for name, rule in solution.parameters.items()}


def vectors(**_: int) -> Tensor:
    return torch.ones(4, 5)


HIDDEN, LOOKED_UP, LAST = ("width^(-1/2)", "width^-1"), ("1", "1"), ("width^-1", "width^-1")


class TimeSteps(nn.Module):
    """Sinusoids of a time step, as many as the model is wide, through a perceptron."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.stem, self.first, self.second = nn.Linear(5, width), nn.Linear(width, width), nn.Linear(width, 3)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        frequencies = torch.exp(-math.log(10000) * torch.arange(self.width // 2) / (self.width // 2))
        angles = t[:, None] * frequencies[None]
        return self.second(F.silu(self.stem(x) + self.first(torch.cat([angles.sin(), angles.cos()], -1))))


@pytest.mark.parametrize("time", [torch.tensor([3, 5, 7, 9]), torch.tensor([0.3, 0.5, 0.7, 0.9])])
def test_sinusoids_of_a_time_step_are_data_that_grow(time: Tensor) -> None:
    found = rules(TimeSteps, lambda **_: (vectors(), time))
    assert found["first.weight"] == HIDDEN and found["second.weight"] == LAST


class RandomFeatures(nn.Module):
    """A random projection in a buffer whose entries have the standard deviation `width ** power`."""

    def __init__(self, width: int, power: float) -> None:
        super().__init__()
        self.register_buffer("projection", torch.randn(width, width) * width**power)
        self.stem, self.last = nn.Linear(5, width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.stem(x) @ self.projection))


def test_a_fixed_random_matrix_is_a_weight_that_is_not_trained() -> None:
    graph = sr.trace(lambda width: RandomFeatures(width, -0.5), WIDTH, vectors)
    assert not graph.parameters["projection"].trained
    found = rules(None, None, graph)
    assert found["projection"][0] == "width^(-1/2)"
    assert found["stem.weight"] == LOOKED_UP and found["last.weight"] == LAST


def test_fixed_random_features_are_as_large_as_they_are() -> None:
    class Features(nn.Module):
        """Random features of the input, their frequencies in a buffer of entries `1 / width`."""

        def __init__(self, width: int) -> None:
            super().__init__()
            self.frequencies: Tensor
            self.register_buffer("frequencies", torch.randn(width, 5) / width)
            self.hidden, self.last = nn.Linear(width, width), nn.Linear(width, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.relu(self.hidden(x @ self.frequencies.T)))

    graph = sr.trace(Features, WIDTH, vectors)
    factors = [node.factor for node in graph.nodes.values() if node.op == "scale"]
    assert len(factors) == 1 and str(factors[0]).endswith("*width^-1")


class Joined(nn.Module):
    """Two numbers of the time and a hidden vector, side by side, into one layer."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.stem, self.field, self.last = nn.Linear(5, width), nn.Linear(width + count, width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.relu(self.stem(x))
        return self.last(torch.relu(self.field(torch.cat([z, x[:, : self.count]], 1))))


@pytest.mark.parametrize("count", [1, 3])
def test_columns_that_read_few_entries_have_their_own_rule(count: int) -> None:
    found = rules(lambda width: Joined(width, count), vectors)
    assert found["field.weight[:, 0:width]"] == HIDDEN
    assert found[f"field.weight[:, width:width + {count}]"] == LOOKED_UP


def test_constants_beside_an_axis_that_grows() -> None:
    class Euler(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.stem, self.field, self.last = nn.Linear(5, width), nn.Linear(width + 1, width), nn.Linear(width, 3)

        def forward(self, x: Tensor) -> Tensor:
            z = self.stem(x)
            for k in range(2):
                z = z + torch.tanh(self.field(torch.cat([z, torch.full((len(z), 1), k / 2)], 1)))
            return self.last(z)

    assert rules(Euler, vectors)["field.weight[:, 0:width]"] == HIDDEN


def test_frozen_weights_are_no_constants() -> None:
    class Adapter(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.stem, self.base, self.last = nn.Linear(5, width), nn.Linear(width, width), nn.Linear(width, 3)
            self.base.requires_grad_(False)
            self.down, self.up = nn.Parameter(torch.randn(2, width)), nn.Parameter(torch.zeros(width, 2))

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.stem(x))
            return self.last(self.base(x) + x @ self.down.T @ self.up.T)

    graph = sr.trace(Adapter, WIDTH, vectors)
    assert not graph.parameters["base.weight"].trained and graph.parameters["down"].trained
    found = rules(Adapter, vectors, graph)
    assert found["base.weight"][0] == "width^(-1/2)"
    assert found["down"] == LAST


def test_cosine_similarity() -> None:
    class Similar(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(5, width), nn.Linear(5, width)

        def forward(self, x: Tensor) -> Tensor:
            return F.cosine_similarity(self.a(x)[:, None], self.b(x)[None], dim=-1)

    graph = sr.trace(Similar, WIDTH, vectors)
    assert sum(node.op == "rms_norm" for node in graph.nodes.values()) == 2
    assert rules(Similar, vectors, graph)["a.weight"][0] == "1"


class Spectral(nn.Module):
    """A Fourier transform along `dim`, a product of modes, and back."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.stem, self.mix, self.last = nn.Linear(1, width), nn.Linear(width, width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        modes = torch.fft.fft(self.stem(x[..., None]), dim=self.dim, norm="ortho").real
        return self.last(torch.relu(self.mix(modes)))


def test_fourier_transforms_over_positions_keep_sizes() -> None:
    found = rules(lambda width: Spectral(width, 1), vectors)
    assert found["mix.weight"] == HIDDEN and found["last.weight"] == LAST


def test_complex_products_of_modes() -> None:
    class Modes(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.lift, self.project = nn.Linear(1, width), nn.Linear(width, 1)
            self.weight = nn.Parameter(torch.rand(width, width, 2, 2) / width)

        def forward(self, x: Tensor) -> Tensor:
            modes = torch.fft.rfft(self.lift(x[..., None]).transpose(1, 2))
            low = torch.einsum("bim,iom->bom", modes[:, :, :2], torch.view_as_complex(self.weight))
            return self.project(torch.fft.irfft(F.pad(low, (0, 1)), n=x.shape[1]).transpose(1, 2))

    assert rules(Modes, vectors)["weight"] == HIDDEN


def test_nn_transformer_with_a_causal_mask() -> None:
    """`nn.Transformer` looks at the entries of its masks, which do not exist while tracing."""

    class Translate(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.stem, self.last = nn.Linear(5, width), nn.Linear(width, 3)
            layer = nn.TransformerEncoderLayer(width, 2, 2 * width, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 1)

        def forward(self, x: Tensor) -> Tensor:
            mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
            return self.last(self.encoder(self.stem(x), mask=mask))

    found = rules(Translate, lambda **_: torch.ones(2, 4, 5))
    assert found["encoder.layers.0.linear1.weight"] == HIDDEN and found["last.weight"] == LAST


@dataclass
class Output:
    logits: Tensor
    loss: Tensor | None = None


class Plain:
    def __init__(self, logits: Tensor) -> None:
        self.logits = logits


@pytest.mark.parametrize("kind", [Output, Plain, lambda logits: [Output(logits)]])
def test_outputs_of_any_class(kind: Any) -> None:
    class Net(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(5, width), nn.Linear(width, 3)

        def forward(self, *, features: Tensor) -> Any:
            return kind(self.last(torch.relu(self.first(features))))

    graph = sr.trace(Net, WIDTH, lambda **_: {"features": torch.ones(4, 5)})
    assert graph.outputs == ["last.bias"]


def test_an_embedding_times_the_root_of_the_width() -> None:
    """The factor stands behind the look-up: the table is smaller, and what it adds to the stream of order one."""

    class Scaled(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.width = width
            self.table, self.hidden, self.last = nn.Embedding(9, width), nn.Linear(width, width), nn.Linear(width, 9)

        def forward(self, ids: Tensor) -> Tensor:
            x = self.table(ids) * math.sqrt(self.width)
            return self.last(x + torch.relu(self.hidden(x)))

    found = rules(Scaled, lambda **_: torch.arange(6).reshape(2, 3))
    assert found["table.weight"] == ("width^(-1/2)", "width^(-1/2)")
    assert found["hidden.weight"] == HIDDEN


def test_products_of_data_without_a_factor_get_one() -> None:
    """GPT-Neo's scores have no `1 / sqrt(head)`: a factor, 1 in the module, is solved for and named."""

    class Scores(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.stem, self.q, self.k = nn.Linear(5, width), nn.Linear(width, width), nn.Linear(width, width)
            self.last = nn.Linear(width, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            return self.last(torch.softmax(self.q(x) @ self.k(x).transpose(-1, -2), -1) @ x)

    graph = sr.trace(Scores, WIDTH, lambda **_: torch.ones(2, 4, 5))
    solution = sr.derive(graph, optimizer="adamw")
    assert {name: str(mult) for name, mult in solution.multipliers.items()} == {"matmul.factor": "width^-1"}
    assert any("matmul.factor" in note for note in graph.notes)
    assert (str(solution["q.weight"].init), str(solution["q.weight"].lr)) == HIDDEN


class Bags(nn.Module):
    """Bags of features, joined with what a linear map gives."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bag, self.dense = nn.EmbeddingBag(20, width, mode="sum"), nn.Linear(5, width)
        self.last = nn.Linear(width, 3)

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        return self.last(torch.relu(torch.stack([self.dense(x), self.bag(ids)], 1)))


def test_bags_of_rows_are_look_ups_and_can_be_verified() -> None:
    graph = sr.trace(Bags, WIDTH, lambda **_: (vectors(), torch.zeros(4, 3, dtype=torch.long)))
    assert rules(Bags, None, graph)["bag.weight"] == LOOKED_UP
    plain = Graph.model_validate(graph.model_dump(mode="json", exclude_none=True))
    report = sr.verify(plain, sr.derive(plain, optimizer="adamw"), sizes=[16, 32, 64], seeds=1, progress=False)
    assert not report.wrong


class Probe(nn.Module):
    """Attention pooling: the query is a learnt vector through a linear layer, of weights alone (SigLIP's head)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.query, self.key = nn.Linear(5, width), nn.Linear(width, width), nn.Linear(width, width)
        self.probe, self.head = nn.Parameter(torch.randn(width)), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        scores = (self.key(x) * 1.0) @ (self.query(self.probe) * x.shape[-1] ** -0.5)
        return self.head(torch.einsum("bt,btn->bn", scores.softmax(-1), x))


def test_the_query_of_a_learnt_probe_meets_keys_with_a_free_factor() -> None:
    graph = sr.trace(Probe, WIDTH, lambda **_: torch.ones(2, 6, 5))
    solution = sr.derive(graph, optimizer="adamw")
    assert [str(size) for size in solution.multipliers.values()] == ["width^-1"]
    assert str(solution["key.weight"].lr) == str(solution["query.weight"].lr) == "width^-1"


class Linearised(nn.Module):
    """Linear attention: both sums over the features of the keys grow, and their ratio does not (Katharopoulos 2020)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.qkv, self.head = nn.Linear(5, width), nn.Linear(width, 3 * width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        q, k, v = self.qkv(x).chunk(3, -1)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        z = 1 / (torch.einsum("bld,bd->bl", q, k.sum(1)) + 1e-6)
        return self.head(x + torch.einsum("bld,bde,bl->ble", q, torch.einsum("bld,ble->bde", k, v), z))


def test_the_two_sums_of_linear_attention_need_no_factor() -> None:
    graph = sr.trace(Linearised, WIDTH, lambda **_: torch.ones(2, 6, 5))
    solution = sr.derive(graph, optimizer="adamw")
    assert not solution.multipliers
    assert str(solution["qkv.weight[2*width:3*width, :]"].lr) == "width^-1"


class Rotary(nn.Module):
    """Queries and keys of one head, rotated by their positions (RoFormer, arXiv:2104.09864, eq. 34)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.q, self.k = (nn.Linear(n, width, bias=False) for n in (5, width, width))
        self.last = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        angles = torch.arange(8.0)[:, None] * torch.logspace(0, -2, h.shape[-1] // 2)[None]
        cos, sin = (torch.cat([t, t], -1) for t in (angles.cos(), angles.sin()))
        q, k = (y * cos + torch.cat([-y[..., y.shape[-1] // 2 :], y[..., : y.shape[-1] // 2]], -1) * sin
                for y in (self.q(h), self.k(h)))  # fmt: skip
        return self.last((q @ k.t() / h.shape[-1] ** 0.5).softmax(-1) @ h)


def test_rotated_queries_are_as_large_as_they_were() -> None:
    from scalerules.backends.training.program import Program

    graph = sr.trace(Rotary, WIDTH, lambda **_: torch.ones(8, 5))
    solution = sr.derive(graph, optimizer="adamw")
    program = Program(graph, solution, {"width": 64.0}, {"width": 64.0})
    scores = next(name for name, node in graph.walk() if node.op == "softmax")
    values = program.forward(program.initial(0), program.data(0)).all_values()
    assert 0.5 < float(values[graph.nodes[scores].inputs[0]].std()) < 2
    assert str(solution["q.weight"].lr) == "width^-1"


class Rotated(nn.Module):
    """The first `part` entries are changed and the others passed, as where a part of the entries is rotated."""

    def __init__(self, width: int, part: float, cut: bool = True) -> None:
        super().__init__()
        self.stem, self.hidden, self.last = nn.Linear(5, width), nn.Linear(width, width), nn.Linear(width, 3)
        self.n, self.cut = int(part * width), cut

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        g = self.hidden(torch.relu(h))
        turned = h[..., : self.n] * 2 + g[..., : self.n]
        return self.last(torch.relu(torch.cat([turned, g[..., self.n :]], -1) if self.cut else turned))


@pytest.mark.parametrize("empty_first", [False, True])
def test_what_has_no_entries_joins_nothing(empty_first: bool) -> None:
    part = 0.0 if empty_first else 1.0
    graph = sr.trace(lambda width: Rotated(width, part), WIDTH, vectors)
    assert all(length.value({"width": 16.0}) > 0 for length in graph.lengths.values())
    assert not any(node.op == "concat" for _, node in graph.walk())
    if not empty_first:
        assert rules(None, None, graph) == rules(lambda width: Rotated(width, 1.0, cut=False), vectors)
    assert rules(None, None, graph)["hidden.weight"] == HIDDEN


class Language(nn.Module):
    """Logits of as many tokens as its table has."""

    def __init__(self, width: int, tokens: int = 11) -> None:
        super().__init__()
        self.table, self.last = nn.Embedding(11, width), nn.Linear(width, tokens)

    def forward(self, ids: Tensor) -> Tensor:
        return self.last(torch.relu(self.table(ids)))


def test_logits_over_the_tokens_that_are_read_get_cross_entropy() -> None:
    def ids(**_: int) -> Tensor:
        return torch.zeros(2, 3, dtype=torch.long)

    assert sr.trace(Language, WIDTH, ids).loss == "cross_entropy"
    assert sr.trace(lambda width: Language(width, 7), WIDTH, ids).loss == "mse"
    assert sr.trace(Language, WIDTH, ids, loss="mse").loss == "mse"
    with pytest.raises(sr.ScaleRulesError, match="unknown loss 'hinge'"):
        sr.trace(Language, WIDTH, ids, loss="hinge")  # type: ignore[arg-type]


def test_a_factory_that_seeds_itself_still_draws() -> None:
    """Its values are the same at every call, and yet are random: they are no ones."""

    def make(width: int) -> nn.Module:
        torch.manual_seed(3)
        random.seed(3)
        model = nn.Sequential(nn.Linear(5, width, bias=False), nn.ReLU(), nn.Linear(width, 3, bias=False))
        model[0].weight = nn.Parameter(torch.tensor([[random.gauss(0, 1) for _ in range(5)] for _ in range(width)]))
        return model

    before = torch.manual_seed, random.seed
    graph = sr.trace(make, WIDTH, vectors)
    assert {parameter.init for parameter in graph.parameters.values()} == {"normal"}
    assert (torch.manual_seed, random.seed) == before


class LearntSlopes(nn.Module):
    """Slopes of what is negative, one a channel and one for all, behind vectors or behind a convolution."""

    def __init__(self, width: int, convolved: bool = False) -> None:
        super().__init__()
        layer = (lambda i, o: nn.Conv2d(i, o, 3, padding=1)) if convolved else nn.Linear
        self.first, self.each, self.second = layer(3, width), nn.PReLU(width), layer(width, width)
        self.one, self.last = nn.PReLU(), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.one(self.second(self.each(self.first(x))))
        return self.last(y.mean((2, 3)) if y.ndim == 4 else y)


@pytest.mark.parametrize("convolved", [False, True])
def test_slopes_that_are_learnt_have_rules(convolved: bool) -> None:
    """One of many channels has a gradient of 1/width, the one that all entries share has that of a mean."""
    inputs = torch.ones(4, 3, 6, 6) if convolved else torch.ones(4, 3)
    graph = sr.trace(lambda width: LearntSlopes(width, convolved), WIDTH, inputs)
    rates = {o: sr.derive(graph, optimizer=o).parameters for o in ("adamw", "sgd")}
    assert {o: (str(r["each.weight"].lr), str(r["one.weight"].lr)) for o, r in rates.items()} == {
        "adamw": ("1", "1"),
        "sgd": ("width", "1"),
    }
    assert rules(None, None, graph)["second.weight"] == HIDDEN


class TiedCodes(nn.Module):
    """An autoencoder of two layers whose decoder reads the encoder's matrices, transposed."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.outer, self.inner = nn.Linear(5, width), nn.Linear(width, width)
        self.back, self.shift = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(5))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(self.inner(torch.tanh(self.outer(x))))
        y = torch.tanh(F.linear(y, self.inner.weight.t(), self.back))
        return F.linear(y, self.outer.weight.t(), self.shift)


class TiedFilters(nn.Module):
    """Filters that make channels of a picture and the picture of the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.outer = nn.Conv2d(3, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(torch.relu(self.outer(x)), self.outer.weight, padding=1)


class StoredPatterns(nn.Module):
    """A modern Hopfield network: patterns of the width are compared with, and looked up, as many as there are."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.outer = nn.Linear(5, width), nn.Parameter(torch.randn(7, width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(torch.softmax(self.first(x) @ self.outer.T, -1) @ self.outer).mean(-1)


@pytest.mark.parametrize(
    ("make", "inputs", "name"),
    [
        (TiedCodes, torch.ones(4, 5), "outer.weight"),
        (TiedFilters, torch.ones(2, 3, 6, 6), "outer.weight"),
        (StoredPatterns, torch.ones(4, 5), "outer"),
    ],
)
def test_a_weight_read_where_nothing_grows_and_where_the_width_is_summed_gets_a_factor(
    make: Any, inputs: Tensor, name: str
) -> None:
    """Without one the encoder's part is `width^-1` beside its bias: what reads the data is lost."""
    graph = sr.trace(make, WIDTH, inputs)
    solution = sr.derive(graph, optimizer="adamw")
    assert [str(factor) for factor in solution.multipliers.values()] == ["width^-1"]
    found = rules(None, None, graph)
    assert found[name] == LOOKED_UP and found.get("inner.weight", HIDDEN) == HIDDEN


class CalledLikeCalls(nn.Module):
    """Weights called as torch calls the operations and as `forward` calls its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, width), nn.Linear(width, 3)
        self.exp, self.mul, self.x = (nn.Parameter(torch.ones(width)) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(self.first(x) * self.x)
        return self.last(torch.tanh(y * self.mul) * torch.exp(self.exp))


def test_a_weight_may_be_called_like_a_call_or_an_input() -> None:
    """`self.t.exp()` beside `b.t()` had been the exponential of what the transposition returned."""
    graph = sr.trace(CalledLikeCalls, WIDTH, vectors())
    assert [node.inputs for node in graph.nodes.values() if "exp" in node.parameters] == [[]]
    found = rules(None, None, graph)
    assert found == {name: (LAST if name == "last.weight" else LOOKED_UP) for name in graph.parameters}
    solution = sr.derive(graph, optimizer="adamw")
    assert sr.verify(graph, solution, sizes=[16, 32, 64], progress=False).conclusion == "agrees"
