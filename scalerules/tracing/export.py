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
import logging
import re
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import torch
from torch import nn
from torch.utils import _pytree as pytree

from ..errors import ScaleRulesError
from .kernels import whole_kernels
from .record import Ref

Sizes: TypeAlias = Mapping[str, int]

MAX_REAL = 200_000_000
"""Most entries of a module that is built with real memory because neither meta nor fake tensors do."""

_FORGOTTEN = frozenset(
    {
        "aten._assert_tensor_metadata.default",
        "aten.sym_constrain_range_for_size.default",
        "aten._assert_scalar.default",
        "aten._assert_async.msg",
    }
)
_IDENTITIES = frozenset(
    {
        "aten.alias.default",
        "aten.detach.default",
        "aten.clone.default",
        "aten.detach_.default",
        "aten.lift_fresh_copy.default",
        "aten.lift_fresh.default",
        "aten.contiguous.default",
        "aten.dropout.default",
        "aten.native_dropout.default",
        "aten.feature_dropout.default",
    }
)
"""Of their first operand. Dropout changes no size, and every module would otherwise be noted with two outputs."""
_LAYOUT = (torch.device, torch.memory_format, torch.layout)


@dataclass
class Step:
    """A traced operation with plain numbers; `args` hold `Ref`s, numbers, strings, None and tuples of them."""

    name: str
    target: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    stack: tuple[tuple[str, str], ...]
    source: str


@dataclass
class Tensor:
    """A weight, an input or an output of a trace."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    path: str = ""
    trained: bool = False
    aliases: tuple[str, ...] = ()
    owner: str = ""
    ref: Ref | None = None


@dataclass
class Trace:
    """One export: everything of a record, at one set of sizes. `built` says with which tensors it was made."""

    model: str
    sizes: dict[str, int]
    steps: list[Step]
    inputs: list[Tensor]
    weights: list[Tensor]
    outputs: list[Tensor]
    built: str
    notes: list[str] = field(default_factory=list[str])


def call_with(function: Callable[..., Any], sizes: Sizes) -> Any:
    """`function(**sizes)`, with those of the sizes that it takes."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return function(**sizes)
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return function(**sizes)
    return function(**{name: value for name, value in sizes.items() if name in parameters})


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
        for mode in ("as built", "evaluation"):
            try:
                with quiet():
                    return _traced(make_model, make_inputs, sizes, built, mode, cut or {})
            except ScaleRulesError as error:
                if error.what.startswith("the model factory"):
                    raise
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
            if built == "real":
                _check_size(model)
            with torch.device("cpu"):
                args, kwargs = as_call(call_with(make_inputs, sizes))
        except Exception as error:
            error._while_building = True  # pyright: ignore[reportAttributeAccessIssue]
            raise
        for path, members in cut.items():
            _shorten(model, path, members)
        notes: list[str] = []
        if mode == "evaluation":
            _evaluation(model)
            notes.append("traced in evaluation mode (normalisation over batches as in training)")
        args, kwargs = _moved(built, context, args, kwargs)
        if built == "fake":
            stack.enter_context(context)
        stack.enter_context(whole_kernels())
        stack.enter_context(torch.no_grad())
        program = torch.export.export(model, args, kwargs, strict=False).run_decompositions({})
        found = _read(model, program, dict(sizes), built)
    found.notes += notes
    return found


def _meta() -> AbstractContextManager[Any]:
    return torch.device("meta")


def _fake() -> AbstractContextManager[Any]:
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode(allow_non_fake_inputs=True)


WAYS: dict[str, Callable[[], AbstractContextManager[Any]]] = {"meta": _meta, "fake": _fake, "real": nullcontext}


def _moved(built: str, context: Any, args: Any, kwargs: Any) -> Any:
    """The inputs as the same kind of tensors as the weights."""

    def move(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor) or built == "real":
            return leaf
        return leaf.to("meta") if built == "meta" else context.from_tensor(leaf)

    return pytree.tree_map(move, (args, kwargs))


def _evaluation(model: nn.Module) -> None:
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
    real = [e for built, e in failures if built == "real"] or [e for _, e in failures]
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


