"""The commands that derive: derive, explain, classify, emit."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from scalerules.errors import ScaleRulesError

from .common import Asked, GraphName, Output, call_of, command, ended, warn
from .options import Question
from .output import write


@command
def derive(
    graph: GraphName,
    /,
    *,
    question: Question = Asked,
    format: Literal["table", "md", "latex", "json"] = "table",
    output: Output = None,
) -> int:
    """Derives how the initialisation, multiplier, learning rate, epsilon and weight decay of every parameter scale.

    For example:
      scalerules derive mlp
      scalerules derive mamba --mode isolated --scale width --scale state=1/4
      scalerules derive mamba --set discretisation=euler
      scalerules derive my_arch.yaml --optimizer sgd --format json -o rules.json
    """
    _, solution = question.solve(graph)
    warn(solution.warnings)
    method = {"table": "to_table", "md": "to_markdown", "latex": "to_latex", "json": "to_json"}[format]
    write(ended(call_of(method)(solution)), output)
    return 0


@command
def explain(
    graph: Annotated[str | None, Parameter(help="A catalogue name, a path, or module:factory.")] = None,
    /,
    *names: str,
    question: Question = Asked,
    glossary: Annotated[bool, Parameter(negative="", help="What the words of a derivation mean.")] = False,
    output: Output = None,
) -> int:
    """Shows why: the condition behind every number of a parameter, and the tree of rows above it.

    NAMES are parameters, multipliers, nodes (the sizes of their value, gradient and change), rows (F3) or conditions
    (E4); without any, the whole derivation, pass by pass.

    For example:
      scalerules explain mlp h1
      scalerules explain mamba W_B A_log --optimizer sgd
      scalerules explain mlp a2
      scalerules explain --glossary
    """
    from scalerules.solution.passes import glossary as words
    from scalerules.solution.terminal import defined, derived

    if glossary:
        write(defined(words()), output)
        return 0
    if graph is None:
        raise ScaleRulesError("explain needs a graph", hint="scalerules explain mlp h1, or explain --glossary")
    _, solution = question.solve(graph)
    texts = [ended(solution.explain(name)) for name in names]
    write("\n".join(texts) if texts else derived(solution), output)
    return 0


@command
def classify(
    graph: GraphName,
    /,
    *,
    question: Question = Asked,
    format: Literal["table", "json"] = "table",
    output: Output = None,
) -> int:
    """Says what a given parametrization does: unstable (where), learning features, or lazy (where).

    Ends with status 1 if it is unstable; not where the outputs alone diverge, under a loss with a bounded gradient.

    For example:
      scalerules classify mlp --given ntk --optimizer sgd
      scalerules classify transformer --given sizes.yaml
    """
    from scalerules.derivation import classify as classified

    if question.given is None:
        raise ScaleRulesError("classify needs --given", hint="a FILE, or standard, ntk, mean-field, mup")
    built = question.graph(graph)
    asked = {key: value for key, value in question.asked(built).items() if key != "gauge"}
    report = classified(built, given=question.sizes_given(), **asked)
    write(ended(report.to_json() if format == "json" else str(report)), output)
    return 1 if report.regime == "unstable" else 0


@command
def emit(graph: GraphName, /, *, to: str = "pytorch", question: Question = Asked, output: Output = None) -> int:
    """Writes the rules as readable, self-contained source code.

    For example:
      scalerules emit mlp --to pytorch
      scalerules emit mamba --to pytorch --optimizer adamw -o mamba_rules.py
    """
    from scalerules.catalogue import backend
    from scalerules.derivation import emit as source

    backend(to)  # a wrong name is told before the work
    built, solution = question.solve(graph)
    warn(solution.warnings)
    write(ended(source(solution, to, graph=built)), output)
    return 0
