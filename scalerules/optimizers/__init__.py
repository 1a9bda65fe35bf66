"""Optimizers: a formula each, from which follows how rates, epsilons and decay scale; and the words to write one."""

from .gradients import entries, explicit_if_summed
from .law import Optimizer
from .named import optimizer
from .own import register
from .table import OPTIMIZERS
from .vocabulary import (
    average,
    clip,
    damping,
    decayed,
    eps,
    global_norm,
    inputs,
    inverse,
    left,
    low_rank,
    maximum,
    minimum,
    norm,
    orthogonal,
    outputs,
    power,
    right,
    rms,
    sign,
    spectral,
    sqrt,
    trust,
)

__all__ = [
    "OPTIMIZERS", "Optimizer", "average", "clip", "damping", "decayed", "entries", "eps", "explicit_if_summed",
    "global_norm", "inputs", "inverse", "left", "low_rank", "maximum", "minimum", "norm", "optimizer", "orthogonal",
    "outputs", "power", "register", "right", "rms", "sign", "spectral", "sqrt", "trust",
]  # fmt: skip
