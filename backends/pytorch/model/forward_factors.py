"""Sets the solved factors of the forward pass on a live model: a number that a module holds, or a hook on its output.

Where a factor can stand follows from the graph: it passes backward through everything linear, so a factor in front of
attention's softmax is as well one behind the projection of the queries, and one at tied logits one behind the head.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, cast

from scalerules.architecture.block_names import is_blocks, stands_for
from scalerules.architecture.graph import Graph
from scalerules.errors import ScaleRulesError
from scalerules.ops import OPS
from scalerules.ops.node import Node

from .at_sizes import Sizes
from .match import Matched, bare

if TYPE_CHECKING:
    from torch.nn import Module

Places = Mapping[str, str | Sequence[str]]
"""Node -> dotted paths (`*` allowed) of attributes that hold its factor, or of modules whose output it multiplies."""


@dataclass(frozen=True)
class Multiply:
    """A forward hook: the output of a module (the first tensor of several) times a number.

    A plain object, so that it is copied and saved with the module, and compiled with it.
    """

    node: str
    factor: float

    def __call__(self, module: object, inputs: object, output: Any) -> Any:
        """The output times the factor, in the form that it had."""
        if isinstance(output, tuple):
            return (output[0] * self.factor, *cast("tuple[Any, ...]", output[1:]))
        return output * self.factor


@dataclass
class Factors:
    """What the forward pass has to be multiplied with: by how much each node, and where that has been set."""

    relative: dict[str, float]
    """Node or parameter -> its factor over that at the base size."""
    placed: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Node -> the attributes and modules in which it was set."""
    missing: list[str] = field(default_factory=list[str])
    """Nodes and parameters whose factor has to be set by hand."""


def set_factors(model: Module, matched: Matched, target: Sizes, given: Places | None) -> Factors:
    """Sets every factor that is not what the model has by itself; says which it could not place.

    Doing it twice is doing it once. Raises `ScaleRulesError` for a path in `given` that leads nowhere, and for an
    attribute that holds neither the number of the graph nor the one that is wanted.
    """
    solution = target.solution
    factors = Factors({name: target.factor(exponents) for name, exponents in solution.multipliers.items()})
    for name, rule in solution.parameters.items():
        if target.factor(rule.mult) != 1:
            factors.relative[name] = target.factor(rule.mult)
            factors.missing.append(name)
    clear(model)
    paths = check_places(target, given)
    for node, relative in factors.relative.items():
        if node in factors.missing:
            continue
        own, base = own_factor(target, node)
        wanted = relative * base
        if math.isclose(own, wanted, rel_tol=1e-9):
            continue
        for place in _paths(model, matched, target, node, paths.get(node), own):
            place.set(node, own, wanted)
            factors.placed.setdefault(node, []).append(place.path)
        if node not in factors.placed:
            factors.missing.append(node)
    return factors


def check_places(target: Sizes, given: Places | None) -> dict[str, list[str]]:
    """The places that the graph and the user name. Raises `ScaleRulesError` for a node without a factor."""
    named = {**_listed(target.graph), **{node: _list(paths) for node, paths in (given or {}).items()}}
    for node in named:
        if node not in target.solution.multipliers:
            raise ScaleRulesError("has no solved factor", where=f"places= of node {node!r}", hint=_nodes(target))
    return named


def own_factor(target: Sizes, node: str) -> tuple[float, float]:
    """The number that the graph itself has at a node, at the sizes of the model and at the base size; 1 without one."""
    nodes = dict(target.graph.walk()) if target.graph is not None else {}
    written = nodes[node].factor if node in nodes else None
    if written is None or target.graph is None:
        return 1.0, 1.0
    length = target.graph.length(written, f"node {node!r}")
    return length.value(target.sizes), length.value(target.base)


@dataclass(frozen=True)
class _Place:
    """An attribute that holds a factor (`name`), or a module whose output a hook multiplies."""

    module: Module
    path: str
    name: str | None = None

    def set(self, node: str, own: float, wanted: float) -> None:
        if self.name is None:
            self.module.register_forward_hook(Multiply(node, wanted / own))
            return
        now = float(getattr(self.module, self.name))
        if math.isclose(now, own, rel_tol=1e-5):
            setattr(self.module, self.name, type(getattr(self.module, self.name))(wanted))
        elif not math.isclose(now, wanted, rel_tol=1e-5):
            what = f"is {now:g}: neither {own:g}, which the graph has there, nor {wanted:g}, which the rule asks for"
            raise ScaleRulesError(what, where=f"attribute {self.path!r}", hint=f"set {node!r} by hand")


def clear(model: Module) -> None:
    """Takes off the hooks of an earlier call."""
    for module in model.modules():
        for key, hook in list(module._forward_hooks.items()):
            if isinstance(hook, Multiply):
                del module._forward_hooks[key]


