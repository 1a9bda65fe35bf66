"""The selective scan against plain torch, pscan, transformers, JAX and torch.exp: one thread, float32.

    python benchmarks/bench_scan.py [--quick] [--memory] [--first] [--shape BATCH LENGTH CHANNELS STATES]

All contestants take turns in one process; the figures are medians of CPU time. `sequential` is mamba_ssm's
selective_scan_ref; `transformers` the path that its Mamba takes without CUDA; `unbind` the fastest plain loop known;
`pscan` needs `pip install --no-deps mambapy`; `jax` is `jax.lax.scan` over the steps, compiled beforehand, tensors
shared without a copy. The backward pass of the first two is quadratic in the length (each step
indexes the whole tensor), so it is run up to a length of 1024 only, once. `exp` is torch.exp of batch x length x
channels x states numbers, `lanes` the scan's own vectorised 2^x on as many, in the first-level cache: no scan that
takes one exponential for each state and step can be faster. `--first` times the first call, compiled and from the disk.
What is below its floor is marked (the floors are meant for the shapes that are run without --shape); exit 1 then.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

SHAPES = ((2, 2048, 768, 16), (1, 1024, 256, 16), (1, 4096, 1536, 16), (1, 512, 512, 64))
Scan = Callable[..., Tensor]
QUADRATIC = ("sequential", "transformers")
FLOORS = {
    "sequential forward": 50, "transformers forward": 50, "pscan forward": 30, "unbind forward": 18, "jax forward": 2,
    "sequential both": 500, "transformers both": 500, "pscan both": 20, "unbind both": 18,
}  # fmt: skip
"""How many times as long as the scan each contestant has to take."""
BOUND = {"scan forward": 0.65, "scan both": 0.30}
"""The part of the machine's exponentials that the scan has to reach."""
ZOH, MEMORY, COLD, CACHED = 2.2, 15.0, 6.0, 1.0
"""Zero-order hold over Euler; memory of pscan over the scan's; seconds of the first call, compiled and from disk."""


