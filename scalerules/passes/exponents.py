"""What exponentials alone read: rates of decay, and these times a step."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from scalerules.ops.elementwise import Elementwise
from scalerules.ops.registry import law_of
from scalerules.ops.scan import Discretised
from scalerules.ops.site import Site

from .maps import JOINING


def exponents(sites: Sequence[Site], outputs: Collection[str]) -> frozenset[str]:
    """The keys of the sites that exponentials alone read, products, sums and views in between.

    Where they grow along an axis, all but their first entries leave nothing behind. What nothing reads is one, but for
    the outputs.
    """
    found = {site.key for site in sites} - set(outputs)
    for reader in reversed(sites):
        if not _exponential(reader) and not (reader.key in found and _linear(reader)):
            found.difference_update(reader.inputs)
    return frozenset(found)


def _exponential(site: Site) -> bool:
    laws = law_of(site.op).laws
    return isinstance(laws, Discretised) or (isinstance(laws, Elementwise) and laws.shape.exponential)


def _linear(site: Site) -> bool:
    """Whether a site is linear in each value that it reads."""
    law = law_of(site.op)
    return law.multilinear or law.linear or law.passes or site.op in JOINING
