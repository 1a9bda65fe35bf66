"""The numbers of an emitted file: `init_`, `parameter_groups` and a small training run, each line with its reason."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scalerules.architecture.uses import count, fan_in, matrix, uses
from scalerules.errors import ScaleRulesError
from scalerules.optimizers import Optimizer as Law
from scalerules.optimizers.law import RADIUS
from scalerules.optimizers.named import named_in as law_of
from scalerules.optimizers.own import torch_class
from scalerules.sizes.exponents import Exponents
from scalerules.solution.rule import Rule

from ...base_values import start as at_base
from ..python_text import commented, fractions, item, law, number, quoted, scaled, shown
from .model import Writer
from .reasons import logarithm, reason


@dataclass(frozen=True)
class Torch:
    """How the training run of an emitted file takes an optimizer: a call, the epsilon's default, a base rate."""

    call: str
    eps: float | None
    lr: float
    note: str = ""
    own: type | None = None
    """A user's class, which an emitted file imports."""


OPTIMIZERS = {
    "sgd": Torch("torch.optim.SGD(groups)", None, 0.05),
    "momentum": Torch("torch.optim.SGD(groups, momentum=0.9)", None, 0.01),
    "nesterov": Torch("torch.optim.SGD(groups, momentum=0.9, nesterov=True)", None, 0.01),
    "adam": Torch("torch.optim.AdamW(groups)", 1e-8, 3e-3),
    "adamw": Torch("torch.optim.AdamW(groups)", 1e-8, 3e-3),
    "rmsprop": Torch("torch.optim.RMSprop(groups)", 1e-8, 1e-3),
    "adagrad": Torch("torch.optim.Adagrad(groups)", 1e-10, 1e-2),
    "adafactor": Torch("torch.optim.Adafactor(groups)", None, 1e-2),
    "muon": Torch("Muon(groups)", None, 0.02),
    "muon-spectral": Torch('Muon(groups, adjust="spectral")', None, 0.02),
    "muon-original": Torch('Muon(groups, adjust="original")', None, 0.02),
    "muon-match-rms": Torch('Muon(groups, adjust="match_rms")', None, 0.005),
}
"""The optimizers that torch has, and Muon, which an emitted file brings along (torch's takes no stacked matrices)."""

STAND_IN = Torch("torch.optim.AdamW(groups)", None, 3e-3, "stands in for {}, whose steps are as large as the rate")
"""For Lion and every other rule whose entries move by the rate."""

PLACEHOLDER = replace(STAND_IN, note="a placeholder, so that this file runs: the rates above are for {}")
"""For rules that torch does not have and that move otherwise."""


def _optimizer(w: Writer) -> Law | None:
    """The optimizer of the solution; None for one that is not known here (in a file written by hand)."""
    try:
        return law_of(w.solution.optimizer)
    except ScaleRulesError:
        return None


def _torch(w: Writer) -> Torch:
    """What takes the groups. `adamw(decay=independent)` is AdamW; with coupled decay it is Adam, as torch has it."""
    law, base = _optimizer(w), w.solution.optimizer.partition("(")[0]
    if base in ("adam", "adamw") and law is not None and law.decay == "coupled":
        return replace(OPTIMIZERS[base], call="torch.optim.Adam(groups)")
    if law is not None and base in OPTIMIZERS:
        return OPTIMIZERS[base]
    if law is not None and (kind := torch_class(law)) is not None:
        eps = inspect.signature(kind).parameters.get("eps")
        default = float(eps.default) if eps is not None and isinstance(eps.default, float) else None
        return Torch(f"{kind.__name__}(groups)", default, 1e-2, note=f"of {law.file}", own=kind)
    entries = law is None or (law.normalised() and not law.spectral)
    return STAND_IN if entries else PLACEHOLDER


def imported(w: Writer) -> list[str]:
    """The import of a user's class; a file stands beside the emitted one, or on the path."""
    kind, law = _torch(w).own, _optimizer(w)
    if kind is None or law is None:
        return []
    file = Path(str(law.file))
    module = file.stem if kind.__module__.startswith("scalerules_optimizer_") else kind.__module__
    return [f"from {module} import {kind.__name__}  # keep {file.name} beside this file"]


def init(w: Writer) -> list[str]:
    """The function that initialises a model by name."""
    tables = [
        ("std", ("normal",), "parameter.normal_(0.0, std[name])"),
        ("constant", ("zeros", "ones"), "parameter.fill_(constant[name])"),
        ("along_last_axis", ("range", "log_range"), "parameter.copy_(along_last_axis[name])"),
        ("diagonal", ("identity",), "identity_(parameter, *diagonal[name])"),
    ]
    body: list[str] = []
    branches: list[str] = []
    for table, kinds, use in tables:
        names = [name for name, parameter in w.graph.parameters.items() if parameter.init in kinds]
        if names:
            entries = [line for name in names for line in _initial(w, name)]
            body += [f"    {table} = {{", *entries, "    }"]
            branches += [f"        if name in {table}:", f"            {use}"]
    return [
        "@torch.no_grad()",
        "def init_(model: Model) -> None:",
        '    """Fills every parameter by name: what it has at the base size, times powers of size over base size."""',
        *_ratios(w, body),
        *body,
        "    for name, parameter in model.named_parameters():",
        *branches,
    ]


