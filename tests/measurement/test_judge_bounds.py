"""What lies just at a bound of the judge is held to be within it: tables in numbers that binary fractions write exactly."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from scalerules.measurement.verification import judge as judging
from scalerules.measurement.verification.judge import Row, above, below, far_above, warned


@pytest.fixture(autouse=True)
def _exact(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(judging, "TOLERANCE", 0.25)
    monkeypatch.setattr(judging, "HALFWAY", 0.375)


def row(excess: float, width: float = 0.0, **more: float) -> Row:
    """A value that lies so far above its size, which is 1."""
    return Row("value", "n", 1, Fraction(1), 1 + excess, 0.0, estimate=1 + excess, width=width, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (row(0.25), None), (row(0.3125), "wrong"), (row(0.5, 0.25), "undecided"), (row(0.5625, 0.25), "wrong"),
        (row(0.375, 0.125), "undecided"), (row(0.3125, 0.125), None), (row(0.5, 0.5, chance=0.5), "undecided"),
        (row(0.4375, 0.5, chance=0.5), None), (row(0.5, bend=-0.125), "undecided"), (row(0.5, bend=-0.0625), "wrong"),
        (row(0.0), None), (row(-2.0), None),
    ],
)  # fmt: skip
def test_what_grows_faster(found: Row, status: str | None):
    verdict = above(found)
    assert (verdict and verdict.status) == status
    if verdict is not None:
        assert ("less so" in verdict.why) == (found.bend == -0.125)


@pytest.mark.parametrize(
    ("found", "top", "allowance", "status"),
    [
        (row(-0.25), row(-1.0), 0.0, "agrees"), (row(-1.0), row(-0.25), 0.0, "agrees"),
        (row(-0.3125), row(-1.0), 0.0, "wrong"), (row(-1.0), row(-0.3125), 0.0, "wrong"),
        (row(-0.75), row(-1.0), 0.5, "agrees"), (row(-0.8125), row(-1.0), 0.5, "wrong"),
        (row(-1.0, 0.75), row(-1.0), 0.0, "undecided"), (row(-1.0, 0.6875), row(-1.0), 0.0, "wrong"),
        (row(-1.0), row(-1.0, 0.75), 0.0, "undecided"), (row(-1.0), row(-1.0, 0.6875), 0.0, "wrong"),
        (row(-1.0), row(-0.5, bend=0.125), 0.0, "undecided"), (row(-1.0), row(-0.5, bend=0.0625), 0.0, "wrong"),
        (row(-1.0, 1.0), row(-0.375), 0.0, "undecided"), (row(-1.0, 1.0), row(-0.3125), 0.0, "agrees"),
        (row(-1.0, 0.5), row(-0.875), 0.5, "undecided"), (row(-1.0, 0.5), row(-0.8125), 0.5, "agrees"),
        (row(-1.0, 1.0), row(-0.5, chance=0.5), 0.0, "undecided"), (row(-1.0, 1.0), row(-0.5, chance=0.75), 0.0, "agrees"),
    ],
)  # fmt: skip
def test_what_is_smaller(found: Row, top: Row, allowance: float, status: str):
    assert below(found, top, allowance).status == status


@pytest.mark.parametrize(
    ("excess", "status"), [(0.0, "wrong"), (0.0625, "warned"), (0.6875, "warned"), (0.75, "wrong")]
)
def test_how_far_a_saddle_that_is_warned_of_may_go(excess: float, status: str):
    found = replace(row(excess), quantity="own", parameter="W", step=2, status="wrong")
    assert warned(found, {"W": 0.5}).status == status


def test_what_is_far_above():
    edge, more = row(0.75, 0.25, status="wrong"), row(0.8125, 0.25, status="wrong")  # type: ignore[arg-type]
    assert not far_above([edge, edge], more=0.25) and far_above([more, more], more=0.25)
    assert not far_above([more], more=0.25)
