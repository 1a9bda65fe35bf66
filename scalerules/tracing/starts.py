"""What `trace` can start from: a factory, a configuration of transformers, or modules of several sizes.

Each becomes a factory of modules, one of inputs, and values of the scales.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from scalerules.errors import ScaleRulesError

if TYPE_CHECKING:
    from torch import nn

    from scalerules.architecture.graph import Graph

    from .record import Record

MULTIPLES = (2, 3, 4)
"""The models that are looked at first, in units of the smallest one of a configuration's proportions."""
CONFIGURATION = "pretrainedconfig"
"""What all configurations of transformers are, in small letters: the library has changed the case."""


@dataclass(frozen=True)
class Start:
    """A factory, the values of its scales, what makes its inputs, and what a user should know.

    `exactly`: the values go in step and no others can be had.
    """

    make_model: Callable[..., Any]
    scales: Mapping[str, Any]
    inputs: Callable[..., Any]
    notes: tuple[str, ...] = ()
    exactly: bool = False


def start(what: Any, scales: Any, inputs: Any, graph_of: Callable[[Record], Graph]) -> Start:
    """Where a trace starts from; `graph_of` makes a graph of a record.

    Raises `ScaleRulesError` for what is none of the three, and without inputs.
    """
    if is_configuration(what):
        return _configured(what, scales, inputs, graph_of)
    if _are_modules(what):
        from .exporting.pairs import factory_of, scales_of

        found = scales_of(what, scales)
        note = f"the laws of the sizes rest on the {len(what)} modules that were given"
        return Start(factory_of(what, found), found, _inputs(inputs), (note,), exactly=True)
    if not callable(what) or _are_modules((what,)):
        kind = "one module, whose sizes cannot change" if callable(what) else f"a {type(what).__name__}"
        hint = "sr.trace(make_model, ...), sr.trace((base, target), ...), or a configuration of transformers"
        raise ScaleRulesError(f"the model is {kind}", hint=hint)
    if not isinstance(scales, Mapping):
        raise ScaleRulesError("no values of the scales are given", hint="such as scales={'width': (32, 48, 64)}")
    from .exporting.lazy_modules import settled

    given = _inputs(inputs)
    return Start(settled(what, given), cast("Mapping[str, Any]", scales), given)


def is_configuration(what: object) -> bool:
    """Whether a value is a configuration of transformers, or a class of them."""
    kinds = (what if isinstance(what, type) else type(what)).__mro__
    return any(kind.__name__.lower() == CONFIGURATION for kind in kinds)


def _are_modules(what: object) -> TypeGuard[Sequence[nn.Module]]:
    from torch import nn

    if not isinstance(what, (list, tuple)):
        return False
    parts = cast("Sequence[object]", what)
    return bool(parts) and all(isinstance(each, nn.Module) for each in parts)


def _inputs(given: Any) -> Callable[..., Any]:
    """What makes the inputs: a factory, or always the same ones."""
    if given is None:
        raise ScaleRulesError("no inputs are given", hint="inputs=..., what the module is called with")
    if callable(given):
        return cast("Callable[..., Any]", given)

    def same(**_: int) -> Any:
        return given

    return same


def _configured(what: Any, scales: Any, inputs: Any, graph_of: Callable[[Record], Graph]) -> Start:
    """The models of a configuration, each scale with the fields that grow with it."""
    from .exporting.configurations import Configured, grown, unit
    from .exporting.growing_fields import Measured

    configured = Configured(what)
    if not isinstance(scales, Mapping) or not scales:
        raise ScaleRulesError("no field is named that grows", hint="such as scales={'width': 'hidden_size'}")
    if callable(inputs):
        raise ScaleRulesError("inputs of a configuration are what the model is called with, not a function")

    def called(changed: Mapping[str, Any]) -> Any:
        return configured.inputs(changed) if inputs is None else inputs

    bases: dict[str, int] = {}
    units: dict[str, int] = {}
    fields: dict[str, tuple[str, ...]] = {}
    notes: list[str] = []
    for scale, named in cast("Mapping[str, Any]", scales).items():
        group = (named,) if isinstance(named, str) else tuple(named)
        if not group or not all(isinstance(name, str) for name in group):
            hint = "such as {'width': 'hidden_size'}, or all fields that grow: {'width': ('hidden_size', ...)}"
            raise ScaleRulesError("a scale is a field of the configuration", where=f"scale {scale!r}", hint=hint)
        bases[scale] = configured.numbers(group[0])[0]
        if isinstance(named, str):
            found = Measured(configured, called, graph_of).following(named)
            group = (named, *found.with_it)
            held = f"; {_and(found.held)} {'are' if len(found.held) > 1 else 'is'} held" if found.held else ""
            if found.with_it or held:
                follow = f", and {_and(found.with_it)} with it" if found.with_it else ""
                notes.append(f"{scale} is {named}{follow} (measured){held}")
        units[scale] = unit([number for name in group for number in configured.numbers(name)])
        fields[scale] = group
    _apart(fields)

    def changed(sizes: Mapping[str, int]) -> dict[str, Any]:
        return {
            name: grown(configured.fields[name], sizes[scale], bases[scale])
            for scale, group in fields.items()
            for name in group
            if scale in sizes
        }

    def make(**sizes: int) -> Any:
        return configured.make(changed(sizes))

    def call(**sizes: int) -> Any:
        return called(changed(sizes))

    make.__name__ = configured.model.__name__
    values = {scale: tuple(k * base // units[scale] for k in MULTIPLES) for scale, base in bases.items()}
    return Start(make, values, call, tuple(notes))


def _apart(fields: Mapping[str, tuple[str, ...]]) -> None:
    """Raises `ScaleRulesError` for a field that grows with two scales."""
    owner: dict[str, str] = {}
    for scale, group in fields.items():
        for name in group:
            if name in owner:
                what = f"the field {name!r} grows with {owner[name]!r} and with {scale!r}"
                hint = f"list the fields of each: scales={{{owner[name]!r}: ({fields[owner[name]][0]!r}, ...), ...}}"
                raise ScaleRulesError(what, hint=hint)
            owner[name] = scale


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
