"""The parts of the checker, each by what it lets pass and what it does not."""

from __future__ import annotations

import copy
import io
import json
import random
import runpy
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any

import pytest

import scalerules as sr
from scalerules.solution import checker
from scalerules.solution.checker import cone, failures, implies, law, number, rules, solved

F = Fraction


@pytest.mark.parametrize("text", [3, None, "0.1", "1/0", "1e3", " 1"])
def test_only_exact_numbers_are_read(text: Any):
    with pytest.raises(ValueError, match="is not an exact number"):
        number(text)
    assert number("-3/2") == F(-3, 2)


def test_what_follows_where_no_growth_is_negative():
    """By definition: a <= k b in every entry, for one k that is not negative; quotients of entries are enough to try."""
    rng, found = random.Random(0), [0, 0]
    for _ in range(600):
        a, b = ({name: F(rng.randint(-2, 2)) for name in "uvw" if rng.random() < 0.8} for _ in range(2))
        pairs = [(a.get(name, F(0)), b.get(name, F(0))) for name in "uvw"]
        tried = [F(0), *(x / y for x, y in pairs if y and x / y > 0)]
        follows = any(all(x <= k * y for x, y in pairs) for k in tried)
        assert implies(b, a) == follows, (b, a)
        found[follows] += 1
    assert min(found) > 100


R, T = {"width": F(1, 2), "state": F(-1)}, {"width": F(-1), "state": F(1)}


@pytest.mark.parametrize(
    ("texts", "judged", "along", "said"),
    [
        (["width <= 2*state"], {"R": R}, (1, 1), ""),
        (["width <= 2*state"], {"R": R}, (2, 1), ""),  # at its edge
        (["width <= 2*state"], {"R": R}, (3, 1), "the cone width <= 2*state is that of no row"),
        ([], {"R": R}, (1, 1), "row R grows in a direction of the cone"),
        (["width <= state"], {"R": R}, (1, 1), "the cone width <= state is that of no row"),
        (["width <= 4*state"], {"R": R}, (1, 1), "is that of no row"),
        (["width <= 2*state", "state <= width"], {"R": R, "T": T}, (1, 1), ""),
        (["width <= 2*state"], {"R": R, "T": T}, (1, 1), "row T grows"),
        (["state <= width"], {"R": R, "T": T}, (1, 1), "row R grows"),
        (["1/2*width + depth <= 3*state"], {"R": {"width": F(1), "depth": F(2), "state": F(-6)}}, (1, 1), ""),
        (["0 <= state"], {"R": {"state": F(-2)}}, (1, 1), ""),
        (["width <= 0"], {"R": {"width": F(2)}}, (0, 1), ""),
        ([], {"R": {"width": F(-1), "state": F(0)}}, (1, 1), ""),
        ([], {"R": {"width": F(0)}}, (1, 1), ""),
    ],
)  # fmt: skip
def test_a_cone(texts: list[str], judged: dict[str, Any], along: tuple[int, int], said: str):
    growths = {"width": {"": F(along[0])}, "state": {"": F(along[1])}, "depth": {"": F(0)}}
    found = list(cone(texts, judged, growths))
    assert (said in found[0]) if said else not found, found


def row(**changed: Any) -> dict[str, Any]:
    """`h = W x`, summed over n."""
    plain = {"row": "F2", "follows": [["F1", "1"]], "at": "h", "of": "h", "step": 1, "pass": "forward", "law": "product",
             "sums": [["n", "independent", "1/2"]], "adds": {"g_n": F(1, 2), "a_W": F(1)}}  # fmt: skip
    return plain | changed


def parent(**changed: Any) -> dict[str, Any]:
    return {"row": "F1", "of": "x", "step": 1, "pass": "forward"} | changed


