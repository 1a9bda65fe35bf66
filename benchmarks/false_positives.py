"""What `verify` says of rules that are held to be right, and of planted faults.

    python -m benchmarks.false_positives [WORD ...] [--kinds catalogue,laws,written,faults] [--seeds 4]
        [--store FILE] [--minutes 600] [--table]

Rules are derived, trained and judged as `scalerules verify` does; sizes are 1, 2, 4 and 8 times the smallest. Prints a
line per case and a table by optimizer; `--table` one by case. With `--store` the same command goes on where it was
stopped.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import scalerules as sr

from . import faults
from .right_rules import KINDS, Right
from .stored import Row, Store

WANTED = ("stable", "learning", "counts")


def measured(graph: sr.Graph, solution: sr.Solution, sizes: list[float], seeds: int) -> Row:
    """What is kept of a verification."""
    start = time.process_time()
    report = sr.verify(graph, solution, sizes=sizes, seeds=seeds, progress=False, jobs=1)
    goals = [(goal.goal, goal.row) for goal in report.goals]
    doubted = [("prediction", row) for row in report.rows if not row.sure] + [g for g in goals if not g[1].sure]
    doubted.sort(key=lambda pair: (pair[1].agrees, -abs(pair[1].excess)))
    return {
        "graph": graph.name, "optimizer": solution.optimizer, "sizes": sizes, "conclusion": report.conclusion,
        "refuted": report.refuted, "rows": len(report.rows), "wrong": len(report.wrong), "open": len(report.open),
        "goals": dict(Counter(goal for goal, _ in goals)), "looks": report.looks, "detects": report.typical,
        "off": [f"{kind}: {r.quantity} {r.node} <- {r.parameter} {r.step}: {r.status} {r.excess:+.2f} ± {r.width:.2f}"
                for kind, r in doubted[:4]],
        "verified": round(time.process_time() - start, 2),
    }  # fmt: skip


def right(case: Right, seeds: int) -> Row:
    """Of a rule that is derived; what cannot be, or is not, measured says why."""
    try:
        return {"kind": "right", **measured(*case.solved(), seeds)}
    except sr.ScaleRulesError as error:
        said = " ".join(str(error).split())[:200]
        return {
            "kind": "right",
            "optimizer": case.optimizer,
            "conclusion": "not measured",
            "off": [said],
            "refuted": [],
        }


def planted(seeds: int) -> dict[str, Callable[[], Row]]:
    """The seven faults, under both optimizers."""
    jobs: dict[str, Callable[[], Row]] = {}
    for optimizer in ("adamw", "sgd"):
        for name, graph, solution in faults.cases(optimizer):

            def job(graph: sr.Graph = graph, solution: sr.Solution = solution) -> Row:
                return {"kind": "fault", **measured(graph, solution, [64, 128, 256], seeds)}

            jobs[f"fault: {name}, {optimizer}"] = job
    return jobs


def main() -> int:
    """Prints every case and the tables; status 1 if a right rule is refuted or a fault is not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="cases whose names contain one of them")
    parser.add_argument("--kinds", default="catalogue,laws,written,faults")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--store", help="a file of JSON lines that keeps every case")
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--table", action="store_true", help="a table of all cases at the end")
    options = parser.parse_args()
    jobs: dict[str, Callable[[], Row]] = {}
    for kind in options.kinds.split(","):
        chosen = KINDS[kind]() if kind in KINDS else ()
        jobs |= {name: partial(right, case, options.seeds) for name, case in chosen}
        jobs |= planted(options.seeds) if kind == "faults" else {}
    named = {n: job for n, job in jobs.items() if not options.words or any(word in n for word in options.words)}
    rows: list[Row] = []
    for done, row in Store(options.store).all(named, options.minutes):
        rows.append(row)
        print(f"{done:8} {row['name']:54} {row['conclusion']:15} {row['seconds']:6.1f} s  {'; '.join(row['off'])}",
              flush=True)  # fmt: skip
    print("\n".join(by_case(rows) if options.table else []))
    print("\n".join(by_optimizer(rows)))
    missed = [r for r in rows if (r["conclusion"] == "does not agree") != (r["kind"] == "fault")
              and (r["kind"] == "fault" or r["conclusion"] == "does not agree")]  # fmt: skip
    return 1 if missed else 0


def by_case(rows: list[Row]) -> list[str]:
    """A table with a line per case."""
    lines = ["| graph, optimizer | sizes | verdict | predictions off | goals not reached | open | seconds |",
             "| --- | --- | --- | --: | --- | --: | --: |"]  # fmt: skip
    for row in rows:
        if "rows" in row:
            sizes = f"{row['sizes'][0]:g} to {row['sizes'][-1]:g}"
            off = f"{row['wrong']} of {row['rows']}"
            goals = ", ".join(row["refuted"]) or f"none of {sum(row['goals'].values())}"
            lines.append(f"| {row['name']} | {sizes} | {row['conclusion']} | {off} | {goals} | {row['open']} | "
                         f"{row['verified']:.1f} |")  # fmt: skip
    return lines


def by_optimizer(rows: list[Row]) -> list[str]:
    """Counts of verdicts, and of refutations by goal."""
    heads = ["kind, optimizer", "cases", "agrees", "undecided", "does not agree", "predictions fail", *WANTED]
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for kind, optimizer in sorted({(row["kind"], row["optimizer"]) for row in rows}):
        here = [r for r in rows if (r["kind"], r["optimizer"]) == (kind, optimizer) and "rows" in r]
        counts = [sum(r["conclusion"] == said for r in here) for said in ("agrees", "undecided", "does not agree")]
        reasons = [sum(bool(r["wrong"]) for r in here),
                   *(sum(goal in r["refuted"] for r in here) for goal in WANTED)]  # fmt: skip
        lines.append(f"| {kind}, {optimizer} | {len(here)} | {' | '.join(map(str, [*counts, *reasons]))} |")
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
