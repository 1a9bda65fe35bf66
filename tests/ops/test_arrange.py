"""The laws of arrangements, constants and powers: sizes and signs follow the entries."""

from __future__ import annotations

from fractions import Fraction

import pytest
from plain_terms import A, B, M, N, S, Scope

import scalerules as sr
from scalerules.architecture.builder import Builder
from scalerules.derivation.question import problem_of
from scalerules.errors import GraphError
from scalerules.ops import arrange
from scalerules.terms.term import Fresh, Term

AXES = {
    "batch": 4,
    "in": 8,
    "n": "width",
    "heads": 4,
    "head": "width/4",
    "kv": "width/8",
    "groups": 2,
    "many": "width/4",
    "out": 3,
}


def values(g: Builder, *outputs: str, **init: Fraction) -> dict[str, Fraction | None]:
    """Sizes at initialisation of every node, with the given sizes of parameters."""
    run = problem_of(g.build(*outputs), "sgd").run({("init", name): size for name, size in init.items()}, 0)
    return {e.node: run.point.size(e.ticks) if e.term else None for e in run.events if e.kind == "value"}


def hidden(size: int = 0) -> tuple[Builder, str]:
    g = Builder("g", axes=AXES)
    return g, g.dense("W", g.input("x", "batch in"), "n in")


@pytest.mark.parametrize(("op", "power"), [("reciprocal", -1), ("sqrt", Fraction(1, 2)), ("rsqrt", Fraction(-1, 2))])
@pytest.mark.parametrize("size", [Fraction(0), Fraction(-1, 2), Fraction(1, 4)])
def test_a_power_has_the_size_of_its_argument_to_that_power(op, power, size):
    g, h = hidden()
    mean = g.mean(g.square(h, name="squares"), axis="n", name="mean")
    g.node("root", op, mean)
    other = g.dense("V", "x", "n in")  # of the value itself it would be a norm
    found = values(g, g.einsum("y", "b n, b -> b n", other, "root"), W=size, V=Fraction(1, 3))
    assert found["mean"] == 2 * size and found["root"] == 2 * size * power
    assert found["y"] == Fraction(1, 3) + 2 * size * power


@pytest.mark.parametrize(("op", "power"), [("reciprocal", -1), ("sqrt", Fraction(1, 2)), ("rsqrt", Fraction(-1, 2))])
@pytest.mark.parametrize("size", [Fraction(0), Fraction(-1, 2), Fraction(1, 4)])
def test_a_power_of_what_moves_a_little_moves_by_its_derivative(op, power, size):
    g, h = hidden()
    g.node("root", op, g.mean(g.square(h, name="squares"), axis="n", name="mean"))
    graph = g.build(g.einsum("y", "b n, b -> b n", g.dense("V", "x", "n in"), "root"))
    given = {("init", "W"): size, ("init", "V"): Fraction(0), ("lr", "W"): Fraction(-3), ("lr", "V"): Fraction(-3)}
    run = problem_of(graph, "sgd").run(given, 1)
    found = {e.node: run.point.size(e.ticks) for e in run.events if e.kind == "change" and e.term}
    assert found["mean"] < 2 * size, "a little"
    assert found["root"] == found["mean"] + 2 * size * (power - 1)


def test_a_power_moves_with_its_argument():
    """d(1/m) = -dm / m^2: the rules of an RMS norm that is written out are those of the norm."""
    rules = []
    for written in (True, False):
        g, h = hidden()
        if written:
            g.node("root", "rsqrt", g.mean(g.square(h, name="squares"), axis="n", name="mean"))
            h = g.einsum("norm", "b n, b -> b n", h, "root")
        else:
            h = g.rms_norm(h, axis="n", name="norm")
        h = g.relu(g.dense("V", h, "n n"), name="active")
        solution = sr.derive(g.build(g.dense("U", h, "out n")), "adam")
        rules.append({name: (rule.init, rule.lr) for name, rule in solution.parameters.items()})
    assert rules[0] == rules[1]


def test_split_and_merged_axes_keep_their_sources():
    """Queries times keys over heads of growing size are independent, however their axes are cut."""
    g, h = hidden()
    q, k = g.dense("Q", h, "n n"), g.dense("K", h, "n n")
    q, k = (g.node(f"{x}.heads", "rearrange", x, equation="b n -> h b d", axes="heads batch head") for x in (q, k))
    g.einsum("scores", "h b d, h c d -> h b c", q, k)
    g.einsum("own", "h b d, h c d -> h b c", q, q)
    half = Fraction(-1, 2)
    assert (lambda v: (v["scores"], v["own"]))(values(g, "scores", "own", Q=half, K=half)) == (Fraction(1, 2), 1)


def test_copies_are_constant_along_their_axis():
    g, h = hidden()
    s = g.einsum("total", "b n -> b", h)
    c = g.node("copies", "rearrange", s, equation="b -> b n", axes="batch n")
    g.einsum("again", "b n -> b", c)
    found = values(g, "again")
    assert found["total"] == Fraction(1, 2) and found["copies"] == Fraction(1, 2) and found["again"] == Fraction(3, 2)


