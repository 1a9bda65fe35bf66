"""A law of one's own: a file with a function `law`, or one that is registered under a name.

A file is `law(g)`, `law(g, w)` or `law(g, w, p)`; a `perturbation` beside it is a law too, of what parameters are moved
by before the gradient is taken. What trains it (`step`, or a class of torch) is looked for in the same file.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from scalerules.boundary.guard import Endless, guarded, said
from scalerules.boundary.source import module_of
from scalerules.errors import ScaleRulesError, nearest

from .form import KINDS, Formula, arity, checked, form
from .law import Optimizer
from .symbolic import Quantity
from .table import OPTIMIZERS

LAW, PERTURBATION = "law", "perturbation"

STEPS: dict[str, Any] = {}
"""What trains a registered law, by its name."""

ASKED: set[str] = set()
"""The files that were asked for: what a solution says alone runs no file."""


def register(name: str, law: Formula, *, perturbation: Formula | None = None, step: Any = None) -> Optimizer:
    """Makes a law known under a name for as long as Python runs; its docstring says what it does.

    `step` trains it: a function, or a class of torch. Raises `ScaleRulesError` for what is no law.
    """
    if not name.replace("-", "_").isidentifier():
        raise ScaleRulesError(f"{name!r} cannot name an optimizer", hint="letters, digits, '_' and '-'")
    if name in OPTIMIZERS and OPTIMIZERS[name].file is None:
        raise ScaleRulesError("is one of the optimizers that come along", where=f"optimizer {name!r}")
    file = inspect.getsourcefile(law) if inspect.isfunction(law) else None
    optimizer = _optimizer(name, {LAW: law, PERTURBATION: perturbation}, file or name)
    OPTIMIZERS[name] = optimizer
    STEPS[name] = step
    return optimizer


def from_file(text: str) -> Optimizer:
    """The optimizer in a user's file. Raises `ScaleRulesError` with file and line."""
    optimizer = _optimizer(text, vars(module(text)), text)
    ASKED.add(text)
    return optimizer


def module(text: str) -> ModuleType:
    """The module in a user's file, loaded again where the file has changed."""
    path = Path(text).expanduser()
    if not path.is_file():
        near = [file.name for file in path.parent.glob("*.py")] if path.parent.is_dir() else []
        hint = nearest(path.name, near) if near else "a file with a function law(g, w, p)"
        raise ScaleRulesError("there is no such file", file=text, hint=hint)
    return _loaded(text, path.resolve(), path.stat().st_mtime_ns)


@functools.cache
def _loaded(text: str, path: Path, changed: int) -> ModuleType:
    if path.suffix != ".py":
        raise ScaleRulesError("cannot be imported", file=text)
    try:
        with guarded(text):
            return module_of(path, f"scalerules_optimizer_{path.stem}")
    except Endless:
        raise
    except (Exception, SystemExit) as error:
        raise told(error, text) from error


def _optimizer(name: str, names: Mapping[str, Any], file: str) -> Optimizer:
    law = names.get(LAW)
    if not inspect.isfunction(law):
        raise ScaleRulesError(f"has no function {LAW!r}", file=file, hint=_meant(names))
    perturbation = names.get(PERTURBATION)
    if perturbation is not None and not inspect.isfunction(perturbation):
        raise ScaleRulesError(f"{PERTURBATION!r} is no function", file=file, hint="perturbation(g, w, p)")
    reason = " ".join((inspect.getdoc(law) or "").partition("\n\n")[0].split()) or f"The law in {file}."
    reason = reason if reason.endswith(".") else reason + "."
    source = names.get("SOURCE") or file
    formula, moving = _watched(law, file), perturbation and _watched(perturbation, file)
    for one in filter(None, (formula, moving)):
        for facts in KINDS:
            form(one, facts)
    return Optimizer(name, reason, str(source), formula, moving, file=file, original=law)


def _watched(law: Formula, file: str) -> Formula:
    """The law, whose mistakes are told with file and line."""
    line = law.__code__.co_firstlineno
    try:
        count = arity(law)
    except ScaleRulesError as error:
        error.file, error.line, error.where = file, line, f"{law.__name__}()"
        raise

    def watched(g: Any, w: Any, p: Any) -> Any:
        try:
            update = law(*(g, w, p)[:count])
        except Exception as error:
            raise told(error, file) from error
        if not isinstance(g, Quantity):  # in numbers
            return update
        try:
            return checked(update)
        except ScaleRulesError as error:
            error.file, error.line, error.where = file, line, f"{law.__name__}()"
            raise

    return watched


def torch_class(law: Optimizer) -> type | None:
    """The class of torch that comes with a law, if one does; torch itself is not needed to see it."""
    if law.file is None:
        return None
    registered = STEPS.get(law.name.partition("(")[0])
    names = (
        {"step": registered} if registered is not None else vars(module(law.file)) if law.file.endswith(".py") else {}
    )
    written = names.get("step")
    if written is not None:
        return written if inspect.isclass(written) else None
    own = [x for x in names.values() if inspect.isclass(x) and x.__module__ == names.get("__name__")]
    return next((kind for kind in reversed(own) if any(_of_torch(base) for base in kind.__mro__[1:])), None)


def _of_torch(kind: type) -> bool:
    return kind.__name__ == "Optimizer" and kind.__module__.startswith("torch.optim")


def told(error: BaseException, file: str) -> ScaleRulesError:
    """An exception of a user's file, in one line with its place there."""
    mine = error if isinstance(error, ScaleRulesError) else ScaleRulesError(said(error), hint=_advice(error))
    if mine.line is None:
        mine.file = file
        if isinstance(error, SyntaxError) and Path(error.filename or file).absolute() == Path(file).absolute():
            mine.line, mine.column = error.lineno, error.offset
        else:
            mine.line = _line(error, file)
    return mine


def _advice(error: BaseException) -> str | None:
    """What to write instead of what laws cannot use."""
    if isinstance(error, ImportError) and error.name == __package__:
        word = str(error).partition("'")[2].partition("'")[0]
        return nearest(word, sys.modules["scalerules.optimizers"].__all__)
    if isinstance(error, TypeError) and Quantity.__name__ in str(error):
        return "a law is read without tensors: use the words of scalerules.optimizers"
    return None


def _line(error: BaseException, file: str) -> int | None:
    """The line of the innermost call that stands in the file."""
    own = Path(file).expanduser().resolve()
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == own]
    return frames[-1].lineno if frames else None


def _meant(names: Mapping[str, Any]) -> str:
    own = [
        name for name, value in names.items() if inspect.isfunction(value) and value.__module__ == names.get("__name__")
    ]
    near = difflib.get_close_matches(LAW, own, n=1, cutoff=0.5)
    if near or len(own) == 1:
        return f"did you mean {(near or own)[0]!r}? Call it {LAW}"
    return f"it should hold {LAW}(g, w, p), which returns the update"
