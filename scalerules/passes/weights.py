"""Weights that are computed before data meets them: products of matrices, gains, views, norms, networks that make them.

Such a node is no value but a weight: what reads it is linear in it, so its own size is a gauge.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from itertools import product

from scalerules.ops.arrange import Power
from scalerules.ops.elementwise import Elementwise
from scalerules.ops.normalise import Norm
from scalerules.ops.registry import law_of
from scalerules.ops.site import Site


def weights_of(sites: Sequence[Site], matrices: Collection[str], homogeneous: bool = True) -> frozenset[str]:
    """The keys of the sites without data that are only ever read as matrices, by maps that are homogeneous in them.

    Not only by those with `homogeneous` False: a weight in the making has a size, and no data yet. `matrices`: the keys
    of the parameters that are such; one of which data make rows or columns larger (styles, gates) is a weight still.
    """
    readers: dict[str, list[Site]] = {}
    free, made, whole = free_of(sites), set[str](), set(matrices)
    alone = set[str]()
    for site in sites:
        for key in site.inputs:
            readers.setdefault(key, []).append(site)
        entrywise = _entrywise(site, whole, made)
        whole.update([site.key] if entrywise else [])
        made.update([site.key] if entrywise or site.key in free else [])
        alone.update([site.key] if site.key in free and (_of_norms(site, alone) or _number(site, alone)) else [])
    weights: set[str] = set()
    for site in reversed(sites):
        here = readers.get(site.key, []) if site.key in made else []
        taken = [
            _as_matrix(reader, site.key, made, weights, homogeneous)
            or (site.key in alone and reader.key not in made and reader.node.op == "einsum")
            for reader in here
        ]
        sized = [reader for reader, matrix in zip(here, taken, strict=True) if not matrix]
        if any(taken) and all(reader.key in made and _sized(reader) for reader in sized):
            weights.add(site.key)
    return frozenset(weights)


def _of_norms(site: Site, normed: Collection[str]) -> bool:
    """Whether a norm along a growing axis gives the size of a value, views and fixed factors behind it or not."""
    if degree_of(site.op) == 0:
        return bool(site.result)
    carried = len(site.operands) == 1 and (law_of(site.op).passes or (site.op == "scale" and not site.node.free))
    return carried and all(key in normed for key in site.operands)


def free_of(sites: Sequence[Site]) -> frozenset[str]:
    """The keys of the sites without data. What is fixed once (the start of a power iteration) has no samples."""
    free = set[str]()
    for site in sites:
        samples = site.op == "input" and len(site.node.axes or ()) > len(site.result)
        if not samples and free.issuperset(site.inputs):
            free.add(site.key)
    return frozenset(free)


def inner_numbers(sites: Sequence[Site]) -> frozenset[str]:
    """The keys of the sites without data and without a growing axis that only sites without data read.

    Such a number (the norm of one row) stands in a weight in the making: data meet what is made of it.
    """
    free = free_of(sites)
    met = {key for site in sites if site.key not in free for key in site.inputs}
    return frozenset(site.key for site in sites if site.key in free - met and not site.result)


def _number(site: Site, numbers: Collection[str]) -> bool:
    """Whether a value is a sum over all growing axes of what weights make (a norm, a trace), or made of such a one."""
    if site.result:
        return False
    summed = law_of(site.op).multilinear and any(site.labels)
    return summed or bool(site.operands) and all(key in numbers for key in site.operands)


def _entrywise(site: Site, matrices: set[str], made: set[str]) -> bool:
    """Whether a site makes a matrix of one, entry by entry: multiplied along some of its axes, or of weights alone."""
    if not law_of(site.op).multilinear:
        return any(key in matrices for key in site.operands) and made.issuperset(site.inputs)
    whole = [{*labels} == {*site.result} for labels in site.labels]
    inside = all({*labels} <= {*site.result} for labels in site.labels)
    return inside and whole.count(True) == 1 and site.operands[whole.index(True)] in matrices


def _as_matrix(reader: Site, key: str, made: Collection[str], weights: Collection[str], homogeneous: bool) -> bool:
    """Whether a reader takes a value as a matrix, keeping one axis and summing over another, or as a part of one.

    An axis that does not grow and that other values have too (heads of a query and its keys) is none that it brings.
    What only parameters multiply is one where all growing axes of the product are its own; else it is what they read.
    """
    if reader.key in made:
        return reader.key in weights and (not homogeneous or degree_of(reader.op) is not None)
    if reader.node.op != "einsum" or not reader.node.equation or _read_by_parameters(reader, key):
        return False
    operands, result = reader.node.labels()
    grown = {label.partition("|")[2] for labels in reader.labels for label in labels}
    places = [k for k, source in enumerate(reader.inputs) if source == key]
    elsewhere = {k: {word for i, words in enumerate(operands) if i != k for word in words} - grown for k in places}
    return all({*operands[k]} & {*result} - elsewhere[k] and {*operands[k]} - {*result} for k in places)


def _read_by_parameters(reader: Site, key: str) -> bool:
    """Whether parameters alone multiply a value, and bring a growing axis or leave none."""
    own = {x for source, row in zip(reader.operands, reader.labels, strict=True) if source == key for x in row}
    return {*reader.inputs} == {key} and not (reader.result and own.issuperset(reader.result))


def _sized(reader: Site) -> bool:
    """Whether a reader asks how large a weight is, entry by entry: what divides data by the length of its rows does."""
    law = law_of(reader.op)
    return not (law.linear or law.multilinear or law.passes) and degree_of(reader.op) not in (None, Fraction(0))


def twins_of(sites: Sequence[Site], matrices: Mapping[str, str]) -> frozenset[frozenset[str]]:
    """The names of matrices that nothing else reads and of which only the product has an effect, set by set.

    `matrices`: names by key. They multiply each other before data meet them, or the same entries of a value.
    """
    uses = Counter(key for site in sites for key in site.parameters)
    of: dict[str, list[frozenset[str]]] = {}
    found: set[frozenset[str]] = set()
    for site in sites:
        law, own = law_of(site.op), [k for k in site.parameters if uses[k] == 1 and k in matrices]
        before = [of.get(key, [frozenset[str]()]) for key in site.inputs]
        if law.multilinear:
            groups = [frozenset(own).union(*parts) for parts in product(*before)]
        elif law.linear or law.passes or site.op == "add":
            groups = [*(group for part in before for group in part), *(frozenset([key]) for key in own)]
        else:
            groups = [frozenset[str]()]  # of what a function makes nothing can be had at the cost of what it meets
        if site.makes:
            of[site.key] = groups
        found.update(groups if site.makes or law.multilinear else ())
    named = {frozenset(matrices[key] for key in group) for group in found}
    return frozenset(group for group in named if len(group) > 1 and not any(group < other for other in named))


def woven_in(sites: Sequence[Site], weights: frozenset[str]) -> frozenset[str]:
    """The keys of the parameters that make weights, or meet data together with another matrix."""
    together = (
        site for site in sites
        if site.makes or (law_of(site.op).multilinear and (len(site.parameters) > 1 or weights & {*site.inputs}))
    )  # fmt: skip
    return frozenset(key for site in together for key in site.parameters)


def bent(sites: Sequence[Site]) -> frozenset[str]:
    """The keys of what functions that have a size of their own read, and, of parameters, of the functions.

    None of it is larger than the function is curved.
    """
    curved = [site for site in sites if degree_of(site.op) is None]
    return frozenset(key for site in curved for key in (*site.inputs, *(site.key for _ in site.parameters)))


def without_size(sites: Sequence[Site], weights: Collection[str]) -> frozenset[str]:
    """The keys of the parameters whose initial size changes nothing, and of those that make nothing but such a value.

    `weights`: the keys of the sites that make weights. A direction is one, its norm in one operation or written out.
    """
    made = free_of(sites).union(weights)
    here = [site for site in sites if site.key in made]
    if all(degree is None or degree > 0 for degree in (degree_of(site.op) for site in here)):
        return frozenset()
    before: set[str] = set()
    for site in reversed(here):
        if site.key in before or _of_degree_0(site.key, sites, made):
            before.update((site.key, *site.inputs))
    seen = {key for site in sites if site.key not in before for key in site.parameters}
    keys = dict.fromkeys(key for site in here for key in site.parameters)
    return frozenset(key for key in keys if key not in seen or _of_degree_0(key, sites, made))


def _of_degree_0(source: str, sites: Sequence[Site], made: Collection[str]) -> bool:
    """Whether all products of weights, and of data with weights, are of degree 0 in a parameter or what is made."""
    found: dict[str, Fraction | None] = {source: Fraction(1)}
    ends, passed = set[str](), set[str]()
    for site in sites:
        here = [key for key in site.operands if key in found]
        if here and (site.key in made or law_of(site.op).multilinear or law_of(site.op).passes):
            found[site.key] = _degree(site, [found.get(key, Fraction(0)) for key in site.operands])
            passed.update(here)
        else:
            ends.update(here)
    return bool(passed) and not any(found[key] is None or found[key] for key in ends.union(found) - (passed - ends))


def _degree(site: Site, operands: Sequence[Fraction | None]) -> Fraction | None:
    """The degree of a site from those of what it reads; None where no power says it."""
    known, own = [degree for degree in operands if degree is not None], degree_of(site.op)
    if own is None or len(known) < len(operands):
        return None
    if law_of(site.op).multilinear:
        return sum(known, Fraction(0))
    return own * known[0] if len(set(known)) == 1 else None


def degree_of(op: str) -> Fraction | None:
    """The power with which a factor in front of an operation is one behind it; None where it is none."""
    laws = law_of(op).laws
    if isinstance(laws, Norm):
        return Fraction(0)
    if isinstance(laws, Power):
        return laws.power
    if isinstance(laws, Elementwise):
        return None if laws.shape.degree is None else Fraction(laws.shape.degree)
    return Fraction(1) if law_of(op).linear or law_of(op).multilinear else None
