"""Weights that are computed before data meet them: products of matrices, gains, views, norms of a matrix.

Such a node is no value but a weight: what reads it is linear in it, so its own size is a gauge. Products and views are
read through: the contraction that reads one reads its factors instead, and so knows which matrix stands where.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scalerules.ops.elementwise import Elementwise
from scalerules.ops.normalise import Norm
from scalerules.ops.registry import law_of
from scalerules.ops.site import Held, Site
from scalerules.terms.pieces import Labels, axis_name


@dataclass(frozen=True)
class _Factors:
    """A product of sites and parameters without data: what it reads, with which labels, and those of the result."""

    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    labels: tuple[Labels, ...]
    result: Labels


def weights_of(sites: Sequence[Site]) -> frozenset[str]:
    """The keys of the sites without data that are only ever read as matrices, by maps that are homogeneous in them."""
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
        if here and all(_as_matrix(reader, site.key, free, weights) for reader in here):
            weights.add(site.key)
    return frozenset(weights)


def _as_matrix(reader: Site, key: str, free: set[str], weights: set[str]) -> bool:
    """Whether a reader takes a value as a matrix, keeping one axis and summing over another, or as a part of one."""
    if reader.key in free:
        return reader.key in weights and _homogeneous(reader.op)
    if reader.node.op != "einsum" or not reader.node.equation:
        return False
    operands, result = reader.node.labels()
    here = [set(operands[k]) for k, source in enumerate(reader.inputs) if source == key]
    return all(words & set(result) and words - set(result) for words in here)


def _homogeneous(op: str) -> bool:
    """Whether a factor in front of an operation is one behind it, or none."""
    law = law_of(op)
    function = isinstance(law.laws, Elementwise) and law.laws.shape.homogeneous
    return law.linear or law.multilinear or isinstance(law.laws, Norm) or function


def through_weights(
    sites: Sequence[Site], parameters: Mapping[str, Held], weights: frozenset[str]
) -> tuple[list[Site], dict[str, Held]]:
    """The sites, of which those that read a product or a view without data read its factors, and the parameters."""
    found: dict[str, _Factors] = {}
    read: list[Site] = []
    held = dict(parameters)
    for site in sites:
        opened = _opened(site, found) if law_of(site.op).multilinear else site
        if site.key in weights and (factors := _factors(opened)) is not None:
            found[site.key] = factors
        elif opened is not site:
            held.update(_read_along(opened, held, weights))
        read.append(site if site.key in weights else opened)
    return read, held


def _factors(site: Site) -> _Factors | None:
    """A site as a product of what it reads, None where it is none."""
    if law_of(site.op).multilinear:
        return _Factors(site.inputs, site.parameters, site.labels, site.result)
    names = _names(site) if law_of(site.op).passes and len(site.operands) == 1 else None
    return None if names is None else _Factors(site.inputs, site.parameters, site.labels, names)


def _names(site: Site) -> Labels | None:
    """For each label of a view that of what it shows; None where axes that grow are copied, merged or split."""
    before, after = site.labels[0], site.result
    if site.node.equation is None or len(before) != len(after):
        return before if len(before) == len(after) else None
    left = {_word(label): label for label in before}
    names = [left.pop(_word(label), None) for label in after]
    if names.count(None) > 1:
        return None
    return tuple(name or next(iter(left.values())) for name in names)  # one that is merged with axes of fixed lengths


def _word(label: str) -> str:
    return label.partition("|")[2]


def _opened(site: Site, found: Mapping[str, _Factors]) -> Site:
    """A contraction with the factors of what it reads in its place."""
    if not any(key in found for key in site.inputs):
        return site
    inputs: list[tuple[str, Labels]] = []
    parameters: list[tuple[str, Labels]] = []
    for number, key in enumerate(site.inputs):
        if key not in found:
            inputs.append((key, site.labels[number]))
            continue
        factors = found[key]
        here = dict(zip(factors.result, site.labels[number], strict=True))
        labels = [tuple(here.get(label, f"{label}'{number}") for label in operand) for operand in factors.labels]
        count = len(factors.inputs)
        inputs += zip(factors.inputs, labels[:count], strict=True)
        parameters += zip(factors.parameters, labels[count:], strict=True)
    parameters = [*zip(site.parameters, site.labels[len(site.inputs) :], strict=True), *parameters]
    return replace(
        site,
        inputs=tuple(key for key, _ in inputs),
        parameters=tuple(key for key, _ in parameters),
        labels=tuple(labels for _, labels in (*inputs, *parameters)),
    )


def _read_along(site: Site, parameters: Mapping[str, Held], weights: frozenset[str]) -> dict[str, Held]:
    """Fan-in and fan-out of the parameters of a product, as the data meet them one after the other."""
    count = len(site.inputs)
    data = [labels for key, labels in zip(site.inputs, site.labels, strict=False) if key not in weights]
    reached = {label for labels in data for label in labels}
    left = list(zip(site.parameters, site.labels[count:], strict=True))
    found: dict[str, Held] = {}
    while left:
        key, labels = next((p for p in left if any(x in reached and x not in site.result for x in p[1])), left[0])
        left.remove((key, labels))
        later = {label for _, other in left for label in other}
        new = tuple(label for label in labels if label not in reached)
        summed = [x for x in labels if x in reached and x not in site.result and (new or x not in later)]
        reached.update(labels)
        fan_in, fan_out = tuple(map(axis_name, summed)), tuple(map(axis_name, new))
        known = parameters[key]
        found[key] = replace(known, fan_in=fan_in, fan_out=fan_out, matrix=known.matrix or bool(fan_in and fan_out))
    return found
