"""Whether a model, a solution and what is given beside them are what they should be, as large as the sizes say."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import cast

from scalerules.architecture.graph import Graph
from scalerules.catalogue.user_code import kind_of
from scalerules.errors import ScaleRulesError
from scalerules.solution.solution import Solution

from .at_sizes import Sizes
from .match import Matched
from .tuned import number


def check_model(model: object, solution: object) -> None:
    """Raises `ScaleRulesError` for what is no torch model, and no solution."""
    check_module(model)
    if not isinstance(solution, Solution):
        hint = "sr.derive(graph, optimizer='adamw')"
        raise ScaleRulesError(f"is a {type(solution).__name__}, not a Solution", where="the solution", hint=hint)


def check_module(model: object) -> None:
    """Raises `ScaleRulesError` for what is no torch model."""
    import torch

    if not isinstance(model, torch.nn.Module):
        hint = "such as make_model(256)"
        raise ScaleRulesError(f"is {kind_of(model)}, not a torch module", where="the model", hint=hint)


def check_arguments(
    reference: object, names: object, unruled: object, init: object, seed: object, places: object, graph: object
) -> None:
    """Raises `ScaleRulesError` for an argument of `apply` that is of another kind than it takes."""
    import torch

    if isinstance(reference, Mapping):
        for name, std in cast("Mapping[object, object]", reference).items():
            number(f"reference[{name!r}]", std)
    elif not (reference is None or isinstance(reference, torch.nn.Module)):
        _refuse("reference=", reference, "a model built at the base size or stds by name")
    if not _by_name(names, lambda rule: isinstance(rule, str)):
        _refuse("names=", names, 'rules by name, such as {"h.*.mlp.weight": "mlp.W_up"}')
    if not _by_name(places, _is_texts):
        _refuse("places=", places, 'paths by node, such as {"scores": "blocks.*.attention"}')
    if not _is_texts(unruled):
        _refuse("unruled=", unruled, 'a pattern of names or several, such as "head.*"')
    if not isinstance(init, bool):
        _refuse("init=", init, "True or False")
    if isinstance(seed, bool) or not (seed is None or isinstance(seed, Integral)):
        _refuse("seed=", seed, "a whole number")
    if not (graph is None or isinstance(graph, Graph)):
        _refuse("graph=", graph, "a Graph, such as sr.graph('mlp')")


def _refuse(what: str, given: object, wanted: str) -> None:
    shown = repr(given) if isinstance(given, (str, int, float)) else kind_of(given)
    raise ScaleRulesError(f"is {shown}, not {wanted}", where=what)


def _by_name(given: object, is_right: Callable[[object], bool]) -> bool:
    if given is None:
        return True
    entries = cast("Mapping[object, object]", given).items() if isinstance(given, Mapping) else [(None, None)]
    return all(isinstance(key, str) and is_right(value) for key, value in entries)


def _is_texts(given: object) -> bool:
    """Whether it is a string, or several."""
    several = isinstance(given, (list, tuple, set, frozenset))
    return isinstance(given, str) or several and all(isinstance(text, str) for text in cast("list[object]", given))


def check_lengths(matched: Matched, target: Sizes) -> None:
    """Raises `ScaleRulesError` for a parameter that does not have the lengths that `sizes` give it.

    Where the graph was traced, so that it has the axes of the parameters themselves, or of views that have as many
    entries (the groups of a convolution). Lengths that stay may be others.
    """
    graph = target.graph
    if graph is None or getattr(graph, "record", None) is None:
        return
    for name, follower in matched.items():
        if len(follower.rules) != 1 or follower.part or follower.rule.endswith("]"):
            continue
        axes = graph.parameters[follower.rule].axes
        entries = math.prod(graph.lengths[axis].value(target.sizes) for axis in axes)
        if len(axes) != follower.parameter.ndim or entries == follower.parameter.numel():
            continue
        for axis, length in zip(axes, follower.parameter.shape, strict=True):
            wanted = graph.lengths[axis].value(target.sizes)
            grows = wanted != graph.lengths[axis].value(_doubled(target.sizes))
            if grows and abs(wanted - length) > 0.01 * wanted:
                what = f"has a length of {length}, where sizes= say {wanted:g}"
                hint = "give the scale values that the model was built with"
                raise ScaleRulesError(what, where=f"parameter {name!r}", hint=hint)


def _doubled(sizes: Mapping[str, float]) -> dict[str, float]:
    return {scale: 2 * size for scale, size in sizes.items()}
