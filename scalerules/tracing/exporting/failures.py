"""What torch said where a module could not be exported, in the terms of the module and with what to do about it."""

from __future__ import annotations

import linecache
import re

from scalerules.errors import ScaleRulesError

from .factories import Sizes
from .users_lines import is_users, short_path


def cannot_trace(sizes: Sizes, failures: list[tuple[str, Exception]]) -> ScaleRulesError:
    """The most telling of the failures, with what the user can do about it."""
    there = ", ".join(f"{name}={value}" for name, value in sizes.items())
    building = [e for _, e in failures if getattr(e, "_while_building", False)]
    real = [e for built, e in failures if built in ("real", "values")] or [e for _, e in failures]
    error = next((e for e in real if e not in building), real[-1])
    first = re.sub(r"\s+", " ", str(error).strip().split("\n\n")[0])[:300] or type(error).__name__
    place, line = _place(error)
    if isinstance(error, AssertionError) and not str(error):
        first = line
    if error in building:
        return ScaleRulesError(
            f"the module could not be built at {there}: {type(error).__name__}: {first}",
            where=place,
            hint="check that the factory accepts these sizes: they have to suit every divisibility it needs",
        )
    return ScaleRulesError(
        f"torch.export cannot trace the module at {there}: {type(error).__name__}: {first}",
        where=place,
        hint=_advice(error),
    )


_BY_DATA = r"data-?dependent|\.item\(\)|Could not (guard|extract)|Cannot copy out of meta|Undecided|unbacked"


def by_data(error: Exception) -> bool:
    """Whether it was raised because only the data could decide something."""
    return re.search(_BY_DATA, f"{type(error).__name__}: {error}", re.I) is not None


def _advice(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, AssertionError):
        return "the module asks for that itself: give scales whose values it accepts"
    if "Nested" in text:
        return "nested tensors cannot be exported: give a padded tensor, and a mask"
    if "Couldn't swap" in text:
        return "make modules in __init__, not in forward: a layer of torch.nn.Lazy* finds its widths at its first call"
    if by_data(error):
        return "its control flow depends on the values of a tensor; pass an option that avoids it, or wrap that part"
    if re.search(r"pytree|Cache|flatten", text):
        return "it returns or takes an object that torch does not know; use_cache=False, or return_dict=True, may help"
    if re.search(r"unexpected keyword|missing .* argument|positional argument", text):
        return "make_inputs must return what the module is called with: a tensor, a tuple, or a dict of keywords"
    if "shape" in text or "size" in text:
        return "call the module on these inputs once yourself: the shapes do not seem to fit"
    return "check that the module runs on these inputs; an operation made outside of torch has to be a torch.library op"


def _place(error: BaseException) -> tuple[str | None, str]:
    """Where in the user's program, not in torch, it was raised, and what stands in that line."""
    place, line, traceback = None, "", error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if is_users(code.co_filename):
            place = f"{short_path(code.co_filename)}:{traceback.tb_lineno}"
            line = linecache.getline(code.co_filename, traceback.tb_lineno).strip()
        traceback = traceback.tb_next
    return place, line
