"""All families of operations: importing them fills the table of `lowering`."""

from . import (
    attention,
    choices,
    convolution,
    drawn,
    fourier,
    joins,
    losses,
    norms,
    pointwise,
    products,
    recurrent,
    selection,
    slices,
    views,
    whole_matrices,
    written_norms,
)

__all__ = [
    "attention",
    "choices",
    "convolution",
    "drawn",
    "fourier",
    "joins",
    "losses",
    "norms",
    "pointwise",
    "products",
    "recurrent",
    "selection",
    "slices",
    "views",
    "whole_matrices",
    "written_norms",
]
