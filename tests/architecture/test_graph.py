"""Graphs as data: they go through YAML and JSON without loss; lengths of axes are read exactly."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

import scalerules as sr
from scalerules.architecture.documents import parse
from scalerules.architecture.specification import from_document
from scalerules.architecture.yaml_text import dump_yaml
from scalerules.catalogue.graphs import catalogue
from scalerules.sizes.lengths import Length, Monomial, parse_length

OPTIONS = {"mamba": [{}, {"discretisation": "euler"}], "mlp": [{}, {"hidden": 0 + 1, "activation": "tanh"}]}
GRAPHS = [(name, options) for name in catalogue() for options in OPTIONS.get(name, [{}])]


@pytest.mark.parametrize(("name", "options"), GRAPHS)
def test_yaml_and_json_without_loss(name, options, tmp_path):
    graph = sr.graph(name, **options)
    for suffix, text in ((".yaml", graph.to_yaml()), (".json", graph.to_json())):
        file = tmp_path / f"graph{suffix}"
        file.write_text(text)
        again = sr.graph(file)
        assert again == graph
        assert [name for name, _ in again.walk()] == [name for name, _ in graph.walk()]
        assert list(again.parameters) == list(graph.parameters)
        assert list(again.axes) == list(graph.axes)
        assert (again.to_yaml(), again.to_json()) == (graph.to_yaml(), graph.to_json())


def test_names_of_any_plane_are_read_from_json(tmp_path):
    """JSON writes a character beyond 16 bits as two escapes, which YAML alone reads as two halves."""
    data = sr.graph("mlp").to_dict() | {"name": "\U0001f600 \U0001d42c \u4e00"}
    graph = sr.Graph.model_validate(data)
    for text in (graph.to_json(), graph.to_yaml(), json.dumps(data, ensure_ascii=False)):
        (tmp_path / "graph.json").write_text(text, encoding="utf-8")
        assert sr.graph(tmp_path / "graph.json") == graph


def test_an_axis_is_one_word_without_spaces_around():
    for name in (" m", "m ", "m\u2005", "a b", ""):
        with pytest.raises(sr.ScaleRulesError, match="is not one word"):
            sr.Graph.model_validate(sr.graph("mlp").to_dict() | {"axes": {**sr.graph("mlp").axes, name: 3}})


@pytest.mark.parametrize("name", catalogue())
def test_yaml_is_readable(name):
    text = sr.graph(name).to_yaml()
    assert max(len(line) for line in text.splitlines()) <= 140
    assert "!!" not in text and "&" not in text
    # What fits stands on one line: a node takes about two.
    assert len(text.splitlines()) < 3 * len(json.dumps(json.loads(sr.graph(name).to_json()), indent=1).splitlines()) / 4


# --- YAML ---

scalars = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)
tricky = st.sampled_from(["no", "1", "1e-3", "1/2", "", "null", "~", "true", "2026-01-01", "a: b", "- x", "#", "'", "0x1", "b i, o i -> b o", "[", "{a}", "*x", "&x", "!t", "=", "<<", " a ", "\\"])  # fmt: skip
data = st.recursive(
    scalars | texts | tricky,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts | tricky, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(texts | tricky, data, max_size=5))
def test_whatever_is_written_reads_back(value):
    again = parse(dump_yaml(value), "x.yaml").data
    assert again == value
    assert repr(again) == repr(value)  # types and order too


def test_yaml_1_2_scalars():
    text = "a: no\nb: 1e-3\nc: 010\nd: 0x10\ne: true\nf: ~\ng: 1_000\nh: 2026-01-01\ni: '1'\nj: 1/2\n"
    assert parse(text, "x").data == {
        "a": "no", "b": 0.001, "c": 10, "d": 16, "e": True, "f": None, "g": 1000, "h": "2026-01-01", "i": "1", "j": "1/2",
    }  # fmt: skip


def test_an_order_of_nodes_that_is_not_topological_is_kept():
    graph = sr.graph("mlp")
    data = graph.to_dict()
    data["nodes"] = dict(reversed(data["nodes"].items()))
    again = from_document(parse(dump_yaml(data), "x.yaml"))
    assert list(again.nodes) == list(reversed(graph.nodes))


# --- lengths ---

names = st.sampled_from(["width", "state", "depth"])
powers = st.fractions(-3, 3, max_denominator=4).filter(bool)
constants = st.fractions(min_value=Fraction(1, 16), max_value=100, max_denominator=16).filter(bool)


@st.composite
def monomials(draw):
    chosen = draw(st.dictionaries(names, powers, max_size=3))
    return Monomial(draw(constants), tuple(sorted(chosen.items())))


def written(monomial: Monomial) -> str:
    """A monomial as a user might write it: `3*width^(1/2)/16`."""
    text = str(monomial.constant.numerator)
    for name, power in monomial.powers:
        text += f"*{name}^({power})"
    return text + (f"/{monomial.constant.denominator}" if monomial.constant.denominator != 1 else "")


@given(st.lists(monomials(), min_size=1, max_size=3))
def test_a_length_reads_as_it_is_written(parts):
    assert parse_length(" + ".join(written(part) for part in parts)) == Length(tuple(parts))


def test_a_length_may_be_a_difference():
    """A stack whose first block is another one repeats `depth - 1` times."""
    length = parse_length("depth - 1")
    assert length.at({"depth": 12}) == 11 and str(length) == "depth - 1"
    assert str(parse_length("-1/2*width + 3 - depth")) == "-1/2*width + 3 - 1*depth"


@given(st.lists(monomials(), min_size=1, max_size=3))
def test_a_length_reads_back_from_its_own_text(parts):
    length = Length(tuple(parts))
    assert parse_length(str(length)) == length


@given(
    st.lists(monomials(), min_size=1, max_size=3),
    st.fractions(0, 2, max_denominator=8),
    st.fractions(0, 2, max_denominator=8),
)
def test_growth_is_the_largest_and_value_the_sum(parts, width, state):
    length, direction = Length(tuple(parts)), {"width": width, "state": state}
    assert length.growth(direction) == max(part.growth(direction) for part in parts)
    sizes = {"width": 64.0, "state": 16.0, "depth": 2.0}
    assert length.value(sizes) == pytest.approx(sum(part.value(sizes) for part in parts))
    assert length.at(sizes) >= 1


@given(monomials(), st.integers(1, 3))
def test_an_axis_stands_for_its_length(inner, power):
    known = {"axis": Length((inner,))}
    outer = parse_length(f"2*axis^{power}*width", known).monomials[0]
    direction = {"width": Fraction(1), "state": Fraction(1, 3), "depth": Fraction(2)}
    assert outer.growth(direction) == power * inner.growth(direction) + 1
    assert outer.constant == 2 * inner.constant**power


@pytest.mark.parametrize(
    "text",
    [
        "9^999999999",
        "9^999",
        "width^65",
        "9" * 400,
        "width^(1/0)",
        "",
        "width width",
        "2*",
        "*width",
        "width^",
        "width^(1/",
        "4^(1/2)",
        "a b",
        "(width)",
        "é!",
        "width/",
        "+",
        "width +",
    ],
)
def test_what_is_no_length_is_refused(text):
    with pytest.raises(sr.ScaleRulesError, match="^axis 'n': cannot read the length"):
        parse_length(text, where="axis 'n'")


def test_a_chain_of_axes_cannot_grow_without_bound():
    known = {"a": parse_length("width^60")}
    with pytest.raises(sr.ScaleRulesError, match="cannot read the length"):
        parse_length("a^60", known)
