"""At which sites a size has to be stable."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from scalerules.ops.registry import law_of
from scalerules.ops.site import Held, Site

JOINING = ("add", "concat")
"""Operations that put values together, each as large as it is."""


def judged_sites(
    sites: list[Site], outputs: Collection[str], gains: Collection[str] = (), fixed: Collection[str] = ()
) -> list[Site]:
    """The sites, of which a value that is read only through a multiplier is judged behind it.

    A free multiplier behind a parameter of its own is no freedom: the value in front of it is judged too. What reaches
    the outputs only through sums and weights that are read elsewhere too (a derivative, on its way back) is judged
    there: its size has to make up for those weights, which have theirs already. `gains`: keys of parameters whose
    initial entries are a fixed factor that depends on a size; `fixed`: of those whose initial size is not open.
    """
    maps = _Maps(sites, gains, fixed)
    back = maps.on_the_way_back(outputs)
    return [
        replace(site, judged=False, carries=True) if site.key in back or maps.open(site) else site for site in sites
    ]


def behind_products(sites: Sequence[Site]) -> tuple[Site, ...]:
    """The sites, of which values that only products with other values read are asked for contributions behind these.

    A product is linear in each of its values: where one is smaller, the other may contribute more.
    """
    maps = _Maps(sites)
    return tuple(replace(site, asked=False, carries=True) if maps.multiplied(site) else site for site in sites)


def opened_products(sites: Sequence[Site], parameters: Collection[str]) -> tuple[Site, ...]:
    """The sites, of which values that only products read are judged behind these where `parameters` contribute to them.

    A product is as large as it is whichever of its values is: one of fixed length beside one that grows, behind one
    factor, is made of larger values.
    """
    maps, opened, makers = _Maps(sites), set[str](), set(parameters)
    for site in sites:
        if (opened.intersection(site.inputs) or makers.intersection(site.parameters)) and maps.multiplied(site):
            opened.add(site.key)
    return tuple(
        replace(site, judged=False, asked=False, carries=True) if site.key in opened else site for site in sites
    )


def idle_factors(
    sites: list[Site], parameters: Mapping[str, Held], solved_for: Collection[str]
) -> dict[str, frozenset[str]]:
    """The free multipliers that are no freedom, each with the parameters that stand in front of it alone.

    `solved_for`: the names of the parameters whose initial size, or whose rate where they start at zero, is open.
    """
    maps, found = _Maps(sites), dict[str, frozenset[str]]()
    keys = {key for key, held in parameters.items() if held.name in solved_for}
    for site in sites:
        alone = maps.alone(site, keys) if site.node.free and site.op == "scale" else ()
        if alone:
            found[site.name] = frozenset(parameters[key].name for key in alone)
    return found


def picked_sites(sites: list[Site], outputs: Collection[str]) -> frozenset[str]:
    """The keys of these outputs, and of what makes them entry by entry along their last label."""
    found = set(outputs)
    for site in reversed(sites):
        if site.key in found and law_of(site.op).kind in ("sum", "factor", "function"):
            found.update(key for key, labels in zip(site.inputs, site.labels, strict=False)
                         if labels[-1:] == site.result[-1:])  # fmt: skip
    return frozenset(found)


class _Maps:
    """What reads each site, and how often each parameter is read."""

    def __init__(self, sites: Sequence[Site], gains: Collection[str] = (), fixed: Collection[str] = ()) -> None:
        self.gains, self.fixed = gains, fixed
        self.readers: dict[str, list[Site]] = {}
        self.uses: dict[str, int] = {}
        self.sites = {site.key: site for site in sites}
        for site in sites:
            for key in site.inputs:
                self.readers.setdefault(key, []).append(site)
            for key in site.parameters:
                self.uses[key] = self.uses.get(key, 0) + 1

    def open(self, site: Site) -> bool:
        """Whether a value is judged behind what reads it."""
        if self._gauge(site):
            return True
        factors = self._factors(site)
        if factors is None or self._made_up_for(site, factors) or all(self._gauge(factor) for factor, _ in factors):
            return False
        if not any(factor.node.free for factor, _ in factors) or self._tied(site):
            return True
        if not site.parameters:
            return True
        return not any(joined for _, joined in factors) and not any(self.uses[key] == 1 for key in site.parameters)

    def _made_up_for(self, site: Site, factors: Sequence[tuple[Site, bool]]) -> bool:
        """Whether a value of gains that start at one is read through factors by matrices alone.

        Its initial size cannot take a factor up, theirs can: the factor is the matrix's, as it would be behind it.
        """
        readers = [reader for factor, _ in factors for reader in self._behind(factor.key)]
        own = bool(site.parameters) and set(site.parameters) <= set(self.fixed)
        return own and bool(readers) and all(self._opens(reader) for reader in readers)

    def _opens(self, site: Site) -> bool:
        """Whether a site multiplies one value with parameters of which the initial size of one is open."""
        known = {key for key in site.parameters if key in self.fixed or self.uses[key] > 1}
        return law_of(site.op).multilinear and len(site.inputs) == 1 and known != set(site.parameters)

    def _gauge(self, site: Site) -> bool:
        """Whether only layers read a value that is a fixed factor of another, or that a parameter of theirs makes.

        The layer behind a fixed factor takes it up, so it is the value in front that is judged, unless that is a sum of
        which the factor makes a mean; a matrix that is read twice in a row, views in between, has no factor to itself
        in between.
        """
        if law_of(site.op).passes:
            return bool(site.inputs) and all(key in self.sites and self._gauge(self.sites[key]) for key in site.inputs)
        readers = self._behind(site.key)
        fixed = (site.op == "scale" and not site.node.free) or self._gain(site)
        if fixed:
            return bool(readers) and not any(map(self._bare_sum, site.inputs)) and all(map(self._opens, readers))
        return (
            law_of(site.op).multilinear
            and bool(readers)
            and all(
                law_of(reader.op).multilinear and set(site.parameters) & set(reader.parameters) for reader in readers
            )
        )

    def _behind(self, key: str) -> list[Site]:
        """What reads a value, itself or through views."""
        readers = self.readers.get(key, ())
        return [site for r in readers for site in (self._behind(r.key) if law_of(r.op).passes else [r])]

    def _bare_sum(self, key: str) -> bool:
        """Whether a value is a sum over a growing axis without a parameter of its own, that could make it smaller."""
        site = self.sites.get(key)
        if site is None or site.parameters:
            return False
        if law_of(site.op).passes:
            return any(map(self._bare_sum, site.inputs))
        return law_of(site.op).multilinear and any(set(labels) - set(site.result) for labels in site.labels)

    def on_the_way_back(self, outputs: Collection[str]) -> set[str]:
        """The sites behind which there are only linear maps, by weights read elsewhere too, and the outputs."""
        back, straight = set[str](), set(outputs)
        for site in reversed(list(self.sites.values())):
            readers = self.readers.get(site.key, [])
            if site.key in outputs or not readers or not all(self._returns(site, reader) for reader in readers):
                continue
            if all(reader.key in straight for reader in readers):
                straight.add(site.key)
                if any(reader.key in back or reader.parameters for reader in readers):
                    back.add(site.key)
        return back

    def _returns(self, site: Site, reader: Site) -> bool:
        """Whether what reads a value is linear in it, and takes its size as it is."""
        law = law_of(reader.op)
        linear = law.multilinear or law.passes or reader.op in JOINING
        tied = all(self.uses[key] > 1 for key in reader.parameters)
        return linear and tied and not reader.node.free and reader.inputs.count(site.key) == 1

    def _factors(self, site: Site, joined: bool = False) -> list[tuple[Site, bool]] | None:
        """The multipliers through which a value is read, and whether a sum lies between; None where it is read else."""
        found: list[tuple[Site, bool]] = []
        for reader in self.readers.get(site.key, ()):
            if reader.op == "scale" or self._gain(reader):
                found.append((reader, joined))
                continue
            joins = reader.op in JOINING
            behind = self._factors(reader, joined or joins) if joins or law_of(reader.op).passes else None
            if not behind:
                return None
            found += behind
        return found or None

    def multiplied(self, site: Site) -> bool:
        """Whether a value is read only in products with other values, views and sums in between.

        A state is not: its next step reads it, too.
        """
        readers = self.readers.get(site.key, ()) if site.op != "recurrence" else ()
        return bool(readers) and all(
            law_of(reader.op).multilinear
            and len(reader.inputs) > 1
            and reader.inputs.count(site.key) == 1
            or (law_of(reader.op).passes or reader.op in JOINING)
            and self.multiplied(reader)
            for reader in readers
        )

    def alone(self, site: Site, solved_for: Collection[str]) -> frozenset[str]:
        """The parameters of which a value is linear in one, whatever they are; none where a part of it has none.

        A vector of weights alone (a learnt query) is a value itself, judged in front of the factor: it has none.
        """
        law, nothing = law_of(site.op), frozenset[str]()
        own = frozenset(key for key in site.parameters if self.uses[key] == 1 and key in solved_for)
        if law.multilinear:
            return own if site.inputs else nothing
        if not law.passes and site.op not in ("scale", *JOINING):
            return nothing
        parts = [self._alone_for(key, solved_for) for key in site.inputs]
        return own.union(*parts) if all(parts) and len(own) == len(site.parameters) else nothing

    def _alone_for(self, key: str, solved_for: Collection[str]) -> frozenset[str]:
        """The same of a value that nothing else reads."""
        return self.alone(self.sites[key], solved_for) if len(self.readers[key]) == 1 else frozenset()

    def _gain(self, site: Site) -> bool:
        """Whether a site multiplies one value with gains that start at a fixed factor, and sums nothing."""
        alone = law_of(site.op).multilinear and len(site.inputs) == 1 and set(site.parameters) <= set(self.gains)
        return alone and set(site.labels[0]) <= set(site.result)

    def _tied(self, site: Site) -> bool:
        """Whether a parameter of the value, or of a sum that it is, is read elsewhere too."""
        inputs = site.inputs if site.op in JOINING else ()
        return any(self.uses[key] > 1 for key in site.parameters) or any(
            key in self.sites and self._tied(self.sites[key]) for key in inputs
        )
