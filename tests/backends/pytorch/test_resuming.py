"""Sharded training with a distributed checkpoint: saved by two processes (gloo), resumed by one, the same losses.

FSDP2 with AdamW and with Muon's pair, whose matrices are gathered for their step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from gloo import in_two_processes, joined
from residual_net import Net, quiet, rules
from scalerules.backends.pytorch.source.emit import Groups
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn import functional

WIDTH, SECONDS = 32, 150
KINDS = {"adam": torch.optim.AdamW, "muon-original": torch.optim.Muon}


def set_up(model: nn.Module, law: str) -> Groups:
    return quiet(model, rules(law), sizes={"width": WIDTH}, lr=1e-2, optimizer=KINDS[law], seed=3)


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, first: int, count: int) -> list[float]:
    losses: list[float] = []
    for number in range(first, first + count):
        torch.manual_seed(number)
        tokens, target = torch.randint(11, (16,)), torch.randint(11, (16,))
        loss = functional.cross_entropy(model(tokens), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def sharded(model: nn.Module, mesh: Any) -> nn.Module:
    for block in model.blocks:  # type: ignore[union-attr]
        fully_shard(block, mesh=mesh)
    return fully_shard(model, mesh=mesh)  # type: ignore[return-value]


def one(law: str) -> list[float]:
    """Four steps of one process."""
    model = Net(WIDTH)
    return steps(model, set_up(model, law).optimizer(KINDS[law]), 0, 4)


def saved(index: int, port: int, folder: str) -> None:
    """Two steps in each of two processes, kept as a distributed checkpoint."""
    with joined(index, port):
        mesh = init_device_mesh("cpu", (2,))
        for law, take in KINDS.items():
            model = sharded(Net(WIDTH), mesh)
            optimizer = set_up(model, law).optimizer(take)
            losses = steps(model, optimizer, 0, 2)
            state, moments = get_state_dict(model, optimizer)
            save({"model": state, "optimizer": moments}, checkpoint_id=f"{folder}/{law}")
            torch.save(losses, f"{folder}/{law}.{index}.pt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes have left their checkpoints."""
    place = tmp_path_factory.mktemp("checkpoints")
    with in_two_processes(saved, place, SECONDS):
        pass
    return place


@pytest.mark.parametrize("law", KINDS)
def test_two_processes_save_and_one_goes_on(folder: Path, law: str) -> None:
    torch.set_num_threads(1)
    alone = one(law)
    before = [torch.load(folder / f"{law}.{index}.pt") for index in (0, 1)]
    assert before[0] == before[1] == pytest.approx(alone[:2], rel=1e-5)
    model = Net(WIDTH, seed=9)
    optimizer = set_up(model, law).optimizer(KINDS[law])
    state, moments = get_state_dict(model, optimizer)
    load({"model": state, "optimizer": moments}, checkpoint_id=str(folder / law))
    set_state_dict(model, optimizer, model_state_dict=state, optim_state_dict=moments)
    assert steps(model, optimizer, 2, 2) == pytest.approx(alone[2:], rel=1e-5)
