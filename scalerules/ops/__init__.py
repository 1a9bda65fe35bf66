"""The elementary operations: one file per family, each operation with its reason and its laws."""

from .registry import OPS, Op

__all__ = [
    "OPS", "Op", "arrange", "contract", "elementwise", "fourier", "join", "normalise", "recur", "repeat", "select",
]  # fmt: skip
