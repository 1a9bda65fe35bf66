"""Measures the published rule of a selective scan's `W_B`, `W_C` (one isolated step) beside the joint one.

Everything else follows the joint rule in both. Writes the figure of docs/catalogue.md and prints its table:
`python benchmarks/ssm_rules.py docs/images/ssm-rules.svg` (four minutes on one core).
"""

from __future__ import annotations

import sys
from dataclasses import replace
from statistics import geometric_mean
from typing import Any

import scalerules as sr

WIDTHS = [64, 128, 256, 512, 1024]
SHOWN = {"W_B": "B", "W_C": "C", "ssm.state": "state", "ssm": "y"}
RULES = ("joint", "published")


def measured(optimizer: str, rule: str, seeds: int = 4) -> Any:
    """The report of `verify` with the numbers of one rule, at the same base learning rate."""
    graph = sr.graph("mamba")
    joint = sr.derive(graph, optimizer=optimizer, scales={"width": 1})
    if rule == "published":
        alone = sr.derive(graph, optimizer=optimizer, scales={"width": 1}, mode="isolated")
        joint = replace(joint, parameters={**joint.parameters, "W_B": alone["W_B"], "W_C": alone["W_C"]})
    return sr.verify(graph, joint, sizes=WIDTHS, seeds=seeds, progress=False)


def main(path: str) -> None:
    """Measures, prints, and draws the changes after three steps."""
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 4, figsize=(13, 3.4), sharex=True)
    for column, (optimizer, rule) in enumerate((o, r) for o in ("adamw", "sgd") for r in RULES):
        report, panel = measured(optimizer, rule), panels[column]
        for row in report.rows:
            if row.quantity == "change" and row.node in SHOWN and row.slope is not None:
                text = f"{row.slope:+.2f} ± {row.stderr:.2f} (late {row.late:+.2f})"
                print(f"{optimizer:6} {rule:10} {SHOWN[row.node]:6} step {row.step}: {text}")
                if row.step == 3:
                    sizes = zip(*report.samples[row.key], strict=True)
                    means = [geometric_mean(size) for size in sizes]
                    panel.loglog(WIDTHS, [m / means[0] for m in means], marker="o", label=SHOWN[row.node])
        panel.set_title(f"{optimizer}, {rule} rule: {len(report.wrong)} of {len(report.rows)} off", fontsize=9)
        panel.set_xlabel("width")
        panel.set_ylim(0.02, 40)
        panel.legend(fontsize=7)
    panels[0].set_ylabel("change after 3 steps / at width 64")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main(sys.argv[1])
