"""A solution for readers: terminal table, Markdown, LaTeX, and the numbered steps of one parameter."""

from __future__ import annotations

from collections.abc import Sequence

from scalerules.sizes.exponents import Exponents

from .answer import Answer
from .rule import Explanation, Rule

COLUMNS = ("init", "mult", "lr", "eps", "wd")


def _further(solution: Answer) -> list[str]:
    """The names of what else the optimizer has: dampings beside epsilon, the radius of a perturbation."""
    return list(dict.fromkeys(name for rule in solution.parameters.values() for name in rule.dampings))


def _dampings(rule: Rule, names: Sequence[str]) -> list[Exponents | None]:
    return [rule.dampings.get(name) for name in names]


def heading(solution: Answer) -> str:
    """One line that says what was derived."""
    direction = ", ".join(f"{s}^{g}" if g != 1 else s for s, g in solution.direction.items())
    return f"{solution.graph}, {solution.optimizer}, mode {solution.mode}, gauge {solution.gauge}, growing: {direction}"


def rows(solution: Answer) -> list[list[str]]:
    """The table: a parameter a row, exponents as products of powers of scales."""
    found: list[list[str]] = []
    for name, rule in solution.parameters.items():
        cells = [_cell(getattr(rule, size), size in rule.log) for size in COLUMNS]
        cells += [str(size) if size is not None else "" for size in _dampings(rule, _further(solution))]
        found.append([name, " ".join(rule.shape), *cells])
    return found


def _cell(exponents: Exponents, log: bool) -> str:
    return f"{exponents}{' (log)' if log else ''}"


def table(solution: Answer) -> str:
    """The rules for a terminal, in columns: what each quantity is multiplied with when the scales grow."""
    head = f"{solution.graph}, {solution.optimizer}: " + ", ".join(
        f"{scale}^{growth}" if growth != 1 else scale for scale, growth in solution.direction.items() if growth
    )
    further = _further(solution)
    cells = [["parameter", "shape", *COLUMNS, *further]]
    for name, rule in solution.parameters.items():
        row = [_power(getattr(rule, size)) + (" log" if size in rule.log else "") for size in COLUMNS]
        row += [_power(size) if size is not None else "" for size in _dampings(rule, further)]
        cells.append([name, " ".join(rule.shape), *row])
    text = f"{head}\n\n{columns(cells)}"
    if solution.multipliers:
        text += "\n" + columns([["multiplier", "factor"]] + [[k, _power(v)] for k, v in solution.multipliers.items()])
    if solution.cone:
        text += f"\nholds where {', '.join(solution.cone)}\n"
    return text


def _power(exponents: Exponents) -> str:
    return str(exponents.expr).replace("**", "^")


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of texts, aligned to the left, two spaces apart; the first one is the heading."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]]) + "\n"


def explained(solution: Answer, name: str) -> str:
    """The numbered steps of a parameter or a multiplier."""
    if name not in solution.explanations:
        solution[name]
    lines = [f"{name} in {heading(solution)}"]
    for explanation in solution.explanations.get(name, ()):
        lines += ["", *_explanation(explanation)]
    if name in solution.parameters:
        kept = next((text for text in solution.assumptions if text.startswith("Weight decay")), None)
        said = kept or "decay acts through lr * wd, which keeps one time scale."
        lines += ["", f"wd = {solution[name].wd}: {said}"]
    return "\n".join(lines) + "\n"


def _explanation(explanation: Explanation) -> list[str]:
    lines = [f"{explanation.quantity} = {explanation.size}. {explanation.equation}"]
    for number, step in enumerate(explanation.steps, 1):
        when = f", step {step.time}" if step.time else ""
        lines.append(f"  {number}. {step.stage}{when}, {step.node}: size {step.size}. {step.because}")
    return lines


