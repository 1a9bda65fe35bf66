// The page of an architecture: shows the answer that the switches name, its stories, the sizes of an edge, factors.
if (typeof ANSWERS !== "undefined") page(ANSWERS);
// What the theme makes scrollable has to be reached by the keyboard too; it wraps tables after this script has run.
addEventListener("load", () => setTimeout(() => {
  for (const frame of document.querySelectorAll(".md-typeset__scrollwrap, .scroll")) frame.tabIndex = 0;
}));

function make(tag, text, attributes = {}) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// Text with its exponents raised.
function raised(tag, text, attributes) {
  const element = make(tag, "", attributes);
  for (const [i, part] of text.split(/(?<=\w)\^(\(-?[\d/]+\)|-?\d+)/).entries()) {
    element.append(i % 2 ? make("sup", part.replace(/[()]/g, "").replace("-", "\u2212")) : part);
  }
  return element;
}

function power(powers) {
  const span = make("span");
  const parts = Object.entries(powers);
  if (!parts.length) span.append("1");
  for (const [scale, value] of parts) {
    span.append(span.childNodes.length ? " " : "", scale);
    if (value !== "1") span.append(make("sup", value.replace("-", "−")));
  }
  return span;
}

function written(powers) {
  const parts = Object.entries(powers).map(([scale, value]) => value === "1" ? scale : `${scale}^${/[/]/.test(value) ? `(${value})` : value}`);
  return parts.join(" ") || "1";
}

function number(text) {
  const [top, bottom] = text.split("/").map(Number);
  return top / (bottom || 1);
}

