"""The navigation: the settings with every folder that they name with a slash filled in, and what it leaves out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from ruamel.yaml import YAML

from .page import Page
from .places import SITE

Entry = dict[str, Any]


class SiteError(Exception):
    """What keeps the site from being built, a line each, with the name of the page or file."""


def settings(pages: Sequence[Page]) -> Entry:
    """The settings of the site. Raises `SiteError` where navigation and pages do not name the same."""
    found = cast(Entry, YAML(typ="safe").load((SITE / "mkdocs.yml").read_text(encoding="utf-8")))
    found["nav"] = [_filled(entry, pages) for entry in cast("list[Entry]", found["nav"])]
    named, there = list(_paths(found["nav"])), {page.path for page in pages}
    lines = [f"{path}: the navigation does not name it" for path in sorted(there - set(named))]
    lines += [f"{path}: named by the navigation, but there is no such page" for path in named if path not in there]
    lines += [f"{path}: named twice by the navigation" for path in sorted({p for p in named if named.count(p) > 1})]
    if lines:
        raise SiteError("\n".join(lines))
    return found


def _filled(entry: Entry, pages: Sequence[Page]) -> Entry:
    ((title, target),) = entry.items()
    if isinstance(target, list):
        return {title: [_filled(inner, pages) for inner in cast("list[Entry]", target)]}
    if not str(target).endswith("/"):
        return entry
    inside = [page for page in pages if page.path.startswith(target)]
    return {title: [page.path if page.path == f"{target}index.md" else {page.title: page.path} for page in inside]}


def _paths(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        for target in entry.values() if isinstance(entry, dict) else [entry]:
            if isinstance(target, list):
                yield from _paths(cast("list[Any]", target))
            else:
                yield str(target)
