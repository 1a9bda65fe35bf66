"""The predicted sizes as a verification compares them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scalerules.architecture.graph import Graph
from scalerules.ops.functions import FUNCTIONS
from scalerules.solution.rule import Predicted
from scalerules.solution.solution import Solution

from .judge import ALLOWANCE, Key, Measured, Name, floor_of, measured
from .slopes import Samples, peak, quotient, times

if TYPE_CHECKING:
    from fractions import Fraction


SADDLE = "starts at a saddle"
"""What a solution warns of where sizes are those of the first step, and grow by a factor a step."""


def slow_names(graph: Graph, solution: Solution, predicted: Mapping[Key, Fraction | None]) -> dict[Name, float]:
    """How far below its size a quantity may be measured, for a known reason.

    What a parameter contributes behind an operation that does not read it itself comes with a small constant. What
    coherence or a bias alone brings to its size at initialisation (tied tables: one of all logits), and what waits for
    something else to move, stands behind a smaller size, `lower`; so does what such a gradient moves. What starts after
    the first step and still rises then (keys, where queries start at zero) has two small constants, its own and that of
    what it waits for.
    """
    read = {(name, parameter) for name, node in graph.walk() for parameter in node.parameters}
    slow: dict[Name, float] = {
        ("own", node, parameter): ALLOWANCE for _, node, _, parameter in predicted if (node, parameter) not in read
    }
    slow |= {name: 2 * ALLOWANCE for name in late_names(predicted)}
    for p in solution.sizes:
        if p.lower is None or p.size is None:
            continue
        gap = float(p.size - p.lower)
        behind = {("own", node, name) for _, node, _, name in predicted if name == p.node and p.quantity == "gradient"}
        for name in ((p.quantity, p.node, p.parameter), *behind):
            slow[name] = max(gap, slow.get(name, 0.0))
    gaps = {node: gap for (quantity, node, _), gap in slow.items() if quantity == "value"}
    return slow | _cancelled(graph, gaps)


def _cancelled(graph: Graph, gaps: Mapping[str, float]) -> dict[Name, float]:
    """How far below its size a sum may be in which constants cancel (`1 + v - exp(v)` in a divergence).

    `gaps`: how far values are below theirs without their biases; as far, functions of them are constants.
    """
    owed, constant = dict(gaps), dict[str, float]()
    for name, node in graph.walk():
        parts = [owed.get(source) or constant.get(source, 0.0) for source in node.inputs]
        constants = sum(source in constant for source in node.inputs)
        if node.op == "add" and constants and all(parts):
            into, times = (constant, 1) if constants == 1 else (owed, 2)
            into[name] = times * min(parts)
        elif node.op in FUNCTIONS and parts and parts[0] and not FUNCTIONS[node.op].shape.vanishes:
            constant[name] = parts[0] * (FUNCTIONS[node.op].shape.degree or 1)
        elif node.op in ("scale", "einsum") and name not in owed:
            owed[name] = sum(owed.get(source, 0.0) for source in node.inputs)
    return {("value", name, None): gap for name, gap in owed.items() if gap and name not in gaps}


def late_names(predicted: Mapping[Key, Fraction | None]) -> list[Name]:
    """What is exactly zero at the first step, and grows over the steps once it is there."""
    sizes: dict[Name, dict[int, Fraction]] = {}
    for (quantity, node, step, parameter), size in predicted.items():
        if size is not None and quantity in ("gradient", "own"):
            sizes.setdefault((quantity, node, parameter), {})[step] = size
    return [name for name, steps in sizes.items() if min(steps) > 1 and max(steps.values()) > steps[min(steps)]]


def pulled(samples: Mapping[Key, Samples], table: Sequence[Sequence[Any]]) -> dict[Key, Samples]:
    """Gradients for as large a gradient at the outputs as at the first step, where that has become smaller.

    All gradients are proportional to it, and wide networks may have learned most of their few inputs within a step or
    two: that says nothing about how gradients scale. Only what is held to be too small is judged by it.
    """
    relative = dict(samples)
    for key, rows in samples.items():
        if key[0] == "gradient":
            pulls = [[run.rms.get(("pull", "", key[2], None), 1.0) if run else 1.0 for run in row] for row in table]
            relative[key] = [
                [None if x is None else x / pull for x, pull in zip(*cells, strict=True)]
                for cells in zip(rows, pulls, strict=True)
            ]
    return relative


def predicted_sizes(
    solution: Solution, steps: int, runs: Sequence[Any], silent: Collection[str], weights: Collection[str] = ()
) -> dict[Key, Fraction | None]:
    """The predicted size of everything that was measured in all runs; nothing of parameters that are `silent`.

    Nor of nodes that are `weights`, whose size is a matter of writing.
    """
    asked = [p for p in solution.sizes if p.step <= steps and (p.quantity == "gradient" or p.node not in weights)]
    sizes = {_key(p): p.size for p in asked}
    seen = {key: size for key, size in sizes.items() if (of_parameter(key) or None) not in silent}
    return {key: size for key, size in seen.items() if all(key in run.rms for run in runs)}


def _key(p: Predicted) -> Key:
    return (p.quantity, p.node, p.step, p.parameter if p.quantity == "own" else None)


def left_behind(solution: Solution) -> dict[str, float]:
    """By parameter how much less than size 0 it may contribute, as the solution itself says.

    Where it warns, without end; where a contribution waits for another change, down to what it is before.
    """
    told: Sequence[str] = getattr(solution, "warnings", ())
    gaps: dict[str, float] = {}
    for p in solution.sizes:
        if p.quantity == "own" and p.parameter is not None and p.size is not None and p.lower is not None:
            gaps[p.parameter] = max(gaps.get(p.parameter, 0.0), float(p.size - p.lower))
    return gaps | {
        name: math.inf for name in solution.parameters if any(text.startswith(f"{name!r} ") for text in told)
    }


def climbing(solution: Solution, predicted: Mapping[Key, Fraction | None]) -> dict[str, float]:
    """How far above their first sizes parameters come that start at a saddle, as the solution warns: up to counting."""
    told: Sequence[str] = getattr(solution, "warnings", ())
    owns: dict[str, list[Fraction]] = {}
    for (quantity, _, _, parameter), size in predicted.items():
        if quantity == "own" and size is not None and any(t.startswith(f"{parameter!r} {SADDLE}") for t in told):
            owns.setdefault(str(parameter), []).append(size)
    return {parameter: float(-max(sizes)) for parameter, sizes in owns.items() if max(sizes) < 0}


def beside_gradients(
    predicted: Mapping[Key, Fraction | None], logs: Sequence[float], samples: Mapping[Key, Samples],
    normalised: bool = False,
) -> dict[Key, Measured]:  # fmt: skip
    """What parameters contribute at their first step, for as large a gradient as is predicted.

    A `normalised` rule divides by the gradient: a part of it that does not decide its size counts for more as long as
    that is still small, and the product of both is as predicted.
    """
    pairs: dict[Key, Measured] = {}
    started: set[Name] = set()
    for key, size in sorted(predicted.items(), key=lambda item: item[0][2]):
        quantity, node, step, parameter = key
        gradient: Key = ("gradient", parameter or "", step, None)
        if quantity != "own" or size is None or (quantity, node, parameter) in started:
            continue
        started.add((quantity, node, parameter))
        at_gradient = predicted.get(gradient)
        if at_gradient is not None:
            beside = times if normalised else quotient
            expected = size + at_gradient if normalised else size - at_gradient
            pairs[key] = measured(key, expected, logs, beside(samples[key], samples[gradient]))
    return pairs


def of_parameter(key: Key) -> str:
    """The parameter that a quantity is of: of a gradient its node; "" of what all of them make."""
    return key[1] if key[0] == "gradient" else key[3] or ""


def floors_of(graph: Graph, base: Mapping[str, float]) -> dict[str, float]:
    """By parameter of few entries the least variance that what it makes has from run to run."""
    floors: dict[str, float] = {}
    for name in graph.parameters:
        entries = math.prod(graph.lengths[axis].at(base) for axis in graph.shape_of(name))
        if floor := floor_of(entries):
            floors[name] = floor
    return floors


def peak_sizes(
    predicted: Mapping[Key, Fraction | None], logs: Sequence[float], samples: Mapping[Key, Samples],
    floors: Mapping[str, float] | None = None,
) -> dict[Name, Measured]:  # fmt: skip
    """The maximum over steps, by quantity, node, parameter; its step is the first that should reach it."""
    steps: dict[Name, list[Key]] = {}
    for key in predicted:
        steps.setdefault((key[0], key[1], key[3]), []).append(key)
    peaks: dict[Name, Measured] = {}
    for name, keys in steps.items():
        top = max((size for key in keys if (size := predicted[key]) is not None), default=None)
        first = min(key[2] for key in keys if predicted[key] == top)
        key = (name[0], name[1], first, name[2])
        # what tends to its size must do so where that is first reached: later steps mix in how training went
        floor = (floors or {}).get(of_parameter(key), 0.0)
        peaks[name] = measured(key, top, logs, peak(samples[k] for k in keys), samples[key], floor)
    return peaks
