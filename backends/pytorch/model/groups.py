"""The optimizer's parameter groups of a live model: one per distinct rate, epsilon and decay."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from scalerules.architecture.uses import count, fan_in, matrix
from scalerules.errors import ScaleRulesError, UnknownName
from scalerules.optimizers.law import RADIUS
from scalerules.optimizers.law import Optimizer as Law
from scalerules.optimizers.named import named_in as law_of
from scalerules.optimizers.powers import AXES
from scalerules.optimizers.symbolic import Facts
from scalerules.optimizers.table import OPTIMIZERS

from ..python_text import law
from .at_sizes import ModelWarning, Sizes
from .match import Follower, Matched, bare
from .sharded import mesh_of
from .weight_norm import is_by_row
from .weight_parts import part_of

if TYPE_CHECKING:
    from torch.nn import Module, Parameter
    from torch.optim import Optimizer

EPS = 1e-8
"""Adam's epsilon at the base size, unless `optimizer=` or `eps=` says otherwise."""

CLASSES = {"SGD": "sgd", "Adam": "adam", "AdamW": "adamw", "NAdam": "adam", "RAdam": "adam", "RMSprop": "rmsprop",
           "Adagrad": "adagrad", "Adafactor": "adafactor", "Lion": "lion", "Muon": "muon"}  # fmt: skip
"""Optimizer classes by name, to notice when a solution was derived for another kind."""

Group = dict[str, Any]


class Groups(list[Group]):
    """Parameter groups for a torch optimizer: `params`, `names`, `lr`, `weight_decay`, and `eps` where it has one.

    `multipliers` says what the forward pass has to be multiplied with, relative to the base size: node (or parameter)
    -> factor; `placed` in which attributes and modules of the live model that was done: node -> paths. Under Muon,
    groups of matrices have `"optimizer": "muon"`, all others `"optimizer": "entrywise"`.
    """

    def __init__(
        self,
        groups: Iterable[Group] = (),
        multipliers: Mapping[str, float] | None = None,
        placed: Mapping[str, list[str]] | None = None,
    ) -> None:
        super().__init__(groups)
        self.multipliers = dict(multipliers or {})
        self.placed = {node: list(paths) for node, paths in (placed or {}).items()}

    @property
    def matrices(self) -> list[Group]:
        """The groups that Muon takes."""
        return [group for group in self if group.get("optimizer") == "muon"]

    @property
    def others(self) -> list[Group]:
        """The groups that another optimizer takes beside Muon."""
        return [group for group in self if group.get("optimizer") != "muon"]

    def on(self, model: Module) -> Groups:
        """The same groups with the parameters that `model` (a copy, or reloaded with `assign=True`) has now."""
        found = {bare(name): parameter for name, parameter in model.named_parameters(remove_duplicate=False)}
        for name in (name for group in self for name in group["names"]):
            if bare(name) not in found:
                raise UnknownName("parameter", name, found, where="the model")
        groups = [{**group, "params": [found[bare(name)] for name in group["names"]]} for group in self]
        return Groups(groups, self.multipliers, self.placed)

    def optimizer(self, kind: type[Optimizer], **options: Any) -> Optimizer:
        """The optimizer of class `kind` that takes these groups; `options` are its arguments.

        Rules of Muon make it a `Pair`: `kind` takes the matrices, AdamW the rest (`others=` another class).
        """
        chosen, arguments = self.for_trainer(kind, **options)
        return chosen(**arguments)

    def for_trainer(self, kind: type[Optimizer], **options: Any) -> tuple[type[Optimizer], dict[str, Any]]:
        """The class and its arguments, as `Trainer(optimizer_cls_and_kwargs=groups.for_trainer(AdamW))` takes them."""
        if not self.matrices:
            return kind, {"params": list(self), **options}
        from .muon_pair import Pair  # needs torch, which rules as a table do not

        return Pair, {"params": self, "matrices": kind, **options}


