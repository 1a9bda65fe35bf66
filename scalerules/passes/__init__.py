"""The passes over an unfolded graph: forward, backward, changes, step by step."""

from .plan import Plan
from .propagate import propagate

__all__ = ["Plan", "propagate"]
