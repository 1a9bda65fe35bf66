"""The page of an architecture: switches, calculator, the table of rules with its stories, the drawing, measurements.

The answers are data beside the page; its script shows the one that the switches name. Without the script the page
shows the default answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from fractions import Fraction
from html import escape
from typing import Any

from scalerules.architecture.graph import Graph
from scalerules.catalogue.graphs import graph, headlines
from scalerules.derivation.gauges.gauge import GAUGES
from scalerules.pages import table as html_table
from scalerules.reporting.drawing import draw
from scalerules.reporting.html import power
from scalerules.reporting.page import ASKED, EXAMPLE, KINDS
from scalerules.sizes.exponents import Exponents

from .measured import measured_section
from .page import Page, raw, table, titled
from .question import MODES, OPTIMIZERS, Asked, asked_of, directions

Data = Mapping[str, Any]
LEAD = (
    "Every entry is the factor by which a number changes when the network grows, and below it what that comes to "
    "between the two sizes. Choose an entry to read where it comes from."
)
FOLDER = "architectures"


def architecture_pages(names: Iterable[str], answers: Mapping[Asked, Data]) -> list[Page]:
    """The list of architectures, and a page for each."""
    chosen = tuple(names)
    rows = [[f"[{name}]({name}.md)", said] for name, said in headlines() if name in chosen]
    text = titled("Architectures", "The catalogue, each with the rules that were derived for it.", table(
        ["architecture", "what it is"], rows))  # fmt: skip
    said = dict(headlines())
    return [Page(f"{FOLDER}/index.md", "All architectures", text), *(_page(n, said[n], answers) for n in chosen)]


def _page(name: str, headline: str, answers: Mapping[Asked, Data]) -> Page:
    built, asked = graph(name), asked_of(name)
    mine = {one.key: answers[one] for one in asked}
    parts = [
        headline,
        LEAD,
        raw(_switches(built) + _calculator(built) + _rules(mine[asked[0].key]) + f'<script src="{name}.js"></script>'),
        "## Graph",
        raw(_graph(built)),
        "## Measured",
        measured_section(name),
        "## Source",
        f"[`graphs/{name}.py`](../../graphs/{name}.py) builds the graph. Every step as Markdown: "
        f"[derivations/{name}](../../derivations/README.md).",
    ]
    return Page(f"{FOLDER}/{name}.md", name, titled(name, *parts), _data(built, mine))


# --- switches and calculator ---------------------------------------------------------------------------------------


def _switches(built: Graph) -> str:
    scales = ["+".join(direction) for direction in directions(built)]
    choices = {"optimizer": OPTIMIZERS, "mode": MODES, "gauge": tuple(GAUGES), "scales": tuple(scales)}
    return f'<div class="sr-switches">{"".join(_select(what, options) for what, options in choices.items())}</div>'


def _select(what: str, options: Iterable[str]) -> str:
    inside = "".join(f'<option value="{escape(option)}">{escape(option)}</option>' for option in options)
    return f'<label>{what} <select data-switch="{what}">{inside}</select></label>'


def _calculator(built: Graph) -> str:
    base = built.base_sizes()
    fields = "".join(_field(scale, base[scale], base[scale] * EXAMPLE) for scale in built.scales)
    return f'<div class="sr-sizes">{fields}</div>'


def _field(scale: str, start: float, end: float) -> str:
    name = escape(scale)
    inputs = "".join(
        f' {which} <input type="number" min="0" step="any" aria-label="{name} {which}" data-scale="{name}" '
        f'data-which="{which}" value="{value:g}">'
        for which, value in (("from", start), ("to", end))
    )
    return f'<span class="sr-size" data-of="{name}">{name}{inputs}</span>'


# --- the table, as it stands without the script --------------------------------------------------------------------


def _rules(answer: Data) -> str:
    head = f'<p class="sr-command"><code>{escape(answer["command"])}</code></p>'
    said = ", ".join(f"<b>{size}</b> {text}" for size, text in ASKED.items())
    return (
        f'{head}<div class="sr-rules" aria-live="polite">{_default(answer)}</div>'
        f'<p class="sr-note">{said}.</p><div class="sr-copies"></div>'
    )


def _default(answer: Data) -> str:
    if "clash" in answer:
        return f"<pre>{escape(answer['clash'])}</pre>"
    heads = ["parameter", "shape", *ASKED]
    rows = [
        [f'<th scope="row">{escape(name)}</th>', escape(rule["shape"]), *(_power(rule["cells"][s]) for s in ASKED)]
        for name, rule in answer["parameters"].items()
    ]
    return html_table(heads, rows)


def _power(powers: Mapping[str, str]) -> str:
    return power(Exponents({scale: Fraction(value) for scale, value in powers.items()}))


# --- data ----------------------------------------------------------------------------------------------------------


def _data(built: Graph, answers: Mapping[str, Data]) -> str:
    """What the script reads: the answers, their texts once each, the axes of every node."""
    texts: dict[str, int] = {}
    data = {
        "graph": built.name,
        "asked": ASKED,
        "axes": {name: " ".join(built.axes_of(name)) for name, _ in built.walk()},
        "answers": {key: _short(answer, texts) for key, answer in answers.items()},
    }
    return f"const ANSWERS = {json.dumps(data | {'texts': list(texts)}, separators=(',', ':'))};\n"


def _short(answer: Data, texts: dict[str, int]) -> Data:
    """An answer with the long texts that many stories share as numbers."""
    if "clash" in answer:
        return answer
    short = {**answer, "copies": {name: texts.setdefault(text, len(texts)) for name, text in answer["copies"].items()}}
    if "stories" in answer:
        short["stories"] = {
            name: [e | {"steps": [texts.setdefault(step, len(texts)) for step in e["steps"]]} for e in explanations]
            for name, explanations in answer["stories"].items()
        }
    return short


# --- the drawing ---------------------------------------------------------------------------------------------------


def _graph(built: Graph) -> str:
    whole = draw(built).svg(f"the computation graph of {built.name}")
    legend = "".join(
        f'<span><i style="background:var(--{kind})"></i>{text}</span>'
        for kind, text in KINDS.items()
        if f'class="box {kind}' in whole
    )
    folds = any(node.body for _, node in built.walk())
    button = '<button type="button" class="sr-fold" aria-expanded="false">Show what is in the block</button>'
    note = "Read from top to bottom. Choose an arrow, or a node here, to see its axes and sizes:"
    nodes = "".join(f"<option>{escape(name)}</option>" for name, _ in built.walk())
    chooser = f'<label>node <select class="sr-node"><option value=""></option>{nodes}</select></label>'
    pictures = _picture(draw(built, folded=True).svg(f"{built.name}, blocks folded", "tip-folded"), "folded", True)
    pictures = (pictures if folds else "") + _picture(whole, "whole", not folds)
    return (
        f'<p class="sr-note">{note}</p><div class="sr-switches">{chooser}{button if folds else ""}</div>'
        f'<div class="sr-edge" aria-live="polite"></div><div class="sr-legend">{legend}</div>{pictures}'
    )


def _picture(svg: str, style: str, shown: bool) -> str:
    hidden = "" if shown else " hidden"
    region = 'tabindex="0" role="region" aria-label="drawing of the graph"'
    return f'<div class="sr-figure {style}" {region}{hidden}>{svg}</div>'
