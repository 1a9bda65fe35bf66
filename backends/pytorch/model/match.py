"""Which rule each parameter of a live model follows: by its name, never by a mark on the Parameter.

Exact names first; then `blocks.3.attention.W_Q` follows the stacked rule `attention.W_Q`; `names=` overrides both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from scalerules.architecture.block_names import is_blocks, of_block, stands_for
from scalerules.errors import ScaleRulesError, nearest

from .tuned import fits
from .weight_norm import Part, weight_norms
from .weight_parts import by_weight, weight_of

if TYPE_CHECKING:
    from torch.nn import Module, Parameter

WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""What torch.compile, FSDP and checkpointing put between the parts of a name (DataParallel's `module` only leads)."""


class Unmatched(ScaleRulesError):
    """A parameter of the model without a rule, or a rule without a parameter."""


@dataclass(frozen=True)
class Follower:
    """A parameter of a live model and the rules that it follows: one, or one for each part of a fused weight.

    `part` says which one of a weight-normed weight it is, where that has one rule. `names`: all of a tied parameter.
    Without rules it is trained with the numbers of the base size.
    """

    rules: tuple[str, ...]
    parameter: Parameter
    part: Part = ""
    names: tuple[str, ...] = ()

    @property
    def trained(self) -> bool:
        """Whether an optimizer moves it."""
        return self.parameter.requires_grad

    @property
    def rule(self) -> str:
        """The rule, of several the first."""
        return self.rules[0]


Matched = Mapping[str, Follower]
"""The parameters of a model by name, tied ones once."""


@dataclass(frozen=True)
class Names:
    """What is known of names: the weights that have rules, those that are stacked along a depth axis, and the user's.

    `parts`: the rules of a weight, by its name (one, of its own name, where it is not fused).
    """

    rules: frozenset[str]
    stacked: frozenset[str]
    given: Mapping[str, str]
    parts: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, rules: Iterable[str], stacked: Iterable[str], given: Mapping[str, str]) -> Names:
        """From the names of rules, parts of fused weights among them."""
        parts = by_weight(list(rules))
        return cls(frozenset(parts), frozenset(map(weight_of, stacked)), given, parts)

    def mapped(self, name: str) -> str | None:
        """What the user's mapping says of a parameter; `*` stands for anything."""
        keys = (key for key in self.given if name == key or fnmatchcase(bare(name), key))
        return next((self.given[key] for key in keys), None)

    def rule(self, name: str) -> str | None:
        """The rule (or fused weight) that the parameter `name` follows, or None. Raises `Unmatched` for several."""
        if (given := self.mapped(name)) is not None:
            if given not in self.rules:
                raise Unmatched(f"names= gives it the unknown rule {given!r}", where=f"parameter {name!r}",
                                hint=nearest(given, self.rules))  # fmt: skip
            return given
        for exact in (name, bare(name)):
            if exact in self.rules:
                return exact
        rules = sorted({tail for tail in _behind_indices(bare(name)) if tail in self.stacked})
        rules = sorted(of_block(bare(name), self.stacked)) or rules
        if len(rules) > 1:
            raise Unmatched(
                f"could follow {' or '.join(map(repr, rules))}", where=f"parameter {name!r} of the model",
                hint=f"say which: names={{{name!r}: {rules[0]!r}}}",
            )  # fmt: skip
        return rules[0] if rules else None


def bare(name: str) -> str:
    """The name without what wrappers put into it."""
    parts = [part for part in name.split(".") if part not in WRAPPERS]
    return ".".join(parts[1:] if parts[:1] == ["module"] and len(parts) > 1 else parts)


def without_indices(name: str) -> str:
    """`blocks.3.mlp.up` -> `blocks.mlp.up`."""
    return ".".join(part for part in name.split(".") if not part.isdigit() and not is_blocks(part))


def _behind_indices(name: str) -> Iterable[str]:
    """`a.0.b.3.c` -> `b.3.c`, `c`, and with the indices left out `a.b.c`."""
    parts = name.split(".")
    for i, part in enumerate(parts):
        if part.isdigit():
            yield ".".join(parts[i + 1 :])
    yield without_indices(name)


@dataclass(frozen=True)
class Silent:
    """Parameters that need no rule: `frozen` when the graph was made, `unused` by its outputs, `unruled` on request."""

    frozen: frozenset[str] = frozenset()
    unused: frozenset[str] = frozenset()
    unruled: tuple[str, ...] = ()

    @classmethod
    def of(cls, frozen: Iterable[str], unused: Iterable[str], unruled: Iterable[str]) -> Silent:
        """From names of weights, or of their parts."""
        plain = [frozenset(without_indices(weight_of(name)) for name in names) for names in (frozen, unused)]
        return cls(plain[0], plain[1] - plain[0], tuple(unruled))

    def why(self, called: Iterable[str]) -> str | None:
        """Why a parameter of these names has no rule; None where it should have one."""
        names = {without_indices(bare(name)) for name in called}
        return "frozen" if names & self.frozen else "unused" if names & self.unused else None

    def asked(self, called: Iterable[str]) -> bool:
        """Whether the user said that it may be without one."""
        return any(fits(bare(name), pattern) for name in called for pattern in self.unruled)