BEFORE, LATER = "rows that it follows from do not stand before it", "h does not read"
HERE = {"of": "h"}
LAWS: list[tuple[dict[str, Any], dict[str, Any], str | None]] = [
    (row(), parent(), None),
    (row(row="F1"), parent(), BEFORE), (row(follows=[["F3", "1"]]), parent(), BEFORE),
    (row(adds={"a_W": F(1)}), parent(), "the growths that it adds are not its sums"),
    (row(sums=[["n", "aligned", "1/2"]]), parent(), "a sum over n that is aligned does not give 1/2"),
    (row(sums=[["n", "aligned", "1"]], adds={"g_n": F(1)}), parent(), None),
    (row(sums=[["n", "aligned", "0"]], adds={}), parent(), "that is aligned does not give 0"),
    (row(sums=[["n", "independent", "1/3"]], adds={"g_n": F(1, 3)}), parent(), "that is independent does not give 1/3"),
    (row(sums=[["n", "independent", "0"]], adds={}), parent(), "that is independent does not give 0"),
    (row(sums=[["n", "fixed", "1"]], adds={"g_n": F(1)}), parent(), "that is fixed does not give 1"),
    (row(sums=[["n", "fixed", "0"]], adds={}), parent(), None),
    (row(sums=[["n", "divided by", "-1"]], adds={"g_n": F(-1)}), parent(), None),
    (row(sums=[["n", "divided by", "0"]], adds={}), parent(), "that is divided by does not give 0"),
    (row(sums=[["n", "divided by", "1"]], adds={"g_n": F(1)}), parent(), "that is divided by does not give 1"),
    (row(), parent(step=2), LATER), (row(), parent(step=0), None),
    (row(), parent(**{"pass": "backward"}), LATER), (row(**{"pass": "gradient"}), parent(**{"pass": "backward"}), None),
    (row(**{"pass": "gradient"}), parent(**{"pass": "gradient"}), LATER),
    (row(**{"pass": "backward"}), parent(**{"pass": "gradient"}), None),
    (row(), parent(of="y"), LATER), (row(), parent(**HERE), None),
    (row(follows=[["F1", "-1"]]), parent(**HERE), LATER), (row(follows=[["F1", "-1"]]), parent(), None),
    (row(follows=[["F1", "0"]]), parent(**HERE), None),
    (row(follows=[["F1", "-1"]], law="mirror", adds={"g_n": F(1, 2)}), parent(**HERE), None),
    (row(follows=[["F1", "-1"]], **{"pass": "change"}), parent(**HERE, **{"pass": "backward"}), None),
    (row(follows=[["F1", "-1"]], **{"pass": "update"}), parent(**HERE), None),
    (row(adds={"g_n": F(1, 2), "a_V": F(1)}), parent(), "h does not read a_V, 1 times"),
    (row(adds={"g_n": F(1, 2), "a_U": F(1)}), parent(), None),
    (row(adds={"g_n": F(1, 2), "a_W": F(2)}), parent(), "h does not read a_W, 2 times"),
    (row(adds={"g_n": F(1, 2), "a_W": F(2)}, law="mirror"), parent(), None),
    (row(adds={"g_n": F(1, 2), "a_W": F(1)}, law="mirror"), parent(), None),  # once in the image that it is divided by
    (row(adds={"g_n": F(1, 2), "a_W": F(3)}, law="mirror"), parent(), "a_W, 3 times"),
    (row(adds={"g_n": F(1, 2), "a_W": F(-1)}, law="rms_norm"), parent(), None),
    (row(adds={"g_n": F(1, 2), "a_W": F(-1)}, law="layer_norm"), parent(), None),
    (row(adds={"g_n": F(1, 2), "a_W": F(1)}, law="rms_norm"), parent(), "a_W, 1 times"),
    (row(adds={"g_n": F(1, 2), "a_W": F(-1)}, law="gradient"), parent(), None),
    (row(adds={"g_n": F(1, 2), "a_W": F(2)}, law="gradient"), parent(), None),
    (row(adds={"g_n": F(1, 2), "a_W": F(1)}, law="gradient"), parent(), None),
    (row(adds={"g_n": F(1, 2), "a_W": F(-1)}, law="other"), parent(), "a_W, -1 times"),
    (row(adds={"g_n": F(1, 2), "a_W": F(2)}, law="other"), parent(), None),
    (row(adds={"g_n": F(1, 2), "m_W": F(2)}), parent(), "m_W, 2 times"),
    (row(follows=[["F1", "1"], ["F1", "1"]]), parent(), "it follows twice from one row"),
    (row(follows=[["F1", "0"], ["F1", "1"]]), parent(), "it follows twice from one row"),
    (row(follows=[["F1", "1"], ["F1", "-1"]]), parent(), None),
    (row(law="update"), parent(), "it has no rate"),
    (row(law="update", adds={"g_n": F(1, 2), "c_W": F(1)}), parent(), None),
    (row(law="update", adds={"g_n": F(1, 2), "u_W": F(1), "c_W": F(1)}), parent(), "it has no rate"),
]  # fmt: skip


