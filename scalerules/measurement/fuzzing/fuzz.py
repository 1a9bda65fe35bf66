"""Draws random architectures, derives their rules, trains them, and shrinks what disagrees to its smallest graph.

Graphs come from `random_graphs.py`, their outcomes from `examiner.py`, here or in processes; `kept.py` keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import count, product
from pathlib import Path
from typing import Any

from scalerules.boundary.amounts import MOST_JOBS, positive, several, whole
from scalerules.boundary.working import working
from scalerules.catalogue.user_code import kind_of
from scalerules.derivation.derive import derive
from scalerules.derivation.question import MODES
from scalerules.errors import ScaleRulesError, UnknownName
from scalerules.measurement.progress import Progress
from scalerules.optimizers import optimizer as known

from ..trainers import training
from .examiner import SIZES, Clock, Deriver, Examiner
from .findings import Fuzzed, Outcome
from .kept import Examination, Kept
from .random_graphs import draw

OPTIMIZERS = ("sgd", "adamw", "muon")
WAYS = ("joint",)
MINUTES = 5.0


def fuzz(
    minutes: float | None = None,
    seed: int = 0,
    graphs: int | None = None,
    optimizers: Sequence[str] = OPTIMIZERS,
    sizes: Sequence[float] = SIZES,
    progress: bool = True,
    rule: Deriver = derive,
    smallest: bool = True,
    found: Callable[[Outcome], None] | None = None,
    store: str | Path | None = None,
    jobs: int = 1,
    modes: Sequence[str] = WAYS,
    derive_only: bool = False,
) -> Fuzzed:
    """Derives and measures random graphs until the time is up, or so many were drawn; what was found, as data.

    `seed` is that of the first graph. Without `minutes` and `graphs` it takes five minutes. `rule` derives (another one
    than `derive` to see what would be found); `smallest` False leaves findings as they were drawn; `found` is told of
    every outcome as it comes. `store` keeps every outcome in a file: what it has of this engine is not made again.
    `jobs` is how many processes examine. `modes`: `joint`, `isolated` or both; a rule that both give is measured once.
    `derive_only` measures nothing: what is derived is checked, and derived again from the graph written in other ways.
    Ctrl-C returns what there is.

    Raises `MissingExtra` without torch if it is to measure, `UnknownName` for an optimizer, `ScaleRulesError` for
    impossible numbers.
    """
    _check(minutes, seed, graphs, optimizers, sizes, jobs)
    for mode in modes:
        if mode not in MODES:
            raise UnknownName("mode", str(mode), MODES)
    if not derive_only:
        training("measure")
    minutes = MINUTES if minutes is None and graphs is None else minutes
    report = Fuzzed(seed, tuple(optimizers), () if derive_only else tuple(sizes), modes=tuple(modes))
    clock, kept = Clock(minutes), Kept(store)
    tasks = _tasks(seed, graphs, report, smallest, rule, clock)
    try:
        total = clock.seconds or float(graphs or 1)
        with working("fuzzing", progress), Progress(total, progress, "fuzzing") as advance:
            for outcome in examined(tasks, kept, rule, clock, jobs):
                report.outcomes.append(outcome)
                if found is not None:
                    found(outcome)
                said = f"{report.graphs} graphs, {len(report.findings)} findings"
                advance(said, clock.lap() if clock.seconds else 1 / len(optimizers) / len(modes))
    except KeyboardInterrupt:
        clock.stopped = True
    finally:
        kept.close()
    places = {asked: place for place, asked in enumerate(product(optimizers, modes))}
    report.outcomes.sort(key=lambda outcome: (outcome.seed, places[outcome.optimizer, outcome.mode]))
    report.interrupted = clock.stopped
    report.seconds = clock.elapsed
    return report


def _check(
    minutes: float | None, seed: int, graphs: int | None, optimizers: Sequence[str], sizes: Sequence[float], jobs: int
) -> None:
    """Raises `ScaleRulesError` for numbers that cannot be meant, `UnknownName` for an optimizer."""
    if minutes is not None:
        positive(minutes, "minutes")
    if graphs is not None:
        whole(graphs, "graphs")
    whole(seed, "seed", 0)
    whole(jobs, "jobs", 1, MOST_JOBS)
    several(sizes, "sizes", 2)
    if (minutes is not None and minutes <= 0) or (graphs is not None and graphs < 1) or not optimizers:
        raise ScaleRulesError("nothing to do", hint="minutes above 0, at least one graph and one optimizer")
    is_list = isinstance(optimizers, Iterable) and not isinstance(optimizers, str)  # pyright: ignore
    if not is_list:
        raise ScaleRulesError(f"optimizers= is {kind_of(optimizers)}, not a list of names", hint="optimizers=['adam']")
    for name in optimizers:
        known(name)


def _tasks(
    seed: int, graphs: int | None, report: Fuzzed, smallest: bool, rule: Deriver, clock: Clock
) -> Iterator[Examination]:
    """Every graph with every optimizer in every mode, until the time is up."""
    name = f"{getattr(rule, '__module__', '')}.{getattr(rule, '__qualname__', repr(rule))}"
    for number in count(seed) if graphs is None else range(seed, seed + graphs):
        drawn = draw(number)
        for optimizer, mode in product(report.optimizers, report.modes):
            if clock.over:
                return
            yield Examination(drawn, number, optimizer, mode, report.sizes, smallest, name)


def examined(tasks: Iterator[Examination], kept: Kept, rule: Deriver, clock: Clock, jobs: int) -> Iterator[Outcome]:
    """Every outcome, those that are kept first; each of the others is kept before it is returned."""
    had: list[Outcome] = []
    with closing(_examined(_missing(tasks, kept, had), rule, clock, jobs)) as outcomes:
        for task, outcome in outcomes:
            if not (clock.over and outcome.finding):  # whose shrinking was cut short is made again
                kept.add(task, outcome)
            while had:
                yield had.pop()
            yield outcome
    yield from had


def _missing(tasks: Iterator[Examination], kept: Kept, had: list[Outcome]) -> Iterator[Examination]:
    """The tasks that nothing is kept of; what is kept goes into a list."""
    for task in tasks:
        outcome = kept.get(task)
        if outcome is None:
            yield task
        else:
            had.append(outcome)


def _examined(
    tasks: Iterator[Examination], rule: Deriver, clock: Clock, jobs: int
) -> Generator[tuple[Examination, Outcome]]:
    """Every task with its outcome, here or in processes."""
    if jobs == 1:
        for task in tasks:
            yield task, examine(task, rule, clock)
            if clock.stopped:
                return
        return
    import joblib  # pyright: ignore[reportMissingTypeStubs]

    library: Any = joblib
    parallel = library.Parallel(jobs, backend="loky", return_as="generator_unordered", batch_size=1, pre_dispatch=jobs)
    yield from parallel(library.delayed(_placed)(task, rule, clock.left) for task in tasks)


def examine(task: Examination, rule: Deriver, clock: Clock) -> Outcome:
    """What becomes of one graph."""
    return Examiner(task.optimizer, task.sizes, rule, clock, task.mode).outcome(task.graph, task.seed, task.smallest)


def _placed(task: Examination, rule: Deriver, seconds: float | None) -> tuple[Examination, Outcome]:
    """The same in another process, which has this long."""
    with working("examining", wanted=False):  # the process that asked shows how far it is
        return task, examine(task, rule, Clock(None if seconds is None else seconds / 60))
