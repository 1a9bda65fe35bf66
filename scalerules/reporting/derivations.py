"""The folder derivations/: one page per architecture and optimizer, written by the engine, committed, never edited.

`scalerules check` holds what is committed against what the engine gives now; `scalerules check --write` writes it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scalerules.catalogue.graphs import catalogue, graph, headlines
from scalerules.derivation import derive
from scalerules.errors import ScaleRulesError
from scalerules.solution import Solution

FOLDER = "derivations"


@dataclass(frozen=True)
class Page:
    """One derivation: an optimizer, the options of the architecture and of `derive`, the name of the file."""

    optimizer: str
    name: str = ""
    build: Mapping[str, Any] = field(default_factory=dict[str, Any])
    asked: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def file(self) -> str:
        """Name of the file in the folder of the architecture."""
        return f"{self.name or self.optimizer}.md"


USUAL = (Page("sgd"), Page("adam"), Page("muon"))
"""The pages of every architecture: one optimizer of each kind (gradient, entrywise, spectral)."""

EXTRA: Mapping[str, tuple[Page, ...]] = {
    "mamba": (
        Page("adam", "adam-isolated-state", asked={"scales": {"width": 1, "state": "1/4"}, "mode": "isolated"}),
        Page("sgd", "sgd-isolated", asked={"mode": "isolated"}),
        Page("adam", "adam-euler", build={"discretisation": "euler"}),
    ),
}
"""Pages that only some architectures have."""


def pages() -> Iterator[tuple[str, Page]]:
    """Every page with the name of its architecture."""
    for name in catalogue():
        for page in (*USUAL, *EXTRA.get(name, ())):
            yield name, page


def texts(wrong: list[str] | None = None) -> dict[str, str]:
    """What the engine gives now: the text of every file by its path in the folder. Takes a minute.

    `wrong` is filled with what the independent checker refuses.
    """
    files: dict[str, str] = {}
    for name, page in pages():
        try:
            solution = derive(graph(name, **page.build), optimizer=page.optimizer, **page.asked)
            files[f"{name}/{page.file}"] = solution.to_markdown()
            if wrong is not None and (failure := _refused(solution)):
                wrong.append(f"{FOLDER}/{name}/{page.file}: {failure}")
        except ScaleRulesError as clash:
            # Where the equations clash, the smallest clash is the result; a mistake is not.
            if clash.exit_status != 1:
                raise
            files[f"{name}/{page.file}"] = f"# {name}, {page.optimizer}: no solution\n\n```text\n{clash}\n```\n"
    files["README.md"] = _index()
    return files


def _refused(solution: Solution) -> str | None:
    """What the independent checker refuses of a derivation, if anything."""
    try:
        solution.check()
    except ScaleRulesError as error:
        return error.what
    return None


def drift(folder: Path | None = None) -> list[str]:
    """Lines that say which files of the folder are missing, differ, or are not made by the engine; empty: none.

    `folder` is derivations/ in the current folder by default. Raises `ScaleRulesError` where it is not there.
    """
    folder = folder or Path(FOLDER)
    if not folder.is_dir():
        raise ScaleRulesError(
            f"there is no folder {FOLDER}/ here", where=str(Path.cwd()), hint="run in a checkout of the project"
        )
    wrong: list[str] = []
    expected = {name: text.encode() for name, text in texts(wrong).items()}
    committed = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*.md")}
    lines = [f"{FOLDER}/{name}: missing" for name in sorted(set(expected) - set(committed))]
    lines += [f"{FOLDER}/{name}: the engine does not make it" for name in sorted(set(committed) - set(expected))]
    for name in sorted(set(expected) & set(committed)):
        if expected[name] != committed[name]:
            lines.append(f"{FOLDER}/{name}: {_difference(committed[name].decode(), expected[name].decode())}")
    return [*wrong, *lines, *(["to write it again: scalerules check --write"] if lines else [])]


def regenerate(folder: Path | None = None) -> list[str]:
    """Writes the folder, removes the pages that the engine no longer makes; returns the paths that changed."""
    folder = folder or Path(FOLDER)
    written, changed = texts(), list[str]()
    for name, text in written.items():
        file = folder / name
        if not file.is_file() or file.read_bytes() != text.encode():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode())
            changed.append(f"{FOLDER}/{name}")
    for file in sorted(folder.rglob("*.md")):
        if file.relative_to(folder).as_posix() not in written:
            file.unlink()
            changed.append(f"{FOLDER}/{file.relative_to(folder).as_posix()} (removed)")
    return changed


def _difference(committed: str, now: str) -> str:
    """The first line in which two texts differ."""
    old, new = committed.splitlines(), now.splitlines()
    for number, (was, is_) in enumerate(zip(old, new, strict=False), start=1):
        if was != is_:
            return f"differs in line {number}: {was!r} is now {is_!r}"
    return f"has {len(old)} lines, is now {len(new)}" if len(old) != len(new) else "differs in its line ends"


def _index() -> str:
    by_graph: dict[str, list[Page]] = {}
    for name, page in pages():
        by_graph.setdefault(name, []).append(page)
    lines = [
        "# Derivations",
        "",
        "Written by the engine (`scalerules check --write`) and compared with it byte for byte (`scalerules check`).",
        "",
        "| architecture | what it is | pages |",
        "| --- | --- | --- |",
    ]
    for name, headline in headlines():
        links = ", ".join(f"[{page.file[:-3]}]({name}/{page.file})" for page in by_graph[name])
        lines.append(f"| `{name}` | {headline} | {links} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    for changed in regenerate():
        sys.stderr.write(f"wrote {changed}\n")
