"""`verify` beside `mup.coord_check`: CPU seconds for the same networks, widths, seeds and looks, and what each finds.

    python -m benchmarks.bench_verify [--repeats 3] [--seeds 4] [--only mlp|gpt|faults]

Both train the same multilayer perceptron (widths 64 to 1024) and GPT (64 to 512) on the same number of inputs, with
Adam, one thread, in one process, taking turns; figures are medians of CPU time. mup looks at outputs of modules before
each of 4 steps, that is after 0, 1, 2 and 3; `verify` looks after 0, 1, 2 and 3 steps at every value, gradient, own
contribution and change, and finds its learning rate first. `mup` needs `pip install mup`.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import scalerules as sr
from scalerules.measurement.verification.runs import few_samples

from . import faults

LOOKS = 4
MLP_WIDTHS = (64, 128, 256, 512, 1024)
GPT_WIDTHS = (64, 128, 256, 512)
FAULT_WIDTHS = (64, 128, 256, 512)
FEWER = {MLP_WIDTHS: (4, 4, 2, 1, 1), GPT_WIDTHS: (4, 2, 1, 1)}
"""Seeds at each width where the wide ones get fewer."""


class Perceptron(nn.Module):
    """graphs/mlp.py as a user of mup writes it: no biases, Kaiming's normal initialisation, its own readout."""

    def __init__(self, width: int, readout: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.input = nn.Linear(16, width, bias=False)
        self.h1 = nn.Linear(width, width, bias=False)
        self.h2 = nn.Linear(width, width, bias=False)
        self.output = readout(width, 8, bias=False)
        normal(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.h1(functional.relu(self.input(x)))
        return self.output(functional.relu(self.h2(functional.relu(x))))


class Block(nn.Module):
    """A pre-norm block of graphs/transformer.py: four heads whose size grows."""

    def __init__(self, width: int, power: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width, bias=False)
        self.weights = nn.Identity()
        self.head, self.power = width // 4, power

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm1(x)
        q, k, v = (part(h).unflatten(-1, (4, self.head)).transpose(1, 2) for part in (self.q, self.k, self.v))
        # sqrt(16) at the base width of 64, where both powers are the same
        scores = q @ k.transpose(-1, -2) * (16**-0.5 * (self.head / 16) ** self.power)
        future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        weights = self.weights(torch.softmax(scores.masked_fill(future, -torch.inf), -1))
        x = x + self.o((weights @ v).transpose(1, 2).flatten(2))
        return x + self.down(functional.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    """graphs/transformer.py with two blocks; scores go with head ** power."""

    def __init__(self, width: int, readout: Callable[..., nn.Module], power: float = -1.0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(32, width)
        self.blocks = nn.ModuleList(Block(width, power) for _ in range(2))
        self.norm, self.output = nn.LayerNorm(width), readout(width, 32, bias=False)
        normal(self)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x)
        return self.output(self.norm(x)).flatten(0, 1)


def normal(model: nn.Module) -> None:
    """Normal weights of std 1/sqrt(fan_in), as mup's own examples initialise theirs before set_base_shapes."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")


def coord_check(model: Callable[..., nn.Module], widths: tuple[int, ...], batch: Any, seeds: int) -> Any:
    """What mup measures: the data frame of its coordinate check, with its default learning rate."""
    from mup import MuReadout, make_base_shapes, set_base_shapes
    from mup.coord_check import get_coord_data

    shapes = make_base_shapes(model(64, MuReadout), model(128, MuReadout))
    models = {w: lambda w=w: set_base_shapes(model(w, MuReadout), shapes) for w in widths}
    return get_coord_data(
        models, [batch], optimizer="adam", nsteps=LOOKS, nseeds=seeds, cuda=False, show_progress=False,
        lossfn="mse" if model is Perceptron else "xent",
    )  # fmt: skip


def cpu(job: Callable[[], object]) -> float:
    """Seconds of CPU."""
    start = time.process_time()
    job()
    return time.process_time() - start


def speed(name: str, repeats: int, seeds: int) -> None:
    """A line per contestant."""
    graph = sr.graph("mlp" if name == "mlp" else "transformer")
    solution = sr.derive(graph, optimizer="adam")
    if name == "mlp":
        model, widths, batch = Perceptron, MLP_WIDTHS, (torch.randn(16, 16), torch.randint(8, (16,)))
    else:
        model, widths, batch = GPT, GPT_WIDTHS, (torch.randint(32, (2, 8)), torch.randint(32, (16,)))
    fewer = [max(1, count * seeds // 4) for count in FEWER[widths]]
    options: dict[str, Any] = {"sizes": widths, "progress": False, "jobs": 1, "looks": 1}
    jobs: dict[str, Callable[[], object]] = {
        f"mup.coord_check, {seeds} seeds": lambda: coord_check(model, widths, batch, seeds),
        f"verify, {seeds} seeds, rate given": lambda: sr.verify(graph, solution, seeds=seeds, lr=0.01, **options),
        f"verify, {seeds} seeds": lambda: sr.verify(graph, solution, seeds=seeds, **options),
        f"verify, {','.join(map(str, fewer))} seeds": lambda: sr.verify(graph, solution, seeds=fewer, **options),
    }
    taken: dict[str, list[float]] = {what: [] for what in jobs}
    for job in jobs.values():
        job()
    for _ in range(repeats):
        for what, job in jobs.items():
            taken[what].append(cpu(job))
    first = statistics.median(next(iter(taken.values())))
    print(f"\n{name}, widths {widths}, CPU seconds, median of {repeats}")
    for what, seconds in taken.items():
        middle = statistics.median(seconds)
        print(f"  {what:34} {middle:7.2f}   mup / this {first / middle:5.2f}   (least {min(seconds):.2f})", flush=True)


# --- the seven faults -----------------------------------------------------------------------------------


class GraphModule(nn.Module):
    """A graph with the numbers of a solution as mup's checker takes networks: every node is a module it can hook."""

    def __init__(self, program: Any, data: Any) -> None:
        super().__init__()
        self.program: Any = program
        self.data: Any = data
        made = program.initial(int(torch.randint(2**31, ())))
        self.weights = nn.ParameterDict({name.replace(".", "/"): nn.Parameter(v) for name, v in made.items()})
        nodes = [name for name, node in program.graph.walk() if node.op != "input"]
        self.nodes = nn.ModuleDict({name.replace(".", "/"): nn.Identity() for name in nodes})

    def forward(self) -> dict[str, Tensor]:
        run = self.program.forward({name.replace("/", "."): p for name, p in self.weights.items()}, self.data)
        for name, value in run.all_values().items():
            if name.replace(".", "/") in self.nodes:
                self.nodes[name.replace(".", "/")](value)
        return {"loss": self.program.loss(run, self.data)}


def mup_on(graph: sr.Graph, solution: sr.Solution, lr: float, seeds: int) -> tuple[str, float, int]:
    """The module whose size grows fastest by mup's figures, its slope, and how many grow by more than 0.2.

    Generous to mup: nodes that are to grow (products before their multiplier) are left out.
    """
    from mup.coord_check import _get_coord_data
    from scalerules.backends.training import measure as training
    from scalerules.backends.training.program import Program

    graph, base = few_samples(graph), graph.base_sizes()
    programs = {w: Program(graph, solution, base | {"width": w}, base) for w in FAULT_WIDTHS}

    def optimizer(model: nn.Module) -> torch.optim.Optimizer:
        assert isinstance(model, GraphModule)
        chosen = training.settings(model.program, training.Trial(lr))
        groups = [{"params": [model.weights[n.replace(".", "/")]], "lr": s.lr, "eps": s.eps} for n, s in chosen.items()]
        if solution.optimizer == "sgd":
            return torch.optim.SGD([{k: v for k, v in group.items() if k != "eps"} for group in groups])
        return torch.optim.Adam(groups)

    models = {w: lambda program=program: GraphModule(program, program.data(0)) for w, program in programs.items()}
    growing = {p.node for p in solution.sizes if p.quantity in ("value", "change") and (p.size or 0) > 0}
    frame: Any = _get_coord_data(
        models, [{}], optimizer, nsteps=LOOKS, nseeds=seeds, dict_in_out=True, cuda=False, show_progress=False,
        filter_module_by_name=lambda name: name.startswith("nodes.") and name[6:].replace("/", ".") not in growing,
    )  # fmt: skip
    slopes: dict[str, float] = {}
    for (module, step), part in frame.groupby(["module", "t"]):
        means = part.groupby("width")["l1"].mean()
        x, y = [math.log(w) for w in means.index], [math.log(max(v, 1e-30)) for v in means]
        slopes[f"{module.removeprefix('nodes.').replace('/', '.')} t={step}"] = statistics.linear_regression(x, y).slope
    if not slopes:
        return "", math.nan, 0
    worst = max(slopes, key=slopes.__getitem__)
    return worst, slopes[worst], sum(slope > 0.2 for slope in slopes.values())


def said(where: str, slope: float, count: int) -> str:
    """What grows, in words."""
    return f"{count} grow, {where} {slope:+.2f}" if count else "flat"


def all_cases(optimizer: str) -> Iterator[tuple[str, sr.Graph, sr.Solution, bool]]:
    """The right rules of each architecture, then the faults."""
    planted = list(faults.cases(optimizer))
    for graph in {graph.name: graph for _, graph, _ in planted}.values():
        yield f"right: {graph.name}", graph, sr.derive(graph, optimizer=optimizer), True
    for name, graph, solution in planted:
        yield name, graph, solution, False


def find(optimizers: list[str], seeds: int) -> int:
    """A line per fault: what mup's figures show, at its default rate and at the edge, and what `verify` says."""
    missed = 0
    print(f"\nWhat grows by mup's figures (slope > 0.2; widths {FAULT_WIDTHS}, {seeds} seeds), and verify's verdict")
    for optimizer in optimizers:
        default = 0.1 if optimizer == "sgd" else 1e-3
        for name, graph, solution, right in all_cases(optimizer):
            report = sr.verify(graph, solution, sizes=FAULT_WIDTHS, seeds=seeds, progress=False)
            missed += report.verdict is not right
            shown = [said(*mup_on(graph, solution, lr, seeds)) for lr in (default, report.rate.value)]
            verdict = f"{report.conclusion}, {len(report.wrong)} of {len(report.rows)} wrong"
            print(f"{optimizer:6} {name:30} mup: {shown[0]:38} at verify's rate: {shown[1]:38} verify: {verdict}",
                  flush=True)  # fmt: skip
    return missed


def main() -> int:
    """Prints both tables; status 1 if `verify` misses a fault or doubts a right rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--only", choices=("mlp", "gpt", "faults"))
    parser.add_argument("--optimizers", default="adamw,sgd")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for name in ("mlp", "gpt"):
        if options.only in (None, name):
            speed(name, options.repeats, options.seeds)
    missed = find(options.optimizers.split(","), options.seeds) if options.only in (None, "faults") else 0
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
