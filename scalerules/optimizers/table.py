"""The optimizers by name, each as its formula with its source.

A new one is one row here, in the words of `vocabulary`. `shampoo(1/8,1/8)` has other exponents,
`adamw(decay=independent)` another decay, `sgd(clip=fixed)` clipped gradients.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any

from .form import Formula
from .law import Optimizer
from .vocabulary import (
    average,
    damping,
    decayed,
    eps,
    inputs,
    maximum,
    norm,
    orthogonal,
    outputs,
    power,
    rms,
    sign,
    spectral,
    sqrt,
    trust,
)
from .vocabulary import left as gram_left
from .vocabulary import right as gram_right

QUARTER = Fraction(1, 4)


# --- formulas: g the gradient, w the parameter, p its place ------------------------------


def sgd(g: Any) -> Any:  # noqa: D103
    return average(g)


def adam(g: Any) -> Any:  # noqa: D103
    return average(g) / (sqrt(average(g * g, 0.999)) + eps)


def signs(g: Any) -> Any:  # noqa: D103
    return sign(average(g))


def adafactor(g: Any, w: Any) -> Any:  # noqa: D103
    u = g / sqrt(average(g * g + eps, 0.999))
    return maximum(rms(w), damping("eps2")) * u / maximum(1, rms(u))


def lamb(g: Any, w: Any) -> Any:  # noqa: D103
    u = decayed(adam(g))
    return trust(w, u) * u


def lars(g: Any, w: Any) -> Any:  # noqa: D103
    return trust(w, norm(g) + eps) * g


def muon(g: Any, w: Any, p: Any) -> Any:  # noqa: D103
    if not p.matrix:
        return adam(g)
    m = average(g)
    return orthogonal(m / (norm(m) + eps))


def muon_spectral(g: Any, w: Any, p: Any) -> Any:  # noqa: D103
    return muon(g, w, p) * (sqrt(p.fan_out / p.fan_in) if p.matrix else 1)


def muon_original(g: Any, w: Any, p: Any) -> Any:  # noqa: D103
    return muon(g, w, p) * (sqrt(maximum(1, p.fan_out / p.fan_in)) if p.matrix else 1)


def muon_match_rms(g: Any, w: Any, p: Any) -> Any:  # noqa: D103
    return muon(g, w, p) * (sqrt(maximum(p.fan_out, p.fan_in)) if p.matrix else 1)


@cache
def shampoo(left: Fraction, right: Fraction) -> Formula:  # noqa: D103
    def formula(g: Any) -> Any:
        return power(gram_left(g) + eps, -left) @ g @ power(gram_right(g) + eps, -right)

    return formula


def soap(g: Any, w: Any, p: Any) -> Any:  # noqa: D103
    if not p.matrix:
        return adam(g)
    return orthogonal(g / (spectral(g) + eps))


def kfac(g: Any) -> Any:  # noqa: D103
    factors = (inputs(g) + damping("A")) * (outputs(g) + damping("B"))
    return power(factors + eps, -1) @ g


# --- names, reasons, sources ---------------------------------------------------------------

_SGD = "The update is the gradient times the rate; momentum changes no size."
_ADAM = (
    "Every entry is divided by its own recent size, so the update has the size of the rate and the gradient's signs."
)
_SINGULAR = "singular values of a gradient of bounded rank are its size times sqrt(fan_in fan_out)"


def with_exponents(left: Fraction, right: Fraction, name: str = "shampoo") -> Optimizer:
    """Shampoo as L^-left G R^-right: a singular value s becomes s^(1 - 2 left - 2 right)."""
    return Optimizer(
        name, f"L^-{left} G R^-{right}, L = G G^T and R = G^T G summed over steps: {_SINGULAR}, and each becomes its "
        f"power {1 - 2 * (left + right)}; a vector's one Gram matrix gets both exponents. shampoo(e_L,e_R) has others.",
        "Gupta, Koren and Singer 2018, arXiv 1802.09568", shampoo(left, right), exponents=(left, right),
    )  # fmt: skip


OPTIMIZERS: dict[str, Optimizer] = {
    rule.name: rule
    for rule in [
        Optimizer("sgd", _SGD, "Robbins and Monro 1951; Polyak 1964", sgd),
        Optimizer("momentum", _SGD, "Polyak 1964", sgd),
        Optimizer("nesterov", _SGD, "Nesterov 1983; Sutskever et al. 2013", sgd),
        Optimizer("adam", _ADAM, "Kingma and Ba 2015, arXiv 1412.6980", adam),
        Optimizer("adamw", _ADAM, "Loshchilov and Hutter 2019, arXiv 1711.05101", adam),
        Optimizer("rmsprop", _ADAM, "Tieleman and Hinton 2012", adam),
        Optimizer("adagrad", _ADAM, "Duchi, Hazan and Singer 2011", adam),
        Optimizer("adam-atan2", "atan2(m, sqrt(v)) entry by entry: the ratio decides, and there is no epsilon.",
                  "Everett et al. 2024, arXiv 2407.05872", signs),
        Optimizer("lion", "The update is the sign of an average of gradients.", "Chen et al. 2023, arXiv 2302.06675",
                  signs),
        Optimizer("sign", "The update is the sign of the gradient.", "Bernstein et al. 2018, arXiv 1802.04434", signs),
        Optimizer("learned", "A learned optimizer whose update has size one per entry, whatever the gradient's size.",
                  "Therien et al. 2024, arXiv 2406.00153", signs),
        Optimizer("adafactor", "As adam, the second moment kept per row and column, the rate times the root mean "
                  "square of the parameter (eps2 where it started at zero).",
                  "Shazeer and Stern 2018, arXiv 1804.04235", adafactor),
        Optimizer("lamb", "As adam, times |W| / |update|: relative to the parameter (1 where that is zero).",
                  "You et al. 2020, arXiv 1904.00962", lamb),
        Optimizer("lars", "The gradient times |W| / |gradient|: relative to the parameter (a plain gradient where that "
                  "is zero).", "You, Gitman and Ginsburg 2017, arXiv 1708.03888", lars),
        Optimizer("muon", "A matrix moves by an orthogonal one: spectral norm one at bounded rank, entries "
                  "1/sqrt(fan_in fan_out); other parameters move by the sign-like rule.",
                  "Jordan et al. 2024; no adjustment of the rate", muon),
        Optimizer("muon-spectral", "As muon, the rate times sqrt(fan_out/fan_in).",
                  "Bernstein and Newhouse 2024, arXiv 2409.20325", muon_spectral),
        Optimizer("muon-original", "As muon, the rate times sqrt(max(1, fan_out/fan_in)).",
                  "torch.optim.Muon, adjust_lr_fn='original'", muon_original),
        Optimizer("muon-match-rms", "As muon, the rate times sqrt(max(fan_out, fan_in)).",
                  "Liu et al. 2025, arXiv 2502.16982; torch.optim.Muon, adjust_lr_fn='match_rms_adamw'",
                  muon_match_rms),
        with_exponents(QUARTER, QUARTER),
        Optimizer("soap", "adam in the eigenbasis of Shampoo's factors: a gradient of bounded rank has few entries "
                  "there, which become of size one, so a matrix moves with spectral norm one; others move as by adam.",
                  "Vyas et al. 2024, arXiv 2409.11321", soap),
        Optimizer("kfac", f"B^-1 G A^-1 with A = x x^T over fan-in, B = d d^T over fan-out: {_SINGULAR}, and each "
                  "becomes its inverse.", "Martens and Grosse 2015, arXiv 1503.05671", kfac),
    ]
}  # fmt: skip
"""The law of every optimizer by name."""