@dataclass(frozen=True)
class Match:
    """`ruled`: the parameters that follow rules; `unruled`: those that are trained without; `left`: in no group."""

    ruled: dict[str, Follower]
    unruled: dict[str, Follower]
    left: dict[str, str]
    """Why, by name."""


def match(model: Module, names: Names, silent: Silent | None = None) -> Match:
    """What every parameter of the model follows, by its name, tied ones once. Raises `Unmatched`."""
    silent = silent or Silent()
    aliases: dict[int, list[str]] = {}
    parameters: dict[int, Parameter] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        aliases.setdefault(id(parameter), []).append(name)
        parameters[id(parameter)] = parameter
    normed = weight_norms(model)
    matched, unknown = Match({}, {}, {}), list[str]()
    for key, called in aliases.items():
        rules = {name: rule for name in called if (rule := names.rule(name)) is not None}
        part: Part = ""
        if not rules and called[0] in normed:  # the solution has a rule for the weight that the two stand for
            rules = {name: rule for name in called if (rule := names.rule(normed[name].weight)) is not None}
            part = normed[called[0]].part
        if len(set(rules.values())) > 1:
            raise Unmatched(
                f"is one tied parameter, and follows the rules {', '.join(map(repr, sorted(set(rules.values()))))}",
                where=f"parameter {' = '.join(map(repr, called))} of the model",
                hint="tie them in the graph too: read one parameter in both nodes",
            )
        if rules:
            name, rule = next(iter(rules.items()))
            matched.ruled[name] = Follower(names.parts[rule], parameters[key], part, tuple(map(bare, called)))
        elif not _without(matched, called, parameters[key], silent):
            unknown.append(called[0])
    _reached(names, [name for called in aliases.values() for name in called])
    _complete(names, {weight_of(follower.rule) for follower in matched.ruled.values()}, unknown)
    _one_pattern(matched.ruled, names)
    return matched


def _without(matched: Match, called: list[str], parameter: Parameter, silent: Silent) -> bool:
    """Puts a parameter without a rule where it belongs, if it may be without. Raises `Unmatched` for a lost one."""
    name, why = called[0], silent.why(called)
    if parameter.requires_grad and silent.asked(called):
        matched.unruled[name] = Follower((), parameter, names=tuple(map(bare, called)))
    elif why is None:
        return False
    elif not parameter.requires_grad:
        matched.left[name] = "is not trained"
    elif why == "unused":
        matched.left[name] = "no output depended on it when the graph was made"
    else:
        raise Unmatched(
            "requires a gradient, and was frozen when the graph was made", where=f"parameter {name!r} of the model",
            hint=f"trace it as it is trained; unruled={name!r} trains it with the numbers of the base size",
        )  # fmt: skip
    return True


def _reached(names: Names, present: list[str]) -> None:
    """Raises `Unmatched` for a pattern of the user that fits no parameter."""
    for pattern in names.given:
        if not any(name == pattern or fits(bare(name), pattern) for name in present):
            hint = nearest(pattern, map(bare, present))
            raise Unmatched(f"the pattern {pattern!r} fits no parameter", where="names=", hint=hint)


def _complete(names: Names, covered: set[str], unknown: list[str]) -> None:
    """Every parameter has a rule, every rule a parameter; if not, what is left over on one side suits the other."""
    left = sorted(names.rules - covered)
    if unknown:
        name, rules = unknown[0], left or sorted(names.rules)
        near = nearest(bare(name).rpartition(".")[2], rules)
        hint = f"{near}; names={{{name!r}: {rules[0]!r}}} would say that it follows that rule"
        raise Unmatched("has no rule", where=f"parameter {name!r} of the model", hint=hint)
    if left:
        hint = f"names={{...: {left[0]!r}}} says which parameter follows it"
        raise Unmatched("has no parameter in the model", where=f"rule {left[0]!r}", hint=hint)


def _one_pattern(matched: Matched, names: Names) -> None:
    """Two stacks of blocks must not both follow one rule only because their parameters end alike."""
    patterns: dict[str, dict[str, str]] = {}
    for name, follower in matched.items():
        named = names.mapped(name) or stands_for(weight_of(follower.rule), bare(name))
        if not named and follower.part != "magnitude":
            pattern = ".".join("*" if part.isdigit() else part for part in bare(name).split("."))
            patterns.setdefault(weight_of(follower.rule), {})[pattern] = name
    for rule, alike in patterns.items():
        if len(alike) > 1:
            raise Unmatched(
                f"could be that of {' and of '.join(map(repr, alike))}", where=f"rule {rule!r}",
                hint=f"say which follow it: names={{{next(iter(alike))!r}: {rule!r}, ...}}",
            )  # fmt: skip
