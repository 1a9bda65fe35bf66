// A chart with named axes and lines. Coordinates come as they are drawn; what is too far off lies on the border.
function svg(tag, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  if (text !== undefined) node.textContent = text;
  return node;
}

// x, y: { name, low, high, ticks: [[at, text], ...] }. lines: { points, kind, stroke, said, picked, mark, pick }.
function chart({ said, x, y, band, lines }) {
  const W = 460, H = 310, L = 64, R = 14, T = 10, B = 52;
  const across = at => L + (at - x.low) / (x.high - x.low) * (W - L - R);
  const down = at => T + (y.high - Math.max(y.low, Math.min(y.high, at))) / (y.high - y.low) * (H - T - B);
  const drawn = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": said, class: "chart" });
  if (band) drawn.append(svg("path", { d: `M${band.map(([a, b]) => `${across(a)},${down(b)}`).join("L")}Z`, class: "band" }));
  for (const [at, text] of y.ticks) {
    drawn.append(svg("line", { x1: L, x2: W - R, y1: down(at), y2: down(at), class: "grid" }));
    drawn.append(svg("text", { x: L - 6, y: down(at) + 4, "text-anchor": "end" }, text));
  }
  for (const [at, text] of x.ticks) {
    drawn.append(svg("line", { x1: across(at), x2: across(at), y1: H - B, y2: H - B + 5, class: "grid" }));
    drawn.append(svg("text", { x: across(at), y: H - B + 18, "text-anchor": "middle" }, text));
  }
  drawn.append(svg("text", { x: (L + W - R) / 2, y: H - 8, "text-anchor": "middle", class: "axis" }, x.name));
  const middle = (T + H - B) / 2;
  drawn.append(svg("text", { x: 14, y: middle, "text-anchor": "middle", class: "axis", transform: `rotate(-90 14 ${middle})` }, y.name));
  for (const one of lines) drawn.append(...line(one, across, down));
  return drawn;
}

function line({ points, kind = "", stroke, said, picked, mark, pick }, across, down) {
  const d = points.map(([a, b], i) => `${i ? "L" : "M"}${across(a).toFixed(1)},${down(b).toFixed(1)}`).join("");
  const path = svg("path", { d, class: `line ${kind}${picked ? " picked" : ""}` });
  if (stroke) path.style.stroke = stroke;
  path.append(svg("title", {}, said));
  if (pick) path.addEventListener("click", pick);
  if (!mark) return [path];
  const [at, height, low, high] = mark;
  const dot = svg("circle", { cx: across(at), cy: down(height), r: 5, class: "mark" });
  const arm = svg("path", { d: `M${across(low)} ${down(height)}H${across(high)}`, class: "arm" });
  for (const part of [dot, arm]) if (stroke) part.style.setProperty("--own", stroke);
  return [path, arm, dot];
}
