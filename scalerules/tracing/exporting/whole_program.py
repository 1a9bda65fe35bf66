"""The exported program of a module as it is, in the one form that it has wherever it is exported.

`torch.export` traces it without running it, and `run_decompositions({})` makes the graph functional while linear maps,
attention, norms, softmax, activations, convolutions and recurrent cells stay whole.
"""

# torch's own annotations are partial: what comes out of it is taken as Any.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from scalerules.boundary.guard import Endless, guarded, said
from scalerules.tracing.lowering.driver import KNOWN

from .definitions import written_out
from .derivatives import differentiates, needs_derivative, with_derivative
from .functional import functional
from .held_module import holdable, without_holder
from .own_gradients import own_gradients
from .packed_sequences import full_lengths
from .plain_inputs import Arguments
from .plain_outputs import plain_output
from .settled_names import settle_names
from .unwritten_code import unwritten
from .without_gradients import without_gradients


def whole_program(model: nn.Module, arguments: Arguments) -> tuple[Any, list[str], bool]:
    """The exported program of a module, notes of what was taken otherwise than it is written, and whether functions
    have a gradient of their own, which the program has not.

    Inputs and outputs are plain, whatever class they are of; the names of calls are the same at every size. Raises
    `Endless` where `forward` ends the program or runs for ever.
    """
    with ExitStack() as stack:
        stack.enter_context(without_looking())
        stack.enter_context(copying())
        packing, backward = stack.enter_context(full_lengths()), stack.enter_context(own_gradients())
        stack.enter_context(unwritten())
        stack.callback(model.register_forward_pre_hook(arguments.made_whole, with_kwargs=True).remove)
        stack.callback(model.register_forward_hook(plain_output).remove)
        stack.enter_context(torch.no_grad())
        regions = stack.enter_context(without_gradients())
        held = holdable(model)
        exported = _run(held, arguments.args, arguments.kwargs)
        if regions.seen:
            stack.enter_context(regions.detached(model))
            exported = _run(held, arguments.args, arguments.kwargs)
        program = written_out(functional(exported), KNOWN)
        if held is not model:
            without_holder(program)
        settle_names(program)
        return program, [*dict.fromkeys([*packing, *backward])], bool(backward)


def _run(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The exported program; the module's code may neither end the program nor run for ever."""
    try:
        with guarded("forward()"):
            return _exported(model, args, kwargs)
    except SystemExit as error:
        raise Endless(f"forward() ends the program: {said(error)}") from None


def _exported(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The exported program of a module; one that asks autograd for a derivative gets another `forward` for it.

    What autograd cannot follow either (`flex_attention` on a processor) stays as it was exported.
    """
    program = None
    try:
        program = torch.export.export(model, args, kwargs, strict=False)
        if not differentiates(program.graph):
            return program
    except Exception as error:
        if not needs_derivative(error):
            raise
    try:
        with_derivative(model, args, kwargs)
    except NotImplementedError:
        if program is None:
            raise
        return program
    return torch.export.export(model, args, kwargs, strict=False)


@contextmanager
def without_looking() -> Generator[None]:
    """`nn.Transformer` looks at the entries of its masks, which have none: they are taken as they are passed."""
    from torch.nn.modules import transformer

    looked = transformer._detect_is_causal_mask
    transformer._detect_is_causal_mask = lambda mask, is_causal=None, size=None: bool(is_causal)
    try:
        yield
    finally:
        transformer._detect_is_causal_mask = looked


@contextmanager
def copying() -> Generator[None]:
    """`copy.deepcopy` of a value reads its memory, which is not there: it is a clone."""
    whole = torch.Tensor.__deepcopy__

    def clone(tensor: torch.Tensor, memo: dict[int, Any]) -> torch.Tensor:
        return memo.setdefault(id(tensor), tensor.clone())

    setattr(torch.Tensor, "__deepcopy__", clone)  # noqa: B010
    try:
        yield
    finally:
        setattr(torch.Tensor, "__deepcopy__", whole)  # noqa: B010
