"""The compiled loops of the selective scan: explicit vector lanes, real kernels, complex kernels.

`scan.py` prepares the arrays, splits the tasks over threads and calls what `forward`, `backward`,
`complex_forward` and `complex_backward` return. Everything that is compiled lives in this one file,
because numba's cache on disk notices edits to the file of the function only, not to its imports.

A *lane* is one channel: 64 bytes of them (16 float32, 8 float64) are one LLVM vector, which every
target splits or widens as it can. Channels come in *blocks* of that many lanes, time in *chunks* of
`CHUNK` steps; the states at the start of each chunk are the only ones kept for the backward pass.
"""

import cmath
import math
import operator
from functools import cache

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

CHUNK = 32  # time steps between two kept states; a multiple of every lane count
TILE = 4  # blocks of channels whose gradients of B and C are summed by one task
LANE_BYTES = 64
EULER, ZOH, BILINEAR = 0, 1, 2

# 2^r - 1 = r q(r) on [-1/2, 1/2] and (x e^x - e^x + 1) / x^2 on [-1, 1], by Chebyshev interpolation;
# relative errors 1.2e-8 and 6.8e-8 (float32), 2.0e-17 and 9.9e-18 (float64).
EXP2 = {
    32: (0.693147188, 0.2402265076, 0.05550357114, 0.009618082557, 0.001339086336, 0.0001545316295),
    64: (
        0.69314718055994531, 0.24022650695910098, 0.055504108664821594, 0.0096181291076068885,
        0.0013333558146416935, 0.0001540353044173605, 1.5252733836829812e-5, 1.321544258792169e-6,
        1.0178062445845774e-7, 7.0725859492692237e-9, 4.4549605981865184e-10,
    ),
}  # fmt: skip
SLOPE = {
    32: (
        0.4999999803, 0.3333333313, 0.1250006314, 0.03333339692,
        0.006941292134, 0.001190158671, 0.000178635068, 2.255223199e-5,
    ),
    64: (
        0.5, 0.33333333333333338, 0.125, 0.033333333333331777, 0.0069444444444443527,
        0.0011904761904929966, 0.00017361111111210188, 2.2045855299190405e-5, 2.4801587254424226e-6,
        2.5052127927810203e-7, 2.2964444208670987e-8, 1.9268297308029707e-9, 1.4910462510638438e-10,
        1.0875970998749003e-11, 7.2694501599782904e-13,
    ),
}  # fmt: skip
MANTISSA = {32: 23, 64: 52}
EXPONENT_BIAS = {32: 127, 64: 1023}
LOG2E = 1.4426950408889634


# --- vector lanes ------------------------------------------------------------------------------------


class Lanes(types.Type):
    """The numba type of one vector of `count` numbers of `element` (float32 or float64)."""

    def __init__(self, element: types.Float):
        self.element = element
        self.bits = element.bitwidth
        self.count = LANE_BYTES * 8 // element.bitwidth
        super().__init__(name=f"Lanes({element}, {self.count})")


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    """Lanes are an LLVM vector, in registers and in memory."""

    def __init__(self, manager, kind):
        super().__init__(manager, kind, _vector(kind))


def _element(kind: Lanes) -> ir.Type:
    return ir.FloatType() if kind.bits == 32 else ir.DoubleType()


def _vector(kind: Lanes) -> ir.VectorType:
    return ir.VectorType(_element(kind), kind.count)


def _constant(kind: Lanes, value: float) -> ir.Constant:
    return ir.Constant(_vector(kind), [ir.Constant(_element(kind), value)] * kind.count)


def _call(builder, name: str, kind: Lanes, *arguments):
    """One of LLVM's own functions on whole vectors, such as `fmuladd`."""
    vector = _vector(kind)
    function_type = ir.FunctionType(vector, [vector] * len(arguments))
    full_name = f"llvm.{name}.v{kind.count}f{kind.bits}"
    return builder.call(cgutils.get_or_insert_function(builder.module, function_type, full_name), arguments)


def _pointer(context, builder, array_type, array, offset):
    """The address of element `offset` of a contiguous array, as a pointer to a vector."""
    data = context.make_array(array_type)(context, builder, array).data
    vector = _vector(Lanes(array_type.dtype))
    return builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())


def _load(builder, kind, pointer):
    value = builder.load(pointer)
    value.align = kind.bits // 8
    return value


def _store(builder, kind, value, pointer):
    builder.store(value, pointer).align = kind.bits // 8


