"""Scion (Pethick et al. 2025, arXiv 2502.07529): every layer moves to the edge of the unit ball of a norm of its own."""  # noqa: E501

from scalerules.optimizers import average, orthogonal, rms, sign, sqrt


def law(g, w, p):
    """The spectral norm for matrices, the largest entry for the readout, the root mean square for the rest."""
    m = average(g)
    if not p.matrix:
        return m / rms(m)
    if p.last:
        return sign(m) / p.fan_in
    return sqrt(p.fan_out / p.fan_in) * orthogonal(m)


step = law
