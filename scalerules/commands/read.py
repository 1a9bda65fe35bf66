"""The commands that read: list, trace, published, check."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from cyclopts import Parameter

from .common import Output, command, ended, warn
from .output import write as written


@command
def list_(kind: Literal["graphs", "optimizers", "gauges", "ops", "backends", "fits"] = "graphs", /) -> int:
    """What there is: graphs, optimizers, gauges, ops, backends or fits, each with a line that says what it is.

    For example:
      scalerules list
      scalerules list optimizers
    """
    from . import listing

    rows = listing.LISTS[kind]()
    width = max((len(name) for name, _ in rows), default=0)
    written("".join(f"{name:<{width}}  {text}".rstrip() + "\n" for name, text in rows), None)
    return 0


@command
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
    written(ended(method()), output)
    return 0 if report.verdict else 1


@command
def trace(
    factory: Annotated[str, Parameter(help="module:factory or file.py:factory, or a configuration of transformers.")],
    /,
    *,
    scale: Annotated[tuple[str, ...], Parameter(negative="", help="NAME=VALUES, or NAME=FIELD.")] = (),
    set: Annotated[tuple[str, ...], Parameter(negative="", help="FIELD=VALUE of a configuration; repeatable.")] = (),
    format: Literal["yaml", "json", "record"] = "yaml",
    check: Annotated[
        bool, Parameter(negative="", help="List guesses, fixed branches, weights without a rule.")
    ] = False,
    output: Output = None,
) -> int:
    """Traces a torch module, unedited, and writes its graph; `record` shows the traced calls with symbolic sizes.

    `--check` writes instead what was guessed, which branches were fixed, and which parameters have no rule.

    `factory(width=32)` builds the module, `make_inputs(width=32)` of the same file returns what it is called with.
    `factory` may also be a class of configurations of transformers (or one that a file holds): the scale names the
    field that grows, and the fields that follow it are found by measuring. What was left out or could not be set is
    said on standard error. Needs the extra torch.

    For example:
      scalerules trace models.py:make_gpt --scale width=32,48,64 --scale depth=2,3,4 -o gpt.yaml
      scalerules derive gpt.yaml --scale width
      scalerules trace transformers:GPT2Config --scale width=n_embd --set n_layer=2
    """
    from scalerules.catalogue import graph as load
    from scalerules.tracing.traced import Traced

    from .options import pairs, traced_at

    graph = load(factory, trace=traced_at(scale) or None, **pairs(set))
    if check and isinstance(graph, Traced):
        from scalerules.tracing.dry_run import dry_run

        written(
            ended("\n".join(dry_run(graph, graph.record, graph.notes) or ["nothing was guessed, fixed or left out"])),
            output,
        )
        return 0
    if isinstance(graph, Traced):
        warn(graph.notes)
    if format == "record":
        written(ended(str(graph.record if isinstance(graph, Traced) else graph)), output)
    else:
        written(ended(graph.to_json() if format == "json" else graph.to_yaml()), output)
    return 0


@command
def check(*, write: Annotated[bool, Parameter(negative="", help="Write the folder again instead.")] = False) -> int:
    """Compares the folder derivations/ with what the engine gives now; ends with status 1 if they differ.

    For example:
      scalerules check
      scalerules check --write
    """
    from scalerules.reporting import derivations as pages

    if write:
        for name in pages.regenerate():
            print(f"wrote {name}", file=sys.stderr)
        return 0
    drift = pages.drift()
    written(ended("\n".join(drift) if drift else "derivations/ is what the engine gives"), None)
    return 1 if drift else 0
