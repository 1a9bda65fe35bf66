"""Equations as data: their forms, what they say, what is put into them."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from scalerules.passes.events import Event
from scalerules.solving.equations import (
    Equation,
    allowance_of,
    distinct,
    own_contributions,
    plainest,
    unknowns_of,
    value_of,
    vector_of,
)
from scalerules.terms.term import Term

F = Fraction
N, A, M = ("growth", "n"), ("init", "W"), ("mult", "W")
RUN: Any = SimpleNamespace(
    point=SimpleNamespace(
        constants=lambda scales: {N: (F(3, 2), F(1), F(1, 2))},
        factor=lambda site: (0, ((site.name, F(2)),)) if site else None,
    )
)
"""A run along width and half as fast along state: an axis grows by their product's size 3/2."""


def event(form: dict[Any, Fraction], **more: Any) -> Any:
    return SimpleNamespace(form=form, **more)


def test_the_form_of_an_equation():
    now, before = event({N: F(1), A: F(2)}), event({N: F(1, 2), M: F(1)})
    assert Equation("stable", now).form is now.form
    assert Equation("stable", now, before).form == {N: F(1, 2), A: F(2), M: F(-1)}
    assert Equation("maximal", now, allowance=((N, F(1)), (M, F(3)))).form == {N: F(2), A: F(2), M: F(3)}
    assert Equation("stable", now, before, ((N, F(1)),)).form == {N: F(3, 2), A: F(2), M: F(-1)}
    counted = event(now.form, counts={N: 1, A: 2})
    assert Equation("stable", counted).counts is counted.counts
    for other in (Equation("stable", counted, before), Equation("maximal", counted, allowance=((N, F(1)),))):
        assert other.counts == other.form != counted.form


def test_a_form_with_what_is_known_put_in():
    form = {N: F(1, 2), A: F(1, 3), M: F(5)}
    known = {A: (F(1, 4), F(-1), F(0))}
    assert vector_of(form, known, RUN, ("width", "state")) == (F(3, 4) + F(1, 12), F(1, 2) - F(1, 3), F(1, 4))
    assert value_of(form, known, RUN, ("width", "state")) == F(5, 6)
    assert vector_of({}, {}, RUN, ("width",)) == (0, 0)
    assert unknowns_of(form) == [A, M]


def test_the_own_contributions_that_are_asked_for():
    events = [event({}, kind=kind, first=first, parameter=p) for kind, first, p in (
        ("own", True, "W"), ("own", False, "W"), ("change", True, "V"), ("value", False, "V"), ("own", True, "V"))]  # fmt: skip
    found = own_contributions(SimpleNamespace(events=events))  # type: ignore[arg-type]
    assert found == {"W": [events[0]], "V": [events[4]]}


def test_equal_forms_are_asked_for_once():
    """Each of the terms that are as large as the largest is asked; what has an earlier one's form is not again."""
    width, half = Term(2, shift=((N, F(1)),)), Term(2, shift=((N, F(1, 2)), (A, F(1))))
    small = Term(1, shift=((M, F(1)),))
    first = Event("value", "x", 0, width, 2, terms=(width, half, small))
    again = Event("value", "y", 0, half.derived(), 2)
    less = Event("own", "y", 1, width, 2, discount=((N, F(-1)),))
    found = distinct([first, again, less])
    assert [(each.node, each.form) for each in found] == [("x", width.form), ("x", half.form), ("y", {})]
    assert found[0] is first


def test_of_events_that_are_as_large_the_one_of_fewest_unknowns_is_asked():
    """Whether its term is the one that the event is known by or another one of the same size."""
    one, two, three = (Term(2, shift=tuple((("lr", f"W{k}"), F(1)) for k in range(count))) for count in (1, 2, 3))
    small = Term(1)
    known, other = Event("own", "x", 1, two, 2, terms=(two, small)), Event("own", "y", 2, three, 2, terms=(three, one))
    for events in ([known, other], [other, known]):
        assert (plainest(events).node, plainest(events).form) == ("y", one.form)
    assert plainest([known]).form == two.form and plainest([Event("own", "z", 1, three, 2), known]).node == "x"


@pytest.mark.parametrize(
    ("name", "node", "multiplier", "shift"),
    [
        ("W", "W.einsum", None, ((("growth", "layers"), F(1)),)),
        ("W", "W.einsum", "site", ((("growth", "layers"), F(1)), ("site", F(2)))),
        ("W", "site", "site", ((("growth", "layers"), F(1)),)),
        ("V", "V.einsum", "site", ()),
    ],
)
def test_what_the_sum_over_depth_adds(name: str, node: str, multiplier: str | None, shift: Any):
    """Behind the multiplier, where a contribution in front of a fixed one is asked for, it has counted already."""
    site: Any = multiplier and SimpleNamespace(name=multiplier)
    depths: Any = {"W": (SimpleNamespace(joins="layers"), site)}
    event: Any = SimpleNamespace(parameter=name, node=node)
    assert allowance_of(event, depths, RUN) == shift


def test_an_equation_in_words():
    start = event({}, kind="value", node="h", parameter="W", step=0)
    later = event({}, kind="own", node="h", parameter="W", step=2)
    loss = event({}, kind="loss", node="h", parameter="W", step=2)
    assert Equation("stable", start).words == "the value of 'h' at initialisation has size at most 0"
    assert Equation("maximal", later).words == "the own contribution of 'W' at 'h' has size 0 at some step"
    assert Equation("stable", loss, start).words.endswith(
        "changes in the loss after step 2 does not grow from step to step"
    )
