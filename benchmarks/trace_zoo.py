"""Traces the models of `zoo.py` and prints a table: nodes, resolved sizes, seconds, messages.

    python benchmarks/trace_zoo.py [NAME ...] [--derive]

Each model runs in a process of its own; `seconds` are CPU seconds of that process for tracing (imports left out).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

from zoo import ZOO


def one(name: str, derive: bool) -> dict[str, Any]:
    """What becomes of one model."""
    import resource

    import torch

    from scalerules.errors import ScaleRulesError
    from scalerules.tracing.recording import record

    torch.set_num_threads(1)
    entry = ZOO[name]
    row: dict[str, Any] = {"model": name, "source": entry.source, "traced": False}
    warm(entry)
    start = time.process_time()
    try:
        found = record(entry.make_model, entry.scales, entry.make_inputs)
    except ScaleRulesError as error:
        return row | {"seconds": time.process_time() - start, "message": str(error)}
    row |= {"traced": True, "nodes": len(found.calls), "seconds": time.process_time() - start}
    weights, all_weights, calls, all_calls = found.resolved()
    row |= {"weights": f"{weights}/{all_weights}", "axes": f"{calls}/{all_calls}"}
    row |= {"runs": ", ".join(f"{run.count} x {len(run.copies[0])}" for run in found.runs)}
    row |= {"unknown": sum(w.initial.kind == "unknown" for w in found.weights), "notes": list(found.notes)}
    if derive:
        row |= _derived(name)
    row["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return row


def warm(entry: Any) -> None:
    """Imports the libraries: their time is not that of tracing."""
    import torch

    from scalerules.tracing.export import call_with, quiet

    with quiet():
        torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),)).run_decompositions({})
    sizes = {scale: values[0] for scale, values in entry.scales.items()}
    try:
        with torch.device("meta"):
            call_with(entry.make_model, sizes)
    except Exception:  # the trace itself reports it
        pass


def _derived(name: str) -> dict[str, Any]:
    import scalerules
    from scalerules.errors import ScaleRulesError
    from scalerules.trace import trace

    entry = ZOO[name]
    start = time.process_time()
    try:
        solution = scalerules.derive(trace(entry.make_model, scales=entry.scales, inputs=entry.make_inputs))
    except ScaleRulesError as error:
        return {"derived": False, "message": str(error), "derive_seconds": time.process_time() - start}
    return {"derived": True, "parameters": len(solution.parameters), "derive_seconds": time.process_time() - start}


def main() -> None:
    names = [name for name in sys.argv[1:] if not name.startswith("-")] or list(ZOO)
    derive = "--derive" in sys.argv
    if "--one" in sys.argv:
        print(json.dumps(one(names[0], derive)))
        return
    print(f"{'model':14}{'nodes':>6} {'weight axes':>12} {'call axes':>12} {'seconds':>8} {'MB':>6}  runs; message")
    for name in names:
        command = [sys.executable, __file__, "--one", name, *(["--derive"] if derive else [])]
        done = subprocess.run(command, capture_output=True, text=True)
        lines = done.stdout.strip().splitlines()
        if done.returncode or not lines:
            tail = (done.stderr.strip().splitlines() or ["killed"])[-1]
            print(f"{name:14} crashed: {tail[:200]}", flush=True)
            continue
        row = json.loads(lines[-1])
        head = f"{name:14}{row.get('nodes', ''):>6} {row.get('weights', ''):>12} {row.get('axes', ''):>12} "
        head += f"{row['seconds']:8.1f} {row.get('peak_mb', ''):>6}"
        rest = [row.get("runs", ""), row.get("message", ""), *row.get("notes", [])]
        print(head + "  " + "; ".join(part for part in rest if part)[:400], flush=True)


if __name__ == "__main__":
    main()