def test_a_selection_from_a_growing_axis_is_refused():
    g, h = hidden()
    g.node("one", "rearrange", h, equation="b n -> b", axes="batch")
    with pytest.raises(GraphError, match="selects from an axis that grows"):
        g.build("one")


def test_a_constant_agrees_in_sign_and_never_moves():
    g, h = hidden()
    g.node("one", "constant")
    g.node("shifted", "add", h, "one", equation="b n,  -> b n")
    g.einsum("sum", "b n -> b", "shifted")
    assert values(g, "sum")["sum"] == 1


def test_a_sum_by_labels_matches_places_and_not_names():
    """A square matrix plus a column and a row: each is constant along the other axis."""
    g = Builder("g", axes=AXES)
    a, b = g.dense("A", g.input("x", "batch in"), "n in"), g.dense("B", g.input("y", "batch in"), "n in")
    g.einsum("outer", "b i, b j -> b i j", a, b)
    g.node("both", "add", "outer", a, b, equation="b i j, b i, b j -> b i j")
    g.einsum("rows", "b i j -> b i", "both")
    assert values(g, "rows")["rows"] == 1


def test_a_branch_may_hold_its_axes_in_another_order_than_the_stream():
    """As in an MLP-Mixer: the sum is over the names of the axes, in the calculus and in the interpreter."""
    g = Builder("g", scales={"width": 1}, sizes={"width": 16}, axes=AXES | {"time": 6, "time_2": 6})
    g.parameter("W", "n in")
    g.parameter("V", "time time_2")
    x = g.einsum("x", "b t i, n i -> b t n", g.input("data", "batch time in"), parameters=("W",))
    turned = g.einsum("turned", "b s n, t s -> b n t", x, parameters=("V",))
    graph = g.build(g.mean(g.residual("sum", x, turned), axis="n", name="mean"))
    solution = sr.derive(graph, "adamw")
    assert sr.verify(graph, solution, sizes=[16, 32, 64], seeds=1, steps=1, progress=False, jobs=1).rows


def test_a_profile_stays_with_its_axis():
    """Merged or split axes carry the sources of all their parts, a new one is constant; what has no profile left has none."""

    def moved(profile: tuple[int, int] | None, wanted: tuple[str, ...]) -> list[tuple[object, ...]]:
        terms = arrange._moved(Scope(9), [Term(0, (A, B), profile=profile)], (N, S), wanted)  # type: ignore[arg-type]
        return [(t.size, t.signs, t.profile) for t in terms]

    assert moved((1, 0), (S, N)) == [(0, (B, A), (0, 1))] and moved(None, (S, N)) == [(0, (B, A), None)]
    assert moved((1, 0), (M, S)) == [(0, (A, B), (1, 0))], "beside an axis of a fixed length it decays as before"
    assert moved((1, 2), (M, S)) == [(0, (A, B), (1, 2))] and moved((1, 2), (M,)) == [(0, (A | B,), None)]
    assert moved((1, 0), (M, "M2", S)) == [(0, (A, A, B), None)]
    assert moved((0, 1), (N, S)) == [(0, (A, B), (0, 1))] and moved(None, (M,)) == [(0, (A | B,), None)]
    assert moved((1, 0), (N,)) == [(4, (A,), (1,))], "what is only on the left is summed"


@pytest.mark.parametrize(
    ("wanted", "order"),
    [((N, S), None), ((S, N), (1, 0)), ((M, S), None), ((S, M), (1, 0)), ((M,), "none"), ((M, "m2|l"), "none")],
)  # fmt: skip
def test_a_matrix_stays_one_where_its_axes_are_called_otherwise_or_stand_in_another_order(
    wanted: tuple[str, ...], order: tuple[int, int] | str | None
):
    """A copy along an axis of a fixed length is the same matrix; where both are others nothing is known of it."""
    (found,) = arrange._moved(Scope(9), [Term(0, (A, B), matrix=Fresh("W", A))], (N, S), wanted)  # type: ignore[arg-type]
    assert (found.matrix.order if found.matrix else "none") == order


@pytest.mark.parametrize("op", ["softmax", "mean", "rms_norm", "layer_norm", "shift"])
@pytest.mark.parametrize("size", [Fraction(0), Fraction(-1, 2), Fraction(1, 4)])
def test_a_form_says_what_the_size_is(op: str, size: Fraction):
    """The size of every value, read again off the unknowns and growths that it comes from."""
    g, h = hidden()
    g.node("y", op, h, axis="n")
    run = problem_of(g.build("y"), "sgd").run({("init", "W"): size}, 0)
    sizes = {("growth", "n"): Fraction(1), ("init", "W"): size}
    for event in (e for e in run.events if e.kind == "value" and e.term):
        assert sum(sizes[symbol] * share for symbol, share in event.form.items()) == run.point.size(event.ticks)
