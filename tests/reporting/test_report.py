"""The page of an architecture: what stands in it, that it needs no network, and that its drawing is sound."""

from __future__ import annotations

import itertools
import json
import re
from fractions import Fraction
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any, cast
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scalerules as sr
from scalerules.catalogue.graphs import catalogue
from scalerules.commands.main import main
from scalerules.reporting.drawing import draw
from scalerules.reporting.layout import layout, spread
from scalerules.reporting.page import report
from scalerules.sizes.exponents import Exponents

VOID = {"meta", "input", "br"}


class Page(HTMLParser):
    """Checks that every element is closed in order, and collects text, links and tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.cells: list[list[str]] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag not in VOID:
            self.open.append(tag)
        named = dict(attrs)
        self.links += [named[key] for key in ("href", "src") if key in named]
        self.ids |= {named["id"]} if "id" in named else set()
        if tag == "tr":
            self.cells.append([])
        elif tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open or "th" in self.open:
            self.cells[-1][-1] += data


def page(name: str, **asked: Any) -> tuple[Page, str]:
    graph = sr.graph(name)
    text = report(graph, sr.derive(graph, **asked))
    return Page(text), text


@pytest.mark.parametrize("name", ["mlp", "transformer", "mamba", "moe"])
def test_page_is_well_formed_and_needs_no_network(name):
    parsed, text = page(name)
    assert text.startswith("<!doctype html>")
    assert all(link.startswith("#") and link[1:] in parsed.ids for link in parsed.links), "links stay in the page"
    assert "@import" not in text and "url(" not in re.sub(r"url\(#tip\)", "", text)
    assert re.findall(r"https?://[^\"' <]*", text.partition("<h2>Code")[0]) == ["http://www.w3.org/2000/svg"]


def test_rules_with_factors():
    parsed, text = page("mlp", optimizer="adam")
    rows = {row[0]: row for row in reversed(parsed.cells) if row}  # the first of each name
    assert rows["h1"][2:] == [
        "width\N{MINUS SIGN}1/2× 0.354", "1× 1", "width\N{MINUS SIGN}1× 0.125", "width\N{MINUS SIGN}1× 0.125", "width× 8",
    ]  # fmt: skip
    assert 'value="64"' in text and 'value="512"' in text, "the example goes from the base size to eight times it"


def test_every_derivation_and_predicted_size_is_there():
    graph = sr.graph("transformer")
    solution = sr.derive(graph, optimizer="adam")
    text = report(graph, solution)
    assert solution.derivation is not None and solution.derivation.conditions
    for condition in solution.derivation.conditions:
        assert f'<a id="row-{condition.name}"></a>' in text and f'<a id="row-{condition.row}"></a>' in text, condition
    last = [row for row in Page(text).cells if row and row[0] == "attention.W_Q"][-1]
    assert last[1:4] == ["\N{MINUS SIGN}3/2", "\N{MINUS SIGN}1", "\N{MINUS SIGN}1"], "gradient, steps 1 to 3"


def test_what_the_architecture_is_called_cannot_break_the_page():
    g = sr.Builder("<b>&'\"", axes={"batch": 4, "in": 4, "n": "width", "out": 4})
    x = g.input("x<y", "batch in")
    graph = g.build(g.dense("a&b", g.relu(g.dense("<script>", x, "n in")), "out n"))
    text = report(graph, sr.derive(graph, optimizer="adam"))
    Page(text)
    assert "<script>:" not in text and "&lt;script&gt;" in text and "&lt;b&gt;&amp;" in text


def test_a_measurement_beside_its_prediction():
    rows = [
        {"quantity": "value", "node": "h1", "step": 0, "predicted": "0", "slope": 0.04, "stderr": 0.02, "agrees": True},
        {"quantity": "change", "node": "h1", "step": 1, "predicted": "0", "slope": 0.51, "stderr": 0.03, "agrees": False,
         "status": "wrong", "why": "it grows <too> fast"},
        {"quantity": "change", "node": "h1", "step": 3, "predicted": None, "slope": None, "stderr": None, "agrees": True},
        {"quantity": "change", "node": "h1", "step": 2, "predicted": "0", "slope": 0.1, "stderr": 0.03, "agrees": True},
        {"quantity": "own", "node": "h2", "step": 1, "predicted": "-1/2", "slope": -0.3, "stderr": 0.2, "agrees": True,
         "status": "undecided", "why": "±0.4", "parameter": "h1"},
    ]  # fmt: skip
    data = {"graph": "mlp", "optimizer": "adam", "sizes": [64, 128], "seeds": 4, "rows": rows, "verdict": False}
    measured = cast(Any, SimpleNamespace(to_json=lambda: json.dumps(data)))
    graph = sr.graph("mlp")
    text = report(graph, sr.derive(graph, optimizer="adam"), measured)
    cells = [row for row in Page(text).cells if row and row[0] in ("value", "change", "own") and len(row) == 7]
    assert cells == [
        ["value", "h1", "0", "0", "+0.04 ± 0.02", "", "agrees"],
        ["change", "h1", "1", "0", "+0.51 ± 0.03", "", "wrong: it grows <too> fast"],
        ["change", "h1", "3", "zero", "", "", "agrees"],
        ["own", "h2 from h1", "1", "\N{MINUS SIGN}1/2", "\N{MINUS SIGN}0.30 ± 0.20", "", "undecided: ±0.4"],
    ], "the last step of each quantity, and what disagrees"
    assert "1 of 5 slopes disagree" in text


# the drawing

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", catalogue())
def test_every_graph_is_drawn(name):
    graph = sr.graph(name)
    picture = draw(graph)
    tree = ElementTree.fromstring(picture.svg(name).replace("&#8203;", ""))
    names = ["".join(text.itertext()) for text in tree.iter(f"{SVG}text") if text.get("class") in ("name", "caption")]
    for node, what in graph.walk():
        assert any(said == node or (what.body and said.startswith(f"{node}:")) for said in names), node
    drawn = len(list(tree.iter(f"{SVG}path"))) - 1
    inside = sum(len([source for source in node.inputs]) for _, node in graph.walk())
    assert drawn <= inside and drawn >= inside - 2 * len(graph.nodes), "an arrow for every value that is read"


BOXES = st.integers(1, 14).flatmap(
    lambda n: st.tuples(
        st.lists(st.tuples(st.floats(10, 200), st.floats(10, 60)), min_size=n, max_size=n),
        st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=3 * n),
    )
)


@given(BOXES)
@settings(max_examples=80)
def test_boxes_do_not_overlap_and_arrows_point_down(drawn):
    sizes = {f"n{i}": size for i, size in enumerate(drawn[0])}
    edges = [(f"n{min(pair)}", f"n{max(pair)}") for pair in drawn[1] if pair[0] != pair[1]]
    plan = layout(sizes, edges)
    for (a, (xa, ya)), (b, (xb, yb)) in itertools.combinations(plan.centres.items(), 2):
        beside = abs(xa - xb) >= (sizes[a][0] + sizes[b][0]) / 2 - 1e-6
        under = abs(ya - yb) >= (sizes[a][1] + sizes[b][1]) / 2 - 1e-6
        assert beside or under, (a, b)
    for name, (x, y) in plan.centres.items():
        assert x - sizes[name][0] / 2 >= -1e-6 and x + sizes[name][0] / 2 <= plan.width + 1e-6
        assert y - sizes[name][1] / 2 >= -1e-6 and y + sizes[name][1] / 2 <= plan.height + 1e-6
    assert set(plan.routes) == set(edges)
    for route in plan.routes.values():
        assert all(a[1] <= b[1] + 1e-6 for a, b in itertools.pairwise(route)), "downwards all the way"


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(0, 50)), min_size=1, max_size=12))
def test_spread_keeps_distances_and_is_nearest(pairs):
    wanted, distances = [w for w, _ in pairs], [d for _, d in pairs][1:]
    places = spread(wanted, distances)
    assert all(b - a >= d - 1e-6 for a, b, d in zip(places, places[1:], distances, strict=False))

    def cost(xs: list[float]) -> float:
        return sum((x - w) ** 2 for x, w in zip(xs, wanted, strict=True))

    for index, step in itertools.product(range(len(places)), (-0.5, 0.5)):
        moved = [x + step * (i >= index if step > 0 else i <= index) for i, x in enumerate(places)]
        assert cost(moved) >= cost(places) - 1e-6, "moving what is allowed to move brings nothing nearer"


def test_a_parameter_is_named_by_what_its_node_does_not_say():
    text = "".join(draw(sr.graph("transformer")).elements)
    assert ">W_Q [heads head n]<" in text and "attention.W_Q [" not in text
    assert ">W_E [vocab n]<" in text


def test_exponents_are_raised():
    assert power_of("-1/2") == "width<sup>\N{MINUS SIGN}1/2</sup>"
    assert power_of("1") == "width" and "1" in power_of("0")
    assert "<tspan" in "".join(draw(sr.graph("mlp"), sr.derive("mlp")).elements)


def power_of(text: str) -> str:
    from scalerules.reporting.html import power

    return power(Exponents({"width": Fraction(text)}))


# the command


def test_command(tmp_path, capsys):
    file = tmp_path / "page.html"
    assert main(["report", "mlp", "--optimizer", "sgd", "-o", str(file)]) == 0
    assert "optimizer <b>sgd</b>" in file.read_text(encoding="utf-8")
    assert main(["report", "mlpp", "-o", str(file)]) == 2
    assert main(["report", "mlp", "-o", str(tmp_path / "no" / "page.html")]) == 2
    assert main(["report", "mlp"]) == 0
    assert capsys.readouterr().out.startswith("<!doctype html>")
