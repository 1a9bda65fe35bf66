"""Whether a model and a solution are what they should be, and as large as the sizes say."""

from __future__ import annotations

from collections.abc import Mapping

from scalerules.errors import ScaleRulesError
from scalerules.solution.solution import Solution

from .at_sizes import Sizes
from .match import Matched


def check_model(model: object, solution: object) -> None:
    """Raises `ScaleRulesError` for what is no torch model, and no solution."""
    import torch

    if not isinstance(model, torch.nn.Module):
        hint = "sr.apply(make_model(256), solution, ...)"
        raise ScaleRulesError(f"is a {type(model).__name__}, not a torch module", where="the model", hint=hint)
    if not isinstance(solution, Solution):
        hint = "sr.derive(graph, optimizer='adamw')"
        raise ScaleRulesError(f"is a {type(solution).__name__}, not a Solution", where="the solution", hint=hint)


def check_lengths(matched: Matched, at: Sizes) -> None:
    """Raises `ScaleRulesError` for a parameter that does not have the lengths that `sizes` give it.

    Where the graph was traced, so that it has the axes of the parameters themselves. Lengths that stay may be others.
    """
    graph = at.graph
    if graph is None or getattr(graph, "record", None) is None:
        return
    for name, follower in matched.items():
        if len(follower.rules) != 1 or follower.part or follower.rule.endswith("]"):
            continue
        axes = graph.parameters[follower.rule].axes
        if len(axes) != follower.parameter.ndim:
            continue
        for axis, length in zip(axes, follower.parameter.shape, strict=True):
            wanted = graph.lengths[axis].value(at.sizes)
            grows = wanted != graph.lengths[axis].value(_doubled(at.sizes))
            if grows and abs(wanted - length) > 0.01 * wanted:
                what = f"has a length of {length}, where sizes= say {wanted:g}"
                hint = "give the scale values that the model was built with"
                raise ScaleRulesError(what, where=f"parameter {name!r}", hint=hint)


def _doubled(sizes: Mapping[str, float]) -> dict[str, float]:
    return {scale: 2 * size for scale, size in sizes.items()}
