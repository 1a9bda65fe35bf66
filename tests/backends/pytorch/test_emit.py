"""Emitted PyTorch: it runs alone, trains, is formatted, and computes what the interpreter computes."""

from __future__ import annotations

import importlib.util
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from handmade import handmade
from scalerules.backends.base_values import natural_std as natural_std_without_torch
from scalerules.backends.pytorch.source import emit as pytorch
from scalerules.backends.pytorch.source.lines import LINES
from scalerules.backends.training.operations import TABLE
from scalerules.backends.training.program import Data, Program, natural_std
from torch.nn import functional

import scalerules as sr
from scalerules.architecture.graph import Graph
from scalerules.errors import ScaleRulesError, UnknownName
from scalerules.ops import OPS
from scalerules.ops.functions import FUNCTIONS
from scalerules.optimizers import OPTIMIZERS
from scalerules.solution.rule import Explanation

GRAPHS = ["mlp", "transformer", "mamba"]


def every_op() -> Graph:
    """A graph with the operations that the catalogue's first three do not have."""
    g = sr.Builder(
        "every",
        scales={"width": 1, "density": 0},
        sizes={"width": 16, "density": 0.5},
        axes={"batch": 4, "time": 6, "n": "width", "heads": 2, "head": "width/2", "both": "n + n", "part": "width/4",
              "kept": "density*n", "taps": 3, "state": 4, "out": 3, "places": 2, "two": 2,
              "low": 3},
    )  # fmt: skip
    x = g.input("x", "batch time n")
    y = g.input("lambda", "batch time n")
    z = g.node("both", "concat", x, y, axis="both")
    z = g.dense("down", z, "n both", "b t")
    z = g.bias("0.bias", z, "n")
    z = g.node("class", "shift", z, axis="time")
    z = g.node("normed", "rms_norm", g.node("over_time", "layer_norm", z, axis="time"), axis="n")
    h = g.node("split", "reshape", z, axes="batch time heads head")
    h = g.node("across", "softmax", h, axis="heads")
    z = g.node("joined", "reshape", h, axes="batch time n")
    p = g.node("first", "slice", z, axis="part")
    q = g.node("second", "slice", z, axis="part", offset="part")
    z = g.einsum("outer", "b t p, b s q -> b t q", p, q)
    z = g.dense("wide", z, "kept part", "b t")
    z = g.dense("A.deep.W", z, "n kept", "b t")
    g.parameter("A_free", "state", init="range")
    g.parameter("C_fixed", "n state")
    g.parameter("B_fixed", "n state")
    z = g.node("ssm", "scan", g.tanh(z), g.softplus(z), g.negative_exp(parameters=("A_free",), name="A"),
               g.identity(parameters=("B_fixed",), name="B"), g.identity(parameters=("C_fixed",), name="C"),
               discretisation="bilinear")  # fmt: skip
    for op in FUNCTIONS:
        z = g.node(f"{op}.value", "add", g.node(op, op, g.scale(f"half.{op}", z, 0.5)), z)
        z = g.node(f"{op}.norm", "rms_norm", z, axis="n")
    g.parameter("per_time", "time n")
    g.parameter("per_head", "heads head", init="ones")
    z = g.node("placed", "add", z, parameters=("per_time",))
    h = g.node("split.again", "reshape", z, axes="batch time heads head")
    h = z = g.node("gained", "add", h, parameters=("per_head",))
    g.parameter("W_B_real", "heads head")
    h = g.node("turned", "rearrange", h, equation="b t h d -> d b t h", axes="head batch time heads")
    h = g.node("back", "rearrange", h, equation="d b t h -> b t h d", axes="batch time heads head")
    h = g.node("merged", "rearrange", h, equation="b t h d -> b n t", axes="batch n time")
    h = g.node("again", "rearrange", h, equation="b n t -> b t h d", axes="batch time heads head")
    h = g.node("copied", "rearrange", h, equation="b t h d -> b t h c d", axes="batch time heads out head")
    h = g.einsum("gone", "b t h c d, h d -> b t h d", h, parameters=("W_B_real",))
    for op in ("reciprocal", "sqrt", "rsqrt"):
        h = g.node(op, op, g.node(f"positive.{op}", "softplus", h))
    h = g.einsum("by.one", "b t h d, h -> b t h d", h, g.node("one", "constant", axes="heads"))
    best = g.node("best", "top_k", h, axes="places head")
    h = g.einsum("chosen.ones", "b t h p d, b t h d -> b t h d", best, h)
    g.parameter("W_imag", "heads head", init="ones")
    both = g.node("number", "complex", h, g.einsum("imag", "b t h d, h d -> b t h d", h, parameters=("W_imag",)))
    both = g.einsum("times", "b t h d, b t h d -> b t h d", both, h)
    h = g.node("of.two", "mean", g.node("two", "parts", both, axis="two"), axis="two")
    h = g.node("h.joined", "reshape", h, axes="batch time n")
    z = g.node("with.h", "add", g.node("joined.again", "reshape", z, axes="batch time n"), h)
    f = g.node("modes", "rfft", z, axis="time", axes="low two")
    z = g.node("points", "irfft", f, axis="low", axes="time")
    z = g.node("time", "mean", z, axis="time")
    return g.build(g.dense("output", z, "out n"), "time")


