"""The groups in training code of other people: accelerate, stages of a pipeline, a container of optimizers by part.

Each recipe of docs/training.md trains as a plain loop does; with two processes (gloo) as one does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from gloo import in_two_processes, joined
from residual_net import Net, quiet, rules
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.pipelining import PipelineStage, ScheduleGPipe
from torch.nn import functional

WIDE, BATCH, SECONDS = {"width": 128}, 16, 150
KINDS = {"adam": torch.optim.AdamW, "muon-original": torch.optim.Muon}


def batch(number: int) -> tuple[Tensor, Tensor]:
    tokens = torch.randint(11, (BATCH,), generator=torch.Generator().manual_seed(number))
    return tokens, 3 * tokens % 11


def optimizer_of(model: nn.Module, law: str) -> torch.optim.Optimizer:
    groups = quiet(model, rules(law), sizes=WIDE, lr=3e-3, optimizer=KINDS[law], seed=3)
    return groups.optimizer(KINDS[law])


def falling(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LambdaLR:
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))


def plain(law: str, count: int = 4) -> list[float]:
    """The losses of a loop of one process."""
    model, losses = Net(128), list[float]()
    optimizer = optimizer_of(model, law)
    schedule = falling(optimizer)
    for number in range(count):
        tokens, target = batch(number)
        loss = functional.cross_entropy(model(tokens), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def prepared(law: str, seed: int) -> tuple[Any, Any, Any, Any]:
    """accelerate with what it prepared: model, optimizer, schedule."""
    accelerator = Accelerator(cpu=True, step_scheduler_with_optimizer=False)
    model = Net(128, seed=seed)
    optimizer = optimizer_of(model, law)
    return accelerator, *accelerator.prepare(model, optimizer, falling(optimizer))


def accelerated(parts: tuple[Any, Any, Any, Any], numbers: range) -> list[float]:
    """The losses of a loop by accelerate, each process with its part of the batch."""
    accelerator, model, optimizer, schedule = parts
    losses: list[float] = []
    for number in numbers:
        with accelerator.split_between_processes(torch.stack(batch(number), 1)) as part:
            loss = functional.cross_entropy(model(part[:, 0]), part[:, 1])
        optimizer.zero_grad()
        accelerator.backward(loss)
        optimizer.step()
        schedule.step()
        losses.append(accelerator.reduce(loss.detach(), "mean").item())
    return losses


@pytest.mark.parametrize("law", KINDS)
def test_accelerate_trains_saves_and_resumes(law: str, tmp_path: Path) -> None:
    parts = prepared(law, 0)
    losses = accelerated(parts, range(2))
    parts[0].save_state(str(tmp_path))
    parts = prepared(law, 9)
    parts[0].load_state(str(tmp_path))
    assert losses + accelerated(parts, range(2, 4)) == pytest.approx(plain(law), rel=1e-5)


class Stage(nn.Module):
    """A part of `Net`, its modules the very objects of the whole, under the names that they have there."""

    def __init__(self, whole: Net, first: bool) -> None:
        super().__init__()
        kept = [0] if first else range(1, len(whole.blocks))
        self.blocks = nn.ModuleDict({str(i): whole.blocks[i] for i in kept})
        self.register_parameter("W_E" if first else "W_U", whole.W_E if first else whole.W_U)
        self.first = first

    def forward(self, x: Tensor) -> Tensor:
        x = self.W_E[x] if self.first else x  # type: ignore[index]
        for block in self.blocks.values():
            x = block(x)
        return x if self.first else x @ self.W_U.T  # type: ignore[union-attr, operator]


def staged(index: int, law: str) -> list[float]:
    """The losses of a pipeline of two stages, each made on the meta device and filled where it lives."""
    with torch.device("meta"):
        whole = Net(128)
    stage = Stage(whole, index == 0).to_empty(device="cpu")
    setattr(whole, "W_E" if index == 0 else "W_U", stage.W_E if index == 0 else stage.W_U)
    groups = quiet(whole, rules(law), sizes=WIDE, lr=3e-3, optimizer=KINDS[law], seed=3).on(stage)
    optimizer = groups.optimizer(KINDS[law])
    schedule, losses = falling(optimizer), list[float]()
    pipeline = ScheduleGPipe(PipelineStage(stage, index, 2, torch.device("cpu")), 4, functional.cross_entropy)
    for number in range(4):
        tokens, target = batch(number)
        optimizer.zero_grad()
        parts: list[Tensor] = []
        pipeline.step(*([tokens] if index == 0 else []), **({} if index == 0 else {"target": target, "losses": parts}))
        optimizer.step()
        schedule.step()
        losses.append(float(torch.stack(parts).mean().detach()) if parts else 0.0)
    return losses


def rank(index: int, folder: str) -> None:
    """What each of two processes does; its losses go to a file."""
    with joined(index, folder):
        AcceleratorState._reset_state(reset_partial_state=True)  # of the process that this one was forked from
        os.environ.update(
            MASTER_ADDR="127.0.0.1", MASTER_PORT="0"
        )  # accelerate asks for them, in a group that is there
        losses: dict[str, list[float]] = {}
        for law in KINDS:
            losses[f"pipeline {law}"] = staged(index, law)
            losses[f"accelerate {law}"] = accelerated(prepared(law, index), range(4))
        torch.save(losses, f"{folder}/{index}.pt")


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, list[float]]]:
    """The losses that each of two processes saw."""
    folder = tmp_path_factory.mktemp("ranks")
    with in_two_processes(rank, folder, SECONDS):
        pass
    return [torch.load(folder / f"{index}.pt") for index in (0, 1)]


@pytest.mark.parametrize("law", KINDS)
def test_two_processes_train_as_one_does(of_two: list[dict[str, list[float]]], law: str) -> None:
    torch.set_num_threads(1)
    alone = plain(law)
    assert alone[-1] < alone[0]
    assert of_two[1][f"pipeline {law}"] == pytest.approx(alone, rel=1e-5)  # the last stage sees the loss
    assert of_two[0][f"accelerate {law}"] == of_two[1][f"accelerate {law}"] == pytest.approx(alone, rel=1e-5)


class Container:
    """An optimizer per part of a model, saved as one flat table: torchtitan's `OptimizersContainer` in short."""

    def __init__(self, groups: Any, parts: list[nn.Module], take: type[torch.optim.Optimizer]) -> None:
        self.parts, self.optimizers = parts, [groups.on(part).optimizer(take) for part in parts]

    def step(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        flat = StateDictOptions(flatten_optimizer_state_dict=True)
        pairs = zip(self.parts, self.optimizers, strict=True)
        return {key: value for pair in pairs for key, value in get_optimizer_state_dict(*pair, options=flat).items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        flat = StateDictOptions(flatten_optimizer_state_dict=True)
        for part, optimizer in zip(self.parts, self.optimizers, strict=True):
            set_optimizer_state_dict(part, optimizer, state, options=flat)


@pytest.mark.parametrize("law", KINDS)
def test_a_container_of_optimizers_by_part(law: str) -> None:
    def made(seed: int) -> tuple[Net, Container]:
        model = Net(128, seed=seed)
        groups = quiet(model, rules(law), sizes=WIDE, lr=3e-3, optimizer=KINDS[law], seed=3)
        return model, Container(groups, [Stage(model, True), Stage(model, False)], KINDS[law])

    def run(model: Net, container: Container | torch.optim.Optimizer, numbers: range) -> list[float]:
        losses: list[float] = []
        for number in numbers:
            tokens, target = batch(number)
            loss = functional.cross_entropy(model(tokens), target)
            model.zero_grad()
            loss.backward()
            container.step()
            losses.append(loss.item())
        return losses

    model, container = made(0)
    whole = Net(128)
    one = optimizer_of(whole, law)
    losses = run(whole, one, range(4))
    first = run(model, container, range(2))
    twin, other = made(9)
    twin.load_state_dict(model.state_dict())
    other.load_state_dict(container.state_dict())
    assert first + run(twin, other, range(2, 4)) == pytest.approx(losses, rel=1e-5)
