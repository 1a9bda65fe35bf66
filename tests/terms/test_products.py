"""Products that are found without forming all of them are those that all of them would give."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import combinations, product

import pytest

from scalerules.terms import entrywise as quick
from scalerules.terms.entrywise import entrywise
from scalerules.terms.merging import Merged, crowded, merged
from scalerules.terms.products import products, scaled
from scalerules.terms.term import Fresh, Mirror, Profile, Term

SOURCES = [2 << place for place in range(7)]


class Scope:
    """What the products ask of a point: two axes, one of which grows as the root of the other."""

    reach, coherent = 24, True

    def ticks(self, label: str) -> int:
        return {"n": 16, "s": 8}[label[0]]

    def bit(self, *key: object) -> int:
        raise AssertionError(f"{key}: no matrix is multiplied here")


def term(rng: random.Random, signs: tuple[int, ...], sizes: range, profile: Profile | None = None) -> Term:
    """A term of any of these sizes and of one to three parameters, every other one with an image that it remembers."""
    shift = tuple((("lr", f"W{number}"), Fraction(1)) for number in range(rng.choice((1, 2, 3))))
    made = Term(-rng.choice(sizes), signs, (), shift, profile=profile, log=rng.choice((0, 0, 1)) if profile else 0)
    if signs and rng.random() < 0.5:
        made.mirror = Mirror(Fresh("W", 2), rng.choice(SOURCES), made, (), (), made, {})
    return made


def dense(rng: random.Random, sizes: range) -> list[Term]:
    """Nearly all signs of up to two sources, and a few of more."""
    few = [sum(bits) for count in range(3) for bits in combinations(SOURCES, count)]
    many = [sum(rng.sample(SOURCES, rng.choice((3, 4)))) for _ in range(2)]
    return [term(rng, (mask,), sizes) for mask in dict.fromkeys((*rng.sample(few, 26), *many))]


def told(terms: list[Term]) -> list[object]:
    """All that tells terms apart."""
    return [(t.size, t.signs, t.profile, t.log, t.mirror, t.parents, t.shift) for t in terms]


@pytest.mark.parametrize("sizes", (range(1), range(0, 8, 4), range(12)), ids=("alike", "two", "many"))
def test_products_found_by_their_signs_are_those_of_all(sizes: range, monkeypatch: pytest.MonkeyPatch):
    rng = random.Random(f"products {sizes}")
    for _ in range(30):
        a, b, reach, kept = dense(rng, sizes), dense(rng, sizes), rng.choice((4, 100)), rng.choice((2, 4))
        monkeypatch.setattr(quick, "SMALL", 0)
        found = entrywise(a, b, reach, kept)
        monkeypatch.setattr(quick, "SMALL", len(a) * len(b))
        assert told(found) == told(entrywise(a, b, reach, kept))


@pytest.mark.parametrize("small", (0, 10**6), ids=("by their ends", "one by one"))
def test_products_are_as_large_as_their_factors_together(small: int, monkeypatch: pytest.MonkeyPatch):
    rng, reach = random.Random("together"), 4
    monkeypatch.setattr(quick, "SMALL", small)
    for _ in range(20):
        a, b, kept = dense(rng, range(2, 11, 2)), dense(rng, range(2, 11, 2)), rng.choice((2, 1000))
        pairs = [(x.size + y.size, x.signs[0] ^ y.signs[0]) for x in a for y in b]
        top = max(x.size for x in a) + max(y.size for y in b)
        largest = {mask: size for size, mask in sorted(pairs) if size >= top - reach}
        few = {mask: size for mask, size in largest.items() if mask.bit_count() <= 2}
        many = sorted((size for mask, size in largest.items() if mask.bit_count() > 2), reverse=True)
        found = {t.signs[0]: t.size for t in entrywise(a, b, reach, kept)}
        assert {mask: size for mask, size in found.items() if mask.bit_count() <= 2} == few
        assert sorted((s for mask, s in found.items() if mask.bit_count() > 2), reverse=True) == many[:kept]


@pytest.mark.parametrize("small", (0, 10**6), ids=("by their ends", "one by one"))
def test_which_of_equally_large_products_of_many_sources_are_kept_does_not_depend_on_their_order(
    small: int, monkeypatch: pytest.MonkeyPatch
):
    rng = random.Random("crowd")
    monkeypatch.setattr(quick, "SMALL", small)
    for _ in range(20):
        a, b, kept = dense(rng, range(1)), dense(rng, range(1)), rng.choice((2, 5, 40))
        shortest: dict[int, int] = {}
        for x, y in product(a, b):
            mask = x.signs[0] ^ y.signs[0]
            shortest[mask] = min(shortest.get(mask, 9), x.degree + y.degree)
        crowd = sorted((degree, m.bit_count(), -m) for m, degree in shortest.items() if m.bit_count() > 2)[:kept]
        for _ in range(3):
            found = {t.signs[0]: t.degree for t in entrywise(a, b, 100, kept, mirrors=False)}
            assert {m: d for m, d in found.items() if m.bit_count() > 2} == {-m: degree for degree, _, m in crowd}
            rng.shuffle(a)
            rng.shuffle(b)


@pytest.mark.parametrize("result", (("n|o", "s|o"), ("n|o",)), ids=("none", "one axis"))
def test_products_on_two_axes_are_those_of_all_pairs(result: tuple[str, ...]):
    rng, labels, reach = random.Random("pairs"), ("n|o", "s|o"), Scope.reach
    gone = [label for label in labels if label not in result]
    crowds = 0
    for _ in range(12):
        signs = [tuple(sum(rng.sample(SOURCES, rng.choice((0, 1, 1, 2)))) for _ in labels) for _ in range(60)]
        signs += [(mask, mask) for mask, _ in signs[:12]]
        terms = [term(rng, s, range(0, 40, 4), rng.choice((None, None, None, (1, 0)))) for s in signs]
        a, b = merged(terms[::2], reach), merged(terms[1::2], reach)
        found = products(Scope(), labels, a, labels, b, gone, result)
        pairs = [(x, y) for x in a for y in b]
        every = merged([t for x, y in pairs for t in products(Scope(), labels, [x], labels, [y], gone, result)], reach)
        for terms in (found, every):
            assert len({(t.signs, t.profile) for t in terms}) == len(terms)
        few = [{(t.size, t.signs, t.profile, t.log) for t in terms if not crowded(t.signs)} for terms in (found, every)]
        many = [sorted(t.size for t in terms if crowded(t.signs)) for terms in (found, every)]
        assert few[0] == few[1] and many[0] == many[1]
        crowds += bool(many[0]) and len(pairs) > 100
    assert crowds > 6


def test_of_a_sum_over_all_axes_the_largest_product_is_left():
    rng = random.Random("sum")
    sums = 0
    for _ in range(60):
        signs = [tuple(sum(rng.sample(SOURCES, rng.choice((0, 1, 2)))) for _ in range(2)) for _ in range(24)]
        profiles = [rng.choice((None, (1, 0), (0, -2))) for _ in signs]
        terms = [term(rng, s, range(0, 40, 4), p) for s, p in zip(signs, profiles, strict=True)]
        a, b = merged(terms[:12], 24), merged(terms[12:], 24)
        labels = ("n|o", "s|o")
        (whole,) = products(Scope(), labels, a, labels, b, labels, ())
        parts = [products(Scope(), labels, [x], labels, [y], labels, ())[0] for x in a for y in b]
        assert (whole.size, whole.log) == max((part.size, part.log) for part in parts)
        sums += whole.size > max(x.size + y.size for x in a for y in b)
    assert sums > 20


def test_a_tensor_times_a_number_keeps_its_terms():
    rng = random.Random("number")
    number, labels = Term(-3, (), (), ((("lr", "W0"), Fraction(1)),)), ("n|o",)
    a = merged(dense(rng, range(0, 40, 4)), 24)
    assert isinstance(a, Merged)
    assert merged(a, 24) is a
    assert merged(a, 8) is not a
    by_a_number = scaled(a, [number], 24)
    assert told(by_a_number) == told(products(Scope(), labels, a, (), [number], (), labels))
    assert [t.size for t in by_a_number] == sorted((t.size - 3 for t in a), reverse=True)
    nearer = scaled(a, [number], 8)
    assert told(nearer) == told(merged(by_a_number, 8)) and len(nearer) < len(by_a_number)
