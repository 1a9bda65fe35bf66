"""Models over two processes (gloo): `apply` starts and trains them as it does in one.

FSDP2 after `to_empty`, FSDP2 of a model that has values, DDP, tensor parallelism: every initial entry is bit by bit that of
one process, three steps of AdamW agree to rounding.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from gloo import in_two_processes, joined
from handmade import handmade
from residual_net import BASE, Net, blocks_graph
from scalerules.backends.pytorch.model.draw import seed_of
from scalerules.backends.pytorch.model.match import bare
from scalerules.backends.pytorch.model.sharded import is_sharded
from scalerules.backends.pytorch.model.sharded import whole as gathered
from scalerules.backends.pytorch.source.emit import Groups, apply
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

WIDTH, SEED, SECONDS = 64, 5, 120
CASES = ["drawn", "own", "replicated", "tensor"]


class Head(nn.Module):
    """Linear layers, so that tensor parallelism has something to cut: `up` by rows, `down` by columns."""

    def __init__(self, width: int) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(functional.relu(self.up(x)))


def head_graph() -> Any:
    import scalerules as sr

    g = sr.Builder("head", sizes=BASE, axes={"batch": 4, "n": "width", "ffn": "4*width"})
    h = g.relu(g.dense("up.weight", g.input("x", "batch n"), "ffn n"))
    return g.build(g.dense("down.weight", h, "n ffn"))


def set_up(model: nn.Module, graph: Any, seed: int | None) -> Groups:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return apply(model, handmade(graph), base=BASE, sizes={"width": WIDTH}, lr=1e-2, weight_decay=0.1, seed=seed)


def whole(model: nn.Module) -> dict[str, torch.Tensor]:
    return {bare(name): gathered(parameter).clone() for name, parameter in model.named_parameters()}


def train(model: nn.Module, groups: Groups, tokens: bool) -> list[float]:
    """Losses of three steps, the same batch for everybody."""
    optimizer = groups.optimizer(torch.optim.AdamW, foreach=True)
    torch.manual_seed(0)
    x = torch.randint(11, (16,)) if tokens else torch.randn(16, WIDTH)
    target = torch.randint(11, (16,))
    losses: list[float] = []
    for _ in range(3):
        loss = functional.cross_entropy(model(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def measured(models: dict[str, nn.Module]) -> dict[str, Any]:
    """Of every case: what it starts with, the losses, what it ends with, and its rates."""
    found: dict[str, Any] = {}
    for case, model in models.items():
        groups = set_up(model, head_graph() if case == "tensor" else blocks_graph(), None if case == "own" else SEED)
        start = whole(model)
        found[case] = (start, train(model, groups, case != "tensor"), whole(model), [g["lr"] for g in groups])
    return found


def one_process() -> dict[str, Any]:
    return measured({"drawn": Net(WIDTH), "own": Net(WIDTH), "replicated": Net(WIDTH), "tensor": Head(WIDTH)})


def two_processes() -> dict[str, Any]:
    """FSDP2 of a model made on the meta device, and of one with values; DDP; tensor parallelism."""
    mesh = init_device_mesh("cpu", (2,))
    with torch.device("meta"):
        drawn = Net(WIDTH)
    own, tensor = Net(WIDTH), Head(WIDTH)
    for model in (drawn, own):
        for block in model.blocks:
            fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)
    drawn.to_empty(device="cpu")
    parallelize_module(tensor, mesh, {"up": ColwiseParallel(), "down": RowwiseParallel()})
    assert all(is_sharded(p) for model in (drawn, own, tensor) for p in model.parameters())
    return measured({"drawn": drawn, "own": own, "replicated": DistributedDataParallel(Net(WIDTH)), "tensor": tensor})


def rank(index: int, folder: str) -> None:
    """What each of the two processes does; its results go to a file."""
    with joined(index, folder):
        torch.save(two_processes(), f"{folder}/{index}.pt")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What one process found, and what each of two found."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("ranks")
    with in_two_processes(rank, folder, SECONDS):
        alone = one_process()
    return [alone, *(torch.load(Path(folder) / f"{index}.pt") for index in (0, 1))]


@pytest.mark.parametrize("case", CASES)
def test_every_initial_entry_is_that_of_one_process(runs: list[dict[str, Any]], case: str) -> None:
    alone, *ranks = runs
    for found in ranks:
        assert list(found[case][0]) == list(alone[case][0])
        for name, values in alone[case][0].items():
            assert torch.equal(found[case][0][name], values), name


@pytest.mark.parametrize("case", CASES)
def test_training_is_that_of_one_process(runs: list[dict[str, Any]], case: str) -> None:
    alone, *ranks = runs
    for found in ranks:
        assert found[case][3] == alone[case][3]
        assert found[case][1] == pytest.approx(alone[case][1], rel=1e-5)
        for name, values in alone[case][2].items():
            torch.testing.assert_close(found[case][2][name], values, rtol=1e-4, atol=2e-6)
            assert not torch.equal(found[case][2][name], found[case][0][name]), name


def test_a_parameter_is_drawn_from_its_name_alone() -> None:
    assert seed_of(0, "h.0.W") == seed_of(0, "module._orig_mod.h.0.W") != seed_of(0, "h.1.W")
    assert seed_of(0, "h.0.W") != seed_of(1, "h.0.W")
    one, other = Net(WIDTH), Net(WIDTH, seed=7)
    set_up(one, blocks_graph(), 3)
    set_up(torch.compile(other, backend="eager"), blocks_graph(), 3)  # type: ignore[arg-type]
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    deep = Net(WIDTH, depth=4)
    set_up(deep, blocks_graph(), 3)
    assert torch.equal(deep.get_parameter("blocks.1.mlp.W_up"), one.get_parameter("blocks.1.mlp.W_up"))
    assert not torch.equal(deep.get_parameter("blocks.1.mlp.W_up"), deep.get_parameter("blocks.0.mlp.W_up"))
