"""The site in a browser: no errors, nothing asked of the network, switches, cells, edges, search, phone width, contrast.

Needs playwright and a system Chromium (`SCALERULES_BROWSER` or `chromium` on the path); says so where there is none.
"""

from __future__ import annotations

import os
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
    "index", "theory", "training", "coverage", "architectures/index", "architectures/mlp", "architectures/transformer",
    "operations/einsum", "optimizers/adam", "gauges/ntk", "reference/python", "sources/graphs/mlp.py",
)  # fmt: skip
"""A page of every kind."""


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
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()


class Looked:
    """A page that was opened as a file, with what it complained of and what it asked of the network."""

    def __init__(self, browser: Any, file: Path, width: int = 1280, scheme: str = "light") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
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
    page.get_by_role("button", name="Show what is in the block").click()
    page.locator(".sr-figure.whole .sr-hit").nth(3).click(force=True)
    assert "at the start" in page.locator(".sr-edge").inner_text()
    page.select_option(".sr-node", "attention.scores")
    sizes = answer(asked_of("transformer")[0])["edges"]["attention.scores"]
    assert page.locator(".sr-edge dd").all_inner_texts()[1:] == [sizes[when] for when in ("start", "backward", "changed")]
    assert page.locator(".edge.chosen").count() > 0


def test_search_finds_attention(site, browser):
    page = Looked(browser, site / "index.html").page
    page.keyboard.press("Control+k")
    page.keyboard.type("attention")
    page.get_by_text("Optimizers, gauges and alignment").first.wait_for(timeout=10_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(site, browser, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    for name in KINDS:
        page = Looked(browser, site / f"{name}.html", scheme=scheme).page
        found = axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]
        grave = [(one["id"], one["nodes"][0]["html"][:200]) for one in found if one["impact"] in ("serious", "critical")]
        assert not grave, (name, grave)
