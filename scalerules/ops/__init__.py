"""The elementary operations: one file a family, each operation with its reason, its axes and its laws."""

from . import arrange, contract, elementwise, fourier, join, normalise, repeat, scan, top_k
from .node import Node, Parameter
from .registry import OPS, Op

__all__ = [
    "Node",
    "OPS",
    "Op",
    "Parameter",
    "arrange",
    "contract",
    "elementwise",
    "fourier",
    "join",
    "normalise",
    "repeat",
    "scan",
    "top_k",
]
