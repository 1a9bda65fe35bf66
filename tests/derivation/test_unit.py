"""The constants of the `unit` gauge: integrals against closed forms and papers, constants against what torch measures."""

from __future__ import annotations

import functools
import json
import math

import pytest

import scalerules as sr
from scalerules.architecture.builder import Builder
from scalerules.architecture.graph import Graph
from scalerules.derivation.gauges import gaussian
from scalerules.derivation.gauges.unit import constants
from scalerules.ops.functions import FUNCTIONS


def test_every_elementwise_function_is_integrated():
    assert all(gaussian.of_function(name)[1] > 0 for name in FUNCTIONS)


def test_functions_are_torchs():
    torch = pytest.importorskip("torch")
    from scalerules.backends.training import operations

    x = torch.linspace(-4, 4, 41, dtype=torch.float64)
    for name, function in FUNCTIONS.items():
        wanted = operations.written(function.torch)(x)
        torch.testing.assert_close(
            torch.tensor([function.formula(float(v)) for v in x], dtype=torch.float64), wanted, msg=name
        )


# (std of the result, root mean square of the derivative). Closed forms, and Unit Scaling (arXiv 2303.11257), table A.2,
# which prints three digits.
PUBLISHED = {
    "relu": (math.sqrt((1 - 1 / math.pi) / 2), math.sqrt(0.5), 1e-6),
    "relu_squared": (math.sqrt(1.25), math.sqrt(2), 1e-6),
    "square": (math.sqrt(2), 2, 1e-6),
    "abs": (math.sqrt(1 - 2 / math.pi), 1, 1e-6),
    "exp": (math.sqrt(math.e**2 - math.e), math.e, 1e-6),
    "sin": (math.sqrt((1 - math.exp(-2)) / 2), math.sqrt((1 + math.exp(-2)) / 2), 1e-6),
    "erf": (math.sqrt(2 / math.pi * math.asin(2 / 3)), math.sqrt(4 / math.pi / math.sqrt(5)), 1e-6),
    "gelu": (0.588, 0.675, 1e-3),
    "tanh": (0.628, 0.682, 1e-3),
    "sigmoid": (0.208, 0.211, 5e-3),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_functions(name):
    std, slope, precision = PUBLISHED[name]
    found = gaussian.of_function(name)
    assert found[1] == pytest.approx(std, rel=precision)
    assert found[2] == pytest.approx(slope, rel=precision)


def between(share: float, a: float, b: float) -> float:
    """u-muP's logarithmic interpolation, `b` at share 1."""
    return math.exp(share * math.log(b) + (1 - share) * math.log(a))


def test_a_gated_activation():
    """u-muP, arXiv 2407.17465, table 8: for multipliers 1, an interpolation between 1/2 and 1/sqrt(2)."""
    umup = between(1 / (1 + 1), 1 / 2, 1 / math.sqrt(2))
    exact = math.sqrt(gaussian.expectation(lambda x: FUNCTIONS["silu"].formula(x) ** 2))
    assert exact == pytest.approx(umup, rel=0.005)
    assert constants(gate())["hidden"].forward * constants(gate())["act"].forward == pytest.approx(1 / exact, rel=1e-6)


def gate() -> Graph:
    g = Builder("gate", axes={"batch": 16, "in": 8, "n": "width", "out": 4})
    x = g.input("x", "batch in")
    act = g.silu(g.dense("gate", x, "n in"), name="act")
    h = g.einsum("hidden", "b i, b i -> b i", act, g.dense("up", x, "n in"))
    return g.build(g.dense("output", h, "out n"))


@pytest.mark.parametrize("length", [64, 256, 1024])
@pytest.mark.parametrize("head", [16, 64, 128])
def test_attention(head, length):
    """u-muP, table 8: scores q.k/head, causal; an interpolation that was fitted, from sqrt(log(s)/s)."""
    umup = between(1 / (1 + 4 * head), math.sqrt(math.log(length) / length), 1)
    assert gaussian.attention(head**-0.5, length, causal=True) == pytest.approx(umup, rel=0.08)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_of_equal_scores(causal):
    """Then it is a plain mean of k values: 1/k, over k = 1 ... s if it is causal."""
    exact = math.sqrt(sum(1 / k for k in range(1, 33)) / 32) if causal else 32**-0.5
    assert gaussian.attention(1e-6, 32, causal) == pytest.approx(exact, rel=1e-6)


def test_softmax_is_what_is_drawn():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    scores, d = torch.randn(40000, 8, 8, dtype=torch.float64), torch.randn(40000, 8, 8, dtype=torch.float64)
    p = torch.softmax(scores.masked_fill(torch.ones(8, 8).triu(1) > 0, -math.inf), -1)
    gradient = p * (d - (p * d).sum(-1, keepdim=True))
    drawn = (float(p.mean()), float(p.std()), float(gradient.square().mean().sqrt()))
    assert gaussian.softmax(1.0, 8, causal=True) == pytest.approx(drawn, rel=3e-3)


@pytest.mark.parametrize("classes", [32, 1000, 50000])
def test_cross_entropy(classes):
    """u-muP and Unit Scaling: s/sqrt(s-1) for logits that say nothing; logits of std 1 change it by 2 % at most."""
    assert 1 / gaussian.cross_entropy(1e-6, classes) == pytest.approx(classes / math.sqrt(classes - 1), rel=1e-5)
    assert 1 / gaussian.cross_entropy(1.0, classes) == pytest.approx(classes / math.sqrt(classes - 1), rel=0.025)


@pytest.mark.parametrize("blocks", [2, 8])
def test_residual_sums(blocks):
    """u-muP, table 8, with alpha_res = 1: tau_l^2 = 1/(L/2 + l) for the l-th of L branches, branch tau, stream 1."""
    for number, (stream, branch) in enumerate(gaussian.residuals(2 * blocks, multiplier=blocks**-0.5)):
        tau = math.sqrt(1 / (blocks + number))
        assert stream == pytest.approx(1 / math.sqrt(1 + tau**2))
        assert branch == pytest.approx(tau / math.sqrt(1 + tau**2))


def test_matrices_and_norms():
    """u-muP, table 2: 1/sqrt(fan_in) forward and, of a square matrix, backward; 1/sqrt(samples) for its gradient."""
    g = Builder("plain", axes={"batch": 16, "in": 8, "n": "width", "out": 4}, sizes={"width": 256})
    h = g.dense("input", g.input("x", "batch in"), "n in")
    h = g.rms_norm(g.dense("h1", h, "n n"), axis="n", name="norm")
    found = constants(g.build(g.dense("output", h, "out n")))
    assert found["input"].forward == pytest.approx(8**-0.5)
    assert found["h1"].forward == found["h1"].backward["input"] == pytest.approx(256**-0.5)
    assert found["h1"].backward["h1"] == pytest.approx(16**-0.5)
    assert found["norm"].forward == 1 and found["norm"].backward["h1"] == pytest.approx(1, abs=0.005)
    assert found["output"].backward["norm"] == pytest.approx(4**-0.5)


def attention() -> Graph:
    """Attention and a gated perceptron between tokens and classes, without a residual."""
    g = Builder("attention", loss="cross_entropy", sizes={"width": 128},
                axes={"batch": 24, "time": 16, "vocab": 50, "n": "width", "m": "2*width"})  # fmt: skip
    g.parameter("W_E", "vocab n")
    tokens = g.input("tokens", "batch time vocab", kind="tokens")
    x = g.einsum("embedding", "b t v, v n -> b t n", tokens, parameters=("W_E",))
    q, k, v = (g.dense(f"W_{letter}", x, "n n", "b t") for letter in "QKV")
    dots = g.einsum("dots", "b s d, b t d -> b s t", q, k)
    weights = g.softmax(g.scale("scores", dots, free=True), axis="time", name="weights")
    h = g.rms_norm(g.einsum("heads", "b s t, b t d -> b s d", weights, v), axis="n", name="normed")
    act = g.silu(g.dense("W_gate", h, "m n", "b t"), name="act")
    h = g.einsum("hidden", "b t i, b t i -> b t i", act, g.gelu(g.dense("W_up", h, "m n", "b t"), name="other"))
    return g.build(g.dense("W_U", g.layer_norm(h, axis="m", name="norm"), "vocab m", "b t"))


SEEDS = 16


@functools.cache
def measured(name: str) -> dict[tuple[str, str], tuple[float, float]]:
    """Root mean squares around the mean: of values with their constants, and of gradients with theirs (by operand).

    Each of the other numbers is how far it is off by chance (standard error over seeds).
    """
    import torch
    from scalerules.backends.training.program import Program

    graph = attention() if name == "attention" else sr.graph(name)
    found, data = constants(graph), graph.to_dict()
    nodes = {}
    for node, spec in data["nodes"].items():
        nodes[node] = spec | {"inputs": [f"{i}.unit" if i in found else i for i in spec.get("inputs", [])]}
        if node in found:
            nodes[f"{node}.unit"] = {"op": "scale", "inputs": [node], "factor": f"{found[node].forward:.12f}"}
    ends = [f"{output}.unit" for output in graph.outputs]
    outputs, graph = graph.outputs, Graph.model_validate(data | {"nodes": nodes, "outputs": ends})
    solution, sums = sr.derive(name if name != "attention" else attention(), "adam"), {}
    base = graph.base_sizes()
    program = Program(graph, solution, base, base, torch.float64)
    for seed in range(SEEDS):
        draw = torch.Generator().manual_seed(seed)
        parameters = {n: torch.randn(program.shape(n), generator=draw, dtype=torch.float64) for n in graph.parameters}
        leaves = {n: p.requires_grad_() for n, p in parameters.items()}
        batch = program.data(seed)
        batch.inputs.update({n: x.requires_grad_() for n, x in batch.inputs.items()})
        run = program.forward(leaves, batch)
        for node, constant in found.items():
            if node not in run.values:
                continue
            value = run.values[f"{node}.unit"]
            sums.setdefault((node, ""), []).append(float(value.detach().std()))
            upstream = torch.randn(run.values[node].shape, generator=draw, dtype=torch.float64)
            held = data["nodes"].get(node, {}).get("parameters", [])
            values = {o: run.values.get(f"{o}.unit", run.values.get(o)) for o in constant.backward}
            operands = values | {o: leaves[o] for o in constant.backward if o in held}
            got = torch.autograd.grad(run.values[node], list(operands.values()), upstream, retain_graph=True)
            for operand, gradient in zip(operands, got, strict=True):
                size = float(gradient.square().mean().sqrt()) * constant.backward[operand]
                sums.setdefault((node, operand), []).append(size)
        for output in outputs:
            got = torch.autograd.grad(program.loss(run, batch), run.values[f"{output}.unit"])[0]
            count = math.prod(got.shape[:-1])
            size = float(got.square().mean().sqrt()) * count * found[f"loss({output})"].backward[output]
            sums.setdefault((f"loss({output})", output), []).append(size)
    return {key: (sum(x) / SEEDS, spread(x) / math.sqrt(SEEDS)) for key, x in sums.items()}


def spread(values: list[float]) -> float:
    mean = sum(values) / len(values)
    return math.sqrt(sum((x - mean) ** 2 for x in values) / (len(values) - 1))


@pytest.mark.parametrize("name", ["mlp", "attention"])
def test_every_value_and_every_gradient_has_unit_variance(name):
    pytest.importorskip("torch")
    graph = attention() if name == "attention" else sr.graph(name)
    for (node, operand), (size, error) in measured(name).items():
        what = graph.nodes[node].op if node in graph.nodes else "loss"
        # entries are not quite independent: tokens repeat, and values of one layer share its matrix
        assert size == pytest.approx(1, abs=0.1 + 3 * error), (node, operand, what)


def test_constants_are_part_of_the_solution():
    solution = sr.derive("transformer", "adam", gauge="unit")
    assert solution.constants == constants(sr.graph("transformer"))
    stream = solution.constants["mlp.stream"]
    assert len(stream.weights) == 2 and all(a * a + b * b == pytest.approx(1) for a, b in stream.weights)
    assert solution.constants["loss(logits)"].backward["logits"] == pytest.approx(32 / math.sqrt(31), rel=0.03)
    assert sr.Solution.from_json(solution.to_json()).constants == solution.constants
    assert "| `mlp.hidden` | 1.701 | `mlp.b_up` 1.481 |" in solution.to_markdown()
    assert "constants" not in json.loads(sr.derive("mlp").to_json())
