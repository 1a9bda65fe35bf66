"""The site and the pages about a user's architecture in a browser: no errors, nothing asked of the network, contrast,
switches, cells, edges, search, phone width, keyboard.

Needs playwright and a system Chromium (`SCALERULES_BROWSER` or `chromium` on the path); says so where there is none.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import scalerules as sr
from docs.site.answers import answer
from docs.site.question import asked_of

BROWSER = os.environ.get("SCALERULES_BROWSER") or shutil.which("chromium") or shutil.which("chromium-browser")
playwright = pytest.importorskip("playwright.sync_api", reason="the browser test needs playwright")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium here: the site is not looked at in a browser"),
]

KINDS = (
    "index", "first-rates", "training", "theory", "glossary", "comparison", "published", "coverage",
    "architectures/index", "architectures/mlp", "architectures/transformer", "operations/einsum", "optimizers/adam",
    "gauges/ntk", "reference/python", "reference/commands", "sources/graphs/mlp.py",
)  # fmt: skip
"""A page of every kind."""
LONG = ("training", "theory", "published", "reference/python", "reference/commands")
"""Pages that take long to look through, of what other pages have too: their contrast is measured in one scheme."""
OWN = ("report", "verification", "transfer")
"""The pages that are written for an architecture of one's own."""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site that `SCALERULES_SITE` names, or one that is built with two architectures."""
    if built := os.environ.get("SCALERULES_SITE"):
        return Path(built).resolve()
    pytest.importorskip("zensical", reason="the site needs zensical")
    from docs.site.build import build

    folder = tmp_path_factory.mktemp("site")
    build(folder, only=("transformer",))
    return folder / "site"


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    """A report, a verification of a rule that is wrong, and a sweep, each as a page."""
    folder, graph = tmp_path_factory.mktemp("own"), sr.graph("mlp")
    solution = sr.derive(graph, optimizer="adam")
    wrong = solution.changed("h1", lr={"width": 0})
    measured = sr.verify(graph, wrong, sizes=[16, 32, 64], seeds=1, lr=0.01, progress=False)
    measured.plot(str(folder / "verification.html"))
    rates = [0.0005, 0.004, 0.03, 0.2]
    swept = sr.transfer(graph, solution, sizes=[16, 32], lrs=rates, seeds=1, steps=6, progress=False)
    swept.plot(str(folder / "transfer.html"))
    (folder / "report.html").write_text(sr.report(graph, solution, measured), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture(autouse=True)
def closed(browser) -> Iterator[None]:
    """What a test leaves open would slow down the next one."""
    yield
    for context in browser.contexts:
        context.close()


class Looked:
    """A page that was opened as a file, with what it complained of and what it asked of the network."""

    def __init__(self, browser: Any, file: Path, width: int = 1280, scheme: str = "light") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.context.set_default_timeout(120_000)  # a machine that does other work too is no fault of a page
        self.page, self.faults = self.context.new_page(), list[str]()
        self.page.on("console", lambda message: message.type == "error" and self.faults.append(message.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self._asked(request.url))
        self.page.goto(file.as_uri())

    def _asked(self, url: str) -> None:
        if url.startswith(("http:", "https:", "ws:")):
            self.faults.append(url)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_kind_of_page_at_the_width_of_a_phone(site, browser, scheme):
    for name in KINDS:
        looked = Looked(browser, site / f"{name}.html", 390, scheme)
        assert looked.page.evaluate("document.documentElement.scrollWidth") <= 390, name
        assert looked.page.locator("h1").first.is_visible() and not looked.faults, (name, looked.faults)
        looked.context.close()


def _shown(page: Any, name: str) -> list[str]:
    """The factors of a row of the table of rules, as powers."""
    row = page.locator(".sr-rules tbody tr", has=page.locator("th", has_text=name)).first
    return [cell.split("\n")[0].replace("\N{MINUS SIGN}", "-") for cell in row.locator("td button").all_inner_texts()]


def test_switching_the_optimizer_shows_what_derive_prints(site, browser):
    page = Looked(browser, site / "architectures" / "mlp.html").page
    for optimizer in ("sgd", "muon", "adam"):
        page.select_option('[data-switch="optimizer"]', optimizer)
        rule = sr.derive("mlp", optimizer=optimizer)["h1"]
        wanted = [str(getattr(rule, size)).replace("^", "").strip("()") for size in ("init", "mult", "lr", "eps", "wd")]
        assert _shown(page, "h1") == [text.replace("(", "").replace(")", "") for text in wanted]
        assert f"--optimizer {optimizer}" in page.locator(".sr-command").inner_text()


def test_the_calculator_follows_the_sizes(site, browser):
    page = Looked(browser, site / "architectures" / "mlp.html").page
    page.fill('input[data-scale="width"][data-which="to"]', "6400")
    row = page.locator(".sr-rules tbody tr").nth(1)
    assert row.locator(".sr-factor").all_inner_texts() == ["× 0.1", "× 1", "× 0.01", "× 0.01", "× 100"]


def test_a_cell_and_an_edge_open(site, browser):
    page = Looked(browser, site / "architectures" / "transformer.html").page
    page.get_by_role("button", name="lr of attention.W_Q: why").click()
    told = page.locator(".sr-story").inner_text()
    lines = sr.derive("transformer", optimizer="adam").explain("attention.W_Q").splitlines()
    assert next(line for line in lines if line.startswith("lr = ")).partition(": ")[2] in told
    laws = page.locator(".sr-tree a").evaluate_all("all => all.map(one => one.href)")
    assert {Path(law).name for law in laws} == {"einsum.html", "adam.html"}
    assert all(Path(law.removeprefix("file://")).is_file() for law in laws), "rows link to the law that gave them"
    page.get_by_role("button", name="Show what is in the block").click()
    page.locator(".sr-figure.whole .sr-hit").nth(3).click(force=True)
    assert "at the start" in page.locator(".sr-edge").inner_text()
    page.select_option(".sr-node", "attention.scores")
    sizes = answer(asked_of("transformer")[0])["edges"]["attention.scores"]
    shown = [text.replace("\N{MINUS SIGN}", "-") for text in page.locator(".sr-edge dd").all_inner_texts()[1:]]
    assert shown == [re.sub(r"\^\(?([-\d/]+)\)?", r"\1", sizes[when]) for when in ("start", "backward", "changed")]
    assert page.locator(".edge.chosen").count() > 0


def test_search_finds_attention(site, browser):
    page = Looked(browser, site / "index.html").page
    page.keyboard.press("Control+k")
    page.keyboard.type("attention")
    page.get_by_text("Optimizers, gauges and alignment").first.wait_for()


def _grave(page: Any) -> list[tuple[str, str]]:
    """What axe calls serious or critical."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    found = axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [(one["id"], one["nodes"][0]["html"][:200]) for one in found if one["impact"] in ("serious", "critical")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(site, browser, scheme):
    for name in KINDS if scheme == "light" else sorted({*KINDS} - {*LONG}):
        looked = Looked(browser, site / f"{name}.html", scheme=scheme)
        assert not _grave(looked.page), name
        looked.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_about_an_architecture_of_ones_own(own, browser, scheme):
    """Everything that is folded is opened first."""
    for name in OWN:
        looked = Looked(browser, own / f"{name}.html", 390, scheme)
        looked.page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
        assert looked.page.evaluate("document.documentElement.scrollWidth") <= 390, name
        assert not _grave(looked.page) and not looked.faults, (name, looked.faults)
        looked.context.close()


def test_charts_name_their_axes_and_lines(own, browser):
    page = Looked(browser, own / "verification.html").page
    assert page.locator(".chart .axis").all_text_contents()[:2] == ["width", "measured / predicted"]
    names = page.locator(".chart .line title").all_text_contents()
    assert any(text.startswith("own of h1, step 1: predicted 0, measured +") for text in names)
    assert "h1, step 1" in page.locator("figure li").all_inner_texts()[0]
    page = Looked(browser, own / "transfer.html").page
    assert page.locator(".chart .axis").all_text_contents()[:2] == [
        "learning rate at the base size",
        "loss on held-out data",
    ]
    assert page.locator(".legend span").all_inner_texts() == ["width 16", "width 32"]


def test_a_verification_is_read_by_the_keyboard(own, browser):
    page = Looked(browser, own / "verification.html").page
    page.get_by_label("only what is off").focus()
    page.keyboard.press("Space")
    off = page.locator("tbody tr").count()
    assert 0 < off < page.evaluate("data.rows.length")
    page.get_by_role("button", name="excess").focus()
    page.keyboard.press("Enter")
    assert page.locator('th[aria-sort="ascending"]').inner_text().startswith("excess")
    page.locator("tbody button").first.focus()
    page.keyboard.press("Enter")
    assert "predicted" in page.locator(".said").inner_text()
    assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"


def test_a_broken_line_of_a_story_keeps_its_indent(site, browser):
    """On a phone the lines of a tree are broken: they go on under their own beginning, deeper ones further in."""
    page = Looked(browser, site / "architectures" / "transformer.html", 390).page
    page.get_by_role("button", name="lr of attention.W_Q: why").click()
    lines = page.locator(".sr-tree li").evaluate_all(
        "all => all.map(one => [Number(one.style.getPropertyValue('--depth')), parseFloat(getComputedStyle(one).paddingLeft),"
        " one.getClientRects()[0].height > 30])"
    )
    assert any(broken for _, _, broken in lines) and len({depth for depth, _, _ in lines}) > 1
    assert all(inner > outer for (a, outer, _), (b, inner, _) in zip(lines, lines[1:], strict=False) if a < b < 8)
