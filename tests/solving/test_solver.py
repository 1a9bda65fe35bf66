"""The exact solver: the simplex method against brute force, and what must not change an answer."""

from __future__ import annotations

import ast
import functools
import itertools
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
import z3
from hypothesis import given, settings
from hypothesis import strategies as st

import scalerules as sr
from scalerules.architecture.builder import Builder
from scalerules.architecture.graph import Graph
from scalerules.errors import Clash
from scalerules.passes.propagate import propagate
from scalerules.solving import problem
from scalerules.solving.programme import Infeasible, Programme

# the simplex method

VARIABLES = ("x", "y", "z")
NUMBERS = st.integers(-3, 3).map(lambda n: Fraction(n, 2))
ROWS = st.lists(st.tuples(st.tuples(*[st.integers(-2, 2)] * 3), NUMBERS), min_size=1, max_size=5)
"""Inequalities `coefficients . (x, y, z) + constant <= 0`."""


def programme(rows, bounds) -> Programme:
    found = Programme({v: (b,) for v, b in zip(VARIABLES, bounds, strict=True)})
    for number, (coefficients, constant) in enumerate(rows):
        form: dict[Any, Fraction] = {v: Fraction(c) for v, c in zip(VARIABLES, coefficients, strict=True) if c}
        found.require(number, form, (constant,))
    return found


def halfspaces(rows, bounds) -> dict[Any, Any]:
    """Every inequality by name, bounds of the variables included, as coefficients and constant."""
    named: dict[Any, Any] = {
        number: ([Fraction(c) for c in row], constant) for number, (row, constant) in enumerate(rows)
    }
    for i, (variable, bound) in enumerate(zip(VARIABLES, bounds, strict=True)):
        named[variable] = ([Fraction(int(i == j)) for j in range(3)], -bound)
    return named


def at_vertices(spaces):
    """The best value over all feasible corners, None where there is none (three bounds: there is always a corner)."""
    best = None
    for corner in itertools.combinations(spaces, 3):
        point = solved([(list(row), -constant) for row, constant in corner])
        if point is None or any(dot(row, point) + constant > 0 for row, constant in spaces):
            continue
        value = tuple(point)  # the first variable counts most
        best = value if best is None else max(best, value)
    return best


def dot(row, point):
    return sum((a * b for a, b in zip(row, point, strict=True)), Fraction(0))


def solved(equations):
    """Gauss elimination of three equations; None where they are dependent."""
    rows = [[*row, right] for row, right in equations]
    for i in range(3):
        pivot = next((r for r in range(i, 3) if rows[r][i]), None)
        if pivot is None:
            return None
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [entry / rows[i][i] for entry in rows[i]]
        for r in range(3):
            if r != i:
                rows[r] = [a - rows[r][i] * b for a, b in zip(rows[r], rows[i], strict=True)]
    return [row[3] for row in rows]


def feasible(spaces) -> bool:
    solver: Any = z3.Solver()
    unknowns: Any = z3.Reals("x y z")
    for row, constant in spaces:
        terms = [z3.Q(a.numerator, a.denominator) * x for a, x in zip(row, unknowns, strict=True)]
        total: Any = z3.Sum(terms)
        solver.add(total + z3.Q(constant.numerator, constant.denominator) <= 0)
    return solver.check() == z3.sat


@settings(max_examples=150)
@given(rows=ROWS, bounds=st.tuples(NUMBERS, NUMBERS, NUMBERS))
def test_simplex_against_brute_force(rows, bounds):
    spaces = halfspaces(rows, bounds)
    try:
        solution = programme(rows, bounds).solution()
    except Infeasible as clash:
        assert at_vertices(list(spaces.values())) is None
        named = set(clash.clash)
        assert not feasible([spaces[name] for name in named])
        for name in named:
            assert feasible([spaces[other] for other in named - {name}]), "the clash is the smallest of its kind"
        return
    point = [solution[v][0] for v in VARIABLES]
    assert all(dot(row, point) + constant <= 0 for row, constant in spaces.values())
    best = at_vertices(list(spaces.values()))
    assert tuple(point) == best


