"""At which sites a size has to be stable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from scalerules.architecture.graph import Graph
from scalerules.ops.site import Site

PASSING = ("identity", "negative", "rearrange", "reshape", "slice", "window", "shift")
"""Operations that pass every entry on as large as it is."""


def enlarges(graph: Graph, site: Site) -> bool:
    """Whether a multiplier is fixed and grows."""
    if site.op != "scale" or site.node.free or not isinstance(site.node.factor, str):
        return False
    powers = graph.length(site.node.factor, site.name).monomials[0].powers
    return sum(power for scale, power in powers if graph.scales.get(scale)) > 0


def judged_sites(sites: list[Site], enlarges: Callable[[Site], bool]) -> list[Site]:
    """A value that is read only through a multiplier is judged behind it.

    Unless a parameter of its own sets its size: then the multiplier is left to what comes behind, if it does not grow.
    """
    readers: dict[str, list[Site]] = {}
    uses: dict[str, int] = {}
    for site in sites:
        for key in site.inputs:
            readers.setdefault(key, []).append(site)
        for key in site.parameters:
            uses[key] = uses.get(key, 0) + 1

    def scaled(site: Site) -> bool:
        return site.key in readers and all(
            reader.op == "scale" or (reader.op in PASSING and scaled(reader)) for reader in readers[site.key]
        )

    def open_(site: Site) -> bool:
        own = any(uses[key] == 1 for key in site.parameters)
        return scaled(site) and (not own or all(enlarges(reader) for reader in readers[site.key]))

    return [replace(site, judged=False, carries=True) if open_(site) else site for site in sites]
