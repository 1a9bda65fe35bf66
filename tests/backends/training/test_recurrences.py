"""Loops over time that are exported as one call are run as one: the same numbers as the module's own loops."""

from __future__ import annotations

import pytest
import torch
from scalerules.backends.training.module_calls import Calls
from scalerules.backends.training.recurrences import TABLE, delta_rule, selective_scan
from torch.utils import _pytree as tree

from benchmarks.zoo import ZOO
from scalerules.tracing.exporting.factories import quiet
from scalerules.tracing.exporting.library_kernels import REPLACED, whole_kernels
from scalerules.tracing.exporting.plain_inputs import Arguments
from scalerules.tracing.exporting.whole_program import whole_program

IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2], [2, 7, 1, 8, 2, 8, 1]])


@pytest.mark.parametrize("name", ["mamba", "mamba2", "rwkv", "xlstm"])
def test_an_exported_recurrence_runs_as_the_module_does(name: str) -> None:
    torch.manual_seed(0)
    model = ZOO[name].make_model(width=64).eval()
    for parameter in model.parameters():  # decays and gates away from their first values
        parameter.data += 0.1 * torch.randn_like(parameter)
    with quiet(), whole_kernels():
        program, *_ = whole_program(model, Arguments.of((), {"input_ids": IDS, "use_cache": False}))
    known = {str(node.target) for node in program.graph_module.graph.nodes if "scalerules" in str(node.target)}
    assert known, "the recurrence was exported as one call"
    buffers = {**dict(program.named_buffers()), **program.constants}
    weights, signature = dict(model.named_parameters(remove_duplicate=False)), program.graph_signature
    kinds = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    kinds |= signature.inputs_to_lifted_tensor_constants
    held = {node: {**buffers, **weights}[path] for node, path in kinds.items()}
    places = [node.name for node in program.graph_module.graph.nodes if node.op == "placeholder"]
    calls = Calls(program.graph_module, {})
    with torch.no_grad():
        found = calls.run(*[held.get(place, IDS) for place in places])
        wanted = model(input_ids=IDS, use_cache=False).logits
    logits = [x for x in tree.tree_leaves(found) if torch.is_tensor(x) and x.shape == wanted.shape]
    assert any(torch.allclose(x, wanted, atol=2e-4, rtol=1e-3) for x in logits), (logits[0] - wanted).abs().max()


def test_the_selective_scan_is_that_of_the_library() -> None:
    from scalerules.backends.scan.scan import selective_scan as compiled

    generator = torch.Generator().manual_seed(1)
    u, dt = (torch.randn(2, 6, 9, generator=generator, dtype=torch.float64) for _ in range(2))
    A = -torch.rand(6, 4, generator=generator, dtype=torch.float64)
    B, C = (torch.randn(2, 4, 9, generator=generator, dtype=torch.float64) for _ in range(2))
    dt = torch.nn.functional.softplus(dt)
    assert torch.allclose(selective_scan(u, dt, A, B, C), compiled(u, dt, A, B, C), atol=1e-12)


def test_the_delta_rule_writes_what_it_reads() -> None:
    """With unit keys, no decay and beta 1 the state returns what was written last under a key."""
    generator = torch.Generator().manual_seed(2)
    keys = torch.nn.functional.one_hot(torch.tensor([0, 1, 0, 2, 1]), 4).double()[None, :, None]
    values = torch.randn(1, 5, 1, 3, generator=generator, dtype=torch.float64)
    gates, writes = torch.zeros(1, 5, 1, dtype=torch.float64), torch.ones(1, 5, 1, dtype=torch.float64)
    assert torch.allclose(delta_rule(keys, keys, values, gates, writes), values)
    decayed = delta_rule(keys, keys, values, gates - 1, 0 * writes)
    assert torch.equal(decayed, torch.zeros_like(values))


def test_every_recurrence_that_is_kept_whole_can_be_run() -> None:
    names = {op.split("::")[1] for op in torch._C._dispatch_get_all_op_names() if op.startswith("scalerules::")}
    runs_itself = {"unplaced_labels_loss"}
    assert names - runs_itself == set(TABLE) and REPLACED