@given(rows=ROWS, bounds=st.tuples(NUMBERS, NUMBERS, NUMBERS))
def test_what_binds_holds_with_equality(rows, bounds):
    try:
        found = programme(rows, bounds)
    except Infeasible:
        return
    spaces, point = halfspaces(rows, bounds), [found.solution()[v][0] for v in VARIABLES]
    assert len(found.binding()) == 3
    for name in found.binding():
        row, constant = spaces[name]
        assert dot(row, point) + constant == 0


def test_constants_carry_how_the_solution_moves():
    """Of `x + p <= 0` and `x + 2 q <= 0` the one decides that is larger along the direction (1, 3)."""
    programme = Programme({"x": (Fraction(0),) * 3})
    programme.require("first", {"x": Fraction(1)}, (Fraction(1), Fraction(1), Fraction(0)))
    programme.require("second", {"x": Fraction(1)}, (Fraction(6), Fraction(0), Fraction(2)))
    assert programme.solution()["x"] == (-6, 0, -2)
    assert programme.binding() == programme.blocked_by("x") == ["second"]


# what must not change an answer


@functools.cache
def answer(name: str, optimizer: str = "adam") -> sr.Solution:
    return sr.derive(SMALL[name](), optimizer=optimizer)


def attention() -> Graph:
    """One head whose size grows, between an input and an output of fixed size."""
    g = Builder("attention", axes={"batch": 4, "time": 4, "in": 4, "n": "width", "out": 4})
    x = g.dense("W_in", g.input("x", "batch time in"), "n in", "b t")
    h = g.rms_norm(x, axis="n", name="norm")
    q, k, v = (g.dense(f"W_{letter}", h, "n n", "b t") for letter in "QKV")
    dots = g.einsum("dots", "b s d, b t d -> b s t", q, k)
    weights = g.softmax(g.scale("scores", dots, free=True), axis="time", name="weights")
    y = g.residual("sum", x, g.einsum("heads", "b s t, b t d -> b s d", weights, v))
    return g.build(g.dense("W_out", y, "out n", "b t"))


SMALL = {"mlp": lambda: sr.graph("mlp"), "attention": attention}


def with_inserted(graph: Graph, place: str, op: str) -> Graph:
    """The graph with one node of size 0 behind `place`, read by everything that read `place`."""
    data = graph.to_dict()
    nodes = {}
    for name, node in data["nodes"].items():
        nodes[name] = node | {"inputs": ["inserted" if i == place else i for i in node.get("inputs", [])]}
        if name == place:
            extra = {"factor": "1"} if op == "scale" else {}
            nodes["inserted"] = {"op": op, "inputs": [place], **extra}
    outputs = ["inserted" if name == place else name for name in data["outputs"]]
    return Graph.model_validate(data | {"nodes": nodes, "outputs": outputs})


PLACES = [(name, place, op) for name, build in SMALL.items() for place in build().nodes for op in ("identity", "scale")]


@pytest.mark.parametrize(("name", "place", "op"), [p for p in PLACES if p != ("attention", "dots", "identity")])
def test_a_node_of_size_zero_changes_nothing(name, place, op):
    before = answer(name)
    after = sr.derive(with_inserted(SMALL[name](), place, op), optimizer="adam")
    assert after.parameters == before.parameters
    assert after.multipliers == before.multipliers
    known = {(p.quantity, p.node, p.step, p.parameter): p.size for p in after.sizes}
    for p in before.sizes:
        if p.quantity in ("value", "gradient", "change"):
            assert known[p.quantity, p.node, p.step, p.parameter] == p.size


TAKEN = {name for build in SMALL.values() for name in build().axes}


