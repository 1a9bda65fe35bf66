"""The answers to what the pages ask, each as the data that its page shows: derived in parallel, kept by fingerprint.

What was derived is kept under build/ for as long as no source of the engine changes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
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
    """Every answer, from the folder `kept` where it is there, else derived in `jobs` processes."""
    folder = kept / fingerprint()
    folder.mkdir(parents=True, exist_ok=True)
    places = {one: folder / (hashlib.sha256(repr(one).encode()).hexdigest()[:24] + ".json") for one in asked}
    missing = [one for one, place in places.items() if not place.is_file()]
    if missing:
        with ProcessPoolExecutor(jobs) as pool:
            for one, text in zip(missing, pool.map(_derived, missing), strict=True):
                places[one].write_text(text, encoding="utf-8")
    return {one: json.loads(place.read_text(encoding="utf-8")) for one, place in places.items()}


def _derived(asked: Asked) -> str:
    return json.dumps(answer(asked))


def answer(asked: Asked) -> Data:
    """One answer: the rules with their stories, predicted sizes and copies, or the clash that takes their place."""
    built = graph(asked.graph)
    try:
        solution = derive(
            built, optimizer=asked.optimizer, mode=asked.mode, gauge=asked.gauge,
            scales=dict.fromkeys(asked.scales, 1), progress=False,
        )  # fmt: skip
    except ScaleRulesError as clash:
        if clash.exit_status != 1:
            raise
        return {"command": asked.command, "clash": str(clash)}
    names = (*solution.parameters, *solution.multipliers)
    return {
        "command": asked.command,
        "parameters": {name: _rule(rule) for name, rule in solution.parameters.items()},
        "multipliers": {name: {"factor": powers(size)} for name, size in solution.multipliers.items()},
        "direction": {scale: str(growth) for scale, growth in solution.direction.items()},
        "cone": list(solution.cone),
        "assumptions": list(solution.assumptions),
        "warnings": list(solution.warnings),
        "edges": _edges(solution),
        "stories": {name: story(solution, name) for name in names},
        "copies": _copies(solution),
    }


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
    data = json.loads(solution.to_json())
    kept = {name: data[name] for name in data if name not in ("sizes", "explanations", "derivation")}
    copies = {
        "Markdown": "\n".join(rules(solution)) + "\n",
        "LaTeX": solution.to_latex().partition("\\begin{itemize}")[0].rstrip() + "\n",
        "JSON": json.dumps(kept, indent=1) + "\n",
    }
    try:
        return {"PyTorch": emit(solution, "pytorch")} | copies
    except ScaleRulesError:
        return copies
