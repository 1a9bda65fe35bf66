"""Modules named on the command line: `module:factory`, with the values of the scales and the inputs beside it.

`factory(**sizes)` builds the module; its inputs are built by `factory_inputs(**sizes)` or `make_inputs(**sizes)` of the
same file. The values of the scales are given (`--scale width=32,48,64`) or stand in the file: `scales = {"width": (32,
48, 64)}`. A factory may also return all three: `(make_model, scales, make_inputs)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from scalerules.errors import GraphError, ScaleRulesError

if TYPE_CHECKING:
    from .traced import Traced

Scales = Mapping[str, Sequence[int]]


def values_in(module: ModuleType, factory: str) -> Scales | None:
    """The values of the scales that a file gives for a factory that takes them as arguments, else None."""
    import inspect

    given = getattr(module, "scales", None)
    function = getattr(module, factory, None)
    if not isinstance(given, Mapping) or not callable(function):
        return None
    taken = inspect.signature(function).parameters
    named = cast("Mapping[str, Sequence[int]]", given)
    any_name = any(p.kind is p.VAR_KEYWORD for p in taken.values())
    return named if named and (any_name or all(name in taken for name in named)) else None


def configured(module: ModuleType, name: str, scales: Mapping[str, Any] | None, options: Mapping[str, Any]) -> Traced:
    """The graph of a configuration's model. Raises `ScaleRulesError` where no field is named, or an option is wrong."""
    from scalerules.boundary.guard import guarded, said

    from .traced import trace

    configuration = getattr(module, name)
    try:
        with guarded(f"{name}()"):
            configuration = configuration(**options) if isinstance(configuration, type) else configuration
    except Exception as error:
        raise ScaleRulesError(f"{name} does not take these options: {said(error)}") from error
    if options and configuration is getattr(module, name):
        raise ScaleRulesError(f"{name} is a configuration already", hint="--set goes with a class, such as LlamaConfig")
    return trace(configuration, scales=scales)


def check_called(module: ModuleType, factory: str, text: str) -> None:
    """Raises `GraphError` for a factory with inputs beside it that needs sizes and was given none."""
    import inspect

    function = getattr(module, factory, None)
    if not callable(function) or not callable(getattr(module, "make_inputs", None)):
        return
    needed = [name for name, p in inspect.signature(function).parameters.items() if p.default is p.empty]
    if needed:
        hint = " ".join(f"--scale {name}=32,48,64" for name in needed)
        raise GraphError(f"{factory}() builds a module of any {' and '.join(needed)}", file=text, hint=f"say {hint}")


def traced(module: ModuleType, factory: str, scales: Scales, text: str) -> Traced:
    """The graph of what a factory builds. Raises `GraphError` where the factory or its inputs are not there."""
    from .traced import trace

    function = getattr(module, factory, None)
    if not callable(function):
        raise GraphError(f"has no function {factory!r}", file=text, hint="it should build the module: f(width=...)")
    return trace(function, scales=scales, inputs=inputs_of(module, factory, text))


def inputs_of(module: ModuleType, factory: str, text: str) -> Callable[..., Any]:
    """What builds the inputs of a factory: `factory_inputs`, or `make_inputs`."""
    names = dict.fromkeys((f"{factory}_inputs", f"{factory.removeprefix('make_')}_inputs", "make_inputs"))
    for name in names:
        build = getattr(module, name, None)
        if callable(build):
            return build
    written = " or ".join(f"{name}(**sizes)" for name in names)
    hint = f"write {written}, which returns what the module is called with"
    raise GraphError(f"has no inputs for {factory}()", file=text, hint=hint)


def description(returned: object) -> tuple[Callable[..., Any], Scales, Callable[..., Any]] | None:
    """`(make_model, scales, make_inputs)` if that is what a factory returned."""
    if not isinstance(returned, tuple) or len(cast("tuple[object, ...]", returned)) != 3:
        return None
    make, scales, inputs = cast("tuple[Any, Any, Any]", returned)
    if not (callable(make) and isinstance(scales, Mapping) and callable(inputs)):
        return None
    return make, cast("Scales", scales), inputs
