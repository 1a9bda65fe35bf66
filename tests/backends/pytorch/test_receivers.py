"""The tables of docs/receivers.md: what optimizers do with their numbers, and which schedules keep ratios."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from residual_net import Net, quiet, rules, run
from scalerules.backends.pytorch.model.receiver import Receiver
from scalerules.backends.pytorch.source.emit import Groups
from torch.optim import lr_scheduler as schedules

import scalerules as sr
from scalerules.errors import ScaleRulesError

torch.set_num_threads(1)
WIDE = {"width": 64}
PAGE = Path(__file__).parents[3] / "docs" / "receivers.md"


def table(heading: str) -> list[list[str]]:
    """The rows of the table whose first heading this is."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start + 2 :]
            if line.startswith("|") or not line]  # fmt: skip
    return rows[: rows.index([""])]


OPTIMIZERS = table("class")
SCHEDULES = table("schedule")


def test_there_are_twenty_optimizers_and_twelve_schedules() -> None:
    assert len(OPTIMIZERS) >= 20 and len(SCHEDULES) >= 12


@pytest.mark.parametrize("row", OPTIMIZERS, ids=[row[0] for row in OPTIMIZERS])
def test_what_an_optimizer_does_with_its_numbers(row: list[str]) -> None:
    path, decay, gradient, weight, spectral, obeys, law = row
    module, _, name = path.rpartition(".")
    take = getattr(importlib.import_module(module), name)
    receiver = Receiver.of(take)
    moves = receiver.moves
    assert receiver.decay == (None if decay == "none" else decay) and receiver.obeys == (obeys == "yes")
    if law == "refused":
        with pytest.raises(ScaleRulesError, match="does not follow the rates of its groups"):
            quiet(Net(64), rules("adamw"), sizes=WIDE, optimizer=take)
        return
    assert moves is not None and moves.spectral == (spectral == "yes")
    assert (moves.gradient, moves.weight) == (Fraction(gradient), Fraction(weight))
    trained(take, law, decay)
    wrong = "sgd" if moves.gradient == 0 else "adamw"
    with pytest.raises(ScaleRulesError, match=f"optimizer {name}: is not what the rules were derived for .{wrong}."):
        quiet(Net(64), rules(wrong), sizes=WIDE, optimizer=take)


def trained(take: Any, law: str, decay: str) -> None:
    """Two steps with the numbers made for the class; a checkpoint of it; the tuned rate as its default."""
    solution = sr.derive(blocks(), law)
    model = Net(64)
    options = {"weight_decay": 0.0 if decay in ("none", "coupled") else 0.1, "lr": 1e-3}
    groups = quiet(model, solution, sizes=WIDE, optimizer=take, **options)
    optimizer: Any = groups.optimizer(take)
    if hasattr(optimizer, "train"):
        optimizer.train()
    assert all(map(math.isfinite, run(model, [optimizer], 2)))
    assert optimizer.defaults["lr"] == 1e-3
    assert [group["lr"] for group in optimizer.param_groups] == [group["lr"] for group in groups]
    other: Any = groups.optimizer(take)
    other.load_state_dict(optimizer.state_dict())


def blocks() -> Any:
    from residual_net import blocks_graph

    return blocks_graph()


def lengths(low: float, high: float) -> Callable[[Groups], tuple[list[float], list[float]]]:
    return lambda groups: (groups.per_group(low), groups.per_group(high))


def half(step: int) -> float:
    return 0.5**step


