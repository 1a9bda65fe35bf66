"""Graph modules that write the Python code of their graph only when somebody asks for it.

The exporter makes some ten of them for every program, and each writes and compiles its code anew at every change of its
graph, a sixth of a trace; they are read then, or run node by node.
"""

# torch's own annotations are partial, and what is replaced here are its internals.
# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from torch.fx import GraphModule

_write = GraphModule.recompile


@contextmanager
def unwritten() -> Generator[None]:
    """While it lasts, a change of a graph leaves its module without code until its `forward` is asked for."""
    setattr(GraphModule, "recompile", _later)  # noqa: B010
    try:
        yield
    finally:
        setattr(GraphModule, "recompile", _write)  # noqa: B010


def _later(module: Any) -> None:
    """Leaves the code for later; what else torch sets on the way is set. Every module has a class of its own."""
    nested = getattr(module._graph._codegen, "pytree_info", None)
    if nested is not None:
        module._in_spec, module._out_spec = nested.in_spec, nested.out_spec
    module.__dict__.setdefault("_code", "")
    type(module).forward = _Forward()


class _Forward:
    """In place of `forward`: whoever asks for it, to call it or for its signature, has the code written."""

    def __get__(self, module: Any, owner: type) -> Any:
        if module is None:
            return self
        _write(module)
        return module.forward
