"""One self-contained page about an architecture: its rules, its graph, every derivation, predicted sizes, measurements.

No network is needed to read it: style, script and pictures stand in the page.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from html import escape
from pathlib import Path

from scalerules.architecture.graph import Graph
from scalerules.errors import ScaleRulesError
from scalerules.measurement.verification.verify import Report
from scalerules.pages import page, table
from scalerules.sizes.exponents import Exponents
from scalerules.solution.html import derivation_html, stories
from scalerules.solution.rule import SIZES, Predicted
from scalerules.solution.solution import Solution

from .drawing import draw
from .html import exponent, power

SCRIPT = Path(__file__).with_name("report.js")
EXAMPLE = 8
"""The page's example: the first scale grows by this, the others as the direction says."""

KINDS = {
    "weight": "sum over a parameter", "product": "product or sum of values", "norm": "normalisation",
    "pointwise": "function of each entry", "free": "multiplier that is solved for", "factor": "fixed factor",
    "scan": "recurrence or choice", "join": "sum", "input": "data", "shape": "other shape",
}  # fmt: skip
ASKED = {
    "init": "standard deviation at the start", "mult": "factor in front", "lr": "learning rate", "eps": "epsilon",
    "wd": "weight decay",
}  # fmt: skip


def report(graph: Graph, solution: Solution, verification: Report | None = None) -> str:
    """The page as HTML text; `verification` is what `verify` returned for this graph and solution, if it was run."""
    sections = [
        ("rules", "Rules", _rules(graph, solution)),
        ("graph", "Graph", _graph(graph, solution)),
        ("derivations", "Derivations", _derivations(solution)),
        ("sizes", "Predicted sizes", _sizes(graph, solution)),
    ]
    if verification is not None:
        from .measured import measured

        sections.append(("measured", "Measured", measured(verification)))
    sections.append(("assumptions", "Assumptions", _assumptions(solution)))
    code = _code(graph, solution)
    sections += [("code", "Code", code)] if code else []
    title = f"{graph.name}, {solution.optimizer}"
    links = "".join(f'<a href="#{name}">{heading}</a>' for name, heading, _ in sections)
    body = "".join(f'<section id="{name}"><h2>{heading}</h2>{text}</section>' for name, heading, text in sections)
    whole = (
        f"<header><h1>Scaling rules of {escape(graph.name)}</h1>{_head(solution)}<nav>{links}</nav></header>\n{body}"
        "<footer>Derived by scalerules. Exponents are exact; constant factors are left out.</footer>"
    )
    return page(f"{title}: scaling rules", whole, SCRIPT.read_text(encoding="utf-8"))


def _head(solution: Solution) -> str:
    grows = Exponents(dict(solution.direction))
    facts = {
        "optimizer": escape(solution.optimizer), "growing": power(grows), "gauge": escape(solution.gauge),
        "mode": escape(solution.mode), "parameters": str(len(solution.parameters)),
    }  # fmt: skip
    chips = "".join(f"<li>{name} <b>{value}</b></li>" for name, value in facts.items())
    warnings = "".join(f'<p class="warn">{escape(text)}</p>' for text in solution.warnings)
    lead = "By what each setting of training is multiplied when the network grows, derived from its computation graph."
    return f'<p class="lead">{lead}</p><ul class="chips">{chips}</ul>{warnings}'


def _rules(graph: Graph, solution: Solution) -> str:
    base = graph.base_sizes()
    target = {scale: round(base[scale] * EXAMPLE ** float(growth)) or 1 for scale, growth in solution.direction.items()}
    ratios = {scale: size / base[scale] for scale, size in target.items()}
    fields = "".join(
        f'<label>{escape(scale)} from <input type="number" min="0" step="any" data-scale="{escape(scale)}" '
        f'data-which="from" value="{base[scale]:g}"> to <input type="number" min="0" step="any" '
        f'data-scale="{escape(scale)}" data-which="to" value="{target[scale]}"></label>'
        for scale in solution.direction
    )
    rows = [
        [f'<th scope="row">{escape(name)}</th>', f"<small>{escape(' '.join(rule.shape))}</small>"]
        + [_cell(getattr(rule, size), ratios, size in rule.log) for size in SIZES]
        for name, rule in solution.parameters.items()
    ]
    heads = ["parameter", "shape", *(f'<span title="{ASKED[size]}">{size}</span>' for size in SIZES)]
    text = f'<p class="note">{_meanings()}</p><div class="sizes">{fields}</div>{table(heads, rows)}'
    if solution.multipliers:
        solved = solution.multipliers.items()
        nodes = [[f'<th scope="row">{escape(node)}</th>', _cell(size, ratios, False)] for node, size in solved]
        text += "<h3>Multipliers that were solved for</h3>" + table(["node", "factor"], nodes, "fit")
    if solution.cone:
        text += f'<p class="note">Holds where {escape(", ".join(solution.cone))}.</p>'
    return text


