"""One training run of a learning-rate sweep: a graph, at one size, with one rate and seed, on real data.

What a run is (`Job`, of `scalerules.measurement.sweeps.store`) and what came of it (`Outcome`) are plain data, so that
a run may go to another process or another machine. A run that diverges ends early and says so.
"""

from __future__ import annotations

import math
import time

import torch

from scalerules.measurement.sweeps.store import Job, Outcome

from . import measure as training
from .program import Program
from .real_data import Source


def run(job: Job) -> Outcome:
    """Trains, and returns the mean loss on data that was not trained on, with the loss before every step."""
    began = time.process_time()
    with training.one_thread():
        history, final = _train(job)
    diverged = not math.isfinite(final) or final > history[0]
    return Outcome(final, diverged, tuple(history), time.process_time() - began)


def _train(job: Job) -> tuple[list[float], float]:
    """(the loss before every step, the mean loss on held-out data; infinite or NaN where training diverged)."""
    data: Source = job.data
    program = Program(job.graph, job.solution, job.sizes, job.base)
    trial = training.Trial(job.lr, job.steps, job.seed, weight_decay=job.weight_decay)
    parameters, chosen = program.initial(job.seed), training.settings(program, trial)
    full = {name: setting.lr for name, setting in chosen.items()}
    update = training.optimizer(job.solution.optimizer)
    history: list[float] = []
    for count in range(job.steps):
        for name, setting in chosen.items():
            setting.lr = full[name] * share(job.schedule, count, job.steps)
        batch = data.batch(job.graph, job.seed, count)
        _, loss, gradients = training.gradients(program, parameters, batch, list(chosen), look=False)
        history.append(loss)
        if not math.isfinite(loss) or not all(bool(g.isfinite().all()) for g in gradients.values()):
            return history, math.inf  # a singular value decomposition, Muon's, would refuse what is not finite
        with torch.no_grad():
            parameters = training.step(parameters, gradients, chosen, update)
    with torch.no_grad():
        losses = [float(program.loss(program.forward(parameters, part, look=False), part))
                 for part in data.held_out(job.graph)]  # fmt: skip
    mean = sum(losses) / len(losses)
    return history, mean if math.isfinite(mean) else math.inf


def share(schedule: str, count: int, steps: int) -> float:
    """The part of the learning rate at step `count`: `linear` warms up over a tenth and falls to nothing at the end."""
    if schedule == "constant":
        return 1.0
    warm = max(1, steps // 10)
    return min((count + 1) / warm, (steps - count) / max(1, steps - warm))
