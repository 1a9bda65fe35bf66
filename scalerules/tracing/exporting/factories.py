"""A user's factories of a module and of its inputs, called with the sizes that they take."""

# torch's own annotations are partial: what comes out of it is taken as Any.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false

from __future__ import annotations

import inspect
import io
import logging
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from typing import Any, TypeAlias, cast

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from scalerules.boundary.guard import guarded, said
from scalerules.errors import ScaleRulesError

from .packed_sequences import unpacked
from .plain_inputs import Arguments

Sizes: TypeAlias = Mapping[str, int]


def call_with(function: Callable[..., Any], sizes: Sizes) -> Any:
    """`function(**sizes)`, with those of the sizes that it takes."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        taken = sizes
    else:
        any_name = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        taken = {name: value for name, value in sizes.items() if any_name or name in parameters}
    name = f"{getattr(function, '__name__', 'the factory')}()"
    try:
        with guarded(name):
            return function(**taken)
    except SystemExit as error:
        raise ScaleRulesError(f"{name} ends the program: {said(error)}") from None


def as_call(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What `make_inputs` returns, as positional and keyword arguments of the module."""
    if isinstance(inputs, Mapping):
        return (), dict(cast("Mapping[str, Any]", inputs))
    if isinstance(inputs, (tuple, list)) and not isinstance(inputs, PackedSequence):
        items: tuple[Any, ...] = tuple(cast("Sequence[Any]", inputs))
        if len(items) == 2 and isinstance(items[0], (tuple, list)) and isinstance(items[1], dict):
            return tuple(cast("Sequence[Any]", items[0])), cast("dict[str, Any]", items[1])
        return items, {}
    return (inputs,), {}


def arguments_of(make_inputs: Callable[..., Any], sizes: Sizes) -> Arguments:
    """What a module is called with at these sizes; packed sequences are all of full length."""
    args, kwargs = as_call(call_with(make_inputs, sizes))
    return Arguments.of(tuple(map(unpacked, args)), {name: unpacked(each) for name, each in kwargs.items()})


def module_of(make_model: Callable[..., Any], sizes: Sizes) -> nn.Module:
    """The module that the factory makes. Raises `ScaleRulesError` if it makes something else."""
    with _unscripted():
        model = call_with(make_model, sizes)
    if not isinstance(model, nn.Module):
        raise ScaleRulesError(
            f"the model factory returned {type(model).__name__}, not a torch.nn.Module",
            hint="make_model(**sizes) returns the module, make_inputs(**sizes) what it is called with",
        )
    return model


@contextmanager
def _unscripted() -> Generator[None]:
    """Inside, `torch.jit.script` leaves modules as they are: the exporter cannot look into scripted ones."""
    script = torch.jit.script

    def same(scripted: Any, *args: Any, **options: Any) -> Any:
        return scripted if isinstance(scripted, nn.Module) else script(scripted, *args, **options)

    setattr(torch.jit, "script", same)  # noqa: B010
    try:
        yield
    finally:
        setattr(torch.jit, "script", script)  # noqa: B010


@contextmanager
def quiet() -> Generator[None]:
    """A context without the warnings and log lines of building and exporting, and without side effects on seeds."""
    level = logging.root.manager.disable
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
        try:
            yield
        finally:
            logging.disable(level)
