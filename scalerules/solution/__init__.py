"""The answer as data, and printed."""

from .rule import Rule
from .solution import Solution

__all__ = ["Rule", "Solution"]
