"""What parameters read, one row for each sample: for laws that are preconditioned by its covariance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .abstract_program import AbstractProgram


def read_by(program: AbstractProgram, values: Mapping[str, Any], names: Any) -> dict[str, Tensor]:
    """Samples x fan-in of every matrix that an einsum at the top level multiplies with one value."""
    samples: dict[str, Tensor] = {}
    for name in names:
        for reader in program.readers(name):
            node = program.graph.nodes.get(reader)
            if node is not None and node.op == "einsum" and len(node.inputs) == len(node.parameters) == 1:
                (operand, parameter), result = node.labels()
                summed = [i for i, label in enumerate(operand) if label in parameter and label not in result]
                shared = [label for label in operand if label in parameter and label in result]
                if summed and not shared:
                    x = values[node.inputs[0]].detach()
                    kept = [i for i in range(x.ndim) if i not in summed]
                    samples[name] = x.permute(*kept, *summed).flatten(len(kept)).flatten(0, len(kept) - 1)
    return samples
