"""The functional form of an exported program, without what torch prepares anew for every one.

`run_decompositions({})` looks for all composite operators, some five hundred, and gives each of them kernels that leave
it whole. It is the same for every program and takes longer than a small module does: here it is kept, and done
again once operators have been registered.
"""

# torch's own annotations are partial, and what is kept here are its internals.
# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from operator import getitem
from typing import Any

import torch
from torch._subclasses.fake_impls import op_implementations_dict as fake_rules
from torch.export import exported_program

from .composite_views import is_composite, is_composite_view, write_out

PREPARING = "_collect_all_valid_cia_ops", "_override_composite_implicit_decomp"
COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd


def functional(program: Any) -> Any:
    """The program without in-place operations and views of parts; composite operators stay whole.

    A program of which every call but composite views would stay as it is is taken as it is, without what nobody reads:
    going through it anew is half of a trace.
    """
    if not all(hasattr(exported_program, name) for name in PREPARING):
        return program.run_decompositions({})
    with _prepared():
        whole = vars(exported_program)[PREPARING[0]]()
        program.graph.eliminate_dead_code(_does_something)
        views = dict.fromkeys(node for node in program.graph.nodes if is_composite_view(node, whole))
        if not all(node in views or _stays(node, whole) for node in program.graph.nodes):
            return program.run_decompositions({})
    for node in views:
        write_out(node)
    program.graph.eliminate_dead_code(_does_something)  # what views read for its shape alone
    for spec, node in zip(program.graph_signature.output_specs, program.graph.output_node().args[0], strict=True):
        if isinstance(node, torch.fx.Node):
            spec.arg.name = node.name
    return program


def _does_something(node: Any) -> bool:
    """Whether a call does something where nobody reads it; also of what is no operator, which is not known."""
    return node.is_impure() or not (hasattr(node.target, "_schema") or node.target is getitem)


def _stays(node: Any, whole: Collection[Any]) -> bool:
    """Whether the functional form of a program has this very node: it writes nothing, is read, and is of one piece.

    `whole`: the composite operators that are left whole; of views there are none.
    """
    if node.op in ("placeholder", "output"):
        return True
    target, schema = node.target, getattr(node.target, "_schema", None)
    if not node.users or (schema is None and target is not getitem):
        return False
    if schema is None or target in whole:
        return True
    return not (schema.is_mutable or is_composite(target))


@contextmanager
def _prepared() -> Generator[None]:
    """In here torch's two preparations are taken from what is kept."""
    own = {name: getattr(exported_program, name) for name in PREPARING}
    collect, override = own.values()
    kept = partial(_kept.operators, collect), partial(_kept.whole, override)
    vars(exported_program).update(zip(PREPARING, kept, strict=True))
    try:
        yield
    finally:
        vars(exported_program).update(own)


class _Kept:
    """The composite operators that are registered, and for each what it is given so that it stays whole."""

    def __init__(self) -> None:
        self.registered: list[str] = []
        self.found: set[Any] = set()
        self.kernels: dict[Any, dict[Any, Any]] = {}
        self.rules: dict[Any, Any] = {}

    def operators(self, collect: Callable[[], set[Any]]) -> set[Any]:
        """All of them."""
        registered = torch._C._dispatch_get_registrations_for_dispatch_key("CompositeImplicitAutograd")
        if registered != self.registered:
            self.registered, self.found, self.kernels = registered, collect(), {}
        return self.found

    def whole(
        self, override: Callable[..., Any], operators: Mapping[Any, Any], **asked: Any
    ) -> AbstractContextManager[None]:
        """The context in which operators stay whole: as torch makes it, or as it made it before."""
        if asked:
            return override(operators, **asked)
        return self._again(operators) if operators.keys() == self.kernels.keys() else self._made(override, operators)

    @contextmanager
    def _made(self, override: Callable[..., Any], operators: Mapping[Any, Any]) -> Generator[None]:
        before = {operator: dict(operator.py_kernels) for operator in operators}
        with override(operators):
            self.kernels = {operator: _added(before[operator], operator.py_kernels) for operator in operators}
            self.rules = {operator: fake_rules[operator] for operator in operators if operator in fake_rules}
            yield

    @contextmanager
    def _again(self, operators: Mapping[Any, Any]) -> Generator[None]:
        before = {operator: dict(operator.py_kernels) for operator in operators}
        rules = {operator: rule for operator, rule in self.rules.items() if operator not in fake_rules}
        fake_rules.update(rules)
        for operator, kernels in self.kernels.items():
            operator.py_kernels.update(_added(before[operator], kernels))
            operator._dispatch_cache.clear()
        try:
            yield
        finally:
            for operator, kernels in before.items():
                operator.py_kernels.clear()
                operator.py_kernels.update(kernels)
                operator._dispatch_cache.clear()
            for operator in rules:
                fake_rules.pop(operator, None)


def _added(before: Mapping[Any, Any], kernels: Mapping[Any, Any]) -> dict[Any, Any]:
    """The kernels that an operator did not have, and the one that keeps it whole."""
    return {key: kernel for key, kernel in kernels.items() if key == COMPOSITE or key not in before}


_kept = _Kept()
