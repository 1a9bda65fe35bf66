"""Graphs and backends found by name, by path, or by `module:factory`; nothing is registered anywhere.

`graph("mlp")` is `build()` of `graphs/mlp.py`: a new file there is found by its name. A user's own file has the same
form and is given by its path.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from scalerules.boundary.guard import Endless, guarded, said

from .errors import GraphError, ScaleRulesError, UnknownName, nearest

if TYPE_CHECKING:
    from scalerules.architecture.graph import Graph

    from .derivation import Solution


def catalogue() -> list[str]:
    """Names of the architectures that come with the package."""
    return _names("graphs")


def backends() -> list[str]:
    """Names of the files that carry a solution into a framework: those with a function `emit`."""
    with_emit = re.compile(r"^def emit\b|^from .* import .*\bemit\b", re.MULTILINE)
    files = {name: folder("backends") / f"{name}.py" for name in _names("backends")}
    return [name for name, file in files.items() if with_emit.search(file.read_text(encoding="utf-8"))]


def graph(spec: str | Path, *, trace: Mapping[str, Sequence[int]] | None = None, **options: Any) -> Graph:
    """The graph that `spec` names; `options` go to its `build()` (or factory).

    `trace` are values of scales, `{"width": (32, 48, 64)}`: the factory builds a torch module then, which is traced.

    `spec` is a name of `catalogue()`, a path to a `.py` file with `build() -> Graph`, a path to `.yaml`, `.yml` or
    `.json`, or `module:factory` (`file.py:factory` too). Raises `ScaleRulesError` with file and line, and with the
    nearest valid name where a name is not known.
    """
    if not isinstance(spec, str | Path):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise GraphError(f"a graph has a name or a path, not {_kind(spec)}", hint="such as 'mlp' or 'my_arch.yaml'")
    text = str(spec)
    place, _, factory = text.rpartition(":")
    if place and factory.isidentifier():
        module = _load(_existing(place)) if place.endswith(".py") else _import(place)
        if trace or not options:
            from .tracing import factories

            if values := trace or factories.values_in(module, factory):
                return factories.traced(module, factory, values, place)
            factories.check_called(module, factory, place)
        return _call(module, factory, options, place)
    if trace:
        raise GraphError(f"{text!r} is no module:factory", hint="values of a scale are for modules that are traced")
    if text.endswith(".py"):
        return _call(_load(_existing(text)), "build", options, text)
    if text.lower().endswith((".yaml", ".yml", ".json")):
        return _from_data(_existing(text), options)
    if text not in catalogue():
        hint = nearest(text, catalogue()) + "; or a path to .py, .yaml or .json, or module:factory"
        raise GraphError(f"unknown graph {text!r}", hint=hint)
    return _call(importlib.import_module(f"scalerules.graphs.{text}"), "build", options, text)


def backend(name: str) -> ModuleType:
    """The module `backends/<name>.py`. Raises `UnknownName`."""
    if name not in backends():
        raise UnknownName("backend", name, backends())
    return importlib.import_module(f"scalerules.backends.{name}")


def emit(solution: Solution, to: str = "pytorch", *, graph: Graph | None = None) -> str:
    """The rules of `solution` as readable, self-contained source code for the backend `to`.

    `graph` is needed where the solution does not carry it (after `Solution.from_json`).
    """
    from .solution import Solution

    if not isinstance(solution, Solution):  # pyright: ignore[reportUnnecessaryIsInstance]
        what = f"emit writes a solution, not {_kind(solution)}"
        raise ScaleRulesError(what, hint="sr.emit(sr.derive(graph, optimizer='adam'))")
    return backend(to).emit(solution, to, graph=graph)


def apply(
    model: Any,
    solution: Solution,
    *,
    base: Mapping[str, float],
    sizes: Mapping[str, float],
    lr: float,
    weight_decay: float = 0.0,
    **options: Any,
) -> list[dict[str, Any]]:
    """Initialises the parameters of a torch `model` by name, in place; returns the optimizer's parameter groups.

    `base` are the sizes (values of the scales) that `lr` was tuned at, `sizes` those of `model`.
    """
    given = {"base": base, "sizes": sizes, "lr": lr, "weight_decay": weight_decay, **options}
    return backend("pytorch").apply(model, solution, **given)


def dump_yaml(data: Mapping[str, Any]) -> str:
    """`data` as YAML that reads back without loss."""
    from scalerules.architecture.yaml_text import dump_yaml

    return dump_yaml(data)


def folder(part: str) -> Path:
    """The folder of `scalerules.graphs` or `scalerules.backends`, in a checkout or in site-packages."""
    spec = importlib.util.find_spec(f"scalerules.{part}")
    if spec is None or not spec.submodule_search_locations:
        raise ScaleRulesError(f"the folder {part}/ is not installed", hint="pip install --editable . in the checkout")
    return Path(next(iter(spec.submodule_search_locations)))


def _names(part: str) -> list[str]:
    return sorted(file.stem for file in folder(part).glob("[a-z]*.py"))


def _existing(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_file():
        near = [file.name for file in path.parent.glob(f"*{path.suffix}")] if path.parent.is_dir() else []
        raise GraphError("there is no such file", file=text, hint=nearest(path.name, near) if near else None)
    return path


def _load(path: Path) -> ModuleType:
    """The module in a user's file; a file of the catalogue is imported as what it is."""
    if path.resolve().parent == folder("graphs").resolve():
        return importlib.import_module(f"scalerules.graphs.{path.stem}")
    spec = importlib.util.spec_from_file_location(f"scalerules_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise GraphError("cannot be imported", file=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pydantic look their module up
    try:
        with guarded(str(path)):
            spec.loader.exec_module(module)
    except Endless:
        raise
    except (Exception, SystemExit) as error:
        raise _from_user(error, str(path)) from error
    return module


def _import(name: str) -> ModuleType:
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


def _call(module: ModuleType, factory: str, options: Mapping[str, Any], text: str) -> Graph:
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
            made = function(**options)
    except Endless:
        raise
    except ScaleRulesError as error:
        if not own:
            raise _from_user(error, text if text.endswith(".py") else module.__file__ or text) from error
        error.where = ", ".join(part for part in (f"graph {text!r}", error.where) if part)
        raise
    except (Exception, SystemExit) as error:
        raise _from_user(error, text if text.endswith(".py") else module.__file__ or text) from error
    return _as_graph(made, f"{factory}() of {text}")


def _other_function(module: ModuleType, factory: str) -> str:
    """The function of a module that was meant, or what it should hold."""
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    near = difflib.get_close_matches(factory, [name for name in own if callable(vars(module)[name])], n=1)
    return f"did you mean {near[0]!r}?" if near else f"it should hold {factory}(), which returns a Graph"


def _as_graph(made: object, where: str) -> Graph:
    """What a factory made, as a graph; `(make_model, scales, make_inputs)` is traced."""
    from scalerules.architecture.graph import Graph

    if isinstance(made, Graph):
        return made
    if isinstance(made, tuple):
        from scalerules.tracing.factories import description
        from scalerules.tracing.trace import trace

        if (described := description(cast(object, made))) is not None:
            return trace(described[0], scales=described[1], inputs=described[2])
    made = cast(object, made)
    if hasattr(made, "named_parameters"):
        what = f"returns {_kind(made)}, and how its sizes vary is not known"
        raise GraphError(what, where=where, hint="let it take the scales and name values: --scale width=32,48,64")
    raise GraphError(f"returns {_kind(made)}, not a Graph", where=where, hint="return Builder(...).build(...)")


def _kind(value: object) -> str:
    """How a message names a value: `nothing`, `a torch.nn.Linear` or `a dict`."""
    kind = type(value)
    return "nothing" if value is None else f"a {kind.__qualname__}"


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


def _from_data(path: Path, options: Mapping[str, Any]) -> Graph:
    from scalerules.architecture.specification import read_graph

    for name in options:
        raise GraphError(f"takes no option {name!r}", file=str(path), hint="only a Python file has options")
    return read_graph(path)


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
