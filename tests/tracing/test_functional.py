"""What torch prepares for the functional form of a program is kept, and changes nothing of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch._subclasses.fake_impls import op_implementations_dict as rules

from scalerules.tracing.exporting.functional import functional

ATTENTION = torch.ops.aten.scaled_dot_product_attention.default


class Mixed(nn.Module):
    """Operators that stay whole, that do not, in-place operations and views."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.norm, self.rnn = nn.Linear(6, 6), nn.LayerNorm(6), nn.GRU(6, 6, batch_first=True)
        self.batch = nn.BatchNorm1d(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.rnn(self.norm(self.read(x)))[0].clone()
        h.mul_(2.0).add_(1)
        h = torch.nn.functional.scaled_dot_product_attention(h, h, h).reshape(-1, 6)
        return torch.nn.functional.dropout(self.batch(h).view(2, 3, 6).softmax(-1), 0.1)


def exported(model: nn.Module) -> torch.export.ExportedProgram:
    return torch.export.export(model, (torch.ones(2, 3, 6),), strict=False)


def told(program: torch.export.ExportedProgram) -> list[str]:
    """Every call, with its arguments, and what it gives."""
    return [f"{node.format_node()} {node.meta.get('val')}" for node in program.graph.nodes]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", (Mixed().eval(), Mixed()), ids=("evaluation", "training"))
def test_a_program_is_what_torch_makes_of_it(model: nn.Module):
    with torch.no_grad():
        plain = told(exported(model).run_decompositions({}))
        before = dict(ATTENTION.py_kernels), set(rules)
        first, second = told(functional(exported(model))), told(functional(exported(model)))
    assert first == second == plain
    assert any("aten.scaled_dot_product_attention" in line for line in plain)
    assert (dict(ATTENTION.py_kernels), set(rules)) == before


def test_an_operator_that_is_registered_later_stays_whole_too():
    functional(exported(nn.Linear(6, 6)))
    library = torch.library.Library("scalerules_test", "FRAGMENT")
    library.define("twice(Tensor x) -> Tensor")
    library.impl("twice", lambda x: x + x, "CompositeImplicitAutograd")

    class Twice(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.ops.scalerules_test.twice(x)

    with torch.no_grad():
        plain = told(exported(Twice()).run_decompositions({}))
        assert told(functional(exported(Twice()))) == plain
    assert any("scalerules_test.twice" in line for line in plain)
    library._destroy()
