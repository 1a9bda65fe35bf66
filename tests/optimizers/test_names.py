"""An optimizer by its name and what stands in brackets behind it: what is taken, what is told."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from scalerules.errors import ScaleRulesError
from scalerules.optimizers import optimizer
from scalerules.optimizers.named import named_in

LAW = "def law(g):\n    return g\n"


@pytest.mark.parametrize(
    ("written", "name", "decay", "clip"),
    [
        ("adamw", "adamw", "decoupled", None), (" adamw ( ) ", "adamw", "decoupled", None),
        ("adamw(decay=coupled)", "adamw(decay=coupled)", "coupled", None), ("muon(decay=independent)", "muon(decay=independent)", "independent", None),
        ("sgd( clip = fixed , decay=coupled )", "sgd(clip=fixed,decay=coupled)", "coupled", "fixed"), ("sgd(clip=scaled)", "sgd(clip=scaled)", "decoupled", "scaled"),
        ("shampoo(1/8, 1/4, clip=fixed)", "shampoo(1/8,1/4,clip=fixed)", "decoupled", "fixed"),
    ],
)  # fmt: skip
def test_options(written: str, name: str, decay: str, clip: str | None):
    law = optimizer(written)
    assert (law.name, law.decay, law.clip) == (name, decay, clip)


@pytest.mark.parametrize("pair", ["0, 1", "1, 0", "1/64, 63/64"])
def test_exponents_of_two_gram_matrices(pair: str):
    assert optimizer(f"shampoo({pair})").exponents == tuple(map(Fraction, pair.split(",")))


TOLD = {
    "shampo": "did you mean 'shampoo'", "adamw(": "cannot read the optimizer", "": "cannot read the optimizer", "adamw(decy=coupled)": "did you mean 'decay'", "adamw(decay=couple)": "did you mean 'coupled'",
    "sgd(clip=coupled)": "'coupled'", "adamw(1/4,1/4)": "takes no exponents, not '1/4'", "sgd(x)": "takes no exponents, not 'x'",
    "muon(decay=coupled)": "as a matrix of full rank",
}  # fmt: skip
TOLD |= {f"shampoo({pair})": "needs two exponents" for pair in (
    "1/4", "1/4,1/4,1/4", "0,0", "1/0,1", "5/4,1/4", "1/4,-1/4", "1/4,1/65", "1/65,1/4", "a,b")}  # fmt: skip


@pytest.mark.parametrize("written", TOLD)
def test_what_is_no_optimizer_is_told(written: str):
    with pytest.raises(ScaleRulesError) as caught:
        optimizer(written)
    assert TOLD[written] in str(caught.value)


def test_coupled_decay_of_what_moves_entries_is_that_of_its_gradient():
    assert optimizer("lamb(decay=coupled)").decay == "coupled" and optimizer("shampoo(decay=decoupled)").spectral


def test_a_solution_runs_no_file_that_was_not_asked_for(tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text(LAW)
    with pytest.raises(ScaleRulesError, match="was not asked for here"):
        named_in(str(file))
    asked = optimizer(str(file))
    assert named_in(str(file)).name == asked.name == str(file) and named_in("adamw(clip=fixed)").clip == "fixed"
    with pytest.raises(ScaleRulesError, match="cannot read the optimizer"):
        named_in("adamw(")
