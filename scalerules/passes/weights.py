"""Weights that are computed before data meets them: products of matrices, gains, views, norms, networks that make them.

Such a node is no value but a weight: what reads it is linear in it, so its own size is a gauge.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product

from scalerules.ops.elementwise import Elementwise
from scalerules.ops.normalise import Norm
from scalerules.ops.registry import law_of
from scalerules.ops.site import Site


def weights_of(sites: Sequence[Site], homogeneous: bool = True) -> frozenset[str]:
    """The keys of the sites without data that are only ever read as matrices, by maps that are homogeneous in them.

    Not only by those with `homogeneous` False: a weight in the making has a size, and no data yet.
    """
    readers: dict[str, list[Site]] = {}
    free: set[str] = set()
    for site in sites:
        for key in site.inputs:
            readers.setdefault(key, []).append(site)
        if site.op != "input" and all(key in free for key in site.inputs):
            free.add(site.key)
    weights: set[str] = set()
    for site in reversed(sites):
        here = readers.get(site.key, []) if site.key in free else []
        if here and all(_as_matrix(reader, site.key, free, weights, homogeneous) for reader in here):
            weights.add(site.key)
    return frozenset(weights)


def _as_matrix(reader: Site, key: str, free: set[str], weights: set[str], homogeneous: bool) -> bool:
    """Whether a reader takes a value as a matrix, keeping one axis and summing over another, or as a part of one."""
    if reader.key in free:
        return reader.key in weights and (not homogeneous or _homogeneous(reader.op))
    if reader.node.op != "einsum" or not reader.node.equation:
        return False
    operands, result = reader.node.labels()
    here = [set(operands[k]) for k, source in enumerate(reader.inputs) if source == key]
    return all(words & set(result) and words - set(result) for words in here)


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
            groups = []
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


def bends(site: Site) -> bool:
    """Whether a function that has a size of its own reads parameters: they are no larger than it is curved."""
    return bool(site.parameters) and not _homogeneous(site.op)


def _homogeneous(op: str) -> bool:
    """Whether a factor in front of an operation is one behind it, or none."""
    law = law_of(op)
    function = isinstance(law.laws, Elementwise) and law.laws.shape.homogeneous
    return law.linear or law.multilinear or isinstance(law.laws, Norm) or function
