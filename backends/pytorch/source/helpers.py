"""The helper functions that an emitted file may need, as text; only those that it calls are written into it."""

from inspect import getsource

from ...base_values import identity_

ATTACH = '''
def attach(module: nn.Module, name: str, shape: list[int]) -> None:
    """Adds an empty parameter; a dot in its name makes a module inside the module."""
    *path, last = name.split(".")
    for part in path:
        if not hasattr(module, part):
            module.add_module(part, nn.Module())
        module = getattr(module, part)
    module.register_parameter(last, nn.Parameter(torch.empty(shape)))
'''

CAUSAL_SOFTMAX = '''
def causal_softmax(x: Tensor, keys: int, queries: int) -> Tensor:
    """Softmax along the dimension `keys`, where a query sees no later key."""
    later = torch.ones(x.shape[queries], x.shape[keys], dtype=torch.bool, device=x.device).triu(1)
    hidden = x.movedim((queries, keys), (-2, -1)).masked_fill(later, -math.inf)
    return hidden.softmax(-1).movedim((-2, -1), (queries, keys))
'''

WINDOW = '''
def window(x: Tensor, taps: int) -> Tensor:
    """(..., time, channel) -> (..., time, taps, channel): the last `taps` steps up to each, zeros before the first."""
    return functional.pad(x, (0, 0, taps - 1, 0)).unfold(-2, taps, 1).transpose(-1, -2)
'''

SHIFT = '''
def shift(x: Tensor, dim: int) -> Tensor:
    """One step back along a dimension; a zero comes in."""
    return torch.cat([torch.zeros_like(x.narrow(dim, 0, 1)), x.narrow(dim, 0, x.shape[dim] - 1)], dim)
'''

CHOSEN = '''
def chosen(scores: Tensor, count: int) -> Tensor:
    """One-hot vectors of the `count` largest entries along the last dimension, in a new dimension before it."""
    return functional.one_hot(scores.topk(count, -1).indices, scores.shape[-1]).to(scores.dtype)
'''

REARRANGE = '''
def rearrange(x: Tensor, kept: list[int], gone: list[int], lengths: list[int], order: list[int]) -> Tensor:
    """Dimensions `kept` stay, `gone` are merged and split into `lengths`; `order` is where each then goes.

    What is merged is repeated or cut off where the lengths ask for it; a dimension out of nothing is a copy.
    """
    flat = x.permute([*kept, *gone]).reshape([*(x.shape[i] for i in kept), -1])
    if gone:
        entries = torch.arange(math.prod(lengths), device=x.device) % flat.shape[-1]
        flat = flat[..., entries] if math.prod(lengths) != flat.shape[-1] else flat
    else:
        flat = flat.expand(*flat.shape[:-1], math.prod(lengths))
    return flat.reshape([*flat.shape[:-1], *lengths]).permute(order)
'''

_SCAN = '''
def {name}_scan(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """y_t = C_t x_t, where x_t = decay x_(t-1) + weight B_t u_t, discretised by {rule}.

    All are (batch, time, ..., state), or of length 1 where they do not vary; the sum over the state goes into y.
    A plain loop over time: readable, and slow beside a fused kernel.
    """
    x, y = 0.0, []
    for t in range(u.shape[1]):
        u_t, step, A_t, B_t, C_t = (M[:, t if M.shape[1] > 1 else 0] for M in (u, dt, A, B, C))
{body}
        x = decay * x + weight * B_t * u_t
        y.append((C_t * x).sum(-1))
    return torch.stack(y, 1)
'''

_RECURRENCE = '''
def {name}_recurrence(u: Tensor, dt: Tensor, A: Tensor) -> Tensor:
    """x_t = decay x_(t-1) + weight u_t, discretised by {rule}.

    All are (batch, time, ...), or of length 1 where they do not vary. A plain loop over time: readable, and slow.
    """
    x, y = 0.0, []
    for t in range(u.shape[1]):
        u_t, step, A_t = (M[:, t if M.shape[1] > 1 else 0] for M in (u, dt, A))
{body}
        x = decay * x + weight * u_t
        y.append(x)
    return torch.stack(y, 1)
'''

