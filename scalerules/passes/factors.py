"""Reading through weights: a contraction with one reads the factors that it is made of, one after the other.

Products, views, fixed factors and sums of them can be read through, so that the contraction law knows which matrix
stands where. How a product is written does not matter: in one node, in several, or as a matrix of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from scalerules.architecture.uses import as_matrix
from scalerules.ops.registry import law_of
from scalerules.ops.site import Held, Site
from scalerules.terms.pieces import Labels, axis_name

BEFORE = ""
"""The key of the step before, in the steps of a product."""

_Read = tuple[str, Labels]
"""A parameter, or what was made of some, and its labels."""


@dataclass(frozen=True)
class _Product:
    """One term of what a weight is: a product of sites and parameters, and the fixed factors in front of it."""

    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    labels: tuple[Labels, ...]
    result: Labels
    scales: tuple[Site, ...] = ()


def through_weights(
    sites: Sequence[Site], parameters: Mapping[str, Held], weights: frozenset[str], outputs: Collection[str],
    diagonal: Collection[str] = (),
) -> tuple[list[Site], dict[str, Held]]:  # fmt: skip
    """The sites, of which those that read a weight read its factors one after the other, and the parameters.

    So does a product of one value with several parameters, and of one with a matrix that data choose: what is linear in
    them and in a parameter (a hypernetwork's last layer). What all see through and is no output is left out.
    `diagonal`: the keys of the parameters that start as the identity.
    """
    known: dict[str, list[_Product]] = {}
    linear: dict[str, _Product] = {}
    seen_through: set[str] = set()
    read: list[Site] = []
    held = dict(parameters)
    for site in sites:
        opened = [site]
        if site.key in weights:
            known[site.key] = _weight(site, known)
        elif law_of(site.op).multilinear:
            matrices = {key: [linear[key]] for k, key in enumerate(site.inputs) if _as_matrix(site, k, linear)}
            seen_through.update(matrices)
            seen = {**known, **matrices}
            several = len(site.parameters) > 1 and len(site.inputs) == 1
            if several or any(seen.get(key) for key in site.inputs):
                opened = _apart(site, _products(site, seen, site.result), diagonal)
                for part in opened:
                    if law_of(part.op).multilinear:
                        held.update(_read_along(_met(part, site, weights), held, weights))
            elif site.inputs and len(site.parameters) == 1:
                linear[site.key] = _multiplied(site, [None] * len(site.inputs), site.result)
        read += opened
    return _needed(read, {key for key in known if known[key]} | seen_through, outputs), held


def _as_matrix(site: Site, k: int, linear: Mapping[str, _Product]) -> bool:
    """Whether a site multiplies another value with its `k`-th as with a matrix.

    Of the axes that the parameter in that alone brings, it sums one with the other value and keeps one of its own.
    """
    value = linear.get(site.inputs[k])
    if value is None or len(site.inputs) < 2:
        return False
    of_data = {label for labels in value.labels[: len(value.inputs)] for label in labels}
    own = {here for here, there in zip(site.labels[k], value.result, strict=True) if there not in of_data}
    return as_matrix(own, site.labels, k, site.result)


def _needed(sites: Sequence[Site], seen_through: Collection[str], outputs: Collection[str]) -> list[Site]:
    """The sites without the weights that all that read them see through."""
    needed: list[Site] = []
    read = set(outputs)
    for site in reversed(sites):
        if site.key in read or site.key not in seen_through:
            needed.append(site)
            read.update(site.inputs)
    return needed[::-1]


def as_matrices(sites: Sequence[Site], parameters: Mapping[str, Held], made: frozenset[str]) -> dict[str, Held]:
    """The parameters, of which those that only functions and norms read are matrices as what is `made` of them is."""
    shown: dict[str, list[_Product]] = {}
    held = dict(parameters)
    for site in sites:
        if site.key in made:
            shown[site.key] = _weight(site, shown, as_is=True)
        elif law_of(site.op).multilinear and any(shown.get(key) for key in site.inputs):
            for one in _products(site, shown, site.result):
                part = replace(site, inputs=one.inputs, parameters=one.parameters, labels=one.labels)
                along = _read_along(part, held, made)
                held.update({k: new for k, new in along.items() if _sides(new) > _sides(held[k])})
    return held


def _sides(held: Held) -> int:
    """Of how many sides of a matrix it is known which axes they have."""
    return bool(held.fan_in) + bool(held.fan_out)


def _weight(site: Site, known: Mapping[str, list[_Product]], as_is: bool = False) -> list[_Product]:
    """What a weight is a sum of; nothing where it is no sum of products. `as_is`: functions change no axis."""
    law = law_of(site.op)
    if law.multilinear:
        return _products(site, known, site.result)
    if site.op == "add":
        if any(len(labels) < len(site.result) for labels in site.labels):  # one row for all: no product has its axis
            return []
        return [one for each in _operands(site) for one in _products(each, known, site.result)]
    fixed = site.op == "scale" and not site.node.free
    names = _names(site) if (law.passes or fixed or as_is) and len(site.operands) == 1 else None
    products = [] if names is None else _products(site, known, names)
    return [replace(one, scales=(*one.scales, site)) for one in products] if fixed else products


def _operands(site: Site) -> Iterator[Site]:
    """A sum, one operand at a time."""
    for key, labels in zip(site.operands, site.labels, strict=True):
        inputs, parameters = ((key,), ()) if key in site.inputs else ((), (key,))
        yield replace(site, inputs=inputs, parameters=parameters, labels=(labels,))


def _products(site: Site, known: Mapping[str, list[_Product]], result: Labels) -> list[_Product]:
    """What a site multiplies, with the terms of every weight that it reads in its place."""
    choices = product(*(known.get(key) or (None,) for key in site.inputs))
    return [_multiplied(site, chosen, result) for chosen in choices]


def _multiplied(site: Site, chosen: Sequence[_Product | None], result: Labels) -> _Product:
    """What a site multiplies, with one term of each weight in its place."""
    inputs: list[tuple[str, Labels]] = []
    parameters = list(zip(site.parameters, site.labels[len(site.inputs) :], strict=True))
    scales: tuple[Site, ...] = ()
    for number, (key, factors) in enumerate(zip(site.inputs, chosen, strict=True)):
        if factors is None:
            inputs.append((key, site.labels[number]))
            continue
        here = dict(zip(factors.result, site.labels[number], strict=True))
        labels = [tuple(here.get(label, f"{label}'{number}") for label in operand) for operand in factors.labels]
        count = len(factors.inputs)
        inputs += zip(factors.inputs, labels[:count], strict=True)
        parameters += zip(factors.parameters, labels[count:], strict=True)
        scales += factors.scales
    keys = tuple(key for key, _ in inputs), tuple(key for key, _ in parameters)
    return _Product(*keys, tuple(labels for _, labels in (*inputs, *parameters)), result, scales)


def _apart(site: Site, products: Sequence[_Product], diagonal: Collection[str]) -> list[Site]:
    """A contraction with a weight as the sum of its products, each read one factor after the other.

    All are one map: how much a parameter contributes is asked behind it.
    """
    parts: list[Site] = []
    ends: list[str] = []
    for one in products:
        keys: dict[str, str] = {}
        for part in _steps(site, one, diagonal):
            name = f"{site.name}.{part.name}"
            while any(name == other.name for other in parts):
                name += "'"
            inputs = tuple(keys.get(key, key) for key in part.inputs)
            keys[part.key] = name + site.key[len(site.name) :]
            parts.append(replace(part, key=keys[part.key], name=name, inputs=inputs, asked=False, carries=True))
        ends.append(parts[-1].key)
    if len(ends) > 1:
        return [*parts, replace(site, op="add", inputs=tuple(ends), parameters=(), labels=(site.result,) * len(ends))]
    return [*parts[:-1], replace(parts[-1], key=site.key, name=site.name, asked=site.asked, carries=site.carries)]


def _steps(site: Site, one: _Product, diagonal: Collection[str]) -> Iterator[Site]:
    """A product of a value with parameters in the order in which it meets them, so that few axes are open; the factors.

    What multiplies others entry by entry is made first, but for the identity: made, it would be one matrix of many.
    """
    inputs, reached = one.inputs, one.labels[: len(one.inputs)]
    left: list[_Read] = list(zip(one.parameters, one.labels[len(inputs) :], strict=True))
    if len(inputs) == 1:
        for group, result in _entrywise(one, left):
            if any(key in diagonal for key, _ in group):
                continue
            made = _step(site, (), (), group, result)
            yield replace(made, judged=False, makes=True)
            left = [*_without(left, group), (made.key, result)]
    while True:
        taken, result = _next(left, reached, site.result) if len(inputs) == 1 else (left, site.result)
        yield replace(_step(site, inputs, reached, taken, result), key=BEFORE)
        left, inputs, reached = _without(left, taken), (BEFORE,), (result,)
        if not left:
            break
    for scale in one.scales:
        yield replace(scale, key=BEFORE, inputs=(BEFORE,), parameters=(), labels=(site.result,), result=site.result)


def _next(left: Sequence[_Read], reached: Sequence[Labels], result: Labels) -> tuple[Sequence[_Read], Labels]:
    """What a value meets next, all that has the same axes together, and the labels that it has then."""
    if not left:
        return left, result
    opened = [_open((*reached, each[1]), _without(left, [each]), result) for each in left]
    first = left[opened.index(min(opened, key=len))]
    taken = [each for each in left if {*each[1]} == {*first[1]}]
    rest = _without(left, taken)
    return taken, _open((*reached, first[1]), rest, result) if rest else result


def _step(site: Site, inputs: Sequence[str], reached: Sequence[Labels], taken: Sequence[_Read], result: Labels) -> Site:
    """One step of a product, called after what it reads beside the one before."""
    held = [each for each in taken if each[0].startswith("@")]
    made = [each for each in taken if each not in held]
    keys, values = tuple(key for key, _ in held), (*inputs, *(key for key, _ in made))
    name = (*keys, *values)[0].rpartition("@")[2].removesuffix(site.key[len(site.name) :])
    labels = (*reached, *(labels for _, labels in (*made, *held)))
    key = " ".join(("made", *keys))
    return replace(site, key=key, name=name, inputs=values, parameters=keys, labels=labels, result=result)


def _without(these: Sequence[_Read], gone: Sequence[_Read]) -> list[_Read]:
    return [each for each in these if all(each is not other for other in gone)]


def _entrywise(one: _Product, parameters: Sequence[_Read]) -> Iterator[tuple[list[_Read], Labels]]:
    """Products of parameters that others multiply along two axes, entry by entry, and their labels."""
    outside = set(one.result).union(*one.labels[: len(one.inputs)])
    groups: list[list[_Read]] = []
    for each in parameters:
        joined = [group for group in groups if any(({*each[1]} & {*labels}) - outside for _, labels in group)]
        groups = [group for group in groups if group not in joined] + [[each, *(x for group in joined for x in group)]]
    shown = [[x for x in dict.fromkeys(x for _, labels in group for x in labels) if x in outside] for group in groups]
    for number, (group, labels) in enumerate(zip(groups, shown, strict=True)):
        others = shown[:number] + shown[number + 1 :]
        if len(group) > 1 and any(len({*labels} & {*other}) > 1 for other in others):
            yield group, tuple(labels)


def _open(labels: Sequence[Labels], left: Sequence[tuple[str, Labels]], result: Labels) -> Labels:
    """The labels that a product of these has where the others are still to be met."""
    later = set(result).union(*(other for _, other in left))
    return tuple(dict.fromkeys(label for each in labels for label in each if label in later))


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


def _met(part: Site, site: Site, weights: frozenset[str]) -> Site:
    """A part of a product as the values of a site meet it."""
    if not part.makes:
        return part
    values = [(key, labels) for key, labels in zip(site.inputs, site.labels, strict=False) if key not in weights]
    result = tuple(label for label in part.result if label in site.result)
    labels = (*(labels for _, labels in values), *part.labels)
    return replace(part, inputs=tuple(key for key, _ in values), labels=labels, result=result)


def _read_along(site: Site, parameters: Mapping[str, Held], weights: frozenset[str]) -> dict[str, Held]:
    """Fan-in and fan-out of the parameters of a product, as the data meet them one after the other."""
    count = len(site.inputs)
    data = [labels for key, labels in zip(site.inputs, site.labels, strict=False) if key not in weights]
    reached = {label for labels in data for label in labels}
    left: list[_Read] = list(zip(site.parameters, site.labels[count:], strict=True))
    found: dict[str, Held] = {}
    while left:
        _, labels = next((p for p in left if any(x in reached and x not in site.result for x in p[1])), left[0])
        alike = [key for key, other in left if {*other} == {*labels}]  # what stands beside it, entry by entry
        left = [(key, other) for key, other in left if key not in alike]
        later = {label for _, other in left for label in other}
        new = tuple(label for label in labels if label not in reached)
        summed = [x for x in labels if x in reached and x not in site.result and (new or x not in later)]
        reached.update(labels)
        fan_in, fan_out = tuple(map(axis_name, summed)), tuple(map(axis_name, new))
        for key in alike:
            known = parameters[key]
            matrix = known.matrix or bool(fan_in and fan_out)
            found[key] = replace(known, fan_in=fan_in, fan_out=fan_out, matrix=matrix)
    return found
