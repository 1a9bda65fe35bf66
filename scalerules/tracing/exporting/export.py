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

import inspect
import io
import itertools
import logging
import re
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, redirect_stderr
from typing import Any, TypeAlias, cast

import torch
from torch import nn
from torch.utils import _pytree as pytree

from scalerules.boundary.guard import Endless, guarded, said
from scalerules.errors import ScaleRulesError

from .derivatives import needs_derivative, with_derivative
from .library_kernels import whole_kernels
from .measured_values import measuring
from .program import Trace, read
from .users_lines import is_users, short_path

Sizes: TypeAlias = Mapping[str, int]

MAX_REAL = 200_000_000
"""Most entries of a module that is built with real memory because neither meta nor fake tensors do."""


def call_with(function: Callable[..., Any], sizes: Sizes) -> Any:
    """`function(**sizes)`, with those of the sizes that it takes."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        taken = sizes
    else:
        any_name = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        taken = {name: value for name, value in sizes.items() if any_name or name in parameters}
    name = f"{getattr(function, '__name__', 'the factory')}()"
    try:
        with guarded(name):
            return function(**taken)
    except SystemExit as error:
        raise ScaleRulesError(f"{name} ends the program: {said(error)}") from None


def as_call(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What `make_inputs` returns, as positional and keyword arguments of the module."""
    if isinstance(inputs, Mapping):
        return (), dict(cast("Mapping[str, Any]", inputs))
    if isinstance(inputs, (tuple, list)):
        items: tuple[Any, ...] = tuple(cast("Sequence[Any]", inputs))
        if len(items) == 2 and isinstance(items[0], (tuple, list)) and isinstance(items[1], dict):
            return tuple(cast("Sequence[Any]", items[0])), cast("dict[str, Any]", items[1])
        return items, {}
    return (inputs,), {}


def module_of(make_model: Callable[..., Any], sizes: Sizes) -> nn.Module:
    """The module that the factory makes. Raises `ScaleRulesError` if it makes something else."""
    model = call_with(make_model, sizes)
    if not isinstance(model, nn.Module):
        raise ScaleRulesError(
            f"the model factory returned {type(model).__name__}, not a torch.nn.Module",
            hint="make_model(**sizes) returns the module, make_inputs(**sizes) what it is called with",
        )
    return model


@contextmanager
def quiet() -> Generator[None]:
    """Without the warnings and log lines that building and exporting bring up, and without side effects on seeds."""
    level = logging.root.manager.disable
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
        try:
            yield
        finally:
            logging.disable(level)


