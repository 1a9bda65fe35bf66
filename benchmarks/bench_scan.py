"""The selective scan against plain torch, mambapy's parallel scan and torch.exp: one thread, float32.

    python benchmarks/bench_scan.py [--quick] [--memory] [--shape BATCH LENGTH CHANNELS STATES]

All contestants take turns in one process; the figures are medians of CPU time. `sequential` is mamba_ssm's
selective_scan_ref; `unbind` the fastest plain loop known; `pscan` needs `pip install --no-deps mambapy`;
`exp` is torch.exp of batch x length x channels x states numbers, `lanes` the scan's own vectorised 2^x on as
many, in the first-level cache: no scan that takes one exponential for each state and step can be faster.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

SHAPES = ((2, 2048, 768, 16), (1, 1024, 256, 16), (1, 4096, 1536, 16), (1, 512, 512, 64))
Scan = Callable[..., Tensor]


def scans() -> dict[str, Scan]:
    from scalerules.backends.scan import selective_scan

    def zoh(*arguments: Tensor) -> Tensor:
        return selective_scan(*arguments, discretisation="zoh")

    found: dict[str, Scan] = {"scan": selective_scan, "scan zoh": zoh, "sequential": sequential, "unbind": unbind}
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
    from scalerules.backends import scan_kernels as kernels

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
        if name != "sequential":  # its backward takes minutes
            jobs[f"{name} both"] = lambda scan=scan: both(scan, tensors)
    fast = {name for name in jobs if name.startswith(("exp", "lanes", "scan"))}
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for name in jobs:
        jobs[name]()  # compiles, warms
    for turn in range(repeats):
        for name, job in jobs.items():
            if name in fast or turn < slow_repeats:
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=4, action="append", help="batch length channels states")
    parser.add_argument("--quick", action="store_true", help="few repeats")
    parser.add_argument("--memory", action="store_true", help="peak memory too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for shape in [tuple(s) for s in options.shape or SHAPES]:
        times = timings(shape, 7 if options.quick else 21, 1 if options.quick else 5)
        print(f"\n(batch, length, channels, states) = {shape}")
        print(f"{'':24}{'ms':>10}{'x scan':>9}{'of exp':>9}{'of lanes':>10}")
        for name, seconds in times.items():
            own = times.get("scan " + name.split()[-1])
            ratio = f"{seconds / own:9.1f}" if own else " " * 9
            bounds = f"{times['exp'] / seconds:9.0%}{times['lanes'] / seconds:10.0%}"
            print(f"{name:24}{seconds * 1e3:10.2f}{ratio}{bounds}", flush=True)
        if options.memory:
            for name in [name for name in scans() if name != "sequential"]:
                print(f"{name:24}{peak(name, shape):10.0f} MB more at the peak", flush=True)


if __name__ == "__main__":
    main()
