"""The elementary operations: one file per family, each operation with its reason and its laws."""

from . import arrange, contract, elementwise, fourier, join, normalise, recur, repeat, select
from .registry import OPS, Op

__all__ = [
    "OPS", "Op", "arrange", "contract", "elementwise", "fourier", "join", "normalise", "recur", "repeat", "select",
]  # fmt: skip