@settings(max_examples=8)
@given(st.from_regex(r"[a-zA-Z]{2,8}", fullmatch=True).filter(lambda name: name not in TAKEN))
@pytest.mark.parametrize("name", SMALL)
def test_renaming_a_scale_renames_the_answer(name, new):
    renamed = Graph.model_validate_json(re.sub(r"\bwidth\b", new, SMALL[name]().to_json()))
    solution, before = sr.derive(renamed, optimizer="adam"), answer(name)
    assert solution.scales == (new,)
    for parameter, rule in before.parameters.items():
        for size in ("init", "mult", "lr", "eps", "wd"):
            assert getattr(solution[parameter], size)[new] == getattr(rule, size)["width"]
    assert {n: e[new] for n, e in solution.multipliers.items()} == {
        n: e["width"] for n, e in before.multipliers.items()
    }


@given(growth=st.fractions(Fraction(1, 6), 3, max_denominator=6))
@settings(max_examples=8)
def test_the_length_of_a_direction_does_not_matter(growth):
    """Exponents belong to a scale: counted in another scale, sizes are multiplied and exponents stay."""
    solution, before = sr.derive("mlp", optimizer="sgd", scales={"width": growth}), answer("mlp", "sgd")
    assert solution.parameters == before.parameters
    assert [p.size for p in solution.sizes] == [p.size and p.size * growth for p in before.sizes]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("name", SMALL)
def test_the_loss_changes_by_at_most_size_zero(name, optimizer):
    """To first order an update changes the loss by the sum of gradient times update, whatever is aligned with what."""
    solution, graph = answer(name, optimizer), SMALL[name]()
    reached = []
    for p in solution.sizes:
        if p.quantity == "gradient" and p.size is not None:
            growth = sum(
                (graph.lengths[axis].growth(solution.direction) for axis in solution[p.node].shape), Fraction(0)
            )
            rate = solution[p.node].lr.fractions["width"]
            reached.append(rate + growth + p.size * (2 if optimizer == "sgd" else 1))
    assert max(reached) == 0


@pytest.mark.parametrize("name", SMALL)
def test_steps_beyond_the_third_change_nothing(name):
    assert sr.derive(SMALL[name](), optimizer="adam", steps=5).parameters == answer(name).parameters


def test_what_is_given_is_kept_and_may_clash():
    kept = sr.derive("mlp", optimizer="adam", given={"output": {"init": "-3/2"}})
    assert kept["output"].init["width"] == Fraction(-3, 2)
    assert kept["h1"] == answer("mlp")["h1"]
    with pytest.raises(Clash) as caught:
        sr.derive("mlp", optimizer="adam", given={"output": {"init": "-1/2"}})
    asked = " ".join(caught.value.equations)
    assert "has size 0 at some step" in asked and "has size at most 0" in asked
    assert any("init of 'output'" in text for text in caught.value.remedies)


def test_the_calculus_runs_once_at_a_point_on_the_way_to_a_clash(monkeypatch: pytest.MonkeyPatch):
    points: list[object] = []

    def counted(graph: Graph, plan: Any, point: Any, *rest: Any, **options: Any) -> Any:
        points.append(tuple(point.unknowns.items()))
        return propagate(graph, plan, point, *rest, **options)

    monkeypatch.setattr(problem, "propagate", counted)
    with pytest.raises(Clash):
        sr.derive("mlp", optimizer="adam", given={"h1": {"init": "1/2"}})
    assert len(points) == len(set(points)) == 9


def test_every_way_out_of_a_clash_does_without_one_of_its_equations():
    """A fixed sum over data that grow: nothing is given, and nothing can be smaller."""
    for function in ("identity", "tanh", "softmax"):
        g = sr.Builder("stuck", axes={"batch": 16, "n": "width", "out": 4})
        g.parameter("ones", "out n", init="ones", trained=False)
        y = g.einsum("sum", "b n, o n -> b o", g.input("x", "batch n"), parameters=("ones",))
        y = g.node("hidden", function, y, axis="out" if function == "softmax" else None)
        with pytest.raises(Clash) as caught:
            sr.derive(g.build(g.bias("offset", y, "out")), optimizer="adam")
        assert caught.value.remedies == ["put a free multiplier behind 'sum'"]