def trace(
    make_model: Callable[..., Any],
    make_inputs: Callable[..., Any],
    sizes: Sizes,
    way: str = "",
    cut: Mapping[str, frozenset[int]] | None = None,
) -> Trace:
    """The exported computation at `sizes`; `way` is the only way of building to try (that of an earlier trace).

    `cut` are members of lists of modules to leave out: copies of a block that is known to repeat.

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
                    return _traced(make_model, make_inputs, sizes, built, mode, cut or {})
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
) -> Trace:
    with ExitStack() as stack:
        try:
            context = WAYS[built]()
            with context:
                model = module_of(make_model, sizes)
            if built in ("real", "values"):
                _check_size(model)
            if built == "values":
                torch.manual_seed(0)
            with torch.device("cpu"):
                args, kwargs = as_call(call_with(make_inputs, sizes))
        except Exception as error:
            error._while_building = True  # pyright: ignore[reportAttributeAccessIssue]
            raise
        for path, members in cut.items():
            _shorten(model, path, members)
        notes, lines = list[str](), list[str]()
        if mode == "evaluation":
            evaluation(model)
            notes.append("traced in evaluation mode (normalisation over batches as in training)")
        args, kwargs = _moved(built, context, args, kwargs)
        if built == "fake":
            stack.enter_context(context)
        if built == "values":
            lines = stack.enter_context(measuring())
        else:
            stack.enter_context(whole_kernels())
        stack.enter_context(without_looking())
        model.register_forward_hook(_plain_output)
        stack.enter_context(torch.no_grad())
        held = Held(model) if clashes(model) else model
        program = _exported(held, args, kwargs).run_decompositions({})
        number_views(program.graph)
        found = read(model, program, dict(sizes), built, "" if held is model else HOLDER)
    decided = [f"{line}: depends on values, traced as the given inputs decide it" for line in dict.fromkeys(lines)]
    found.notes += [*notes, *decided]
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


def _exported(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        return torch.export.export(model, args, kwargs, strict=False)
    except Exception as error:
        if not needs_derivative(error):
            raise
    with_derivative(model, args, kwargs)
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


_VIEWS = (torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default, torch.ops.aten.reshape.default)


def number_views(graph: torch.fx.Graph) -> None:
    """Gives every view the name `view_N` by its place among them.

    Whether a reshape is a view or a copy depends on strides, which differ between kernels (attention on the meta
    device and on a real one): the calls have the same names in all exports.
    """
    views = [node for node in graph.nodes if node.op == "call_function" and node.target in _VIEWS]
    taken = {node.name for node in graph.nodes} - {node.name for node in views}
    names = (name for name in itertools.chain(["view"], (f"view_{i}" for i in itertools.count(1))) if name not in taken)
    for node, name in zip(views, names, strict=False):
        node.name = name


def _plain_output(module: nn.Module, args: object, output: Any) -> Any:
    """An output that torch does not know, a dataclass or an object with tensors in it, as a dictionary."""
    return _plain(output)


def _plain(output: Any) -> Any:
    if type(output) in (tuple, list):
        return type(output)([_plain(each) for each in output])
    if isinstance(output, Mapping):
        return {key: _plain(each) for key, each in cast("Mapping[Any, Any]", output).items()}
    if _is_cache(output):
        return None
    if isinstance(output, tuple) or type(output) in pytree.SUPPORTED_NODES or not hasattr(output, "__dict__"):
        return output
    fields: dict[str, Any] = dict(vars(output))
    tensors = any(isinstance(each, torch.Tensor) for each in pytree.tree_leaves(fields))
    known = isinstance(output, (torch.Tensor, nn.Module)) or not tensors
    return output if known else {key: _plain(each) for key, each in fields.items()}


def _is_cache(output: object) -> bool:
    """Whether it keeps keys and values for later calls: nothing is trained on it."""
    return type(output) not in pytree.SUPPORTED_NODES and any(
        base.__name__.endswith("Cache") for base in type(output).__mro__
    )


def _meta() -> AbstractContextManager[Any]:
    return torch.device("meta")


def _fake() -> AbstractContextManager[Any]:
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode(allow_non_fake_inputs=True)


def _seeded() -> AbstractContextManager[Any]:
    torch.manual_seed(0)
    return nullcontext()


WAYS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "meta": _meta,
    "fake": _fake,
    "real": nullcontext,
    "values": _seeded,
}


def _moved(built: str, context: Any, args: Any, kwargs: Any) -> Any:
    """The inputs as the same kind of tensors as the weights."""

    def move(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor) or built in ("real", "values"):
            return leaf
        return leaf.to("meta") if built == "meta" else context.from_tensor(leaf)

    return pytree.tree_map(move, (args, kwargs))


def evaluation(model: nn.Module) -> None:
    """Evaluation mode, but not for norms over batches: there they use running statistics, no step of training does."""
    model.eval()
    for module in model.modules():
        if hasattr(module, "track_running_stats"):
            module.train()


def _shorten(model: nn.Module, path: str, members: frozenset[int]) -> None:
    """Leaves members out of the list of modules at `path`, a list of this throw-away copy."""
    modules = model.get_submodule(path)._modules
    kept = [module for name, module in modules.items() if not (name.isdigit() and int(name) in members)]
    modules.clear()
    modules.update({str(index): module for index, module in enumerate(kept)})


def _check_size(model: nn.Module) -> None:
    entries = sum(p.numel() for p in model.parameters())
    if entries > MAX_REAL:
        raise ScaleRulesError(f"it has {entries} entries and can be built neither on meta nor with fake tensors")


def cannot_trace(sizes: Sizes, failures: list[tuple[str, Exception]]) -> ScaleRulesError:
    """The most telling of the failures, with what the user can do about it."""
    at = ", ".join(f"{name}={value}" for name, value in sizes.items())
    building = [e for _, e in failures if getattr(e, "_while_building", False)]
    real = [e for built, e in failures if built in ("real", "values")] or [e for _, e in failures]
    error = next((e for e in real if e not in building), real[-1])
    first = re.sub(r"\s+", " ", str(error).strip().split("\n\n")[0])[:300] or type(error).__name__
    place = _place(error)
    if error in building:
        return ScaleRulesError(
            f"the module could not be built at {at}: {type(error).__name__}: {first}",
            where=place,
            hint="check that the factory accepts these sizes: they have to suit every divisibility it needs",
        )
    return ScaleRulesError(
        f"torch.export cannot trace the module at {at}: {type(error).__name__}: {first}",
        where=place,
        hint=_advice(error),
    )


_BY_DATA = r"data-?dependent|\.item\(\)|Could not (guard|extract)|Cannot copy out of meta|Undecided|unbacked"


def by_data(error: Exception) -> bool:
    """Whether it was raised because only the data could decide something."""
    return re.search(_BY_DATA, f"{type(error).__name__}: {error}", re.I) is not None


def _advice(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}"
    if by_data(error):
        return "its control flow depends on the values of a tensor; pass an option that avoids it, or wrap that part"
    if re.search(r"pytree|Cache|flatten", text):
        return "it returns or takes an object that torch does not know; use_cache=False, or return_dict=True, may help"
    if re.search(r"unexpected keyword|missing .* argument|positional argument", text):
        return "make_inputs must return what the module is called with: a tensor, a tuple, or a dict of keywords"
    if "shape" in text or "size" in text:
        return "call the module on these inputs once yourself: the shapes do not seem to fit"
    return "check that the module runs on these inputs; an operation made outside of torch has to be a torch.library op"


def _place(error: BaseException) -> str | None:
    """The line of the user's program, not of torch, in which it was raised."""
    place, traceback = None, error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if is_users(code.co_filename):
            place = f"{short_path(code.co_filename)}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place
