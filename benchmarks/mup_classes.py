"""The classes of muP (arXiv 2203.03466, table 8) by shape and kind of layer, and where a derived rule is another.

A weight maps in-axes to out-axes: *hidden* where both grow, *narrow* where only the in-axis does, *vector* else
(inputs, tables, biases, gains, scalars). A parameter that no layer of torch reads is what `BY_HAND` says, by model and
pattern of its name; without an entry it is hidden where two of its axes grow, and else a vector. Behind a narrow weight
that is no readout what matters is of order one at the start, so both -1/2 and -1 pass there. *Positions* are vectors
that queries are multiplied with behind the module's own `1/sqrt(head)`: for `1/head`, which the scores need, that is a
root too much.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from fractions import Fraction
from typing import Any

import torch
from torch import nn

from scalerules.architecture.block_names import stands_for

HALF = Fraction(-1, 2)
CLASSES: dict[str, tuple[set[Fraction], set[Fraction]]] = {
    "vector": ({Fraction(0)}, {Fraction(0)}),
    "hidden": ({HALF}, {Fraction(-1)}),
    "narrow": ({HALF, Fraction(-1)}, {Fraction(-1)}),
    "positions": ({HALF}, {HALF}),
}
"""Exponents of the initial standard deviation and of Adam's rate, multipliers included."""

BY_HAND: dict[tuple[str, str], str] = {
    ("*", "*.mlp.gate.weight"): "narrow",  # a router is a bare parameter in transformers
    ("SSMLoRA", "A.*"): "narrow",  # h @ A.T, to a fixed rank
    ("RelativePositions", "Er"): "positions",
    ("[LD]*oRA", "*.A"): "narrow",
    ("CrossNetV2", "v.*"): "narrow",  # to a fixed rank
    ("DynamicHyper", "w[ab].*"): "narrow",  # a few weights of every token
    ("SincNet", "band"): "narrow",  # the range of frequencies over their number
    ("EdgeAttention", "a[lr]"): "narrow",
    ("KAN", "c2"): "narrow",
    ("pyg_gat*", "convs.[01].att*"): "narrow",  # one score a head
}

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
OWN_LINEAR = ("Conv1D", "Linear")
"""Layers of libraries that are no layers of torch: of transformers (turned around), of torch_geometric."""
LAYERS = (nn.Linear, nn.Bilinear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)


def differences(model: str, entry: Any, solution: Any, graph: Any) -> tuple[int, list[str]]:
    """How many rules were compared, and a line for each that is of another class."""
    scale, found = next(iter(entry.scales)), dict[str, str]()
    for name, (module, grown) in trained(entry).items():
        for part in parts(name, solution.parameters):
            axes = [bool(graph.lengths[axis].scales) for axis in graph.parameters[part].axes]
            own = of_part(axes) if "[" in part and len(grown) > 1 and 0 < len(axes) < 3 else grown
            rows = part.partition("[")[2].partition(",")[0]
            if own is not grown and len(axes) == 1 and (rows == ":" or any(map(str.isalpha, rows))):
                own = [*axes, False]  # one column
            found[part] = by_hand(model, name) or by_layer(module, own)
    lines: list[str] = []
    for part, kind in found.items():
        rule, (inits, rates) = solution.parameters[part], CLASSES[kind]
        mult, init, lr = (Fraction(str(each[scale])) for each in (rule.mult, rule.init, rule.lr))
        random = graph.parameters[part].init == "normal"
        if (random and init + mult not in inits) or lr + mult not in rates:
            lines.append(f"{part}: {kind}, derived init {init + mult} lr {lr + mult}")
    return len(found), lines


def of_part(axes: list[bool]) -> list[bool]:
    """Whether rows and columns grow, of rows that may be viewed in factors."""
    return [any(axes[:-1]), axes[-1]]


def trained(entry: Any) -> dict[str, tuple[nn.Module, list[bool]]]:
    """Every trained parameter by its name: the module that holds it, and which of its axes grow."""
    small, large = (made(entry, place) for place in (0, 1))
    later = dict(large.named_parameters())
    found: dict[str, tuple[nn.Module, list[bool]]] = {}
    for path, module in small.named_modules():
        for own, value in module.named_parameters(recurse=False):
            name = f"{path}.{own}".lstrip(".")
            if value.requires_grad and name in later:
                found[name] = module, [a != b for a, b in zip(value.shape, later[name].shape, strict=True)]
    return found


def made(entry: Any, place: int) -> nn.Module:
    """The model at one of the values of its first scale, the others at their first."""
    first, *_ = entry.scales
    sizes = {scale: values[place if scale == first else 0] for scale, values in entry.scales.items()}
    with torch.device("meta"):
        model = entry.make_model(**sizes)
    return model


def by_hand(model: str, name: str) -> str | None:
    """The class that was written down for a parameter, if any."""
    return next((kind for (of, like), kind in BY_HAND.items() if fnmatch(model, of) and fnmatch(name, like)), None)


def by_layer(module: nn.Module, grown: list[bool]) -> str:
    """The class of a parameter of a layer, from which of its axes grow."""
    if len(grown) > 1 and (isinstance(module, (*LAYERS, *TRANSPOSED)) or type(module).__name__ in OWN_LINEAR):
        turned = isinstance(module, TRANSPOSED) or type(module).__name__ == "Conv1D"
        out, into = (grown[1], grown[0]) if turned else (grown[0], any(grown[1:2]))
        return "vector" if not into else "hidden" if out else "narrow"
    return "hidden" if sum(grown) > 1 else "vector"


def parts(name: str, rules: Mapping[str, Any]) -> Iterator[str]:
    """The names of rules that stand for a parameter: itself, blocks that are folded, parts of a fused weight."""
    yield from (rule for rule in rules if stands_for(rule.partition("[")[0], name))