function page(data) {
  const find = selector => document.querySelector(selector);
  const switches = [...document.querySelectorAll("[data-switch]")];
  const chosen = name => find(`[data-switch="${name}"]`).value;
  const key = () => ["optimizer", "mode", "gauge", "scales"].map(chosen).join("|");
  // Sizes, edges and their stories are the same in every gauge, and are kept with the plain one.
  const causes = () => data.answers[[chosen("optimizer"), chosen("mode"), "plain", chosen("scales")].join("|")];

  function ratio(scale) {
    const value = which => Number(find(`input[data-scale="${scale}"][data-which="${which}"]`).value);
    return value("to") / value("from");
  }

  function factors() {
    for (const cell of document.querySelectorAll(".sr-factor")) {
      const parts = Object.entries(JSON.parse(cell.dataset.powers));
      const product = parts.reduce((whole, [scale, value]) => whole * ratio(scale) ** number(value), 1);
      cell.textContent = product > 0 && Number.isFinite(product) ? "× " + Number(product.toPrecision(3)) : "";
    }
  }

  function command() {
    const usual = find('[data-switch="scales"]').options[0].value;
    const words = [`scalerules derive ${data.graph} --optimizer ${chosen("optimizer")}`];
    if (chosen("mode") !== "joint") words.push(`--mode ${chosen("mode")}`);
    if (chosen("gauge") !== "plain") words.push(`--gauge ${chosen("gauge")}`);
    if (chosen("scales") !== usual) words.push(...chosen("scales").split("+").map(scale => `--scale ${scale}`));
    return words.join(" ");
  }

  function show() {
    const answer = data.answers[key()];
    const rules = find(".sr-rules");
    rules.replaceChildren();
    find(".sr-copies").replaceChildren();
    find(".sr-command code").textContent = command();
    for (const field of document.querySelectorAll(".sr-size")) {
      field.hidden = !chosen("scales").split("+").includes(field.dataset.of);
    }
    if (!answer) {
      rules.append(make("p", "These switches together are not kept on the page: the command above derives them.", { class: "sr-note" }));
    } else if (answer.clash) {
      rules.append(make("p", "No parametrization satisfies all equations:"), make("pre", answer.clash));
    } else {
      draw(answer, rules);
      copies(answer);
    }
    edge(find(".sr-node").value);
    factors();
  }

  function draw(answer, rules) {
    for (const text of answer.warnings) rules.append(make("p", text, { class: "sr-warning" }));
    const names = [...new Set(Object.values(answer.parameters).flatMap(rule => Object.keys(rule.cells)))];
    rules.append(grid(answer, ["parameter", "shape", ...names], Object.entries(answer.parameters), names));
    if (Object.keys(answer.multipliers).length) {
      const rows = Object.entries(answer.multipliers).map(([name, cells]) => [name, { cells }]);
      rules.append(make("p", "Multipliers that were solved for", { class: "sr-caption" }));
      rules.append(grid(answer, ["node", "factor"], rows, ["factor"]));
    }
    if (answer.cone.length) rules.append(make("p", "Holds where " + answer.cone.join(", ") + ".", { class: "sr-note" }));
    const more = make("details");
    const list = make("ul");
    for (const text of answer.assumptions) list.append(make("li", text));
    more.append(make("summary", "Assumptions"), list);
    rules.append(more);
  }

  function grid(answer, heads, rows, names) {
    const frame = make("div", undefined, { class: "sr-scroll", tabindex: "0", role: "region", "aria-label": `${heads[0]}s` });
    const table = make("table", undefined, { class: "sr-table" });
    const head = make("tr");
    for (const name of heads) head.append(make("th", name, { scope: "col", title: data.asked[name] || "", class: name === "shape" ? "sr-shape" : "" }));
    table.append(make("thead"), make("tbody"));
    table.tHead.append(head);
    for (const [name, rule] of rows) {
      const row = make("tr");
      const named = make("th", name, { scope: "row" });
      row.append(named);
      if (heads[1] === "shape") {
        named.append(make("small", rule.shape)); // where the column of shapes is left out: on a phone
        row.append(make("td", rule.shape, { class: "sr-shape" }));
      }
      for (const size of names) row.append(cell(answer, name, rule, size, heads.length, row));
      table.tBodies[0].append(row);
    }
    frame.append(table);
    return frame;
  }

  function cell(answer, name, rule, size, width, row) {
    const place = make("td");
    if (!(size in rule.cells)) return place;
    const button = make("button", undefined, { type: "button", class: "sr-cell", "aria-expanded": "false",
      "aria-label": `${size} of ${name}: why` });
    button.append(power(rule.cells[size]));
    if ((rule.log || []).includes(size)) button.append(" log");
    button.append(make("span", "", { class: "sr-factor", "data-powers": JSON.stringify(rule.cells[size]) }));
    button.addEventListener("click", () => {
      const open = button.getAttribute("aria-expanded") === "true";
      const table = row.closest("table");
      for (const other of table.querySelectorAll(".sr-cell")) other.setAttribute("aria-expanded", "false");
      for (const old of table.querySelectorAll(".sr-story")) old.remove();
      if (open) return;
      button.setAttribute("aria-expanded", "true");
      const under = make("tr", undefined, { class: "sr-story" });
      const inside = make("td", undefined, { colspan: String(width), class: "sr-told" });
      inside.append(story(answer, name, size));
      under.append(inside);
      row.after(under);
    });
    place.append(button);
    return place;
  }

  function story(answer, name, size) {
    const frame = make("div", undefined, { class: "sr-why" });
    const told = causes().stories[name] || [];
    const known = told.filter(one => one.quantity === size || (size === "factor" && one.quantity === "mult"));
    const moved = chosen("gauge") !== "plain" && size !== "factor";
    if (moved) {
      const here = Object.entries(answer.parameters[name].cells).map(([what, powers]) => `${what} ${written(powers)}`);
      frame.append(raised("p", `As the gauge ${chosen("gauge")} writes it: ${here.join(", ")}.${known.length ? " In the plain one:" : ""}`));
    }
    if (!known.length && !moved) frame.append(make("p", untold(size)));
    for (const one of known) {
      frame.append(raised("p", `${one.quantity} = ${one.size}. ${one.equation}`));
      const list = make("ul", undefined, { class: "sr-tree" });
      for (const step of one.steps) list.append(branch(data.texts[step]));
      frame.append(list);
    }
    return frame;
  }

  function branch(text) { // its depth is an indent that stays where the line is broken
    const [said, law] = text.split("\t");
    const line = raised("li", said.trimStart());
    line.style.setProperty("--depth", said.search(/\S/) / 2 - 1);
    if (law) line.append(" ", make("a", law.split("/")[1], { href: `../${law}.html`, title: "the law of this row" }));
    return line;
  }

  function untold(size) {
    if (size === "wd") return "Decay acts through the rate times the decay, which keeps one time scale unless the assumptions say otherwise.";
    if (size === "mult") return "The gauge decides where a constant factor stands; here it stands in the initial value and the rate.";
    return "Nothing has to change: no equation binds it.";
  }

  function copies(answer) {
    for (const [name, index] of Object.entries(answer.copies)) {
      const button = make("button", `Copy ${name}`, { type: "button" });
      button.addEventListener("click", async () => {
        await copied(data.texts[index]);
        button.textContent = `Copied ${name}`;
        setTimeout(() => { button.textContent = `Copy ${name}`; }, 1500);
      });
      find(".sr-copies").append(button);
    }
  }

  async function copied(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch { // a page that was opened as a file may not have the clipboard
      const area = document.body.appendChild(make("textarea"));
      area.value = text;
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  }

  function edge(name) {
    const place = find(".sr-edge");
    place.replaceChildren();
    for (const path of document.querySelectorAll(".edge")) path.classList.toggle("chosen", path.dataset.source === name);
    if (!name) return;
    const answer = causes();
    const sizes = (answer && answer.edges && answer.edges[name]) || {};
    const rows = [["axes", data.axes[name] || "none"], ["at the start", sizes.start], ["backward", sizes.backward],
      ["changed", sizes.changed]];
    const list = make("dl");
    for (const [what, value] of rows) list.append(make("dt", what), raised("dd", value || "not on a path that binds"));
    place.append(make("strong", name), list);
  }

  for (const box of switches) box.addEventListener("change", show);
  for (const field of document.querySelectorAll(".sr-size input")) field.addEventListener("input", factors);
  find(".sr-node").addEventListener("change", event => edge(event.target.value));
  for (const path of document.querySelectorAll(".edge")) {
    const wide = path.cloneNode(true);
    wide.setAttribute("class", "sr-hit");
    wide.removeAttribute("marker-end");
    path.after(wide);
    wide.addEventListener("click", () => {
      const name = path.dataset.source;
      if ([...find(".sr-node").options].some(option => option.value === name)) find(".sr-node").value = name;
      edge(name);
    });
  }
  const fold = find(".sr-fold");
  if (fold) fold.addEventListener("click", () => {
    const open = fold.getAttribute("aria-expanded") === "true";
    fold.setAttribute("aria-expanded", String(!open));
    fold.textContent = open ? "Show what is in the block" : "Fold the block";
    find(".sr-figure.folded").hidden = !open;
    find(".sr-figure.whole").hidden = open;
  });
  show();
}
