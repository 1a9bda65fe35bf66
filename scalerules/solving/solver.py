"""The exact solution: the largest initial sizes, then the largest learning rates, that satisfy every equation.

The calculus is run at a point; the equations that do not hold there, as linear forms, join an exact linear programme,
which gives the next point; until all hold. A rule that is not normalised (SGD) has the same updates as its normalised
twin once gradients have reached their steady size, so its rates are the twin's divided by the sizes of the gradients.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from fractions import Fraction
from math import inf

from scalerules.boundary.working import note
from scalerules.ops.registry import law_of
from scalerules.ops.site import Held, Site
from scalerules.passes.events import Event, Run
from scalerules.passes.plan import depth_allowance
from scalerules.passes.point import Point
from scalerules.sizes.vectors import Vector
from scalerules.terms.term import Symbol

from .equations import Equation, Inequality, Vectors, allowance_of, own_contributions, unknowns_of, vector_of
from .problem import BEYOND, Problem, Solved, Unsolvable
from .programme import Infeasible, Programme

ROUNDS = 30
"""Rounds of running and solving, beside one for every parameter (a long chain is set link by link)."""

AIMS = ("own", "full", "least")
"""What is made large beside the unknowns: own contributions, those inside a block, the least term of a sum."""

AGAIN = 2
"""Attempts after a clash: an equation that was true on the way there may have had a part in it, and be wrong there."""
ROUNDING = 1e-9
"""Sizes are fractions with small denominators: numbers that differ by less are equal."""

Key = tuple[object, ...]


def solve_along(problem: Problem) -> Solved:
    """The solution along the direction, of a rule whose updates do not depend on the gradient's size, or isolated.

    Raises `Unsolvable`.
    """
    note(f"solving along {' and '.join(problem.direction)}")
    return _Solver(problem).solve()


class _Solver:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.graph, self.direction = problem.graph, problem.direction
        self.scales = list(problem.direction)
        self.plan = problem.plan
        self.given: Vectors = {**self._idle(), **problem.given}
        self._sites = {site.key: site for site in self.plan.sites}
        self.depths = problem.depths
        self.kept: dict[str, Equation] = {}
        self.cycles: dict[str, Equation] = {}
        self._read: dict[str, Inequality] = {}
        self.upper, self.weights = self._variables()
        self.vectors: Vectors = {**self.upper, **self.unmet, **self.given}

    def _variables(self) -> tuple[Vectors, dict[Symbol, int]]:
        """Upper bounds in their order.

        Own contributions, the least term of a sum, initial sizes of hidden values, multipliers, other sizes.
        """
        lengths = self.graph.lengths.values()
        top = max((length.growth(self.direction) for length in lengths), default=Fraction(1))
        free = {name for name, node in self.graph.walk() if node.free}

        def size(value: Fraction | int) -> Vector:
            """A bound along the direction, as a power of its first scale."""
            first = self.direction[self.scales[0]]
            return (Fraction(value), value / first, *[Fraction(0)] * (len(self.scales) - 1))

        order: dict[str, None] = {}
        hidden_: set[str] = set()
        late: set[str] = set()
        before = self._before_hidden()
        for early in (True, False):  # a value without a growing axis (logits, router scores) may start below size 0,
            for site in self.plan.sites:  # but what is read into one that has to be of size 0 does not make room for it
                hidden = self.plan.hidden(site)
                if (hidden or site.key in before) is early:
                    hidden_.update(self.plan.parameters[key].name for key in site.parameters if hidden)
                    late.update(self.plan.parameters[key].name for key in site.parameters if not early)
                    order.update({self.plan.parameters[key].name: None for key in site.parameters})
        late = {name for name in late if name not in hidden_}
        parameters = self.graph.parameters
        trained = [name for name in order if parameters[name].trained]
        own: Vectors = {("own", name): size(0) for name in trained}
        inits = [name for name in order if parameters[name].init == "normal"]
        natural = self._natural()
        first = {("init", name): natural.get(("init", name), size(top)) for name in inits if name in hidden_}
        upper: Vectors = {}
        least: Vectors = {("least", "sum"): size(0)} if self._summands() else {}
        if self.problem.isolated:  # initial sizes of hidden values follow from the values at initialisation alone
            upper.update(least | first)
        upper.update(own | least)
        joins = {multiplier.name for _, multiplier in self.depths.values() if multiplier is not None} & free
        if joins:  # what depth allows is used for depth only: initial sizes and the multipliers of the sum come first
            upper.update(first)
            alone = [site.name for site in self.plan.sites if site.name in free - joins]
            upper.update({("mult", name): size(0) for name in (*sorted(joins), *alone)})
            upper.update({("full", name): size(0) for name in trained if name in self.depths})
        rest = {("init", name): first.get(("init", name), size(top)) for name in inits if name not in late}
        upper.update({symbol: bound for symbol, bound in rest.items() if symbol not in upper})
        left = [site.name for site in self.plan.sites if site.name in free and ("mult", site.name) not in upper]
        upper.update({("mult", name): size(0) for name in left})
        upper.update({("init", name): size(top) for name in inits if ("init", name) not in upper})
        upper.update({("lr", name): size(4 * top) for name in trained})
        upper = {symbol: bound for symbol, bound in upper.items() if symbol not in self.given}
        self.unmet: Vectors = {("lr", n): size(-8 * top) for n in trained if ("lr", n) not in self.given}
        count = len(upper)
        return upper, {symbol: 1000 ** (count - index) for index, symbol in enumerate(upper)}

    def _idle(self) -> Vectors:
        """Free factors that parameters in front of them take up, unless these are given or depth asks for it."""
        joins = {multiplier.name for _, multiplier in depth_allowance(self.plan).values() if multiplier is not None}
        fixed = {name for kind, name in self.problem.given if kind in ("init", "lr")}
        idle = [name for name, alone in self.plan.idle.items() if name not in joins and not fixed.intersection(alone)]
        return {("mult", name): (Fraction(0),) * (1 + len(self.scales)) for name in idle}

    def _natural(self) -> Vectors:
        """Of what reads a free factor linearly, and of the matrices of a product: the size at which they pass sizes on.

        Only the product has an effect, and the factor is what should not be smaller than it has to be. A
        vector of weights that is read through a matrix of weights alone (a learnt query) is like a value: of size 0.
        """
        point, reached = Point(self.graph, self.direction, {}), set[str]()
        found: Vectors = {}
        growths = point.constants(tuple(self.scales))

        def even(held: Held) -> Vector:
            """The initial size at which a sum over the fan-in is as large as what is summed."""
            shares = ((Fraction(0),) * (1 + len(self.scales)), *(growths["growth", axis] for axis in held.fan_in))
            return tuple(-sum(part, Fraction(0)) / 2 for part in zip(*shares, strict=True))

        for site in self.plan.sites:
            if law_of(site.op).multilinear and not site.inputs and len(site.parameters) > 1:
                for held in (self.plan.parameters[key] for key in site.parameters):
                    if held.axes and set(held.fan_in) == set(held.axes):
                        found["init", held.name] = (Fraction(0),) * (1 + len(self.scales))
            factors = [held for held in (self.plan.parameters[key] for key in site.parameters) if held.matrix]
            if law_of(site.op).multilinear and site.inputs and len(factors) > 1:
                found.update({("init", held.name): even(held) for held in factors})
            if not (site.node.free or (_linear(site) and any(key in reached for key in site.inputs))):
                continue
            reached.add(site.key)
            for held in (self.plan.parameters[key] for key in site.parameters if not site.node.free):
                found["init", held.name] = even(held)
        return found

    def _summands(self) -> list[str]:
        """The sites whose values are added up with others, to one with a growing axis; sums over depth are apart."""
        sums = [site for site in self.plan.sites if site.op in ("add", "residual") and not site.joins]
        return [key for site in sums if len(site.operands) > 1 and self.plan.hidden(site) for key in site.inputs]

    def _least(self, run: Run) -> dict[str, Inequality]:
        """No term of a sum is left behind to make room for another one: the least of them is to be large."""
        if ("least", "sum") not in self.upper:
            return {}
        starts = {event.site: event for event in run.events if event.kind == "value" and event.term is not None}
        events = [starts[key] for key in dict.fromkeys(self._summands()) if key in starts]
        return {
            f"least {event.site}": self._opposite(event.form, ("least", "sum"), run)
            for event in events
            if any(symbol in self.upper for symbol in event.form)
        }

    def _before_hidden(self) -> set[str]:
        """The sites that a value with a growing axis depends on."""
        before: set[str] = set()
        for site in reversed(self.plan.sites):
            if self.plan.hidden(site) or site.key in before:
                before.update(site.inputs)
        return before

    def solve(self) -> Solved:
        """Solves; after a clash again from where that ended, without the equations that led there."""
        for _ in range(AGAIN):
            try:
                return self._attempt()
            except Unsolvable:
                self.kept, self.cycles = {}, {}
        try:
            return self._attempt()
        except Unsolvable as last:
            clash = last.clash if last.compromise is None else self._smallest(last.clash, last.run)
            raise Unsolvable(clash, last.run, last.compromise) from None

    def _attempt(self) -> Solved:
        run = self._settle()
        run.events = [event for event in run.events if event.step <= self.problem.steps]
        programme = self._programme(run)
        named: dict[Hashable, Equation] = {**self.kept, **self.cycles, **self._maximal(run)}
        binding = [named[name] for name in programme.binding() if name in named]
        short = {name: -vector[0] for (kind, name), vector in self.vectors.items() if kind == "own" and vector[0] < 0}
        vectors = {symbol: vector for symbol, vector in self.vectors.items() if symbol[0] not in AIMS}
        solved = Solved(vectors, run, binding, short)
        if short and not self.problem.lazy:
            blocking = [k for name in short for k in (f"maximal {name}", *programme.blocked_by(("own", name)))]
            clash = [named[name] for name in dict.fromkeys(blocking) if name in named]
            raise Unsolvable(clash, run, solved)
        return solved

    def _smallest(self, clash: list[Equation], run: Run) -> list[Equation]:
        """A part of the clashing equations that still clashes and of which none can be left out."""
        kept = list(clash)
        for number, equation in enumerate(clash, 1):
            note(f"which equations clash, {number} of {len(clash)}")
            rest = [other for other in kept if other is not equation]
            if not self._holds(rest, run):
                kept = rest
        return kept

    def _holds(self, equations: list[Equation], run: Run) -> bool:
        """Whether these can hold together, initial values being of size 0."""
        rows: dict[str, Inequality] = {}
        for number, equation in enumerate(equations):
            opposite = {symbol: -value for symbol, value in equation.form.items()}
            if equation.relation == "stable":
                rows[f"{number}"] = self._below(equation.form, run)
            if equation.relation == "maximal" or equation.event.kind == "value":
                rows[f"{number} opposite"] = self._below(opposite, run)
        try:
            _satisfy(Programme(self.upper, self.weights), rows)  # type: ignore[arg-type]
        except Infeasible:
            return False
        return True

    def _settle(self) -> Run:
        """Runs and solves in turn until every equation holds at all steps."""
        broken: list[Equation] = []
        run, last = self._run(), -1
        for turn in range(ROUNDS + len(self.graph.parameters)):
            note(f"solving along {' and '.join(self.problem.direction)}, turn {turn + 1}")
            self._forget(run)
            waiting = set(self.unmet)
            broken = self._collect(run)
            before = dict(self.vectors)
            self._programme(run)
            if before == self.vectors and waiting == set(self.unmet):
                if broken and run.events[-1].step == last:
                    break
                if not broken:
                    return run
            last = run.events[-1].step
            run = self._run()
        raise Unsolvable(broken or list(self.kept.values())[:1], run)

    def _run(self) -> Run:
        """One run of the calculus, up to the first step that something is wrong with."""
        steps = self.problem.steps if self.problem.isolated else self.problem.steps + BEYOND
        return self.problem.run({symbol: vector[0] for symbol, vector in self.vectors.items()}, steps, self._wrong)

    def _wrong(self, events: list[Event]) -> bool:
        """Whether a step has an equation that does not hold, or a rate that is met for the first time."""
        return any(
            e.unstable or (e.kind == "own" and e.judged and e.term and ("lr", e.parameter) in self.unmet)
            for e in events
        )

    def _forget(self, run: Run) -> None:
        """Drops equations that say more than is true at this point (what divides them is no longer the largest)."""
        now = {_key(event): event for event in run.events}
        at: dict[Hashable, float] = {symbol: float(vector[0]) for symbol, vector in self.vectors.items()}
        for name, equation in list(self.kept.items()):
            event = now.get(_key(equation.event))
            if event is not None:
                true = float(run.point.size(event.ticks)) if event.term is not None else -inf
                if self._inequality(name, equation, run).excess(at) > true + ROUNDING:
                    del self.kept[name]

    def _collect(self, run: Run) -> list[Equation]:
        """Adds the stability equations of this run, and returns those that do not hold, where they do not first.

        What lies behind a value that is too large is not looked at: there, other terms are the largest.
        """
        broken: list[Equation] = []
        tainted: set[str] = set()
        for event in run.events:
            if event.kind == "gradient" or event.term is None:
                continue
            if broken and event.step > broken[0].event.step:
                break
            if event.site in self._sites and any(key in tainted for key in self._sites[event.site].inputs):
                tainted.add(event.site)
            elif event.judged:
                equation = Equation("stable", event)
                if event.unstable:
                    broken.append(equation)
                    if event.step:
                        tainted.add(event.site)
                if event.unstable and event.step > self.problem.steps:
                    self._cycle(run, event)
                elif (event.unstable or event.kind == "own") and unknowns_of(event.form):
                    self.kept[_name(event)] = equation
                    self.unmet.pop(("lr", str(event.parameter)), None)
        return broken

    def _cycle(self, run: Run, event: Event) -> None:
        """Growth from step to step, beyond the asked steps: each round of it must not multiply."""
        same = [e for e in run.events if _key(e)[:3] == _key(event)[:3] and e.term is not None and e.step > 0]
        for earlier, later in zip(same, same[1:], strict=False):
            if later.step > self.problem.steps and later.ticks > earlier.ticks:
                equation = Equation("stable", later, earlier=earlier)
                self.cycles[_name(later, earlier)] = equation

    def _maximal(self, run: Run) -> dict[str, Equation]:
        """For every parameter, its largest own contribution so far is to reach size 0."""
        found: dict[str, Equation] = {}
        for name, events in own_contributions(run).items():
            reached = [e for e in events if e.term is not None]
            if reached:
                best = max(reached, key=lambda e: e.ticks)
                found[f"maximal {name}"] = Equation("maximal", best, allowance=allowance_of(name, self.depths, run))
        return found

    def _programme(self, run: Run) -> Programme:
        """Solves for the next point. What no equation bounds from above stays where it is."""
        stable, maximal = {**self.kept, **self.cycles}, self._maximal(run)
        bounded = {s for equation in stable.values() for s, value in equation.form.items() if value > 0}
        upper = {
            s: bound if s in bounded or s[0] in AIMS or self.vectors[s] >= bound else self.vectors[s]
            for s, bound in self.upper.items()
        }
        rows = {name: self._inequality(name, equation, run) for name, equation in stable.items()}
        for name, equation in maximal.items():
            parameter = str(equation.event.parameter)
            rows[name] = self._opposite(equation.form, ("own", parameter), run)
            if ("full", parameter) in self.upper:
                rows[f"full {name}"] = self._opposite(equation.event.form, ("full", parameter), run)
        rows.update(self._least(run))
        programme = Programme(upper, self.weights)  # type: ignore[arg-type]
        try:
            _satisfy(programme, rows)
        except Infeasible as clash:
            named: dict[Hashable, Equation] = {**stable, **maximal}
            raise Unsolvable([named[name] for name in clash.clash if name in named], run) from None
        self.vectors = {**programme.solution(), **self.unmet, **self.given}  # type: ignore[dict-item]
        return programme

    def _inequality(self, name: str, equation: Equation, run: Run) -> Inequality:
        """An equation of the kind `stable`; what is given does not change, so it is read once."""
        if name not in self._read:
            self._read[name] = self._below(equation.form, run)
        return self._read[name]

    def _opposite(self, form: Mapping[Symbol, Fraction], short: Symbol, run: Run) -> Inequality:
        """A form that has to be at least as large as `short`."""
        below = self._below({symbol: -value for symbol, value in form.items()}, run)
        return Inequality({**below.form, short: Fraction(1)}, below.constant)

    def _below(self, form: Mapping[Symbol, Fraction], run: Run) -> Inequality:
        open_: dict[Hashable, Fraction] = {s: value for s, value in form.items() if s in self.upper}
        return Inequality(open_, vector_of(form, self.given, run, self.scales))


def _satisfy(programme: Programme, rows: Mapping[str, Inequality]) -> None:
    """Adds the inequalities that the solution breaks, the most broken first: of many, few ever bind."""
    distinct = list({row.key: name for name, row in reversed(list(rows.items()))}.values())
    reads: dict[Hashable, list[str]] = {}
    for name in distinct:
        for variable in rows[name].form:
            reads.setdefault(variable, []).append(name)
    at = programme.sizes()
    excess = {name: rows[name].excess(at) for name in distinct}
    while distinct:
        worst = max(distinct, key=excess.__getitem__)
        if excess[worst] < ROUNDING:
            return
        programme.require(worst, rows[worst].form, rows[worst].constant)
        programme.loosen()
        before, at = at, programme.sizes()
        moved = {n for variable, value in at.items() if value != before[variable] for n in reads.get(variable, ())}
        excess.update({name: rows[name].excess(at) for name in moved})


def _key(event: Event) -> Key:
    return (event.kind, event.node, event.parameter, event.step)


def _name(*events: Event) -> str:
    """A name for the equation of events: what they are of, and their linear forms."""
    return "; ".join(
        f"{event.kind} {event.node} {event.parameter} {event.step}: "
        + " ".join(sorted(f"{c}*{kind}.{name}" for (kind, name), c in event.form.items()))
        for event in events
    )


def _linear(site: Site) -> bool:
    op = law_of(site.op)
    return op.linear or op.multilinear