def _meanings() -> str:
    said = ", ".join(f"<b>{size}</b> {text}" for size, text in ASKED.items())
    return f"{said}. Below each power is the factor between the two sizes."


def _cell(exponents: Exponents, ratios: dict[str, float], log: bool) -> str:
    powers = {scale: float(value) for scale, value in exponents.fractions.items() if value}
    mark = " <small>log</small>" if log else ""
    factor = f"\N{MULTIPLICATION SIGN} {exponents.change(ratios):.3g}"
    return f'{power(exponents)}{mark}<span class="factor" data-powers="{escape(json.dumps(powers))}">{factor}</span>'


def _graph(graph: Graph, solution: Solution) -> str:
    picture = draw(graph, solution).svg(f"the computation graph of {graph.name}")
    kinds = [(kind, text) for kind, text in KINDS.items() if f'class="box {kind}' in picture]
    legend = "".join(f'<span><i style="background:var(--{kind})"></i>{text}</span>' for kind, text in kinds)
    frame = " A dashed frame is repeated; its blocks read the stream." if any(n.body for _, n in graph.walk()) else ""
    note = f"Read from top to bottom.{frame} Outputs have a strong border."
    box = '<div class="figure" tabindex="0" role="region" aria-label="the graph, drawn">'
    return f'<p class="note">{note}</p><div class="legend">{legend}</div>{box}{picture}</div>'


def _derivations(solution: Solution) -> str:
    note = (
        "Each number, the condition that gave it, and the rows that lead there. Open one to read them; below are all "
        "passes, row by row."
    )
    text = f'<p class="note">{note}</p>{stories(solution)}'
    if solution.derivation is not None:
        rows = derivation_html(solution.derivation)
        inside = f'<div class="scroll" tabindex="0">{rows}</div>'
        text += f"<details><summary>All conditions and passes</summary>{inside}</details>"
    return text


def _sizes(graph: Graph, solution: Solution) -> str:
    predictions: Predictions = {}
    for predicted in solution.sizes:
        if predicted.quantity == "own" and predicted.parameter:
            predictions["own", predicted.step, predicted.parameter] = predicted
        else:
            predictions[predicted.quantity, predicted.step, predicted.node] = predicted
    steps = sorted({p.step for p in solution.sizes if p.step})
    note = (
        "The exponent of the scale with which a typical entry grows along the direction: 0 stays, negative vanishes, "
        "positive would blow up. Step 1 is after the first update."
    )
    nodes = [name for name, _ in graph.walk()]
    values = _grid(predictions, "node", nodes, [("value", [0]), ("change", steps)])
    updates = _grid(predictions, "parameter", list(solution.parameters), [("gradient", steps), ("own", steps)])
    return (
        f'<p class="note">{note}</p><h3>Values at the start and their changes</h3>{values}'
        f"<h3>Gradients, and what the update of a parameter itself contributes</h3>{updates}"
    )


Predictions = dict[tuple[str, int, str], Predicted]
"""Predicted sizes by quantity, step and name."""


def _grid(predictions: Predictions, what: str, names: Sequence[str], groups: Sequence[tuple[str, list[int]]]) -> str:
    columns = [(quantity, step) for quantity, steps in groups for step in steps]
    rows = [
        [f'<th scope="row">{escape(name)}</th>', *(_shade(predictions.get((q, step, name))) for q, step in columns)]
        for name in names
        if any((q, step, name) in predictions for q, step in columns)
    ]
    return table([what, *(f"{q}{f', step {step}' if step else ''}" for q, step in columns)], rows)


def _shade(predicted: Predicted | None) -> str:
    if predicted is None:
        return '<td class="size"></td>'
    if predicted.size is None:
        return '<td class="size none" title="exactly zero">zero</td>'
    size = predicted.size
    shade = "up" if size > 0 else "s0" if size == 0 else "s1" if size >= -Fraction(1, 2) else "s2"
    return f'<td class="size {shade}">{exponent(size)}</td>'


def _assumptions(solution: Solution) -> str:
    return '<ul class="plain">' + "".join(f"<li>{escape(text)}</li>" for text in solution.assumptions) + "</ul>"


def _code(graph: Graph, solution: Solution) -> str:
    """The rules as PyTorch source, where they can be emitted."""
    from scalerules.derivation import emit

    try:
        source = emit(solution, "pytorch", graph=graph)
    except ScaleRulesError:
        return ""
    note = "The rules as readable source that needs nothing but PyTorch (scalerules emit)."
    code = f'<pre tabindex="0">{escape(source)}</pre>'
    return f'<p class="note">{note}</p><details><summary>PyTorch</summary>{code}</details>'
