import pytest
import torch
from scalerules.backends.training.refusals import reason, told

from scalerules.errors import ScaleRulesError

MISTAKE = ScaleRulesError("cannot be trained")


def test_memory_that_is_used_up_is_no_mistake_of_the_graph() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 50)
    error = told(refused.value, MISTAKE)
    assert isinstance(error, MemoryError)
    assert "can't allocate memory" in str(error)
    assert isinstance(told(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), MISTAKE), MemoryError)


def test_what_torch_cannot_compute_is_the_mistake_that_is_named() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.dot(torch.ones(2), torch.ones(3))
    assert told(refused.value, MISTAKE) is MISTAKE
    assert reason(refused.value) == str(refused.value).splitlines()[0].rstrip(".")
