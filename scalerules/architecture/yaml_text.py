"""Data as YAML text that reads back without loss."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

LINE = 110
"""What is longer than this is written on several lines."""


_PLAIN = re.compile(r"[A-Za-z_](?:[\w ./^*+()>-]*[\w.)])?", re.ASCII)
"""Texts that stand without quotes, if they are not a number or a word such as `true`."""


def dump_yaml(data: Mapping[str, Any]) -> str:
    """`data` as YAML that reads back without loss: order kept, what fits into a line on one line."""
    from ruamel.yaml import YAML

    yaml: Any = YAML()
    yaml.width = 10 * LINE  # lines are broken here, not in the middle of an equation
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    yaml.dump(_styled(data), stream)
    return stream.getvalue()


def _styled(value: Any, depth: int = 0) -> Any:
    """`value` as ruamel's containers, in flow style where it is short and no list in it holds mappings."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq
    from ruamel.yaml.scalarstring import SingleQuotedScalarString

    container: Any
    if isinstance(value, Mapping):
        pairs = cast(Mapping[str, Any], value).items()
        container = CommentedMap((_styled(key), _styled(item, depth + 1)) for key, item in pairs)
    elif isinstance(value, list):
        container = CommentedSeq(_styled(item, depth + 1) for item in cast(list[Any], value))
    elif isinstance(value, str) and not _PLAIN.fullmatch(value):
        # ruamel.yaml leaves texts such as `:a` and `?a` without quotes where they then read as something else.
        return SingleQuotedScalarString(value)
    else:
        return value
    if depth and len(repr(container)) <= LINE and not any(isinstance(item, Mapping) for item in _items(value)):
        container.fa.set_flow_style()
    return container


def _items(value: Any) -> Iterator[Any]:
    yield from cast(Mapping[str, Any], value).values() if isinstance(value, Mapping) else value
