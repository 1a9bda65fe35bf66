"""Trains traced modules of the lists with their derived rules and prints what `verify` says of each.

    python benchmarks/verify_zoo.py [NAME or LIST ...] [--store FILE] [--limit SECONDS] [--sizes 1,2,4,8] [--seeds 2]

Lists are those of `trace_zoo.py`. AdamW, along the first scale; widths are the smallest that the list gives times
`--sizes`. Each model runs in a process of its own and is kept in the file, so that a run goes on where it was ended.
Seconds are of a processor, tracing and deriving included. `as muP` as in `trace_zoo.py`.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from mup_classes import differences
from zoo_runs import MODELS, chosen, report, rows, stop_after, table

LIMIT = 150.0
VERDICTS = {True: "agrees", False: "refuted", None: "open"}


def one(name: str, multiples: list[int], seeds: int) -> dict[str, Any]:
    """What becomes of one model."""
    import torch

    import scalerules as sr

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    entry, row = MODELS[name], {"model": name}
    start = time.process_time()
    try:
        graph = sr.trace(entry.make_model, scales=entry.scales, inputs=entry.make_inputs, progress=False)
        first, traced = next(iter(entry.scales.values()))[0], time.process_time()
        row |= {"on": "module" if graph.live is not None else "graph", "traced": traced - start}
        solution = sr.derive(graph, optimizer="adamw")
        compared, others = differences(name, entry, solution, graph)
        row |= {"derived": time.process_time() - traced, "rules": f"{compared - len(others)}/{compared}"}
        row |= {"differs": others}
        report(row)
        sizes = [first * multiple for multiple in multiples]
        found = sr.verify(graph, solution, sizes=sizes, seeds=seeds, progress=False, jobs=1)
        off = [*(goal.row for goal in found.failed), *found.wrong, *found.open]
        row |= {"verdict": VERDICTS[found.verdict], "rows": len(found.rows), "off": len(found.wrong),
                "open": len(found.open), "refuted": found.refuted, "looks": found.looks,
                "message": "" if found.verdict else found.headline,
                "first": [said(each) for each in off[:4]]}  # fmt: skip
    except sr.ScaleRulesError as error:
        row |= {"verdict": "no rules", "message": " ".join(str(error).split())}
    return row | {"seconds": round(time.process_time() - start, 1)}


def said(row: Any) -> str:
    """A row that is off, in words."""
    slope = "-" if row.slope is None else f"{row.slope:+.2f}"
    by = f" by {row.parameter}" if row.parameter else ""
    return f"{row.status} {row.quantity} of {row.node}{by}, step {row.step}: {slope} for {row.predicted}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="models or lists")
    parser.add_argument("--store", type=Path, help="a file of rows that a later run goes on with")
    parser.add_argument("--limit", type=float, default=LIMIT, help="processor seconds for one model")
    parser.add_argument("--sizes", default="1,2,4,8", help="multiples of the smallest width")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        stop_after(asked.limit)
        report(one(asked.names[0], [int(size) for size in asked.sizes.split(",")], asked.seeds))
        return
    options = ["--sizes", asked.sizes, "--seeds", str(asked.seeds)]
    verdicts: Counter[str] = Counter()

    def cells(row: dict[str, Any]) -> list[Any]:
        verdicts[row.get("verdict", "not done")] += 1
        values = [row.get(key, "-") for key in ("model", "on", "verdict", "rows", "off", "open", "rules", "seconds")]
        said = [row.get("message", ""), *row.get("first", []), *row.get("differs", [])]
        return [*values, "; ".join(said).strip("; ")]

    found = rows(__file__, chosen(asked.names), asked.limit, options, asked.store)
    table(["model", "on", "verdict", "rows", "off", "open", "as muP", "s", ""], (cells(row) for row in found))
    print(", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()))


if __name__ == "__main__":
    main()
