"""A page per optimizer: its formula, how large its updates are, and the rules that it gives a small architecture."""

from __future__ import annotations

import inspect

from scalerules.derivation import derive
from scalerules.optimizers.form import Form
from scalerules.optimizers.law import Optimizer
from scalerules.optimizers.powers import Powers
from scalerules.optimizers.symbolic import Facts
from scalerules.optimizers.table import OPTIMIZERS
from scalerules.reporting.html import power
from scalerules.solution.rule import SIZES

from .page import Page, table, titled

FOLDER, EXAMPLE = "optimizers", "mlp"
KINDS = {"a hidden matrix": Facts("", True, False, False), "a vector, such as a gain": Facts("", False, False, False)}


def optimizer_pages() -> list[Page]:
    """The list of optimizers, and a page for each."""
    rows = [[f"[{name}]({name}.md)", law.reason] for name, law in OPTIMIZERS.items()]
    text = titled("Optimizers", "A law on gradient terms each; [your own](../your-optimizer.md) takes a few lines.",
                  table(["optimizer", "its update"], rows))  # fmt: skip
    return [Page(f"{FOLDER}/index.md", "All optimizers", text), *(_page(law) for law in OPTIMIZERS.values())]


def _page(law: Optimizer) -> Page:
    parts = [
        f"{law.reason} ({law.source}.)",
        "## Formula",
        f"```python\n{_source(law)}\n```",
        "In the words of [`vocabulary`](../../scalerules/optimizers/vocabulary.py): the same text runs on sizes, where "
        "rules are derived, and on tensors, where they are measured.",
        "## How large an update is",
        updates(law),
        "A power of the gradient's size, of the parameter's, and of the lengths of the axes that it reads and writes.",
        *rules(law),
        f"Whether it goes with others: {_like(law)}.",
    ]  # fmt: skip
    return Page(f"{FOLDER}/{law.name}.md", law.name, titled(law.name, *parts))


def updates(law: Optimizer) -> str:
    """How large an update is, of each kind of parameter."""
    rows = [[name, _size(law.form(facts)), _dampings(law.form(facts))] for name, facts in KINDS.items()]
    return table(["of", "update over rate", "what stands beside it"], rows)


def _source(law: Optimizer) -> str:
    return inspect.getsource(law.formula).replace("  # noqa: D103", "").rstrip()


def _size(form: Form) -> str:
    return "it does not move" if form.powers is None else f"`{_product(form.powers)}`"


def _dampings(form: Form) -> str:
    return ", ".join(f"{name}, as large as `{_product(powers)}`" for name, powers in form.dampings.items()) or "nothing"


def _product(powers: Powers) -> str:
    parts = [name if share == 1 else f"{name}^({share})" for name, share in powers.atoms]
    for share, options in powers.largest:
        inside = f"max({', '.join(_product(option) for option in options)})"
        parts.append(inside if share == 1 else f"{inside}^({share})")
    return " ".join(parts) or "1"


def rules(law: Optimizer) -> list[str]:
    """The rules of the example, and what is said beside them."""
    solution = derive(EXAMPLE, optimizer=law.name, progress=False)
    rows = [[f"`{parameter}`", " ".join(rule.shape), *(power(getattr(rule, size)) for size in SIZES)]
            for parameter, rule in solution.parameters.items()]  # fmt: skip
    head = f"## Rules of [{EXAMPLE}](../architectures/{EXAMPLE}.md)"
    return [head, table(["parameter", "shape", *SIZES], rows), *(f"* {text}" for text in solution.warnings)]


def _like(law: Optimizer) -> str:
    same = [other for other, one in OPTIMIZERS.items() if one.formula is law.formula and other != law.name]
    return (
        f"its law is that of {', '.join(f'[{name}]({name}.md)' for name in same)}" if same else "no other has its law"
    )
