"""The graph 'mlp' with its scaling rules for adam, written by scalerules.

The rules say how initialisation, factors and rates change with width (direction width^1; mode joint; gauge plain), so
that what is tuned at the base size (width = 64) holds at other sizes. In the comments, the size of a quantity is the
exponent with which it grows. Tune `lr` at the base size, then change the sizes:

    model = Model(width=...)
    optimizer = ...(parameter_groups(model, lr=..., weight_decay=...))

    parameter  axes   init          factor  lr        eps       weight decay
    input      n in   1             1       1         width^-1  1
    h1         n n    width^(-1/2)  1       width^-1  width^-1  width
    h2         n n    width^(-1/2)  1       width^-1  width^-1  width
    output     out n  width^-1      1       width^-1  1         width

Assumed:
- Sizes are exponents; constant factors are left out. Batch, time and every axis without a scale are fixed.
- Images of one random matrix may be aligned with each other, and are taken to be.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


def attach(module: nn.Module, name: str, shape: list[int]) -> None:
    """Adds an empty parameter; a dot in its name makes a module inside the module."""
    *path, last = name.split(".")
    for part in path:
        if not hasattr(module, part):
            module.add_module(part, nn.Module())
        module = getattr(module, part)
    module.register_parameter(last, nn.Parameter(torch.empty(shape)))


def axis_lengths(width: int = 64) -> dict[str, int]:
    """The length of every axis at these sizes, rounded up to a whole number."""
    lengths = {
        "batch": 16,
        "in": 16,
        "n": width,
        "out": 8,
    }
    return {axis: max(1, math.ceil(length - 1e-9)) for axis, length in lengths.items()}


PARAMETERS = {
    "input": "n in",
    "h1": "n n",
    "h2": "n n",
    "output": "out n",
}
"""The axes of every parameter; those of a repeated block are stacked along its depth axis, the first."""


class Model(nn.Module):
    """The graph 'mlp', one line per node; parameters have the names of the rules."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.sizes = {"width": width}
        self.lengths = axis_lengths(width)
        for name, axes in PARAMETERS.items():
            attach(self, name, [self.lengths[axis] for axis in axes.split()])
        init_(self)

    def forward(self, x: Tensor) -> Tensor:
        input_ = torch.einsum("bi,oi->bo", x, self.input)  # batch n
        a1 = torch.relu(input_)
        h1 = torch.einsum("bi,oi->bo", a1, self.h1)
        a2 = torch.relu(h1)
        h2 = torch.einsum("bi,oi->bo", a2, self.h2)
        a3 = torch.relu(h2)
        output = torch.einsum("bi,oi->bo", a3, self.output)  # batch out
        return output


@torch.no_grad()
def init_(model: Model) -> None:
    """Fills every parameter by name: what it has at the base size, times powers of size over base size."""
    width = model.sizes["width"] / 64  # how many times its base size
    std = {
        # input: a sum over in, 16 terms at the base size; the value of 'input' at initialisation has size at most 0
        "input": 1 / math.sqrt(16),
        # h1: a sum over n, 64 terms at the base size; away from the base size width^(-1/2); the value of 'h1' at
        # initialisation has size at most 0
        "h1": 1 / math.sqrt(64) * width ** (-1 / 2),
        # h2: a sum over n, 64 terms at the base size; away from the base size width^(-1/2); the value of 'h2' at
        # initialisation has size at most 0
        "h2": 1 / math.sqrt(64) * width ** (-1 / 2),
        # output: a sum over n, 64 terms at the base size; away from the base size width^-1; the change of 'output'
        # after step 1 has size at most 0
        "output": 1 / math.sqrt(64) * width**-1,
    }
    for name, parameter in model.named_parameters():
        if name in std:
            parameter.normal_(0.0, std[name])


def parameter_groups(model: Model, lr: float, weight_decay: float = 0.0, eps: float = 1e-08) -> list[dict]:
    """The optimizer's parameter groups; `lr` and the others are the values tuned at the base size."""
    width = model.sizes["width"] / 64  # how many times its base size
    # adam: Every entry is divided by its own recent size, so the update has the size of the rate and the gradient's
    # signs.
    result = [
        {
            # input: 1; the own contribution of 'input' at 'input' has size 0 at some step
            "names": ["input"],
            "lr": lr,
            "eps": eps * width**-1,
            "weight_decay": weight_decay,
        },
        {
            # h1: width^-1; the own contribution of 'h1' at 'h1' has size 0 at some step
            # h2: width^-1; the own contribution of 'h2' at 'h2' has size 0 at some step
            "names": ["h1", "h2"],
            "lr": lr * width**-1,
            "eps": eps * width**-1,
            "weight_decay": weight_decay * width,
        },
        {
            # output: width^-1; the own contribution of 'output' at 'output' has size 0 at some step
            "names": ["output"],
            "lr": lr * width**-1,
            "eps": eps,
            "weight_decay": weight_decay * width,
        },
    ]
    for group in result:
        group["params"] = [model.get_parameter(name) for name in group["names"]]
    return result


def train(steps: int = 20, lr: float = 0.003, **sizes: float) -> list[float]:
    """The losses of a short training run on one random batch."""
    torch.manual_seed(0)
    model = Model(**sizes)
    length = model.lengths
    x = torch.randn(length["batch"], length["in"])
    target = torch.randn(length["batch"], length["out"])
    groups = parameter_groups(model, lr)
    optimizer = torch.optim.AdamW(groups)
    losses = []
    for _ in range(steps):
        output = model(x)
        loss = functional.mse_loss(output, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


if __name__ == "__main__":
    for size in (64, 128):
        losses = train(width=size)
        print(f"width {size}: loss {losses[0]:.4f} -> {losses[-1]:.4f}")