def _advice(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}"
    if re.search(r"data-?dependent|\.item\(\)|Could not guard|Cannot copy out of meta", text, re.I):
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
        if "/torch/" not in code.co_filename and "/scalerules/tracing/" not in code.co_filename:
            place = f"{_short(code.co_filename)}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


def _read(model: nn.Module, program: Any, sizes: dict[str, int], built: str) -> Trace:
    owners = {name: type(module).__name__ for name, module in model.named_modules()}
    names, weights = _weights(model, owners)
    refs: dict[str, Ref] = {}
    found = Trace(type(model).__name__, sizes, [], [], [], [], built)
    for spec in program.graph_signature.input_specs:
        _read_input(spec, refs, names, weights, program, found)
    paths = _input_paths(program)
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name not in refs:
            value = node.meta.get("val")
            if isinstance(value, torch.Tensor):
                refs[node.name] = Ref(node.name)
                path = paths.get(str(node.name), "")
                found.inputs.append(Tensor(node.name, tuple(value.shape), _dtype(value.dtype), path or str(node.name)))
        elif node.op == "call_function":
            _read_step(node, refs, found)
        elif node.op == "get_attr":
            refs[node.name] = Ref(str(node.target))
    found.weights = list(weights.values())
    _read_outputs(program, refs, found)
    _drop_dead(found)
    return found