@intrinsic
def load(typing, buffer, row):
    """Row `row` of a contiguous buffer whose last axis is one vector long."""
    kind = Lanes(buffer.dtype)

    def codegen(context, builder, sig, args):
        offset = builder.mul(args[1], ir.Constant(args[1].type, kind.count))
        return _load(builder, kind, _pointer(context, builder, buffer, args[0], offset))

    return kind(buffer, types.intp), codegen


@intrinsic
def store(typing, buffer, row, lanes):
    """Write row `row` of a contiguous buffer whose last axis is one vector long."""

    def codegen(context, builder, sig, args):
        offset = builder.mul(args[1], ir.Constant(args[1].type, lanes.count))
        _store(builder, lanes, args[2], _pointer(context, builder, buffer, args[0], offset))
        return context.get_dummy_value()

    return types.none(buffer, types.intp, lanes), codegen


@intrinsic
def splat(typing, number):
    """One number in every lane."""
    kind = Lanes(number)

    def codegen(context, builder, sig, args):
        first = builder.insert_element(
            ir.Constant(_vector(kind), ir.Undefined), args[0], ir.Constant(ir.IntType(32), 0)
        )
        mask = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
        return builder.shuffle_vector(first, ir.Constant(_vector(kind), ir.Undefined), mask)

    return kind(number), codegen


@intrinsic
def fma(typing, a, b, c):
    """a * b + c, rounded once where the machine can."""

    def codegen(context, builder, sig, args):
        return _call(builder, "fmuladd", a, *args)

    return a(a, a, a), codegen


class _LanesOperator(AbstractTemplate):
    def generic(self, args, kws):
        if len(args) == 2 and isinstance(args[0], Lanes) and args[0] == args[1]:
            return signature(args[0], *args)
        return None


def _operator(function, emit):
    infer_global(function)(type(f"Lanes_{function.__name__}", (_LanesOperator,), {"key": function}))

    @lower_builtin(function, Lanes, Lanes)
    def lower(context, builder, sig, args):
        return emit(builder, *args)


_operator(operator.add, lambda builder, a, b: builder.fadd(a, b))
_operator(operator.sub, lambda builder, a, b: builder.fsub(a, b))
_operator(operator.mul, lambda builder, a, b: builder.fmul(a, b))
_operator(operator.truediv, lambda builder, a, b: builder.fdiv(a, b))


