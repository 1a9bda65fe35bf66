"""What reads each value and each parameter, and what that says of where a size is a gauge."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cached_property

from scalerules.ops.registry import law_of
from scalerules.ops.site import Site

from .unit_vectors import between_units
from .weights import degree_of

JOINING = ("add", "concat")
"""Operations that put values together, each as large as it is."""
SUMS = ("add", "residual")
"""Operations that add values up."""


def own_parameters(site: Site) -> list[str]:
    """The keys of the parameters that the node itself reads, not those that a weight which it reads is made of."""
    copy = site.key[len(site.name) :]
    own = {f"@{name}{copy}" for name in site.node.parameters}
    return [key for key in site.parameters if key in own]


class Maps:
    """What reads each site and each parameter."""

    def __init__(
        self, sites: Sequence[Site], gains: Collection[str] = (), fixed: Collection[str] = (),
        made: Collection[str] = (),
    ) -> None:  # fmt: skip
        self.gains, self.fixed, self.made = gains, fixed, made
        self.readers: dict[str, list[Site]] = {}
        self.uses: dict[str, list[Site]] = {}
        self.sites = {site.key: site for site in sites}
        for site in sites:
            for key in site.inputs:
                self.readers.setdefault(key, []).append(site)
            for key in site.parameters:
                self.uses.setdefault(key, []).append(site)

    def open(self, site: Site) -> bool:
        """Whether a value is judged behind what reads it."""
        if self._gauge(site) or self._as_norms_make_it(site) or between_units(site, self.sites, self.readers):
            return True
        factors = self._factors(site)
        if factors is None or self._made_up_for(site, factors) or all(self._gauge(factor) for factor, _ in factors):
            return False
        if not any(factor.node.free for factor, _ in factors) or self._tied(site):
            return True
        own = own_parameters(site)
        return not own or not (any(joined for _, joined in factors) or not all(map(self._shared, own)))

    def given(self, site: Site) -> bool | None:
        """Whether fixed factors stand between a value and the norms that give its size; None where others give it."""
        return self._given[site.key]

    @cached_property
    def _given(self) -> dict[str, bool | None]:
        """The same of all sites by key, in order: by itself each would ask all that is in front of it, path by path."""
        found: dict[str, bool | None] = {}
        for site in self.sites.values():
            found[site.key] = self._given_by(site, [found[key] for key in site.inputs])
        return found

    def _given_by(self, site: Site, parts: Sequence[bool | None]) -> bool | None:
        """The same of a site from what is so of what it reads."""
        if degree_of(site.op) == 0:
            return False
        own, law = site.op == "scale" and not site.node.free, law_of(site.op)
        entrywise = law.multilinear and all(set(labels) <= set(site.result) for labels in site.labels)
        alone = len(site.operands) == 1 and (own or law.passes or law.kind == "function")
        tokens = [self.sites[key].node.kind == "tokens" for key in site.inputs]
        parts = [part for part, picks in zip(parts, tokens, strict=True) if not picks]
        looked_up = law.multilinear and any(tokens) and bool(parts)
        kept = site.operands and (alone or entrywise or looked_up or site.op in JOINING)
        if not kept or None in parts or not set(site.parameters) <= set(self.fixed):
            return None
        return own or any(parts) or any(key in self.gains for key in site.parameters)

    def _as_norms_make_it(self, site: Site) -> bool:
        """Whether only norms, and more products like it, read a product with weights whose size a norm gives.

        No size of it can be asked for: nothing there is open. Views and fixed factors in between change nothing.
        """
        if self._carried(site) and site.inputs:
            return self._as_norms_make_it(self.sites[site.inputs[0]])
        return self._by_normed(site) and self._only_norms_read(site.key)

    def _by_normed(self, site: Site) -> bool:
        """Whether a site multiplies data with weights whose size a norm gives, and with no parameter."""
        return not site.parameters and self.by_normed(site)

    def by_normed(self, site: Site) -> bool:
        """Whether a site multiplies data with weights whose size a norm gives, and with no other weights."""
        weights = [self.sites[key] for key in site.inputs if key in self.made]
        return bool(weights) and all(map(self._normed, weights))

    def _only_norms_read(self, key: str) -> bool:
        """Whether norms, and products with weights that norms give, alone read a value, views and factors between."""
        readers = self.readers.get(key, ())
        return bool(readers) and all(
            self._only_norms_read(r.key) if self._carried(r) else degree_of(r.op) == 0 or self._by_normed(r)
            for r in readers
        )

    @staticmethod
    def _carried(site: Site) -> bool:
        """Whether a value is a view or a fixed multiple of another one."""
        return len(site.operands) == 1 and (law_of(site.op).passes or (site.op == "scale" and not site.node.free))

    def _normed(self, site: Site) -> bool:
        """Whether a weight is what a norm gives, but for views and fixed factors."""
        seen = self._multiple(site) or (self.sites[site.inputs[0]] if law_of(site.op).passes and site.inputs else None)
        return degree_of(site.op) == 0 if seen is None or seen is site else self._normed(seen)

    def _made_up_for(self, site: Site, factors: Sequence[tuple[Site, bool]]) -> bool:
        """Whether a value of gains that start at one is read through factors by matrices alone.

        Its initial size cannot take a factor up, theirs can: the factor is the matrix's, as it would be behind it.
        """
        readers = [reader for factor, _ in factors for reader in self._behind(factor.key)]
        own = bool(site.parameters) and set(site.parameters) <= set(self.fixed)
        own = own and not any(map(self._bare_sum, site.inputs))
        return own and bool(readers) and all(self._opens(reader) for reader in readers)

    def _opens(self, site: Site) -> bool:
        """Whether a site multiplies one value with parameters of which the initial size of one is open.

        That of one that is read elsewhere too is where the same factors stand in front of all its readings.
        """
        known = {key for key in site.parameters if key in self.fixed or len(set(map(self._before, self.uses[key]))) > 1}
        return law_of(site.op).multilinear and len(site.inputs) == 1 and known != set(site.parameters)

    def _before(self, site: Site) -> tuple[str, ...]:
        """The fixed factors in front of a site, views and gains in between."""
        source = self.sites[site.inputs[0]] if len(site.inputs) == 1 else None
        scaled = source is not None and (source.op == "scale" or law_of(source.op).passes)
        if source is None or not (scaled or self._of_gains(source, self.fixed)):
            return ()
        own = (str(source.node.factor),) if source.op == "scale" and not source.node.free else ()
        return tuple(sorted((*own, *self._before(source))))

    def _gauge(self, site: Site) -> bool:
        """Whether only layers and products read a fixed factor of a value, or a value that a parameter of theirs makes.

        The layer behind a fixed factor takes it up, so it is the value in front that is judged, unless that is a sum of
        which the factor makes a mean; a matrix that is read twice in a row, views and fixed factors in between, has no
        factor to itself in between. No parameter makes what a norm gives larger: products with other values have its
        factor too.
        """
        if law_of(site.op).passes:
            return bool(site.inputs) and all(key in self.sites and self._gauge(self.sites[key]) for key in site.inputs)
        if multiple := self._multiple(site):
            layers = not any(map(self._bare_sum, site.inputs)) and self._taken_up(site, self._normed(multiple))
            return layers or self._between_its_own(multiple)
        return self._between_its_own(site)

    def _between_its_own(self, site: Site) -> bool:
        """Whether only layers with a parameter of the value read it, views and fixed factors in between."""
        readers = self._behind(site.key, self._carried) if law_of(site.op).multilinear else []
        return bool(readers) and all(
            law_of(reader.op).multilinear and set(site.parameters) & set(reader.parameters) for reader in readers
        )

    def _behind(self, key: str, through: Callable[[Site], bool] = lambda s: law_of(s.op).passes) -> list[Site]:
        """What reads a value, itself or through others: views, if nothing else is said."""
        readers = self.readers.get(key, ())
        return [site for r in readers for site in (self._behind(r.key, through) if through(r) else [r])]

    def _multiple(self, site: Site) -> Site | None:
        """What a value is a fixed factor of, gains that start at one on it or not; None where it is no such factor."""
        if (site.op == "scale" and not site.node.free) or self._gain(site):
            source = self._viewed(site.inputs[0]) if site.inputs else site
            return (self._multiple(source) if site.inputs else None) or source
        return self._multiple(self._viewed(site.inputs[0])) if self._of_gains(site, self.fixed) else None

    def _viewed(self, key: str) -> Site:
        """The site of which a value is a view, itself if it is none."""
        site = self.sites[key]
        view = law_of(site.op).passes and len(site.inputs) == len(site.operands) == 1
        return self._viewed(site.inputs[0]) if view else site

    def _taken_up(self, site: Site, products: bool) -> bool:
        """Whether only layers, or products with other values too, read a value, gains that start at one in between."""
        readers = self._behind(site.key)
        return bool(readers) and all(
            self._opens(reader)
            or (products and law_of(reader.op).multilinear and len(reader.inputs) > 1)
            or (products and self._of_gains(reader, self.fixed) and self._taken_up(reader, products))
            for reader in readers
        )

    def _bare_sum(self, key: str) -> bool:
        """Whether a value is a sum over a growing axis without a parameter of its own, that could make it smaller.

        Nor do fixed factors and gains that start at one: what they make of it is the mean, all of them together.
        """
        site = self.sites.get(key)
        if site is not None and (self._carried(site) or self._of_gains(site, self.fixed)):
            return self._bare_sum(site.inputs[0]) if site.inputs else False
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
        tied = all(map(self._shared, reader.parameters))
        return linear and tied and not reader.node.free and reader.inputs.count(site.key) == 1

    def _factors(self, site: Site, joined: bool = False) -> list[tuple[Site, bool]] | None:
        """The multipliers through which a value is read, and whether a sum lies between; None where it is read else."""
        found: list[tuple[Site, bool]] = []
        for reader in self.readers.get(site.key, ()):
            if reader.op == "scale" or self._gain(reader):
                found.append((reader, joined))
                continue
            joins = reader.op in JOINING
            passes = joins or law_of(reader.op).passes or self._of_gains(reader, self.fixed)
            behind = self._factors(reader, joined or joins) if passes else None
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

    def unseen(self, site: Site) -> bool:
        """Whether only norms and layers whose initial size is open read a value: its own is a matter of gauge."""
        readers = self._behind(site.key)
        return bool(readers) and all(degree_of(r.op) == 0 or self._opens(r) for r in readers)

    def normed(self, site: Site) -> bool:
        """Whether norms alone read a value, views in between."""
        readers = self._behind(site.key)
        return bool(readers) and all(degree_of(reader.op) == 0 for reader in readers)

    def layered(self, site: Site) -> bool:
        """Whether only layers whose initial size is open, and products with other values, read a value, no state."""
        readers = self._behind(site.key) if site.op != "recurrence" else ()
        return bool(readers) and all(
            self._opens(r) or (law_of(r.op).multilinear and len(r.inputs) > 1 and r.inputs.count(site.key) == 1)
            for r in readers
        )

    def alone(self, site: Site, solved_for: Collection[str], free: Collection[str]) -> frozenset[str]:
        """The parameters of which a value is linear in one, whatever they are; none where a part of it has none.

        A vector of weights alone (a learnt query, and what a layer makes of it) is a value itself, judged in front of
        the factor: it has none. `free`: the keys of the sites without data.
        """
        law, nothing = law_of(site.op), frozenset[str]()
        own = frozenset(key for key in site.parameters if not self._shared(key) and key in solved_for)
        if law.multilinear:
            return own if site.inputs and not any(key in free for key in site.inputs) else nothing
        if not law.passes and site.op not in ("scale", *JOINING):
            return nothing
        parts = [self._alone_for(key, solved_for, free) for key in site.inputs]
        return own.union(*parts) if all(parts) and len(own) == len(site.parameters) else nothing

    def _alone_for(self, key: str, solved_for: Collection[str], free: Collection[str]) -> frozenset[str]:
        """The same of a value that nothing else reads."""
        return self.alone(self.sites[key], solved_for, free) if len(self.readers[key]) == 1 else frozenset()

    def _gain(self, site: Site) -> bool:
        """Whether a site multiplies one value with gains that start at a fixed factor, and sums nothing."""
        return self._of_gains(site, self.gains)

    def _of_gains(self, site: Site, gains: Collection[str]) -> bool:
        """Whether a site multiplies one value with such gains alone, and sums nothing."""
        alone = law_of(site.op).multilinear and len(site.inputs) == 1 and set(site.parameters) <= set(gains)
        return alone and set(site.labels[0]) <= set(site.result)

    def _shared(self, parameter: str) -> bool:
        """Whether a parameter is read more than once."""
        return len(self.uses[parameter]) > 1

    def _tied(self, site: Site) -> bool:
        """Whether a parameter of the value, or of a sum that it is, is read elsewhere too."""
        inputs = site.inputs if site.op in JOINING else ()
        return any(map(self._shared, site.parameters)) or any(
            key in self.sites and self._tied(self.sites[key]) for key in inputs
        )
