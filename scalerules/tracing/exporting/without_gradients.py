"""What a module computes without gradients (`torch.no_grad`): it is detached where it is read with gradients again.

An export does not say so: it runs without gradients as a whole. What is changed in place there (the running values of a
codebook or of a target network, which are buffers) is detached like what is made there.
"""

# torch's own annotations are partial: what comes out of it is taken as Any.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _contextlib
from torch.utils import _pytree as pytree
from torch.utils.weak import WeakIdKeyDictionary

from .users_lines import is_users

_LEARNS: dict[type, Callable[[Any], bool]] = {
    torch.no_grad: lambda _: False,
    torch.enable_grad: lambda _: True,
    torch.set_grad_enabled: lambda context: context.mode,
    torch.inference_mode: lambda context: not context.mode,
}
"""Whether gradients go through what is computed inside of each of torch's contexts."""


class _Detaching(TorchFunctionMode):
    """Calls of torch while a module is exported. `learning` says of the contexts that are open what each asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.learning: list[bool] = [True]
        self.learnt: Any = WeakIdKeyDictionary()
        """What calls with gradients returned."""
        self.detached: Any = WeakIdKeyDictionary()
        """What calls without gradients returned or changed in place, and it detached once it was read."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.learning[-1]:
            args, kwargs = self.read((args, kwargs))
            return self._kept(func(*args, **kwargs), self.learnt)
        return self._kept(func(*args, **kwargs), self.detached)

    def read(self, values: Any) -> Any:
        """Nested values as something with gradients reads them."""
        return pytree.tree_map_only(torch.Tensor, self._read, values) if self.detached else values

    def _read(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor not in self.detached:
            return tensor
        if self.detached[tensor] is None:
            self.detached[tensor] = tensor.detach()
        return self.detached[tensor]

    def _kept(self, result: Any, among: Any) -> Any:
        for each in pytree.tree_leaves(result):
            real = isinstance(each, torch.Tensor) and (each.is_floating_point() or each.is_complex())
            if real and not each.requires_grad and each not in self.learnt:
                among[each] = None
        return result


class Regions:
    """What a module computes without gradients, while it is exported. `seen`: whether it opened a context for that."""

    def __init__(self) -> None:
        self.seen = False
        self.mode = _Detaching()
        self._open: list[Any] = []

    def told(self, kind: type, method: Callable[..., Any]) -> Callable[..., Any]:
        """A method that opens or closes a context, and tells so where the user's program does it."""

        def enter(context: Any) -> Any:
            if _by_user():
                self.seen = True
                self._open.append(context)
                self.mode.learning.append(_LEARNS[kind](context))
            return method(context)

        def leave(context: Any, *error: Any) -> Any:
            if self._open and self._open[-1] is context:
                self._open.pop()
                self.mode.learning.pop()
            return method(context, *error)

        return enter if method.__name__ == "__enter__" else leave

    @contextmanager
    def detached(self, model: torch.nn.Module) -> Generator[None]:
        """Inside, exports detach it. Torch compiles nothing meanwhile: not for modules that open no such context."""
        hook = model.register_forward_hook(lambda _, args, output: self.mode.read(output))
        try:
            with self.mode:
                yield
        finally:
            hook.remove()


@contextmanager
def without_gradients() -> Generator[Regions]:
    """Inside, torch's contexts tell where the user's program opens and closes them."""
    regions = Regions()
    methods = [(kind, name, vars(kind)[name]) for kind in _LEARNS for name in ("__enter__", "__exit__")]
    for kind, name, method in methods:
        setattr(kind, name, regions.told(kind, method))
    try:
        yield regions
    finally:
        for kind, name, method in methods:
            setattr(kind, name, method)


def _by_user() -> bool:
    """Whether the user's program opens the context whose method was called, as a block or as a decorator."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename == _contextlib.__file__:
        frame = frame.f_back
    return is_users(frame.f_code.co_filename)
