"""What a random graph computes of its stream: perceptrons, gates, attention, experts, scans, convolutions."""

from __future__ import annotations

from .drawing import INNER, Drawing, Piece


def perceptron(d: Drawing, x: str, axis: str, init: str) -> str:
    """Up, a function, down."""
    inner = d.pick(INNER)
    up = d.dense(x, inner, axis)
    if d.chance(0.3):
        up = d.g.bias(d.name("bias"), up, inner)
    return d.dense(d.function(up), axis, inner, init)


def single(d: Drawing, x: str, axis: str, init: str) -> str:
    """One matrix behind a function."""
    return d.dense(d.function(x), axis, axis, init)


def gated(d: Drawing, x: str, axis: str, init: str) -> str:
    """A product of two maps, or of the stream with a map of it."""
    inner = axis if d.chance(0.4) else d.pick(INNER)
    value = x if inner == axis and d.chance(0.5) else d.dense(x, inner, axis)
    gate = d.function(d.dense(x, inner, axis))
    product = d.g.einsum(d.name("gated"), f"{d.labels} i, {d.labels} i -> {d.labels} i", value, gate)
    return product if inner == axis and d.chance(0.3) else d.dense(product, axis, inner, init)


def halved(d: Drawing, x: str, axis: str, init: str) -> str:
    """A gate whose two maps are the halves of one matrix."""
    both, name = d.dense(x, "wide", axis), d.name("half")
    value = d.g.node(f"{name}.value", "slice", both, axis="n")
    gate = d.function(d.g.node(f"{name}.gate", "slice", both, axis="n", offset="width"))
    product = d.g.einsum(name, f"{d.labels} i, {d.labels} i -> {d.labels} i", value, gate)
    return d.dense(product, axis, "n", init)


def squeezed(d: Drawing, x: str, axis: str, init: str) -> str:
    """The stream times a function of a map of its mean over time."""
    name = d.name("squeeze")
    d.g.parameter(name, f"{axis} {axis}")
    mean = d.g.mean(x, axis=d.time, name=f"{name}.mean")
    gate = d.g.sigmoid(d.g.einsum(name, "b i, o i -> b o", mean, parameters=(name,)), name=f"{name}.gate")
    product = d.g.einsum(f"{name}.times", "b t i, b i -> b t i", x, gate)
    return d.dense(product, axis, axis, init)


def attention(d: Drawing, x: str, axis: str, init: str) -> str:
    """Attention whose heads grow (behind a free multiplier: without one there is no answer), or get more.

    Some share keys and values among groups of queries, norm queries and keys, add a bias for each two times, or
    multiply the scores with a learnt number; in some the weights are no softmax.
    """
    grows = d.chance(0.5)
    heads, head = ("heads", "head") if grows else ("many", "small")
    p, groups = d.name("attention"), d.chance(0.15)
    start = "zeros" if d.chance(0.1) else "normal"
    d.g.parameter(f"{p}.Q", f"{heads} groups {head} {axis}" if groups else f"{heads} {head} {axis}", start)
    d.g.parameter(f"{p}.K", f"{heads} {head} {axis}")
    d.g.parameter(f"{p}.V", f"{heads} {head} {axis}")
    many = "h g" if groups else "h"
    q = d.g.einsum(f"{p}.q", f"b t n, {many} d n -> b t {many} d", x, parameters=(f"{p}.Q",))
    k = d.g.einsum(f"{p}.k", "b t n, h d n -> b t h d", x, parameters=(f"{p}.K",))
    v = d.g.einsum(f"{p}.v", "b t n, h d n -> b t h d", x, parameters=(f"{p}.V",))
    if d.chance(0.15):
        q, k = (d.g.rms_norm(y, axis=head, name=f"{y}.norm") for y in (q, k))
    dots = d.g.einsum(f"{p}.dots", f"b s {many} d, b t h d -> b {many} s t", q, k)
    scores = d.g.scale(f"{p}.scores", dots, f"{head}^(-1/2)", free=grows or d.chance(0.5))
    scores = _beside_scores(d, p, scores, f"{heads} groups" if groups else heads, many)
    weights = _weights(d, p, scores)
    out = d.g.einsum(f"{p}.heads", f"b {many} s t, b t h d -> b s {many} d", weights, v)
    d.g.parameter(f"{p}.O", f"{axis} {heads} groups {head}" if groups else f"{axis} {heads} {head}", init)
    return d.g.einsum(f"{p}.out", f"b t {many} d, n {many} d -> b t n", out, parameters=(f"{p}.O",))


def _beside_scores(d: Drawing, p: str, scores: str, heads: str, many: str) -> str:
    """The scores, sometimes with a learnt number for each two times, or times one learnt number."""
    if d.chance(0.1) and d.fixed_time:
        d.g.parameter(f"{p}.where", f"{heads} {d.time} {d.time}", d.rng.choice(("normal", "zeros")))
        equation = f"b {many} s t, {many} s t -> b {many} s t"
        scores = d.g.node(f"{p}.biased", "add", scores, parameters=(f"{p}.where",), equation=equation)
    if d.chance(0.1):
        d.g.parameter(f"{p}.number", "", "ones")
        equation = f"b {many} s t, -> b {many} s t"
        scores = d.g.einsum(f"{p}.sharper", equation, scores, parameters=(f"{p}.number",))
    return scores


