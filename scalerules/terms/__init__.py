"""A size and its signs, and the contraction law."""

from .contraction import contract
from .merging import merged
from .term import Term

__all__ = ["Term", "contract", "merged"]
