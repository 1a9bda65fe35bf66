"""The selective scan against a plain loop of torch operations, which is written out here once."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scalerules.backends.scan.arguments import DoubleBackwardError, ScanError, ScanTypeError
from scalerules.backends.scan.by_steps import scan_by_steps
from scalerules.backends.scan.scan import selective_scan, selective_scan_fn
from torch import Tensor
from torch.nn.functional import silu, softplus

from scalerules.errors import ScaleRulesError

METHODS = ("euler", "zoh", "bilinear")


def weights(method: str, dt: Tensor, A: Tensor) -> tuple[Tensor, Tensor]:
    x = dt * A
    if method == "bilinear":
        return (1 + x / 2) / (1 - x / 2), dt / (1 - x / 2)
    if method == "euler":
        return torch.exp(x), dt + 0 * x
    return torch.exp(x), (torch.exp(x) - 1 if x.is_complex() else torch.expm1(x)) / A


def plain_scan(
    u, delta, A, B, C, D=None, z=None, delta_bias=None, initial_state=None, delta_softplus=False, discretisation="euler"
) -> tuple[Tensor, Tensor]:
    """(y, last state): the definition, step by step, differentiable by autograd."""
    batch, dim, length = u.shape
    dt = delta if delta_bias is None else delta + delta_bias[:, None]
    dt = softplus(dt) if delta_softplus else dt
    dt = dt.repeat_interleave(dim // dt.shape[1], 1)

    def full(x: Tensor) -> Tensor:
        if x.ndim == 2:
            return x[None, :, :, None].expand(batch, -1, -1, length)
        x = x[:, None] if x.ndim == 3 else x
        return x.repeat_interleave(dim // x.shape[1], 1)

    B, C = full(B), full(C)
    A = A.reshape(-1, 1) if A.ndim < 2 else A
    A = A.repeat_interleave(dim // A.shape[0], 0).expand(dim, B.shape[2])
    h = torch.zeros(batch, dim, B.shape[2], dtype=A.dtype) if initial_state is None else initial_state
    steps = []
    for t in range(length):
        decay, weight = weights(discretisation, dt[:, :, t, None], A)
        h = decay * h + weight * B[..., t] * u[:, :, t, None]
        steps.append((C[..., t] * h).sum(-1))
    y = torch.stack(steps, 2)
    y = 2 * y.real if y.is_complex() else y
    y = y if D is None else y + D.repeat_interleave(dim // D.shape[0])[:, None] * u
    return y if z is None else y * silu(z), h


def arguments(
    batch=2, dim=5, length=7, states=3, *, dtype=torch.float64, complex_a=False, fixed="", groups=0, heads=0, seed=0
) -> dict[str, Tensor]:
    """Random arguments, all with gradient; A = -1 to 0, dt near 0.3."""
    draw = torch.Generator().manual_seed(seed)

    def real(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=dtype, generator=draw)

    def either(*shape: int) -> Tensor:
        return torch.complex(real(*shape), real(*shape)) if complex_a else real(*shape)

    def projection(name: str) -> Tensor:
        if name in fixed:
            return either(dim, states)
        return either(batch, groups, states, length) if groups else either(batch, states, length)

    A = -torch.rand(heads or dim, 1 if heads else states, dtype=dtype, generator=draw)
    made = {
        "u": real(batch, dim, length),
        "delta": softplus(real(batch, heads or dim, length) - 1),
        "A": torch.complex(A, real(*A.shape)) if complex_a else A,
        "B": projection("B"),
        "C": projection("C"),
        "D": real(dim),
        "initial_state": either(batch, dim, states),
    }
    return {name: tensor.requires_grad_() for name, tensor in made.items()}


def off(a: Tensor, b: Tensor) -> float:
    """The distance relative to b."""
    return ((a - b).detach().norm() / b.detach().norm()).item()


def results_and_gradients(scan, tensors: dict[str, Tensor], **options) -> dict[str, Tensor]:
    """y, last state, and the gradients of a fixed random function of both."""
    y, state = scan(**tensors, **options)
    draw = torch.Generator().manual_seed(7)
    to_y = torch.randn(y.shape, dtype=torch.float64, generator=draw).to(y.dtype)
    to_state = torch.randn(state.shape, dtype=torch.float64, generator=draw).to(state.dtype)
    gradients = torch.autograd.grad([y, state], list(tensors.values()), [to_y, to_state])
    return {"y": y, "last_state": state, **dict(zip(tensors, gradients, strict=True))}


def compare(tensors: dict[str, Tensor], tolerance: float, tolerance_y: float | None = None, **options) -> None:
    mine = results_and_gradients(selective_scan, tensors, return_last_state=True, **options)
    double = {
        name: t.detach().to(torch.complex128 if t.is_complex() else torch.float64).requires_grad_()
        for name, t in tensors.items()
    }
    theirs = results_and_gradients(plain_scan, double, **options)
    errors = {name: off(mine[name], theirs[name]) for name in theirs}
    assert errors.pop("y") <= (tolerance_y or tolerance)
    assert {name: error for name, error in errors.items() if not error <= tolerance} == {}


# every method with real and complex A; every form of A, B, C with Euler, so that few kernels are compiled
FORMS = {
    "selective": {},
    "groups": dict(dim=6, groups=3),
    "fixed B": dict(fixed="B", dim=6, groups=2),
    "fixed C": dict(fixed="C"),
    "fixed both": dict(fixed="BC"),
    "heads": dict(dim=6, heads=2),
    "one A": dict(heads=1),
    "complex": dict(complex_a=True),
    "complex fixed": dict(complex_a=True, fixed="BC"),
    "complex groups": dict(complex_a=True, dim=4, groups=2, fixed="C"),
    "complex heads": dict(complex_a=True, dim=4, heads=2),
}
CASES = [("euler", form) for form in FORMS] + [(m, f) for m in METHODS[1:] for f in ("selective", "heads", "complex")]


@pytest.mark.parametrize(("method", "form"), CASES)
def test_gradcheck(method: str, form: str) -> None:
    tensors = arguments(**{"batch": 2, "dim": 3, "length": 4, "states": 2, **FORMS[form]})

    def scan(*values: Tensor):
        named = dict(zip(tensors, values, strict=True))
        return selective_scan(**named, discretisation=method, return_last_state=True)

    assert torch.autograd.gradcheck(scan, tuple(tensors.values()), fast_mode=True)


@pytest.mark.parametrize(("method", "form"), CASES)
def test_the_plain_loop_gives_the_same(method: str, form: str) -> None:
    compare(arguments(**{"length": 70, "dim": 20, "states": 3, **FORMS[form]}), 1e-13, discretisation=method)


@pytest.mark.parametrize("method", METHODS[:2])
def test_float32_is_as_close_as_it_can_be(method: str) -> None:
    """Against float64: y within 4e-7, gradients within 1e-6."""
    compare(arguments(1, 33, 300, 8, dtype=torch.float32), 1e-6, 4e-7, discretisation=method)


def test_complex64() -> None:
    compare(arguments(dtype=torch.float32, complex_a=True, length=40), 2e-6, discretisation="zoh")


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 30.0])
def test_zero_order_hold_is_accurate_for_slow_and_fast_decays(scale: float) -> None:
    """(exp(dt A) - 1) / A and its slope cancel for small dt A; the oracle is a series in float64."""
    tensors = arguments(1, 3, 64, 2, dtype=torch.float32)
    tensors = {n: t.detach() for n, t in tensors.items()}
    tensors["A"] = tensors["A"] * scale
    tensors = {n: t.requires_grad_() for n, t in tensors.items()}
    mine = results_and_gradients(selective_scan, tensors, return_last_state=True, discretisation="zoh")
    double = {n: t.detach().double().requires_grad_() for n, t in tensors.items()}

    def hold(u, delta, A, B, C, D, initial_state):
        x = (delta[:, :, None] * A[None, :, :, None]).double()
        series, term = torch.zeros_like(x), torch.ones_like(x)
        for k in range(1, 25):
            series, term = series + term, term * x / (k + 1)
        small = x.abs() < 1
        ratio = torch.where(small, series, torch.expm1(torch.where(small, -1.0, x)) / torch.where(small, -1.0, x))
        h, steps = initial_state, []
        for t in range(u.shape[2]):
            weight = delta[:, :, t, None] * ratio[..., t]
            h = torch.exp(x[..., t]) * h + weight * B[:, None, :, t] * u[:, :, t, None]
            steps.append((C[:, None, :, t] * h).sum(-1))
        return torch.stack(steps, 2) + D[:, None] * u, h

    theirs = results_and_gradients(hold, double)
    assert max(off(mine[name], theirs[name]) for name in theirs) < 1e-6


def test_a_rate_of_zero_integrates() -> None:
    tensors = arguments()
    tensors["A"] = torch.zeros_like(tensors["A"]).requires_grad_()
    hold = results_and_gradients(selective_scan, tensors, return_last_state=True, discretisation="zoh")
    euler = results_and_gradients(selective_scan, tensors, return_last_state=True)
    assert off(hold["y"], euler["y"]) < 1e-14
    assert all(torch.isfinite(value).all() for value in hold.values())


@pytest.mark.parametrize("dim", [1, 3, 17, 130])
def test_any_number_of_channels(dim: int) -> None:
    compare(arguments(1, dim, 35, 1), 1e-13)


@pytest.mark.parametrize("length", [1, 31, 32, 33, 64])
def test_any_length(length: int) -> None:
    compare(arguments(1, 16, length, 2), 1e-13)


@pytest.mark.parametrize(("method", "complex_a"), [("euler", False), ("zoh", False), ("euler", True)])
def test_continuing_in_chunks_is_exact(method: str, complex_a: bool) -> None:
    tensors = {n: t.detach() for n, t in arguments(length=77, dim=19, complex_a=complex_a).items()}
    state = tensors.pop("initial_state")
    whole = selective_scan(**tensors, initial_state=state, discretisation=method, return_last_state=True)
    parts = []
    for begin, end in ((0, 1), (1, 40), (40, 41), (41, 77)):
        part = {n: t[..., begin:end] if n in ("u", "delta", "B", "C") else t for n, t in tensors.items()}
        y, state = selective_scan(**part, initial_state=state, discretisation=method, return_last_state=True)
        parts.append(y)
    assert torch.equal(torch.cat(parts, 2), whole[0])
    assert torch.equal(state, whole[1])


@pytest.mark.parametrize("complex_a", [False, True])
def test_threads_do_not_change_a_bit(complex_a: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalerules.backends.scan.threads.THREADED_FROM", 0)
    tensors = arguments(2, 150, 40, 3, complex_a=complex_a)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(results_and_gradients(selective_scan, tensors, return_last_state=True))
    finally:
        torch.set_num_threads(before)
    for result in results[1:]:
        assert all(torch.equal(result[name], results[0][name]) for name in result)


def test_threads_do_not_change_softplus_and_gate() -> None:
    """Torch cuts long tensors up by threads and computes what is left of each part in another way."""
    t = {n: v.detach().float() for n, v in arguments(1, 97, 701, 2).items()}
    z, before, results = torch.randn(1, 97, 701), torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(selective_scan(**t, z=z, delta_softplus=True))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_arguments_may_lie_in_memory_as_they_like() -> None:
    tensors = arguments(2, 6, 9, 3, groups=2)
    expected = results_and_gradients(selective_scan, tensors, return_last_state=True)
    turned = {n: t.detach().mT.contiguous().mT.requires_grad_() if t.ndim > 1 else t for n, t in tensors.items()}
    assert not turned["u"].is_contiguous()
    got = results_and_gradients(selective_scan, turned, return_last_state=True)
    assert all(torch.equal(got[name], expected[name]) for name in got)


def test_bias_softplus_gate_and_heads() -> None:
    tensors = arguments(2, 6, 9, 3, heads=3)
    tensors |= {
        "z": torch.randn(2, 6, 9, dtype=torch.float64).requires_grad_(),
        "delta_bias": torch.randn(3, dtype=torch.float64).requires_grad_(),
    }
    compare(tensors, 1e-13, delta_softplus=True)


def test_positional_arguments_are_those_of_mamba_ssm() -> None:
    """u, delta, A, B, C, D, z, delta_bias, delta_softplus, return_last_state; float16 in, float16 out."""
    t = {n: v.detach().float() for n, v in arguments().items()}
    z, bias = torch.randn(2, 5, 7), torch.randn(5)
    y, state = selective_scan(t["u"], t["delta"], t["A"], t["B"], t["C"], t["D"], z, bias, True, True)
    expected = plain_scan(t["u"], t["delta"], t["A"], t["B"], t["C"], t["D"], z, bias, delta_softplus=True)
    assert off(y, expected[0]) < 1e-6 and off(state, expected[1]) < 1e-6
    half = selective_scan(t["u"].half(), t["delta"].half(), t["A"], t["B"].half(), t["C"].half())
    assert isinstance(half, Tensor) and half.dtype == torch.float16
    alone = selective_scan(t["u"], t["delta"], t["A"], t["B"], t["C"])
    assert isinstance(alone, Tensor) and off(half.float(), alone) < 1e-2


def test_complex_projections_as_pairs_of_reals() -> None:
    t = arguments(complex_a=True)
    pairs = {n: torch.view_as_real(t[n].detach()).flatten(-2) for n in ("B", "C")}
    expected = selective_scan(t["u"], t["delta"], t["A"], t["B"], t["C"])
    assert torch.equal(selective_scan(t["u"], t["delta"], t["A"], **pairs), expected)


def test_it_stands_where_mamba_ssm_s_function_stood() -> None:
    """The names, their order and their defaults; whatever comes after them is by keyword only."""
    parameters = inspect.signature(selective_scan_fn).parameters.values()
    theirs = ["u", "delta", "A", "B", "C", "D", "z", "delta_bias", "delta_softplus", "return_last_state"]
    assert [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY] == theirs
    assert [p.default for p in parameters][5:10] == [None, None, None, False, False]


def test_decoding_token_by_token_is_the_whole_scan() -> None:
    """Prefill, then one step at a time from the state, as a language model decodes: bit for bit the whole."""
    t = {n: v.detach().float() for n, v in arguments(1, 24, 50, 4).items() if n != "initial_state"}
    z, bias = torch.randn(1, 24, 50), torch.randn(24)
    whole = selective_scan(**t, z=z, delta_bias=bias, delta_softplus=True)
    along, state, parts = ("u", "delta", "B", "C"), None, []
    for begin, end in [(0, 40), *((at, at + 1) for at in range(40, 50))]:
        piece = {n: v[..., begin:end] if n in along else v for n, v in t.items()}
        y, state = selective_scan(
            **piece, z=z[..., begin:end], delta_bias=bias, delta_softplus=True, return_last_state=True,
            initial_state=state,
        )  # fmt: skip
        parts.append(y)
    assert isinstance(whole, Tensor) and torch.equal(torch.cat(parts, 2), whole)


FIRST_CALL = """
import torch
from scalerules.backends.scan import selective_scan
one = torch.ones(1, 2, 3)
selective_scan(one, one, -torch.ones(2, 2), torch.ones(1, 2, 3), torch.ones(1, 2, 3))
selective_scan(one, one, -torch.ones(2, 2), torch.ones(1, 2, 3), torch.ones(1, 2, 3))
"""


@pytest.mark.slow
def test_the_first_call_says_that_it_compiles_and_the_next_process_does_not(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    said = [
        subprocess.run([sys.executable, "-c", FIRST_CALL], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert said[0].stderr == "scalerules: compiling the selective scan (once; it is kept on disk) ...\n"
    assert said[1].stderr == "" and said[0].stdout == said[1].stdout == ""


def test_great_and_small_exponents() -> None:
    """Growth to infinity is infinite, decay below the smallest number vanishes, NaN stays NaN."""
    one = torch.ones(1, 1, 3)
    y = selective_scan(one, one, torch.tensor([[-1e4]]), one, one)
    assert isinstance(y, Tensor) and torch.allclose(y, one)
    y = selective_scan(one, one, torch.tensor([[200.0]]), one, one)
    assert isinstance(y, Tensor) and y[0, 0, 2] > 1e37
    y = selective_scan(one, one * torch.tensor([1.0, torch.nan, 1.0]), -torch.ones(1, 1), one, one)
    assert isinstance(y, Tensor) and torch.isnan(y[0, 0]).tolist() == [False, True, True]


@pytest.mark.parametrize("complex_a", [False, True])
def test_second_derivatives_are_refused(complex_a: bool) -> None:
    tensors = arguments(complex_a=complex_a)
    y = selective_scan(**tensors)
    assert isinstance(y, Tensor)
    (first,) = torch.autograd.grad(y.square().sum(), tensors["A"], create_graph=True)
    first = first.abs()
    for name in tensors:
        with pytest.raises(DoubleBackwardError, match="selective_scan: its gradient cannot be differentiated again"):
            torch.autograd.grad(first.sum(), tensors[name], retain_graph=True)


@pytest.mark.parametrize("name", ["u", "delta", "A", "B", "C", "D", "initial_state"])
def test_what_is_not_finite_is_named_when_asked(name: str) -> None:
    tensors = {n: t.detach().clone() for n, t in arguments().items()}
    selective_scan(**tensors, check=True)
    tensors[name].view(-1)[1] = torch.nan
    with pytest.raises(ScanError, match=f"^selective_scan: {name} is not finite in 1 of .* places, first at"):
        selective_scan(**tensors, check=True)
    with torch.autograd.set_detect_anomaly(True), pytest.raises(ScanError, match=f"{name} is not finite"):
        selective_scan(**tensors)
    selective_scan(**tensors)  # not asked for


WRONG = {
    "u": (torch.randn(2, 5), "u has shape (2, 5)"),
    "delta": (torch.randn(2, 2, 7), "delta has shape (2, 2, 7)"),
    "A": (torch.randn(5, 4), "A has 4 states and B has 3"),
    "B": (torch.randn(3, 3, 7), "B has shape (3, 3, 7)"),
    "C": (torch.randn(2, 3, 8), "C has shape (2, 3, 8)"),
    "D": (torch.randn(4), "D has shape (4,)"),
    "z": (torch.randn(2, 5, 6), "z has shape (2, 5, 6)"),
    "delta_bias": (torch.randn(1), "delta_bias has shape (1,)"),
    "initial_state": (torch.randn(2, 5, 4), "initial_state has shape (2, 5, 4)"),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_wrong_shapes_are_named(name: str) -> None:
    wrong, message = WRONG[name]
    with pytest.raises(ScanError) as error:
        selective_scan(**{**arguments(), name: wrong})
    assert message in str(error.value)
    assert error.value.argument == name
    assert isinstance(error.value, ScaleRulesError) and isinstance(error.value, ValueError)


def test_groups_must_agree() -> None:
    with pytest.raises(ScanError, match="C has 3 groups and B has 2"):
        selective_scan(**{**arguments(dim=6, groups=2), "C": torch.randn(2, 3, 3, 7)})


def test_wrong_kinds_are_named() -> None:
    tensors = arguments()
    with pytest.raises(ScanTypeError, match="discretisation is 'tustin' .it is one of euler, zoh, bilinear"):
        selective_scan(**tensors, discretisation="tustin")
    with pytest.raises(ScanTypeError, match="u is torch.int64"):
        selective_scan(**{**tensors, "u": torch.ones(2, 5, 7, dtype=torch.int64)})
    with pytest.raises(ScanTypeError, match="B is torch.complex128"):
        selective_scan(**{**tensors, "B": tensors["B"].to(torch.complex128)})
    with pytest.raises(ScanTypeError, match="A is a ndarray"):
        selective_scan(**{**tensors, "A": np.ones((5, 3))})  # type: ignore[arg-type]
    with pytest.raises(ScanTypeError, match="is on cpu .u is on meta: give all on one device"):
        selective_scan(**{**tensors, "u": torch.ones(2, 5, 7, device="meta")})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kept", [torch.float64, torch.complex128])
def test_another_device_gets_the_same_by_a_loop(method, kept, monkeypatch):
    """There is no other device here: the loop that runs there is run in the kernels' place; shapes on `meta`."""
    seed = torch.Generator().manual_seed(5)

    def normal(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
        return torch.randn(*shape, generator=seed, dtype=dtype)

    rates = -normal(6, 3).exp() + (1j * normal(6, 3) if kept.is_complex else 0)
    arguments = {
        "u": normal(2, 6, 9), "delta": normal(2, 3, 9), "A": rates, "B": normal(2, 2, 3, 9, dtype=kept),
        "C": normal(*((6, 3) if method == "euler" else (2, 2, 3, 9)), dtype=kept),  # so that few kernels are compiled
        "D": normal(6), "z": normal(2, 6, 9), "delta_bias": normal(3),
        "initial_state": normal(2, 6, 3, dtype=kept),
    }  # fmt: skip
    options = dict(delta_softplus=True, return_last_state=True, discretisation=method)

    def outcome() -> list[Tensor]:
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in arguments.items()}
        y, last = selective_scan(**leaves, **options)
        loss = (y * torch.arange(y.numel()).view_as(y)).sum() + last.abs().square().sum()
        return [y, last, *torch.autograd.grad(loss, list(leaves.values()))]

    compiled = outcome()
    monkeypatch.setattr("scalerules.backends.scan.scan._compiled", scan_by_steps)
    for ours, loop in zip(compiled, outcome(), strict=True):
        torch.testing.assert_close(ours, loop, rtol=1e-10, atol=1e-10)
    y, last = selective_scan(**{name: tensor.to("meta") for name, tensor in arguments.items()}, **options)
    assert y.is_meta and y.shape == (2, 6, 9) and last.shape == (2, 6, 3) and last.dtype == kept


def test_a_rate_of_zero_is_the_limit_in_the_loop_too():
    u, dt, ones = torch.ones(1, 1, 4), torch.full((1, 1, 4), 0.5), torch.ones(1, 1)
    y, last = scan_by_steps(u, dt, 0 * ones, ones, ones, torch.zeros(1), torch.zeros(1, 1, 1), "zoh")
    assert y.flatten().tolist() == [0.5, 1.0, 1.5, 2.0] and last.item() == 2.0
