"""The answer as data: exponents per parameter, the direction and its cone, predicted sizes, and the steps of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

from scalerules.architecture.block_names import of_block
from scalerules.architecture.graph import Graph
from scalerules.errors import UnknownName
from scalerules.sizes.exponents import Exponents

from .derivation import Derivation
from .rule import Constant, Explanation, Predicted, Rule


@dataclass(frozen=True, repr=False)
class Answer:
    """What was derived: exponents by parameter, the direction and its cone, predicted sizes, and the steps of each."""

    graph: str
    optimizer: str
    mode: str
    gauge: str
    scales: tuple[str, ...]
    parameters: Mapping[str, Rule]
    multipliers: Mapping[str, Exponents]
    direction: Mapping[str, Fraction]
    cone: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    sizes: tuple[Predicted, ...] = ()
    explanations: Mapping[str, tuple[Explanation, ...]] = field(default_factory=dict[str, tuple[Explanation, ...]])
    architecture: Graph | None = field(default=None, repr=False, compare=False)
    constants: Mapping[str, Constant] = field(default_factory=dict[str, Constant])
    """The constant factors of every operation at the base size, by node, in the gauge `unit`."""
    told: Derivation | None = field(default=None, repr=False, compare=False)
    """The derivation, where it was read with the solution."""
    story: Callable[[], Derivation] | None = field(default=None, repr=False, compare=False)
    """What writes the derivation when it is asked for."""
    gauged: Callable[[str], Answer] | None = field(default=None, repr=False, compare=False)
    """What writes the same answer in another gauge."""

    @cached_property
    def derivation(self) -> Derivation | None:
        """The passes, conditions and order of solving; None of a solution that was changed by hand, or of version 1."""
        return self.told if self.story is None else self.story()

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: the derivation itself, not what writes it."""
        return {**vars(self), "told": self.derivation, "story": None, "gauged": None}

    def __len__(self) -> int:
        return len(self.parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(self.parameters)

    def __contains__(self, parameter: object) -> bool:
        return parameter in self.parameters

    def _ipython_key_completions_(self) -> list[str]:
        return list(self.parameters)

    def __repr__(self) -> str:
        scales = ", ".join(self.scales)
        return f"<rules of {self.graph}, {self.optimizer}, growing {scales}: {len(self.parameters)} parameters>"

    def __getitem__(self, parameter: str) -> Rule:
        return self.parameters[self.name_of(parameter)]

    def name_of(self, parameter: str) -> str:
        """The name under which the rule of a parameter stands: `h.*.attn.weight` for `h.0.attn.weight`.

        Raises `UnknownName`.
        """
        if not isinstance(parameter, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UnknownName("parameter", parameter, self.parameters, where=f"graph {self.graph!r}")
        if parameter in self.parameters:
            return parameter
        blocks = of_block(parameter, self.parameters)
        if len(blocks) != 1:
            raise UnknownName("parameter", parameter, self.parameters, where=f"graph {self.graph!r}")
        return blocks[0]
