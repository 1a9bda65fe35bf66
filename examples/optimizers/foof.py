"""FOOF (Benzing 2022, arXiv 2201.12250): preconditioned on one side, by the covariance of what a parameter reads."""

from scalerules.optimizers import damping, inputs, inverse


def law(g):
    """G A^-1 with A = x x^T: K-FAC without the factor of the gradients behind."""
    return g @ inverse(inputs(g) + damping("A"))


step = law  # verify trains with the formula itself
