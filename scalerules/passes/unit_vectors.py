"""Values between two products with unit vectors of the data: what a state has along a key, on its way back into it.

`(S k) k^T` is no larger than `S`, however large `S k` is: along a unit vector there is at most all that it can turn to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scalerules.ops.registry import law_of
from scalerules.ops.site import Site


def between_units(site: Site, sites: Mapping[str, Site], readers: Mapping[str, Sequence[Site]]) -> bool:
    """Whether a value sums over a unit vector, and only products with unit vectors read it, factors in between."""
    if site.op == "scale" and site.inputs:
        return between_units(sites[site.inputs[0]], sites, readers)
    summed = any(set(labels) - set(site.result) for labels in site.labels)
    return summed and _by_unit(site, sites) and _read_by_units(site.key, sites, readers)


def _read_by_units(key: str, sites: Mapping[str, Site], readers: Mapping[str, Sequence[Site]]) -> bool:
    found = readers.get(key, ())
    return bool(found) and all(
        _read_by_units(reader.key, sites, readers)
        if reader.op == "scale" or law_of(reader.op).passes
        else _by_unit(reader, sites)
        for reader in found
    )


def _by_unit(site: Site, sites: Mapping[str, Site]) -> bool:
    """Whether a site is a product of values of which one is a unit vector."""
    product = law_of(site.op).multilinear and len(site.inputs) > 1 and not site.parameters
    return product and any(_unit(sites[key], sites) for key in site.inputs)


def _unit(site: Site, sites: Mapping[str, Site]) -> bool:
    """Whether a value is a unit vector, or one behind gates: what a norm gives over the root of its length."""
    before = [sites[key] for key in site.inputs]
    if law_of(site.op).passes:
        return bool(before) and _unit(before[0], sites)
    if site.op == "scale":
        varies = any(letter.isalpha() for letter in str(site.node.factor))
        return varies and not site.node.free and _direction(before[0], sites)
    entrywise = law_of(site.op).multilinear and all(set(labels) <= set(site.result) for labels in site.labels)
    return entrywise and not site.parameters and any(_unit(each, sites) for each in before)


def _direction(site: Site, sites: Mapping[str, Site]) -> bool:
    """Whether a norm gives a value, views in between."""
    if law_of(site.op).passes:
        return bool(site.inputs) and _direction(sites[site.inputs[0]], sites)
    return site.op in ("rms_norm", "layer_norm")
