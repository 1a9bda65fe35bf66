"""AdaMuon (Si, Zhang and Shen 2025, arXiv 2507.11005): Muon's direction, normalised entry by entry, as large as Adam's."""  # noqa: E501

import torch

from scalerules.optimizers import average, eps, norm, orthogonal, sign, sqrt


def law(g, w, p):
    """An orthogonal matrix, each entry over its own recent size, scaled to a root mean square of one."""
    if not p.matrix:
        return average(g) / (sqrt(average(g * g)) + eps)
    o = orthogonal(sign(average(g)))
    o = o / (sqrt(average(o * o)) + eps)
    return sqrt(p.fan_in * p.fan_out) * o / norm(o)


def step(g, w, p, state):  # noqa: D103
    m = state["m"] = 0.95 * state.get("m", 0.0) + g
    if not p.matrix:
        v = state["v"] = 0.95 * state.get("v", 0.0) + g.square()
        return m / (v.sqrt() + 1e-30)
    left, _, right = torch.linalg.svd(m.sign(), full_matrices=False)
    o = left @ right
    v = state["v"] = 0.95 * state.get("v", 0.0) + o.square()
    o = o / (v.sqrt() + 1e-12)
    return (p.fan_in * p.fan_out) ** 0.5 * o / o.norm()
