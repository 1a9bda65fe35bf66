"""A fused weight, several matrices in one parameter: its rules by hand, and those of the same parts apart."""

from __future__ import annotations

from handmade import handmade
from residual_net import BASE

import scalerules as sr
from scalerules.solution.solution import Solution

CUTS = {
    "rows": (["qkv.weight[0:width, :]", "qkv.weight[width:2*width, :]", "qkv.weight[2*width:3*width, :]"], "n n"),
    "heads in turn": ([f"qkv.weight[(4, 3, width/4)[:, {i}, :], :]" for i in range(3)], "heads head n"),
}


def parts_of_one(names: list[str], axes: str) -> Solution:
    """Rules for weights that read one input; where the names are cuts, parts of one weight."""
    g = sr.Builder("parts", sizes=BASE, axes={"batch": 4, "n": "width", "heads": 4, "head": "width/4"})
    x, labels = g.input("x", "batch n"), {"n": "m", "heads": "h", "head": "d"}
    outputs: list[str] = []
    for index, name in enumerate(names):
        g.parameter(name, axes)
        out = " ".join(labels[axis] for axis in axes.split()[:-1])
        outputs.append(g.einsum(f"y{index}", f"b n, {out} n -> b {out}", x, parameters=(name,)))
    return handmade(g.build(*outputs), "muon-original")
