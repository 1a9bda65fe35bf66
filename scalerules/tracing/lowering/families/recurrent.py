"""Recurrences: LSTM, GRU and plain cells over a few steps, selective scans and their relatives.

Time does not grow, so what a recurrence computes has the size of its first few steps: the input, the input through the
recurrent weight, and that once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scalerules.sizes.arithmetic import fixed, over, times
from scalerules.sizes.lengths import Length
from scalerules.tracing.record import Call, Shape
from scalerules.tracing.sketch.axes import Axis
from scalerules.tracing.sketch.sketch_node import SketchNode
from scalerules.tracing.sketch.values import SUIT, Atom, Constant, Dim, Result, Value

from ..state import Lowering, copies, operation
from ..table import lowers
from .joins import joined
from .products import contracted
from .views import rearranged

STEPS = 3

Gates = list[Value]
Cell = Callable[["Lowering", list[Gates], "Value | None", "Value | None", list[Value]], tuple[Value, "Value | None"]]


def _letters(value: Value) -> list[str]:
    return [str(i) for i in range(len(value.dims))]


def _add(lowering: Lowering, *values: Value, short: str = "add") -> Value:
    letters = _letters(max(values, key=lambda v: len(v.dims)))
    return lowering.sketch.combine("add", [(v, letters[len(letters) - len(v.dims) :]) for v in values], letters, short)


def _mul(lowering: Lowering, *values: Value, short: str = "mul") -> Value:
    letters = _letters(max(values, key=lambda v: len(v.dims)))
    return lowering.sketch.combine(
        "einsum", [(v, letters[len(letters) - len(v.dims) :]) for v in values], letters, short
    )


def _gates(lowering: Lowering, x: Value, weight: Value, bias: Value | None, count: int) -> Gates:
    """`W x + b`, cut into its gates: each has its own rows of the weight."""
    rows = over(weight.length(0), fixed(count))
    if rows is None:
        raise lowering.unknown(f"cannot cut {weight.length(0)} rows into {count} gates", SUIT)
    gates: Gates = []
    batch = _letters(x)[:-1]
    for i in range(count):
        start = _times(rows, i)
        part = lowering.sketch.layout.stretch(weight, 0, start, rows)
        gate = contracted(lowering, [(x, [*batch, "i"]), (part, ["o", "i"])], [*batch, "o"], f"gate_{i}")
        if bias is not None:
            gate = _add(lowering, gate, lowering.sketch.layout.stretch(bias, 0, start, rows), short=f"gate_{i}_bias")
        gates.append(gate)
    return gates


def _times(length: Length, count: int) -> Length:
    return times(length, fixed(count))


def _lstm(
    lowering: Lowering, x: Gates, h: Gates | None, c: Value | None, last: Value | None
) -> tuple[Value, Value | None]:
    i, f, g, o = (_add(lowering, a, b) for a, b in zip(x, h, strict=True)) if h is not None else x
    i, f, o = (lowering.sketch.unary("sigmoid", gate) for gate in (i, f, o))
    g = lowering.sketch.unary("tanh", g)
    new = _mul(lowering, i, g, short="written")
    cell = new if c is None else _add(lowering, new, _mul(lowering, f, c, short="kept"), short="cell")
    return _mul(lowering, o, lowering.sketch.unary("tanh", cell), short="hidden"), cell


def _gru(
    lowering: Lowering, x: Gates, h: Gates | None, c: Value | None, last: Value | None
) -> tuple[Value, Value | None]:
    r, z, n = x
    if h is None or last is None:
        return _mul(
            lowering, lowering.sketch.unary("sigmoid", z), lowering.sketch.unary("tanh", n), short="hidden"
        ), None
    r, z = (lowering.sketch.unary("sigmoid", _add(lowering, a, b)) for a, b in zip((r, z), h[:2], strict=True))
    n = lowering.sketch.unary("tanh", _add(lowering, n, _mul(lowering, r, h[2])))
    kept = _mul(lowering, lowering.sketch.unary("sigmoid", z, "rest"), n)
    return _add(lowering, kept, _mul(lowering, z, last), short="hidden"), None


def _plain(
    lowering: Lowering, x: Gates, h: Gates | None, c: Value | None, last: Value | None
) -> tuple[Value, Value | None]:
    return lowering.sketch.unary("tanh", x[0] if h is None else _add(lowering, x[0], h[0]), "hidden"), None


def _rectified(
    lowering: Lowering, x: Gates, h: Gates | None, c: Value | None, last: Value | None
) -> tuple[Value, Value | None]:
    return lowering.sketch.unary("relu", x[0] if h is None else _add(lowering, x[0], h[0]), "hidden"), None


CELLS = {"lstm": (4, _lstm), "gru": (3, _gru), "rnn_tanh": (1, _plain), "rnn_relu": (1, _rectified)}


@lowers("lstm", "gru", "rnn_tanh", "rnn_relu")
def recurrent(lowering: Lowering, call: Call) -> Result:
    """Layers of cells, in one or both directions."""
    name = operation(call.target)
    x, weights = lowering.value(call, 0), list(lowering.arg(call, 2))
    if "data" in call.target:
        raise lowering.unknown("packed sequences are not known", "give padded ones")
    biases, layers, both = bool(call.args[3]), _count(call.args[4]), bool(call.args[7])
    per_cell = 4 if biases else 2
    directions = 2 if both else 1
    if len(weights) != per_cell * layers * directions:
        raise lowering.unknown("projections inside of an LSTM are not known", "put a Linear behind it instead")
    x = lowering.sketch.layout.real(x)
    outs: list[Value] = []
    for layer in range(layers):
        outs = []
        for direction in range(directions):
            first = per_cell * (layer * directions + direction)
            outs.append(_run(lowering, name, x, weights[first : first + per_cell]))
        if len(outs) == 1:
            x = outs[0]
        else:
            length = outs[0].length(len(outs[0].dims) - 1)
            x = joined(lowering, outs, len(outs[0].dims) - 1, _times(length, 2))
    last: list[Result] = []
    for shape in call.shapes[1:]:
        last.append(_last(lowering, outs[-1], shape))
    return (x, *last)  # type: ignore[return-value]


@lowers("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
def one_step(lowering: Lowering, call: Call) -> Result:
    """One step of a cell, from the state that it is given; a state of zeros adds nothing."""
    count, cell = CELLS[operation(call.target).removesuffix("_cell")]
    x, given = lowering.value(call, 0), lowering.arg(call, 1)
    states: list[object] = [*given] if isinstance(given, tuple) else [given]
    w_in, w_back = lowering.value(call, 2), lowering.value(call, 3)
    b_in, b_back = (
        lowering.value(call, i) if len(call.args) > i and call.args[i] is not None else None for i in (4, 5)
    )
    h, c = (state if isinstance(state, Value) else None for state in [*states, None][:2])
    back = _gates(lowering, h, w_back, b_back, count) if h is not None else None
    new, memory = cell(lowering, _gates(lowering, x, w_in, b_in, count), back, c, h)
    return (new, memory) if len(call.shapes) > 1 else new


def _count(value: object) -> int:
    return int(value) if isinstance(value, (int, float)) else 1


def _last(lowering: Lowering, value: Value, shape: Shape) -> Value:
    return rearranged(lowering, value, [length or fixed(1) for length in shape])


def _run(lowering: Lowering, name: str, x: Value, weights: Sequence[Value]) -> Value:
    count, cell = CELLS[name]
    w_in, w_back = weights[0], weights[1]
    b_in, b_back = (weights[2], weights[3]) if len(weights) == 4 else (None, None)
    inputs = _gates(lowering, x, w_in, b_in, count)
    h, c = cell(lowering, inputs, None, None, None)
    for _ in range(STEPS - 1):
        h, c = cell(lowering, inputs, _gates(lowering, h, w_back, b_back, count), c, h)
    return h


# --- scans ---------------------------------------------------------------------------------------------


@lowers("selective_scan")
def selective_scan(lowering: Lowering, call: Call) -> Result:
    """Mamba: `u`, `dt` (batch, channel, time), `A` (channel, state), `B`, `C` (batch, state, time)."""
    u, dt, a, b, c = (lowering.value(call, i) for i in range(5))
    batch, channel, time = (Axis(u.length(i)) for i in range(3))
    state = Axis(a.length(1))
    turned = [v.at([v.dims[0], v.dims[2], v.dims[1]]) for v in (u, dt, b, c)]
    rows = [[batch, time, channel], [batch, time, channel], [batch, time, state], [batch, time, state]]
    u_, dt_, b_, c_ = (lowering.sketch.ordered(v, axes) for v, axes in zip(turned, rows, strict=True))
    operands = (u_, dt_, lowering.sketch.ordered(a, [channel, state]), b_, c_)
    slots = (batch, time, channel)
    name = lowering.sketch.nodes.name_here("scan")
    fields = {"discretisation": "euler"}
    lowering.sketch.nodes.add(SketchNode(name, "scan", operands, None, (0, 1, 2), slots, fields=fields))
    dims: list[Dim] = [(Atom(batch, 0),), (Atom(channel, 2),), (Atom(time, 1),)]
    return Value(name, tuple(dims if dim else () for dims, dim in zip(dims, (1, 1, 1), strict=True)))


def _driven(lowering: Lowering, decay: Value, letters: str, driven: Value, result: str) -> Value:
    """What is written into the state, and what is left of it a step later."""
    kept = contracted(lowering, [(decay, list(letters)), (driven, list(result))], list(result), "kept")
    return lowering.sketch.combine("add", [(driven, list(result)), (kept, list(result))], list(result), "state")


@lowers("head_scan")
def head_scan(lowering: Lowering, call: Call) -> Result:
    """The recurrence of Mamba-2: one decay per head, `B` and `C` shared by the heads of a group."""
    x, dt, a, b, c = (lowering.value(call, i) for i in range(5))
    heads, groups = x.length(2), b.length(2)
    ratio = over(heads, groups) or fixed(1)
    b, c = (v.at([*v.dims[:2], (*v.dims[2], *copies(ratio, lowering.sketch)), v.dims[3]]) for v in (b, c))
    decay = lowering.sketch.unary(
        "exp", contracted(lowering, [(dt, list("bth")), (a, list("h"))], list("bth"), "rate"), "decay"
    )
    written = [(x, list("bthp")), (dt, list("bth")), (b, list("bthn"))]
    state = _driven(lowering, decay, "bth", contracted(lowering, written, list("bthpn"), "written"), "bthpn")
    return contracted(lowering, [(state, list("bthpn")), (c, list("bthn"))], list("bthp"), "scan")


@lowers("delta_rule")
def delta_rule(lowering: Lowering, call: Call) -> Result:
    """Linear attention with a state that is corrected: `S = decay S (1 - beta k k^T) + beta v k^T`, `y = S q`."""
    q, k, v, g, beta = (lowering.value(call, i) for i in range(5))
    written = contracted(
        lowering, [(v, list("bthv")), (k, list("bthk")), (beta, list("bth"))], list("bthvk"), "written"
    )
    decay = lowering.sketch.unary("exp", g, "decay")
    state = _driven(lowering, decay, "bthk" if len(g.dims) == 4 else "bth", written, "bthvk")
    seen = contracted(lowering, [(state, list("bthvk")), (k, list("bthk"))], list("bthv"), "seen")
    taken = contracted(lowering, [(seen, list("bthv")), (k, list("bthk")), (beta, list("bth"))], list("bthvk"), "taken")
    state = lowering.sketch.combine("add", [(state, list("bthvk")), (taken, list("bthvk"))], list("bthvk"), "corrected")
    return contracted(lowering, [(state, list("bthvk")), (q, list("bthk"))], list("bthv"), "read")


@lowers("wkv")
def wkv(lowering: Lowering, call: Call) -> Result:
    """An average of values over time with weights that depend on keys and decays, channel by channel."""
    decay, first, k, v = (lowering.value(call, i) for i in range(4))
    shifted = _add(lowering, k, first, short="first")
    weights = lowering.sketch.unary("sigmoid", shifted, "weights")
    late = lowering.sketch.unary(
        "sigmoid", _add(lowering, k, lowering.sketch.unary("negative_exp", decay, "decay"), short="late"), "old"
    )
    return _add(
        lowering, _mul(lowering, weights, v, short="present"), _mul(lowering, late, v, short="past"), short="average"
    )


@lowers("mlstm")
def mlstm(lowering: Lowering, call: Call) -> Result:
    """Matrix memory: keys times queries, gated, bounded by the normaliser, times values."""
    q, k, v, i, f = (lowering.value(call, n) for n in range(5))
    dots = contracted(lowering, [(q, list("bhsk")), (k, list("bhtk"))], list("bhst"), "dots")
    gate = _mul(
        lowering, lowering.sketch.unary("exp", i, "in"), lowering.sketch.unary("sigmoid", f, "forget"), short="gate"
    )
    weights = contracted(lowering, [(dots, list("bhst")), (gate, list("bht"))], list("bhst"), "weights")
    bounded = lowering.sketch.unary("tanh", weights, "normalised")
    read = contracted(lowering, [(bounded, list("bhst")), (v, list("bhtv"))], list("bhsv"), "read")
    return (read, *(Constant(shape) for shape in call.shapes[1:])) if len(call.shapes) > 1 else read
