"""The commands, one function each; a command whose parts are not there is not offered.

To add one: write a function with a docstring (its help) and put `@command(...)` above it, naming the public names
(see `scalerules.__all__`) or modules that it needs.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Annotated, Any, Literal, TypeVar

from cyclopts import Parameter

from scalerules.boundary.amounts import LARGEST_RATE, MOST_JOBS, MOST_SEEDS, positive, whole
from scalerules.boundary.files import destination
from scalerules.boundary.files import folder as _folder
from scalerules.measurement.figures import drawable

from .errors import ScaleRulesError, UnknownName
from .output import stream, write
from .question import Question, Repeated, Trained, numbers, whole_numbers
from .transfer_question import compared, lengths, place

F = TypeVar("F", bound=Callable[..., int])

INTERRUPTED = 130
"""The exit status after Ctrl-C; what there was is reported all the same."""

COMMANDS: dict[str, Callable[..., int]] = {}


def _output(_: object, file: str | None) -> None:
    destination(file)  # a place that cannot be written is told before the work, not after it


def _figure(_: object, file: str | None) -> None:
    if file is not None:
        drawable(file, pages=False)


def _figure_or_page(_: object, file: str | None) -> None:
    if file is not None:
        drawable(file, pages=True)


Output = Annotated[
    str | None,
    Parameter(name=["-o", "--output"], validator=_output, help="The file to write, whole or not at all."),
]
GraphName = Annotated[str, Parameter(help="A catalogue name, a path to .py, .yaml or .json, or module:factory.")]
Asked = Question()
AskedToTrain = Trained()


def there(*modules: str) -> bool:
    """Whether all these modules of the package exist; nothing is imported."""
    return all(importlib.util.find_spec(f"scalerules.{module}") is not None for module in modules)


def command(*modules: str) -> Callable[[F], F]:
    """Offers the function as a command if the modules that it needs are there."""

    def offer(function: F) -> F:
        if there(*modules):
            COMMANDS[function.__name__.rstrip("_")] = function
        return function

    return offer


def version() -> str:
    """The installed version."""
    from importlib import metadata

    return metadata.version("scalerules")


@command()
def list_(kind: Literal["graphs", "optimizers", "gauges", "ops", "backends", "fits"] = "graphs", /) -> int:
    """What there is: graphs, optimizers, gauges, ops, backends or fits, each with a line that says what it is.

    For example:
      scalerules list
      scalerules list optimizers
    """
    from . import listing

    rows = listing.LISTS[kind]()
    width = max((len(name) for name, _ in rows), default=0)
    write("".join(f"{name:<{width}}  {text}".rstrip() + "\n" for name, text in rows), None)
    return 0


@command("derivation")
def derive(
    graph: GraphName,
    /,
    *,
    question: Question = Asked,
    format: Literal["table", "md", "latex", "json"] = "table",
    output: Output = None,
) -> int:
    """Derives how the initialisation, multiplier, learning rate, epsilon and weight decay of every parameter scale.

    For example:
      scalerules derive mlp
      scalerules derive mamba --mode isolated --scale width --scale state=1/4
      scalerules derive mamba --set discretisation=euler
      scalerules derive my_arch.yaml --optimizer sgd --format json -o rules.json
    """
    _, solution = question.solve(graph)
    _warn(solution.warnings)
    method = {"table": "to_table", "md": "to_markdown", "latex": "to_latex", "json": "to_json"}[format]
    write(_ended(_call(method)(solution)), output)
    return 0


@command("derivation")
def explain(graph: GraphName, parameter: str, /, *more: str, question: Question = Asked, output: Output = None) -> int:
    """Shows the steps from which the sizes of a parameter follow, each with its reason.

    For example:
      scalerules explain mlp h1
      scalerules explain mamba W_B A_log --optimizer sgd
    """
    built, solution = question.solve(graph)
    for name in (parameter, *more):
        if name not in solution.explanations:
            raise UnknownName("parameter", name, solution.explanations, where=f"graph {built.name!r}")
    write("\n".join(_ended(str(solution.explain(name))) for name in (parameter, *more)), output)
    return 0


@command("classify")
def classify(
    graph: GraphName,
    /,
    *,
    question: Question = Asked,
    format: Literal["table", "json"] = "table",
    output: Output = None,
) -> int:
    """Says what a given parametrization does: unstable (where), learning features, or lazy (where).

    Ends with status 1 if it is unstable.

    For example:
      scalerules classify mlp --given ntk --optimizer sgd
      scalerules classify transformer --given sizes.yaml
    """
    import scalerules

    if question.given is None:
        raise ScaleRulesError("classify needs --given", hint="a FILE, or standard, ntk, mean-field, mup")
    built = question.graph(graph)
    asked = {key: value for key, value in question.asked(built).items() if key != "gauge"}
    report = scalerules.classify(built, given=question.sizes_given(), **asked)
    write(_ended(report.to_json() if format == "json" else str(report)), output)
    return 0 if report.stable else 1


@command("derivation", "backends.pytorch")
def emit(graph: GraphName, /, *, to: str = "pytorch", question: Question = Asked, output: Output = None) -> int:
    """Writes the rules as readable, self-contained source code.

    For example:
      scalerules emit mlp --to pytorch
      scalerules emit mamba --to pytorch --optimizer adamw -o mamba_rules.py
    """
    from .catalogue import graphs as lookup

    lookup.backend(to)  # a wrong name is told before the work
    built, solution = question.solve(graph)
    _warn(solution.warnings)
    write(_ended(lookup.emit(solution, to, graph=built)), output)
    return 0


@command("derivation", "verify")
def verify(
    graph: GraphName,
    /,
    *,
    sizes: Annotated[str | None, Parameter(help="Values of the first scale, the base first: 64,128,256.")] = None,
    seeds: Annotated[str, Parameter(help="Runs per size: 4, or for each size, such as 8,4,2,2.")] = "4",
    seed: Annotated[int, Parameter(help="The first seed.")] = 0,
    lr: Annotated[float | None, Parameter(help="The base learning rate; without it the edge is searched for.")] = None,
    device: Annotated[str, Parameter(help="Where to train: cpu, cuda.")] = "cpu",
    every: Annotated[bool, Parameter(negative="", help="Show every row.")] = False,
    quiet: Annotated[bool, Parameter(negative="", help="No progress.")] = False,
    plot: Annotated[
        str | None, Parameter(validator=_figure_or_page, help="A figure: .png, .svg, .pdf, or one .html.")
    ] = None,
    question: Question = Asked,
    format: Literal["table", "json"] = "table",
    output: Output = None,
) -> int:
    """Trains the architecture at several sizes and holds the measured slopes against the derived sizes.

    Ends with status 1 if they disagree; where the measurement is too blunt it says undecided, and what it needs.
    Needs the extra torch.

    For example:
      scalerules verify mlp
      scalerules verify mlp --sizes 64,128,256,512 --seeds 8,4,2,2 --plot slopes.png
      scalerules verify transformer --device cuda --plot slopes.html
    """
    import scalerules

    chosen, counts = numbers(sizes, "--sizes", few=2), whole_numbers(seeds, "--seeds")
    if lr is not None:
        positive(lr, "--lr", LARGEST_RATE)
    whole(seed, "--seed", 0)
    built, solution = question.solve(graph)
    _warn(solution.warnings)
    report = scalerules.verify(
        built, solution, sizes=chosen, seeds=counts if len(counts) > 1 else counts[0], steps=question.steps, lr=lr,
        progress=not quiet, device=device, seed=seed,
    )  # fmt: skip
    try:
        write(_ended(report.to_json() if format == "json" else _rich(report.to_table(every))), output)
    finally:
        if plot is not None and report.rows:
            report.plot(plot)
    if report.verdict is None and not quiet:
        print(f"scalerules: undecided: {report.advice}", file=sys.stderr)
    return INTERRUPTED if report.interrupted else 1 if report.verdict is False else 0


@command("fuzz", "verify")
def fuzz(
    *,
    minutes: Annotated[float | None, Parameter(help="Stop after so many; 5 without --graphs.")] = None,
    seed: Annotated[int, Parameter(help="The seed of the first graph.")] = 0,
    graphs: Annotated[int | None, Parameter(help="Stop after so many graphs.")] = None,
    optimizers: Annotated[str, Parameter(help="Which, with commas between them.")] = "sgd,adamw,muon",
    sizes: Annotated[str, Parameter(help="Widths, the base first.")] = "64,128,256,512",
    save: Annotated[str | None, Parameter(help="A folder for the graphs of findings, as YAML.")] = None,
    quiet: Annotated[bool, Parameter(negative="", help="No progress.")] = False,
    format: Literal["table", "json"] = "table",
    output: Output = None,
) -> int:
    """Draws random architectures, derives and measures them, and shrinks what disagrees to its smallest graph.

    Ends with status 1 where something disagrees, fails or takes too long to derive. Ctrl-C shows what there is.
    Needs the extra torch.

    For example:
      scalerules fuzz
      scalerules fuzz --minutes 60 --seed 1000 --save found
      scalerules fuzz --graphs 20 --optimizers adamw --format json -o fuzz.json
    """
    import scalerules

    chosen = numbers(sizes, "--sizes", few=2) or []
    if minutes is not None:
        positive(minutes, "--minutes")
    if graphs is not None:
        whole(graphs, "--graphs")
    whole(seed, "--seed", 0)
    if save is not None:
        _folder(save)
    names = [name.strip() for name in optimizers.split(",") if name.strip()]
    report = scalerules.fuzz(minutes, seed, graphs, names, chosen, progress=not quiet)
    if save is not None:
        for path in report.save(save):
            print(f"wrote {path}", file=sys.stderr)
    write(_ended(report.to_json() if format == "json" else report.to_table()), output)
    return INTERRUPTED if report.interrupted else 0 if report.verdict else 1


@command("published")
def published(
    records: Annotated[str | None, Parameter(help="A file of records (.yaml, .json), not the project's.")] = None,
    /,
    *,
    only: Annotated[tuple[str, ...], Parameter(negative="", help="The id of a record; repeatable.")] = (),
    format: Literal["table", "md", "json"] = "table",
    quiet: Annotated[bool, Parameter(negative="", help="No progress on standard error.")] = False,
    output: Output = None,
) -> int:
    """Papers beside what the engine derives: every published rule, where it agrees, where it differs and why.

    Ends with status 1 if a difference has no stated reason, or a record cannot be derived.

    For example:
      scalerules published
      scalerules published --only muon --only depth-mup
      scalerules published my_records.yaml --format md -o published.md
    """
    from scalerules.measurement.progress import Progress
    from scalerules.reporting.literature.published import published as compare
    from scalerules.reporting.literature.records import records as read

    with Progress(len(only) or len(read(records).records), not quiet, "deriving") as advance:
        report = compare(records, only=only, advance=advance)
    method = {"table": report.to_table, "md": report.to_markdown, "json": report.to_json}[format]
    write(_ended(method()), output)
    return 0 if report.verdict else 1


@command("trace")
def trace(
    factory: Annotated[str, Parameter(help="module:factory or file.py:factory, which builds a torch module.")],
    /,
    *,
    scale: Annotated[tuple[str, ...], Parameter(negative="", help="NAME=VALUES, such as width=32,48,64.")] = (),
    format: Literal["yaml", "json", "record"] = "yaml",
    output: Output = None,
) -> int:
    """Traces a torch module, unedited, and writes its graph; `record` shows the traced calls with symbolic sizes.

    `factory(width=32)` builds the module, `make_inputs(width=32)` of the same file returns what it is called with.
    What was left out or could not be set is said on standard error. Needs the extra torch.

    For example:
      scalerules trace models.py:make_gpt --scale width=32,48,64 --scale depth=2,3,4 -o gpt.yaml
      scalerules derive gpt.yaml --scale width
    """
    from scalerules.tracing.trace import Traced

    from .catalogue import graphs as lookup
    from .question import traced_at

    graph = lookup.graph(factory, trace=traced_at(scale) or None)
    if isinstance(graph, Traced):
        _warn(graph.notes)
    if format == "record":
        write(_ended(str(graph.record if isinstance(graph, Traced) else graph)), output)
    else:
        write(_ended(graph.to_json() if format == "json" else graph.to_yaml()), output)
    return 0


@command("derivation", "transfer")
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
    store: Annotated[str | None, Parameter(help="Keeps every run; by default GRAPH.transfer.sqlite here.")] = None,
    jobs: Annotated[int, Parameter(help="Processes.")] = 1,
    quiet: Annotated[bool, Parameter(negative="", help="No progress.")] = False,
    plot: Annotated[
        str | None, Parameter(validator=_figure, help="A figure of loss over rate: .png, .svg, .pdf.")
    ] = None,
    question: Trained = AskedToTrain,
    format: Literal["table", "md", "json"] = "table",
    output: Output = None,
) -> int:
    """Trains the architecture on real data at several sizes and rates, and says how the best rate moves with the size.

    Every finished run is kept: the same command goes on where it was stopped. Ends with status 1 if the rule does not
    transfer. Needs the extra torch.

    For example:
      scalerules transfer transformer --sizes 32,64,128,256 --plot transfer.svg
      scalerules transfer mamba --compare isolated,standard --seeds 2 --steps 60
    """
    import scalerules

    fixed, chosen, rates = lengths(axis), numbers(sizes, "--sizes", few=2), numbers(lrs, "--lrs", most=LARGEST_RATE)
    if base is not None:
        positive(base, "--base")
    whole(seeds, "--seeds", 1, MOST_SEEDS)
    whole(jobs, "--jobs", 1, MOST_JOBS)
    built, solution = question.solve(graph)
    _warn(solution.warnings)
    report = scalerules.transfer(
        built, solution, chosen, rates, base=base, compare=compared(question, built, compare), seeds=seeds,
        steps=question.steps, data=data, axes=fixed, store=place(store, built.name), jobs=jobs, progress=not quiet,
    )  # fmt: skip
    text = {"json": report.to_json, "md": report.to_markdown, "table": lambda: _rich(report.to_table())}[format]()
    try:
        write(_ended(text), output)
    finally:
        if plot is not None:
            report.plot(plot)
    return INTERRUPTED if report.interrupted else 0 if report.verdict else 1


@command("report")
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
    import scalerules

    chosen = numbers(sizes, "--sizes", few=2)
    whole(seeds, "--seeds", 1, MOST_SEEDS)
    built, solution = question.solve(graph)
    _warn(solution.warnings)
    measured = None
    if verify:
        measured = scalerules.verify(
            built, solution, sizes=chosen, seeds=seeds, steps=question.steps, progress=not quiet
        )  # fmt: skip
    write(scalerules.report(built, solution, measured), output)
    if measured is not None and measured.interrupted:
        return INTERRUPTED
    return 1 if measured is not None and measured.verdict is False else 0


@command("derivation", "pages")
def check(*, write: Annotated[bool, Parameter(negative="", help="Write the folder again instead.")] = False) -> int:
    """Compares the folder derivations/ with what the engine gives now; ends with status 1 if they differ.

    For example:
      scalerules check
      scalerules check --write
    """
    from .reporting import derivations as pages

    if write:
        for name in pages.regenerate():
            print(f"wrote {name}", file=sys.stderr)
        return 0
    drift = pages.drift()
    print("\n".join(drift) if drift else "derivations/ is what the engine gives", file=stream())
    return 1 if drift else 0


def _call(method: str) -> Callable[[Any], str]:
    return lambda solution: getattr(solution, method)()


def _ended(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        print(f"scalerules: warning: {warning}", file=sys.stderr)


def _rich(renderable: Any) -> str:
    """What rich draws, as text: as wide as the terminal, and never cut off where it goes into a file or a pipe."""
    import io
    import shutil

    from rich.console import Console

    shown, encoding = False, "utf-8"
    with suppress(OSError):  # closed: it is told when it is written
        shown, encoding = stream().isatty(), stream().encoding or encoding
    drawn = io.BytesIO()
    # rich draws boxes of signs that the encoding has
    file = io.TextIOWrapper(drawn, encoding=encoding, errors="plain")
    wide = shutil.get_terminal_size().columns if shown else 200
    Console(file=file, width=wide, force_terminal=shown).print(renderable)
    file.flush()
    text = drawn.getvalue().decode(file.encoding)
    return "".join(line.rstrip() + "\n" for line in text.splitlines())
