"""Weight decay for the way in which the receiving optimizer decays, from the rule for another way.

A rule says by how much `lr * wd` (decoupled) or `wd` (independent) of the parameter goes in a step, or what is added to
the gradient (coupled). The three can be turned into one another where the size of the gradient is known.
"""

from __future__ import annotations

from scalerules.errors import ScaleRulesError
from scalerules.optimizers.law import Optimizer as Law
from scalerules.optimizers.powers import GRADIENT
from scalerules.optimizers.symbolic import Facts
from scalerules.sizes.exponents import Exponents
from scalerules.solution.rule import Rule

from .asked import for_matrices_only, law_at
from .at_sizes import Sizes
from .receiver import Decay, Receiver


def decay_exponents(target: Sizes, rule: str, exponents: Rule, receiver: Receiver | None) -> Exponents:
    """How weight decay grows for the optimizer that receives it. Raises `ScaleRulesError` where that is not known."""
    law = law_at(target)
    if law is None:
        return exponents.wd
    given, wanted = ways(law, receiver)
    if wanted == given:
        return exponents.wd
    if wanted == "coupled":
        return _coupled(target, rule, exponents, law, receiver)
    a_step = exponents.wd if given == "independent" else exponents.wd.plus(exponents.lr)
    if given == "coupled":  # what a step takes away keeps its share
        a_step = exponents.lr.plus(exponents.lr, -1)
    return a_step if wanted == "independent" else a_step.plus(exponents.lr, -1)


def ways(law: Law, receiver: Receiver | None) -> tuple[Decay, Decay]:
    """How the rule decays and how the optimizer does; a plain gradient takes added decay as decoupled."""
    is_plain = law.guess(Facts(matrix=True)) == {GRADIENT: 1}

    def read(way: Decay) -> Decay:
        return "decoupled" if way == "coupled" and is_plain else way

    given = read(law.decay)
    measured = receiver.decay if receiver is not None else None
    if receiver is not None and law.spectral and not for_matrices_only(law, receiver) and measured == "coupled":
        measured = None  # the class for what stands beside the matrices
    if measured is not None:
        return given, read(measured)
    return given, "decoupled" if given == "independent" else given  # torch's decay is decoupled


def _coupled(target: Sizes, rule: str, exponents: Rule, law: Law, receiver: Receiver | None) -> Exponents:
    """Decay that is added to the gradient, as large as it: the gradient's size over the parameter's.

    The size of the gradient is that of an epsilon that is added to its root mean square.
    """
    form = law.form(Facts(matrix=True))
    beside = form.dampings["eps"].resolved(lambda _: 0) if "eps" in form.dampings else {}
    if beside != {GRADIENT: 1} or not form.normalised:
        name = receiver.name if receiver is not None else ""
        text = f"{law.name.partition('(')[0]}(decay=coupled)"
        what = f"adds weight decay to the gradient, the rules are for {law.decay} decay"
        raise ScaleRulesError(what, where=f"optimizer {name}", hint=f"derive(graph, optimizer={text!r})")
    starts = target.graph.parameters[rule].init if target.graph is not None else "normal"
    sizes = [exponents.lr] if starts == "zeros" else [exponents.init, exponents.lr]
    weight = max(sizes, key=lambda size: size.size(target.solution.direction))
    return exponents.eps.plus(weight, -1)
