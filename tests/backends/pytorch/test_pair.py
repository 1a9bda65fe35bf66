"""Muon's pair as an optimizer: what torch, its checkpoints and other people's code ask of one."""

from __future__ import annotations

import copy
import functools
import pickle
from dataclasses import replace
from typing import Any

import pytest
import torch
from fused_weight import CUTS, parts_of_one
from residual_net import BASE, Net, quiet, rules, run
from scalerules.backends.pytorch.model.muon_pair import Pair
from scalerules.backends.pytorch.source.emit import Groups
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.optim.optimizer import register_optimizer_step_post_hook

from scalerules.errors import ScaleRulesError

torch.set_num_threads(1)
WIDE = {"width": 64}


def groups_of(model: nn.Module, **options: Any) -> Groups:
    return quiet(model, rules("muon-original"), sizes=WIDE, optimizer=torch.optim.Muon, lr_beside=3e-3, **options)


def pair(seed: int = 0) -> tuple[Net, Pair]:
    model = Net(64, seed=seed)
    optimizer = groups_of(model).optimizer(torch.optim.Muon)
    assert isinstance(optimizer, Pair)
    return model, optimizer


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_it_steps_as_its_two_parts_would_alone() -> None:
    (one, together), two = pair(), Net(64)
    apart = groups_of(two)
    run(one, [together], 3)
    run(two, [torch.optim.Muon(apart.matrices), torch.optim.AdamW(apart.others)], 3)
    assert same(one, two) and together.defaults["lr"] == 1e-2
    assert set(together.state) == set(one.parameters())


@pytest.mark.parametrize("how", ["state_dict", "distributed", "deepcopy", "pickle", "flattened"])
def test_training_goes_on_where_it_was(how: str) -> None:
    model, optimizer = pair()
    run(model, [optimizer], 2)
    if how == "deepcopy":
        twin, other = copy.deepcopy((model, optimizer))
    elif how == "pickle":
        twin, other = pickle.loads(pickle.dumps((model, optimizer)))
    else:
        twin, other = pair(seed=1)
        twin.load_state_dict(model.state_dict())
        if how == "state_dict":
            state = optimizer.state_dict()
            assert set(state) == {"state", "param_groups"}
            other.load_state_dict(state)
        else:
            options = StateDictOptions(flatten_optimizer_state_dict=how == "flattened")
            set_optimizer_state_dict(
                twin, other, get_optimizer_state_dict(model, optimizer, options=options), options=options
            )
    run(model, [optimizer], 2)
    run(twin, [other], 2)
    assert same(model, twin)
    run(twin, [other], 1)  # nothing is shared
    assert not same(model, twin)


def test_a_copy_follows_its_own_groups() -> None:
    model, optimizer = pair()
    run(model, [optimizer], 1)
    twin, other = copy.deepcopy((model, optimizer))
    before = copy.deepcopy(twin)
    for group in other.param_groups:
        group["lr"] = 0.0
    run(twin, [other], 1)
    assert same(twin, before)


def test_a_group_can_be_added() -> None:
    model, optimizer = pair()
    vector, matrix = nn.Parameter(torch.ones(3)), nn.Parameter(torch.eye(4))
    optimizer.add_param_group({"params": [vector], "lr": 0.1})
    optimizer.add_param_group({"params": [matrix], "optimizer": "muon"})
    assert optimizer.param_groups[-1]["lr"] == optimizer.defaults["lr"] and "momentum" in optimizer.param_groups[-1]
    (vector.sum() + matrix.sum()).backward()
    optimizer.step()
    assert not torch.equal(vector, torch.ones(3)) and not torch.equal(matrix, torch.eye(4))
    count = len(optimizer.param_groups)
    with pytest.raises(ValueError, match="2D"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(3))], "optimizer": "muon"})
    with pytest.raises(ValueError, match="more than one"):
        optimizer.add_param_group({"params": [vector]})
    assert len(optimizer.param_groups) == count
    optimizer.step()


def test_hooks_closures_and_gradients() -> None:
    model, optimizer = pair()
    seen: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    everywhere = register_optimizer_step_post_hook(lambda *_: seen.append("all"))
    loss = optimizer.step(lambda: run_loss(model))
    everywhere.remove()
    assert seen == ["before", "after", "all"] and isinstance(loss, torch.Tensor)
    optimizer.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def run_loss(model: nn.Module) -> Any:
    loss = model(torch.arange(8)).square().mean()
    loss.backward()
    return loss


def test_a_gradient_scaler_skips_what_overflows() -> None:
    model, optimizer = pair()
    scaler: Any = torch.amp.GradScaler("cpu", init_scale=8.0)
    before = copy.deepcopy(model)
    scaler.scale(model(torch.arange(8)).square().mean()).backward()
    next(iter(model.parameters())).grad[0, 0] = float("inf")  # type: ignore[index]
    scaler.step(optimizer)
    scaler.update()
    assert same(model, before) and scaler.get_scale() == 4.0
    optimizer.zero_grad()
    scaler.scale(model(torch.arange(8)).square().mean()).backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    assert not same(model, before)


