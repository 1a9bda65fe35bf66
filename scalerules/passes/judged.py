"""At which sites a size has to be stable."""

from __future__ import annotations

from dataclasses import replace

from scalerules.ops.registry import law_of
from scalerules.ops.site import Site


def judged_sites(sites: list[Site]) -> list[Site]:
    """A value that is read only through a multiplier is judged behind it.

    A free one that stands right behind a parameter of its own is left to what comes behind.
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
            reader.op == "scale" or (law_of(reader.op).passes and scaled(reader)) for reader in readers[site.key]
        )

    def free(site: Site) -> bool:
        """Whether one of the multipliers that it is read through is free, views between them or not."""
        return any(reader.node.free or (reader.op != "scale" and free(reader)) for reader in readers[site.key])

    def open_(site: Site) -> bool:
        own = any(uses[key] == 1 for key in site.parameters)
        return scaled(site) and (not own or not free(site))

    return [replace(site, judged=False, carries=True) if open_(site) else site for site in sites]
