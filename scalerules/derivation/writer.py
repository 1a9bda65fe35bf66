"""A solved problem as a Solution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import reduce
from typing import cast

from scalerules.derivation.gauges.gauge import Shape, regauged
from scalerules.derivation.gauges.gauge import gauge as gauge_of
from scalerules.derivation.gauges.unit import constants
from scalerules.ops.site import Held
from scalerules.optimizers.law import RADIUS
from scalerules.optimizers.powers import GRADIENT, TOGETHER
from scalerules.sizes.exponents import Exponents
from scalerules.sizes.vectors import Vector
from scalerules.solution.rule import Explanation, Predicted, Quantity, Rule
from scalerules.solution.solution import Solution
from scalerules.solving.equations import vector_of
from scalerules.solving.problem import Problem, Solved
from scalerules.terms.term import Symbol

from .bounds import bounds
from .cone import cone_of
from .damping import Decaying, Tuning, clipping_said, divided, global_norm
from .explanations import sentence_of
from .predictions import sizes_of
from .rates import Radii
from .remarks import assumptions, warnings


def exponents_of(vector: Vector, scales: Sequence[str]) -> Exponents:
    """The exponents along the scales, from a vector whose first entry is along the direction."""
    return Exponents(dict(zip(scales, vector[1:], strict=True)))


class Writer:
    """Turns what was solved into a `Solution`."""

    def __init__(
        self, problem: Problem, solved: Solved, mode: str, gauge: str, tied: Mapping[str, str],
        decaying: Decaying | None, uphill: Radii | None,
    ) -> None:  # fmt: skip
        self.problem, self.solved, self.mode, self.gauge = problem, solved, mode, gauge
        self.tied, self.uphill = tied, uphill
        self.decaying: Decaying | None = decaying
        self.graph, self.run = problem.graph, solved.run
        self.scales = list(problem.direction)
        self.zero = Exponents(dict.fromkeys(self.scales, Fraction(0)))
        self.gradients = {e.node: e for e in self.run.events if e.kind == "gradient" and e.term is not None}
        self.bound = bounds(solved)
        self.tuning = Tuning(problem.optimizer, self.run, solved.vectors, self.scales, decaying or "time-scale")

    def solution(self) -> Solution:
        """What was solved, with what is said of it."""
        problem = self.problem
        said = assumptions(problem, self.mode, self.tied, self.decaying, self.uphill is not None)
        return Solution(
            graph=self.graph.name,
            optimizer=problem.optimizer.name,
            mode=self.mode,
            gauge=self.gauge,
            scales=tuple(self.scales),
            parameters=self._normed({name: self._rule(name) for name in self._ruled()}),
            multipliers={
                name: exponents_of(vector, self.scales)
                for name, vector in ((name, self.solved.vectors["mult", name]) for name in self._multipliers())
            },
            direction=dict(problem.direction),
            cone=self._cone(),
            assumptions=(*said, *self.clipping),
            warnings=warnings(problem, self.solved, self.tied, {name for _, name in self._unmet}),
            sizes=tuple(self._sizes()),
            explanations={name: self._explained(name) for name in (*self._ruled(), *self._multipliers())},
            architecture=self.graph,
            constants=constants(self.graph) if self.gauge == "unit" else {},
        )

    def _normed(self, rules: dict[str, Rule]) -> dict[str, Rule]:
        """The rules with the norm of all gradients: that gradients are clipped by, or that the law itself takes."""
        self.clipping: tuple[str, ...] = ()
        optimizer, direction = self.problem.optimizer, self.problem.direction
        uphill = self.uphill
        if optimizer.clip is None and not optimizer.together and not (uphill and uphill.problem.optimizer.together):
            return rules
        norm = self._norm(rules)
        if norm is None:
            return rules
        if uphill is not None:
            rules = {n: replace(r, dampings={**r.dampings, RADIUS: r.dampings[RADIUS].plus(
                norm[1], -uphill.together(n).update)}) if RADIUS in r.dampings else r for n, r in rules.items()}  # fmt: skip  # noqa: E501
        if optimizer.together:
            rules = {n: divided(r, norm[1], self.tuning.of_norm(n, TOGETHER, 1), optimizer) for n, r in rules.items()}
        if optimizer.clip is not None:
            self.clipping = (clipping_said(optimizer, norm, direction),)
        if optimizer.clip == "fixed" and norm[1].size(direction) > 0:
            rules = {n: divided(r, norm[1], self.tuning.of_norm(n, GRADIENT, -1), optimizer) for n, r in rules.items()}
        return rules

    def _cone(self) -> tuple[str, ...]:
        """The directions in which the solution holds, by the run that its rows are written from.

        Which of equally large terms is kept depends on what a run has kept of others; they bound other directions. One
        that is the solution for every scale alone too is bounded only where a term would outgrow what divides it.
        """
        everywhere = self.solved.everywhere and not cone_of(self.run, self.solved.vectors, self.scales)
        if everywhere or len(self.scales) < 2:
            return ()
        run = self.problem.run(self.solved.unknowns, self.problem.steps, told=True)
        return cone_of(run, self.solved.vectors, self.scales)

    def _norm(self, rules: Mapping[str, Rule]) -> tuple[str, Exponents] | None:
        trained = [name for name in rules if name in self.gradients]
        counts = {n: reduce(Exponents.plus, map(self.tuning.growth, rules[n].shape), self.zero) for n in trained}
        return global_norm(rules, {n: self._gradient(n) for n in trained}, counts, self.problem.direction)

    def _ruled(self) -> list[str]:
        """The parameters that have a rule: all but identities that nobody trains, of which there is nothing to set."""
        parameters = self.graph.parameters
        return [name for name in parameters if parameters[name].trained or parameters[name].init != "identity"]

    def _multipliers(self) -> list[str]:
        """The free factors in the order of the graph."""
        return [name for name, _ in self.graph.walk() if ("mult", name) in self.solved.vectors]

    def _vector(self, kind: str, name: str) -> Exponents:
        vector = self.solved.vectors.get((kind, name))
        return self.zero if vector is None or ("lr", name) in self._unmet else exponents_of(vector, self.scales)

    @property
    def _unmet(self) -> set[Symbol]:
        """Rates of parameters whose gradient is exactly zero at every step: any value would do."""
        return {("lr", name) for name in self.graph.parameters if name not in self.gradients}

    def _rule(self, name: str) -> Rule:
        lr = self.zero if ("lr", name) in self._unmet else self._vector("lr", name)
        held, gradient = self._held(name), self._gradient(name)
        dampings = self.tuning.dampings(held, name, gradient)
        rule = Rule(
            shape=self.graph.shape_of(name),
            init=self._start(name),
            mult=self.zero,
            lr=lr,
            eps=dampings.pop("eps", self.zero),
            wd=self.tuning.decay(held, lr, gradient),
            log=tuple(size for size in ("init", "lr") if self._carries_log(size, name)),
            dampings=dampings,
        )
        axes = held.axes if held else ()
        longest = max(axes, key=lambda axis: self.run.point.growths[axis], default=None)
        grows = (
            vector_of({("growth", longest): Fraction(1)}, {}, self.run, self.scales)
            if longest
            else (Fraction(0), *self.zero.fractions.values())
        )
        by = self.tuning.gauges(held)
        shape = Shape(
            self.graph.parameters[name].init == "normal", len(axes), exponents_of(grows, self.scales), by.update
        )  # noqa: E501
        return self._with_radius(regauged(rule, shape, gauge_of(self.gauge), by.update, by.decay, by.dampings), name)

    def _start(self, name: str) -> Exponents:
        """How the initial entries grow: as solved for, or as a factor says."""
        if ("init", name) in self.solved.vectors:
            return exponents_of(self.solved.vectors["init", name], self.scales)
        form = dict(self.run.point.start(name)[1])
        return exponents_of(vector_of(form, {}, self.run, self.scales), self.scales)

    def _with_radius(self, rule: Rule, name: str) -> Rule:
        """The rule with the radius of its perturbation, if there is one."""
        if self.uphill is None or not self.graph.parameters[name].trained:
            return rule
        vector = self.uphill.solved.vectors.get(("lr", name))
        radius = (
            self.zero if vector is None or self.uphill.solved.never(("lr", name)) else exponents_of(vector, self.scales)
        )  # noqa: E501
        radius = radius.plus(rule.mult, self.uphill.share(name).update)
        return replace(rule, dampings={**rule.dampings, RADIUS: radius})

    def _held(self, name: str) -> Held | None:
        return next((h for h in self.run.plan.parameters.values() if h.name == name), None)

    def _gradient(self, name: str) -> Exponents:
        event = self.gradients.get(name)
        if event is None or event.term is None:
            return self.zero
        return exponents_of(vector_of(event.form, self.solved.vectors, self.run, self.scales), self.scales)

    def _carries_log(self, size: str, name: str) -> bool:
        equation = self.bound.get((size, name))
        if size == "lr":
            owns = [e for e in self.run.events if e.parameter == name and e.kind in ("own", "change") and e.ticks == 0]
            return any(t.log for e in owns if e.judged and e.term for t in e.terms if t.size == e.term.size)
        return (
            equation is not None
            and equation.event.kind == "value"
            and bool(equation.event.term is not None and equation.event.term.log)
        )

    def _explained(self, name: str) -> tuple[Explanation, ...]:
        explanations: list[Explanation] = []
        for kind in ("mult", "init", "lr"):
            vector = self.solved.vectors.get((kind, name))
            if vector is None:
                continue
            size = str(exponents_of(vector, self.scales))
            equation = self.bound.get((kind, name))
            if (kind, name) in self.problem.given:
                explanations.append(Explanation(kind, size, "It is given."))
            elif equation is None:
                explanations.append(Explanation(kind, size, "No equation asks for less."))
            else:
                explanations.append(Explanation(kind, size, sentence_of(equation)))
        event = self.gradients.get(name)
        if event is not None and self.problem.optimizer.eps:
            gradient = self._gradient(name)
            size = self.tuning.dampings(self._held(name), name, gradient).get("eps")
            said = "Epsilon has to stay at most as large as the gradient."
            if size is not None and size != gradient:
                said = f"Epsilon grows as what it is added to, which the law makes of the gradient, of size {gradient}."
            if size is not None:
                explanations.append(Explanation("eps", str(size), said))
        return tuple(explanations)

    def _sizes(self) -> list[Predicted]:
        """Every predicted size, with the smaller one that finite sizes may show."""
        unknowns = self.solved.unknowns
        chance = sizes_of(self.problem.run(unknowns, 1, coherent=False, still=True, biased=False))
        alone = sizes_of(self.problem.run(unknowns, 1, alone=True, biased=False))
        predicted: list[Predicted] = []
        for key, size in sizes_of(self.run).items():
            kind, node, step, parameter = key
            less = alone.get((kind, node, 1, parameter)) if kind == "own" else None
            if step == {"value": 0, "gradient": 1}.get(kind):
                less = chance.get(key)
            lower = less if less is not None and size is not None and less < size else None
            predicted.append(Predicted(cast(Quantity, kind), node, step, size, parameter, lower))
        return predicted
