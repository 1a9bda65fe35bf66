"""From a graph to its solution: sets up the problem, solves it, and keeps the steps that led to every exponent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Literal, cast

from scalerules.architecture.graph import Graph
from scalerules.boundary.working import note, working
from scalerules.derivation.gauges.gauge import gauge as gauge_of
from scalerules.errors import UnknownName
from scalerules.passes.memory import gathering
from scalerules.solution.solution import Solution
from scalerules.solving.problem import Problem, Unsolvable
from scalerules.solving.solve import answer

from .clash import clash_of
from .damping import DECAYS, Decaying
from .parametrizations import Given
from .question import Alignment, graph_given, problem_of
from .rates import Tied, groups_of, radii, tie
from .story import Story
from .writer import Writer

__all__ = ["Solution", "derive"]


def derive(
    graph: Graph | str,
    optimizer: str = "adamw",
    *,
    mode: Literal["joint", "isolated"] | str = "joint",
    gauge: str = "plain",
    scales: Mapping[str, Any] | None = None,
    steps: int = 3,
    alignment: Alignment = "derived",
    given: Given = None,
    nonlazy: bool = False,
    lazy: bool = False,
    tied: Tied = None,
    decay: Decaying | str | None = None,
    progress: bool = True,
) -> Solution:
    """The scaling rules of a graph.

    `scales` is the direction, the growth of every scale that grows (`{"width": 1, "state": "1/4"}`); by default the
    family's. `mode`: `joint` (all parameters move, `steps` steps) or `isolated` (one step, each parameter alone).
    `alignment`: `derived`, `full`, `none`, or three exponents (of `dW x`, `W dx`, `dW dx`) per parameter. `given`
    fixes some sizes, `{"output": {"init": "-1/2"}}`, or names a parametrization. `nonlazy`: with a growing depth, every
    contribution has to count inside its own block, not only in the sum over blocks. `lazy`: where sizes that are given
    leave a parameter behind, its largest stable rate and a warning instead of a clash. `tied`: parameters that share a
    rate, `"all"` or groups, `{"body": ["h*", "input"]}`. `decay`: what weight decay keeps, its `time-scale` in steps
    (the default) or its share of every `update`. `progress`: what takes more than two seconds says so
    on standard error. Sizes are exponents of scales.

    Raises `Clash` if no parametrization satisfies all equations, and `ScaleRulesError` for a mistake in the question.
    """
    graph = graph_given(graph)
    problem = problem_of(
        graph, optimizer,
        mode=mode, scales=scales, steps=steps, alignment=alignment, given=given, nonlazy=nonlazy, lazy=lazy,
    )  # fmt: skip
    chosen, groups = gauge_of(gauge), groups_of(tied, graph)
    if decay is not None and decay not in DECAYS:
        raise UnknownName("what decay keeps", str(decay), DECAYS, where="decay")
    bound: dict[str, str] = {}
    with working(f"deriving {graph.name}", progress), gathering():
        try:
            if isinstance(given, str) and problem.alignments:
                problem = _initial_only(problem)
            problem, solved = answer(problem)
            if groups:
                solved, bound = tie(problem, solved, groups)
            uphill = radii(problem, solved)
        except Unsolvable as failure:
            note("which equations clash")
            raise clash_of(problem, failure) from None
        note("writing down why")
        kept = cast("Decaying | None", decay)
        story = cache(Story(problem, solved, bound, kept or "time-scale").written)

        def written(gauge: str) -> Solution:
            solution = Writer(problem, solved, mode, gauge_of(gauge).name, bound, kept, uphill).solution()
            return replace(solution, story=story, gauged=written)

        solution = written(chosen.name)
        problem.memory.forget()  # what is asked of a solution later is told anew
        return solution


def _initial_only(problem: Problem) -> Problem:
    """With a prescribed alignment a named parametrization gives its initial sizes: the rates are what is asked for.

    `mup` gives nothing; its initial sizes are those that follow from the alignment that is derived.
    """
    known = {symbol: size for symbol, size in problem.given.items() if symbol[0] != "lr"}
    if not known:
        _, solved = answer(replace(problem, alignments={}))
        known = {symbol: vector for symbol, vector in solved.vectors.items() if symbol[0] != "lr"}
    return replace(problem, given=known)