def _weights(d: Drawing, p: str, scores: str) -> str:
    """A softmax over time, causal or not, or a function of each score."""
    if d.chance(0.1):
        return d.g.scale(f"{p}.weights", d.g.sigmoid(scores, name=f"{p}.each"), f"1/{d.time}")
    causal = d.chance(0.5)
    d.mixed = d.mixed or not causal
    return d.g.softmax(scores, axis=d.time, causal=causal, name=f"{p}.weights")


def experts(d: Drawing, x: str, axis: str, init: str) -> str:
    """Perceptrons, of which each time reads those that a router chooses, or all by weight."""
    p, inner = d.name("experts"), d.pick({"n": 2, "neck": 1})
    logits = d.dense(x, "experts", axis, name=f"{p}.router")
    d.g.parameter(f"{p}.up", f"experts {inner} {axis}")
    d.g.parameter(f"{p}.down", f"experts {axis} {inner}", init)
    if d.chance(0.4):
        weights = d.g.softmax(logits, axis="experts", name=f"{p}.weights")
        up = d.g.einsum(f"{p}.up", "b t i, e o i -> b t e o", x, parameters=(f"{p}.up",))
        down = d.g.einsum(f"{p}.down", "b t e i, e o i -> b t e o", d.function(up), parameters=(f"{p}.down",))
        return d.g.einsum(f"{p}.mixed", "b t e o, b t e -> b t o", down, weights)
    choice = d.g.node(f"{p}.choice", "top_k", logits, axes="active experts")
    scores = d.g.einsum(f"{p}.scores", "b t e, b t a e -> b t a", logits, choice)
    soft, gate = d.chance(0.6), f"{p}.gate"
    gate = d.g.softmax(scores, axis="active", name=gate) if soft else d.g.sigmoid(scores, name=gate)
    up = d.g.einsum(f"{p}.up", "b t i, b t a e, e o i -> b t a o", x, choice, parameters=(f"{p}.up",))
    read = "b t a i, b t a e, e o i -> b t a o"
    down = d.g.einsum(f"{p}.down", read, d.function(up), choice, parameters=(f"{p}.down",))
    return d.g.einsum(f"{p}.mixed", "b t a o, b t a -> b t o", down, gate)


def scanned(d: Drawing, x: str, axis: str, init: str) -> str:
    """A selective scan of what a norm gives; its step, `B` and `C` come from the input or do not."""
    x = d.normed(x, axis)  # cubes of it have heavy tails that hide how they scale
    p = d.name("scan")
    if d.chance(0.4):
        steps = d.g.dense(f"{p}.W_dt", x, f"{axis} {axis}", d.labels)
        steps = d.g.softplus(d.g.bias(f"{p}.b_dt", steps, axis), name=f"{p}.dt")
    else:
        d.g.parameter(f"{p}.b_dt", axis)
        steps = d.g.softplus(parameters=(f"{p}.b_dt",), name=f"{p}.dt")
    d.g.parameter(f"{p}.A_log", f"{axis} state", "log_range")
    rate = d.g.negative_exp(parameters=(f"{p}.A_log",), name=f"{p}.A")
    b, c = (_projected(d, f"{p}.{letter}", x, axis) for letter in "BC")
    y = d.g.node(p, "scan", x, steps, rate, b, c, discretisation=d.rng.choice(("zoh", "euler")))
    return d.dense(y, axis, axis, init) if d.chance(0.7) else y


def _projected(d: Drawing, name: str, x: str, axis: str) -> str:
    """`B` or `C` of a scan."""
    if d.chance(0.6):
        return d.g.dense(name, x, f"state {axis}", d.labels)
    d.g.parameter(name, f"{axis} state")
    return d.g.identity(parameters=(name,), name=f"{name}.fixed")


def convolved(d: Drawing, x: str, axis: str, init: str) -> str:
    """A causal convolution, a filter per channel, and a map."""
    name = d.name("convolution")
    taps = d.g.window(x, axis="taps", name=f"{name}.taps")
    d.g.parameter(name, f"taps {axis}")
    y = d.g.einsum(name, "b t k c, k c -> b t c", taps, parameters=(name,))
    return d.dense(d.function(y), axis, axis, init)


BRANCHES: dict[Piece, int] = {
    perceptron: 5, gated: 3, halved: 1, squeezed: 1, attention: 4, experts: 2, scanned: 2, convolved: 1, single: 2,
}  # fmt: skip
"""What a branch is, and how often."""
OVER_FIXED_TIME: frozenset[Piece] = frozenset({scanned, convolved})
"""Branches for which time must not grow."""