@dataclass(frozen=True)
class Tuned:
    """The numbers at the base size, and the class of the optimizer that will take the groups."""

    lr: float
    lr_beside: float
    """Of what an optimizer beside Muon takes."""
    weight_decay: float
    eps: float | None
    optimizer: type | None
    radius: float = 0.05

    @classmethod
    def of(
        cls,
        at: Sizes,
        lr: float,
        weight_decay: float,
        eps: float | None,
        optimizer: type | None,
        lr_beside: float | None = None,
        radius: float = 0.05,
    ) -> Tuned:
        """Fills in the optimizer's own epsilon; raises `ScaleRulesError` if the rules are for another kind of one."""
        law = _law(at)
        if law is not None and optimizer is not None:
            _check_kind(law, optimizer)
        spectral = law is not None and law.spectral
        if eps is None and spectral:
            eps = EPS  # of the optimizer beside Muon
        elif eps is None and optimizer is not None:
            given = inspect.signature(optimizer).parameters.get("eps")
            eps = given.default if given is not None and isinstance(given.default, float) else None
        elif eps is None:
            eps = EPS if law is not None and law.eps else None
        return cls(lr, lr if lr_beside is None else lr_beside, weight_decay, eps, optimizer, radius)


def _law(at: Sizes) -> Law | None:
    """The optimizer that the rules were derived for; None for one that is not known here (in a file by hand)."""
    try:
        return law_of(at.solution.optimizer)
    except ScaleRulesError:
        return None


def _check_kind(law: Law, optimizer: type) -> None:
    """Raises `ScaleRulesError` if rules for `law` are not rules for this class; one that is not known passes."""
    if optimizer.__name__ not in CLASSES:
        return
    other = OPTIMIZERS[CLASSES[optimizer.__name__]]
    alike = _ways(law) == _ways(other) or (
        law.spectral and other.normalised()
    )  # beside Muon stands an entrywise one for all that is not a matrix
    if not alike:
        what, hint = f"is not what the rules were derived for ({law.name})", f"derive(graph, optimizer={other.name!r})"
        raise ScaleRulesError(what, where=f"optimizer {other.name!r}", hint=hint)


def _ways(law: Law) -> tuple[dict[str, Fraction], bool]:
    """How updates of matrices depend on gradient and parameter, and whether they move as a whole."""
    powers = law.guess(Facts(matrix=True))
    return {atom: power for atom, power in powers.items() if atom not in AXES}, law.spectral


def groups_of(matched: Matched, at: Sizes, tuned: Tuned) -> list[Group]:
    """One group per distinct rate, epsilon and decay (and mesh, where sharded), of the parameters that are trained."""
    found: dict[tuple[Any, ...], Group] = {}
    _warn_of_parts(matched, at)
    for name, follower in matched.items():
        parameter = follower.parameter
        if parameter.requires_grad:
            numbers = _magnitude(at, name, follower, tuned) if follower.part == "magnitude" else (
                _numbers(at, name, follower, tuned))  # fmt: skip
            key = (*numbers.items(), id(mesh_of(parameter)))
            group = found.setdefault(key, {"params": [], "names": [], **numbers})
            group["params"].append(parameter)
            group["names"].append(name)
    return list(found.values())


def _warn_of_parts(matched: Matched, at: Sizes) -> None:
    """Says where the parts of one parameter should have different rates, once for all layers."""
    fused: dict[tuple[str, ...], list[str]] = {}
    for name, follower in matched.items():
        factors = [at.factor(at.solution.parameters[rule].lr) for rule in follower.rules]
        if not math.isclose(min(factors), max(factors), rel_tol=1e-9):
            fused.setdefault(follower.rules, []).append(name)
    for rules, names in fused.items():
        rates = ", ".join(f"{part_of(rule)} {law(at.solution.parameters[rule].lr)}" for rule in rules)
        more = f" (and of {len(names) - 1} more like it)" if len(names) > 1 else ""
        text = (
            f"the parts of {names[0]}{more} have different rates ({rates}) and are one parameter: the smallest is taken"
        )
        warnings.warn(text, ModelWarning, stacklevel=5)


def _magnitude(at: Sizes, name: str, follower: Follower, tuned: Tuned) -> Group:
    """Of a weight norm without a rule of its own: relative to its size, a row's norm moves as all rules let rows move.

    The norm of a row has the size `init * sqrt(fan_in)`, and a change of it by a fixed share changes each output by
    that share. What step that takes is known for rules whose steps do not depend on the gradient's size.
    """
    law = _law(at)
    if law is None or not law.normalised() or at.graph is None or not is_by_row(follower.parameter):
        what = f"is the magnitude of a weight norm, whose rate does not follow from the rule {follower.rule!r} alone"
        raise ScaleRulesError(what, where=f"parameter {name!r}", hint="derive from the model itself: sr.trace(...)")
    exponents = at.solution.parameters[follower.rule]
    sums = [fan_in(at.graph, follower.rule, sizes) for sizes in (at.sizes, at.base)]
    norm = at.factor(exponents.init) * math.sqrt(sums[0] / sums[1])
    numbers: Group = {"lr": tuned.lr_beside * norm, "weight_decay": tuned.weight_decay / norm}
    if tuned.eps is not None:
        numbers["eps"] = tuned.eps * at.factor(exponents.eps)
    return {"optimizer": "entrywise", **numbers} if law.spectral else numbers