@pytest.mark.parametrize(("tried", "before", "said"), LAWS)
def test_a_law(tried: dict[str, Any], before: dict[str, Any], said: str | None):
    found = law(tried, tried["adds"], {"F1": before}, {"h": ["x", "h", "W", "U'"]})
    assert found == said if said is None else found is not None and said in found


def test_unknowns_that_their_conditions_do_not_give():
    story = {
        "conditions": [{"name": "E1", "form": {"a_W": "1", "g_n": "1/2"}}],
        "solved": [{"symbol": "a_W", "condition": "E1"}, {"symbol": "a_V", "condition": ""}],
    }
    right = {"a_W": {"width": F(-1, 2)}, "g_n": {"width": F(1)}}
    assert not list(solved(story, right))
    assert list(solved(story, right | {"a_W": {"width": F(-1)}})) == ["the unknown a_W is not what the conditions give"]
    story["solved"][1]["condition"] = "E1"  # one equation is not enough for two
    assert list(solved(story, right | {"a_V": {}}))
    story["conditions"].append({"name": "E2", "form": {"a_W": "1", "g_n": "1"}})  # two that contradict each other
    story["solved"][1]["condition"] = "E2"
    both = [f"the unknown {name} is not what the conditions give" for name in ("a_W", "a_V")]
    assert list(solved(story, right | {"a_V": {}})) == both


def test_multipliers_are_those_of_the_unknowns():
    data = {"parameters": {}, "multipliers": {"s": {"width": "-1"}}}
    assert not list(rules(data, {"readings": {}}, {"m_s": {"width": F(-1)}}))
    assert list(rules(data, {"readings": {}}, {"m_s": {"width": F(1)}})) == [
        "the multiplier s is not what the derivation gives"
    ]


@cache
def data() -> dict[str, Any]:
    return sr.derive("mlp", optimizer="adam", progress=False).to_dict()


def shown(found: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """A size that is not zero, and the name under which the derivation shows it."""
    size = next(each for each in found["sizes"] if each["size"] not in (None, "0"))
    return size, " ".join(str(size[part]) for part in ("quantity", "node", "step", "parameter") if part in size)


def apart(found: dict[str, Any]) -> None:
    size, key = shown(found)
    found["derivation"].setdefault("apart", {})[key] = "1/2"
    size["size"] = str(F(size["size"]) + F(1, 2))


def nowhere(found: dict[str, Any]) -> None:
    found["derivation"]["shown"].pop(shown(found)[1])


def larger(found: dict[str, Any]) -> None:
    size, _ = shown(found)
    size["size"] = str(F(size["size"]) + 1)


def exchanged(found: dict[str, Any]) -> None:
    first, second = [each for each in found["derivation"]["solved"] if each["condition"]][:2]
    first["condition"], second["condition"] = second["condition"], first["condition"]


@pytest.mark.parametrize(
    ("change", "said"),
    [(apart, None), (nowhere, "is not that of row "), (larger, "is not that of row F"), (exchanged, "or does not give")],
)  # fmt: skip
def test_a_solution_with_one_change(change: Callable[[dict[str, Any]], None], said: str | None):
    changed = copy.deepcopy(data())
    change(changed)
    found = list(failures(changed))
    assert any(said in line for line in found) if said else not found, found


def test_it_runs_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    wrong = copy.deepcopy(data())
    larger(wrong)
    for found, said in ((data(), "every row follows\n"), (wrong, f"the size of {shown(wrong)[1]} is not that of row ")):
        monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(found)))
        runpy.run_path(str(checker.__file__), run_name="__main__")
        assert capsys.readouterr().out.startswith(said)
