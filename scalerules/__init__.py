"""scalerules derives how initialisation, multipliers and learning rates scale, from the computation graph."""

from .build import Builder
from .errors import ScaleRulesError
from .graph import Graph, Node, Parameter

__all__ = ["Builder", "Graph", "Node", "Parameter", "ScaleRulesError"]
