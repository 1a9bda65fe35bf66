"""Computations that people write by hand: products and sums, losses between hidden values, numbers that are no powers."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention.flex_attention import flex_attention

import scalerules as sr
from scalerules.sizes.lengths import Length, Monomial, parse_length
from scalerules.tracing.exporting.number_laws import Laws
from scalerules.tracing.traced import Traced

torch.set_num_threads(1)
WIDTH = {"width": (16, 24, 32)}


def rules(make: Any, inputs: Any) -> sr.Solution:
    return sr.derive(sr.trace(make, WIDTH, inputs), optimizer="adamw")


def rows(*shape: int) -> Any:
    return lambda **_: torch.ones(*shape)


class Towers(nn.Module):
    """The score of two towers, summed in one of several ways."""

    def __init__(self, width: int, how: str) -> None:
        super().__init__()
        self.a, self.b, self.how = nn.Linear(5, width), nn.Linear(4, width), how

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        a, b = self.a(x), self.b(y)
        return (a * b).sum(-1) if self.how == "sum" else torch.einsum("b n, b n -> b", a, b)


def test_a_sum_of_products_is_an_einsum() -> None:
    by_hand, einsum = (
        rules(lambda width, how=how: Towers(width, how), lambda **_: (torch.ones(4, 5), torch.ones(4, 4)))
        for how in ("sum", "einsum")
    )
    assert [str(factor) for factor in by_hand.multipliers.values()] == ["width^-1"]
    assert {n: r.lr for n, r in by_hand.parameters.items()} == {n: r.lr for n, r in einsum.parameters.items()}


class Distilled(nn.Module):
    """Two hidden vectors that learn from each other, beside a readout of one of them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b, self.out = nn.Linear(5, width), nn.Linear(5, width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.a(x), self.b(x)
        return self.out(a).pow(2).mean() + F.mse_loss(a, b.detach()) + 0.25 * F.mse_loss(a.detach(), b)


def test_squares_between_hidden_vectors_are_the_number_that_they_are() -> None:
    solution = rules(Distilled, rows(4, 5))
    assert str(solution["b.weight"].lr) == "1" and str(solution["out.weight"].lr) == "width^-1"


class Latent(nn.Module):
    """A prior that stands in a divergence alone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.read, self.prior, self.p = nn.Linear(5, width), nn.Linear(width, width), nn.Linear(width, 4)
        self.q, self.out = nn.Linear(width, 4), nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.read(x))
        p, q = self.p(torch.tanh(self.prior(h))).log_softmax(-1), self.q(h).log_softmax(-1)
        return F.mse_loss(self.out(h), x) + (q.exp() * (q - p)).sum(-1).mean()


def test_parameters_that_only_the_loss_reads_have_rules() -> None:
    assert set(rules(Latent, rows(8, 5)).parameters) == {name for name, _ in Latent(16).named_parameters()}


class Flex(nn.Module):
    """Attention through `flex_attention`; `learnt`: with a bias at the scores that is trained."""

    def __init__(self, width: int, learnt: bool) -> None:
        super().__init__()
        self.width, self.first, self.qkv = width, nn.Linear(5, width), nn.Linear(width, 3 * width)
        self.bias = nn.Parameter(torch.zeros(4)) if learnt else None

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        q, k, v = self.qkv(h).view(*h.shape[:2], 3, 4, self.width // 4).permute(2, 0, 3, 1, 4)
        bias = self.bias
        score = None if bias is None else lambda s, b, head, i, j: s + bias[head]
        return flex_attention(q, k, v, score_mod=score).transpose(1, 2).flatten(2)


def test_flex_attention_is_attention() -> None:
    solution = rules(lambda width: Flex(width, False), rows(2, 8, 5))
    assert "width^-1" in [str(factor) for factor in solution.multipliers.values()]


def test_a_trained_weight_in_a_score_mod_is_told() -> None:
    with pytest.raises(sr.ScaleRulesError, match="score_mod of flex_attention reads the weight 'bias'"):
        sr.trace(lambda width: Flex(width, True), WIDTH, rows(2, 8, 5))


@pytest.mark.parametrize(
    ("law", "leading"),
    [
        (lambda n: -math.log(10000) / (n / 2 - 1), ("width", -1)),
        (lambda n: 1 / math.sqrt(n + 3), ("width", "-1/2")),
        (lambda n: 2 * n + 0.3, ("width", 1)),
        (lambda n: 1 - 1 / n, None),
        (lambda n: math.log(n), None),
    ],
)
def test_a_number_that_is_no_power_goes_as_its_leading_term(law: Any, leading: Any) -> None:
    sizes = [34, 38, 46, 58, 62]
    found = Laws([{"width": size} for size in sizes]).leading(tuple(float(law(size)) for size in sizes))
    assert found is not None
    assert [(name, str(power)) for name, power in found.monomials[0].powers] == (
        [] if leading is None else [(leading[0], str(leading[1]))]
    )


def test_a_number_of_no_law_has_no_leading_term() -> None:
    assert Laws([{"width": size} for size in (34, 38, 46, 58, 62)]).leading((0.3, 1.7, 0.2, 0.9, 5.1)) is None


def test_an_irrational_constant_can_be_read_back() -> None:
    from fractions import Fraction

    length = Length((Monomial(Fraction(2**0.5), (("width", Fraction(-1, 2)),)),))
    assert parse_length(str(length)).value({"width": 16.0}) == pytest.approx(length.value({"width": 16.0}), rel=1e-11)


class Dispatched(nn.Module):
    """Rows that a mask chooses pass through an expert; `how` they are chosen and put back."""

    def __init__(self, width: int, how: str) -> None:
        super().__init__()
        self.how, self.read, self.expert = how, nn.Linear(5, width), nn.Linear(width, width)
        self.out = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        h, mask = self.read(x), x[:, 0] > 2
        y = torch.zeros_like(h)
        if self.how == "where":
            chosen = torch.where(mask)[0]
            return self.out(y.index_add(0, chosen, torch.tanh(self.expert(h[chosen]))))
        if self.how == "branch" and not x.sum() > -1e9:
            return self.out(h)
        if self.how == "another at another size" and not x.sum() * 0 + h.shape[1] < 40:
            return self.out(h)
        y[mask] = torch.tanh(self.expert(h[mask])) * float(x.max())
        return self.out(y)


@cache
def dispatched(how: str) -> Traced:
    return sr.trace(lambda width: Dispatched(width, how), WIDTH, rows(6, 5))


@pytest.mark.parametrize(
    ("how", "note"),
    [
        ("where", "rows are chosen"),
        ("mask", "depends on values"),
        ("branch", "depends on values"),
        ("another at another size", "depends on values"),
    ],
)
def test_rows_and_branches_that_values_choose(how: str, note: str) -> None:
    graph = dispatched(how)
    assert any(note in each and "test_trace_by_hand.py" in each for each in graph.notes)
    rule = sr.derive(graph, optimizer="adamw")["expert.weight"]
    assert (str(rule.init), str(rule.lr)) == ("width^(-1/2)", "width^-1")


def test_a_branch_that_values_choose_is_verified_on_the_graph() -> None:
    """The module could not be exported without its inputs: `verify` ended with torch's RuntimeError."""
    graph = dispatched("branch")
    assert graph.live is None
    assert any("verify runs the graph and not the module: a branch depends on values" in each for each in graph.notes)
    solution = sr.derive(graph, optimizer="adamw")
    assert sr.verify(graph, solution, sizes=[16, 32], seeds=1, progress=False).verdict is not False


class Noisy(nn.Module):
    """Weights with noise that is drawn at every call, and a penalty on them as a second output."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.read, self.out = nn.Linear(5, width), nn.Linear(width, 3)
        self.mu, self.sigma = nn.Parameter(torch.randn(width, width)), nn.Parameter(torch.full((width, width), 0.1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        weight = self.mu + self.sigma * torch.randn_like(self.mu)
        return self.out(torch.relu(torch.relu(self.read(x)) @ weight)), (self.mu**2).sum()


def test_noise_on_weights_makes_their_entries_independent_and_a_penalty_is_no_prediction() -> None:
    graph = sr.trace(Noisy, WIDTH, rows(4, 5))
    assert any("sigma is multiplied by noise" in note for note in graph.notes)
    assert any(note.startswith("output 1 is a number of weights alone") for note in graph.notes)
    solution = sr.derive(graph, optimizer="adamw")
    rules = {name: (str(solution[name].init), str(solution[name].lr)) for name in ("mu", "sigma", "out.weight")}
    assert rules["mu"] == rules["sigma"] == ("width^(-1/2)", "width^-1")
    assert rules["out.weight"] == ("width^-1", "width^-1")


class Drawn(nn.Module):
    """A layer whose weights are drawn anew: their spread is a function of weights (Bayes by backprop)."""

    def __init__(self, before: int, behind: int, spread: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.mu, self.rho = nn.Parameter(torch.randn(behind, before)), nn.Parameter(torch.full((behind, before), -3.0))
        self.shift, self.wide, self.spread = nn.Parameter(torch.zeros(behind)), nn.Parameter(torch.ones(behind)), spread

    def forward(self, x: Tensor) -> Tensor:
        weight = self.mu + self.spread(self.rho) * torch.randn_like(self.mu)
        return F.linear(x, weight, self.shift + self.spread(self.wide) * torch.randn_like(self.shift))


class Bayes(nn.Module):
    def __init__(self, width: int, spread: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.inner = Drawn(5, width, spread), Drawn(width, width, spread)
        self.last = Drawn(width, 3, spread)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.inner(torch.relu(self.first(x)))))


@pytest.mark.parametrize("spread", [F.softplus, torch.exp], ids=["softplus", "exp"])
def test_noise_on_what_weights_make_is_a_random_matrix_behind_a_factor_that_is_solved_for(
    spread: Callable[[Tensor], Tensor],
) -> None:
    """It had counted as equal entries, and clashed.

    Plain torch, widths 64 to 512, 3 seeds: what `inner.rho` alone changes in its layer goes like -0.01 (AdamW) and -0.12
    (SGD); with half a power more and less by +0.43, -0.51 and +0.31, -0.63.
    """
    graph = sr.trace(partial(Bayes, spread=spread), WIDTH, rows(4, 5))
    for optimizer, rates in (("adamw", ["0", "-1/2", "0"]), ("sgd", ["1", "1", "1"])):
        solution = sr.derive(graph, optimizer=optimizer)
        assert [str(factor) for factor in solution.multipliers.values()] == ["1", "width^(-1/2)", "width^-1"]
        found = [solution[f"{layer}.rho"] for layer in ("first", "inner", "last")]
        assert [str(rule.init["width"]) for rule in found] == ["0", "0", "0"]
        assert [str(rule.lr["width"]) for rule in found] == rates
        assert (str(solution["inner.mu"].init["width"]), str(solution["last.mu"].init["width"])) == ("-1/2", "-1")


class Hopfield(nn.Module):
    """A state that is made of the rows which it is then compared with: unit vectors of weights."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.rows, self.norm = nn.Linear(5, width), nn.Parameter(torch.randn(6, width)), nn.LayerNorm(width)
        self.out = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        state = self.norm(self.embed(x))
        for _ in range(2):
            state = self.norm((state @ nn.functional.normalize(self.rows, dim=-1).t()).softmax(-1) @ self.rows)
        return self.out(state)


def test_a_factor_at_a_product_with_normalised_weights_is_solved_for() -> None:
    solution = sr.derive(sr.trace(Hopfield, WIDTH, rows(4, 5)), optimizer="adamw")
    assert [str(factor) for factor in solution.multipliers.values()] == ["width^-1", "width^-1"]


class Codebook(nn.Module):
    """Rows of unit length, made once, that a state is compared with and made of."""

    def __init__(self, width: int, square: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.embed, self.book = nn.Linear(5, width), nn.Parameter(torch.randn(7, width))
        self.inner, self.out, self.square = nn.Linear(width, width), nn.Linear(width, 3), square

    def forward(self, x: Tensor) -> Tensor:
        rows = self.book * torch.rsqrt(self.square(self.book).sum(-1, keepdim=True))
        state = torch.tanh(self.embed(x))
        return self.out(torch.tanh(self.inner((state @ rows.T).softmax(-1) @ rows)))


@pytest.mark.parametrize("square", [torch.square, lambda v: v * v], ids=["square", "product"])
def test_a_factor_of_rows_that_two_products_read_is_solved_for_at_each(square: Callable[[Tensor], Tensor]) -> None:
    solution = rules(partial(Codebook, square=square), rows(4, 5))
    assert [str(factor) for factor in solution.multipliers.values()] == ["width^-1", "1"]
    found = {name: (str(solution[name].init), str(solution[name].lr)) for name in ("book", "inner.weight")}
    assert found == {"book": ("width^(-1/2)", "width^(-1/2)"), "inner.weight": ("width^(-1/2)", "width^-1")}


class Field(nn.Module):
    """The derivative of a network by its inputs."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x.requires_grad_(True)
        return torch.autograd.grad(self.net(x).sum(), x, create_graph=True)[0]


def test_a_derivative_inside_of_forward_is_a_computation() -> None:
    graph = sr.trace(Field, WIDTH, rows(4, 2))
    assert set(graph.parameters) == {name for name, _ in Field(16).named_parameters() if name != "net.4.bias"}
    readers = [node for node in graph.nodes.values() if "net.2.weight" in node.parameters]
    assert [node.equation for node in readers] == ["d4 net, net_3 net -> d4 net_3", "d4 net_3, net_3 net -> d4 net"]


class Named(nn.Module):
    """Parts that are called like what an exported module has of its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.code, self.graph = nn.Linear(5, width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.graph(torch.tanh(self.code(x)) * torch.tensor([0.5]))


def test_names_that_the_exporter_has_itself() -> None:
    graph = sr.trace(Named, WIDTH, rows(4, 5))
    assert set(graph.parameters) == {name for name, _ in Named(16).named_parameters()}
    assert graph.record is not None and graph.record.calls[0].stack[-1] == ("code", "Linear")


class Unread(nn.Module):
    """Rows chosen by a mask, beside a layer that nothing reads."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.chosen, self.unread = Dispatched(width, "where"), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.chosen(x)


def test_check_lists_what_was_fixed_and_what_has_no_rule(capsys: pytest.CaptureFixture[str]) -> None:
    sr.trace(Unread, WIDTH, rows(6, 5), check=True)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines[:3]] == ["fixed", "no rule", "no rule"]
    assert lines[1] == "no rule: unread.weight is trained, and no output depends on it"
    sr.trace(Named, WIDTH, rows(4, 5), check=True)
    assert capsys.readouterr().out == "nothing was guessed, fixed or left out\n"


class Scaled(nn.Module):
    """Attention whose queries are multiplied in front of the product, by a number with a root of 2 in it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (
            nn.Linear(5, width),
            nn.Linear(5, width),
            nn.Linear(5, width),
            nn.Linear(width, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (f(x).view(*x.shape[:2], 2, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


def test_a_factor_in_front_of_a_product_stands_behind_it() -> None:
    graph = sr.trace(Scaled, WIDTH, rows(2, 6, 5))
    solution = sr.derive(graph, optimizer="adamw")
    assert [str(factor) for factor in solution.multipliers.values()] == ["width^-1"]
    assert str(solution["q.weight"].lr) == str(solution["v.weight"].lr)
    report = sr.verify(graph, solution, sizes=[32, 64, 128], progress=False)
    assert not report.wrong


class Energy(nn.Module):
    """The derivative of an energy in its inputs: only it is returned."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(2, width), nn.Linear(width, width), nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            energy = self.last(torch.tanh(self.second(torch.tanh(self.first(x)))))
            return torch.autograd.grad(energy.sum(), x, create_graph=True)[0]


def test_a_derivative_is_judged_where_it_comes_out() -> None:
    graph = sr.trace(Energy, WIDTH, rows(4, 2))
    solution = sr.derive(graph, optimizer="adamw")
    wanted = {
        "first.weight": ("1", "1"),
        "second.weight": ("width^(-1/2)", "width^-1"),
        "last.weight": ("width^-1", "width^-1"),
    }
    assert {name: (str(solution[name].init), str(solution[name].lr)) for name in wanted} == wanted
    assert not sr.verify(graph, solution, sizes=[32, 64, 128], progress=False).wrong


class Factors(nn.Module):
    """Factorisation machines: squares of sums less sums of squares, added up over the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(20, width)

    def forward(self, ids: Tensor) -> Tensor:
        e = self.table(ids)
        return 0.5 * (e.sum(1).pow(2) - e.pow(2).sum(1)).sum(1)


def test_a_sum_of_hidden_values_gets_a_factor() -> None:
    solution = rules(Factors, lambda **_: torch.arange(12).view(3, 4))
    assert [str(factor) for factor in solution.multipliers.values()] == ["width^-1"]
    assert (str(solution["table.weight"].init), str(solution["table.weight"].lr)) == ("1", "1")


class Contracted(nn.Module):
    """A product by `tensordot`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.weight = nn.Linear(5, width), nn.Parameter(torch.randn(width, 2, width))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tensordot(torch.tanh(self.first(x)), self.weight, dims=1)
        return torch.tensordot(h, x, dims=([0], [0]))  # pyright: ignore[reportArgumentType]


def test_tensordot_is_an_einsum() -> None:
    solution = rules(Contracted, rows(3, 5))
    assert (str(solution["weight"].init), str(solution["weight"].lr)) == ("width^(-1/2)", "width^-1")


class HeadsAlongTheBatch(nn.Module):
    """Attention whose heads are cut out of the width and put along the batch (`cat`), or a dimension (`stack`)."""

    def __init__(self, width: int, how: str) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(5, width), nn.Linear(width, 3)
        self.q, self.k, self.size, self.how = nn.Linear(width, width), nn.Linear(width, width), width // 4, how

    def heads(self, x: Tensor) -> Tensor:
        return torch.cat(x.split(self.size, -1), 0) if self.how == "cat" else torch.stack(x.chunk(4, -1), 0)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.first(x))
        q, k, v = self.heads(self.q(h)), self.heads(self.k(h)), self.heads(h)
        found = torch.softmax(q @ k.transpose(-1, -2) / self.size, -1) @ v
        parts = found.split(x.shape[0], 0) if self.how == "cat" else found.unbind(0)
        return self.out(torch.cat(parts, -1))


@pytest.mark.parametrize("how", ["cat", "stack"])
def test_heads_put_along_the_batch_are_one_view(how: str) -> None:
    """Every head had a path of its own: four times the nodes, and weights in as many parts."""
    graph = sr.trace(lambda width: HeadsAlongTheBatch(width, how), WIDTH, torch.ones(2, 6, 5))
    assert [name for name in graph.parameters if "[" in name] == []
    solution = sr.derive(graph, optimizer="adamw")
    found = {name: (str(rule.init), str(rule.lr)) for name, rule in solution.parameters.items()}
    assert found["q.weight"] == found["k.weight"] == ("width^(-1/2)", "width^-1")
    assert sr.verify(graph, solution, sizes=[16, 32, 64], progress=False).verdict is not False


class InputsPerLayer(nn.Module):
    """What every layer reads is made at once, normalised, and taken apart behind the norm (Gemma-3n)."""

    def __init__(self, width: int, layers: int = 2) -> None:
        super().__init__()
        self.shape = (layers, width // 2)
        self.first, self.made, self.out = (
            nn.Linear(5, width),
            nn.Linear(width, layers * width // 2),
            nn.Linear(width, 3),
        )
        self.norm = nn.RMSNorm(width // 2)
        self.gates = nn.ModuleList(nn.Linear(width, width // 2) for _ in range(layers))
        self.backs = nn.ModuleList(nn.Linear(width // 2, width) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        made = self.norm(self.made(h).unflatten(-1, self.shape))
        for k, (gate, back) in enumerate(zip(self.gates, self.backs, strict=True)):
            h = h + back(torch.tanh(gate(h)) * made[..., k, :])
        return self.out(h)


def test_a_part_behind_a_norm_is_normalised_along_its_own_axis() -> None:
    """The norm of the part had named the axis of the whole: `has no axis 'gates'`."""
    solution = rules(InputsPerLayer, rows(4, 5))
    found = {name: (str(rule.init), str(rule.lr)) for name, rule in solution.parameters.items()}
    made = [found[f"made.weight[{part}, :]"] for part in ("0:1/2*width", "1/2*width:width")]
    assert made == [found["gates.0.weight"], found["backs.1.weight"]] == [("width^(-1/2)", "width^-1")] * 2


class Even(nn.Linear):
    """A layer that asks for an even number of heads, as rotary embeddings do."""

    def forward(self, input: Tensor) -> Tensor:
        if self.out_features // 8 % 2:  # written out: pytest would give an assert a message
            raise AssertionError
        return super().forward(input)


def test_an_assert_without_a_message_is_quoted() -> None:
    """It had been told as `AssertionError: AssertionError`, with advice about operations outside of torch."""
    said = "AssertionError: raise AssertionError .*give scales whose values it accepts"
    with pytest.raises(sr.ScaleRulesError, match=said):
        sr.trace(lambda width: Even(5, width), WIDTH, rows(4, 5))
