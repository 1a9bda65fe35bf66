"""One exported trace of a module at fixed sizes: nodes with numbers, before any symbol is fitted.

No memory is taken for weights: the module is built on the meta device, or with fake tensors where its constructor
does not allow that, and only then as it is (up to `MAX_REAL` entries).
"""

# torch's own annotations are partial: what comes out of it is taken as Any.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import torch

from scalerules.boundary.guard import Endless
from scalerules.errors import ScaleRulesError

from .factories import Sizes, arguments_of, module_of, quiet
from .failures import by_data, cannot_trace
from .library_kernels import whole_kernels
from .measured_values import Decisions, measuring
from .program import read
from .traces import Trace
from .ways import WAYS, check_size, evaluation, moved, shorten
from .whole_program import whole_program


def trace(
    make_model: Callable[..., Any],
    make_inputs: Callable[..., Any],
    sizes: Sizes,
    way: str = "",
    cut: Mapping[str, frozenset[int]] | None = None,
    taken: tuple[bool, ...] = (),
) -> Trace:
    """The exported computation at `sizes`; `way` is the only way of building to try (that of an earlier trace).

    `cut` are members of lists of modules to leave out: copies of a block that is known to repeat. `taken` are the
    conditions that data decided in an earlier trace.

    Raises `ScaleRulesError` with what torch said, in the terms of the module, if no way works.
    """
    failures: list[tuple[str, Exception]] = []
    for built in (way,) if way else WAYS:
        if not way and built != "values" and failures and not _same_failure(failures) and by_data(failures[0][1]):
            continue
        if not way and built == "values" and not any(by_data(error) for _, error in failures):
            continue
        for mode in ("as built", "evaluation"):
            try:
                with quiet():
                    return _traced(make_model, make_inputs, sizes, built, mode, cut or {}, taken)
            except Endless:
                raise
            except ScaleRulesError as error:
                if error.what.startswith("the model factory") or not getattr(error, "_while_building", False):
                    raise  # it says what is wrong itself: another way of building would not change it
                failures.append((built, error))
            except Exception as error:  # whatever the user's module, or torch, raises
                failures.append((built, error))
            if _same_failure(failures):
                break
    raise cannot_trace(sizes, failures)


def _same_failure(failures: list[tuple[str, Exception]]) -> bool:
    """Building itself failed: another mode of the module would not change that."""
    return getattr(failures[-1][1], "_while_building", False)


def _traced(
    make_model: Callable[..., Any],
    make_inputs: Callable[..., Any],
    sizes: Sizes,
    built: str,
    mode: str,
    cut: Mapping[str, frozenset[int]],
    taken: tuple[bool, ...],
) -> Trace:
    with ExitStack() as stack:
        try:
            context = WAYS[built]()
            with context:
                model = module_of(make_model, sizes)
            if built in ("real", "values"):
                check_size(model)
            if built == "values":
                torch.manual_seed(0)
            with torch.device("cpu"):
                arguments = arguments_of(make_inputs, sizes)
        except Exception as error:
            error._while_building = True  # pyright: ignore[reportAttributeAccessIssue]
            raise
        for path, members in cut.items():
            shorten(model, path, members)
        notes, decisions = list[str](), Decisions()
        if mode == "evaluation":
            evaluation(model)
            notes.append("traced in evaluation mode (normalisation over batches as in training)")
        arguments = moved(built, context, arguments)
        if built == "fake":
            stack.enter_context(context)
        if built == "values":
            decisions = stack.enter_context(measuring(taken))
        else:
            stack.enter_context(whole_kernels())
        program, taken_otherwise, own_gradients = whole_program(model, arguments)
        found = read(model, program, dict(sizes), built)
    lines = dict.fromkeys(decisions.lines)
    decided = [f"{line}: depends on values, traced as the given inputs decide it" for line in lines]
    found.own_gradients = own_gradients
    found.taken, found.decided = tuple(decisions.taken), bool(decisions.asked)
    found.notes += [*notes, *decided, *taken_otherwise]
    return found
