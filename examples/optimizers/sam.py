"""Sharpness-aware minimisation, each layer with its own norm (Foret et al. 2021, arXiv 2010.01412; muP^2, 2411.00075)."""  # noqa: E501

from scalerules.optimizers import average, eps, norm


def perturbation(g):
    """Uphill before the gradient is taken: rho times the gradient over its norm, layer by layer."""
    return g / (norm(g) + eps)


def law(g):
    """SGD with the gradient that is found there."""
    return average(g)


step = law
