"""Functions with a gradient of their own (`torch.autograd.Function`): what they do on the way back is not traced."""

# torch's own annotations are partial: what comes out of it is taken as Any.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from torch.autograd import Function


@contextmanager
def own_gradients() -> Generator[list[str]]:
    """Inside, functions are traced as they compute; yields a note for each one of the user's that is applied."""
    notes: list[str] = []
    own = vars(Function)["apply"]

    def apply(kind: Any, *args: Any, **options: Any) -> Any:
        if not kind.__module__.startswith("torch."):
            notes.append(f"{kind.__name__}: its backward() is not followed, and taken to keep the size of gradients")
        return own.__get__(None, kind)(*args, **options)

    setattr(Function, "apply", classmethod(apply))  # noqa: B010
    try:
        yield notes
    finally:
        setattr(Function, "apply", own)  # noqa: B010
