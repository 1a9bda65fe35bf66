"""Sharded training with a distributed checkpoint: saved by two processes (gloo), resumed by one, the same losses.

FSDP2 with AdamW and with Muon's pair, whose matrices are gathered for their step; a fused one, whose parts no process
holds whole, steps part by part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from fused_weight import CUTS, parts_of_one
from gloo import in_two_processes, joined
from residual_net import Net, quiet, rules
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn import functional

from scalerules.solution.solution import Solution

WIDTH, SECONDS = 32, 150


class Fused(nn.Module):
    """Three projections in one weight, between an embedding and logits that stay."""

    def __init__(self, width: int, seed: int = 0) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.register_buffer("embedding", torch.randn((11, width), generator=draw))
        self.register_buffer("logits", torch.randn((3 * width, 11), generator=draw) / width)
        torch.manual_seed(seed)
        self.qkv = nn.Linear(width, 3 * width, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.qkv(self.embedding[tokens])) @ self.logits  # type: ignore[index, operator]


@dataclass(frozen=True)
class Case:
    """A model, its rules, and the class that takes them."""

    make: Callable[..., nn.Module]
    rules: Callable[[], Solution]
    take: type[torch.optim.Optimizer]


CASES = {
    "adamw": Case(Net, rules, torch.optim.AdamW),
    "muon": Case(Net, lambda: rules("muon-original"), torch.optim.Muon),
    "muon, fused": Case(Fused, lambda: parts_of_one(*CUTS["rows"]), torch.optim.Muon),
    "muon, heads in turn": Case(Fused, lambda: parts_of_one(*CUTS["heads in turn"]), torch.optim.Muon),
}


def optimizer_of(model: nn.Module, case: Case) -> torch.optim.Optimizer:
    groups = quiet(model, case.rules(), sizes={"width": WIDTH}, lr=1e-2, optimizer=case.take, seed=3)
    return groups.optimizer(case.take)


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, first: int, count: int) -> list[float]:
    losses: list[float] = []
    for number in range(first, first + count):
        tokens = torch.randint(11, (16,), generator=torch.Generator().manual_seed(number))
        loss = functional.cross_entropy(model(tokens), 3 * tokens % 11)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def sharded(model: nn.Module, mesh: Any) -> nn.Module:
    for block in getattr(model, "blocks", ()):
        fully_shard(block, mesh=mesh)
    return fully_shard(model, mesh=mesh)  # type: ignore[return-value]


def saved(index: int, folder: str) -> None:
    """Two steps in each of two processes, kept as a distributed checkpoint."""
    with joined(index, folder):
        mesh = init_device_mesh("cpu", (2,))
        for name, case in CASES.items():
            model = sharded(case.make(WIDTH), mesh)
            optimizer = optimizer_of(model, case)
            losses = steps(model, optimizer, 0, 2)
            state, moments = get_state_dict(model, optimizer)
            save({"model": state, "optimizer": moments}, checkpoint_id=f"{folder}/{name}")
            torch.save(losses, f"{folder}/{name}.{index}.pt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes have left their checkpoints."""
    place = tmp_path_factory.mktemp("checkpoints")
    with in_two_processes(saved, place, SECONDS):
        pass
    return place


@pytest.mark.parametrize("name", CASES)
def test_two_processes_save_and_one_goes_on(folder: Path, name: str) -> None:
    torch.set_num_threads(1)
    case = CASES[name]
    whole = case.make(WIDTH)
    alone = steps(whole, optimizer_of(whole, case), 0, 4)
    before = [torch.load(folder / f"{name}.{index}.pt") for index in (0, 1)]
    assert before[0] == before[1] == pytest.approx(alone[:2], rel=1e-5) and alone[3] < alone[0]
    model = case.make(WIDTH, seed=9)
    optimizer = optimizer_of(model, case)
    state, moments = get_state_dict(model, optimizer)
    load({"model": state, "optimizer": moments}, checkpoint_id=str(folder / name))
    set_state_dict(model, optimizer, model_state_dict=state, optim_state_dict=moments)
    assert steps(model, optimizer, 2, 2) == pytest.approx(alone[2:], rel=1e-5)