def test_a_clash_at_a_part_of_a_value_names_its_node_and_line():
    """Logits of classes that grow are asked for at the label: no node is called so."""
    g = sr.Builder("labels", axes={"batch": 16, "n": "width", "classes": "width"})
    g.parameter("ones", "classes n", init="ones", trained=False)
    y = g.einsum("sum", "b n, c n -> b c", g.input("x", "batch n"), parameters=("ones",))
    built = g.build(g.bias("offset", y, "classes"))
    graph = sr.Graph.model_validate(built.to_dict() | {"loss": "cross_entropy"})
    graph.written_at({name: f"net.py:{number}" for number, name in enumerate(graph.nodes)})
    with pytest.raises(Clash) as caught:
        sr.derive(graph, optimizer="adam")
    wanted = "put a free multiplier behind 'sum': multiply it by width**(-1/2) at net.py:1"
    assert caught.value.remedies == [wanted]
    assert "'sum at the label'" in str(caught.value) and "(net.py:1)" in str(caught.value)


# the engine knows nothing but laws

ENGINE = Path(sr.__file__).parent
MODULES = {path.relative_to(ENGINE).as_posix(): path for path in sorted(ENGINE.rglob("*.py"))}
ROLES = r"readout|unembedding|lm_head|hidden_layer|is_output|is_input|role|first_layer|last_layer|attention\.|W_[A-Z]\b|mlp|mamba"
"""Words by which a module would tell layers apart by what they are called."""
CALCULUS = ("sizes", "terms", "ops", "optimizers", "passes", "solving", "derivation")
USERS_FILES = "optimizers/own.py"
"""Loads the law in a file of the user's own."""
LAWS = [
    name for name in MODULES if name.startswith(tuple(f"{package}/" for package in CALCULUS)) and name != USERS_FILES
]
RECORDS = "reporting/literature/records.py"
"""Reads what papers print, for the pages that stand it beside derivations."""


