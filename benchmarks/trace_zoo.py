"""Traces the models of `zoo.py`, derives their rules and prints a table.

    python benchmarks/trace_zoo.py [NAME or LIST ...] [--no-derive] [--limit SECONDS] [--store FILE]

Lists are `zoo`, `more`, `plain`, `new`, `libraries`, `others` and `large`. Each model runs in a process of its own, and
`--store` goes on where a run was ended. Seconds are CPU seconds of that process, imports left out: `traced` is the
export at all sizes and the graph, `derived` the rules for AdamW along the first scale. `sizes` says how many axes of
weights and of calls have a length as a function of the scales, `as muP` how many rules are those of their class
(`mup_classes.py`); those that are others are named.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from mup_classes import differences
from zoo_runs import MODELS, chosen, report, rows, stop_after, table

LIMIT = 100.0
"""Processor seconds that one model may take."""


def one(name: str, derive: bool, save: str | None = None) -> dict[str, Any]:
    """What becomes of one model. `save`: a folder for the graph as JSON."""
    import resource

    import torch

    import scalerules
    from scalerules.errors import ScaleRulesError
    from scalerules.tracing.exporting.recording import record
    from scalerules.tracing.traced import graph_of

    torch.set_num_threads(1)
    entry = MODELS[name]
    row: dict[str, Any] = {"model": name}
    warm(entry)
    start = time.process_time()
    try:
        found = record(entry.make_model, entry.scales, entry.make_inputs)
        weights, all_weights, calls, all_calls = found.resolved()
        row |= {"nodes": len(found.calls), "sizes": f"{weights + calls}/{all_weights + all_calls}"}
        report(row)
        graph = graph_of(found, entry.make_model, entry.make_inputs)
        row |= {"graph": sum(1 for _ in graph.walk()), "traced": time.process_time() - start}
        report(row)
        if save:
            Path(save, f"{name}.json").write_text(graph.to_json())
        start = time.process_time()
        if derive:
            solution = scalerules.derive(graph, optimizer="adamw")
            row |= {"derived": time.process_time() - start, "message": f"{len(solution.parameters)} parameters"}
            report(row)
            compared, others = differences(name, entry, solution, graph)
            row |= {"rules": f"{compared - len(others)}/{compared}", "differs": others}
    except ScaleRulesError as error:
        row |= {"failed": time.process_time() - start, "message": " ".join(str(error).split())}
    return row | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


def warm(entry: Any) -> None:
    """Imports the libraries: their time is not that of tracing."""
    import torch

    from scalerules.tracing.exporting.factories import call_with, quiet

    with quiet():
        torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),)).run_decompositions({})
    sizes = {scale: values[0] for scale, values in entry.scales.items()}
    try:
        with torch.device("meta"):
            call_with(entry.make_model, sizes)
    except Exception:  # the trace itself reports it
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="models or lists; all of them if none is named")
    parser.add_argument("--no-derive", action="store_true", help="trace only")
    parser.add_argument("--save", help="a folder for the graphs")
    parser.add_argument("--store", type=Path, help="a file of rows that a later run goes on with")
    parser.add_argument("--limit", type=float, default=LIMIT, help="processor seconds for one model")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        stop_after(asked.limit)
        report(one(asked.names[0], not asked.no_derive, asked.save))
        return
    options = [*(["--no-derive"] if asked.no_derive else []), *(["--save", asked.save] if asked.save else [])]

    def cells(row: dict[str, Any]) -> list[Any]:
        traced, derived = (f"{row[key]:.1f}" if key in row else "-" for key in ("traced", "derived"))
        named = [row.get(key, "-") for key in ("model", "nodes", "graph", "sizes")]
        said = "; ".join([row.get("message", ""), *row.get("differs", [])])
        return [*named, traced, derived, row.get("rules", "-"), row.get("peak_mb", "-"), said]

    found = rows(__file__, chosen(asked.names), asked.limit, options, asked.store)
    table(["model", "nodes", "graph", "sizes", "traced", "derived", "as muP", "MB", ""], (cells(row) for row in found))


if __name__ == "__main__":
    main()
