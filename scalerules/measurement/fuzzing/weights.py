"""Matrices that are computed from parameters before data meet them, as random graphs read them."""

from __future__ import annotations

from .drawing import Drawing, Piece


def product(d: Drawing, name: str, to: str, axis: str) -> str:
    """Two factors with a narrow axis between them."""
    d.g.parameter(f"{name}.left", f"{to} neck")
    d.g.parameter(f"{name}.right", f"neck {axis}")
    return d.g.einsum(f"{name}.product", "o r, r i -> o i", parameters=(f"{name}.left", f"{name}.right"))


def adapted(d: Drawing, name: str, to: str, axis: str) -> str:
    """A matrix that is not trained, and beside it two factors that are; one of them starts at zero."""
    d.g.parameter(f"{name}.frozen", f"{to} {axis}", trained=False)
    d.g.parameter(f"{name}.left", f"{to} neck", "zeros")
    d.g.parameter(f"{name}.right", f"neck {axis}")
    change = d.g.einsum(f"{name}.product", "o r, r i -> o i", parameters=(f"{name}.left", f"{name}.right"))
    return d.g.node(f"{name}.adapted", "add", change, parameters=(f"{name}.frozen",))


def normed(d: Drawing, name: str, to: str, axis: str) -> str:
    """Rows of a fixed size, with a trained one behind them or not."""
    d.g.parameter(f"{name}.entries", f"{to} {axis}")
    rows = d.g.rms_norm(parameters=(f"{name}.entries",), axis=axis, name=f"{name}.rows")
    if d.chance(0.5):
        return d.g.scale(f"{name}.scaled", rows, f"{axis}^(-1/2)")
    d.g.parameter(f"{name}.sizes", to, "ones", factor=f"{axis}^(-1/2)")
    return d.g.einsum(f"{name}.sized", "o i, o -> o i", rows, parameters=(f"{name}.sizes",))


def numbered(d: Drawing, name: str, to: str, axis: str) -> str:
    """A matrix times one learnt number."""
    d.g.parameter(f"{name}.entries", f"{to} {axis}")
    d.g.parameter(f"{name}.number", "", "ones")
    return d.g.einsum(f"{name}.times", "o i, -> o i", parameters=(f"{name}.entries", f"{name}.number"))


def curved(d: Drawing, name: str, to: str, axis: str) -> str:
    """A function of a matrix."""
    d.g.parameter(f"{name}.entries", f"{to} {axis}")
    return d.g.tanh(parameters=(f"{name}.entries",), name=f"{name}.curved")


def multiplied(d: Drawing, name: str, to: str, axis: str) -> str:
    """A matrix times a power of its fan-in."""
    d.g.parameter(f"{name}.entries", f"{to} {axis}")
    whole = d.g.identity(parameters=(f"{name}.entries",), name=f"{name}.whole")
    return d.g.scale(f"{name}.multiplied", whole, f"{axis}^(-1/2)")


WEIGHTS: dict[Piece, int] = {product: 2, adapted: 2, normed: 2, numbered: 1, curved: 1, multiplied: 2}
"""How a matrix is computed, and how often."""
