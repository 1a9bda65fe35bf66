"""Makes the runs of a sweep: here, in processes, or on whatever joblib was told to use; shows how far it is.

Inside `joblib.parallel_config(...)` (or `parallel_backend("dask")`) that engine is used unchanged. Results come back as
they finish and are kept by this process alone, so that workers need no access to the file.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any

from scalerules.architecture.graph import Graph
from scalerules.boundary.working import note
from scalerules.catalogue.user_code import kind_of
from scalerules.errors import ScaleRulesError

from ..footprint import step_cost
from ..trainers import training
from .own import OwnJob
from .store import AnyJob, Outcome, Store

QUIET_FOR = 2.0
"""Seconds before it is reckoned how long the rest will take."""


def run(job: AnyJob) -> tuple[AnyJob, Outcome]:
    """One run, in whatever process."""
    return job, job.run() if isinstance(job, OwnJob) else training("sweep_run").run(job)


def fitted(graph: Graph, data: Any, axes: Mapping[str, int]) -> tuple[Graph, Any]:
    """The graph with axes as long as its data needs them, and the source of the data.

    Raises `MissingExtra` without torch, `GraphError` for a graph that the data does not fit.
    """
    source = training("real_data").source(data, graph) if isinstance(data, str) else data
    if not all(hasattr(source, name) for name in ("fitted", "batch", "held_out")):
        what = f"data= is {kind_of(source)}, which has no fitted(), batch() and held_out()"
        raise ScaleRulesError(what, hint="text, digits, or a source of your own")
    return source.fitted(graph, axes), source


def work(
    jobs: Iterable[AnyJob], store: Store, progress: Remaining, processes: int | None
) -> Iterator[tuple[AnyJob, Outcome]]:
    """Every run with its outcome, those that the store has first; each is in the store before it is returned."""
    missing: list[AnyJob] = []
    for job in jobs:
        earlier = store.get(job.key)
        if earlier is None:
            missing.append(job)
        else:
            yield job, earlier
    progress.more(missing)
    with closing(_results(_noted(missing, store), processes)) as results:
        for job, outcome in results:
            store.add(job, outcome)
            progress.done(job)
            yield job, outcome


def _noted(jobs: Iterable[AnyJob], store: Store) -> Iterator[AnyJob]:
    for job in jobs:
        store.start([job.key])
        yield job


def _results(jobs: Iterator[AnyJob], processes: int | None) -> Generator[tuple[AnyJob, Outcome]]:
    engine = _engine_given()
    if not engine and processes in (None, 1):
        for job in jobs:
            yield run(job)
        return
    import joblib  # pyright: ignore[reportMissingTypeStubs]

    chosen: dict[str, Any] = {} if engine else {"backend": "loky"}
    if processes is not None:
        chosen["n_jobs"] = processes
    library: Any = joblib
    parallel = library.Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs", **chosen)
    yield from parallel(library.delayed(run)(job) for job in jobs)


def _engine_given() -> bool:
    """Whether joblib was told what to run on: an engine such as dask, or a number of processes."""
    try:
        from joblib import parallel as joblib  # pyright: ignore[reportMissingTypeStubs]
    except ModuleNotFoundError:
        return False
    library: Any = joblib
    backend, jobs = library.get_active_backend()
    return not isinstance(backend, library.LokyBackend) or jobs not in (None, 1)


class Remaining:
    """How many runs are done and how long the rest will take, told to the line of `working`.

    The time that is left is reckoned from what the finished runs cost, each weighed by its size.
    """

    def __init__(self, shown: bool) -> None:
        self.shown = shown
        self.began = time.monotonic()
        self.count = self.total = 0
        self.weight = self.weights = 0.0

    def more(self, jobs: Iterable[AnyJob]) -> None:
        """These runs are still to be made."""
        added = list(jobs)
        self.total += len(added)
        self.weights += sum(weight(job) for job in added)

    def done(self, job: AnyJob) -> None:
        """A run has finished."""
        self.count += 1
        self.weight += weight(job)
        now = time.monotonic()
        if not self.shown or now - self.began < QUIET_FOR:
            return
        left = (now - self.began) * (self.weights - self.weight) / self.weight
        scale = next(iter(job.sizes.items()))
        text = f"{self.count} of {self.total} runs, {scale[0]} {scale[1]:g}, lr {job.lr:.3g}, {_time(left)} left"
        note(text)


def _time(seconds: float) -> str:
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def weight(job: AnyJob) -> float:
    """About how long a run takes, next to others."""
    return job.steps * step_cost(job.graph, job.sizes)
