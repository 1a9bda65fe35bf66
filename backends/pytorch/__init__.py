"""PyTorch: `emit` writes a solution as a self-contained file, `apply` sets up a live model by parameter name."""

from .model.apply import Groups, apply
from .source.emit import emit

__all__ = ["Groups", "apply", "emit"]
