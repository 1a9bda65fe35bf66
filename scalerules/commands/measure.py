"""The commands that measure: verify, fuzz, transfer, report."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from cyclopts import Parameter

from scalerules.boundary.amounts import LARGEST_RATE, MOST_JOBS, MOST_SEEDS, positive, whole
from scalerules.boundary.files import destination
from scalerules.boundary.files import folder as _folder

from .common import Asked, AskedToTrain, GraphName, Output, command, ended, figure, rich_text, warn
from .options import Question, Repeated, Trained, numbers, whole_numbers
from .output import write
from .training_options import compared, lengths, own_loop, place


@command
def verify(
    graph: GraphName,
    /,
    *,
    sizes: Annotated[str | None, Parameter(help="Values of the first scale, the base first: 64,128,256.")] = None,
    seeds: Annotated[str, Parameter(help="Runs per size: 4, or for each size, such as 8,4,2,2.")] = "4",
    seed: Annotated[int, Parameter(help="The first seed.")] = 0,
    lr: Annotated[float | None, Parameter(help="The base learning rate; without it the edge is searched for.")] = None,
    device: Annotated[str, Parameter(help="Where to train: cpu, cuda.")] = "cpu",
    maximal: Annotated[
        bool, Parameter(negative="", help="Asks also whether any size could be half a power larger.")
    ] = False,
    every: Annotated[bool, Parameter(name=("--all", "--every"), negative="", help="Show every row.")] = False,
    quiet: Annotated[bool, Parameter(negative="", help="No progress.")] = False,
    plot: Annotated[str | None, Parameter(validator=figure, help="A figure: .png, .svg, .pdf, or one .html.")] = None,
    question: Question = Asked,
    format: Literal["table", "json"] = "table",
    output: Output = None,
) -> int:
    """Trains the architecture at several sizes and holds the measured slopes against the derived sizes.

    What is wanted of any rule is measured beside them without the engine's word: stable, learning, every parameter
    counts. Ends with status 1 if either fails; where the measurement is too blunt it says undecided, and what it needs.
    Needs the extra torch.

    For example:
      scalerules verify mlp
      scalerules verify mlp --sizes 64,128,256,512 --seeds 8,4,2,2 --plot slopes.png
      scalerules verify transformer --device cuda --plot slopes.html
    """
    from scalerules.measurement import verify as verified

    chosen, counts = numbers(sizes, "--sizes", few=2), whole_numbers(seeds, "--seeds")
    if lr is not None:
        positive(lr, "--lr", LARGEST_RATE)
    whole(seed, "--seed", 0)
    built, solution = question.solve(graph)
    warn(solution.warnings)
    report = verified(
        built, solution, sizes=chosen, seeds=counts if len(counts) > 1 else counts[0], steps=question.steps, lr=lr,
        progress=not quiet, device=device, seed=seed, maximal=maximal,
    )  # fmt: skip
    try:
        write(ended(report.to_json() if format == "json" else rich_text(report.to_table(every))), output)
    finally:
        if plot is not None and report.rows:
            report.plot(plot)
    if report.verdict is None and not quiet:
        print(f"scalerules: undecided: {report.advice}", file=sys.stderr)
    return INTERRUPTED if report.interrupted else 1 if report.verdict is False else 0


@command
def fuzz(
    *,
    minutes: Annotated[float | None, Parameter(help="Stop after so many; 5 without --graphs.")] = None,
    seed: Annotated[int, Parameter(help="The seed of the first graph.")] = 0,
    graphs: Annotated[int | None, Parameter(help="Stop after so many graphs.")] = None,
    optimizers: Annotated[str, Parameter(help="Which, with commas between them.")] = "sgd,adamw,muon",
    modes: Annotated[str, Parameter(help="joint, isolated, or both with a comma between them.")] = "joint",
    sizes: Annotated[str, Parameter(help="Widths, the base first.")] = "64,128,256,512",
    derive_only: Annotated[bool, Parameter(negative="", help="Derive, check and rewrite; train nothing.")] = False,
    save: Annotated[str | None, Parameter(help="A folder for the graphs of findings, as YAML.")] = None,
    store: Annotated[str | None, Parameter(help="A file that keeps every outcome: the same command goes on.")] = None,
    jobs: Annotated[int, Parameter(help="Processes.")] = 1,
    quiet: Annotated[bool, Parameter(negative="", help="No progress.")] = False,
    format: Literal["table", "json"] = "table",
    output: Output = None,
) -> int:
    """Draws random architectures, derives and measures them, and shrinks what disagrees to its smallest graph.

    Ends with status 1 where something disagrees, fails or takes too long to derive. Ctrl-C shows what there is.
    Needs the extra torch, unless it only derives.

    For example:
      scalerules fuzz
      scalerules fuzz --derive-only --graphs 1000 --modes joint,isolated --store rules.sqlite --jobs 4
      scalerules fuzz --minutes 60 --seed 1000 --save found --store fuzz.sqlite --jobs 4
      scalerules fuzz --graphs 20 --optimizers adamw --format json -o fuzz.json
    """
    from scalerules.measurement import fuzz as fuzzed

    chosen = numbers(sizes, "--sizes", few=2) or []
    if minutes is not None:
        positive(minutes, "--minutes")
    if graphs is not None:
        whole(graphs, "--graphs")
    whole(seed, "--seed", 0)
    whole(jobs, "--jobs", 1, MOST_JOBS)
    if save is not None:
        _folder(save)
    place = destination(store)
    names, ways = ([name.strip() for name in text.split(",") if name.strip()] for text in (optimizers, modes))
    report = fuzzed(minutes, seed, graphs, names, chosen, progress=not quiet, store=place, jobs=jobs, modes=ways,
                   derive_only=derive_only)  # fmt: skip
    if save is not None:
        for path in report.save(save):
            print(f"wrote {path}", file=sys.stderr)
    write(ended(report.to_json() if format == "json" else report.to_table()), output)
    return INTERRUPTED if report.interrupted else 0 if report.verdict else 1


@command
def transfer(
    graph: GraphName,
    /,
    *,
    sizes: Annotated[str | None, Parameter(help="Values of the first scale, the base first: 32,64,128,256.")] = None,
    base: Annotated[float | None, Parameter(help="The size at which rules agree; by default the smallest.")] = None,
    lrs: Annotated[str | None, Parameter(help="Rates at the base size; without it they are searched for.")] = None,
    compare: Annotated[str, Parameter(help="Beside it: standard, ntk, mean-field, isolated, joint.")] = "standard",
    seeds: Annotated[int, Parameter(help="Runs per rate.")] = 3,
    data: Annotated[str, Parameter(help="What to train on: text, digits, or auto: what fits the graph.")] = "auto",
    axis: Annotated[tuple[str, ...], Repeated, Parameter(help="NAME=LENGTH of an axis that does not grow.")] = (),
    over: Annotated[str, Parameter(help="Of a training loop of your own: the number that is swept.")] = "lr",
    store: Annotated[str | None, Parameter(help="Keeps every run; by default GRAPH.transfer.sqlite here.")] = None,
    jobs: Annotated[int, Parameter(help="Processes.")] = 1,
    quiet: Annotated[bool, Parameter(negative="", help="No progress.")] = False,
    plot: Annotated[
        str | None, Parameter(validator=figure, help="A figure of loss over rate: .png, .svg, .pdf, or one .html.")
    ] = None,
    question: Trained = AskedToTrain,
    format: Literal["table", "md", "json"] = "table",
    output: Output = None,
) -> int:
    """Trains the architecture on real data at several sizes and rates, and says how the best rate moves with the size.

    GRAPH may be a training loop of your own, FILE:FUNCTION with train(lr, seed, rule, **sizes) -> loss.
    Every finished run is kept: the same command goes on where it was stopped. Ends with status 1 if the rule does not
    transfer. Needs the extra torch.

    For example:
      scalerules transfer transformer --sizes 32,64,128,256 --plot transfer.svg
      scalerules transfer mamba --compare isolated,standard --seeds 2 --steps 60
      scalerules transfer mytrain.py:train --optimizer adamw --sizes 64,128,256
    """
    from scalerules.measurement import transfer as swept

    fixed, chosen, rates = lengths(axis), numbers(sizes, "--sizes", few=2), numbers(lrs, "--lrs", most=LARGEST_RATE)
    if base is not None:
        positive(base, "--base")
    whole(seeds, "--seeds", 1, MOST_SEEDS)
    whole(jobs, "--jobs", 1, MOST_JOBS)
    own = own_loop(graph)
    built, solution = question.solve(own[1] if own else graph)
    warn(solution.warnings)
    report = swept(
        own[0] if own else built, solution, chosen, rates, base=base, compare=compared(question, built, compare),
        seeds=seeds, steps=question.steps, data=data, axes=fixed, over=over, store=place(store, built.name), jobs=jobs,
        progress=not quiet,
    )  # fmt: skip
    text = {"json": report.to_json, "md": report.to_markdown, "table": lambda: rich_text(report.to_table())}[format]()
    try:
        write(ended(text), output)
    finally:
        if plot is not None:
            report.plot(plot)
    return INTERRUPTED if report.interrupted else 0 if report.verdict else 1


@command
def report(
    graph: GraphName,
    /,
    *,
    verify: Annotated[bool, Parameter(negative="", help="Measures it too (needs the extra torch).")] = False,
    sizes: Annotated[str | None, Parameter(help="With --verify: values of the first scale, the base first.")] = None,
    seeds: Annotated[int, Parameter(help="With --verify: runs per size.")] = 4,
    quiet: Annotated[bool, Parameter(negative="", help="No progress on standard error.")] = False,
    question: Question = Asked,
    output: Output = None,
) -> int:
    """One self-contained HTML page: rules, the graph drawn, every derivation, predicted sizes, and measurements.

    For example:
      scalerules report mlp -o report.html
      scalerules report transformer --optimizer sgd --verify --sizes 32,64,128 -o report.html
    """
    from scalerules.measurement import verify as verified
    from scalerules.reporting import report as page

    chosen = numbers(sizes, "--sizes", few=2)
    whole(seeds, "--seeds", 1, MOST_SEEDS)
    built, solution = question.solve(graph)
    warn(solution.warnings)
    measured = None
    if verify:
        measured = verified(
            built, solution, sizes=chosen, seeds=seeds, steps=question.steps, progress=not quiet
        )  # fmt: skip
    write(page(built, solution, measured), output)
    if measured is not None and measured.interrupted:
        return INTERRUPTED
    return 1 if measured is not None and measured.verdict is False else 0


INTERRUPTED = 130
"""The exit status after Ctrl-C; what there was is reported all the same."""
