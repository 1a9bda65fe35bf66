"""One exported trace of a module at fixed sizes: nodes with numbers, before any symbol is fitted.

No memory is taken for weights: the module is built on the meta device, or with fake tensors where its constructor
does not allow that, and only then as it is (up to `MAX_REAL` entries). `torch.export` traces it without running it, and
`run_decompositions({})` makes the graph functional while linear maps, attention, norms, softmax, activations,
convolutions and recurrent cells stay whole.
"""

# torch's own annotations are partial: what comes out of it is taken as Any.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from scalerules.boundary.guard import Endless, guarded, said
from scalerules.errors import ScaleRulesError

from .derivatives import differentiates, needs_derivative, with_derivative
from .factories import Sizes, as_call, call_with, module_of, quiet
from .failures import by_data, cannot_trace
from .functional import functional
from .library_kernels import whole_kernels
from .measured_values import Decisions, measuring
from .own_gradients import own_gradients
from .packed_sequences import full_lengths, unpacked
from .plain_outputs import plain_output
from .program import read
from .traces import Trace
from .unwritten_code import unwritten
from .ways import WAYS, check_size, evaluation, moved, shorten


def trace(
    make_model: Callable[..., Any],
    make_inputs: Callable[..., Any],
    sizes: Sizes,
    way: str = "",
    cut: Mapping[str, frozenset[int]] | None = None,
    taken: tuple[bool, ...] = (),
) -> Trace:
    """The exported computation at `sizes`; `way` is the only way of building to try (that of an earlier trace).

    `cut` are members of lists of modules to leave out: copies of a block that is known to repeat. `taken` are the
    conditions that data decided in an earlier trace.

    Raises `ScaleRulesError` with what torch said, in the terms of the module, if no way works.
    """
    failures: list[tuple[str, Exception]] = []
    for built in (way,) if way else WAYS:
        if not way and built != "values" and failures and not _same_failure(failures) and by_data(failures[0][1]):
            continue
        if not way and built == "values" and not any(by_data(error) for _, error in failures):
            continue
        for mode in ("as built", "evaluation"):
            try:
                with quiet():
                    return _traced(make_model, make_inputs, sizes, built, mode, cut or {}, taken)
            except Endless:
                raise
            except ScaleRulesError as error:
                if error.what.startswith("the model factory") or not getattr(error, "_while_building", False):
                    raise  # it says what is wrong itself: another way of building would not change it
                failures.append((built, error))
            except Exception as error:  # whatever the user's module, or torch, raises
                failures.append((built, error))
            if _same_failure(failures):
                break
    raise cannot_trace(sizes, failures)


def _same_failure(failures: list[tuple[str, Exception]]) -> bool:
    """Building itself failed: another mode of the module would not change that."""
    return getattr(failures[-1][1], "_while_building", False)


def _traced(
    make_model: Callable[..., Any],
    make_inputs: Callable[..., Any],
    sizes: Sizes,
    built: str,
    mode: str,
    cut: Mapping[str, frozenset[int]],
    taken: tuple[bool, ...],
) -> Trace:
    with ExitStack() as stack:
        try:
            context = WAYS[built]()
            with context:
                model = module_of(make_model, sizes)
            if built in ("real", "values"):
                check_size(model)
            if built == "values":
                torch.manual_seed(0)
            with torch.device("cpu"):
                args, kwargs = as_call(call_with(make_inputs, sizes))
                args, kwargs = tuple(map(unpacked, args)), {name: unpacked(each) for name, each in kwargs.items()}
        except Exception as error:
            error._while_building = True  # pyright: ignore[reportAttributeAccessIssue]
            raise
        for path, members in cut.items():
            shorten(model, path, members)
        notes, decisions = list[str](), Decisions()
        if mode == "evaluation":
            evaluation(model)
            notes.append("traced in evaluation mode (normalisation over batches as in training)")
        args, kwargs = moved(built, context, args, kwargs)
        if built == "fake":
            stack.enter_context(context)
        if built == "values":
            decisions = stack.enter_context(measuring(taken))
        else:
            stack.enter_context(whole_kernels())
        stack.enter_context(without_looking())
        stack.enter_context(copying())
        packing, backward = stack.enter_context(full_lengths()), stack.enter_context(own_gradients())
        stack.enter_context(unwritten())
        model.register_forward_hook(plain_output)
        stack.enter_context(torch.no_grad())
        held = Held(model) if clashes(model) else model
        program = functional(_run(held, args, kwargs))
        settle_names(program)
        found = read(model, program, dict(sizes), built, "" if held is model else HOLDER)
    lines = dict.fromkeys(decisions.lines)
    decided = [f"{line}: depends on values, traced as the given inputs decide it" for line in lines]
    found.taken = tuple(decisions.taken)
    found.notes += [*notes, *decided, *dict.fromkeys([*packing, *backward])]
    return found


