"""The sites of a graph in order, and what depth allows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from scalerules.ops.site import Held, Site
from scalerules.terms.pieces import axis_name

from .judged import behind_layers, behind_products, beside_norms, beside_sizes, opened_products


@dataclass(frozen=True)
class Plan:
    """The sites in order, the parameters by key, and the keys of the outputs.

    `weights`: keys of the sites without data that are weights. `idle`: free factors that are no freedom, each with the
    names of the parameters that stand in front of it alone. `picked`: keys of the outputs of which the loss picks one
    entry along their last label, and of what makes them entry by entry. `twins`: the names of matrices of which only
    the product has an effect. `unseen`: keys of parameters whose initial size changes nothing. `exponents`: keys of the
    sites that only exponentials read.
    """

    sites: tuple[Site, ...]
    parameters: Mapping[str, Held]
    outputs: tuple[str, ...]
    weights: frozenset[str] = frozenset()
    idle: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    picked: frozenset[str] = frozenset()
    twins: frozenset[frozenset[str]] = frozenset()
    unseen: frozenset[str] = frozenset()
    exponents: frozenset[str] = frozenset()

    @cached_property
    def _inner(self) -> frozenset[str]:
        """The growing axes of parameters, without depth unless it is the only one; any other one counts data."""
        depths = {held.depth for held in self.parameters.values()}
        axes = {axis_name(axis) for held in self.parameters.values() for axis in held.axes}
        return frozenset(axes - depths or axes)

    @cached_property
    def biases(self) -> frozenset[str]:
        """Keys of the parameters that are only added to values."""
        other = {key for site in self.sites if site.op != "add" or not site.inputs for key in site.parameters}
        return frozenset(self.parameters.keys() - other)

    @cached_property
    def behind_products(self) -> Plan:
        """The plan in which values that only products with other values read contribute behind these."""
        return replace(self, sites=behind_products(self.sites))

    @cached_property
    def behind_layers(self) -> Plan:
        """The plan in which values that only layers read contribute behind these."""
        return replace(self, sites=behind_layers(self.sites))

    @cached_property
    def beside_norms(self) -> Plan:
        """The plan in which values that norms alone read contribute beside their size."""
        return replace(self, sites=beside_norms(self.sites))

    def opened(self, names: Collection[str]) -> Plan:
        """The plan in which values that only products read, and these parameters make, are judged behind them."""
        return replace(self, sites=opened_products(self.sites, self._keys(names)))

    def beside_sizes(self, names: Collection[str]) -> Plan:
        """The plan in which values that these parameters make contribute beside their size, where that is a gauge."""
        return replace(self, sites=beside_sizes(self.sites, self._keys(names), self.outputs))

    def _keys(self, names: Collection[str]) -> frozenset[str]:
        """The keys of parameters."""
        return frozenset(key for key, held in self.parameters.items() if held.name in names)

    def hidden(self, site: Site) -> bool:
        """Whether the value has a growing axis in every block (logits, router scores and the like have none)."""
        return any(axis_name(label) in self._inner for label in site.result)


def depth_allowance(plan: Plan) -> dict[str, tuple[Site, Site | None]]:
    """For every parameter of a growing repeat: the residual that sums its contributions over depth, and its multiplier.

    A contribution that is as small as the sum over depth is long still moves the stream, and is not asked to be larger.
    """
    sites = {site.key: site for site in plan.sites}
    found: dict[str, tuple[Site, Site | None]] = {}
    for join in (site for site in plan.sites if site.joins):
        branch = sites[join.inputs[1]]
        multiplier = branch if branch.op == "scale" else None
        queue = [branch]
        while queue:
            site = queue.pop()
            if f"{join.joins}" not in {axis_name(label) for label in site.result}:
                continue
            for key in site.parameters:
                found.setdefault(plan.parameters[key].name, (join, multiplier))
            queue += [sites[key] for key in site.inputs]
    return found
