"""The ways of building a module to export it: on the meta device, with fake tensors, as it is, and with its values."""

# torch's own annotations are partial: what comes out of it is taken as Any.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from scalerules.errors import ScaleRulesError

from .plain_inputs import Arguments

MAX_REAL = 200_000_000
"""Most entries of a module that is built with real memory because neither meta nor fake tensors do."""


def _meta() -> AbstractContextManager[Any]:
    return torch.device("meta")


def _fake() -> AbstractContextManager[Any]:
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode(allow_non_fake_inputs=True)


def _seeded() -> AbstractContextManager[Any]:
    torch.manual_seed(0)
    return nullcontext()


WAYS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "meta": _meta,
    "fake": _fake,
    "real": nullcontext,
    "values": _seeded,
}


def moved(built: str, context: Any, arguments: Arguments) -> Arguments:
    """The inputs as the same kind of tensors as the weights."""

    def move(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor) or built in ("real", "values"):
            return leaf
        return leaf.to("meta") if built == "meta" else context.from_tensor(leaf)

    return arguments.changed(move)


def evaluation(model: nn.Module) -> None:
    """Evaluation mode, but not for norms over batches: there they use running statistics, no step of training does."""
    model.eval()
    for module in model.modules():
        if hasattr(module, "track_running_stats"):
            module.train()


def shorten(model: nn.Module, path: str, members: frozenset[int]) -> None:
    """Leaves members out of the list of modules at `path`, a list of this throw-away copy."""
    modules = model.get_submodule(path)._modules
    kept = [module for name, module in modules.items() if not (name.isdigit() and int(name) in members)]
    modules.clear()
    modules.update({str(index): module for index, module in enumerate(kept)})


def check_size(model: nn.Module) -> None:
    """Raises `ScaleRulesError` where a module is too large to be built with real memory."""
    entries = sum(p.numel() for p in model.parameters())
    if entries > MAX_REAL:
        said = f"it has {entries} entries and can be built neither on meta nor with fake tensors"
        raise ScaleRulesError(said, hint="give smaller scales, or build it under `with torch.device('meta')` yourself")
