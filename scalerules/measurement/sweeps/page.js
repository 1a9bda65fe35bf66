// A chart for every rule of a sweep, and what the colours of the lines are.
const data = JSON.parse(document.getElementById("data").textContent);
const [low, high] = data.limits;
const rates = data.rules.flatMap(rule => rule.rows.flatMap(row => row.points.map(point => Math.log2(point[0]))));
const left = Math.min(...rates), right = Math.max(...rates);
const colour = size => {
  const at = data.sizes.length > 1 ? data.sizes.indexOf(size) / (data.sizes.length - 1) : 0;
  return `color-mix(in oklab, var(--last) ${100 * at}%, var(--first))`;
};
const text = value => Number(value.toPrecision(2)).toString();

// About four round numbers between two ends.
function ticks(from, to, named = text) {
  const rough = (to - from) / 4, ten = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(part => part * ten).find(size => size >= rough);
  const count = Math.floor(to / step + 1e-9) - Math.ceil(from / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, i) => (Math.ceil(from / step - 1e-9) + i) * step).map(at => [at, named(at)]);
}

function panel(rule) {
  const figure = document.createElement("figure"), caption = document.createElement("figcaption"), more = document.createElement("small");
  caption.textContent = rule.rule;
  more.textContent = data.moves[rule.rule];
  caption.append(more);
  const lines = rule.rows.map(row => ({
    points: row.points.filter(point => point[1] !== null).map(([rate, loss]) => [Math.log2(rate), loss]),
    kind: "curve", stroke: colour(row.size), said: `${data.scale} ${row.size}`,
    mark: row.located && [row.log2_lr, row.loss, Math.max(left, row.log2_lr - row.log2_stderr), Math.min(right, row.log2_lr + row.log2_stderr)],
  }));
  figure.append(caption, chart({
    said: `loss over ${data.axis} under the rule ${rule.rule}; ${data.moves[rule.rule]}`,
    x: { name: data.axis, low: left, high: right, ticks: ticks(left, right, at => text(2 ** at)) },
    y: { name: "loss on held-out data", low, high, ticks: ticks(low, high) },
    lines,
  }));
  return figure;
}

for (const size of data.sizes) {
  const entry = document.createElement("span"), swatch = document.createElement("i");
  swatch.className = "swatch";
  swatch.style.borderColor = colour(size);
  entry.append(swatch, `${data.scale} ${size}`);
  document.querySelector(".legend").append(entry);
}
document.querySelector(".panels").append(...data.rules.map(panel));
