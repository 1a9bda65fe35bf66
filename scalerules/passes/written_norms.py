"""Norms that are written out: a value over the root of its own mean square is that norm, and has its law.

Where it has moved along its start, what it is divided by has, too. As three operations the quotient is taken where it
was: behind a value that starts small (a neck) it would be asked to start as large as it gets.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from scalerules.ops.registry import law_of
from scalerules.ops.site import Site


def with_norms(sites: Sequence[Site], outputs: Collection[str]) -> list[Site]:
    """The sites, of which products of a value of data with the inverse root of its mean square are norms of it.

    What only made the root is no operation any more.
    """
    by_key, data, found = {site.key: site for site in sites}, set[str](), list[Site]()
    for site in sites:
        data.update([site.key] if site.op == "input" or data.intersection(site.inputs) else [])
        found.append((_normed(site, by_key) if site.key in data else None) or site)
    before = {key for old, new in zip(sites, found, strict=True) if old is not new for key in old.inputs}
    read, kept = {*outputs}, list[Site]()
    for site in reversed(found):
        if site.key in read or site.key not in before:
            kept.append(site)
            read.update(site.inputs)
        else:
            before.update(site.inputs)
    return kept[::-1]


def _normed(site: Site, sites: Mapping[str, Site]) -> Site | None:
    """The norm that a product is, if it is one."""
    if not law_of(site.op).multilinear or len(site.inputs) != 2 or site.parameters:
        return None
    for k, key in enumerate(site.inputs):
        axis = _root_of(site.inputs[1 - k], key, sites)
        if axis is not None and site.labels[k] == site.result:
            node = site.node.model_copy(
                update={"op": "rms_norm", "inputs": [sites[key].name], "equation": None, "axis": axis}
            )
            return replace(site, op="rms_norm", node=node, inputs=(key,), labels=(site.labels[k],))
    return None


def _root_of(key: str, value: str, sites: Mapping[str, Site]) -> str | None:
    """The axis along which a value is averaged, where `key` is the inverse root of its mean square."""
    chain = [_made(key, sites)]
    for op in ("rsqrt", "mean"):
        if chain[-1].op != op:
            return None
        chain.append(_made(chain[-1].inputs[0], sites))
    square = chain[-1]
    same = square.op == "square" and _made(square.inputs[0], sites).key == _made(value, sites).key
    return chain[1].node.axis if same else None


def _made(key: str, sites: Mapping[str, Site]) -> Site:
    """The site behind identities."""
    site = sites[key]
    return _made(site.inputs[0], sites) if site.op == "identity" and site.inputs else site
