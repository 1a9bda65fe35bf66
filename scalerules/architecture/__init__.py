"""An architecture as data: checked, read and written."""

from .builder import Builder
from .graph import Graph

__all__ = ["Builder", "Graph"]