_RULES = {
    "zoh": (
        "the zero-order hold",
        """        decay = torch.exp(step * A_t)
        weight = (decay - 1 if decay.is_complex() else torch.expm1(step * A_t)) / A_t""",
    ),
    "euler": ("the Euler rule", "        decay = torch.exp(step * A_t)\n        weight = step"),
    "bilinear": (
        "the bilinear (Tustin) rule",
        """        decay = (1 + step * A_t / 2) / (1 - step * A_t / 2)
        weight = step / (1 - step * A_t / 2)""",
    ),
}
"""How a recurrence is discretised: in words, and the lines that compute its decay and weight."""

MUON = '''
class Muon(torch.optim.Optimizer):
    """Moves a matrix by its momentum made orthogonal, everything else as Adam does; a stack of matrices is a batch."""

    def __init__(self, groups: list[dict], adjust: str = "none", momentum: float = 0.9) -> None:
        super().__init__(groups, {"adjust": adjust, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for parameter, dims in zip(group["params"], group["matrices"], strict=True):
                update = self.entrywise(parameter) if dims is None else self.matrix(parameter, group, *dims)
                parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(group["lr"] * update)

    def entrywise(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        count = state["count"] = state.get("count", 0) + 1
        mean = state["mean"] = torch.lerp(state.get("mean", torch.zeros_like(parameter)), parameter.grad, 0.1)
        square = state.get("square", torch.zeros_like(parameter))
        square = state["square"] = torch.lerp(square, parameter.grad.square(), 0.001)
        return mean / (1 - 0.9**count) / ((square / (1 - 0.999**count)).sqrt() + 1e-12)

    def matrix(self, parameter: Tensor, group: dict, out: tuple[int, ...], into: tuple[int, ...]) -> Tensor:
        state = self.state[parameter]
        mean = state["mean"] = group["momentum"] * state.get("mean", 0.0) + parameter.grad
        batch = [i for i in range(mean.ndim) if i not in (*out, *into)]
        moved = mean.permute(*batch, *out, *into)
        matrix = moved.flatten(len(batch) + len(out)).flatten(len(batch), len(batch) + len(out) - 1)
        step = orthogonal(matrix) * adjusted(group["adjust"], *matrix.shape[-2:])
        order = [*batch, *out, *into]
        return step.reshape(moved.shape).permute([order.index(i) for i in range(mean.ndim)])


def orthogonal(matrix: Tensor) -> Tensor:
    """Close to the nearest matrix with singular values 1: five Newton-Schulz steps (Jordan et al. 2024)."""
    x = matrix / (torch.linalg.matrix_norm(matrix, keepdim=True) + 1e-30)
    for _ in range(5):
        gram = x @ x.mT if x.shape[-2] <= x.shape[-1] else x.mT @ x
        poly = -4.7750 * gram + 2.0315 * gram @ gram
        x = 3.4445 * x + (poly @ x if x.shape[-2] <= x.shape[-1] else x @ poly)
    return x


def adjusted(kind: str, out: int, into: int) -> float:
    """What the step of a matrix is multiplied with."""
    kinds = {"none": 1.0, "spectral": out / into, "original": max(1.0, out / into), "match_rms": max(out, into)}
    return math.sqrt(kinds[kind])
'''

HELPERS = {
    "attach": ATTACH,
    "window": WINDOW,
    "shift": SHIFT,
    "causal_softmax": CAUSAL_SOFTMAX,
    "chosen": CHOSEN,
    "rearrange": REARRANGE,
    **{
        f"{name}_{kind}": text.format(name=name, rule=rule, body=body)
        for name, (rule, body) in _RULES.items()
        for kind, text in (("scan", _SCAN), ("recurrence", _RECURRENCE))
    },
    "identity_": getsource(identity_),
    "Muon": MUON,
}
"""Name of a helper -> its text, in the order in which they are written."""
