"""Dion (Ahn et al. 2025, arXiv 2504.05295): Muon's step for the part of the momentum that a power iteration follows."""

import torch

from scalerules.optimizers import average, low_rank, orthogonal, sign, sqrt

RANK = 8


def law(g, w, p):
    """Of fixed rank, spectral norm sqrt(fan_out/fan_in); what is no matrix moves by signs."""
    m = average(g)
    return sqrt(p.fan_out / p.fan_in) * orthogonal(low_rank(m, RANK)) if p.matrix else sign(m)


class Dion(torch.optim.Optimizer):
    """One power iteration a step, the error fed back (algorithm 1)."""

    def __init__(self, params, lr=0.01, momentum=0.95, weight_decay=0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.sub_(group["lr"] * self.direction(p, group["momentum"]))

    def direction(self, p, momentum):
        state = self.state[p]
        m = state["m"] = state.get("m", torch.zeros_like(p)) + p.grad
        if p.ndim != 2:
            state["m"] = momentum * m
            return m.sign()
        if "q" not in state:
            rank = min(RANK, *p.shape)
            state["q"] = torch.randn(p.shape[1], rank, dtype=p.dtype, generator=torch.Generator().manual_seed(0))
        left = torch.linalg.qr(m @ state["q"]).Q
        right = m.mT @ left
        state["m"] = m - (1 - momentum) * left @ right.mT
        state["q"] = right / (right.norm(dim=0) + 1e-30)
        return (p.shape[0] / p.shape[1]) ** 0.5 * left @ state["q"].mT
