"""A user's code as a graph: its file loaded, its factory called, its mistakes told with file and line."""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from scalerules.architecture.graph import Graph
from scalerules.boundary.guard import Endless, guarded, said
from scalerules.boundary.source import module_of
from scalerules.errors import GraphError, ScaleRulesError, UnknownName, nearest

from .folders import folder


def existing_file(text: str) -> Path:
    """The path that a text names. Raises `GraphError` with the nearest name where no file is there."""
    path = Path(text).expanduser()
    if path.is_dir():
        raise GraphError("is a folder", file=text, hint="name a file in it")
    if not path.is_file():
        near = [file.name for file in path.parent.glob(f"*{path.suffix}")] if path.parent.is_dir() else []
        raise GraphError("there is no such file", file=text, hint=nearest(path.name, near) if near else None)
    return path


def loaded(path: Path) -> ModuleType:
    """The module in a user's file; a file of the catalogue is imported as what it is."""
    if path.resolve().parent == folder("graphs").resolve():
        return importlib.import_module(f"scalerules.graphs.{path.stem}")
    if path.suffix != ".py":
        raise GraphError("cannot be imported", file=str(path))
    try:
        with guarded(str(path)):
            return module_of(path, f"scalerules_user_{path.stem}")
    except Endless:
        raise
    except (Exception, SystemExit) as error:
        raise _from_user(error, str(path)) from error


def imported(name: str) -> ModuleType:
    """The module `name`, looked for in the current folder first, as `python -m` does."""
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        with guarded(name):
            return importlib.import_module(name)
    except Endless:
        raise
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise GraphError(f"there is no module {error.name!r}", hint="run in the folder that holds it") from None
        raise _from_user(error, name) from error
    except (Exception, SystemExit) as error:
        raise _from_user(error, name) from error


def call_factory(module: ModuleType, factory: str, options: Mapping[str, Any], text: str) -> Graph:
    """What the factory of a module returns, as a graph; `text` is what the user calls the module."""
    function = getattr(module, factory, None)
    if not callable(function):
        raise GraphError(f"has no function {factory!r}", file=text, hint=_other_function(module, factory))
    _check_options(function, options, text)
    own = module.__name__ == f"scalerules.graphs.{text}"
    if own:
        _check_kinds(function, options, text)
    try:
        with guarded(f"{factory}() of {text}"):
            returned = function(**options)
    except Endless:
        raise
    except ScaleRulesError as error:
        if not own:
            raise _from_user(error, text if text.endswith(".py") else module.__file__ or text) from error
        error.where = ", ".join(part for part in (f"graph {text!r}", error.where) if part)
        raise
    except (Exception, SystemExit) as error:
        raise _from_user(error, text if text.endswith(".py") else module.__file__ or text) from error
    return as_graph(returned, f"{factory}() of {text}")


def _other_function(module: ModuleType, factory: str) -> str:
    """The function of a module that was meant, or what it should hold."""
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    near = difflib.get_close_matches(factory, [name for name in own if callable(vars(module)[name])], n=1)
    return f"did you mean {near[0]!r}?" if near else f"it should hold {factory}(), which returns a Graph"


def kind_of(value: object) -> str:
    """How a message names a value: `nothing`, `a torch.nn.Linear` or `a dict`."""
    kind = type(value).__qualname__
    return "nothing" if value is None else f"{'an' if kind[0] in 'AEIOUaeiou' else 'a'} {kind}"


def _check_options(function: Any, options: Mapping[str, Any], text: str) -> None:
    parameters = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for name in options:
        if name not in parameters:
            raise UnknownName("option", name, parameters, where=f"graph {text!r}")
    for name, parameter in parameters.items():
        needed = parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL
        if needed and name not in options:
            raise GraphError(f"needs the option {name!r}", where=f"graph {text!r}", hint=f"--set {name}=...")


def _from_user(error: Exception | SystemExit, file: str) -> ScaleRulesError:
    """An exception of a user's file (or of the builder that it calls) as a message with file, line and column."""
    from pydantic import ValidationError

    from scalerules.architecture.specification import invalid

    if isinstance(error, ValidationError):
        mine = invalid(error)
    elif isinstance(error, ScaleRulesError):
        mine = error
    else:
        mine = GraphError(said(error))
    if mine.line is None:
        mine.file = file
        if isinstance(error, SyntaxError) and Path(error.filename or file).absolute() == Path(file).absolute():
            mine.line, mine.column = error.lineno, error.offset
        else:
            mine.line, mine.column = _innermost(error, file)
    return mine


def _innermost(error: BaseException, file: str) -> tuple[int | None, int | None]:
    """Line and column of the innermost call of `error` that stands in `file`."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == Path(file).absolute()]
    if not frames:
        return None, None
    return frames[-1].lineno, None if frames[-1].colno is None else frames[-1].colno + 1


MOST = 1000
"""No option of an architecture of the catalogue counts further."""


def _check_kinds(function: Any, options: Mapping[str, Any], text: str) -> None:
    """Raises `GraphError` for an option of a catalogue's architecture that is not of the kind of its default."""
    parameters = inspect.signature(function).parameters
    for name, value in options.items():
        kind: Any = type(parameters[name].default)  # pyright: ignore[reportUnknownVariableType]
        fits = type(value) is kind and (kind is not int or 0 <= value <= MOST)
        if not fits:
            kinds = {int: f"a whole number from 0 to {MOST}", bool: "true or false", str: "a name"}
            wanted = kinds.get(kind, "of another kind")
            raise GraphError(f"option {name!r} is {wanted}, not {value!r}", where=f"graph {text!r}")


def as_graph(returned: object, where: str) -> Graph:
    """What a factory made, as a graph; `(make_model, scales, make_inputs)` is traced."""
    from scalerules.architecture.graph import Graph

    if isinstance(returned, Graph):
        return returned
    if isinstance(returned, tuple):
        from scalerules.tracing.factories import description
        from scalerules.tracing.traced import trace

        if (described := description(cast(object, returned))) is not None:
            return trace(described[0], scales=described[1], inputs=described[2])
    returned = cast(object, returned)
    if hasattr(returned, "named_parameters"):
        what = f"returns {kind_of(returned)}, and how its sizes vary is not known"
        raise GraphError(what, where=where, hint="let it take the scales and name values: --scale width=32,48,64")
    raise GraphError(f"returns {kind_of(returned)}, not a Graph", where=where, hint="return Builder(...).build(...)")
