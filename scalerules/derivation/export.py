"""A solution as source code, and on a live model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scalerules.architecture.graph import Graph
from scalerules.catalogue.backends import backend
from scalerules.catalogue.user_code import kind_of
from scalerules.errors import ScaleRulesError
from scalerules.solution.solution import Solution


def emit(solution: Solution, to: str = "pytorch", *, graph: Graph | None = None) -> str:
    """The rules of `solution` as readable, self-contained source code for the backend `to`.

    `graph` is needed where the solution does not carry it (after `Solution.from_json`).
    """
    if not isinstance(solution, Solution):  # pyright: ignore[reportUnnecessaryIsInstance]
        what = f"emit writes a solution, not {kind_of(solution)}"
        raise ScaleRulesError(what, hint="sr.emit(sr.derive(graph, optimizer='adam'))")
    return backend(to).emit(solution, to, graph=graph)


Number = Any
"""A float that is not negative, or a tensor of one entry."""


def apply(
    model: Any,
    solution: Solution,
    *,
    base: Mapping[str, float],
    sizes: Mapping[str, float],
    lr: Number | Mapping[str, Number],
    weight_decay: Number | Mapping[str, Number] = 0.0,
    eps: Any = None,
    betas: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
    reference: Any = None,
    optimizer: Any = None,
    lr_beside: Number | Mapping[str, Number] | None = None,
    rho: float = 0.05,
    names: Mapping[str, str] | None = None,
    unruled: str | Sequence[str] = (),
    init: bool = True,
    seed: int | None = None,
    places: Mapping[str, str | Sequence[str]] | None = None,
    graph: Graph | None = None,
) -> Any:
    """Initialises the parameters of a torch `model` by name, in place; returns the optimizer's parameter groups.

    `base` and `sizes` are values of scales: where the numbers were tuned, and those of `model`. At the base size no
    value is touched and all groups are equal. Elsewhere every random parameter is multiplied so that its std is that of
    the base size times `ratio**init`; constants (zeros, ones) and fixed structures stay. `print` of what is returned
    shows all numbers, here and at the base size, and what stands in the forward pass.

    The tuned numbers: `lr`, `weight_decay`, `eps` (a pair for Adafactor), `betas`; each one for all parameters, or by
    name, `{"*": 0.1, "*.bias": 0.0}`: the pattern with the most characters that are no wildcards counts, of several the
    last. `eps` is by default what the optimizer's class has. `lr_beside` is the rate of what an optimizer beside Muon
    takes (`lr` if none is given), `rho` the radius of a perturbation. Numbers may be tensors of one entry.

    `optimizer` is the class that will take the groups, or a `functools.partial` of it. How it decays weights, and by
    what it multiplies the rates of matrices, is found by stepping it, and the numbers are made for that.

    `reference` gives the std at the base size: a model built there by the same code, or a mapping from names to std.
    Without it the model's own initialisation is taken to be proportional to 1/sqrt(fan_in), or constant for what no sum
    runs over. `init=False` leaves the values alone, for a model that is initialised or loaded already. With a `seed`
    the values are not read but drawn, from one generator per parameter (seeded by its name), at the base size too:
    after `to_empty`, or for parameters that are sharded over processes. Buffers are left.

    `names` maps names of the model (`*` allowed) to rules. A parameter that requires a gradient and has no rule is
    refused; `unruled` names those that train with the numbers of the base size. `places` says where factors of the
    forward pass stand: node -> path of an attribute or of a module. `graph` is needed where the solution does not carry
    it.

    Raises `ScaleRulesError` for names, scales, numbers and optimizers that do not fit, before anything in the model is
    changed; `MissingExtra` without torch.
    """
    return backend("pytorch").apply(
        model, solution, base=base, sizes=sizes, lr=lr, weight_decay=weight_decay, eps=eps, betas=betas,
        reference=reference, optimizer=optimizer, lr_beside=lr_beside, rho=rho, names=names, unruled=unruled, init=init,
        seed=seed, places=places, graph=graph,
    )  # fmt: skip