MADE: dict[str, Callable[[Any, Groups], Any]] = {
    "LambdaLR": lambda o, _: schedules.LambdaLR(o, half),
    "MultiplicativeLR": lambda o, _: schedules.MultiplicativeLR(o, lambda step: 0.9),
    "StepLR": lambda o, _: schedules.StepLR(o, 2),
    "MultiStepLR": lambda o, _: schedules.MultiStepLR(o, [2, 4]),
    "ConstantLR": lambda o, _: schedules.ConstantLR(o, 0.3, 3),
    "LinearLR": lambda o, _: schedules.LinearLR(o, 0.1, 1.0, 5),
    "ExponentialLR": lambda o, _: schedules.ExponentialLR(o, 0.7),
    "PolynomialLR": lambda o, _: schedules.PolynomialLR(o, 12),
    "CosineAnnealingLR": lambda o, _: schedules.CosineAnnealingLR(o, 12),
    "CosineAnnealingWarmRestarts": lambda o, _: schedules.CosineAnnealingWarmRestarts(o, 4),
    "SequentialLR": lambda o, _: schedules.SequentialLR(
        o, [schedules.LinearLR(o, 0.1, 1.0, 3), schedules.ExponentialLR(o, 0.8)], [3]
    ),
    "ChainedScheduler": lambda o, _: schedules.ChainedScheduler(
        [schedules.ConstantLR(o, 0.1, 3), schedules.ExponentialLR(o, 0.9)]
    ),
    "OneCycleLR": lambda o, g: schedules.OneCycleLR(o, g.per_group(2e-2), total_steps=12),
    "CyclicLR": lambda o, g: schedules.CyclicLR(o, g.per_group(1e-3), g.per_group(1e-2), 3, cycle_momentum=False),
    "ReduceLROnPlateau": lambda o, g: schedules.ReduceLROnPlateau(o, factor=0.3, patience=0, min_lr=g.per_group(1e-3)),
    "SWALR": lambda o, g: torch.optim.swa_utils.SWALR(o, g.per_group(1e-3), 4),  # type: ignore[arg-type]
    "OneCycleLR with one number": lambda o, _: schedules.OneCycleLR(o, 2e-2, total_steps=12),
    "CosineAnnealingLR with eta_min": lambda o, _: schedules.CosineAnnealingLR(o, 8, eta_min=1e-3),
}


@pytest.mark.parametrize("row", SCHEDULES, ids=[row[0] for row in SCHEDULES])
def test_which_schedules_keep_ratios(row: list[str]) -> None:
    name, keeps, _ = row
    groups = quiet(Net(128), rules(), sizes={"width": 128})
    optimizer = groups.optimizer(torch.optim.AdamW)
    start = [group["lr"] for group in optimizer.param_groups]
    schedule, seen, kept = MADE[name](optimizer, groups), set[float](), True
    for _ in range(9):
        optimizer.step()
        schedule.step(*([1.0] if name == "ReduceLROnPlateau" else []))
        shares = [group["lr"] / first for group, first in zip(optimizer.param_groups, start, strict=True)]
        kept = kept and max(shares) - min(shares) < 1e-9 * max(shares)
        seen.add(round(shares[0], 12))
    assert len(seen) > 1 and kept == (keeps == "yes")


def test_hugging_faces_floor_is_a_share_of_the_tuned_rate() -> None:
    import transformers

    for take, law in ((torch.optim.AdamW, "adam"), (torch.optim.Muon, "muon-original")):
        groups = quiet(Net(128), rules(law), sizes={"width": 128}, optimizer=take)
        optimizer = groups.optimizer(take)
        start = [group["lr"] for group in optimizer.param_groups]
        schedule = transformers.get_cosine_with_min_lr_schedule_with_warmup(optimizer, 1, 10, min_lr=1e-3)
        for _ in range(10):
            optimizer.step()
            schedule.step()
        assert [g["lr"] / s for g, s in zip(optimizer.param_groups, start, strict=True)] == pytest.approx(
            [0.1] * len(start)
        )


def test_another_rate_on_resume() -> None:
    groups = quiet(Net(128), rules(), sizes={"width": 128}, lr={"*": 1e-2, "W_E": 5e-2})
    optimizer = groups.optimizer(torch.optim.AdamW)
    before = [group["lr"] for group in optimizer.param_groups]
    schedules.LambdaLR(optimizer, half)
    groups.retune(optimizer, lr=5e-3, weight_decay=0.2)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([lr / 2 for lr in before])
    assert [group["initial_lr"] for group in optimizer.param_groups] == pytest.approx([lr / 2 for lr in before])
    assert optimizer.defaults["lr"] == 5e-3 and optimizer.param_groups[0]["weight_decay"] == pytest.approx(
        2 * groups[0]["weight_decay"]
    )
    with pytest.raises(ScaleRulesError, match="has 1 groups, and there are"):
        groups.retune(torch.optim.AdamW(Net(128).parameters()), lr=1e-3)
    with pytest.raises(ScaleRulesError, match="value=: cannot be -1"):
        groups.retune(optimizer, lr=-1.0)
    with pytest.raises(ScaleRulesError, match="unknown number 'eps'"):
        groups.per_group(1e-3, "eps")
