"""Optimizers: a formula each, from which follows how rates, epsilons and decay scale; and the words to write one."""

from scalerules.optimizers.gradients import entries, explicit_if_summed
from scalerules.optimizers.law import Optimizer
from scalerules.optimizers.named import optimizer
from scalerules.optimizers.own import register
from scalerules.optimizers.table import OPTIMIZERS
from scalerules.optimizers.vocabulary import (
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
