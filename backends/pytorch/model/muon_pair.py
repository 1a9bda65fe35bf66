"""Muon for the matrices and another optimizer for the rest, as one optimizer: what schedulers and trainers expect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch.optim import Optimizer


class Groups(Protocol):
    """Groups of parameters in two lists."""

    @property
    def matrices(self) -> list[dict[str, Any]]: ...

    @property
    def others(self) -> list[dict[str, Any]]: ...


class Pair(Optimizer):
    """Two optimizers that step together; `param_groups` and `state` are those of both.

    `params` are the groups that `apply` returned for rules of Muon. `matrices` is the class that takes the groups of
    matrices (`torch.optim.Muon`), `others` the one for all else; `options` and `other_options` are their arguments.
    """

    def __init__(
        self,
        params: Groups,
        matrices: type[Optimizer],
        others: type[Optimizer] = torch.optim.AdamW,
        options: Mapping[str, Any] | None = None,
        other_options: Mapping[str, Any] | None = None,
    ) -> None:
        given = [(matrices, params.matrices, options), (others, params.others, other_options)]
        self.parts = [kind(groups, **(more or {})) for kind, groups, more in given if groups]
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        self._share()

    def _share(self) -> None:
        """The groups are the very dictionaries of the two, so that a scheduler that sets a rate sets theirs."""
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step of both; a `closure` that computes the loss again is called once, before."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
            self.state.update(part.state)
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The states of both, in a list."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Loads what `state_dict` returned."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share()
