"""One interactive page of a verification: self-contained HTML, no library, nothing loaded from anywhere."""

from __future__ import annotations

import html
import json

from .facts import VerificationFacts
from .figure import level
from .judge import TOLERANCE
from .table import caption, title

STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --soft: #8884; --agrees: #888; --off: #c62828;
  --undecided: #e08600; --band: #2e7d3226; }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --paper: #181818; --off: #ff6b6b; --undecided: #ffb74d; } }
body { font: 14px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 1.5rem;
  max-width: 78rem; }
h1 { font-size: 1.2rem; margin: 0 0 .3rem; } pre { white-space: pre-wrap; font: inherit; margin: 0 0 1rem; }
form { margin: .6rem 0; display: flex; gap: 1.2rem; flex-wrap: wrap; }
svg { width: 100%; height: auto; display: block; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(26rem, 1fr)); gap: .8rem; }
figure { margin: 0; } figcaption { font-weight: 600; }
path.line { fill: none; stroke: var(--agrees); stroke-width: 1.2; opacity: .45; cursor: pointer; }
path.undecided { stroke: var(--undecided); opacity: .9; stroke-width: 2; }
path.wrong, path.missing, path.unpredicted { stroke: var(--off); opacity: .95; stroke-width: 2; }
path.line.picked { stroke: #1976d2; opacity: 1; stroke-width: 3.5; }
text { fill: var(--ink); font-size: 11px; } .grid { stroke: var(--soft); }
table { border-collapse: collapse; width: 100%; margin-top: 1rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .15rem .5rem; border-bottom: 1px solid var(--soft); }
th { cursor: pointer; position: sticky; top: 0; background: var(--paper); }
td:nth-child(-n+2), th:nth-child(-n+2), td:last-child, th:last-child { text-align: left; }
tr.undecided td { color: var(--undecided); }
tr.wrong td, tr.missing td, tr.unpredicted td { color: var(--off); } tr.picked { outline: 2px solid #1976d2; }
#said { min-height: 1.5em; font-weight: 600; }
"""

SCRIPT = """
const data = JSON.parse(document.getElementById('data').textContent);
const titles = { value: 'values at initialisation', gradient: 'gradients', own: 'own contribution of a parameter',
  change: 'changes' };
const W = 460, H = 290, L = 44, R = 10, T = 8, B = 26;
const xs = data.sizes.map(s => Math.log2(s)), x0 = xs[0], x1 = xs[xs.length - 1];
const X = v => L + (v - x0) / (x1 - x0) * (W - L - R);
let picked = null, order = { key: null, up: true };
const steps = [...new Set(data.rows.map(r => r.step))].sort((a, b) => a - b);
const form = document.forms[0];
for (const step of steps) form.step.add(new Option('step ' + step, step));
const name = r => r.parameter && r.parameter !== r.node ? r.node + ' \\u2190 ' + r.parameter : r.node;
const id = r => [r.quantity, r.node, r.step, r.parameter].join('|');
const said = r => `${r.quantity} ${name(r)}, step ${r.step}: predicted ${r.predicted ?? 'zero'}` +
  (r.estimate === null ? '' : `, measured ${r.estimate.toFixed(2)} (${r.interval.map(v => v.toFixed(2)).join(' to ')})`)
  + `, ${r.status}` + (r.why ? ': ' + r.why : '');
function chosen() {
  const text = form.text.value.toLowerCase();
  return data.rows.filter(r => (form.step.value === '' || r.step == form.step.value) &&
    (!form.off.checked || r.status !== 'agrees') && name(r).toLowerCase().includes(text));
}
function pick(r) {
  picked = r && id(r) === picked ? null : r && id(r);
  document.getElementById('said').textContent = picked ? said(r) : '';
  draw();
}
function make(tag, attributes, parent) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  parent.appendChild(node);
  return node;
}
function panel(quantity, rows) {
  const figure = document.createElement('figure'), caption = document.createElement('figcaption');
  const off = rows.filter(r => r.status !== 'agrees').length;
  caption.textContent = `${titles[quantity]}: ${rows.length} rows, ${off} off`;
  figure.append(caption);
  const svg = make('svg', { viewBox: `0 0 ${W} ${H}`, role: 'img' }, figure);
  const all = rows.flatMap(r => r.level || []).map(Math.log2).filter(Number.isFinite);
  const low = Math.max(-8, Math.floor(Math.min(-2, ...all))), high = Math.min(12, Math.ceil(Math.max(2, ...all)));
  const Y = v => T + (high - Math.max(low, Math.min(high, v))) / (high - low) * (H - T - B);
  const every = Math.ceil((high - low) / 8);
  for (let v = low; v <= high; v += every) {
    make('line', { x1: L, x2: W - R, y1: Y(v), y2: Y(v), class: 'grid' }, svg);
    make('text', { x: L - 5, y: Y(v) + 4, 'text-anchor': 'end' }, svg).textContent = v < 0 ? '1/' + 2 ** -v : 2 ** v;
  }
  data.sizes.forEach((size, i) => {
    make('text', { x: X(xs[i]), y: H - 8, 'text-anchor': 'middle' }, svg).textContent = size;
  });
  const wide = data.tolerance / data.growth * (x1 - x0);
  make('path', { d: `M${X(x0)},${Y(0)}L${X(x1)},${Y(wide)}L${X(x1)},${Y(-wide)}Z`, fill: 'var(--band)' }, svg);
  for (const r of rows.filter(r => r.level).sort((a, b) => (b.status === 'agrees') - (a.status === 'agrees'))) {
    const d = r.level.map((v, i) => (i ? 'L' : 'M') + X(xs[i]).toFixed(1) + ',' + Y(Math.log2(v)).toFixed(1)).join('');
    const line = make('path', { d, class: `line ${r.status}${id(r) === picked ? ' picked' : ''}` }, svg);
    make('title', {}, line).textContent = said(r);
    line.addEventListener('click', () => pick(r));
  }
  return figure;
}
const columns = { quantity: r => r.quantity, node: name, step: r => r.step, predicted: r => r.predicted ?? 'zero',
  slope: r => r.slope, judged: r => r.estimate, excess: r => r.excess, 'would notice': r => r.detects,
  verdict: r => r.status + (r.why ? ': ' + r.why : '') };
function draw() {
  const rows = chosen(), panels = document.getElementById('panels'), table = document.querySelector('table');
  panels.replaceChildren(...Object.keys(titles).map(q => panel(q, rows.filter(r => r.quantity === q))));
  const head = document.createElement('tr');
  for (const key in columns) {
    const cell = document.createElement('th');
    cell.textContent = key + (order.key === key ? (order.up ? ' \\u25b2' : ' \\u25bc') : '');
    cell.onclick = () => { order = { key, up: order.key === key ? !order.up : true }; draw(); };
    head.append(cell);
  }
  if (order.key) {
    const value = columns[order.key], sign = order.up ? 1 : -1;
    rows.sort((a, b) => sign * (value(a) > value(b) ? 1 : value(a) < value(b) ? -1 : 0));
  }
  table.replaceChildren(head, ...rows.map(r => {
    const line = document.createElement('tr');
    line.className = r.status + (id(r) === picked ? ' picked' : '');
    for (const key in columns) {
      const value = columns[key](r), cell = document.createElement('td');
      cell.textContent = value === null ? '-' : typeof value === 'number' && key !== 'step' ? value.toFixed(2) : value;
      line.append(cell);
    }
    line.onclick = () => pick(r);
    return line;
  }));
}
form.addEventListener('input', draw);
form.addEventListener('submit', event => event.preventDefault());
draw();
"""

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{style}</style></head><body>
<h1>{title}: {conclusion}</h1>
<pre>{caption}</pre>
<form><label>step <select name="step"><option value="">all</option></select></label>
<label>node <input name="text" type="search" placeholder="part of a name"></label>
<label><input name="off" type="checkbox"> only what is off</label></form>
<p>Measured over predicted, one at the base size; what stays inside the band agrees, whatever the noise.
Click a line or a row.</p>
<div id="said"></div><div class="panels" id="panels"></div><table></table>
<script id="data" type="application/json">{data}</script><script>{script}</script>
</body></html>
"""


def page(report: VerificationFacts) -> str:
    """The page as text."""
    rows = [
        row.to_dict() | {"parameter": row.parameter, "why": row.why, "excess": round(row.excess, 4),
                         "level": level(report, row)}
        for row in report.rows
    ]  # fmt: skip
    data = {"sizes": report.measured_sizes, "growth": report.growth, "tolerance": TOLERANCE, "rows": rows}
    return PAGE.format(
        title=html.escape(title(report)), conclusion=report.conclusion, caption=html.escape(caption(report)),
        style=STYLE, script=SCRIPT, data=json.dumps(data).replace("</", "<\\/"),
    )  # fmt: skip
