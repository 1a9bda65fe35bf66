"""What torch prepares for the functional form of a program is kept, and changes nothing of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_impls import op_implementations_dict as rules

from scalerules.tracing.exporting.functional import functional
from scalerules.tracing.exporting.settled_names import settle_names

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


def exp_beside(x: torch.Tensor) -> torch.Tensor:
    x.exp()
    return x + 1


class Computed(nn.Module):
    """Functions and modules, one after the other."""

    def __init__(self, *parts: Any) -> None:
        super().__init__()
        self.parts, self.held = parts, nn.ModuleList(part for part in parts if isinstance(part, nn.Module))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for part in self.parts:
            x = part(x)
        return x


MODULES: dict[str, tuple[bool, Any]] = {
    "perceptron": (True, lambda: nn.Sequential(nn.Linear(6, 6), nn.SiLU(), nn.LayerNorm(6), nn.Linear(6, 2))),
    "attention": (True, lambda: Computed(lambda x: torch.nn.functional.scaled_dot_product_attention(x, x, x))),
    "largest": (True, lambda: Computed(lambda x: torch.mul(*torch.topk(x, 2)))),
    "no gradient": (True, lambda: Computed(torch.no_grad()(lambda x: x.detach() * x))),
    "random": (True, lambda: Computed(lambda x: x + torch.randn_like(x) + torch.bernoulli(x.sigmoid()))),
    "a view of composites": (True, lambda: Computed(lambda x: x.mT.flatten(1))),
    "views of several values": (True, lambda: Computed(lambda x: torch.cat([*x.chunk(3, 2), *x.chunk(2, 2)], 2))),
    "a view that is none": (True, lambda: Computed(lambda x: x.flatten(0, 0).exp())),
    "a view and a copy": (True, lambda: Computed(lambda x: x.mT.reshape(-1).unflatten(0, (4, -1)), lambda x: x.T)),
    "of a shape alone": (True, lambda: Computed(lambda x: x.flatten().expand_as(x.exp().new_ones(2, 36)))),
    "one view behind another": (
        True,
        lambda: Computed(lambda x: x.movedim(0, 1).reshape(3, 12).unflatten(1, (2, 6)).mT),
    ),
    "in place": (False, lambda: nn.Sequential(nn.Linear(6, 6), nn.ReLU(inplace=True))),
    "statistics": (False, lambda: nn.BatchNorm1d(3)),
    "not read": (True, lambda: Computed(exp_beside)),
    "one of two": (True, lambda: Computed(lambda x: x.max(-1)[0])),
    "a table of bounded rows": (False, lambda: Computed(lambda x: x.long(), nn.Embedding(4, 3, max_norm=1.0))),
    "recurrence": (True, lambda: Computed(nn.LSTM(6, 6), lambda found: found[0])),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODULES)
def test_a_program_of_which_all_stays_is_taken_as_it_is(name: str):
    """And only such a one: what torch makes of it has the same calls, names, arguments and lines of the user's code."""
    stays, make = MODULES[name]
    with torch.no_grad():
        program = exported(make())
        plain = program.run_decompositions({})
        found = functional(program)
    assert (found is program) is stays
    assert str(found.graph_signature.output_specs[-1]).count(str(found.graph.output_node().args[0][-1]))
    for each in (found, plain):
        settle_names(each)
    assert told(found) == told(plain)
    found_lines, plain_lines = (
        [str(node.meta.get("stack_trace")) for node in each.graph.nodes] for each in (found, plain)
    )
    assert found_lines == plain_lines
    assert str(found.graph_signature) == str(plain.graph_signature)


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
