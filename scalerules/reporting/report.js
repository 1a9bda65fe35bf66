// The factors under the exponents follow the sizes that are typed in. Without this script the page shows its own example.
const fields = [...document.querySelectorAll(".sizes input")];
function ratio(scale) {
  const value = which => Number(document.querySelector(`input[data-scale="${scale}"][data-which="${which}"]`).value);
  return value("to") / value("from");
}
function shown(number) {
  if (!(number > 0) || !Number.isFinite(number)) return "";
  return "× " + (number === 1 ? "1" : Number(number.toPrecision(3)).toString());
}
function update() {
  for (const cell of document.querySelectorAll(".factor")) {
    const powers = Object.entries(JSON.parse(cell.dataset.powers));
    cell.textContent = shown(powers.reduce((product, [scale, power]) => product * ratio(scale) ** power, 1));
  }
}
for (const field of fields) field.addEventListener("input", update);