def markdown(solution: Answer) -> str:
    """Table, steps, assumptions and warnings."""
    heads = [*COLUMNS, *_further(solution)]
    lines = [f"# {heading(solution)}", "", "| parameter | shape | " + " | ".join(heads) + " |"]
    lines.append("| --- " * (2 + len(heads)) + "|")
    lines += ["| " + " | ".join([f"`{row[0]}`", *row[1:]]) + " |" for row in rows(solution)]
    if solution.multipliers:
        lines += ["", "Multipliers that were solved for:", ""]
        lines += [f"* `{node}`: {exponents}" for node, exponents in solution.multipliers.items()]
    if solution.constants:
        lines += ["", "## Constant factors of the operations", "", *_constants(solution)]
    if solution.cone:
        lines += ["", "The rule holds where " + ", ".join(f"`{c}`" for c in solution.cone) + "."]
    for title, texts in (("Assumptions", solution.assumptions), ("Warnings", solution.warnings)):
        if texts:
            lines += ["", f"## {title}", "", *(f"* {text}" for text in texts)]
    lines += ["", "## Steps"]
    for name, explanations in solution.explanations.items():
        if explanations:
            lines += ["", f"### `{name}`"]
            for explanation in explanations:
                lines += ["", f"**{explanation.quantity} = {explanation.size}.** {explanation.equation}", ""]
                for number, step in enumerate(explanation.steps, 1):
                    when = f", step {step.time}" if step.time else ""
                    lines.append(f"{number}. {step.stage}{when}, `{step.node}`: {step.size}. {step.because}")
    return "\n".join(lines).rstrip() + "\n"


def _constants(solution: Answer) -> list[str]:
    """The table of the constants of the gauge `unit`."""
    lines = ["| node | forward | backward |", "| --- | --- | --- |"]
    for node, constant in solution.constants.items():
        weights = "; ".join(f"stream {a:.4g}, branch {b:.4g}" for a, b in constant.weights)
        backward = ", ".join(f"`{operand}` {factor:.4g}" for operand, factor in constant.backward.items())
        lines.append(f"| `{node}` | {weights or f'{constant.forward:.4g}'} | {backward} |")
    return lines


def latex(solution: Answer) -> str:
    """The table as a LaTeX tabular, then assumptions, warnings and the numbered steps."""
    from sympy import latex as printed  # pyright: ignore[reportMissingTypeStubs]

    further = _further(solution)
    heads = " & ".join([*COLUMNS, *map(_escaped, further)])
    lines = [r"\begin{tabular}{ll" + "l" * (len(COLUMNS) + len(further)) + "}", rf"parameter & shape & {heads} \\"]
    for name, rule in solution.parameters.items():
        sizes = [*(getattr(rule, size) for size in COLUMNS), *_dampings(rule, further)]
        exprs = [size.expr if size is not None else None for size in sizes]
        cells = [f"${printed(e, root_notation=False, fold_frac_powers=True)}$" if e is not None else "" for e in exprs]
        lines.append(" & ".join([_escaped(name), _escaped(" ".join(rule.shape)), *cells]) + r" \\")
    lines.append(r"\end{tabular}")
    notes = [*solution.assumptions, *solution.warnings]
    lines += [r"\begin{itemize}", *(rf"\item {_escaped(text)}" for text in notes), r"\end{itemize}"]
    for name, explanations in solution.explanations.items():
        for explanation in explanations:
            title = _escaped(f"{name}: {explanation.quantity} = {explanation.size}")
            lines += [rf"\paragraph{{{title}}}", _escaped(explanation.equation)]
            if explanation.steps:
                steps = [f"{s.stage} {s.time}, {s.node}: size {s.size}. {s.because}" for s in explanation.steps]
                lines += [r"\begin{enumerate}", *(rf"\item {_escaped(step)}" for step in steps), r"\end{enumerate}"]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    for character in "\\&%$#_{}":
        text = text.replace(character, r"\textbackslash " if character == "\\" else "\\" + character)
    return text.replace("^", r"\^{}").replace("~", r"\~{}")