def scans() -> dict[str, Scan]:
    from scalerules.backends.scan.scan import selective_scan

    def zoh(*arguments: Tensor) -> Tensor:
        return selective_scan(*arguments, discretisation="zoh")

    found: dict[str, Scan] = {"scan": selective_scan, "scan zoh": zoh, "sequential": sequential, "unbind": unbind}
    try:
        from transformers.models.mamba.modeling_mamba import mamba_selective_scan

        found["transformers"] = mamba_selective_scan
    except ImportError:
        print("transformers is not installed, or keeps its scan elsewhere")
    try:
        found["jax"] = jax_scan()
    except ImportError:
        print("jax is not installed")
    try:
        from mambapy.pscan import pscan
    except ImportError:
        print("mambapy is not installed: no pscan")
        return found

    def parallel(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
        u, delta, B, C = u.mT, delta.mT, B.mT, C.mT
        inputs = (delta * u)[..., None] * B[:, :, None]
        states = pscan(torch.exp(delta[..., None] * A), inputs)
        return ((states @ C[..., None]).squeeze(3) + D * u).mT

    return found | {"pscan": parallel}


def jax_scan() -> Scan:
    """The scan by `jax.lax.scan`, with its gradient by JAX, as a function of torch tensors."""
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax
    from jax import numpy as jnp

    def scan(u: Any, delta: Any, A: Any, B: Any, C: Any, D: Any) -> Any:
        def step(h: Any, now: Any) -> tuple[Any, Any]:
            u_t, dt, b, c = now
            h = jnp.exp(dt[..., None] * A) * h + (dt * u_t)[..., None] * b[:, None]
            return h, (h * c[:, None]).sum(-1)

        inputs = tuple(jnp.moveaxis(x, -1, 0) for x in (u, delta, B, C))
        _, y = jax.lax.scan(step, jnp.zeros((u.shape[0], *A.shape), u.dtype), inputs)
        return jnp.moveaxis(y, 0, -1) + D[:, None] * u

    def backward(arguments: tuple[Any, ...], up: Any) -> tuple[Any, ...]:
        return jax.vjp(scan, *arguments)[1](up)

    run, pull = jax.jit(scan), jax.jit(backward)

    def arrays(tensors: Iterable[Tensor]) -> tuple[Any, ...]:
        return tuple(jax.dlpack.from_dlpack(tensor.detach().contiguous()) for tensor in tensors)

    class Differentiated(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *tensors: Tensor) -> Tensor:
            ctx.arrays = arrays(tensors)
            return torch.empty(tensors[0].shape)  # its gradient computes the values too, in one program

        @staticmethod
        def backward(ctx: Any, *up: Tensor) -> Any:
            return tuple(torch.from_dlpack(x.block_until_ready()) for x in pull(ctx.arrays, *arrays(up)))

    def contestant(*tensors: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return Differentiated.apply(*tensors)
        return torch.from_dlpack(run(*arrays(tensors)).block_until_ready())

    return contestant


def sequential(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    decay = torch.exp(torch.einsum("bdl,dn->bdln", delta, A))
    inputs = torch.einsum("bdl,bnl,bdl->bdln", delta, B, u)
    h, steps = A.new_zeros(u.shape[0], *A.shape), []
    for t in range(u.shape[2]):
        h = decay[:, :, t] * h + inputs[:, :, t]
        steps.append(torch.einsum("bdn,bn->bd", h, C[:, :, t]))
    return torch.stack(steps, dim=2) + u * D[:, None]


def unbind(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    time_first = delta.permute(2, 0, 1)[..., None]
    decays = torch.exp(time_first * A).unbind(0)
    inputs = ((delta * u).permute(2, 0, 1)[..., None] * B.permute(2, 0, 1)[:, :, None]).unbind(0)
    h, states = A.new_zeros(u.shape[0], *A.shape), []
    for decay, step in zip(decays, inputs, strict=True):
        h = torch.addcmul(step, decay, h)
        states.append(h)
    y = torch.stack(states) @ C.permute(2, 0, 1)[..., None]
    return y.squeeze(-1).permute(1, 2, 0) + u * D[:, None]


def made(shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    batch, length, channels, states = shape
    torch.manual_seed(0)
    A = -torch.arange(1.0, states + 1).repeat(channels, 1)
    return (
        torch.randn(batch, channels, length).requires_grad_(),
        softplus(torch.randn(batch, channels, length) - 2).requires_grad_(),
        A.requires_grad_(),
        torch.randn(batch, states, length).requires_grad_(),
        torch.randn(batch, states, length).requires_grad_(),
        torch.randn(channels).requires_grad_(),
    )


def forward(scan: Scan, tensors: tuple[Tensor, ...]) -> None:
    with torch.no_grad():
        scan(*tensors)


def both(scan: Scan, tensors: tuple[Tensor, ...]) -> None:
    y = scan(*tensors)
    torch.autograd.grad(y, tensors, torch.ones_like(y))


def own_exp2(numbers: int) -> Callable[[], None]:
    from numba import njit
    from scalerules.backends.scan import kernels

    @njit
    def run(x, out, repeats):
        for _ in range(repeats):
            for row in range(x.shape[0]):
                kernels.store(out, row, kernels.exp2(kernels.load(x, row)))

    x = -np.random.default_rng(0).random((128, 16), dtype=np.float32)
    out = np.empty_like(x)
    run(x, out, 1)
    return lambda: run(x, out, numbers // x.size)


def timings(shape: tuple[int, ...], repeats: int, slow_repeats: int) -> dict[str, float]:
    """Seconds of CPU by contestant and pass."""
    tensors = made(shape)
    x = -torch.rand(int(np.prod(shape)))
    out = torch.empty_like(x)
    jobs: dict[str, Callable[[], object]] = {"exp": lambda: torch.exp(x, out=out), "lanes": own_exp2(x.numel())}
    for name, scan in scans().items():
        jobs[f"{name} forward"] = lambda scan=scan: forward(scan, tensors)
        if name not in QUADRATIC or shape[1] <= 1024:
            jobs[f"{name} both"] = lambda scan=scan: both(scan, tensors)
    fast = {name for name in jobs if name.startswith(("exp", "lanes", "scan"))}
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    once = {f"{name} both" for name in QUADRATIC}
    for name in jobs.keys() - once:
        jobs[name]()  # compiles, warms
    for turn in range(repeats):
        for name, job in jobs.items():
            if name in fast or turn < (1 if name in once else slow_repeats):
                start = time.process_time()
                job()
                taken[name].append(time.process_time() - start)
    return {name: median(values) for name, values in taken.items()}


def peak(name: str, shape: tuple[int, ...]) -> float:
    """MB that forward and backward add to the largest size of a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (name, shape))


def _peak(name: str, shape: tuple[int, ...]) -> float:
    torch.set_num_threads(1)
    scan = scans()[name]
    both(scan, made((1, 4, 2, shape[3])))
    tensors = made(shape)
    before = _largest()
    both(scan, tensors)
    return _largest() - before


def _largest() -> float:
    """MB; Linux only. `getrusage` would count the parent's."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def first_call() -> list[float]:
    """Seconds of CPU of the first call in a fresh process: compiled, and from the disk cache (imports not counted)."""
    program = (
        "import time, torch; from scalerules.backends.scan import selective_scan; one = torch.ones(1, 64, 64);"
        "began = time.process_time(); selective_scan(one, one, -torch.ones(64, 16), torch.ones(1, 16, 64),"
        "torch.ones(1, 16, 64)); print(time.process_time() - began)"
    )
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        run = [
            subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
            for _ in range(2)
        ]
    return [float(each.stdout) for each in run]


def rows(times: dict[str, float]) -> list[tuple[str, str, bool]]:
    """(name, its line, whether it is below its floor) of every contestant."""
    found = []
    for name, seconds in times.items():
        own = times.get("scan " + name.split()[-1])
        ratio, floor = seconds / own if own else None, FLOORS.get(name)
        bound = times["exp"] / seconds
        low = ratio is not None and floor is not None and ratio < floor
        low = low or (name in BOUND and bound < BOUND[name])
        low = low or (name.startswith("scan zoh") and ratio is not None and ratio > ZOH)
        text = f"{seconds * 1e3:10.2f}" + (f"{ratio:9.1f}" if ratio else " " * 9) + (f"{floor:7}" if floor else " " * 7)
        text += f"{bound:9.0%}{times['lanes'] / seconds:10.0%}"
        found.append((name, text, low))
    return found


def show(name: str, text: str, low: bool) -> bool:
    print(f"{name:24}{text}{'  below its floor' if low else ''}", flush=True)
    return low


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=4, action="append", help="batch length channels states")
    parser.add_argument("--quick", action="store_true", help="few repeats")
    parser.add_argument("--memory", action="store_true", help="peak memory too")
    parser.add_argument("--first", action="store_true", help="the first call too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    low = []
    if options.first:
        cold, cached = first_call()
        low.append(
            show("first call, s", f"{cold:10.2f} compiled, {cached:.2f} from disk", cold > COLD or cached > CACHED)
        )
    for shape in [tuple(s) for s in options.shape or SHAPES]:
        times = timings(shape, 7 if options.quick else 21, 1 if options.quick else 5)
        print(f"\n(batch, length, channels, states) = {shape}")
        print(f"{'':24}{'ms':>10}{'x scan':>9}{'floor':>7}{'of exp':>9}{'of lanes':>10}")
        low += [show(*row) for row in rows(times)]
        if options.memory:
            peaks = {name: peak(name, shape) for name in scans() if name not in QUADRATIC}
            for name, size in peaks.items():
                enough = name != "pscan" or size >= MEMORY * peaks["scan"]
                low.append(show(name, f"{size:10.0f} MB more at the peak", not enough))
    return 1 if any(low) else 0


if __name__ == "__main__":
    sys.exit(main())
