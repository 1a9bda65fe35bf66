"""Normalisation and softmax: division by the size of the tensor itself."""

from __future__ import annotations

from .registry import register, with_axis

register("rms_norm", "Divides by the root mean square along the axis: by the tensor's own size.", with_axis,
         required=["axis"])
register("layer_norm", "Subtracts the mean and divides by the standard deviation along the axis.", with_axis,
         required=["axis"])
register("softmax", "A generic function of its argument over an axis that does not grow.", with_axis,
         required=["axis"], optional=["causal"])
