"""Contributions that count at a value which only products read, and no longer behind these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

from scalerules.ops.registry import law_of
from scalerules.ops.site import Site
from scalerules.passes.events import Event
from scalerules.passes.memory import gathering
from scalerules.terms.merging import merged
from scalerules.terms.sums import root_mean_square
from scalerules.terms.term import Term

from .equations import own_contributions
from .problem import Problem, Solved, Unsolvable
from .twins import checked, twin_of


def vanishing(problem: Problem, solved: Solved) -> frozenset[str]:
    """The parameters that count at values which only products read, and no longer behind these.

    The calculus is run with contributions asked for behind products where some are not as large there as in front: most
    are, which is seen from what the solution's own run has noted.
    """
    behind = replace(problem, behind_products=True)
    if problem.isolated or problem.lazy or behind.plan.sites == problem.plan.sites:
        return frozenset()
    followed = _Followed(behind, solved.twin or solved)
    asked = own_contributions(followed.run).items()
    if all(name in solved.short or followed.arrives(events) for name, events in asked):
        return frozenset()
    steady = behind if behind.normalised else twin_of(behind)
    with gathering(), suppress(Unsolvable):
        return frozenset(checked(steady, (solved.twin or solved).vectors, beyond=0).short) - frozenset(solved.short)
    return frozenset()


class _Followed:
    """What a solution's run has noted of every value, to follow contributions behind the values that products read."""

    def __init__(self, behind: Problem, solved: Solved) -> None:
        self.run, self.parameters = solved.run, behind.plan.parameters
        self.sites = {site.key: site for site in behind.plan.sites}
        self.readers: dict[str, list[Site]] = {}
        for site in behind.plan.sites:
            for key in dict.fromkeys(site.inputs):
                self.readers.setdefault(key, []).append(site)
        self.noted: Mapping[tuple[str, str, int], Event] = {
            (event.kind, event.site, event.step): event
            for event in solved.run.events
            if event.kind in ("value", "change")
        }

    def arrives(self, events: list[Event]) -> bool:
        """Whether the largest contribution of a parameter is asked for where it is, or is as large behind products."""
        there = [event for event in events if event.term is not None]
        top = max((event.ticks for event in there), default=0)
        return not there or any(self._behind(event) for event in there if event.ticks == top)

    def _behind(self, event: Event) -> bool:
        if self.sites[event.site].asked:
            return True
        return any(ticks >= event.ticks for ticks in self._sizes(event, event.site, list(event.terms)))

    def _sizes(self, event: Event, key: str, own: list[Term]) -> Iterator[int]:
        """The sizes of a contribution where it is asked for behind a value, as far as values show them."""
        point = self.run.point
        own = merged(own, point.reach // 2)
        for site in self.readers.get(key, ()):
            if site.parameters:  # how these have changed is not noted
                continue
            totals = [[self._now(source, event.step)] for source in site.inputs]
            terms = [
                term
                for k, source in enumerate(site.inputs) if source == key
                for term in law_of(site.op).laws.push(point, site, totals, k, [own])
            ]  # fmt: skip
            if site.judged and site.asked and not site.makes:
                sizes = [root_mean_square(point, term, site.result)[0] for term in terms]
                yield from [max(sizes) - point.unchosen(site.chosen)] if sizes else []
            elif site.carries:
                yield from self._sizes(event, site.key, terms)

    def _now(self, key: str, step: int) -> list[Term]:
        """What a value is at a step."""
        events = [self.noted.get(("value", key, 0)), self.noted.get(("change", key, step))]
        return merged([term for event in events if event is not None for term in event.terms], self.run.point.reach)
