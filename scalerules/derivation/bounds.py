"""The equations that show best what determines the unknowns of a solution."""

from __future__ import annotations

from dataclasses import replace

from scalerules.solving.equations import UNKNOWNS, Equation
from scalerules.solving.problem import Solved
from scalerules.terms.term import Symbol


def bounds(solved: Solved) -> dict[Symbol, Equation]:
    """The equation that shows best what determines every unknown: one that holds with equality, close by."""
    run, bound = solved.run, dict[Symbol, Equation]()
    reads = {run.plan.parameters[key].name: site.key for site in run.plan.sites for key in site.parameters}
    open_: dict[str, list[str]] = {}
    for name, key in reads.items():
        if ("init", name) in solved.vectors:
            open_.setdefault(key, []).append(name)
    for event in run.events:
        if not event.judged or event.term is None or event.ticks:
            continue
        if event.kind == "own" and event.first:
            bound.setdefault(("lr", str(event.parameter)), Equation("maximal", event))
        if event.kind in ("value", "change") and open_.get(event.site):
            for term in (t for t in event.terms if t.size == event.term.size):
                for name in [name for name in open_[event.site] if ("init", name) in term.form]:
                    open_[event.site].remove(name)
                    bound["init", name] = Equation("stable", replace(event, term=term))
    for equation in solved.binding:
        for symbol, coefficient in equation.form.items():
            if coefficient.numerator > 0 and symbol[0] in UNKNOWNS:
                before = bound.get(symbol)
                if before is None or (symbol[0] == "mult" and len(equation.form) < len(before.form)):
                    bound[symbol] = equation
    return bound
