"""What runs of one problem share: a law is not applied again to the very same operands, and nothing comes out otherwise."""

from __future__ import annotations

from fractions import Fraction

import pytest

import scalerules as sr
from scalerules.derivation.question import problem_of
from scalerules.ops.elementwise import Elementwise
from scalerules.ops.forms import Contraction
from scalerules.passes.applied import Applied, Memory
from scalerules.passes.events import Run
from scalerules.solving.problem import Problem


def said(run: Run) -> list[tuple[object, ...]]:
    """All that a run says of sizes."""
    return [(e.kind, e.node, e.step, e.parameter, run.point.size(e.ticks), tuple(sorted(e.form.items())))
            for e in run.events]  # fmt: skip


def point(problem: Problem, **sizes: str) -> dict[tuple[str, str], Fraction]:
    """Initial sizes of -1/2, rates of -1, but what is given."""
    names = problem.graph.parameters
    usual = {("init", n): Fraction(-1, 2) for n in names} | {("lr", n): Fraction(-1) for n in names}
    return usual | {("lr", name): Fraction(size) for name, size in sizes.items()}


def test_other_rates_make_no_value_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The values and the first gradients do not depend on rates, nor does what other parameters contribute at once."""
    problem = problem_of(sr.graph("mlp"), "adam")
    problem.run(point(problem), 1)
    applied: list[str] = []
    for law in (Contraction, Elementwise):
        for name in ("value", "push", "pull"):
            made = getattr(law, name)

            def counted(self, point, site, *rest, made=made, name=name):  # type: ignore[no-untyped-def]
                applied.append(f"{name} {site.name}")
                return made(self, point, site, *rest)

            monkeypatch.setattr(law, name, counted)
    problem.run(point(problem, output="-1/4"), 1)
    assert {text.split()[1] for text in applied} == {"output"}


@pytest.mark.parametrize("name", ["mlp", "moe", "sparse", "s5", "transformer"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "kfac"])
def test_a_run_behind_others_is_what_it_is_alone(name: str, optimizer: str) -> None:
    """Masked updates, free factors, two covariances, finer ticks: whatever ran before."""
    alone, behind = (problem_of(sr.graph(name), optimizer) for _ in range(2))
    first = next(iter(alone.graph.parameters))
    for sizes in ({}, {first: "-1/7"}, {first: "-2"}):
        behind.run(point(behind, **sizes), 3)
    one, other = behind.run(point(behind), 3), alone.run(point(alone), 3)
    assert said(one) == said(other)
    assert one.sides.keys() == other.sides.keys()


@pytest.mark.parametrize("name", ["mamba", "transformer", "vit"])
def test_sources_have_the_same_numbers_whatever_ran_before(name: str) -> None:
    """Which of many terms are kept does not depend on what a run met first, nor on whether it is told."""
    alone, behind = (problem_of(sr.graph(name), "adam") for _ in range(2))
    behind.run(point(behind), 1, until=lambda _: True)
    behind.memory.forget()
    runs = behind.run(point(behind), 3), alone.run(point(alone), 3), alone.run(point(alone), 3, told=True)
    assert len({tuple(run.point.bits.items()) for run in runs}) == 1


def test_operands_are_told_apart_by_what_they_are_not_by_what_they_hold() -> None:
    applied, one, other = Applied(), [1], [1]
    assert applied.once("place", [[one]], lambda: "first") == "first"
    assert applied.once("place", [[one]], lambda: "again") == "first"
    assert applied.once("place", [[other]], lambda: "second") == "second"
    assert applied.once("place", [[one], []], lambda: "third") == "third"


def test_ticks_become_finer_and_never_coarser() -> None:
    memory = Memory()
    first = memory.per_unit(8)
    assert memory.per_unit(7) == 7 * first == memory.per_unit(8)
