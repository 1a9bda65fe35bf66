// The charts and the table of a verification follow the filters; a line or a row that is chosen says what it is.
const data = JSON.parse(document.getElementById("data").textContent);
const form = document.forms[0], find = selector => document.querySelector(selector);
const NAMED = 6; // lines of a chart that are named below it, the furthest off
const places = data.sizes.map(Math.log2);
let picked = null, order = { key: null, up: true };

const id = row => [row.quantity, row.node, row.step, row.parameter].join("|");
const off = row => row.status !== "agrees";
const minus = text => String(text).replace("-", "\u2212");
const signed = value => (value < 0 ? "\u2212" : "+") + Math.abs(value).toFixed(2);
function said(row) {
  const measured = row.estimate === null ? "" :
    `, measured ${signed(row.estimate)} (${row.interval.map(signed).join(" to ")})`;
  return `${row.quantity} of ${row.name}, step ${row.step}: predicted ${minus(row.predicted ?? "zero")}${measured}, ` +
    row.status + (row.why ? `: ${row.why}` : "");
}
function make(tag, text, attributes = {}) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  return node;
}
function pick(row) {
  picked = id(row) === picked ? null : id(row);
  find(".said").textContent = picked ? said(row) : "";
  draw();
}
function chosen() {
  const text = form.text.value.toLowerCase();
  return data.rows.filter(row => (form.step.value === "" || row.step === Number(form.step.value)) &&
    (!form.off.checked || off(row)) && row.name.toLowerCase().includes(text));
}

function panel(quantity, rows) {
  const figure = make("figure"), caption = make("figcaption", data.titles[quantity]);
  const far = rows.filter(off).sort((a, b) => Math.abs(b.excess) - Math.abs(a.excess));
  caption.append(make("small", `${rows.length} rows, ${far.length} off`));
  const shown = rows.filter(row => row.level).sort((a, b) => off(a) - off(b));
  const all = shown.flatMap(row => row.level).map(Math.log2).filter(Number.isFinite);
  const low = Math.max(-8, Math.floor(Math.min(-2, ...all))), high = Math.min(12, Math.ceil(Math.max(2, ...all)));
  const every = Math.ceil((high - low) / 8), ticks = [];
  for (let at = Math.ceil(low / every) * every; at <= high; at += every) ticks.push([at, at < 0 ? `1/${2 ** -at}` : 2 ** at]);
  const first = places[0], last = places[places.length - 1], wide = data.tolerance / data.growth * (last - first);
  figure.append(caption, chart({
    said: `${data.titles[quantity]}, measured over predicted against ${data.scale}: ${rows.length} lines, ${far.length} off`,
    x: { name: data.scale, low: first, high: last, ticks: data.sizes.map((size, i) => [places[i], size]) },
    y: { name: "measured / predicted", low, high, ticks },
    band: [[first, 0], [last, wide], [last, -wide]],
    lines: shown.map(row => ({
      points: row.level.map((value, i) => [places[i], Math.log2(value)]), kind: row.status, said: said(row),
      picked: id(row) === picked, pick: () => pick(row),
    })),
  }));
  if (far.length) {
    const list = make("ul", undefined, { class: "plain" });
    for (const row of far.slice(0, NAMED)) list.append(make("li", `${row.name}, step ${row.step}: ${signed(row.excess)} over its size, ${row.status}`));
    if (far.length > NAMED) list.append(make("li", `and ${far.length - NAMED} more in the table`));
    figure.append(list);
  }
  return figure;
}

const columns = {
  quantity: row => row.quantity, node: row => row.name, step: row => row.step, predicted: row => minus(row.predicted ?? "zero"),
  slope: row => row.slope, judged: row => row.estimate, excess: row => row.excess, "would notice": row => row.detects,
  verdict: row => row.status + (row.why ? `: ${row.why}` : ""),
};
const numeric = new Set(["step", "predicted", "slope", "judged", "excess", "would notice"]);

function head() {
  const line = make("tr");
  for (const key in columns) {
    const here = order.key === key;
    const cell = make("th", undefined, { scope: "col", "aria-sort": here ? (order.up ? "ascending" : "descending") : "none" });
    if (numeric.has(key)) cell.className = "number";
    const button = make("button", key + (here ? (order.up ? " \u25b2" : " \u25bc") : ""), { type: "button" });
    button.addEventListener("click", () => {
      order = { key, up: here ? !order.up : true };
      draw();
      find(`thead th:nth-child(${Object.keys(columns).indexOf(key) + 1}) button`).focus();
    });
    cell.append(button);
    line.append(cell);
  }
  return line;
}

function entry(row) {
  const line = make("tr", undefined, { class: `${row.status}${id(row) === picked ? " picked" : ""}` });
  for (const key in columns) {
    const value = columns[key](row);
    const text = value === null ? "\u2013" : typeof value === "number" && key !== "step" ? minus(value.toFixed(2)) : value;
    const cell = key === "node" ? make("th", undefined, { scope: "row" }) : make("td", text);
    if (numeric.has(key)) cell.className = "number";
    if (key === "verdict") cell.className = "told";
    if (key === "node") {
      const button = make("button", text, { type: "button", "aria-pressed": String(id(row) === picked) });
      button.addEventListener("click", () => {
        pick(row);
        find(`button[data-row="${CSS.escape(id(row))}"]`).focus();
      });
      button.dataset.row = id(row);
      cell.append(button);
    }
    line.append(cell);
  }
  return line;
}

function draw() {
  const rows = chosen();
  find(".panels").replaceChildren(...Object.keys(data.titles).map(q => panel(q, rows.filter(row => row.quantity === q))));
  if (order.key) {
    const value = columns[order.key], sign = order.up ? 1 : -1;
    rows.sort((a, b) => sign * (value(a) > value(b) ? 1 : value(a) < value(b) ? -1 : 0));
  }
  find("thead").replaceChildren(head());
  find("tbody").replaceChildren(...rows.map(entry));
}

for (const step of [...new Set(data.rows.map(row => row.step))].sort((a, b) => a - b)) form.step.add(new Option(`step ${step}`, step));
form.addEventListener("input", draw);
form.addEventListener("submit", event => event.preventDefault());
draw();
