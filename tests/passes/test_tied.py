"""A tied table: what coherence brings to its size stands behind independent terms at finite widths, and is told."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

import scalerules as sr

QUERIES_AND_KEYS = {"attention.W_Q", "attention.W_K"}


def test_what_is_left_without_coherence() -> None:
    """The own token's logit, and through the norm the gradients of queries and keys, live of equal rows."""
    tied = sr.derive(sr.graph("transformer", tied=True), optimizer="adam")
    left = {(p.quantity, p.node): (p.size, p.lower) for p in tied.sizes if p.lower is not None}
    half = Fraction(1, 2)
    assert left == {
        ("value", "unscaled_logits"): (1, half),
        ("value", "logits"): (0, -half),
        **{("gradient", name): (-1, -3 * half) for name in QUERIES_AND_KEYS},
    }
    assert all(p.lower is None for p in sr.derive("transformer", optimizer="adam").sizes)


def test_it_survives_json() -> None:
    tied = sr.derive(sr.graph("transformer", tied=True), optimizer="adam")
    assert sr.Solution.from_json(tied.to_json()).sizes == tied.sizes


def test_verification_of_a_tied_table_agrees() -> None:
    graph = sr.graph("transformer", tied=True)
    report = sr.verify(graph, sr.derive(graph, optimizer="sgd"), sizes=[64, 128, 256], seeds=2)
    assert report.verdict is not False, [row for row in report.rows if not row.agrees]


def coherent_and_rest(
    width: int, vocab: int = 4, time: int = 16, batch: int = 8, heads: int = 4
) -> tuple[float, float]:
    """Root mean squares of the coherent part of the gradient of attention weights, and of what is left of it.

    One layer, tied. The final norm's backward pass sends `-c y / (n sigma^2)` back, `c` the slope of the loss along
    its output `y`, which contains what the heads wrote; so every weight has a gradient of `heads . v`, aligned.
    """
    generator = torch.Generator().manual_seed(width)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    table, head = normal(vocab, width) / 8, width // heads
    query, key, value, out = (normal(width, width) / width**0.5 for _ in range(4))
    tokens = torch.randint(vocab, (batch, time), generator=generator)
    target = torch.nn.functional.one_hot(torch.randint(vocab, (batch, time), generator=generator), vocab)
    x = 8 * table[tokens]
    read = torch.nn.functional.layer_norm(x, (width,))
    q, k, v = ((read @ w.T).view(batch, time, heads, head) for w in (query, key, value))
    future = torch.triu(torch.ones(time, time, dtype=torch.bool), 1)
    scores = torch.einsum("bshd,bthd->bhst", q, k) * (4 / head)
    weights = torch.softmax(scores.masked_fill(future, -1e30), -1).requires_grad_()
    stream = x + torch.einsum("bhst,bthd->bshd", weights, v).reshape(batch, time, width) @ out.T
    logits = torch.nn.functional.layer_norm(stream, (width,)) @ table.T * 64 / width
    loss = -(target * torch.log_softmax(logits, -1)).sum()
    (gradient,) = torch.autograd.grad(loss, weights)
    along = ((torch.softmax(logits, -1) - target) * logits).sum(-1) / stream.var(-1) / width
    overlap = torch.einsum("bhsu,bhut->bhst", weights, torch.einsum("buhd,bthd->bhut", v, v))
    coherent = (-along[:, None, :, None] * overlap).tril()
    rest = gradient.tril() - coherent
    return coherent.square().mean().sqrt().item(), rest.square().mean().sqrt().item()


def test_the_coherent_part_stays_and_the_rest_falls() -> None:
    """Sizes 0 and -1/2, as derived; at width 64 they are still equal, which is why a fit there sees -1/2."""
    small, large = coherent_and_rest(64), coherent_and_rest(1024)
    assert 0.7 < large[0] / small[0] < 1.4
    assert large[1] / small[1] == pytest.approx(16**-0.5, rel=0.35)
    assert small[1] > 0.5 * small[0] and large[1] < 0.4 * large[0]