def test_a_wrapper_that_puts_in_other_parameters() -> None:
    """As DeepSpeed's: it steps copies in 32 bits in place of the parameters."""
    model, optimizer = pair()
    masters: dict[nn.Parameter, nn.Parameter] = {}
    for group in optimizer.param_groups:
        for p in group["params"]:
            masters[p] = nn.Parameter(p.detach().clone())
        group["params"] = [masters[p] for p in group["params"]]
    run_loss(model)
    for p, master in masters.items():
        master.grad = p.grad
    optimizer.step()
    assert all(not torch.equal(p, master) for p, master in masters.items())


@pytest.mark.parametrize("kind", CUTS)
@pytest.mark.parametrize("width", [32, 128])
def test_the_parts_of_a_fused_weight_are_orthogonalised_one_by_one(kind: str, width: int) -> None:
    """A fused projection moves as three apart would; its state has its own shape."""
    names, axes = CUTS[kind]
    torch.manual_seed(0)
    fused = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width, bias=False)})
    apart = nn.ModuleDict({name: nn.Linear(width, width, bias=False) for name in "qkv"})

    def cut(values: torch.Tensor) -> list[torch.Tensor]:
        if kind == "rows":
            return list(values.chunk(3))
        return [part.reshape(width, width) for part in values.view(4, 3, width // 4, width).unbind(1)]

    weight: Any = fused["qkv"].weight
    with torch.no_grad():
        for part, layer in zip(cut(weight), apart.values(), strict=True):
            layer.weight.copy_(part)  # type: ignore[operator, union-attr]
    options: dict[str, Any] = {"sizes": {"width": width}, "optimizer": torch.optim.Muon, "init": False}
    one = quiet(fused, parts_of_one(names, axes), **options)
    two = quiet(apart, parts_of_one([f"{name}.weight" for name in "qkv"], "n n"), **options)
    with pytest.raises(ScaleRulesError, match=r"'qkv\.weight': is several matrices in one"):
        _ = one.matrices
    optimizers = [groups.optimizer(torch.optim.Muon, options={"momentum": 0.9}) for groups in (one, two)]
    draw = torch.Generator().manual_seed(1)
    for _ in range(3):
        gradient = torch.randn(weight.shape, generator=draw)
        weight.grad = gradient.clone()
        for part, layer in zip(cut(gradient), apart.values(), strict=True):
            layer.weight.grad = part.clone()  # type: ignore[union-attr]
        for optimizer in optimizers:
            optimizer.step()
    for part, layer in zip(cut(weight), apart.values(), strict=True):
        torch.testing.assert_close(part, layer.weight)
    assert optimizers[0].state[weight]["momentum_buffer"].shape == weight.shape
    again = one.optimizer(torch.optim.Muon, options={"momentum": 0.9})
    again.load_state_dict(optimizers[0].state_dict())
    assert torch.equal(again.state[weight]["momentum_buffer"], optimizers[0].state[weight]["momentum_buffer"])


def test_an_optimizer_of_whole_matrices_that_cannot_be_given_parts_is_refused() -> None:
    solution = replace(parts_of_one(*CUTS["rows"]), optimizer="shampoo")
    model = nn.ModuleDict({"qkv": nn.Linear(32, 96, bias=False)})
    with pytest.raises(ScaleRulesError, match=r"'qkv\.weight': is one matrix of 3 parts, and shampoo would mix them"):
        quiet(model, solution, sizes=BASE)


def test_an_adjustment_other_than_the_one_the_numbers_are_for_is_refused() -> None:
    groups = groups_of(Net(64))
    with pytest.raises(ScaleRulesError, match=r"adjusts the rate as 'match_rms', the numbers are for 'original'"):
        groups.optimizer(torch.optim.Muon, options={"adjust_lr_fn": "match_rms_adamw"})
    with pytest.raises(ScaleRulesError, match=r"takes no 'momentum' itself \(options=\{'momentum': \.\.\.\} for Muon"):
        groups.optimizer(torch.optim.Muon, momentum=0.9)
    with pytest.raises(ScaleRulesError, match=r"unknown argument 'momentun' .did you mean 'momentum'"):
        groups.optimizer(torch.optim.Muon, options={"momentun": 0.9})
    with pytest.raises(ScaleRulesError, match=r"other_options=: is a float, not arguments by name"):
        groups.optimizer(torch.optim.Muon, other_options=0.9)
    with pytest.raises(ScaleRulesError, match=r"decays weights in a way that is coupled"):
        groups.optimizer(torch.optim.Muon, others=torch.optim.Adam)
    take = functools.partial(torch.optim.Muon, adjust_lr_fn="match_rms_adamw")
    adjusted = quiet(Net(64), rules("muon-original"), sizes=WIDE, optimizer=take)
    adjusted.optimizer(torch.optim.Muon, options={"adjust_lr_fn": "match_rms_adamw"})
    assert adjusted.matrices[0]["lr"] != groups.matrices[0]["lr"]
