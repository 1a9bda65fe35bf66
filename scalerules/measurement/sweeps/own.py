"""A training loop of one's own in a sweep: called with a rate, a seed, a rule at a size and the values of the scales.

What a run is known by holds the text of the file that the function stands in, so that a change there makes new runs.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import json
import math
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scalerules.architecture.graph import Graph
from scalerules.derivation.export import apply
from scalerules.errors import ScaleRulesError
from scalerules.solution.solution import Solution

from ..footprint import step_cost
from .store import REVISION, Outcome, numbers_of, texts

Train = Callable[..., Any]


@dataclass(frozen=True)
class RuleAt:
    """A rule at a size: what a training loop sets its model up with.

    `solution` holds the exponents, `base` and `sizes` the values of the scales.
    """

    solution: Solution
    base: Mapping[str, float]
    sizes: Mapping[str, float]

    def apply(self, model: Any, **options: Any) -> Any:
        """What `scalerules.apply` returns for the model; `options` are its further arguments: `lr`, `reference`, ..."""
        return apply(model, self.solution, base=self.base, sizes=self.sizes, **options)


@dataclass(frozen=True)
class OwnJob:
    """One call of a training function: `lr` is the value of the number that is swept, called `over`."""

    train: Train
    over: str
    rule: str
    graph: Graph
    solution: Solution
    sizes: Mapping[str, float]
    base: Mapping[str, float]
    lr: float
    seed: int
    text: str
    steps: int = 1

    @property
    def key(self) -> str:
        """The hash of everything that the result depends on, as far as it can be seen."""
        facts = {
            "revision": REVISION, "train": self.text, "over": self.over, "optimizer": self.solution.optimizer,
            "numbers": numbers_of(self.solution, self.sizes, self.base), "sizes": texts(self.sizes),
            "base": texts(self.base), "lr": f"{self.lr:.12g}", "seed": self.seed,
        }  # fmt: skip
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]

    @property
    def cost(self) -> float:
        """About how long a run takes, next to others."""
        return step_cost(self.graph, self.sizes)

    def run(self) -> Outcome:
        """Calls the function. Raises `ScaleRulesError` with its arguments, file and line where it fails."""
        sizes, base = _whole(self.sizes), _whole(self.base)
        given = {self.over: self.lr, "seed": self.seed, self.rule: RuleAt(self.solution, base, sizes)}
        began = time.process_time()
        try:
            loss = self.train(**given, **_taken(self.train, sizes))
            value = float(loss.detach() if hasattr(loss, "detach") else loss)
        except Exception as error:
            values = {self.over: self.lr, "seed": self.seed, **sizes}
            shown = ", ".join(f"{name}={value:g}" for name, value in values.items())
            raise _failed(error, self.train, shown) from error
        value = value if math.isfinite(value) else math.inf
        return Outcome(value, not math.isfinite(value), (), time.process_time() - began)


def _whole(sizes: Mapping[str, float]) -> dict[str, float]:
    """Values of scales, whole ones as a module wants them."""
    return {scale: int(value) if float(value).is_integer() else value for scale, value in sizes.items()}


def own_job(train: Train, over: str, graph: Graph, solution: Solution, base: Mapping[str, float]) -> OwnJob:
    """The runs of a function, rate and seed to be filled in. Raises `ScaleRulesError` for one that cannot be called."""
    rule = _argument_of_rule(train, over, graph)
    by_value(train)
    return OwnJob(train, over, rule, graph, solution, base, base, 0.0, 0, _text(train))


def is_training(function: object) -> bool:
    """Whether a function takes a seed and a rule, and not only the values of scales."""
    if not callable(function):
        return False
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
    return "seed" in parameters


def _argument_of_rule(train: Train, over: str, graph: Graph) -> str:
    """The name of the argument that takes the rule: whatever is no rate, seed or scale."""
    parameters = inspect.signature(train).parameters
    plain = [p for p in parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    names, where = [p.name for p in plain], f"{name_of(train)}()"
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    hint = f"def train({over}, seed, rule, {', '.join(graph.scales)}): ...; return loss"
    for needed in (over, "seed"):
        if needed not in names:
            raise ScaleRulesError(f"takes no {needed!r}", where=where, hint=hint)
    free = [p.name for p in plain if p.name not in (over, "seed", *graph.scales) and p.default is p.empty]
    if len(free) != 1:
        what = f"has no argument for the rule: takes {', '.join(names)}" if not free else (
            f"needs {' and '.join(free)}, and one of them takes the rule")  # fmt: skip
        raise ScaleRulesError(what, where=where, hint=hint)
    if not takes_any and not any(name in names for name in graph.scales):
        raise ScaleRulesError(f"takes no size: {', '.join(graph.scales)}", where=where, hint=hint)
    return free[0]


def _taken(train: Train, sizes: Mapping[str, float]) -> dict[str, float]:
    """The values of the scales that the function takes."""
    parameters = inspect.signature(train).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return {name: value for name, value in sizes.items() if takes_any or name in parameters}


def _text(train: Train) -> str:
    """What stands for the function in the hash of a run: the text of its file, and what it was bound to."""
    inner, bound = train, ""
    while hasattr(inner, "func"):  # functools.partial
        partial: Any = inner
        bound, inner = f"{bound} {partial.args!r} {sorted(partial.keywords.items())!r}", partial.func
    try:
        file = inspect.getsourcefile(inner)
        source = Path(file).read_text(encoding="utf-8") if file else inspect.getsource(inner)
    except (OSError, TypeError, UnicodeError):
        source = ""
    return hashlib.sha256(f"{name_of(inner)}{bound}\n{source}".encode()).hexdigest()


def name_of(train: Train) -> str:
    """The name of a function, of a class with `__call__` that of the class."""
    return getattr(train, "__qualname__", type(train).__name__)


def by_value(train: Train) -> None:
    """Lets other processes have a function whose file they could not import."""
    module = sys.modules.get(getattr(train, "__module__", None) or "")
    if module is None or module.__name__ == "__main__":
        return
    try:
        importable = importlib.util.find_spec(module.__name__) is not None
    except (ImportError, ValueError):
        importable = False
    if importable and module.__spec__ is not None and not module.__name__.startswith("scalerules_user_"):
        return
    for name in ("cloudpickle", "joblib.externals.cloudpickle"):  # joblib brought its own until 1.5
        try:
            library: Any = importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        library.register_pickle_by_value(module)


def _failed(error: Exception, train: Train, shown: str) -> ScaleRulesError:
    inner: Any = train
    while hasattr(inner, "func"):
        inner = inner.func
    file = getattr(getattr(inner, "__code__", None), "co_filename", None)
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    said = " ".join(str(error).split())
    what = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return ScaleRulesError(what, where=f"{name_of(train)}({shown})", file=file, line=lines[-1] if lines else None)