def _polynomial(builder, kind, coefficients, x):
    value = _constant(kind, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = _call(builder, "fmuladd", kind, value, x, _constant(kind, coefficient))
    return value


def _split_exp2(builder, kind, x):
    """(bits, p, r): 2^x = 2^n (1 + p) = 2^n 2^r, with n in the low bits of the integer vector `bits`.

    Adding 1.5 * 2^mantissa rounds to an integer and leaves it in the low bits. x is held to where 2^n
    is a normal number; comparisons are ordered so that a NaN passes.
    """
    low, high = _constant(kind, 1 - EXPONENT_BIAS[kind.bits]), _constant(kind, EXPONENT_BIAS[kind.bits])
    x = builder.select(builder.fcmp_ordered("<", x, low), low, x)
    x = builder.select(builder.fcmp_ordered(">", x, high), high, x)
    magic = _constant(kind, 1.5 * 2.0 ** MANTISSA[kind.bits])
    rounded = builder.fadd(x, magic)
    rest = builder.fsub(x, builder.fsub(rounded, magic))
    bits = builder.bitcast(rounded, ir.VectorType(ir.IntType(kind.bits), kind.count))
    return bits, builder.fmul(rest, _polynomial(builder, kind, EXP2[kind.bits], rest)), rest


def _integers(kind, value):
    integer = ir.IntType(kind.bits)
    return ir.Constant(ir.VectorType(integer, kind.count), [ir.Constant(integer, value)] * kind.count)


@intrinsic
def exp2(typing, x):
    """2^x to 1 unit in the last place, without a table: range reduction and a polynomial."""

    def codegen(context, builder, sig, args):
        bits, _, rest = _split_exp2(builder, x, args[0])
        one_more = _polynomial(builder, x, (1.0, *EXP2[x.bits]), rest)
        shifted = builder.shl(bits, _integers(x, MANTISSA[x.bits]))
        integers = ir.VectorType(ir.IntType(x.bits), x.count)
        return builder.bitcast(builder.add(builder.bitcast(one_more, integers), shifted), _vector(x))

    return x(x), codegen


@intrinsic
def exp2_and_less_one(typing, x):
    """(2^x, 2^x - 1), the second with its own relative accuracy near 0."""

    def codegen(context, builder, sig, args):
        bits, part, _ = _split_exp2(builder, x, args[0])
        biased = builder.add(bits, _integers(x, EXPONENT_BIAS[x.bits]))
        scale = builder.bitcast(builder.shl(biased, _integers(x, MANTISSA[x.bits])), _vector(x))
        whole = _call(builder, "fmuladd", x, scale, part, scale)
        less = _call(builder, "fmuladd", x, scale, part, builder.fsub(scale, _constant(x, 1.0)))
        return context.make_tuple(builder, sig.return_type, (whole, less))

    return types.UniTuple(x, 2)(x), codegen


@intrinsic
def slope(typing, x, scale, closed):
    """scale ((x - 1) e^x + 1) / x^2 by series where |x| < 1, else the `closed` form given."""

    def codegen(context, builder, sig, args):
        series = builder.fmul(args[1], _polynomial(builder, x, SLOPE[x.bits], args[0]))
        small = builder.fcmp_ordered("<", _call(builder, "fabs", x, args[0]), _constant(x, 1.0))
        return builder.select(small, series, args[2])

    return x(x, x, x), codegen


def _exchange(builder, kind, vectors, combine):
    """Swap lane bits with vector bits, one at a time; `combine` gets both halves of each pair."""
    count, stride = kind.count, 1
    undefined = ir.VectorType(ir.IntType(32), count)
    while stride < count:
        low = [lane if not lane & stride else count + lane - stride for lane in range(count)]
        high = [lane + stride if not lane & stride else count + lane for lane in range(count)]
        masks = [ir.Constant(undefined, mask) for mask in (low, high)]
        vectors = combine(vectors, stride, lambda a, b, masks=masks: [
            builder.shuffle_vector(a, b, mask) for mask in masks
        ])  # fmt: skip
        stride *= 2
    return vectors


def _transposed(builder, kind, vectors):
    def combine(vectors, stride, halves):
        result = list(vectors)
        for i in range(len(vectors)):
            if not i & stride:
                result[i], result[i + stride] = halves(vectors[i], vectors[i + stride])
        return result

    return _exchange(builder, kind, vectors, combine)


def _strided(context, builder, array_type, array, offset, stride, count):
    for i in range(count):
        position = builder.add(offset, builder.mul(stride, ir.Constant(stride.type, i)))
        yield _pointer(context, builder, array_type, array, position)


@intrinsic
def read_square(typing, source, offset, stride, buffer, row):
    """As many channels as lanes, `stride` apart in `source`, as many steps: to rows of the buffer."""
    kind = Lanes(buffer.dtype)

    def codegen(context, builder, sig, args):
        pointers = _strided(context, builder, source, args[0], args[1], args[2], kind.count)
        vectors = _transposed(builder, kind, [_load(builder, kind, pointer) for pointer in pointers])
        start, one = builder.mul(args[4], ir.Constant(args[4].type, kind.count)), args[4].type(kind.count)
        targets = _strided(context, builder, buffer, args[3], start, one, kind.count)
        for vector, target in zip(vectors, targets, strict=True):
            _store(builder, kind, vector, target)
        return context.get_dummy_value()

    return types.none(source, types.intp, types.intp, buffer, types.intp), codegen


@intrinsic
def write_square(typing, target, offset, stride, buffer, row):
    """The reverse of `read_square`."""
    kind = Lanes(buffer.dtype)

    def codegen(context, builder, sig, args):
        start, one = builder.mul(args[4], ir.Constant(args[4].type, kind.count)), args[4].type(kind.count)
        pointers = _strided(context, builder, buffer, args[3], start, one, kind.count)
        vectors = _transposed(builder, kind, [_load(builder, kind, pointer) for pointer in pointers])
        targets = _strided(context, builder, target, args[0], args[1], args[2], kind.count)
        for vector, place in zip(vectors, targets, strict=True):
            _store(builder, kind, vector, place)
        return context.get_dummy_value()

    return types.none(target, types.intp, types.intp, buffer, types.intp), codegen


@intrinsic
def sums_of_rows(typing, buffer, row):
    """The sums over the lanes of as many rows as there are lanes, as one vector, in a fixed order."""
    kind = Lanes(buffer.dtype)

    def codegen(context, builder, sig, args):
        start, one = builder.mul(args[1], ir.Constant(args[1].type, kind.count)), args[1].type(kind.count)
        pointers = _strided(context, builder, buffer, args[0], start, one, kind.count)

        def combine(vectors, stride, halves):
            return [builder.fadd(*halves(*vectors[i : i + 2])) for i in range(0, len(vectors), 2)]

        return _exchange(builder, kind, [_load(builder, kind, p) for p in pointers], combine)[0]

    return kind(buffer, types.intp), codegen


@njit
def read_block(source, offset, length, used, steps, buffer):
    """`used` channels and `steps` steps of `source` (channels `length` apart) to (step, lane)."""
    width = buffer.shape[1]
    whole = steps // width * width if used == width else 0
    for step in range(0, whole, width):
        read_square(source, offset + step, length, buffer, step)
    for lane in range(used):
        for step in range(whole, steps):
            buffer[step, lane] = source[offset + lane * length + step]


@njit
def write_block(target, offset, length, used, steps, buffer):
    """The reverse of `read_block`."""
    width = buffer.shape[1]
    whole = steps // width * width if used == width else 0
    for step in range(0, whole, width):
        write_square(target, offset + step, length, buffer, step)
    for lane in range(used):
        for step in range(whole, steps):
            target[offset + lane * length + step] = buffer[step, lane]


# --- real A ------------------------------------------------------------------------------------------


@cache
def forward(method: int, fixed_b: bool, fixed_c: bool):
    """The compiled forward pass: y, the state at the start of every chunk, and the last state.

    Shapes: u, delta, y flat (batch * dim * length,); B, C (batch, groups, state, length), or
    (blocks, state, lanes) where fixed; A (blocks, state, lanes); D (blocks, lanes); first and last
    state (batch, blocks, state, lanes); marks (batch, blocks, chunks or 0, state, lanes).
    """

    @njit(cache=True, nogil=True)
    def scan_forward(begin, end, size, u, delta, A, B, C, D, first_state, y, marks, last_state):
        dim, groups, length = size
        blocks, states, width = A.shape
        per_group, channels = blocks // groups, dim // groups
        dt, x = np.zeros((CHUNK, width), u.dtype), np.zeros((CHUNK, width), u.dtype)
        out, h = np.zeros((CHUNK, width), u.dtype), np.zeros((states, width), u.dtype)
        log2e = splat(u.dtype.type(LOG2E))
        one, half = splat(u.dtype.type(1)), splat(u.dtype.type(0.5))
        chunks = marks.shape[2]
        for task in range(begin, end):
            batch, block = task // blocks, task % blocks
            group, start = block // per_group, block % per_group * width
            used = min(width, channels - start)
            origin = (batch * dim + group * channels + start) * length
            h[:] = first_state[batch, block]
            dt[:] = 0
            x[:] = 0
            for time in range(0, length, CHUNK):
                steps = min(CHUNK, length - time)
                if chunks > 0:
                    marks[batch, block, time // CHUNK] = h
                read_block(delta, origin + time, length, used, steps, dt)
                read_block(u, origin + time, length, used, steps, x)
                skip = load(D, block)
                for step in range(steps):
                    xt = load(x, step)
                    store(out, step, skip * xt)
                    if method == EULER:
                        store(x, step, xt * load(dt, step))
                for n in range(states):
                    row = block * states + n
                    a = load(A, row)
                    rate, inverse = a * log2e, one / a
                    half_a = a * half
                    hn = load(h, n)
                    if fixed_b:
                        b = load(B, row)
                    if fixed_c:
                        c = load(C, row)
                    for step in range(steps):
                        if not fixed_b:
                            b = splat(B[batch, group, n, time + step])
                        if not fixed_c:
                            c = splat(C[batch, group, n, time + step])
                        if method == EULER:
                            hn = fma(exp2(load(dt, step) * rate), hn, load(x, step) * b)
                        elif method == ZOH:
                            decay, less = exp2_and_less_one(load(dt, step) * rate)
                            hn = fma(decay, hn, less * inverse * (load(x, step) * b))
                        else:
                            dtt = load(dt, step)
                            v = one / (one - half_a * dtt)
                            hn = v * fma(fma(half_a, dtt, one), hn, dtt * (load(x, step) * b))
                        store(out, step, fma(c, hn, load(out, step)))
                    store(h, n, hn)
                write_block(y, origin + time, length, used, steps, out)
            last_state[batch, block] = h

    return scan_forward


@cache
def backward(method: int, fixed_b: bool, fixed_c: bool):
    """The compiled backward pass: recomputes each chunk from its mark, then goes through it in reverse.

    Shapes as for `forward`; besides dy like y, dlast and dfirst like the states; du, ddelta like u;
    dA (batch, blocks, state, lanes), dD (batch, blocks, lanes); dB, dC
    (batch, groups, tiles, state, length), or (batch, blocks, state, lanes) where fixed.
    """

    @njit(cache=True, nogil=True)
    def scan_backward(
        begin, end, size, u, delta, A, B, C, D, marks, dy, dlast, du, ddelta, dA, dB, dC, dD, dfirst
    ):
        dim, groups, length = size
        blocks, states, width = A.shape
        per_group, channels = blocks // groups, dim // groups
        tiles = (per_group + TILE - 1) // TILE
        shape = (CHUNK, width)
        dt, x, w = np.zeros(shape, u.dtype), np.zeros(shape, u.dtype), np.zeros(shape, u.dtype)
        up, dx, ddt = np.zeros(shape, u.dtype), np.zeros(shape, u.dtype), np.zeros(shape, u.dtype)
        decays, before = np.zeros(shape, u.dtype), np.zeros(shape, u.dtype)
        inputs = np.zeros(shape, u.dtype)
        sums_b = np.zeros((states, CHUNK, width), u.dtype)
        sums_c = np.zeros((states, CHUNK, width), u.dtype)
        carry = np.zeros((TILE, states, width), u.dtype)
        log2e = splat(u.dtype.type(LOG2E))
        one, half, zero = splat(u.dtype.type(1)), splat(u.dtype.type(0.5)), splat(u.dtype.type(0))
        for task in range(begin, end):
            batch, tile = task // (groups * tiles), task % (groups * tiles)
            group, tile = tile // tiles, tile % tiles
            first_block = group * per_group + tile * TILE
            count = min(TILE, per_group - tile * TILE)
            for i in range(count):
                carry[i] = dlast[batch, first_block + i]
            last_chunk = (length - 1) // CHUNK
            for chunk in range(last_chunk, -1, -1):
                time = chunk * CHUNK
                steps = min(CHUNK, length - time)
                if not fixed_b:
                    sums_b[:] = 0
                if not fixed_c:
                    sums_c[:] = 0
                for i in range(count):
                    block = first_block + i
                    start = (tile * TILE + i) * width
                    used = min(width, channels - start)
                    origin = (batch * dim + group * channels + start) * length + time
                    if used < width:
                        dt[:] = 0
                        x[:] = 0
                        up[:] = 0
                    read_block(delta, origin, length, used, steps, dt)
                    read_block(u, origin, length, used, steps, x)
                    read_block(dy, origin, length, used, steps, up)
                    skip_sum = zero
                    for step in range(steps):
                        xt = load(x, step)
                        skip_sum = fma(xt, load(up, step), skip_sum)
                        store(w, step, xt)
                        if method == EULER:
                            store(x, step, xt * load(dt, step))
                        store(dx, step, zero)
                        store(ddt, step, zero)
                    place = batch * blocks + block
                    store(dD, place, load(dD, place) + skip_sum)
                    for n in range(states):
                        row = block * states + n
                        a = load(A, row)
                        rate, inverse = a * log2e, one / a
                        half_a = a * half
                        mark = (place * marks.shape[2] + chunk) * states + n
                        hn = load(marks, mark)
                        if fixed_b:
                            b = load(B, row)
                        if fixed_c:
                            c = load(C, row)
                        for step in range(steps):
                            if not fixed_b:
                                b = splat(B[batch, group, n, time + step])
                            dtt = load(dt, step)
                            store(before, step, hn)
                            if method == EULER:
                                decay = exp2(dtt * rate)
                                hn = fma(decay, hn, load(x, step) * b)
                            elif method == ZOH:
                                decay, less = exp2_and_less_one(dtt * rate)
                                weight = less * inverse
                                store(inputs, step, weight)
                                hn = fma(decay, hn, weight * (load(x, step) * b))
                            else:
                                v = one / (one - half_a * dtt)
                                decay = fma(half_a, dtt, one) * v
                                store(inputs, step, v)
                                hn = v * fma(fma(half_a, dtt, one), hn, dtt * (load(x, step) * b))
                            store(decays, step, decay)
                        flow = load(carry, i * states + n)
                        sum_a, sum_b, sum_c = zero, zero, zero
                        for back in range(steps):
                            step = steps - 1 - back
                            if not fixed_b:
                                b = splat(B[batch, group, n, time + step])
                            if not fixed_c:
                                c = splat(C[batch, group, n, time + step])
                            dyt, dtt, xt = load(up, step), load(dt, step), load(x, step)
                            g = fma(dyt, c, flow)
                            if fixed_c:
                                sum_c = fma(dyt, hn, sum_c)
                            else:
                                store(sums_c, n * CHUNK + step, fma(dyt, hn, load(sums_c, n * CHUNK + step)))
                            hn = load(before, step)
                            decay = load(decays, step)
                            flow = g * decay
                            if method == EULER:
                                pull = flow * hn
                                store(ddt, step, fma(pull, a, load(ddt, step)))
                                sum_a = fma(pull, dtt, sum_a)
                                store(dx, step, fma(g, b, load(dx, step)))
                                gx = g * xt
                            elif method == ZOH:
                                weight = load(inputs, step)
                                gx = g * xt
                                gxb = gx * b
                                gx = gx * weight
                                store(dx, step, fma(g * b, weight, load(dx, step)))
                                store(ddt, step, fma(decay, fma(g * hn, a, gxb), load(ddt, step)))
                                closed = (dtt * decay - weight) * inverse
                                turn = slope(dtt * a, dtt * dtt, closed)
                                sum_a = fma(flow * hn, dtt, fma(gxb, turn, sum_a))
                            else:
                                v = load(inputs, step)
                                gw = g * v * dtt
                                store(dx, step, fma(gw, b, load(dx, step)))
                                gx = gw * xt
                                gxb = g * xt * b
                                pull = g * hn
                                square = v * v
                                store(ddt, step, fma(square, fma(pull, a, gxb), load(ddt, step)))
                                sum_a = fma(square * dtt, fma(dtt * half, gxb, pull), sum_a)
                            if fixed_b:
                                sum_b = sum_b + gx
                            else:
                                store(sums_b, n * CHUNK + step, load(sums_b, n * CHUNK + step) + gx)
                        store(carry, i * states + n, flow)
                        row = place * states + n
                        store(dA, row, load(dA, row) + sum_a)
                        if fixed_b:
                            store(dB, row, load(dB, row) + sum_b)
                        if fixed_c:
                            store(dC, row, load(dC, row) + sum_c)
                    skip = load(D, block)
                    for step in range(steps):
                        if method == EULER:
                            store(ddt, step, fma(load(dx, step), load(w, step), load(ddt, step)))
                            store(dx, step, load(dx, step) * load(dt, step))
                        store(dx, step, fma(skip, load(up, step), load(dx, step)))
                    write_block(du, origin, length, used, steps, dx)
                    write_block(ddelta, origin, length, used, steps, ddt)
                if not fixed_b:
                    add_up(sums_b, dB[batch, group, tile], time, steps, w)
                if not fixed_c:
                    add_up(sums_c, dC[batch, group, tile], time, steps, w)
            for i in range(count):
                dfirst[batch, first_block + i] = carry[i]

    return scan_backward


@njit
def add_up(sums, target, time, steps, scratch):
    """Write the sums over lanes of (state, step, lane) to target (state, length), from `time` on."""
    width = sums.shape[2]
    for n in range(sums.shape[0]):
        for step in range(0, steps, width):
            store(scratch, 0, sums_of_rows(sums, n * CHUNK + step))
            for j in range(min(width, steps - step)):
                target[n, time + step + j] = scratch[0, j]


# --- complex A ---------------------------------------------------------------------------------------


@njit
def complex_step(method, a, dt):
    """(decay, weight, d decay / d dt, d decay / d a, d weight / d dt, d weight / d a)."""
    x = a * dt
    if method == BILINEAR:
        v = 1 / (1 - x / 2)
        square = v * v
        return (1 + x / 2) * v, dt * v, a * square, dt * square, square, dt * dt * square / 2
    decay = cmath.exp(x)
    if method == EULER:
        return decay, dt + 0j, a * decay, dt * decay, 1 + 0j, 0j
    if abs(x) < 1:
        first, second = series(x)
        return decay, dt * first, a * decay, dt * decay, decay, dt * dt * second
    less = complex(math.expm1(x.real) * math.cos(x.imag) - 2 * math.sin(x.imag / 2) ** 2, decay.imag)
    weight = less / a
    return decay, weight, a * decay, dt * decay, decay, (dt * decay - weight) / a


@njit
def series(x):
    """(e^x - 1) / x and its derivative by x, for |x| < 1."""
    value, derivative, term = 1 + 0j, 0j, 1 + 0j  # term is x^(k-1) / k!
    for k in range(1, 20):
        derivative += k * term / (k + 1)
        term = term * x / (k + 1)
        value += term
    return value, derivative


@njit(cache=True, nogil=True)
def complex_forward(begin, end, method, u, delta, A, B, C, D, first_state, y, marks, last_state):
    """As `forward`, one channel at a time: y = 2 Re(C h) + D u.

    Shapes: u, delta, y (batch, dim, length); A (dim, state); B, C (batch, dim, state, length), with
    strides of 0 where they are shared; D (dim,); states (batch, dim, state); marks (batch, dim,
    chunks or 0, state).
    """
    dim, states = A.shape
    length = u.shape[2]
    for task in range(begin, end):
        batch, channel = task // dim, task % dim
        h = first_state[batch, channel].copy()
        for time in range(length):
            if time % CHUNK == 0 and marks.shape[2] > 0:
                marks[batch, channel, time // CHUNK] = h
            total = 0.0
            for n in range(states):
                step = complex_step(method, A[channel, n], delta[batch, channel, time])
                h[n] = step[0] * h[n] + step[1] * u[batch, channel, time] * B[batch, channel, n, time]
                total += (C[batch, channel, n, time] * h[n]).real
            y[batch, channel, time] = 2 * total + D[channel] * u[batch, channel, time]
        last_state[batch, channel] = h


@njit(cache=True, nogil=True)
def complex_backward(
    begin, end, method, tile, u, delta, A, B, C, D, marks, dy, dlast, du, ddelta, dA, dB, dC, dD, dfirst
):
    """As `backward`; one task is `tile` channels, which add to the same dB and dC.

    dA, dB, dC, dD have a leading batch axis, else the shapes of their arguments; dB and dC have strides of
    0 where a tile shares them. Gradients are torch's: d/d Re + i d/d Im.
    """
    dim, states = A.shape
    length = u.shape[2]
    tiles = dim // tile
    before = np.zeros((CHUNK + 1, states), A.dtype)
    for task in range(begin, end):
        batch, first = task // tiles, task % tiles * tile
        for channel in range(first, first + tile):
            g = dlast[batch, channel].copy()
            for chunk in range((length - 1) // CHUNK, -1, -1):
                start = chunk * CHUNK
                steps = min(CHUNK, length - start)
                before[0] = marks[batch, channel, chunk]
                for step in range(steps):
                    time = start + step
                    ut, dt = u[batch, channel, time], delta[batch, channel, time]
                    for n in range(states):
                        parts = complex_step(method, A[channel, n], dt)
                        inputs = parts[1] * ut * B[batch, channel, n, time]
                        before[step + 1, n] = parts[0] * before[step, n] + inputs
                for step in range(steps - 1, -1, -1):
                    time = start + step
                    ut, dt, up = u[batch, channel, time], delta[batch, channel, time], dy[batch, channel, time]
                    to_u, to_dt = D[channel] * up, 0.0 * up
                    dD[batch, channel] += up * ut
                    for n in range(states):
                        decay, weight, decay_dt, decay_a, weight_dt, weight_a = complex_step(
                            method, A[channel, n], dt
                        )
                        b = B[batch, channel, n, time]
                        dC[batch, channel, n, time] += 2 * up * before[step + 1, n].conjugate()
                        flow = g[n] + 2 * up * C[batch, channel, n, time].conjugate()
                        to_decay = flow * before[step, n].conjugate()
                        to_weight = flow * (ut * b).conjugate()
                        to_u += (flow * (weight * b).conjugate()).real
                        to_dt += (to_decay * decay_dt.conjugate() + to_weight * weight_dt.conjugate()).real
                        dA[batch, channel, n] += (
                            to_decay * decay_a.conjugate() + to_weight * weight_a.conjugate()
                        )
                        dB[batch, channel, n, time] += flow * (weight * ut).conjugate()
                        g[n] = flow * decay.conjugate()
                    du[batch, channel, time] = to_u
                    ddelta[batch, channel, time] = to_dt
            dfirst[batch, channel] = g
