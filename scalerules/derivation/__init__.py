"""From a question to its solution, and the solution carried on as source code or onto a live model."""

from .classify import classify
from .derive import derive
from .export import apply, emit

__all__ = ["apply", "classify", "derive", "emit"]
