"""Numbers that data decide: how many rows a mask chooses, which branch a value takes.

Where rows are chosen, as many as could be are taken to be: `nonzero` of six entries has six, at all sizes and for all
data, so no branch is left out because nothing happened to choose it. Every other number, a condition or an `item()`,
is what it is on the inputs that were given (`measuring`), and is not a size: it is that of the first trace, and the
traces at other sizes take the branches that the first one took.
"""

# torch's own annotations are partial: what comes out of it is taken as Any.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sympy  # pyright: ignore[reportMissingTypeStubs]
import torch
from torch.utils import _pytree as pytree

from .users_lines import is_users, short_path

MANY = 2**31
"""A bound from which on a whole number counts as unbounded."""


class Undecided(Exception):
    """A number is decided by data, and no data were given."""


class Decided(int):
    """A whole number that data decided."""


@dataclass
class Decisions:
    """What data decided while a module was exported, in order: lines of the user's program, and the conditions.

    `earlier` are the conditions of a trace at another size, which goes the same way; `asked` is all that was asked.
    """

    earlier: tuple[bool, ...] = ()
    lines: list[str] = field(default_factory=list[str])
    taken: list[bool] = field(default_factory=list[bool])
    asked: list[object] = field(default_factory=list[object])

    def taking(self, result: Any) -> Any:
        """A condition as the earlier trace decided it, and as its own data do where that has none more."""
        if result not in (sympy.true, sympy.false):
            return result
        place = len(self.taken)
        self.taken.append(self.earlier[place] if place < len(self.earlier) else bool(result))
        return sympy.true if self.taken[-1] else sympy.false


@contextmanager
def measuring(earlier: tuple[bool, ...] = ()) -> Generator[Decisions]:
    """Inside, exports of a real module on real inputs carry the entries along, and conditions are decided by them.

    Yields what was decided; conditions go as `earlier` ones did.
    """
    import torch._functorch.config as config
    from torch._subclasses import FakeTensorMode, meta_utils
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    decisions = Decisions(earlier)
    told, evaluate = ShapeEnv._log_real_tensor_propagation, ShapeEnv._evaluate_expr
    copied, compared = meta_utils._safe_copy, getattr(FakeTensorMode, _COMPARING, None)

    def copy(to: torch.Tensor, entries: torch.Tensor | None) -> None:
        if entries is not None:  # torch leaves the entries of parameters out
            to.copy_(entries.detach())

    def taken_as_known(mode: Any, func: Any, known_in: Any, real_in: Any, known: Any, real: Any) -> Any:
        return known

    def tell(_: object, expression: object, *__: object) -> None:
        decisions.asked.append(expression)
        frames = [f for f in traceback.extract_stack() if is_users(f.filename)]
        if frames:
            decisions.lines.append(f"{short_path(frames[-1].filename)}:{frames[-1].lineno} {frames[-1].line}")

    def decide(env: ShapeEnv, expression: Any, *args: Any, **kwargs: Any) -> Any:
        before = len(decisions.asked)
        result = evaluate(env, expression, *args, **kwargs)
        return decisions.taking(result) if len(decisions.asked) > before else result

    setattr(ShapeEnv, "_log_real_tensor_propagation", tell)  # noqa: B010
    setattr(ShapeEnv, "_evaluate_expr", decide)  # noqa: B010
    setattr(meta_utils, "_safe_copy", copy)  # noqa: B010
    if compared is not None:
        setattr(FakeTensorMode, _COMPARING, taken_as_known)
    try:
        with config.patch(fake_tensor_propagate_real_tensors=True), _choosing_all():
            yield decisions
    finally:
        setattr(ShapeEnv, "_log_real_tensor_propagation", told)  # noqa: B010
        setattr(ShapeEnv, "_evaluate_expr", evaluate)  # noqa: B010
        setattr(meta_utils, "_safe_copy", copied)  # noqa: B010
        if compared is not None:
            setattr(FakeTensorMode, _COMPARING, compared)


_COMPARING = "_maybe_infer_fake_kernel_from_pytree_out"
"""Torch's own check that real tensors share memory as the shapes of an operation say. It tests torch's kernels, which
differ in that (attention on a processor), and cannot do so where a slice begins at a number that data decide."""

_CHOOSING = ("nonzero.default", "where.default", "masked_select.default", "index.Tensor", "_unsafe_index.Tensor",
             "index_put.default", "index_put_.default", "_index_put_impl_.default", "_unsafe_index_put.default",
             "masked_scatter.default", "masked_scatter_.default")  # fmt: skip


@contextmanager
def _choosing_all() -> Generator[None]:
    """Inside, what chooses by a mask of real entries chooses all of them."""
    overloads = [getattr(getattr(torch.ops.aten, name), kind) for name, kind in (n.split(".") for n in _CHOOSING)]
    kept = [overload._op for overload in overloads]
    for overload, run in zip(overloads, kept, strict=True):
        overload._op = _with_all(run, overload is torch.ops.aten.nonzero.default)
    try:
        yield
    finally:
        for overload, run in zip(overloads, kept, strict=True):
            overload._op = run


def _with_all(run: Callable[..., Any], any_dtype: bool) -> Callable[..., Any]:
    def chosen(value: Any) -> Any:
        mask = isinstance(value, torch.Tensor) and (any_dtype or value.dtype == torch.bool)
        return torch.ones_like(value, dtype=torch.bool) if mask else value

    def op(*args: Any, **kwargs: Any) -> Any:
        tensors = [tensor for tensor in pytree.tree_leaves((args, kwargs)) if isinstance(tensor, torch.Tensor)]
        if all(type(tensor) in (torch.Tensor, torch.nn.Parameter) for tensor in tensors):
            args, kwargs = pytree.tree_map(chosen, (args, kwargs))
        return run(*args, **kwargs)

    return op


def _most(env: Any, symbol: Any) -> int | None:
    """The most rows that a mask can choose; None of a number that is not bounded so."""
    bounds = env.var_to_range.get(symbol)
    if bounds is None or bounds.lower != 0 or not bounds.upper.is_number or not bounds.upper < MANY or bounds.upper < 2:
        return None
    return int(bounds.upper)


def number(value: Any) -> Any:
    """What an export calculates with outside of tensors, as a plain number. Raises `Undecided` where only data know it.

    All sizes of an export are fixed: it comes from data, and unless it counts rows that a mask could choose it is
    `Decided`.
    """
    if not isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool)):
        return _decided(value)
    expression, env = value.node.expr, value.node.shape_env
    counts = {symbol: _most(env, symbol) for symbol in expression.free_symbols}
    values = {symbol: sympy.Integer(most) for symbol, most in counts.items() if most is not None}
    values.update(env.real_tensor_prop_unbacked_vals)
    result = expression.xreplace(values).xreplace(values)
    if result.free_symbols:
        raise Undecided(f"only the data decide what {expression} is")
    if isinstance(value, torch.SymBool):
        return bool(result)
    plain = float(result) if isinstance(value, torch.SymFloat) else int(result)
    return plain if counts and None not in counts.values() else _decided(plain)


def _decided(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    return Decided(value) if isinstance(value, int) else value
