"""PyTorch: `emit` writes a solution as a self-contained Python file, `apply` sets up a live model by parameter name.

`emit` only writes text and needs no torch; the file that it writes needs torch and nothing else.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from scalerules.architecture.graph import Graph
from scalerules.catalogue.user_code import kind_of
from scalerules.errors import ScaleRulesError, UnknownName
from scalerules.sizes.exponents import Exponents
from scalerules.solution.solution import Solution

from ..model.apply import Groups, apply
from ..python_text import documented, law, shown
from .helpers import HELPERS
from .meant import check
from .model import Writer, axis_lengths, factors, model
from .recipe import demo, groups, imported, init

__all__ = ["Groups", "apply", "emit"]


def emit(solution: Solution, to: str = "pytorch", *, graph: Graph | None = None) -> str:
    """A Python module with the model, its initialisation, its parameter groups and a small training run.

    `graph` is needed where the solution does not carry it (after `Solution.from_json`). Raises `ScaleRulesError` for a
    graph that is missing or is not the solution's, and for a parameter that torch modules cannot name.
    """
    if to != "pytorch":
        raise UnknownName("target", to, ["pytorch"])
    w = _writer(solution, graph)
    text = _written(w)
    check(text, w, _writer, _written)
    return text


def _written(w: Writer) -> str:
    """The text of the file."""
    # the parts say which helpers they call while they are written, so the helpers are chosen last
    parts = [axis_lengths(w), factors(w), model(w), init(w), groups(w), demo(w)]
    if w.solution.optimizer.startswith("muon"):
        w.helpers.add("Muon")
    helpers = [text.strip() for name, text in HELPERS.items() if name in w.helpers]
    code = [*helpers, *("\n".join(part) for part in parts if part)]
    body = "\n\n\n".join(code)
    return f'"""{_docstring(w)}"""\n\n{_imports(body, imported(w))}\n\n\n{body}\n'


def _writer(solution: Solution, graph: Graph | None) -> Writer:
    """What writes the file. Raises `ScaleRulesError` where graph and solution do not belong together."""
    graph = graph or getattr(solution, "architecture", None)
    if graph is None:
        raise ScaleRulesError(
            "the solution does not carry its graph", where=f"solution of {solution.graph!r}", hint="give it: graph=..."
        )
    if not isinstance(graph, Graph):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ScaleRulesError(f"graph= is {kind_of(graph)}, not a Graph", hint="graph=sr.graph('mlp')")
    for name in solution.parameters:
        if name not in graph.parameters:
            raise UnknownName("parameter", name, graph.parameters, where=f"graph {graph.name!r}")
    for scale in {s for rule in _numbers(solution) for s in rule.fractions}:
        if scale not in graph.scales:
            raise UnknownName("scale", scale, graph.scales, where=f"solution of {solution.graph!r}")
    return Writer(graph, solution, graph.base_sizes())


def _numbers(solution: Solution) -> Iterator[Exponents]:
    """All exponents of a solution."""
    for rule in solution.parameters.values():
        yield from (rule.init, rule.mult, rule.lr, rule.eps, rule.wd)
    yield from solution.multipliers.values()


def _imports(body: str, own: Sequence[str]) -> str:
    lines = ["import math", ""] if "math." in body else []
    lines += ["import torch", "from torch import Tensor, nn"]
    functional = ["from torch.nn import functional"] if "functional." in body else []
    return "\n".join([*lines, *functional, *(["", *own] if own else [])])


def _docstring(w: Writer) -> str:
    s = w.solution
    direction = ", ".join(f"{scale}^{growth}" for scale, growth in s.direction.items())
    base = ", ".join(f"{scale} = {value:g}" for scale, value in w.base.items())
    first = next(iter(s.scales), "width")
    parts = [
        f"The graph {s.graph!r} with its scaling rules for {s.optimizer}, written by scalerules.",
        f"The rules say how initialisation, factors and rates change with {', '.join(s.scales)} "
        f"(direction {direction}; mode {s.mode}; gauge {s.gauge}), so that what is tuned at the base size ({base}) "
        f"holds at other sizes. In the comments, the size of a quantity is the exponent with which it grows. "
        f"Tune `lr` at the base size, then change the sizes:",
        f"    model = Model({w.scale(first)}=...)\n"
        "    optimizer = ...(parameter_groups(model, lr=..., weight_decay=...))",
        _table(w),
    ]
    if s.cone:
        parts.append(f"Valid for growths with {', '.join(map(str, s.cone))}.")
    wrapped = [part if part.startswith("    ") else textwrap.fill(shown(part), 118) for part in parts]
    wrapped += [_list("Assumed:", s.assumptions), _list("Warnings:", s.warnings)]
    return documented("\n\n".join(part for part in wrapped if part)) + "\n"


def _list(head: str, texts: Sequence[str]) -> str:
    """The texts as a list, one line below the other; nothing where there are none."""
    items = [textwrap.fill(shown(text), 118, initial_indent="- ", subsequent_indent="  ") for text in texts]
    return "\n".join([head, *items]) if items else ""


def _table(w: Writer) -> str:
    """The exponents of every parameter, aligned."""
    rows = [["parameter", "axes", "init", "factor", "lr", "eps", "weight decay"]]
    for name, rule in w.solution.parameters.items():
        numbers = (rule.init, rule.mult, rule.lr, rule.eps, rule.wd)
        rows.append([name, " ".join(w.graph.shape_of(name)), *(law(exponents) for exponents in numbers)])
    rows += [[name, "(a factor)", "", law(e), "", "", ""] for name, e in w.solution.multipliers.items()]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(f"    {shown(line)}" for line in lines)
