"""Links from pages to files of the checkout: each such file becomes a page, so that the site stands alone."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from .navigation import SiteError
from .page import Page, titled
from .places import ROOT

LINK = re.compile(r"(!?\[[^\]]*\])\(([^)\s#]*)(#[^)\s]*)?\)")
MOVED = {"README.md": "index.md", "derivations/README.md": "architectures/index.md"}
"""Pages of the checkout whose place in the site is another page."""
LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml"}


def with_sources(pages: Sequence[Page]) -> list[Page]:
    """The pages with their links to files of the checkout turned into links to pages, and those pages.

    Raises `SiteError` for a link that leads nowhere.
    """
    made: dict[str, Page] = {}
    broken: list[str] = []
    there = {f"docs/{page.path}" for page in pages}
    changed = [replace(page, text=_linked(page, there, made, broken)) for page in pages]
    if broken:
        raise SiteError("\n".join(broken))
    return [*changed, *(made[path] for path in sorted(made))]


def _linked(page: Page, there: Collection[str], made: dict[str, Page], broken: list[str]) -> str:
    """The text of a page, its links outside the pages replaced; `there` are the pages."""
    here = posixpath.dirname(f"docs/{page.path}")

    def link(match: re.Match[str]) -> str:
        shown, target, anchor = match[1], match[2], match[3] or ""
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        path = posixpath.normpath(posixpath.join(here, target))
        if path in MOVED:
            return f"{shown}({posixpath.relpath('docs/' + MOVED[path], here)}{anchor})"
        if path not in there and not (ROOT / path).exists():
            broken.append(f"{page.path}: {target} leads nowhere")
        if path.startswith("docs/") or not (ROOT / path).exists():
            return match[0]
        place = _source(path, made)
        return f"{shown}({posixpath.relpath('docs/' + place, here)})"

    return LINK.sub(link, page.text)


def _source(path: str, made: dict[str, Page]) -> str:
    """The page of a file, or of a folder with its files; it is made when it is first linked."""
    place = f"sources/{path}.md"
    if place not in made:
        made[place] = Page(place, path, "")
        file = ROOT / path
        text = _listed(path, file, made) if file.is_dir() else _shown(file)
        made[place] = Page(place, path, titled(f"`{path}`", text))
    return place


def _shown(file: Path) -> str:
    return f"````{LANGUAGES.get(file.suffix, 'text')}\n{file.read_text(encoding='utf-8').rstrip()}\n````"


def _listed(path: str, folder: Path, made: dict[str, Page]) -> str:
    files = sorted(file.name for file in folder.iterdir() if file.suffix in LANGUAGES)
    here = posixpath.dirname(f"sources/{path}")
    places = [posixpath.relpath(_source(f"{path}/{name}", made), here) for name in files]
    return "\n".join(f"* [{name}]({place})" for name, place in zip(files, places, strict=True))
