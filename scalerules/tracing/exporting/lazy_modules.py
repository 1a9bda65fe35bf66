"""Modules that torch makes at their first call (`nn.LazyLinear`), made before a module is traced."""

# torch's own annotations are partial: what comes out of it is taken as Any.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from operator import methodcaller
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils import _pytree as pytree

from .factories import as_call, call_with


def settled(make_model: Callable[..., Any], inputs: Callable[..., Any]) -> Callable[..., Any]:
    """The factory of a module, which is called once on its inputs where some of its weights have no shape yet."""

    @wraps(make_model)
    def made(**sizes: int) -> Any:
        model = make_model(**sizes)
        if isinstance(model, nn.Module) and any(map(is_lazy, [*model.parameters(), *model.buffers()])):
            device = torch.empty(0).device
            with torch.device("cpu"):
                given = as_call(call_with(inputs, sizes))
            args, kwargs = pytree.tree_map_only(torch.Tensor, methodcaller("to", device), given)
            with torch.no_grad():
                model(*args, **kwargs)
        return model

    return made
