"""The documentation site: what its pages say is what the engine gives, and what is wrong with a page is named."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

import scalerules as sr
from docs.site import build as building
from docs.site import drift, gauges, navigation
from docs.site.answers import answer
from docs.site.architectures import architecture_pages
from docs.site.checks import check
from docs.site.fresh import mirror, rows
from docs.site.gauges import gauge_pages
from docs.site.navigation import SiteError, settings
from docs.site.page import Page
from docs.site.question import Asked, asked_of
from docs.site.reference import reference_pages
from docs.site.sources import with_sources
from scalerules.catalogue.graphs import catalogue
from scalerules.derivation.gauges.gauge import GAUGES
from scalerules.ops.forms import Mean
from scalerules.ops.registry import OPS
from scalerules.optimizers.table import OPTIMIZERS
from scalerules.reporting.html import power


@pytest.fixture(scope="module")
def mlp() -> dict:
    return {one: answer(one) for one in asked_of("mlp")}


def test_the_page_of_an_architecture_holds_what_derive_gives(mlp):
    page = next(page for page in architecture_pages(["mlp"], mlp) if page.path == "architectures/mlp.md")
    assert '<script src="mlp.js"></script>' in page.text
    data = json.loads(page.script.removeprefix("const ANSWERS = ").removesuffix(";\n"))
    assert set(data["answers"]) == {one.key for one in asked_of("mlp")}
    for optimizer in ("adam", "sgd", "muon"):
        solution = sr.derive("mlp", optimizer=optimizer)
        shown = data["answers"][f"{optimizer}|joint|plain|width"]
        for name, rule in solution.parameters.items():
            cells = shown["parameters"][name]["cells"]
            assert {size: cells[size].get("width", "0") for size in cells} == {
                size: str(getattr(rule, size)["width"]) for size in ("init", "mult", "lr", "eps", "wd")
            }
        for name, text in shown["copies"].items():
            assert isinstance(data["texts"][text], str), name
        told = shown["stories"]["h1"]
        heads = [line for line in solution.explain("h1").splitlines() if line[:1] not in ("", " ")]
        for one in told:
            head = next(line for line in heads if line.startswith(f"{one['quantity']} = {one['size']}"))
            assert head.lower().endswith(one["equation"].lower())


def test_a_clash_is_shown_in_place_of_rules(monkeypatch):
    from docs.site import answers

    clashing = sr.Builder("mlp", axes={"batch": 4, "in": 4, "n": "width", "out": 4})
    x = clashing.input("x", "batch in")
    h = clashing.scale("grown", clashing.dense("a", x, "n in"), factor="width^2")
    graph = clashing.build(clashing.dense("b", clashing.tanh(h), "out n"))

    def refuses(*_: object, **__: object) -> None:
        sr.derive(graph, optimizer="adam", given={"a": {"init": "0"}})

    monkeypatch.setattr(answers, "derive", refuses)
    shown = answers.answer(Asked("mlp", "adam", "joint", "plain", ("width",)))
    assert set(shown) == {"command", "clash"} and shown["clash"]


@pytest.mark.parametrize(
    "pages, said",
    [
        ([Page("stray.md", "stray", "# Stray")], "stray.md: the navigation does not name it"),
        ([], "index.md: named by the navigation, but there is no such page"),
    ],
)
def test_navigation_and_pages_name_the_same(pages, said):
    with pytest.raises(SiteError, match=re.escape(said)):
        settings(pages)


def test_the_navigation_names_every_guide():
    missing = {page.path for page in building.guides()}
    text = (navigation.SITE / "mkdocs.yml").read_text(encoding="utf-8")
    assert not [path for path in missing if f" {path}\n" not in text]


def test_a_link_into_the_checkout_becomes_a_page_and_a_broken_one_is_named():
    pages = with_sources([Page("a/b.md", "b", "see [it](../../graphs/mlp.py)")])
    assert pages[0].text == "see [it](../sources/graphs/mlp.py.md)"
    assert "A multilayer perceptron" in pages[1].text and pages[1].path == "sources/graphs/mlp.py.md"
    with pytest.raises(SiteError) as found:
        with_sources([Page("b.md", "b", "[it](../graphs/none.py) [page](none.md) [itself](b.md)")])
    assert str(found.value) == "b.md: ../graphs/none.py leads nowhere\nb.md: none.md leads nowhere"


def test_what_the_built_pages_link_to_is_there(tmp_path):
    (tmp_path / "a.html").write_text('<a href="b.html#here">b</a><a href="#there">a</a><a href="mailto:x">x</a>')
    (tmp_path / "b.html").write_text('<h2 id="here"></h2><a href="a.html">a</a><img src="/c.png">')
    (tmp_path / "c.png").write_bytes(b"")
    with pytest.raises(SiteError) as found:
        check(tmp_path)
    assert str(found.value) == "a.html: #there names a place that a.html has not"
    (tmp_path / "a.html").write_text('<script src="https://far.example/x.js"></script><a href="none.html">x</a>')
    with pytest.raises(SiteError, match="from the network\na.html: none.html leads nowhere"):
        check(tmp_path)


def test_a_missing_bundled_file_is_named_before_anything_is_derived(tmp_path, monkeypatch):
    monkeypatch.setattr(building, "BUNDLED", {"site.css": tmp_path, "site.js": building.ASSETS})
    with pytest.raises(SiteError) as found:
        building.build(tmp_path / "built")
    assert str(found.value) == f"{tmp_path / 'site.css'}: the site needs this file"
    assert not (tmp_path / "built").exists()


def test_a_page_that_the_navigation_lacks_is_named_before_anything_is_derived(tmp_path, monkeypatch):
    monkeypatch.setattr(building, "guides", lambda: [Page("stray.md", "stray", "# Stray")])
    with pytest.raises(SiteError, match=re.escape("stray.md: the navigation does not name it")):
        building.build(tmp_path / "built")
    assert not (tmp_path / "built").exists()


@pytest.mark.parametrize(
    "op, index, forward, change",
    [
        ("einsum", 0, "x + W + n/2", "dx + W + n/2"),  # a fresh matrix: the root of what is summed over
        ("einsum", 1, "W + x + n", "W + dx + n/2"),  # its change by that vector: aligned
        ("mean", 0, "x - n/2", "dx - n/2"),
        ("tanh", 0, "x", "dx"),
        ("rsqrt", 0, "-x/2", "-3 x/2 + dx"),
        ("softmax", 1, "max(x, 0)", "max(dx, x + dx)"),
    ],
)
def test_laws_on_fresh_symbols(op, index, forward, change):
    row = list(rows(OPS[op]))[index]
    assert (row.forward, row.change) == (forward, change)


def test_a_matrix_and_its_transpose_have_an_aligned_part():
    assert mirror().forward == "max(x + 2 W + n/2 + m/2, x + 2 W + m)"


IN_GAUGES = [f"gauges/{name}.md" for name in GAUGES]


def _law_of_mean(monkeypatch):
    monkeypatch.setattr(Mean, "_divided", lambda self, at, site, terms: terms)


def _gradient_of_relu(monkeypatch):
    monkeypatch.setattr(OPS["relu"].laws, "pull", lambda *_: [])


def _formula_of_adam(monkeypatch):
    monkeypatch.setitem(OPTIMIZERS, "adam", replace(OPTIMIZERS["adam"], formula=OPTIMIZERS["sgd"].formula))


def _shift_of_ntk(monkeypatch):
    monkeypatch.setitem(GAUGES, "ntk", replace(GAUGES["ntk"], shift=GAUGES["table9"].shift))


@pytest.mark.parametrize(
    "change, pages",
    [
        (_law_of_mean, ["operations/mean.md"]),
        (
            _gradient_of_relu,
            ["operations/relu.md", "optimizers/sgd.md", "optimizers/adam.md", *IN_GAUGES, "architectures/mlp.md"],
        ),
        (_formula_of_adam, ["optimizers/adam.md", *IN_GAUGES, "architectures/mlp.md"]),
        (_shift_of_ntk, ["gauges/ntk.md"]),
    ],
)
def test_a_changed_law_is_named_by_the_pages_that_it_touches(change, pages, monkeypatch):
    monkeypatch.setattr(drift, "OPTIMIZERS", {name: OPTIMIZERS[name] for name in ("sgd", "adam")})
    gauges._plain.cache_clear()
    before = drift.digests(["mlp"])
    change(monkeypatch)
    monkeypatch.setattr(drift, "OPTIMIZERS", {name: OPTIMIZERS[name] for name in drift.OPTIMIZERS})
    gauges._plain.cache_clear()
    assert drift.drifted(["mlp"], before) == pages


def test_no_page_says_something_else_than_is_kept():
    """What fails here is named; where the change is meant, `make docs` keeps what the pages say now."""
    gauges._plain.cache_clear()
    assert drift.drifted(["mlp", "transformer"]) == []
    kept = set(json.loads(drift.KEPT.read_text(encoding="utf-8")))
    assert kept == {f"architectures/{name}.md" for name in catalogue()} | {
        f"{folder}/{name}.md"
        for folder, names in (("operations", OPS), ("optimizers", OPTIMIZERS), ("gauges", GAUGES))
        for name in names
    }


def test_the_reference_has_every_public_name_and_command():
    python, commands = (page.text for page in reference_pages())
    assert all(f"\n## {name}\n" in python for name in sr.__all__)
    assert "\n## scalerules derive\n" in commands and "--optimizer" in commands
    assert "None: None" not in python and "<class" not in python


def test_the_page_of_an_optimizer_holds_its_formula_and_rules():
    from docs.site.optimizers import _page

    text = _page(OPTIMIZERS["muon"]).text
    assert "return orthogonal(m / (norm(m) + eps))" in text and "fan_in^(-1/2) fan_out^(-1/2)" in text
    assert f"| {power(sr.derive('mlp', optimizer='muon')['output'].lr)} |" in text


def test_the_page_of_a_gauge_says_what_it_moves():
    text = next(page.text for page in gauge_pages() if page.path == "gauges/ntk.md")
    root, one = "width<sup>\N{MINUS SIGN}1/2</sup>", '<span class="one">1</span>'
    assert f"| `h1` | **{one}**<br><small>plain {root}</small> | **{root}**<br><small>plain {one}</small> |" in text


def test_the_lines_of_the_comparison_are_counted():
    text = (building.DOCS / "comparison.md").read_text(encoding="utf-8")
    stated = [int(number) for number in re.findall(r"^\| .*? \| (\d+) \| \d+ \|", text, re.MULTILINE)]
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    kept = [[line for line in block.splitlines() if line.strip() and not line.startswith("assert")] for block in blocks]
    assert stated == [len(lines) for lines in kept] != []
