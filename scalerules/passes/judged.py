"""At which sites a size has to be stable."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from scalerules.ops.registry import law_of
from scalerules.ops.site import Held, Site

from .maps import JOINING, SUMS, Maps
from .weights import degree_of, free_of


def judged_sites(
    sites: list[Site], outputs: Collection[str], gains: Collection[str] = (), fixed: Collection[str] = (),
    made: Collection[str] = (),
) -> list[Site]:  # fmt: skip
    """The sites, of which a value that is read only through a multiplier is judged behind it.

    A free multiplier behind a parameter of its own is no freedom: the value in front of it is judged too. What reaches
    the outputs only through sums and weights that are read elsewhere too (a derivative, on its way back) is judged
    there: its size has to make up for those weights, which have theirs already. A value without data whose size norms
    and fixed factors give is asked for contributions where it meets data, beside what stands there. What a
    function with a size of its own makes of a parameter is judged where it is made: no factor makes up for that.
    `gains`: keys of parameters whose initial entries are a fixed factor that depends on a size; `fixed`: of those whose
    initial size is not open; `made`: keys of the sites that make weights.
    """
    maps = Maps(sites, gains, fixed, made)
    back = maps.on_the_way_back(outputs)
    behind = {site.key for site in sites if site.key in back or (maps.open(site) and not _bends_parameters(site))}
    normed: set[str] = set()
    for site in sites:
        normed.update([site.key] if degree_of(site.op) == 0 or normed.intersection(site.inputs) else [])
    alone = {site.key for site in sites if maps.given(site)} & normed & free_of(sites)
    return [
        replace(
            site,
            given=bool(maps.given(site)),
            judged=site.judged and site.key not in behind,
            asked=site.asked and site.key not in alone,
            carries=site.carries or site.key in behind or site.key in alone,
        )
        for site in sites
    ]


def _bends_parameters(site: Site) -> bool:
    """Whether a site is a function with a size of its own of a parameter: no factor behind it is a gauge of that."""
    return bool(site.parameters) and not site.inputs and degree_of(site.op) is None


def behind_products(sites: Sequence[Site]) -> tuple[Site, ...]:
    """The sites, of which values that only products with other values read are asked for contributions behind these.

    A product is linear in each of its values: where one is smaller, the other may contribute more. Nor is it asked at a
    product whose own size no other operation sees, since the layers or norms that read it take that up.
    """
    maps, behind = Maps(sites), set[str]()
    for site in sites:
        if maps.multiplied(site) or (behind.intersection(site.inputs) and maps.unseen(site)):
            behind.add(site.key)
    return tuple(replace(site, asked=False, carries=True) if site.key in behind else site for site in sites)


def behind_layers(sites: Sequence[Site]) -> tuple[Site, ...]:
    """The sites, of which values that only products and layers whose initial size is open read are asked behind these.

    A layer is linear in what it reads: where that is smaller, the layer may be larger, and what else reads its matrix.
    """
    maps, found, carrying = Maps(sites), list[Site](), set[str]()
    for site in sites:
        asked = site.asked and (site.parameters or carrying.intersection(site.inputs))
        found.append(replace(site, asked=False, carries=True) if asked and maps.layered(site) else site)
        carrying.update([site.key] if found[-1].carries else [])
    return tuple(found)


def beside_sizes(sites: Sequence[Site], parameters: Collection[str], outputs: Collection[str]) -> tuple[Site, ...]:
    """The sites, of which values in front of weights of a fixed size are asked for contributions beside their own size.

    Such weights (rows of one length) take nothing up, so these values may be smaller, and learn as others do, where
    only homogeneous operations read them. What only sums, views and factors read is asked for contributions there.
    `parameters`: keys of those that may be smaller; a value that others alone make is as it is, and has to count.
    """
    maps = Maps(sites, made={site.key for site in sites if site.makes})
    found, carrying, sized = list[Site](), set[str](), set[str]()
    front = _in_front(sites, maps, parameters).difference(outputs)
    for site in sites:
        inside = sized.intersection(site.inputs) if _carries_size(site, maps) else ()
        sized.update([site.key] if inside or set(parameters).intersection(site.parameters) else [])
        asked = site.judged and site.asked and (site.parameters or carrying.intersection(site.inputs))
        readers = maps.readers.get(site.key, [])
        if asked and site.key in sized & front and all(degree_of(reader.op) is not None for reader in readers):
            behind = all(r.op in SUMS or r.op == "scale" or law_of(r.op).passes for r in readers)
            site = replace(site, asked=not behind, carries=site.carries or behind, beside=not behind)
        found.append(site)
        carrying.update([site.key] if site.carries and not (site.asked and site.judged) else [])
    return tuple(found)


def beside_norms(sites: Sequence[Site]) -> tuple[Site, ...]:
    """The sites, of which values that norms alone read are asked for contributions beside their own size.

    Nothing else sees how large they are: a matrix that is read elsewhere too need not be larger for them.
    """
    maps, found = Maps(sites), list[Site]()
    for site in sites:
        asked = site.judged and site.asked and not site.makes
        found.append(replace(site, beside=site.beside or (asked and maps.normed(site))))
    return tuple(found)


def _carries_size(site: Site, maps: Maps) -> bool:
    """Whether a site is as large as what it reads is: sums, views, functions and gains, and products of values."""
    alone = len(site.inputs) == 1 and bool(degree_of(site.op))
    values = [key for key in site.inputs if key not in maps.made]
    return alone or site.op in (*SUMS, *JOINING) or (law_of(site.op).multilinear and len(values) > 1)


def _in_front(sites: Sequence[Site], maps: Maps, parameters: Collection[str]) -> set[str]:
    """The keys of what is multiplied with weights whose size norms give, sums, functions and products in between."""
    front = set[str]()
    for site in reversed(sites):
        fixed = not law_of(site.op).multilinear or not set(parameters).intersection(site.parameters)
        if fixed and (maps.by_normed(site) or (site.key in front and _carries_size(site, maps))):
            front.update(site.inputs)
    return front


def opened_products(sites: Sequence[Site], parameters: Collection[str]) -> tuple[Site, ...]:
    """The sites, of which values that only products read are judged behind these where `parameters` contribute to them.

    A product is as large as it is whichever of its values is: one of fixed length beside one that grows, behind one
    factor, is made of larger values.
    """
    maps, opened, makers = Maps(sites), set[str](), set(parameters)
    for site in sites:
        made = opened.intersection(site.inputs) or makers.intersection(site.parameters)
        if made and maps.multiplied(site) and not _bends_parameters(site):
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
    maps, found, free = Maps(sites), dict[str, frozenset[str]](), free_of(sites)
    keys = {key for key, held in parameters.items() if held.name in solved_for}
    for site in sites:
        alone = maps.alone(site, keys, free) if site.node.free and site.op == "scale" else ()
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
