"""What lowers each ATen operation: a table by name, which the files of `families` fill."""

from __future__ import annotations

from collections.abc import Callable

from scalerules.tracing.record import Call
from scalerules.tracing.sketch.values import Result

from .state import Lowering

Handler = Callable[[Lowering, Call], Result]

TABLE: dict[str, Handler] = {}
"""What lowers each operation, by its name without namespace and overload."""


def lowers(*names: str) -> Callable[[Handler], Handler]:
    """Enters a function into the table."""

    def enter(function: Handler) -> Handler:
        for name in names:
            assert name not in TABLE, f"{name} would be lowered by whichever file is read last"
            TABLE[name] = function
        return function

    return enter
