"""The answers to what the pages ask, each as the data that its page shows: derived in parallel, kept by fingerprint.

What was derived is kept under build/ for as long as no source of the engine changes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from scalerules.catalogue.graphs import graph
from scalerules.derivation import derive, emit
from scalerules.errors import ScaleRulesError
from scalerules.sizes.exponents import Exponents
from scalerules.solution.markdown import rules
from scalerules.solution.rule import SIZES, Rule
from scalerules.solution.solution import Solution

from .places import ROOT
from .question import Asked
from .stories import story

Data = dict[str, Any]
SOURCES = ("scalerules", "graphs", "backends/pytorch", "docs/site/answers.py", "docs/site/stories.py")
"""What an answer depends on."""


def fingerprint() -> str:
    """A hash of every source that the answers depend on."""
    digest = hashlib.sha256()
    for source in (ROOT / source for source in SOURCES):
        for file in sorted(source.rglob("*.py")) if source.is_dir() else [source]:
            digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def answers(asked: Iterable[Asked], kept: Path, jobs: int = 2) -> dict[Asked, Data]:
    """Every answer, from the folder `kept` where it is there, else derived in `jobs` processes, the dearest first."""
    folder = kept / fingerprint()
    folder.mkdir(parents=True, exist_ok=True)
    places = {one: folder / (hashlib.sha256(repr(one).encode()).hexdigest()[:24] + ".json") for one in asked}
    missing = sorted((one for one, place in places.items() if not place.is_file()), key=_dearest)
    runs = [tuple(run) for _, run in groupby(missing, key=_run)]
    if runs:
        with ProcessPoolExecutor(jobs) as pool:
            for run, texts in zip(runs, pool.map(_derived, runs), strict=True):
                for one, text in zip(run, texts, strict=True):
                    places[one].write_text(text, encoding="utf-8")
    return {one: json.loads(place.read_text(encoding="utf-8")) for one, place in places.items()}


def _dearest(asked: Asked) -> tuple[Any, ...]:
    return -len(asked.scales), asked.mode != "joint", _run(asked), asked.gauge != "plain"


def _run(asked: Asked) -> tuple[Any, ...]:
    """What one derivation answers: a gauge writes it in another way."""
    return asked.graph, asked.optimizer, asked.mode, asked.scales


def _derived(run: Sequence[Asked]) -> list[str]:
    return [json.dumps(one) for one in written(run)]


def written(run: Sequence[Asked]) -> Iterator[Data]:
    """The answers to questions that differ by their gauge, from one derivation; its clash, where there is one."""
    first = run[0]
    try:
        solution = derive(
            graph(first.graph), optimizer=first.optimizer, mode=first.mode, scales=dict.fromkeys(first.scales, 1),
            progress=False,
        )  # fmt: skip
    except ScaleRulesError as clash:
        if clash.exit_status != 1:
            raise
        yield from ({"command": one.command, "clash": str(clash)} for one in run)
        return
    for one in run:
        yield {"command": one.command} | (
            _rules(solution.in_gauge(one.gauge)) | ({} if one.gauge != "plain" else _causes(solution))
        )


def answer(asked: Asked) -> Data:
    """One answer: the rules and their copies, with the stories and predicted sizes of the plain gauge, or the clash."""
    return next(written([asked]))


def _rules(solution: Solution) -> Data:
    """What depends on the gauge."""
    return {
        "parameters": {name: _rule(rule) for name, rule in solution.parameters.items()},
        "multipliers": {name: {"factor": powers(size)} for name, size in solution.multipliers.items()},
        "direction": {scale: str(growth) for scale, growth in solution.direction.items()},
        "cone": list(solution.cone),
        "assumptions": list(solution.assumptions),
        "warnings": list(solution.warnings),
        "copies": _copies(solution),
    }


def _causes(solution: Solution) -> Data:
    """What is the same in every gauge, and stands with the plain one."""
    names = (*solution.parameters, *solution.multipliers)
    return {"edges": _edges(solution), "stories": {name: story(solution, name) for name in names}}


def powers(size: Exponents) -> dict[str, str]:
    """The exponents that are not zero, as exact fractions in text."""
    return {scale: str(value) for scale, value in size.fractions.items() if value}


def _rule(rule: Rule) -> Data:
    cells = {size: powers(getattr(rule, size)) for size in SIZES}
    further = {name: powers(size) for name, size in rule.dampings.items()}
    return {"shape": " ".join(rule.shape), "log": list(rule.log), "cells": cells | further}


def _edges(solution: Solution) -> dict[str, Mapping[str, str]]:
    """By node: the sizes of its value at the start, of its change, of its gradient where a row has one."""
    found: dict[str, dict[str, str]] = {}
    for predicted in solution.sizes:
        if predicted.quantity in ("value", "change"):
            name = "start" if predicted.quantity == "value" else "changed"
            found.setdefault(predicted.node, {})[name] = "zero" if predicted.size is None else str(predicted.size)
    for row in solution.derivation or ():
        if row.stage == "backward" and not row.second:
            found.setdefault(row.quantity, {}).setdefault("backward", str(row.size))
    return dict(found)


def _copies(solution: Solution) -> dict[str, str]:
    """The rules as they are copied from the page: the table in two notations, as data, as code where there is some."""
    bare = replace(solution, sizes=(), explanations={}, told=None, story=None)
    copies = {
        "Markdown": "\n".join(rules(solution)) + "\n",
        "LaTeX": bare.to_latex().partition("\\begin{itemize}")[0].rstrip() + "\n",
        "JSON": bare.to_json(),
    }
    try:
        return {"PyTorch": emit(solution, "pytorch")} | copies
    except ScaleRulesError:
        return copies
