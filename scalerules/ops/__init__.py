"""The elementary operations: one file per family, each operation with its reason and its laws."""

from . import contract, elementwise, join, normalise, recur, repeat, select
from .registry import OPS, Op

__all__ = ["OPS", "Op", "contract", "elementwise", "join", "normalise", "recur", "repeat", "select"]
