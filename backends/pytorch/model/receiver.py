"""What an optimizer class does with the numbers of its groups, found by stepping small matrices: nothing goes by name.

Weight decay may shrink the parameter by `lr * wd` (decoupled) or by `wd` (independent), or be added to the gradient
(coupled). A step may grow with the gradient and with the parameter, and make the singular values of a matrix alike.
"""

from __future__ import annotations

import functools
import inspect
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, cast

from scalerules.catalogue.user_code import kind_of
from scalerules.errors import ScaleRulesError, UnknownName

if TYPE_CHECKING:
    from torch import Tensor

Decay = Literal["decoupled", "independent", "coupled"]
Adjust = Literal["none", "spectral", "original", "match_rms"]
STEPS = 8
"""So many steps are taken: RAdam is a plain gradient for the first five."""
SEEN: dict[tuple[Any, str, str], Any] = {}
"""What was found, by class, arguments and question."""


@dataclass(frozen=True)
class Moves:
    """How a step of a matrix grows: with which powers of the gradient's and of the parameter's size.

    `spectral`: its singular values are alike.
    """

    gradient: Fraction
    weight: Fraction
    spectral: bool


@dataclass(frozen=True)
class Receiver:
    """The class of an optimizer and the arguments that it is made with."""

    kind: type
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def of(cls, given: Any) -> Receiver:
        """From a class, or a `functools.partial` of one. Raises `ScaleRulesError`, also for unknown arguments."""
        hint = "such as torch.optim.AdamW"
        options: dict[str, Any] = {}
        while isinstance(given, functools.partial):
            partial = cast("functools.partial[Any]", given)
            if partial.args:
                raise ScaleRulesError("binds arguments without names", where="optimizer=", hint="write name=value")
            options, given = {**partial.keywords, **options}, partial.func
        if not isinstance(given, type):
            what = "is an optimizer already" if hasattr(given, "param_groups") else f"is {kind_of(given)}"
            raise ScaleRulesError(f"{what}, not the class of one", where="optimizer=", hint=hint)
        if not callable(getattr(cast("Any", given), "step", None)):
            raise ScaleRulesError(f"{given.__name__} is no class of an optimizer", where="optimizer=", hint=hint)
        receiver = cls(cast("type[Any]", given), options)
        for name in options:
            if name == "params" or not receiver.takes(name):
                known = [argument for argument in receiver.arguments if argument != "params"]
                raise UnknownName("argument", name, known, where=f"optimizer {receiver.name}")
        return receiver

    @property
    def missing(self) -> list[str]:
        """Arguments that the class cannot do without and does not have, but for groups and rate."""
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        needed = [p.name for p in self.arguments.values() if p.kind in kinds and p.default is p.empty]
        return [name for name in needed if name not in (*self.options, "params", "lr")]

    def with_options(self, options: Mapping[str, Any]) -> Receiver:
        """The same class with further arguments. Raises `UnknownName` for one that it does not take."""
        return Receiver.of(functools.partial(self.kind, **{**self.options, **options}))

    @property
    def name(self) -> str:
        """The name of the class."""
        return self.kind.__name__

    @property
    def arguments(self) -> Mapping[str, inspect.Parameter]:
        """The arguments of the class, by name."""
        return inspect.signature(self.kind).parameters

    def default(self, name: str) -> Any:
        """What an argument is, given or by default; None where the class has none of that name."""
        return self.options.get(name, self.written(name))

    def written(self, name: str) -> Any:
        """What stands as the default of an argument in the class; None where there is none."""
        known = self.arguments.get(name)
        return None if known is None or known.default is known.empty else known.default

    def takes(self, name: str) -> bool:
        """Whether the class has an argument of that name (or takes any)."""
        return name in self.arguments or any(p.kind is p.VAR_KEYWORD for p in self.arguments.values())

    @property
    def decay(self) -> Decay | None:
        """How weight decay enters; None where it does not, or where that cannot be found out."""
        return self._once("decay", self._decay)

    @property
    def adjust(self) -> Adjust | None:
        """By what an optimizer of matrices multiplies the rate; None where that cannot be found out."""
        return self._once("adjust", self._adjust)

    @property
    def obeys(self) -> bool:
        """Whether the rate of a group decides how far its parameters move (as far as that can be found out)."""
        return self._once("obeys", self._obeys) is not False

    @property
    def moves(self) -> Moves | None:
        """How a step grows; None where that cannot be found out."""
        return self._once("moves", self._moves)

    def _once(self, what: str, find: Callable[[], Any]) -> Any:
        import torch

        key = (self.kind, repr(sorted(self.options.items(), key=str)), what)
        if key not in SEEN:
            try:
                with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), torch.enable_grad():
                    warnings.simplefilter("ignore")
                    SEEN[key] = find()
            except Exception:  # one that asks for more than a matrix and a rate: a process group, a device, a closure
                SEEN[key] = None
        return SEEN[key]

    def _decay(self) -> Decay | None:
        if not self.takes("weight_decay"):
            return None
        shrunk = [self._shrunk(0.1, 1e-3), self._shrunk(0.1, 2e-3), self._shrunk(0.2, 1e-3)]
        if not shrunk[0] > 0:
            return None
        by_decay, by_rate = shrunk[1] / shrunk[0], shrunk[2] / shrunk[0]
        if abs(by_decay - 2) > 0.1:
            return "coupled"
        return "decoupled" if abs(by_rate - 2) < 0.1 else "independent" if abs(by_rate - 1) < 0.1 else "coupled"

    def _shrunk(self, lr: float, decay: float) -> float:
        import torch

        values = torch.full((4, 4), 2.0)
        return float((values - self._walk(values, torch.zeros(4, 4), lr, decay)[-1]).mean())

    def _obeys(self) -> bool:
        import torch

        values, gradient = torch.ones(4, 4), torch.eye(4)
        near, far = (values - self._walk(values, gradient, lr)[-1] for lr in (1e-3, 2e-3))
        return not torch.allclose(near, far)

    def _moves(self) -> Moves | None:
        import torch

        draw = torch.Generator().manual_seed(0)
        values, gradient = (torch.randn((6, 6), generator=draw) for _ in range(2))
        step = self._last(values, gradient)
        # smaller parameters: LAMB takes large ones for no larger than 10
        others = [self._last(values, 16 * gradient), self._last(values / 16, gradient)]
        powers = [_power(float(ratio)) for ratio in (others[0].norm() / step.norm(), step.norm() / others[1].norm())]
        if powers[0] is None or powers[1] is None:
            return None
        singular = torch.linalg.svdvals(step)
        return Moves(powers[0], powers[1], float(singular.max() / singular.min()) < 2)

    def _last(self, values: Tensor, gradient: Tensor) -> Tensor:
        """The last of several steps of the same gradient."""
        before, after = self._walk(values, gradient, 1e-3)[-2:]
        return before - after

    def _adjust(self) -> Adjust | None:
        import torch

        draw = torch.Generator().manual_seed(0)
        wide, square, large = (torch.randn(shape, generator=draw) for shape in ((4, 16), (8, 8), (32, 32)))
        by_shape = self._stretch(wide.T) / self._stretch(wide)
        if abs(by_shape - 1) < 0.05:
            return "match_rms" if self._stretch(large) / self._stretch(square) > 1.5 else "none"
        return "original" if abs(by_shape - 2) < 0.1 else "spectral" if abs(by_shape - 4) < 0.2 else None

    def _stretch(self, gradient: Tensor) -> float:
        """The root mean square singular value of the first step."""
        import torch

        step = self._walk(torch.zeros(gradient.shape), gradient.contiguous(), 1.0, count=1)[-1]
        return float(step.norm() / min(gradient.shape) ** 0.5)

    def _walk(
        self, values: Tensor, gradient: Tensor, lr: float, decay: float = 0.0, count: int = STEPS
    ) -> list[Tensor]:
        """The values before and after every step."""
        import torch

        parameter = torch.nn.Parameter(values.clone())
        group: dict[str, Any] = {"params": [parameter], "lr": lr, "weight_decay": decay, "use_muon": True}
        optimizer: Any = self.kind([group], **self.options)
        if hasattr(optimizer, "train"):  # averages of the schedule-free kind
            optimizer.train()
        path = [parameter.detach().clone()]
        for _ in range(count):
            parameter.grad = gradient.clone()
            optimizer.step()
            path.append(parameter.detach().clone())
        return path


def _power(ratio: float) -> Fraction | None:
    """The power of 16 that a ratio is, in quarters; None for no such power."""
    if not (math.isfinite(ratio) and ratio > 0):
        return None
    exact = math.log(ratio, 16)
    near = round(exact * 4) / 4
    return Fraction(near) if abs(exact - near) < 0.06 else None
