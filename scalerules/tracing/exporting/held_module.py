"""A module around one whose parts are called like something that exported modules have of their own."""

# torch's own annotations are partial: what comes out of it is taken as Any.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import Any

import torch
from torch import nn

HOLDER = "held_module"
"""The name of a module inside of the one that is exported in its place."""


class Held(nn.Module):
    """A module around another one, whose own names the exporter cannot hold (`code`, `graph`): inside they are free."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.add_module(HOLDER, module)
        self.train(module.training)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes."""
        return getattr(self, HOLDER)(*args, **kwargs)


def holdable(model: nn.Module) -> nn.Module:
    """The module, or one around it where it is called like something that exported modules have of their own."""
    own = {*model._modules, *model._parameters, *model._buffers}
    return Held(model) if own & (set(dir(torch.fx.GraphModule)) - set(dir(nn.Module))) else model


def without_holder(program: Any) -> None:
    """Gives weights, constants and modules of an exported `Held` the names that they have without it."""
    prefix = f"{HOLDER}."
    for spec in program.graph_signature.input_specs:
        if isinstance(spec.target, str):
            spec.target = spec.target.removeprefix(prefix)
    for name in [*program.constants]:
        program.constants[name.removeprefix(prefix)] = program.constants.pop(name)
    for node in program.graph.nodes:
        stack = list(node.meta.get("nn_module_stack", {}).items())[1:]
        if stack:
            paths = {key: (str(path), kind) for key, (path, kind) in stack}
            bare = {key: ("" if p == HOLDER else p.removeprefix(prefix), kind) for key, (p, kind) in paths.items()}
            node.meta["nn_module_stack"] = bare
