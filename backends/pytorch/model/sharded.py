"""Tensors that may be sharded: the whole of a DTensor, its statistics, and filling it from a whole one.

A sharded parameter is looked at and filled as the whole one would be, bit by bit: gathered, or drawn whole and cut. The
collectives run once a parameter and in the same order on every rank; no more than one parameter is whole at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from torch import Tensor


def is_sharded(tensor: Tensor) -> bool:
    """Whether this is a DTensor (FSDP2's `fully_shard`, tensor parallelism)."""
    return hasattr(tensor, "device_mesh") and hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """All entries, detached; of a sharded tensor gathered from all ranks."""
    tensor = tensor.detach()
    return cast("Any", tensor).full_tensor() if is_sharded(tensor) else tensor


def fill(tensor: Tensor, values: Tensor) -> None:
    """Copies `values`, the whole tensor, into a tensor; a sharded one takes its part, without communication."""
    if not is_sharded(tensor):
        tensor.copy_(values)
        return
    from torch.distributed.tensor import distribute_tensor

    sharded = cast("Any", tensor)
    # every rank has drawn the same whole tensor: without a source rank each only cuts its part out
    values = values.to(tensor.dtype)
    tensor.copy_(distribute_tensor(values, sharded.device_mesh, sharded.placements, src_data_rank=None))


def mesh_of(tensor: Tensor) -> object:
    """The device mesh of a sharded tensor, None of a plain one: `foreach` optimizers cannot mix them in one group."""
    return cast("Any", tensor).device_mesh if is_sharded(tensor) else None


def spread(values: Tensor) -> float:
    """The std of the entries (of complex ones: of their distance to the mean).

    Of entries that agree how large they are: two or three of a bias may differ by chance by next to nothing.
    """
    values = whole(values).flatten()
    std = float((values - values.mean()).abs().double().square().mean().sqrt())
    return std if std >= float(values.mean().abs()) else root_mean_square(values)


def root_mean_square(values: Tensor) -> float:
    """The root mean square of the entries."""
    return float(whole(values).abs().double().square().mean().sqrt())


def constant(values: Tensor) -> bool:
    """Whether all entries are the same number."""
    values = whole(values)
    return values.numel() == 0 or bool((values == values.flatten()[0]).all())
