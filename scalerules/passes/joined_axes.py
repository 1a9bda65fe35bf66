"""Products of values that were put together of parts, some of which grow and some of which do not.

Such a product is a sum over the parts: over one of fixed length nothing adds up, however long the others are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from scalerules.ops.registry import law_of
from scalerules.ops.site import Site


def parts_apart(sites: Sequence[Site], outputs: Collection[str]) -> list[Site]:
    """The sites, of which products that sum values over an axis of unlike parts are sums of products of the parts.

    All values that have the axis are put together alike. What all read in its parts is left out, but for outputs.
    """
    known = {site.key: site for site in sites}
    opened = [each for site in sites for each in _opened(site, known)]
    read = {key for site in opened for key in site.inputs}.union(outputs)
    gone = {key for site in sites for key in site.inputs} - read
    return [site for site in opened if site.key not in gone]


def _opened(site: Site, known: Mapping[str, Site]) -> Iterator[Site]:
    """The products of the parts, and what adds them up; else the site itself."""
    label = next((x for x in dict.fromkeys(sum(site.labels, ())) if _unlike(site, x, known)), None)
    if label is None:
        yield site
        return
    joins = [known[key] if label in labels else None for key, labels in zip(site.inputs, site.labels, strict=True)]
    count = next(len(join.inputs) for join in joins if join)
    keys: list[str] = []
    for k in range(count):
        name, copy = f"{site.name}.part{k}", site.key[len(site.name) :]
        inputs = tuple(join.inputs[k] if join else key for join, key in zip(joins, site.inputs, strict=True))
        grows = any(join and len(join.labels[k]) == len(join.result) for join in joins)
        labels = tuple(tuple(x for x in each if grows or x != label) for each in site.labels)
        keys.append(name + copy)
        yield replace(site, key=keys[-1], name=name, inputs=inputs, labels=labels)
    yield replace(site, op="add", inputs=tuple(keys), labels=(site.result,) * count)


def _unlike(site: Site, label: str, known: Mapping[str, Site]) -> bool:
    """Whether a product of values alone sums over this label parts of which some grow, the same parts of each value."""
    if site.parameters or label in site.result or not law_of(site.op).multilinear or len(site.inputs) < 2:
        return False
    parts: set[tuple[bool, ...]] = set()
    for key, labels in zip(site.inputs, site.labels, strict=True):
        if label in labels:
            join = known.get(key)
            place = labels.index(label)
            if join is None or join.op != "concat" or not _along(join, place):
                return False
            parts.add(tuple(len(part) == len(join.result) for part in join.labels))
    return len(parts) == 1 and len({grows for each in parts for grows in each}) == 2


def _along(join: Site, place: int) -> bool:
    """Whether values are put together along the axis at this place: the one that a part without growth lacks."""
    short = [part for part in join.labels if len(part) < len(join.result)]
    return all(len(part) == len(join.result) - 1 and part[:place] == join.result[:place] for part in short)
