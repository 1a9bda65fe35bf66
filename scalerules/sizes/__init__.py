"""How axes grow, exact lengths and exponents."""

from .exponents import Exponents
from .lengths import Direction, Length
from .vectors import Vector

__all__ = ["Direction", "Exponents", "Length", "Vector"]