def _weights(model: nn.Module, owners: dict[str, str]) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The name by which each name of a weight is known (the first of tied ones), and the weights by that name."""
    first: dict[int, str] = {}
    names: dict[str, str] = {}
    weights: dict[str, Tensor] = {}
    both = [(n, p, True) for n, p in model.named_parameters(remove_duplicate=False)]
    both += [(n, b, False) for n, b in model.named_buffers(remove_duplicate=False)]
    for name, tensor, trained in both:
        known = names[name] = first.setdefault(id(tensor), name)
        if known != name:
            weights[known].aliases += (name,)
            continue
        owner = owners.get(name.rpartition(".")[0], "")
        trained = trained and tensor.requires_grad
        weights[name] = Tensor(name, tuple(tensor.shape), _dtype(tensor.dtype), "", trained, (), owner)
    return names, weights


def _read_input(
    spec: Any, refs: dict[str, Ref], names: dict[str, str], weights: dict[str, Tensor], program: Any, found: Trace
) -> None:
    kind = spec.kind.name
    if kind in ("PARAMETER", "BUFFER"):
        refs[spec.arg.name] = Ref(names.get(str(spec.target), str(spec.target)))
    elif kind == "CONSTANT_TENSOR":
        value, name = program.constants[spec.target], str(spec.target)
        weights[name] = Tensor(name, tuple(value.shape), _dtype(value.dtype), "lifted", False)
        refs[spec.arg.name] = Ref(name)


def _read_step(node: Any, refs: dict[str, Ref], found: Trace) -> None:
    target = _target(node.target)
    if target in _FORGOTTEN:
        return
    if target == "getitem":
        source = refs[node.args[0].name]
        whole = node.args[0].target if isinstance(node.args[0].target, torch._ops.OpOverload) else None
        dropout = whole is not None and str(whole) in _IDENTITIES
        refs[node.name] = source if dropout else Ref(source.name, node.args[1])
        return
    if target in _IDENTITIES and isinstance(node.args[0], torch.fx.Node):
        refs[node.name] = refs[node.args[0].name]
        return
    value = node.meta.get("val")
    values: list[Any] = list(value) if isinstance(value, (tuple, list)) else [value]
    shapes = tuple(tuple(v.shape) if isinstance(v, torch.Tensor) else () for v in values)
    dtypes = tuple(_dtype(v.dtype) if isinstance(v, torch.Tensor) else type(v).__name__ for v in values)
    args = tuple(_plain(arg, refs) for arg in node.args)
    kwargs = {key: _plain(arg, refs) for key, arg in node.kwargs.items() if not isinstance(arg, _LAYOUT)}
    kwargs.pop("pin_memory", None)
    refs[node.name] = Ref(node.name)
    found.steps.append(Step(node.name, target, args, kwargs, shapes, dtypes, _stack(node), _source(node)))


def _target(target: Any) -> str:
    """`aten.linear.default`, `scalerules.selective_scan`, `getitem`."""
    if isinstance(target, torch._ops.OpOverload):
        text = str(target)
        return text.removesuffix(".default") if text.startswith("scalerules.") else text
    return str(getattr(target, "__name__", target))


def _plain(value: Any, refs: dict[str, Ref]) -> Any:
    if isinstance(value, torch.fx.Node):
        return refs[value.name]
    if isinstance(value, (tuple, list)):
        return tuple(_plain(inner, refs) for inner in cast("Sequence[Any]", value))
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, refs) for key, inner in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, torch.dtype):
        return _dtype(value)
    if isinstance(value, _LAYOUT):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _stack(node: Any) -> tuple[tuple[str, str], ...]:
    """Paths and class names of the modules around a node, outermost first."""
    found: list[tuple[str, str]] = []
    for path, kind in node.meta.get("nn_module_stack", {}).values():
        name = kind.rpartition(".")[2] if isinstance(kind, str) else kind.__name__
        found.append((re.sub(r"@\d+$", "", path), name))
    return tuple(found)


_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in \S+\n\s*(?P<code>.*)')


def _source(node: Any) -> str:
    """The innermost line outside of torch that made a node: `transformers/models/llama/modeling_llama.py:243 code`."""
    frames = _FRAME.findall(node.meta.get("stack_trace") or "")
    mine = [frame for frame in frames if "/torch/" not in frame[0]] or frames
    return f"{_short(mine[-1][0])}:{mine[-1][1]} {mine[-1][2].strip()}" if mine else ""


def _short(file: str) -> str:
    return re.sub(r".*/(site-packages|python3\.\d+)/", "", file)


def _input_paths(program: Any) -> dict[str, str]:
    """How each input is passed, by its name in the graph: `args[0]`, `input_ids`."""
    from torch.export.graph_signature import InputKind

    specs = [s for s in program.graph_signature.input_specs if s.kind is InputKind.USER_INPUT]
    spec = program.call_spec.in_spec
    filled = pytree.tree_unflatten(list(range(spec.num_leaves)), spec)
    pairs = pytree.tree_flatten_with_path(filled)[0]
    found: dict[str, str] = {}
    for each, (path, _) in zip(specs, pairs, strict=False):
        text = pytree.keystr(path)
        text = re.sub(r"^\[0\]", "args", text) if text.startswith("[0]") else re.sub(r"^\[1\]\['(\w+)'\]", r"\1", text)
        found[each.arg.name] = text
    return found


def _read_outputs(program: Any, refs: dict[str, Ref], found: Trace) -> None:
    from torch.export.graph_signature import OutputKind

    node = next(iter(reversed(program.graph.nodes)))
    specs = program.graph_signature.output_specs
    returned = [a for a, s in zip(node.args[0], specs, strict=False) if s.kind is OutputKind.USER_OUTPUT]
    spec = program.call_spec.out_spec
    filled = pytree.tree_unflatten(list(range(spec.num_leaves)), spec)
    pairs = pytree.tree_flatten_with_path(filled)[0]
    for value, (path, _) in zip(returned, pairs, strict=False):
        if isinstance(value, torch.fx.Node) and isinstance(value.meta.get("val"), torch.Tensor):
            seen = value.meta["val"]
            text = re.sub(r"\['(\w+)'\]", r".\1", pytree.keystr(path)).lstrip(".") or "output"
            found.outputs.append(Tensor(value.name, tuple(seen.shape), _dtype(seen.dtype), text, ref=refs[value.name]))


def _drop_dead(found: Trace) -> None:
    """Leaves out what no output depends on (masks that were computed and not used, statistics of a batch)."""
    from .record import references

    needed = {output.ref.name for output in found.outputs if output.ref}
    kept: list[Step] = []
    for step in reversed(found.steps):
        if step.name in needed:
            kept.append(step)
            needed.update(ref.name for ref in references((step.args, step.kwargs)))
    found.steps = kept[::-1]
    found.weights = [w for w in found.weights if w.trained or w.name in needed]