def _paths(
    model: Module, matched: Matched, target: Sizes, node: str, paths: Sequence[str] | None, own: float
) -> list[_Place]:
    if paths is not None:
        return [place for path in paths for place in _at_path(model, path, node)]
    places = list(_behind_weights(model, matched, target.graph, node)) if target.graph is not None else []
    return places or _near(node, list(_attributes(model, own)))


def _at_path(model: Module, path: str, node: str) -> list[_Place]:
    """The places that a path with wildcards names. Raises `ScaleRulesError` if there is none."""
    modules = {bare(name): module for name, module in model.named_modules()}
    places = [_Place(module, name) for name, module in modules.items() if name and _fits(name, path)]
    owner, _, last = path.rpartition(".")
    for name, module in modules.items():
        number = getattr(module, last, None) if _fits(name, owner) else None
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            places.append(_Place(module, f"{name}.{last}" if name else last, last))
    if not places:
        what = f"{path!r} is neither a module of the model nor a number that one holds"
        raise ScaleRulesError(what, where=f"places= of node {node!r}", hint="dotted paths, * for an index")
    return places


def _fits(name: str, pattern: str) -> bool:
    """Whether a dotted path fits one with wildcards, part by part: `blocks.*` is not `blocks.0.mlp`."""
    parts, wanted = name.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted)) or stands_for(pattern, name)


def _attributes(model: Module, own: float) -> Iterator[_Place]:
    """Numbers with "scal" in their name that are what the graph has at the node: `scaling`, `softmax_scale`, ..."""
    if own == 1:
        return
    for path, module in model.named_modules():
        for name, value in list(vars(module).items()):
            if "scal" in name.lower() and isinstance(value, float) and math.isclose(value, own, rel_tol=1e-5):
                yield _Place(module, f"{bare(path)}.{name}".lstrip("."), name)


def _near(node: str, places: list[_Place]) -> list[_Place]:
    """Those in the module whose path the node's name begins with (`blocks.0.attention.scores`), if there are any.

    A node of a repeated block is named without the index, and stands for those of all blocks.
    """
    words = node.split(".")
    plain = [word for word in words if not is_blocks(word) and not word.isdigit()]
    near: list[_Place] = []
    for place in places:
        parts = place.path.split(".")[:-1]
        inner = [part for part in parts if not part.isdigit()]
        indexed = any(word.isdigit() for word in words)
        if (
            (words[: len(parts)] == parts)
            if indexed
            else (bool(inner) and len(plain) >= len(inner) and all(map(stands_for, plain, inner)))
        ):
            near.append(place)
    return near or places


def _behind_weights(model: Module, matched: Matched, graph: Graph, node: str) -> Iterator[_Place]:
    """The modules whose output, multiplied, is the factor at the node: found backward through linear operations."""
    weight, others = _weight_before(graph, node)
    if weight is None:
        return
    modules = {bare(name): module for name, module in model.named_modules(remove_duplicate=False)}
    names = {id(f.parameter): name for name, f in matched.items() if f.rules == (weight,)}
    extra = {id(f.parameter) for f in matched.values() if {*f.rules} <= others}
    for path, module in modules.items():
        own = [p for p in module.parameters(recurse=False)]
        # an embedding that is tied to the weight is read at another node
        is_it = any(id(p) in names for p in own) and "Embedding" not in type(module).__name__
        if is_it and not any(module.children()) and all(id(p) in names or id(p) in extra for p in own):
            yield _Place(module, path)


def _weight_before(graph: Graph, node: str) -> tuple[str | None, set[str]]:
    """The parameter whose einsum a factor at `node` may as well stand behind, and the biases between the two."""
    nodes = dict(graph.walk())
    readers: dict[str, int] = {}
    for name in (*graph.outputs, *(source for current in nodes.values() for source in _read(current))):
        readers[name] = readers.get(name, 0) + 1

    def back(name: str, biases: set[str]) -> tuple[str | None, set[str]]:
        current = nodes.get(name)
        if current is None or readers.get(name) != 1:
            return None, set()
        if OPS[current.op].multilinear and current.parameters:
            return (current.parameters[0], biases) if len(current.parameters) == 1 else (None, set())
        if current.op == "add" and len(current.inputs) == 1:
            return back(current.inputs[0], {*biases, *current.parameters})
        if OPS[current.op].linear or OPS[current.op].multilinear:
            for source in current.inputs:
                if (inner := back(source, biases))[0] is not None:
                    return inner
        return None, set()

    return back(nodes[node].inputs[0], set()) if node in nodes else (None, set())


def _read(node: Node) -> Iterable[str]:
    return (*node.inputs, *([node.result] if node.result else []))


def _listed(graph: Graph | None) -> dict[str, list[str]]:
    """The places that a traced graph lists by itself."""
    return {node: _list(paths) for node, paths in getattr(graph, "places", {}).items()}


def _list(paths: str | Sequence[str]) -> list[str]:
    return [paths] if isinstance(paths, str) else list(paths)


def _nodes(target: Sizes) -> str:
    names = ", ".join(target.solution.multipliers)
    return f"one of: {names}" if names else "the solution has none"
