"""What has to hold of the built site: links lead somewhere, and nothing is asked of the network."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .navigation import SiteError

LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
"""What a browser loads by itself."""


@dataclass(frozen=True)
class Checked:
    """How much there is, and how many links were followed."""

    pages: int
    links: int
    size: int

    def __str__(self) -> str:
        return f"{self.pages} pages, {self.size / 1e6:.1f} MB, {self.links} links checked"


@dataclass
class _Page(HTMLParser):
    ids: set[str] = field(default_factory=set[str])
    links: list[str] = field(default_factory=list[str])
    loaded: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.ids |= {value for key in ("id", "name") if (value := named.get(key))}
        if tag == "a" and (target := named.get("href")):
            self.links.append(target)
        if (key := LOADED.get(tag)) and (target := named.get(key)) and named.get("rel") != "canonical":
            self.loaded.append(target)


def check(site: Path) -> Checked:
    """Follows every link of the site. Raises `SiteError` with a line for each that does not lead anywhere."""
    pages = {file.relative_to(site).as_posix(): _read(file) for file in sorted(site.rglob("*.html"))}
    lines: list[str] = []
    links = 0
    for path, page in pages.items():
        lines += [f"{path}: loads {target} from the network" for target in page.loaded if urlsplit(target).netloc]
        for target in (*page.links, *page.loaded):
            if not urlsplit(target).scheme and not urlsplit(target).netloc:
                links += 1
                lines += _broken(site, pages, path, target)
    if lines:
        raise SiteError("\n".join(dict.fromkeys(lines)))
    return Checked(len(pages), links, sum(file.stat().st_size for file in site.rglob("*") if file.is_file()))


def _read(file: Path) -> _Page:
    page = _Page()
    page.feed(file.read_text(encoding="utf-8"))
    return page


def _broken(site: Path, pages: dict[str, _Page], path: str, target: str) -> list[str]:
    parts = urlsplit(target)
    place = posixpath.join("/", posixpath.dirname(path), unquote(parts.path)) if parts.path else f"/{path}"
    place = posixpath.normpath(place).lstrip("/") or "index.html"
    if not (site / place).exists():
        return [f"{path}: {target} leads nowhere"]
    anchor = unquote(parts.fragment)
    if anchor and place in pages and anchor not in pages[place].ids and not anchor.startswith("__"):
        return [f"{path}: {target} names a place that {place} has not"]
    return []
