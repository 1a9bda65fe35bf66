"""The check of an emitted file before it is returned: it holds what was meant, and no name has become code.

The same graph with harmless names (`axis1`, `node7`) is written too. Both files have to be the same program: the same
syntax tree, but for texts, and for identifiers that were given to names.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

from scalerules.architecture.graph import Graph
from scalerules.errors import ScaleRulesError
from scalerules.solution.solution import Solution

from .harmless import Harmless
from .model import Writer, is_attribute

HINT = "give the graph plain names: letters, digits and underscores"


def check(text: str, w: Writer, writer: Callable[[Solution, Graph], Writer], written: Callable[[Writer], str]) -> None:
    """Holds what `w` wrote against what `writer` and `written` make of the same graph with harmless names.

    Raises `ScaleRulesError` where the text is no Python, or not the program that was meant.
    """
    harmless = Harmless(w.graph)
    plain = writer(harmless.solution(w.solution), harmless.graph)
    trees = _parsed(text, w), _parsed(written(plain), w)
    names = _own(w), _own(plain)
    for mine, meant in _pairs(*trees):
        if not _same(mine, meant, *names):
            what = "a name would become code in the emitted file"
            raise ScaleRulesError(what, where=f"graph {w.graph.name!r}", hint=HINT)


def _parsed(text: str, w: Writer) -> ast.Module:
    """The syntax tree of a text that Python can compile."""
    try:
        tree = ast.parse(text)
        compile(tree, "<emitted>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        what = f"the emitted file would be no Python: {error}"
        raise ScaleRulesError(what, where=f"graph {w.graph.name!r}", hint=HINT) from None
    return tree


def _own(w: Writer) -> frozenset[str]:
    """The identifiers that stand for names of the graph."""
    parts = {part for name in w.graph.parameters for part in name.split(".") if is_attribute(part)}
    return w.scale.given | w.value.given | w.drawn.given | parts


def _pairs(mine: ast.AST, meant: ast.AST) -> Iterator[tuple[Any, Any]]:
    """Nodes and values that stand in the same place of two trees."""
    waiting: list[tuple[Any, Any]] = [(mine, meant)]
    while waiting:
        one, other = waiting.pop()
        yield one, other
        if isinstance(one, ast.AST) and not isinstance(one, ast.Constant) and type(one) is type(other):
            waiting += [(getattr(one, name, None), getattr(other, name, None)) for name in one._fields]
        elif isinstance(one, list) and isinstance(other, list):
            waiting += zip(one, other, strict=False)


def _same(mine: Any, meant: Any, own: frozenset[str], harmless: frozenset[str]) -> bool:
    """Whether two nodes, or values of their fields, mean the same."""
    if isinstance(mine, ast.Constant) and isinstance(meant, ast.Constant):
        both_text = isinstance(mine.value, str) and isinstance(meant.value, str)
        return both_text or (type(mine.value) is type(meant.value) and mine.value == meant.value)
    if isinstance(mine, str) and isinstance(meant, str):
        return mine == meant or (mine in own and meant in harmless)
    if isinstance(mine, list) and isinstance(meant, list):
        return len(mine) == len(meant)
    return type(mine) is type(meant) and (isinstance(mine, ast.AST) or mine == meant)
