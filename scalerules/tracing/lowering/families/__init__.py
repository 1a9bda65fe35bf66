"""All families of operations: importing them fills the table of `lowering`."""


__all__ = [
    "lower_attention",
    "lower_convolution",
    "lower_fourier",
    "lower_linear",
    "lower_loss",
    "lower_norm",
    "lower_pointwise",
    "lower_recurrent",
    "lower_select",
    "lower_views",
]
