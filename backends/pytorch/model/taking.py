"""The class that takes groups, and its arguments: checked against the rules and the numbers that the groups hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scalerules.catalogue.user_code import kind_of
from scalerules.errors import ScaleRulesError

from .asked import check_kind, check_shadowed, law_named
from .made import Made
from .receiver import Receiver
from .rows import Row

if TYPE_CHECKING:
    from torch.optim import Optimizer

Taken = tuple["type[Optimizer]", dict[str, Any]]
"""A class and its arguments but the groups."""
OF_PAIR = ("options", "others", "other_options")


def taken(receiver: Receiver, options: Mapping[str, Any], made: Made, rows: Sequence[Row]) -> Taken:
    """One class for all groups. Raises `ScaleRulesError` for one that does with the numbers what they are not for."""
    receiver = receiver.with_options(options)
    if not receiver.takes("params") or (receiver.missing and "params" not in receiver.arguments):
        hint = f"it has {', '.join(receiver.arguments)}"
        raise ScaleRulesError("takes no groups of parameters", where=f"optimizer {receiver.name}", hint=hint)
    if receiver.missing:
        hint = f"groups.optimizer({receiver.name}, {receiver.missing[0]}=...)"
        raise ScaleRulesError(f"needs {', '.join(receiver.missing)}", where=f"optimizer {receiver.name}", hint=hint)
    check(receiver, made, rows)
    tuned = {"lr": made.lr} if made.lr is not None and receiver.takes("lr") else {}
    return receiver.kind, {**receiver.options, **tuned}


def taken_by_pair(receiver: Receiver, options: Mapping[str, Any], made: Made, rows: Sequence[Row]) -> Taken:
    """A class for the matrices and one for the rest, as a `Pair`. Raises `ScaleRulesError` as `taken` does."""
    import torch

    from .muon_pair import Pair  # needs torch, which rules as a table do not

    for name in options:
        if name not in OF_PAIR:
            hint = f"options={{{name!r}: ...}} for {receiver.name}, other_options= for what stands beside it"
            raise ScaleRulesError(f"takes no {name!r} itself", where="the pair of two optimizers", hint=hint)
    matrices = receiver.with_options(_by_name(options, "options"))
    check_kind(law_named(made.optimizer), matrices)
    mine = made.receiver
    if mine is not None and None not in (mine.adjust, matrices.adjust) and mine.adjust != matrices.adjust:
        what = f"adjusts the rate as {matrices.adjust!r}, the numbers are for {mine.adjust!r}"
        hint = f"apply(..., optimizer=functools.partial({matrices.name}, ...)) with the same arguments"
        raise ScaleRulesError(what, where=f"optimizer {matrices.name}", hint=hint)
    others = Receiver.of(options.get("others", torch.optim.AdamW)).with_options(_by_name(options, "other_options"))
    check(others, made, rows)
    tuned = {"lr": made.lr, "weight_decay": made.weight_decay} if made.lr is not None else {}
    return Pair, {
        "matrices": matrices.kind, "options": matrices.options, "others": others.kind, "other_options": others.options,
        **tuned,
    }  # fmt: skip


def check(receiver: Receiver, made: Made, rows: Sequence[Row]) -> None:
    """Raises `ScaleRulesError` if this class is not one that the rules and the numbers are for."""
    if made.receiver is not None and made.receiver == receiver:
        return
    for key in dict.fromkeys(key for row in rows for key in row.tuned):
        check_shadowed(receiver, key, [row.tuned[key] for row in rows if key in row.tuned])
    check_kind(law_named(made.optimizer), receiver)
    hint = f"apply(..., optimizer={receiver.name})"
    if receiver.options:
        hint = f"apply(..., optimizer=functools.partial({receiver.name}, ...)) with the same arguments"
    scaled = [row for row in rows if row.factor["weight_decay"] != 1]
    decays = any(float(row.numbers["weight_decay"]) for row in scaled)
    if decays and receiver.decay not in (None, made.decay):
        what = f"decays weights in a way that is {receiver.decay}, the numbers are for {made.decay} decay"
        raise ScaleRulesError(what, where=f"optimizer {receiver.name}", hint=hint)


def _by_name(options: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = options.get(name) or {}
    if not isinstance(value, Mapping):
        hint = f'{name}={{"betas": (0.9, 0.95)}}'
        raise ScaleRulesError(f"is {kind_of(value)}, not arguments by name", where=f"{name}=", hint=hint)
    return value
