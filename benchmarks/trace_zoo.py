"""Traces the models of `zoo.py`, derives their rules and prints a table.

    python benchmarks/trace_zoo.py [NAME ...] [--no-derive] [--limit SECONDS]

Each model runs in a process of its own. Seconds are CPU seconds of that process, imports left out: `traced` is the
export at all sizes and the graph, `derived` the rules for AdamW along the first scale. `sizes` says how many axes of
weights and of calls have a length as a function of the scales.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from typing import Any

from zoo import ZOO
from zoo_more import MORE
from zoo_new import NEW
from zoo_plain import PLAIN

MODELS = {**ZOO, **MORE, **PLAIN, **NEW}

LIMIT = 100.0
"""Processor seconds that one model may take."""


def one(name: str, derive: bool, save: str | None = None) -> dict[str, Any]:
    """What becomes of one model. `save`: a folder for the graph as JSON."""
    import resource
    from pathlib import Path

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
    except ScaleRulesError as error:
        row |= {"failed": time.process_time() - start, "message": " ".join(str(error).split())}
    return row | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


def report(row: dict[str, Any]) -> None:
    """Says what is known so far: a time limit leaves it standing."""
    print(json.dumps(row), flush=True)


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


def lines(name: str, limit: float, options: list[str]) -> dict[str, Any]:
    """The last row that the process of one model has printed."""
    command = [sys.executable, __file__, "--one", *options, "--limit", str(limit), name]
    done = subprocess.run(command, capture_output=True, text=True)
    problem = ""
    if done.returncode == -signal.SIGPROF:
        problem = f"not done after {limit:.0f} s"
    elif done.returncode:
        problem = (done.stderr.strip().splitlines() or ["killed"])[-1]
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    row = rows[-1] if rows else {"model": name}
    return row | ({"message": problem[:300]} if problem else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="models of the zoo; all of them if none is named")
    parser.add_argument("--no-derive", action="store_true", help="trace only")
    parser.add_argument("--save", help="a folder for the graphs")
    parser.add_argument("--limit", type=float, default=LIMIT, help="processor seconds for one model")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        signal.setitimer(signal.ITIMER_PROF, chosen.limit)  # nobody handles it: the process ends
        report(one(chosen.names[0], not chosen.no_derive, chosen.save))
        return
    options = [*(["--no-derive"] if chosen.no_derive else []), *(["--save", chosen.save] if chosen.save else [])]
    print("| model | nodes | graph | sizes | traced | derived | MB | |", flush=True)
    print("|---|--:|--:|--:|--:|--:|--:|---|", flush=True)
    for name in chosen.names or list(MODELS):
        row = lines(name, chosen.limit, options)
        traced, derived = (f"{row[key]:.1f}" if key in row else "-" for key in ("traced", "derived"))
        cells = [row.get(key, "-") for key in ("model", "nodes", "graph", "sizes")]
        cells += [traced, derived, row.get("peak_mb", "-"), row.get("message", "")]
        print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