def load(text: str, path: Path) -> ModuleType:
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def doubled(graph: Graph) -> dict[str, float]:
    return {scale: int(2 * size) if size >= 1 else size for scale, size in graph.base_sizes().items()}


def test_every_operation_is_written() -> None:
    assert set(LINES) == set(OPS) - {"input", "repeat"} == set(TABLE) - {"input", "repeat"}


def test_every_operation_is_in_the_graph_of_them_all() -> None:
    there = {node.op for name in (*GRAPHS, "lru") for _, node in sr.graph(name).walk()}
    assert there | {node.op for _, node in every_op().walk()} == set(OPS)


@pytest.mark.parametrize("name", [*GRAPHS, "lru", "every"])
@pytest.mark.parametrize("gauge", ["plain", "factors"])
def test_forward_is_that_of_the_interpreter(name: str, gauge: str, tmp_path: Path) -> None:
    graph = every_op() if name == "every" else sr.graph(name)
    solution = handmade(graph, factors=gauge == "factors")
    module = load(pytorch.emit(solution), tmp_path / "emitted.py")
    for sizes in (graph.base_sizes(), doubled(graph)):
        program = Program(graph, solution, sizes, graph.base_sizes())
        parameters, data = program.initial(0), program.data(0)
        torch.manual_seed(0)
        model = module.Model(**sizes)
        assert {n: list(p.shape) for n, p in model.named_parameters()} == {
            n: list(p.shape) for n, p in parameters.items()
        }
        for parameter, values in model.named_parameters():
            kind = graph.parameters[parameter].init
            if kind == "normal":
                expected = natural_std(graph, parameter, graph.base_sizes())
                expected *= solution[parameter].init.change(program.ratios)
                assert float(values.detach().std()) == pytest.approx(expected, rel=5 / math.sqrt(values.numel()))
            else:
                assert torch.allclose(values, parameters[parameter])
        model.load_state_dict(parameters)
        outputs = model(*(_given(graph, name, data) for name in data.inputs))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        run = program.forward(parameters, data)
        for output, node in zip(outputs, graph.outputs, strict=True):
            torch.testing.assert_close(output, run.values[node], rtol=1e-4, atol=1e-5)


def _given(graph: Graph, name: str, data: Data) -> torch.Tensor:
    value = data.inputs[name]
    return value.argmax(-1) if graph.nodes[name].kind == "tokens" else value


def test_tokens_that_are_not_only_looked_up_become_vectors(tmp_path: Path) -> None:
    g = sr.Builder("turned", axes={"batch": 4, "vocab": 5, "n": "width"})
    tokens = g.input("tokens", "batch vocab", kind="tokens")
    graph = g.build(g.dense("W", tokens, "n vocab"), g.relu(tokens, name="copy"))
    model = load(pytorch.emit(handmade(graph)), tmp_path / "emitted.py").Model(width=8)
    indices = torch.tensor([3, 0, 4, 3])
    result, copied = model(indices)
    assert torch.equal(copied, functional.one_hot(indices, 5).float())
    torch.testing.assert_close(result, model.W.T[indices])


@pytest.mark.parametrize("name", [*GRAPHS, "every"])
def test_natural_std_is_the_interpreters(name: str) -> None:
    graph = every_op() if name == "every" else sr.graph(name)
    base = graph.base_sizes()
    for parameter in graph.parameters:
        assert natural_std_without_torch(graph, parameter, base) == pytest.approx(natural_std(graph, parameter, base))


RUNNER = """
import runpy, sys, torch
torch.set_num_threads(1)
sys.modules["scalerules"] = None  # an import of it now fails
for path in sys.argv[1:]:
    runpy.run_path(path, run_name="__main__")
"""


