"""The optimizer's parameter groups of a live model: one per distinct rate, epsilon and decay."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from scalerules.catalogue.user_code import kind_of
from scalerules.errors import ScaleRulesError, UnknownName

from .fitting import check_module
from .made import Group, Made
from .match import Matched, bare
from .receiver import Receiver
from .rows import ENTRYWISE, MUON, Row
from .sharded import mesh_of
from .table import plain, yaml_text
from .taking import taken, taken_by_pair
from .tuned import fits, number
from .written import written

if TYPE_CHECKING:
    from torch.nn import Module, Parameter
    from torch.optim import Optimizer


class Groups(list[Group]):
    """Parameter groups for a torch optimizer: `params`, `names`, `lr`, `weight_decay`, and `eps` where it has one.

    `rows` are the numbers of every parameter by name. `multipliers` says what the forward pass has to be multiplied
    with, relative to the base size: node (or parameter) -> factor; `placed` in which attributes and modules of the live
    model that was done: node -> paths. Under Muon, groups of matrices have `"optimizer": "muon"`, all others
    `"optimizer": "entrywise"`. `print(groups)` shows all of it.
    """

    def __init__(
        self,
        groups: Iterable[Group] = (),
        multipliers: Mapping[str, float] | None = None,
        placed: Mapping[str, list[str]] | None = None,
        rows: Mapping[str, Row] | None = None,
        made: Made | None = None,
    ) -> None:
        super().__init__(groups)
        self.multipliers = dict(multipliers or {})
        self.placed = {node: list(paths) for node, paths in (placed or {}).items()}
        self.rows, self.made = dict(rows or {}), made or Made()

    @property
    def matrices(self) -> list[Group]:
        """The groups that Muon takes. Raises `ScaleRulesError` for a fused weight of several matrices."""
        for group in self:
            if "parts" in group:
                hint = "groups.optimizer(...) orthogonalises each part by itself"
                raise ScaleRulesError("is several matrices in one", where=f"parameter {group['names'][0]!r}", hint=hint)
        return [group for group in self if group.get("optimizer") == MUON]

    @property
    def others(self) -> list[Group]:
        """The groups that another optimizer takes beside Muon."""
        return [group for group in self if group.get("optimizer") != MUON]

    def on(self, model: Module, names: Mapping[str, str] | None = None) -> Groups:
        """The same groups with the parameters that `model` has now: a copy, a reloaded one, or a part of the model.

        A part (a stage of a pipeline) has some of the parameters, as the very objects, or under their names in the
        whole; `names` says otherwise: `{"0.*": "layers.4.*"}`. Raises `UnknownName` for a parameter that is trained and
        has no numbers here.
        """
        check_module(model)
        by_bare_name = {bare(name): name for group in self for name in group["names"]}
        objects = {id(p): name for group in self for name, p in zip(group["names"], group["params"], strict=True)}
        parameters: dict[str, Parameter] = {}
        for name, parameter in model.named_parameters(remove_duplicate=False):
            whole = objects.get(id(parameter)) or by_bare_name.get(_renamed(bare(name), names or {}))
            if whole is not None:
                self._fits(name, parameter, self.rows.get(whole))
                parameters[whole] = parameter
        for pattern in names or {}:
            if not any(fits(bare(name), pattern) for name, _ in model.named_parameters(remove_duplicate=False)):
                raise UnknownName("name", pattern, map(bare, dict(model.named_parameters())), where="names=")
        covered = {id(parameter) for parameter in parameters.values()}
        left = {bare(name) for name in self.made.left}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and id(parameter) not in covered and bare(name) not in left:
                raise UnknownName("parameter", _renamed(bare(name), names or {}), by_bare_name, where="the model")
        if not parameters:
            raise ScaleRulesError("has none of the parameters of these groups", where="the model")
        return self._with(parameters)

    def _fits(self, name: str, parameter: Parameter, row: Row | None) -> None:
        """Raises `ScaleRulesError` for a parameter of another size (a vector may be a part of one, flat)."""
        shape = tuple(parameter.shape)
        if row is not None and len(shape) == len(row.shape) > 1 and shape != row.shape:
            what = f"is {' x '.join(map(str, shape))}, these groups are for {' x '.join(map(str, row.shape))}"
            raise ScaleRulesError(what, where=f"parameter {name!r}", hint="call apply with its sizes")

    def _with(self, parameters: Mapping[str, Parameter]) -> Groups:
        groups: list[Group] = []
        for group in self:
            names = [name for name in group["names"] if name in parameters]
            for mesh in dict.fromkeys(id(mesh_of(parameters[name])) for name in names):
                mine = [name for name in names if id(mesh_of(parameters[name])) == mesh]
                groups.append({**group, "params": [parameters[name] for name in mine], "names": mine})
        rows = {name: row for name, row in self.rows.items() if name in parameters}
        return Groups(groups, self.multipliers, self.placed, rows, self.made)

    def per_group(self, value: float, of: str = "lr") -> list[float]:
        """An absolute number as one per group, in their order: as many times the group's own as it is the tuned one.

        For a scheduler that sets numbers rather than factors: `OneCycleLR(optimizer, max_lr=groups.per_group(3e-3))`,
        `min_lr=groups.per_group(1e-5)`. `of` is `lr` or `weight_decay`. Raises `ScaleRulesError`.
        """
        if of not in ("lr", "weight_decay"):
            raise UnknownName("number", of, ("lr", "weight_decay"))
        given, tuned = float(number("value", value)), float(getattr(self.made, of) or 0.0)
        numbers: list[float] = []
        for group in self:
            row = self.rows[group["names"][0]]
            own = float(row.tuned[of]) / tuned if tuned else 1.0
            numbers.append(given * own * float(row.factor[of]))
        return numbers

    def retune(self, optimizer: Optimizer, *, lr: float | None = None, weight_decay: float | None = None) -> None:
        """Sets another tuned rate or decay in an optimizer of these groups, such as one that was loaded to go on.

        Each group gets as much of it as before. A scheduler is made after it, or gets `base_lrs` of `groups.per_group`.
        Raises `ScaleRulesError` for an optimizer of other groups, before anything is changed.
        """
        if not hasattr(optimizer, "param_groups"):
            hint = "groups.optimizer(torch.optim.AdamW)"
            raise ScaleRulesError(f"is {kind_of(optimizer)}, not an optimizer", where="the optimizer", hint=hint)
        new = {key: value for key, value in (("lr", lr), ("weight_decay", weight_decay)) if value is not None}
        numbers = {key: self.per_group(value, key) for key, value in new.items()}
        if len(optimizer.param_groups) != len(self):
            what = f"has {len(optimizer.param_groups)} groups, and there are {len(self)} here"
            raise ScaleRulesError(what, where="the optimizer", hint="make it by groups.optimizer(...)")
        for key, values in numbers.items():
            for group, number_of in zip(optimizer.param_groups, values, strict=True):
                is_tensor = hasattr(group[key], "fill_")
                group[key] = group[key].fill_(number_of) if is_tensor else number_of
                if key == "lr" and "initial_lr" in group:
                    group["initial_lr"] = number_of
            optimizer.defaults[key] = new[key]

    def optimizer(self, kind: Any, **options: Any) -> Optimizer:
        """The optimizer of class (or partial) `kind` that takes these groups; `options` are its arguments.

        Its `defaults["lr"]` is the tuned rate. Rules of Muon make it a `Pair`: `kind` takes the matrices, with the
        arguments `options=`, AdamW the rest, with `other_options=` (`others=` another class). Raises `ScaleRulesError`
        for a class that does with the numbers what they are not for, or does not have the arguments.
        """
        chosen, arguments = self.for_trainer(kind, **options)
        return chosen(**arguments)

    def for_trainer(self, kind: Any, **options: Any) -> tuple[type[Optimizer], dict[str, Any]]:
        """The class and its arguments, as `Trainer(optimizer_cls_and_kwargs=groups.for_trainer(AdamW))` takes them."""
        take = taken_by_pair if any(group.get("optimizer") == MUON for group in self) else taken
        chosen, arguments = take(Receiver.of(kind), options, self.made, list(self.rows.values()))
        return chosen, {"params": [dict(group) for group in self], **arguments}

    def to_dict(self) -> dict[str, Any]:
        """The groups as plain data, for what has no Python hooks: tuned numbers, factors, names of parameters."""
        return plain(self, self.rows, self.multipliers, self.placed, self.made)

    def to_json(self) -> str:
        """The groups as JSON text."""
        return json.dumps(self.to_dict(), indent=1) + "\n"

    def to_yaml(self) -> str:
        """The groups as YAML text, in which every number reads back as one."""
        return yaml_text(self.to_dict())

    def __str__(self) -> str:
        return written(self, self.rows, self.multipliers, self.placed, self.made)

    def __repr__(self) -> str:
        return f"<Groups: {len(self)} of {sum(len(group['params']) for group in self)} parameters>"


def _renamed(name: str, names: Mapping[str, str]) -> str:
    for pattern, whole in names.items():
        if fits(name, pattern):
            start, star, _ = pattern.partition("*")
            return whole.replace("*", name.removeprefix(start), 1) if star else whole
    return name


def groups_of(rows: Mapping[str, Row], matched: Matched) -> list[Group]:
    """One group per distinct rate, epsilon and decay (and mesh, where sharded); matrices of Muon first."""
    groups: dict[tuple[Any, ...], Group] = {}
    for name, row in rows.items():
        parameter = matched[name].parameter
        key = (row.key, id(mesh_of(parameter)))
        if key not in groups:
            group: Group = {"params": [], "names": [], **row.numbers}
            if row.kind is not None:
                group |= {"optimizer": row.kind, "use_muon": row.kind == MUON}  # the word of other packages
            if row.parts:
                group["parts"] = row.parts
            groups[key] = group
        groups[key]["params"].append(parameter)
        groups[key]["names"].append(name)
    return sorted(groups.values(), key=lambda group: group.get("optimizer") == ENTRYWISE)