def _numbers(at: Sizes, name: str, follower: Follower, tuned: Tuned) -> Group:
    """The numbers of a parameter; of a fused one the smallest rate of its parts, and the smallest epsilon."""
    found = [_of_rule(at, name, rule, follower.parameter, tuned) for rule in follower.rules]
    chosen = min(found, key=lambda numbers: float(numbers["lr"]))
    if "eps" in chosen:
        chosen["eps"] = min(float(numbers["eps"]) for numbers in found if "eps" in numbers)
    return chosen


def _of_rule(at: Sizes, name: str, rule: str, parameter: Parameter, tuned: Tuned) -> Group:
    exponents, law = at.solution.parameters[rule], _law(at)
    numbers: Group = {
        "lr": tuned.lr * at.factor(exponents.lr),
        "weight_decay": tuned.weight_decay * at.factor(exponents.wd),
    }
    if law is not None and law.decay == "independent":  # torch decays by lr * weight_decay, the rule by wd alone
        numbers["weight_decay"] /= at.factor(exponents.lr)
    if tuned.eps is not None:
        numbers["eps"] = tuned.eps * at.factor(exponents.eps)
    if RADIUS in exponents.dampings:
        numbers[RADIUS] = tuned.radius * at.factor(exponents.dampings[RADIUS])
    if not at.solution.optimizer.startswith("muon"):
        return numbers
    if at.graph is None:
        raise ScaleRulesError("which parameters are matrices is not known without the graph", hint="give it: graph=...")
    use = matrix(at.graph, rule)
    if use is None:
        return {"optimizer": "entrywise", **numbers, "lr": tuned.lr_beside * at.factor(exponents.lr)}
    numbers.pop("eps", None)  # Muon's is another thing, relative to the norm of a gradient
    if tuned.optimizer is not None and tuned.optimizer.__name__ == "Muon":
        if parameter.ndim != 2:
            what = f"moves as a matrix, but has {parameter.ndim} dimensions, and torch.optim.Muon takes two"
            raise ScaleRulesError(what, where=f"parameter {name!r}", hint="keep one matrix per parameter and layer")
        change = adjustment(at, rule, parameter)
        numbers["lr"] /= change
        numbers["weight_decay"] *= change  # torch decays by lr * weight_decay
    return {"optimizer": "muon", **numbers}


def adjustment(at: Sizes, rule: str, parameter: Parameter) -> float:
    """How much more torch.optim.Muon (`adjust_lr_fn="original"`) moves a matrix than the rule takes for granted.

    Relative to the base size. torch adjusts by sqrt(max(1, rows/columns)), whichever of the two is the fan-out.
    """
    graph, use = at.graph, matrix(at.graph, rule) if at.graph else None
    if graph is None or use is None:
        return 1.0
    law = law_of(at.solution.optimizer)
    out_first = min(use.brought) < min(use.summed)

    def surplus(sizes: Mapping[str, float]) -> float:
        lengths = [count(graph, rule, part, sizes) / count(graph, rule, part, at.sizes)
                   for part in (use.brought, use.summed)]  # fmt: skip
        rows, columns = lengths if out_first else lengths[::-1]
        rows, columns = rows * parameter.shape[0], columns * parameter.shape[1]
        out, into = (rows, columns) if out_first else (columns, rows)
        wanted = _beside_orthogonal(law, out, into)
        return math.sqrt(max(1.0, rows / columns)) / wanted

    return surplus(at.sizes) / surplus(at.base)


def _beside_orthogonal(law: Law, out: float, into: float) -> float:
    """What a law multiplies an orthogonal matrix of these sides with."""
    logs = {"fan_out": math.log(out), "fan_in": math.log(into), "entries": math.log(out * into)}
    powers = law.matrix.powers
    resolved = powers.resolved(lambda atom: logs.get(atom, 0.0)) if powers is not None else {}
    total = sum(float(power) * logs.get(atom, 0.0) for atom, power in resolved.items())
    return math.exp(total) * math.sqrt(out * into)
