"""The optimizer's parameter groups of a live model: one per distinct rate, epsilon and decay."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scalerules.errors import ScaleRulesError, UnknownName
from scalerules.optimizers import OPTIMIZERS

from .natural import count, matrix
from .pytorch_match import bare
from .pytorch_sizes import Sizes

if TYPE_CHECKING:
    from torch.nn import Module, Parameter

EPS = 1e-8
"""Adam's epsilon at the base size, unless `optimizer=` or `eps=` says otherwise."""

CLASSES = {"SGD": "sgd", "Adam": "adam", "AdamW": "adamw", "NAdam": "adam", "RAdam": "adam", "RMSprop": "rmsprop",
           "Adagrad": "adagrad", "Lion": "lion", "Muon": "muon"}  # fmt: skip
"""Optimizer classes by name, to notice when a solution was derived for another kind."""

Group = dict[str, Any]


class Groups(list[Group]):
    """Parameter groups for a torch optimizer: `params`, `names`, `lr`, `weight_decay`, and `eps` where it has one.

    `multipliers` says what the forward pass has to be multiplied with, relative to the base size: node (or parameter)
    -> factor. Under Muon, groups of matrices have `"optimizer": "muon"`, all others `"optimizer": "entrywise"`.
    """

    def __init__(self, groups: Iterable[Group] = (), multipliers: Mapping[str, float] | None = None) -> None:
        super().__init__(groups)
        self.multipliers = dict(multipliers or {})

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
        return Groups(groups, self.multipliers)


@dataclass(frozen=True)
class Tuned:
    """The numbers at the base size, and the class of the optimizer that will take the groups."""

    lr: float
    weight_decay: float
    eps: float | None
    optimizer: type | None

    @classmethod
    def of(
        cls, at: Sizes, lr: float, weight_decay: float, eps: float | None, optimizer: type | None
    ) -> Tuned:
        """Fills in the optimizer's own epsilon; raises `ScaleRulesError` if the rules are for another kind of one."""
        law = OPTIMIZERS.get(at.solution.optimizer)
        name = CLASSES.get(optimizer.__name__) if optimizer is not None else None
        if law is not None and name is not None:
            wanted = OPTIMIZERS[name]
            if (law.normalised, law.spectral) != (wanted.normalised, wanted.spectral) and not _beside(at, name):
                raise ScaleRulesError(
                    f"is not what the rules were derived for ({at.solution.optimizer})",
                    where=f"optimizer {name!r}",
                    hint=f"derive(graph, optimizer={name!r})",
                )
        spectral = law is not None and law.spectral
        if eps is None and spectral:
            eps = EPS  # of the optimizer beside Muon
        elif eps is None and optimizer is not None:
            known = inspect.signature(optimizer).parameters.get("eps")
            eps = known.default if known is not None and isinstance(known.default, float) else None
        elif eps is None:
            eps = EPS if law is not None and law.eps else None
        return cls(lr, weight_decay, eps, optimizer)


def _beside(at: Sizes, name: str) -> bool:
    """Beside Muon stands an entrywise optimizer for all that is not a matrix."""
    return at.solution.optimizer.startswith("muon") and OPTIMIZERS[name].normalised


def groups_of(matched: Mapping[str, tuple[str, Parameter]], at: Sizes, tuned: Tuned) -> list[Group]:
    """One group per distinct rate, epsilon and decay, of the parameters that are trained."""
    found: dict[tuple[Any, ...], Group] = {}
    for name, (rule, parameter) in matched.items():
        if parameter.requires_grad:
            numbers = _numbers(at, rule, name, parameter, tuned)
            group = found.setdefault(tuple(numbers.items()), {"params": [], "names": [], **numbers})
            group["params"].append(parameter)
            group["names"].append(name)
    return list(found.values())


def _numbers(at: Sizes, rule: str, name: str, parameter: Parameter, tuned: Tuned) -> Group:
    exponents = at.solution.parameters[rule]
    numbers: Group = {
        "lr": tuned.lr * at.factor(exponents.lr),
        "weight_decay": tuned.weight_decay * at.factor(exponents.wd),
    }
    if tuned.eps is not None:
        numbers["eps"] = tuned.eps * at.factor(exponents.eps)
    if not at.solution.optimizer.startswith("muon"):
        return numbers
    if at.graph is None:
        raise ScaleRulesError("which parameters are matrices is not known without the graph", hint="give it: graph=...")
    use = matrix(at.graph, rule)
    if use is None:
        return {"optimizer": "entrywise", **numbers}
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
    law = OPTIMIZERS[at.solution.optimizer]
    out_first = min(use.brought) < min(use.summed)

    def surplus(sizes: Mapping[str, float]) -> float:
        lengths = [count(graph, rule, part, sizes) / count(graph, rule, part, at.sizes)
                   for part in (use.brought, use.summed)]  # fmt: skip
        rows, columns = lengths if out_first else lengths[::-1]
        rows, columns = rows * parameter.shape[0], columns * parameter.shape[1]
        out, into = (rows, columns) if out_first else (columns, rows)
        wanted = {"none": 1.0, "spectral": out / into, "original": max(1.0, out / into), "match_rms": max(out, into)}
        return math.sqrt(max(1.0, rows / columns) / wanted[law.adjust])

    return surplus(at.sizes) / surplus(at.base)
