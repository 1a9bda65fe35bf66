"""Every code block of README and docs runs: Python is run, commands are run and what they show is compared.

A console block may end a result with a line `...`: what follows is not compared. A Python block is left out by
putting `<!--- skip: next -->` above it, with a reason.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
from pathlib import Path

import pytest
from sybil import Document, Example
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

from scalerules.commands.main import main

ROOT = Path(__file__).parent.parent
PAGES = [page for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if page.is_file()]


def console(example: Example) -> None:
    """Runs the lines that start with `$ scalerules` and compares what is shown below them."""
    for command in f"\n{example.parsed}".split("\n$ ")[1:]:
        line, _, expected = command.partition("\n")
        words = shlex.split(line, comments=True)
        assert words[0] == "scalerules", f"only commands of scalerules are run: {line}"
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            status = main(words[1:])
        assert status == 0, f"{line} ends with status {status}"
        wanted, more, _ = f"{expected.rstrip()}\n".partition("...\n")
        given = shown.getvalue().rstrip() + "\n"
        if wanted.strip():
            assert (given[: len(wanted)] if more else given) == wanted, f"{line} shows\n{given}"


PARSERS = [PythonCodeBlockParser(), CodeBlockParser(language="console", evaluator=console), SkipParser()]


def is_slow(page: Path) -> bool:
    """Pages that train something."""
    text = page.read_text(encoding="utf-8")
    return bool(re.search(r"^\$ scalerules (verify|transfer|fuzz)|sr\.(verify|transfer)\(", text, re.MULTILINE))


@pytest.mark.parametrize(
    "page", [pytest.param(p, marks=[pytest.mark.slow] if is_slow(p) else []) for p in PAGES], ids=lambda p: p.name
)
def test_code_blocks(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()):
        for example in Document.parse(str(page), *PARSERS).examples():
            example.evaluate()


def test_examples_in_docstrings():
    import doctest
    import importlib
    import pkgutil

    import scalerules

    ran = 0
    for module in pkgutil.walk_packages(scalerules.__path__, "scalerules."):
        if not module.name.startswith(("scalerules.graphs", "scalerules.backends", "scalerules.__main__")):
            result = doctest.testmod(importlib.import_module(module.name))
            assert result.failed == 0, module.name
            ran += result.attempted
    assert ran > 0


def test_readme_names_the_two_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "\nmake demo\n" in text and "\nmake test\n" in text


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert os.path.exists(page.parent / target), f"{page}: {target}"