def code_of(path: Path) -> ast.Module:
    """The syntax tree without docstrings, in which an example may use a name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            node.value = ast.Constant(None)
    return tree


@pytest.mark.parametrize("name", LAWS)
def test_no_module_of_the_calculus_names_roles_or_reads_tables(name: str) -> None:
    text = ast.unparse(code_of(MODULES[name]))
    assert not re.search(ROLES, text, re.IGNORECASE), re.search(ROLES, text, re.IGNORECASE)
    assert not re.search(r"(?<!def )(?<!\.)\bopen\(|\b(Path|read_text|read_bytes|safe_load|import_module)\(", text)


@pytest.mark.parametrize("name", MODULES)
def test_no_module_knows_published_rules(name: str) -> None:
    """Published rules are for pages, benchmarks and tests to compare with: one module reads them, no other names them."""
    tree = code_of(MODULES[name])
    strings = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    named = [s for s in strings if re.search(r"readout|benchmarks|published[/_.]|expected_rules", s)]
    assert named == (["published.yaml"] if name == RECORDS else [])
    imported = {alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
    imported |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert not [module for module in imported if module.startswith(("benchmarks", "tests"))]


def test_the_package_ships_no_table() -> None:
    assert not [*ENGINE.rglob("*.csv"), *ENGINE.rglob("*.json")]


def test_a_free_factor_is_not_traded_for_the_matrix_behind_it():
    """Attention without a softmax: only the product of the factor and `W_O` has an effect; the factor is 1/width."""
    axes = {"batch": 4, "time": 4, "vocab": 16, "n": "width", "head": "width"}
    g = Builder("linear_attention", scales={"width": 1}, sizes={"width": 64}, axes=axes, loss="cross_entropy")
    tokens = g.input("tokens", "batch time vocab", kind="tokens")
    g.parameter("W_E", "vocab n")
    x = g.layer_norm(g.einsum("embedding", "b t v, v n -> b t n", tokens, parameters=("W_E",)), axis="n", name="norm")
    q, k, v = (g.dense(f"W_{letter}", x, "head n", "b t") for letter in "QKV")
    scores = g.scale("scores", g.einsum("dots", "b s d, b t d -> b s t", q, k), "head^(-1/2)", free=True)
    heads = g.einsum("heads", "b s t, b t d -> b s d", scores, v)
    out = g.dense("W_O", heads, "n head", "b t")
    graph = g.build(g.dense("W_U", g.layer_norm(out, axis="n", name="last"), "vocab n", "b t"))
    solution = sr.derive(graph, optimizer="adam")
    assert solution.multipliers["scores"]["width"] == -1
    for name in ("W_Q", "W_K", "W_V", "W_O"):
        assert (solution[name].init["width"], solution[name].lr["width"]) == (Fraction(-1, 2), -1), name


def test_two_repeated_blocks_may_read_streams_of_different_axes() -> None:
    g = Builder("two", axes={"b": 16, "time": 4, "in": 8, "n": "width", "out": 4, "layers": 3, "more": 2})
    h = g.dense("input", g.input("x", "b time in"), "n in", batch="b t")
    with g.repeat("first", h, "layers") as block:
        block.result = g.residual("first.sum", block.stream, g.dense("first.up", block.stream, "n n", batch="b t"))
    h = g.node("mean", "mean", "first", axis="time")
    with g.repeat("second", h, "more") as block:
        block.result = g.residual("second.sum", block.stream, g.dense("second.up", block.stream, "n n"))
    graph = g.build(g.dense("last", "second", "out n"))
    assert graph.operand_axes("first.up") == (("b", "time", "n"), ("n", "n"))
    solution = sr.derive(graph, optimizer="adamw")
    assert str(solution["first.up"].lr) == str(solution["second.up"].lr) == "width^-1"
    assert str(solution["last"].init) == "width^-1"


def test_no_gain_of_a_later_variable_is_worth_a_loss_of_an_earlier_one():
    """Of `x + y / 5000 <= -1` the loss falls on `y`, five thousand times over."""
    programme = Programme({"x": (Fraction(0),), "y": (Fraction(0),)})
    programme.require("both", {"x": Fraction(1), "y": Fraction(1, 5000)}, (Fraction(1),))
    assert programme.solution() == {"x": (0,), "y": (-5000,)}


CHOSEN = """
name: chosen
axes: {batch: 8, in: 5, n: width, out: 4}
parameters: {first: {axes: [n, in]}, last: {axes: [out, n]}}
nodes:
  x: {op: input, axes: [batch, in], kind: normal}
  place: {op: input, axes: [batch, n], kind: tokens}
  hidden: {op: einsum, inputs: [x], parameters: [first], equation: 'b i, n i -> b n'}
  relu: {op: relu, inputs: [hidden]}
  largest: {op: einsum, inputs: [relu, place], equation: 'b n, b n -> b'}
  gate: {op: sigmoid, inputs: [largest]}
  gated: {op: einsum, inputs: [relu, gate], equation: 'b n, b -> b n'}
  last: {op: einsum, inputs: [gated], parameters: [last], equation: 'b n, o n -> b o'}
outputs: [last]
sizes: {width: 64}
scales: {width: 1}
"""


def test_a_layer_of_which_few_entries_move_is_warned_of() -> None:
    """A gate reads the largest of `n` entries: its gradient is sqrt(n) of the others' together, and holds SGD's rate."""
    graph = sr.Graph.model_validate(yaml.safe_load(CHOSEN))
    solution = sr.derive(graph, "sgd")
    assert [warning for warning in solution.warnings if warning.startswith("'first' ") and "-1/2" in warning]
    assert not sr.derive(graph, "adamw").warnings