HOLDER = "held_module"
"""The name of a module inside of the one that is exported in its place."""


class Held(nn.Module):
    """A module around another one, whose own names the exporter cannot hold (`code`, `graph`): inside they are free."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.add_module(HOLDER, module)
        self.train(module.training)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes."""
        return getattr(self, HOLDER)(*args, **kwargs)


def clashes(model: nn.Module) -> bool:
    """Whether a part of the module is called like something that exported modules have of their own."""
    own = {*model._modules, *model._parameters, *model._buffers}
    return bool(own & (set(dir(torch.fx.GraphModule)) - set(dir(nn.Module))))


def _run(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The exported program; the module's code may neither end the program nor run for ever."""
    try:
        with guarded("forward()"):
            return exported(model, args, kwargs)
    except SystemExit as error:
        raise Endless(f"forward() ends the program: {said(error)}") from None


def exported(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The exported program of a module; one that asks autograd for a derivative gets another `forward` for it.

    What autograd cannot follow either (`flex_attention` on a processor) stays as it was exported.
    """
    program = None
    try:
        program = torch.export.export(model, args, kwargs, strict=False)
        if not differentiates(program.graph):
            return program
    except Exception as error:
        if not needs_derivative(error):
            raise
    try:
        with_derivative(model, args, kwargs)
    except NotImplementedError:
        if program is None:
            raise
        return program
    return torch.export.export(model, args, kwargs, strict=False)


@contextmanager
def without_looking() -> Generator[None]:
    """`nn.Transformer` looks at the entries of its masks, which have none: they are taken as they are passed."""
    from torch.nn.modules import transformer

    looked = transformer._detect_is_causal_mask
    transformer._detect_is_causal_mask = lambda mask, is_causal=None, size=None: bool(is_causal)
    try:
        yield
    finally:
        transformer._detect_is_causal_mask = looked


@contextmanager
def copying() -> Generator[None]:
    """`copy.deepcopy` of a value reads its memory, which is not there: it is a clone."""
    whole = torch.Tensor.__deepcopy__

    def clone(tensor: torch.Tensor, memo: dict[int, Any]) -> torch.Tensor:
        return memo.setdefault(id(tensor), tensor.clone())

    setattr(torch.Tensor, "__deepcopy__", clone)  # noqa: B010
    try:
        yield
    finally:
        setattr(torch.Tensor, "__deepcopy__", whole)  # noqa: B010


_VIEWS = (torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default, torch.ops.aten.reshape.default)


def settle_names(program: Any) -> None:
    """Gives calls and inputs names that are the same in all exports, and none that a weight has, too.

    Whether a reshape is a view or a copy depends on strides, which differ between kernels (attention on the meta
    device and on a real one): every view is called `view_N` by its place among them. And a module may call a weight
    as torch calls a call, or as it calls its input: `self.exp`, `self.x`.
    """
    nodes, signature = list(program.graph.nodes), program.graph_signature
    held = [*(str(spec.target) for spec in signature.input_specs if spec.target), *map(str, program.constants)]
    weights = {name.removeprefix(f"{HOLDER}.") for name in held}
    inputs = {spec.arg.name: spec.arg for spec in signature.input_specs if spec.kind.name == "USER_INPUT"}
    views = [node for node in nodes if node.op == "call_function" and node.target in _VIEWS]
    taken = weights | ({node.name for node in nodes} - {node.name for node in views})
    for node in views:
        node.name = _free("view", taken)
    for node in nodes:
        if node.name in weights and (node.op == "call_function" or node.name in inputs):
            given = inputs.get(node.name)
            node.name = _free(node.name, taken)
            if given is not None:
                given.name = node.name


def _free(name: str, taken: set[str]) -> str:
    """The first of `name`, `name_1`, `name_2` that is free; it is taken then."""
    numbered = itertools.chain([name], (f"{name}_{i}" for i in itertools.count(1)))
    free = next(each for each in numbered if each not in taken)
    taken.add(free)
    return free
