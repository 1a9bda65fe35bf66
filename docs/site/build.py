"""From the engine and the guides to the site: pages, settings, zensical, checks."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml import YAML

from scalerules.catalogue.graphs import catalogue
from scalerules.pages.frame import FOLDER as PAGES

from .answers import answers
from .architectures import architecture_pages
from .checks import Checked, check
from .coverage import coverage_page
from .gauges import gauge_pages
from .navigation import SiteError, settings
from .operations import operation_pages
from .optimizers import optimizer_pages
from .page import Page
from .places import ASSETS, BUILD, DOCS
from .question import asked_of
from .reference import reference_pages
from .sources import with_sources

BUNDLED = {
    "tokens.css": PAGES, "drawing.css": PAGES, "site.css": ASSETS, "site.js": ASSETS, "iframe-worker.js": ASSETS,
}  # fmt: skip
"""What the pages load beside the theme's own files, and where it is kept."""
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
QUOTED = ("\N{BOX DRAWINGS LIGHT VERTICAL}", "\N{BOX DRAWINGS LIGHT HORIZONTAL}")
SHIM = "https://unpkg.com/iframe-worker/shim"
"""What the theme would fetch to search pages that were opened as files; it is bundled instead."""


def build(folder: Path = BUILD, only: Sequence[str] = (), jobs: int = 2) -> Checked:
    """Builds the site in `folder`/site. `only`: the architectures that get a page (all), beside the perceptron.

    Raises `SiteError`.
    """
    names = tuple(name for name in catalogue() if not only or name in (*only, "mlp"))
    _bundled()
    beside = _beside(names)
    settings(beside)  # what the navigation lacks is said before minutes of deriving
    asked = [one for name in names for one in asked_of(name)]
    pages = with_sources([*beside, *architecture_pages(names, answers(asked, folder / "answers", jobs))])
    config = settings(pages)
    _write(pages, folder / "pages")
    with (folder / "mkdocs.yml").open("w", encoding="utf-8") as file:
        YAML().dump(config, file)
    _built(folder)
    return check(folder / "site")


def _bundled() -> None:
    """Raises `SiteError` for files that the pages load and that are not there."""
    missing = [place / name for name, place in BUNDLED.items() if not (place / name).is_file()]
    if missing:
        raise SiteError("\n".join(f"{file}: the site needs this file" for file in missing))


def _beside(names: Sequence[str]) -> list[Page]:
    """Every page but those of architectures: the guides as they are, and what the engine makes at once."""
    made = [*operation_pages(), *optimizer_pages(), *gauge_pages(), *reference_pages(), coverage_page(names)]
    return [*guides(), *made]


def guides() -> list[Page]:
    """The Markdown files of docs/."""
    files = sorted(file for file in DOCS.rglob("*.md") if "site" not in file.relative_to(DOCS).parts)
    return [Page(f.relative_to(DOCS).as_posix(), f.stem, f.read_text(encoding="utf-8")) for f in files]


def _write(pages: Sequence[Page], folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for page in pages:
        file = folder / page.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(page.text, encoding="utf-8")
        if page.script:
            file.with_suffix(".js").write_text(page.script, encoding="utf-8")
    shutil.copytree(DOCS / "images", folder / "images")
    (folder / "assets").mkdir()
    for name, place in BUNDLED.items():
        shutil.copy(place / name, folder / "assets" / name)


def _said(output: str) -> str:
    """What zensical says and where, without colours and without the source, which it quotes whole for each fault."""
    lines = [line.strip() for line in COLOUR.sub("", output.partition("Traceback")[0]).splitlines()]
    return "\n".join(line for line in lines if line and not line.startswith(QUOTED) and not line[0].isdigit())


def _built(folder: Path) -> None:
    """Runs zensical, and takes from its pages what would be fetched from the network."""
    shutil.rmtree(folder / "site", ignore_errors=True)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "-f", str(folder / "mkdocs.yml")]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        raise SiteError(_said(ran.stdout + ran.stderr))
    for file in (folder / "site").rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        up = "../" * (len(file.relative_to(folder / "site").parts) - 1)
        file.write_text(text.replace(SHIM, f"{up}assets/iframe-worker.js"), encoding="utf-8")