def _initial(w: Writer, name: str) -> list[str]:
    parameter, rule = w.graph.parameters[name], w.solution.parameters.get(name)
    exponents = rule.init if rule is not None and parameter.init != "zeros" else None
    if parameter.init == "normal":
        terms = fan_in(w.graph, name, w.base)
        start = "1.0" if terms == 1 else f"1 / math.sqrt({terms})"
        changes = [] if law(exponents) == "1" else [f"away from the base size {law(exponents)}"]
        because = [*reason(w.solution, name, "init"), *logarithm(w.solution, name, "init")] if rule is not None else []
        why = "; ".join([_sum(w, name, terms), *changes, *because])
    elif parameter.init in ("zeros", "ones"):
        start, why = "0.0" if parameter.init == "zeros" else repr(at_base(w.graph, name, w.base)), ""
    elif parameter.init == "identity":
        w.helpers.add("identity_")
        stacked = len(w.graph.shape_of(name)) - len(parameter.axes)
        value = scaled(repr(at_base(w.graph, name, w.base)), exponents, w.scale)
        return item(f"{quoted(name)}: ", f"({stacked}, {value})", ",", 8)
    else:
        numbers = f"torch.arange(1.0, model.lengths[{quoted(parameter.axes[-1])}] + 1)"
        start = numbers + (".log()" if parameter.init == "log_range" else "")
        start += f" * {at_base(w.graph, name, w.base)!r}" if parameter.factor is not None else ""
        why = f"{'log 1, log 2, ...' if parameter.init == 'log_range' else '1, 2, ...'} along {parameter.axes[-1]}"
    code = scaled(start, exponents, w.scale)
    return [*(commented(f"{name}: {why.strip()}", 8) if why else []), *item(f"{quoted(name)}: ", code, ",", 8)]


def _sum(w: Writer, name: str, terms: int) -> str:
    """What the constant at the base size is, in words."""
    all_uses = uses(w.graph, name, through_weights=True)
    if terms == 1:
        return "rows are looked up, no sum" if any(use.lookup for use in all_uses) else "no sum over it"
    largest = next(use for use in all_uses if not use.lookup and count(w.graph, name, use.summed, w.base) == terms)
    summed = [w.graph.parameters[name].axes[i] for i in largest.summed]
    return f"a sum over {' and '.join(summed)}, {terms} terms at the base size"


def groups(w: Writer) -> list[str]:
    """The function that returns the optimizer's parameter groups: one per distinct rate, epsilon and decay."""
    optimizer = _torch(w)
    trained = {n: r for n, r in w.solution.parameters.items() if n in w.graph.parameters
               and w.graph.parameters[n].trained}  # fmt: skip
    shared: dict[tuple[Any, ...], list[str]] = {}
    for name, rule in trained.items():
        eps = rule.eps if optimizer.eps is not None else None
        radius = rule.dampings.get(RADIUS)
        parts = (rule.lr, eps, _decay(w, rule), radius)
        key = tuple(tuple(sorted(fractions(exponents).items())) for exponents in parts)
        shared.setdefault(key, []).append(name)
    body = [line for names in shared.values() for line in _group(w, optimizer, names)]
    eps = f", eps: float = {optimizer.eps!r}" if optimizer.eps is not None else ""
    if any(RADIUS in rule.dampings for rule in trained.values()):
        eps += f", {RADIUS}: float = 0.05"
    matrices = ['        group["matrices"] = [MATRICES.get(name) for name in group["names"]]']
    return [
        *(_matrices(w) if w.solution.optimizer.startswith("muon") else []),
        f"def parameter_groups(model: Model, lr: float, weight_decay: float = 0.0{eps}) -> list[dict]:",
        '    """The optimizer\'s parameter groups; `lr` and the others are the values tuned at the base size."""',
        *_ratios(w, body),
        *_law(w),
        "    result = [",
        *body,
        "    ]",
        "    for group in result:",
        '        group["params"] = [model.get_parameter(name) for name in group["names"]]',
        *(matrices if w.solution.optimizer.startswith("muon") else []),
        "    return result",
    ]


def _law(w: Writer) -> list[str]:
    """The law of the optimizer, as a comment."""
    optimizer = _optimizer(w)
    return commented(f"{optimizer.name}: {optimizer.reason}", 4) if optimizer else []


def _group(w: Writer, optimizer: Torch, names: list[str]) -> list[str]:
    rules: Mapping[str, Rule] = w.solution.parameters
    rule = rules[names[0]]
    comments = [line for name in names for line in commented(_rate(w, name), 12)]
    numbers = [("lr", "lr", rule.lr), ("weight_decay", "weight_decay", _decay(w, rule))]
    if optimizer.eps is not None:
        numbers.insert(1, ("eps", "eps", rule.eps))
    if RADIUS in rule.dampings:
        numbers.append((RADIUS, RADIUS, rule.dampings[RADIUS]))
    return [
        "        {",
        *comments,
        *item('"names": ', f"[{', '.join(map(quoted, names))}]", ",", 12),
        *(line for key, start, e in numbers for line in item(f"{quoted(key)}: ", scaled(start, e, w.scale), ",", 12)),
        "        },",
    ]