def test_files_run_alone_and_train(tmp_path: Path) -> None:
    cases = [("mlp", "adam"), ("mlp", "sgd"), ("transformer", "muon-original"), ("transformer", "sgd"),
             ("mamba", "adam"), ("mamba", "lion")]  # fmt: skip
    paths = [tmp_path / f"{name}_{optimizer}.py" for name, optimizer in cases]
    for (name, optimizer), path in zip(cases, paths, strict=True):
        path.write_text(pytorch.emit(handmade(sr.graph(name), optimizer)))
        assert "import scalerules" not in path.read_text()
    # -I leaves the working directory and PYTHONPATH out
    result = subprocess.run(
        [sys.executable, "-I", "-c", RUNNER, *paths], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == 2 * len(cases)
    for line in lines:
        before, after = (float(part) for part in line.split("loss ")[1].split(" -> "))
        assert math.isfinite(after) and after < before, line


@pytest.mark.parametrize("name", [*GRAPHS, "every"])
@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_the_file_is_formatted(name: str, optimizer: str, tmp_path: Path) -> None:
    path = tmp_path / "emitted.py"
    graph = every_op() if name == "every" else sr.graph(name)
    path.write_text(pytorch.emit(handmade(graph, optimizer, factors=True)))
    ruff = Path(sys.executable).with_name("ruff")
    if not ruff.exists():
        pytest.skip("ruff is not installed")
    for command in (["format", "--diff"], ["check", "--select", "E,F,W,B"]):
        result = subprocess.run(
            [ruff, *command, "--isolated", "--line-length", "120", path], capture_output=True, text=True
        )
        assert result.returncode == 0, result.stdout + result.stderr


def test_groups_have_the_rates_of_the_rules(tmp_path: Path) -> None:
    graph = sr.graph("transformer")
    solution = handmade(graph)
    module = load(pytorch.emit(solution), tmp_path / "emitted.py")
    model = module.Model(width=256)
    groups = module.parameter_groups(model, 1e-2, 0.1)
    named = {name: group for group in groups for name in group["names"]}
    assert list(named) and set(named) == set(graph.parameters)
    for name, group in named.items():
        rule, ratio = solution[name], {"width": 4.0}
        assert group["lr"] == pytest.approx(1e-2 * rule.lr.factor(ratio))
        assert group["weight_decay"] == pytest.approx(0.1 * rule.wd.factor(ratio))
        assert group["eps"] == pytest.approx(1e-8 * rule.eps.factor(ratio))
    assert {len(g["params"]) for g in module.parameter_groups(module.Model(), 1e-2)} and all(
        g["lr"] == 1e-2 for g in module.parameter_groups(module.Model(), 1e-2)
    )


def test_it_says_what_it_is() -> None:
    text = pytorch.emit(handmade(sr.graph("mamba")))
    head = text.split('"""')[1]
    for word in ("mamba", "adam", "width", "W_B", "parameter_groups", "plain", "joint"):
        assert word in head
    assert "# W_B: a sum over inner, 128 terms at the base size" in text


def test_what_is_assumed_is_one_list() -> None:
    solution = replace(
        handmade(sr.graph("mlp")), assumptions=("One thing.", "A long one: " + "word " * 30), warnings=("Beware.",)
    )
    head = pytorch.emit(solution).split('"""')[1]
    lines = head[head.index("Assumed:") :].splitlines()
    assert lines[:3] == ["Assumed:", "- One thing.", "- A long one: " + " ".join(["word"] * 21)]
    assert lines[3].startswith("  word") and lines[4:] == ["", "Warnings:", "- Beware."]


@pytest.mark.parametrize(
    ("optimizer", "line"),
    [
        ("adamw(decay=independent)", "optimizer = torch.optim.AdamW(groups)"),
        ("adamw(decay=coupled)", "optimizer = torch.optim.Adam(groups)"),
        ("sgd(clip=fixed)", "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)"),
        ("nesterov", "optimizer = torch.optim.SGD(groups, momentum=0.9, nesterov=True)"),
        ("lion", "optimizer = torch.optim.AdamW(groups)  # stands in for lion, whose steps are as large as the rate"),
        (
            "kfac",
            "optimizer = torch.optim.AdamW(groups)  # a placeholder, so that this file runs: the rates above are for kfac",
        ),
    ],
)
def test_options_of_an_optimizer_are_written(optimizer: str, line: str) -> None:
    text = pytorch.emit(handmade(sr.graph("mlp"), optimizer))
    assert line in [each.strip() for each in text.splitlines()]


def test_independent_decay_is_divided_by_the_rate() -> None:
    solution = sr.derive("mlp", "adamw(decay=independent)")
    assert solution["h1"].wd["width"] == 0
    text = pytorch.emit(solution)
    # torch decays by lr * weight_decay, and lr falls with the width
    assert '"lr": lr * width**-1' in text and '"weight_decay": weight_decay * width,' in text


def test_it_says_why() -> None:
    """The equation behind a size is its reason; logarithms are mentioned."""
    solution = handmade(sr.graph("mlp"))
    solution = replace(
        solution,
        explanations={"h1": (Explanation("init", "", "The value of 'h1' is at most 0."), Explanation("lr", "", "So."))},
        parameters={**solution.parameters, "h1": replace(solution["h1"], log=("lr",))},
    )
    text = " ".join(pytorch.emit(solution).replace("# ", "").split())
    for line in [
        "h1: a sum over n, 64 terms at the base size; away from the base size width^(-1/2); the value of 'h1' is at most 0",
        "h1: width^-1; so; up to a logarithm",
        "adam: Every entry is divided by its own recent size",
    ]:
        assert line in text, line


def test_what_cannot_be_written_is_said() -> None:
    solution = handmade(sr.graph("mlp"))
    with pytest.raises(UnknownName, match="did you mean 'pytorch'"):
        pytorch.emit(solution, "pytorhc")
    solution = replace(solution, architecture=None)
    with pytest.raises(ScaleRulesError, match="give it: graph="):
        pytorch.emit(solution)
    assert "class Model" in pytorch.emit(solution, graph=sr.graph("mlp"))
    with pytest.raises(UnknownName, match="graph 'mamba': unknown parameter 'input'"):
        pytorch.emit(solution, graph=sr.graph("mamba"))
    g = sr.Builder("clash", axes={"batch": 2, "n": "width"})
    clash = g.build(g.dense("type", g.input("x", "batch n"), "n n"))
    with pytest.raises(ScaleRulesError, match="parameter 'type': has the name of an attribute"):
        pytorch.emit(handmade(clash))


@pytest.mark.parametrize("name", GRAPHS)
def test_a_derived_solution_trains_at_two_widths(name: str, tmp_path: Path) -> None:
    solution = sr.derive(sr.graph(name), optimizer="adam")
    text = sr.emit(solution, "pytorch")
    module = load(text, tmp_path / "emitted.py")
    for width in (64, 128):
        losses = module.train(width=width)
        assert all(map(math.isfinite, losses)) and losses[-1] < losses[0]
    again = type(solution).from_json(solution.to_json())
    assert pytorch.emit(again, graph=sr.graph(name)) == text


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_every_optimizer_is_written(optimizer: str, tmp_path: Path) -> None:
    graph = sr.Builder("small", sizes={"width": 8}, axes={"batch": 4, "in": 3, "n": "width"})
    built = graph.build(graph.dense("W", graph.dense("input", graph.input("x", "batch in"), "n in"), "n n"))
    module = load(sr.emit(sr.derive(built, optimizer)), tmp_path / "emitted.py")
    losses = module.train(width=16)
    assert all(map(math.isfinite, losses)) and losses[-1] < losses[0]


@pytest.mark.parametrize("gauge", ["table8", "ntk", "unit"])
def test_gauges_and_several_scales_are_those_of_the_interpreter(gauge: str, tmp_path: Path) -> None:
    graph = sr.graph("transformer")
    solution = sr.derive(graph, gauge=gauge).changed(
        "attention.W_Q",
        {"mlp.branch": {"width": 0, "depth": "-1/2"}},
        init={"width": "-1/2", "depth": "1/3"},
        mult={"width": "1/2", "depth": -1},
    )
    module = load(sr.emit(solution), tmp_path / "emitted.py")
    sizes = {"width": 128, "depth": 3}
    program = Program(graph, solution, sizes, graph.base_sizes())
    parameters, data = program.initial(0), program.data(0)
    model = module.Model(**sizes)
    model.load_state_dict(parameters)
    torch.testing.assert_close(
        model(_given(graph, "tokens", data)), program.forward(parameters, data).values["logits"], rtol=1e-4, atol=1e-5
    )


def test_emit_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; import scalerules as sr\n"
        "from scalerules.backends import pytorch\n"
        "from handmade import handmade\n"
        "assert 'class Model' in pytorch.emit(handmade(sr.graph('mamba')))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
