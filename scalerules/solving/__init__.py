"""What is asked of the exponents, and its exact solution."""

from .problem import Problem
from .solve import solve

__all__ = ["Problem", "solve"]