def _decay(w: Writer, rule: Rule) -> Exponents:
    """The exponents of torch's weight decay, which it multiplies with the rate: an independent one is divided by it."""
    law = _optimizer(w)
    return rule.wd.plus(rule.lr, -1) if law is not None and law.decay == "independent" else rule.wd


def _rate(w: Writer, name: str) -> str:
    """The rate of one parameter and why, in one line."""
    rule = w.solution.parameters[name]
    because = [*reason(w.solution, name, "lr"), *logarithm(w.solution, name, "lr")]
    return "; ".join([f"{name}: {law(rule.lr)}", *because])


def _matrices(w: Writer) -> list[str]:
    entries: list[str] = []
    for name in w.graph.parameters:
        use, stacked = matrix(w.graph, name), bool(w.graph.repeat_of(name))
        if use is not None:
            out, into = (tuple(i + stacked for i in part) for part in (use.brought, use.summed))
            entries += item(f"{quoted(name)}: ", f"({out}, {into})", ",", 4)
    return [
        "MATRICES = {",
        *entries,
        "}",
        '"""The dimensions (fan-out, fan-in) of every parameter that moves as a matrix; all others are a batch."""',
        "",
        "",
    ]


def _ratios(w: Writer, body: Iterable[str]) -> list[str]:
    """The ratio of size and base size of every scale that the lines use."""
    code = "\n".join(line for line in body if not line.lstrip().startswith("#"))
    used = set(re.findall(r"[^\W\d]\w*", re.sub(r'"[^"]*"', "", code)))
    lines: list[str] = []
    for scale, base in w.base.items():
        if w.scale(scale) in used:
            ratio = f"model.sizes[{quoted(scale)}] / {number(base)}"
            lines.append(f"    {w.scale(scale)} = {ratio}  # how many times its base size")
    return lines


def demo(w: Writer) -> list[str]:
    """A training run of twenty steps on one random batch, at the base size and at twice the base size."""
    optimizer = _torch(w)
    inputs = {name: node for name, node in w.graph.nodes.items() if node.op == "input"}
    drawn = [line for name, node in inputs.items() for line in item(
        f"{w.drawn(name)} = ", _draw(node.axes or [], node.kind == "tokens"), "", 4)]  # fmt: skip
    first = next((scale for scale in w.solution.scales if scale in w.base), next(iter(w.base)))
    note = f"  # {shown(optimizer.note.format(w.solution.optimizer))}" if optimizer.note else ""
    law = _optimizer(w)
    clip = ["        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)"] if law is not None and law.clip else []
    named = quoted(first.replace("{", "{{").replace("}", "}}"))[:-1]
    sizes = ", ".join(number(w.base[first] * times) for times in (1, 2))
    return [
        f"def train(steps: int = 20, lr: float = {optimizer.lr!r}, **sizes: float) -> list[float]:",
        '    """The losses of a short training run on one random batch."""',
        "    torch.manual_seed(0)",
        "    model = Model(**sizes)",
        "    length = model.lengths",
        *drawn,
        *(_target(w, name, i) for i, name in enumerate(w.graph.outputs)),
        "    groups = parameter_groups(model, lr)",
        f"    optimizer = {optimizer.call}{note}",
        "    losses = []",
        "    for _ in range(steps):",
        *_loss(w, ", ".join(map(w.drawn, inputs))),
        "        optimizer.zero_grad()",
        "        loss.backward()",
        *clip,
        "        optimizer.step()",
        "        losses.append(loss.item())",
        "    return losses",
        "",
        "",
        'if __name__ == "__main__":',
        f"    for size in ({sizes}):",
        f"        losses = train({w.scale(first)}=size)",
        f'        print(f{named} {{size}}: loss {{losses[0]:.4f}} -> {{losses[-1]:.4f}}")',
    ]


def _draw(axes: list[str], tokens: bool) -> str:
    shape = ", ".join(f"length[{quoted(axis)}]" for axis in (axes[:-1] if tokens else axes))
    if not tokens:
        return f"torch.randn({shape})"
    return f"torch.randint(length[{quoted(axes[-1])}], ({shape}{',' if len(axes) == 2 else ''}))"


def _target(w: Writer, output: str, index: int) -> str:
    tokens = w.graph.loss == "cross_entropy"
    return f"    target{index or ''} = {_draw(list(w.graph.axes_of(output)), tokens)}"


def _loss(w: Writer, inputs: str) -> list[str]:
    outputs = [f"output{i or ''}" for i in range(len(w.graph.outputs))]
    one = {
        "cross_entropy": "functional.cross_entropy({o}.flatten(0, -2), {t}.flatten())",
        "mse": "functional.mse_loss({o}, {t})",
    }[w.graph.loss]
    terms = [one.format(o=o, t=o.replace("output", "target")) for o in outputs]
    return [
        f"        {', '.join(outputs)} = model({inputs})",
        *item("loss = ", " + ".join(terms), "", 8),
    ]
