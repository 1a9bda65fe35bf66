"""The selective scan: compiled, differentiable once, of little memory; the reference for state-space models."""

from .arguments import DISCRETISATIONS, DoubleBackwardError, ScanError, ScanTypeError
from .scan import selective_scan, selective_scan_fn

__all__ = [
    "DISCRETISATIONS",
    "DoubleBackwardError",
    "ScanError",
    "ScanTypeError",
    "selective_scan",
    "selective_scan_fn",
]
