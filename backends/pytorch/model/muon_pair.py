"""Muon for the matrices and another optimizer for the rest, as one optimizer: what schedulers and trainers expect."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.optim import Optimizer

from .pieces import Pieces

Group = dict[str, Any]
MUON, ENTRYWISE = "muon", "entrywise"


class Pair(Optimizer):
    """Two optimizers that step together on one list of groups and one state, both laid out as torch lays them out.

    `params` are the groups that `apply` returned for rules of Muon: those with `"optimizer": "muon"` go to `matrices`,
    all others (also those added later) to `others`. `options` and `other_options` are the arguments of the two. A
    matrix that is sharded steps whole, and the parts of a fused one step apart, each orthogonalised by itself.
    """

    def __init__(
        self,
        params: Iterable[Group],
        matrices: type[Optimizer],
        others: type[Optimizer] = torch.optim.AdamW,
        options: Mapping[str, Any] | None = None,
        other_options: Mapping[str, Any] | None = None,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
    ) -> None:
        self.kinds = {MUON: (matrices, dict(options or {})), ENTRYWISE: (others, dict(other_options or {}))}
        self.parts: dict[str, Optimizer] = {}
        super().__init__([dict(group) for group in params], {"lr": lr, "weight_decay": weight_decay})

    def add_param_group(self, param_group: Group) -> None:
        """Adds a group, to Muon if it says so (`"optimizer": "muon"`). Raises as torch does if it does not fit."""
        kind = param_group.get("optimizer", ENTRYWISE)
        part = self.parts.get(kind)
        for name, value in self.defaults.items():
            param_group.setdefault(name, value)
        super().add_param_group(param_group)
        try:
            take, options = self.kinds[kind]
            alone = take([param_group], **options)  # its checks are made of groups that it starts with
            if part is None:
                self.parts[kind] = alone
            else:
                part.add_param_group(param_group)
        except Exception:
            self.param_groups.pop()
            raise
        self.parts[kind].state = self.state

    def _share(self) -> None:
        """Groups and state of the two are those of the pair, whatever has replaced them in the meantime."""
        for kind, part in self.parts.items():
            part.param_groups = [group for group in self.param_groups if group.get("optimizer", ENTRYWISE) == kind]
            part.state = self.state

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step of both; a `closure` that computes the loss again is called once, before."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._share()
        for kind, part in self.parts.items():
            if kind == MUON:
                with Pieces(part):
                    _stepped(part)
            else:
                _stepped(part)
        return loss

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Loads what `state_dict` returned; the state is copied, so that two optimizers never share a tensor."""
        super().load_state_dict({**state_dict, "state": copy.deepcopy(state_dict["state"])})
        self._share()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "kinds": self.kinds}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "parts" not in self.__dict__:  # a copy
            self.parts = {}
            for group in self.param_groups:
                kind = group.get("optimizer", ENTRYWISE)
                if kind not in self.parts:
                    take, options = self.kinds[kind]
                    self.parts[kind] = take([group], **options)
        self._share()
        for part in self.parts.values():  # fills in what checkpoints of an older torch lack
            part.__setstate__({"state": part.state, "param_groups": part.param_groups})


def _stepped(part: Optimizer) -> None:
    """A step without the hooks for all optimizers, which the pair itself runs."""
    step = type(part).step
    getattr(step, "__wrapped__", step)(part)
