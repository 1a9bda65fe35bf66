"""The compiled loops of the selective scan: explicit vector lanes, real kernels, complex kernels.

`scan.py` prepares the arrays, splits the tasks over threads and calls what `forward`, `backward`,
`complex_forward` and `complex_backward` return. Everything that is compiled lives in this one file,
because numba's cache on disk notices edits to the file of the function only, not to its imports.

A *lane* is one channel: 64 bytes of them (16 float32, 8 float64) are one LLVM vector, which every
target splits or widens as it can. Channels come in *blocks* of that many lanes, time in *chunks* of
`CHUNK` steps; the states at the start of each chunk are the only ones kept for the backward pass.
"""

# pyright: reportCallIssue=false, reportOptionalCall=false
# (an intrinsic is called without the typing context that its definition has)

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
TILE = 8  # blocks of channels whose gradients of B and C are summed by one task
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


def _splat(builder, kind, number):
    index, nothing = ir.IntType(32), ir.Constant(_vector(kind), ir.Undefined)
    first = builder.insert_element(nothing, number, ir.Constant(index, 0))
    mask = ir.Constant(ir.VectorType(index, kind.count), [0] * kind.count)
    return builder.shuffle_vector(first, nothing, mask)


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
def add_to(typing, array, offset, lanes):
    """Add one vector to a contiguous array, from element `offset` on."""

    def codegen(context, builder, sig, args):
        pointer = _pointer(context, builder, array, args[0], args[1])
        _store(builder, lanes, builder.fadd(_load(builder, lanes, pointer), args[2]), pointer)
        return context.get_dummy_value()

    return types.none(array, types.intp, lanes), codegen


@intrinsic
def splat(typing, number):
    """One number in every lane."""
    kind = Lanes(number)

    def codegen(context, builder, sig, args):
        return _splat(builder, kind, args[0])

    return kind(number), codegen


@intrinsic
def one_of(typing, lanes, number):
    """A number (float64), rounded to the element type of `lanes`."""

    def codegen(context, builder, sig, args):
        return context.cast(builder, args[1], types.float64, lanes.element)

    return lanes.element(lanes, types.float64), codegen


@intrinsic
def spread(typing, array, index):
    """Element `index` of a contiguous array, in every lane."""
    kind = Lanes(array.dtype)

    def codegen(context, builder, sig, args):
        data = context.make_array(array)(context, builder, args[0]).data
        return _splat(builder, kind, builder.load(builder.gep(data, [args[1]])))

    return kind(array, types.intp), codegen


@intrinsic
def prefetch(typing, array, offset):
    """Ask for the cache line of element `offset` of a contiguous array."""

    def codegen(context, builder, sig, args):
        byte, integer = ir.IntType(8).as_pointer(), ir.IntType(32)
        function_type = ir.FunctionType(ir.VoidType(), [byte, integer, integer, integer])
        function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0")
        hints = [ir.Constant(integer, hint) for hint in (0, 2, 1)]  # read, second level, data
        pointer = _pointer(context, builder, array, args[0], args[1])
        builder.call(function, [builder.bitcast(pointer, byte), *hints])
        return context.get_dummy_value()

    return types.none(array, types.intp), codegen


@intrinsic
def fma(typing, a, b, c):
    """The sum a * b + c, rounded once where the machine can."""

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
    """By series scale ((x - 1) e^x + 1) / x^2 where |x| < 1, else the `closed` form given."""

    def codegen(context, builder, sig, args):
        series = builder.fmul(args[1], _polynomial(builder, x, SLOPE[x.bits], args[0]))
        small = builder.fcmp_ordered("<", _call(builder, "fabs", x, args[0]), _constant(x, 1.0))
        return builder.select(small, series, args[2])

    return x(x, x, x), codegen


def _exchange(builder, kind, vectors, combine):
    """Swap lane bits with vector bits, one at a time; `combine` gets both halves of each pair."""
    count, stride = kind.count, kind.count // 2
    undefined = ir.VectorType(ir.IntType(32), count)
    while stride:
        low = [lane if not lane & stride else count + lane - stride for lane in range(count)]
        high = [lane + stride if not lane & stride else count + lane for lane in range(count)]
        masks = [ir.Constant(undefined, mask) for mask in (low, high)]
        vectors = combine(vectors, stride, lambda a, b, masks=masks: [
            builder.shuffle_vector(a, b, mask) for mask in masks
        ])  # fmt: skip
        stride //= 2
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
        start, one = builder.mul(args[4], args[4].type(kind.count)), args[4].type(kind.count * SLOTS)
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
        start, one = builder.mul(args[4], args[4].type(kind.count)), args[4].type(kind.count * SLOTS)
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
        start, one = builder.mul(args[1], args[1].type(kind.count)), args[1].type(kind.count * SLOTS)
        pointers = _strided(context, builder, buffer, args[0], start, one, kind.count)

        def combine(vectors, stride, halves):
            return [builder.fadd(*halves(vectors[i], vectors[i + stride])) for i in range(stride)]

        return _exchange(builder, kind, [_load(builder, kind, p) for p in pointers], combine)[0]

    return kind(buffer, types.intp), codegen


@njit
def scratch(rows, like):
    """Zeros (rows, lanes), aligned so that no vector crosses a cache line."""
    width = LANE_BYTES // like.itemsize
    memory = np.zeros((rows + 1) * width, like.dtype)
    shift = (-memory.ctypes.data % LANE_BYTES) // like.itemsize
    return memory[shift : shift + rows * width].reshape((rows, width))


@njit
def copy_rows(source, source_row, target, target_row, count):
    """Copy `count` vectors, one after the other in both."""
    for i in range(count):
        store(target, target_row + i, load(source, source_row + i))


@njit
def clear(buffer, rows):
    """Zero the first `rows` vectors."""
    for i in range(rows):
        store(buffer, i, splat(buffer.dtype.type(0)))


@njit
def read_block(source, offset, length, used, steps, buffer, row):
    """`used` channels and `steps` steps of `source` (channels `length` apart) to (row + step, lane)."""
    width = buffer.shape[1]
    whole = steps // width * width if used == width else 0
    for step in range(0, whole, width):
        read_square(source, offset + step, length, buffer, row + step * SLOTS)
    for lane in range(used):
        for step in range(whole, steps):
            buffer[row + step * SLOTS, lane] = source[offset + lane * length + step]


@njit
def write_block(target, offset, length, used, steps, buffer, row):
    """The reverse of `read_block`."""
    width = buffer.shape[1]
    whole = steps // width * width if used == width else 0
    for step in range(0, whole, width):
        write_square(target, offset + step, length, buffer, row + step * SLOTS)
    for lane in range(used):
        for step in range(whole, steps):
            target[offset + lane * length + step] = buffer[row + step * SLOTS, lane]


# --- real A: one step of one state -------------------------------------------------------------------
#
# `advance_*` goes one step forward: (decay, what the way back needs besides, new state), from dt, x (dt u
# for Euler, else u), b, the state h and the constants of a, which are (a, a log2(e), 1 / a, a / 2).
#
# `retreat_*` goes one step back: what is to be added to the gradients of dt, x, a is added to `to_dt`,
# `to_x`, `to_a`, and the gradients of b and of the earlier state are returned with them. g is the gradient
# of the new state, h the earlier state.


@njit(forceinline=True)
def constants(a):
    """Give a, a log2(e), 1 / a, a / 2."""
    log2e, half = splat(one_of(a, LOG2E)), splat(one_of(a, 0.5))
    return a, a * log2e, splat(one_of(a, 1.0)) / a, a * half


@njit(forceinline=True)
def advance_euler(dt, x, b, h, rate):
    """Decay exp(dt a), weight dt."""
    decay = exp2(dt * rate[1])
    return decay, decay, fma(decay, h, x * b)


@njit(forceinline=True)
def retreat_euler(g, dt, x, b, h, decay, extra, rate, to_dt, to_x, to_a):
    """The way back of `advance_euler`."""
    flow = g * decay
    pull = flow * h
    return fma(pull, rate[0], to_dt), fma(g, b, to_x), fma(pull, dt, to_a), g * x, flow


@njit(forceinline=True)
def advance_zoh(dt, x, b, h, rate):
    """Decay exp(dt a), weight (exp(dt a) - 1) / a."""
    decay, less = exp2_and_less_one(dt * rate[1])
    weight = less * rate[2]
    return decay, weight, fma(decay, h, weight * (x * b))


@njit(forceinline=True)
def retreat_zoh(g, dt, x, b, h, decay, weight, rate, to_dt, to_x, to_a):
    """The way back of `advance_zoh`."""
    flow, gb = g * decay, g * b
    gxb = gb * x
    turn = slope(dt * rate[0], dt * dt, (dt * decay - weight) * rate[2])
    to_dt = fma(decay, fma(g * h, rate[0], gxb), to_dt)
    to_a = fma(flow * h, dt, fma(gxb, turn, to_a))
    return to_dt, fma(gb, weight, to_x), to_a, g * x * weight, flow


@njit(forceinline=True)
def advance_bilinear(dt, x, b, h, rate):
    """Decay (1 + dt a / 2) / (1 - dt a / 2), weight dt / (1 - dt a / 2)."""
    one = splat(one_of(dt, 1.0))
    v = one / (one - rate[3] * dt)
    rise = fma(rate[3], dt, one)
    return rise * v, v, v * fma(rise, h, dt * (x * b))


@njit(forceinline=True)
def retreat_bilinear(g, dt, x, b, h, decay, v, rate, to_dt, to_x, to_a):
    """The way back of `advance_bilinear`."""
    gw = g * v * dt
    pull, gxb, square = g * h, g * x * b, v * v
    to_dt = fma(square, fma(pull, rate[0], gxb), to_dt)
    to_a = fma(square * dt, fma(dt * splat(one_of(dt, 0.5)), gxb, pull), to_a)
    return to_dt, fma(gw, b, to_x), to_a, gw * x, g * decay


# --- real A: the passes ------------------------------------------------------------------------------

# Scratch memory: for each step of a chunk these vectors, next to each other so that their addresses do not
# agree in the low bits, which would make loads wait for stores. Two states go side by side, which halves
# loads and stores.
DT, X, U, UP, TO_X, TO_DT, DECAY, BEFORE, EXTRA = 0, 1, 2, 3, 4, 5, 6, 8, 10
SLOTS = 12
ROWS = SLOTS * CHUNK


@cache
def forward(method: int, fixed_b: bool, fixed_c: bool):
    """The compiled forward pass: y, the state at the start of every chunk, and the last state.

    Shapes: u, delta, y flat (batch * dim * length,); B, C (batch, groups, state, length), or
    (blocks, state, lanes) where fixed; A (blocks, state, lanes); D (blocks, lanes); first and last
    state (batch, blocks, state, lanes); marks (batch, blocks, chunks or 0, state, lanes). The number of
    states is even.
    """

    @njit(cache=True, nogil=True)
    def scan_forward(begin, end, size, u, delta, A, B, C, D, first_state, y, marks, last_state):
        dim, groups, length = size
        blocks, states, width = A.shape
        per_group, channels = blocks // groups, dim // groups
        work = scratch(ROWS + states, u)
        for task in range(begin, end):
            batch, block = task // blocks, task % blocks
            group, start = block // per_group, block % per_group * width
            used = min(width, channels - start)
            origin = (batch * dim + group * channels + start) * length
            copy_rows(first_state, task * states, work, np.intp(ROWS), states)
            clear(work, ROWS)
            skip = load(D, block)
            for time in range(0, length, CHUNK):
                steps = min(CHUNK, length - time)
                if marks.shape[2] > 0:
                    mark = (task * marks.shape[2] + time // CHUNK) * states
                    copy_rows(work, np.intp(ROWS), marks, mark, states)
                read_block(delta, origin + time, length, used, steps, work, np.intp(DT))
                read_block(u, origin + time, length, used, steps, work, np.intp(X))
                for step in range(steps):
                    at = step * SLOTS
                    x = load(work, at + X)
                    store(work, at + UP, skip * x)
                    if method == EULER:
                        store(work, at + X, x * load(work, at + DT))
                for n in range(0, states, 2):
                    if time + 2 * CHUNK <= length:
                        for lane in range(n * used // states, (n + 2) * used // states):
                            for ahead in range(CHUNK, 2 * CHUNK, width):
                                offset = origin + time + lane * length + ahead
                                prefetch(delta, offset)
                                prefetch(u, offset)
                                prefetch(y, offset)
                    row = block * states + n
                    shared = ((batch * groups + group) * states + n) * length + time
                    rate1, rate2 = constants(load(A, row)), constants(load(A, row + 1))
                    h1, h2 = load(work, ROWS + n), load(work, ROWS + n + 1)
                    if fixed_b:
                        b1, b2 = load(B, row), load(B, row + 1)
                    if fixed_c:
                        c1, c2 = load(C, row), load(C, row + 1)
                    for step in range(steps):
                        at = step * SLOTS
                        if not fixed_b:
                            b1, b2 = spread(B, shared + step), spread(B, shared + length + step)
                        if not fixed_c:
                            c1, c2 = spread(C, shared + step), spread(C, shared + length + step)
                        dt, x = load(work, at + DT), load(work, at + X)
                        if method == EULER:
                            _, _, h1 = advance_euler(dt, x, b1, h1, rate1)
                            _, _, h2 = advance_euler(dt, x, b2, h2, rate2)
                        elif method == ZOH:
                            _, _, h1 = advance_zoh(dt, x, b1, h1, rate1)
                            _, _, h2 = advance_zoh(dt, x, b2, h2, rate2)
                        else:
                            _, _, h1 = advance_bilinear(dt, x, b1, h1, rate1)
                            _, _, h2 = advance_bilinear(dt, x, b2, h2, rate2)
                        store(work, at + UP, fma(c2, h2, fma(c1, h1, load(work, at + UP))))
                    store(work, ROWS + n, h1)
                    store(work, ROWS + n + 1, h2)
                write_block(y, origin + time, length, used, steps, work, np.intp(UP))
            copy_rows(work, np.intp(ROWS), last_state, task * states, states)

    return scan_forward


@cache
def backward(method: int, fixed_b: bool, fixed_c: bool):
    """The compiled backward pass: recomputes each chunk from its mark, then goes through it in reverse.

    Shapes as for `forward`; besides dy like y, dlast and dfirst like the states; du, ddelta like u;
    dA (batch, blocks, state, lanes), dD (batch, blocks, lanes); dB, dC
    (batch, groups, tiles, state, length), or (batch, blocks, state, lanes) where fixed.
    """

    @njit(cache=True, nogil=True)
    def scan_backward(begin, end, size, u, delta, A, B, C, D, marks, dy, dlast, du, ddelta, dA, dB, dC, dD, dfirst):
        dim, groups, length = size
        blocks, states, width = A.shape
        per_group, channels = blocks // groups, dim // groups
        tiles = (per_group + TILE - 1) // TILE
        work = scratch(ROWS + states, u)
        zero = splat(u.dtype.type(0))
        for task in range(begin, end):
            batch, tile = task // (groups * tiles), task % (groups * tiles)
            group, tile = tile // tiles, tile % tiles
            for inner in range(tile * TILE, min(per_group, (tile + 1) * TILE)):
                block = group * per_group + inner
                place = batch * blocks + block
                used = min(width, channels - inner * width)
                clear(work, ROWS)
                copy_rows(dlast, place * states, work, np.intp(ROWS), states)
                skip, skip_sum = load(D, block), zero
                for chunk in range((length - 1) // CHUNK, -1, -1):
                    time = chunk * CHUNK
                    steps = min(CHUNK, length - time)
                    origin = (batch * dim + group * channels + inner * width) * length + time
                    read_block(delta, origin, length, used, steps, work, np.intp(DT))
                    read_block(u, origin, length, used, steps, work, np.intp(U))
                    read_block(dy, origin, length, used, steps, work, np.intp(UP))
                    skip_part = zero
                    for step in range(steps):
                        at = step * SLOTS
                        x = load(work, at + U)
                        skip_part = fma(x, load(work, at + UP), skip_part)
                        store(work, at + X, x * load(work, at + DT) if method == EULER else x)
                        store(work, at + TO_X, zero)
                        store(work, at + TO_DT, zero)
                    skip_sum = skip_sum + skip_part
                    for n in range(0, states, 2):
                        if time >= CHUNK:
                            for lane in range(n * used // states, (n + 2) * used // states):
                                for ahead in range(0, CHUNK, width):
                                    offset = origin + lane * length - CHUNK + ahead
                                    prefetch(delta, offset)
                                    prefetch(u, offset)
                                    prefetch(dy, offset)
                                    prefetch(du, offset)
                                    prefetch(ddelta, offset)
                        row = block * states + n
                        shared = ((batch * groups + group) * states + n) * length + time
                        mark = (place * marks.shape[2] + chunk) * states + n
                        rate1, rate2 = constants(load(A, row)), constants(load(A, row + 1))
                        h1, h2 = load(marks, mark), load(marks, mark + 1)
                        if fixed_b:
                            b1, b2 = load(B, row), load(B, row + 1)
                        if fixed_c:
                            c1, c2 = load(C, row), load(C, row + 1)
                        for step in range(steps):
                            at = step * SLOTS
                            if not fixed_b:
                                b1, b2 = spread(B, shared + step), spread(B, shared + length + step)
                            dt, x = load(work, at + DT), load(work, at + X)
                            store(work, at + BEFORE, h1)
                            store(work, at + BEFORE + 1, h2)
                            if method == EULER:
                                decay1, extra1, h1 = advance_euler(dt, x, b1, h1, rate1)
                                decay2, extra2, h2 = advance_euler(dt, x, b2, h2, rate2)
                            elif method == ZOH:
                                decay1, extra1, h1 = advance_zoh(dt, x, b1, h1, rate1)
                                decay2, extra2, h2 = advance_zoh(dt, x, b2, h2, rate2)
                            else:
                                decay1, extra1, h1 = advance_bilinear(dt, x, b1, h1, rate1)
                                decay2, extra2, h2 = advance_bilinear(dt, x, b2, h2, rate2)
                            store(work, at + DECAY, decay1)
                            store(work, at + DECAY + 1, decay2)
                            if method != EULER:
                                store(work, at + EXTRA, extra1)
                                store(work, at + EXTRA + 1, extra2)
                        flow1, flow2 = load(work, ROWS + n), load(work, ROWS + n + 1)
                        to_a1, to_a2, to_b1, to_b2, to_c1, to_c2 = zero, zero, zero, zero, zero, zero
                        for back in range(1, steps + 1):
                            step = steps - back
                            at = step * SLOTS
                            if not fixed_b:
                                b1, b2 = spread(B, shared + step), spread(B, shared + length + step)
                            if not fixed_c:
                                c1, c2 = spread(C, shared + step), spread(C, shared + length + step)
                            up, dt, x = load(work, at + UP), load(work, at + DT), load(work, at + X)
                            to_dt, to_x = load(work, at + TO_DT), load(work, at + TO_X)
                            uph1, uph2 = up * h1, up * h2
                            g1, g2 = fma(up, c1, flow1), fma(up, c2, flow2)
                            h1, h2 = load(work, at + BEFORE), load(work, at + BEFORE + 1)
                            decay1, decay2 = load(work, at + DECAY), load(work, at + DECAY + 1)
                            if fixed_c:
                                to_c1, to_c2 = to_c1 + uph1, to_c2 + uph2
                            else:
                                store(work, at + BEFORE, uph1)
                                store(work, at + BEFORE + 1, uph2)
                            if method == EULER:
                                to_dt, to_x, to_a1, gx1, flow1 = retreat_euler(
                                    g1, dt, x, b1, h1, decay1, decay1, rate1, to_dt, to_x, to_a1
                                )
                                to_dt, to_x, to_a2, gx2, flow2 = retreat_euler(
                                    g2, dt, x, b2, h2, decay2, decay2, rate2, to_dt, to_x, to_a2
                                )
                            else:
                                extra1, extra2 = load(work, at + EXTRA), load(work, at + EXTRA + 1)
                                if method == ZOH:
                                    to_dt, to_x, to_a1, gx1, flow1 = retreat_zoh(
                                        g1, dt, x, b1, h1, decay1, extra1, rate1, to_dt, to_x, to_a1
                                    )
                                    to_dt, to_x, to_a2, gx2, flow2 = retreat_zoh(
                                        g2, dt, x, b2, h2, decay2, extra2, rate2, to_dt, to_x, to_a2
                                    )
                                else:
                                    to_dt, to_x, to_a1, gx1, flow1 = retreat_bilinear(
                                        g1, dt, x, b1, h1, decay1, extra1, rate1, to_dt, to_x, to_a1
                                    )
                                    to_dt, to_x, to_a2, gx2, flow2 = retreat_bilinear(
                                        g2, dt, x, b2, h2, decay2, extra2, rate2, to_dt, to_x, to_a2
                                    )
                            store(work, at + TO_DT, to_dt)
                            store(work, at + TO_X, to_x)
                            if fixed_b:
                                to_b1, to_b2 = to_b1 + gx1, to_b2 + gx2
                            else:
                                store(work, at + DECAY, gx1)
                                store(work, at + DECAY + 1, gx2)
                        store(work, ROWS + n, flow1)
                        store(work, ROWS + n + 1, flow2)
                        row = place * states + n
                        store(dA, row, load(dA, row) + to_a1)
                        store(dA, row + 1, load(dA, row + 1) + to_a2)
                        summed = (((batch * groups + group) * tiles + tile) * states + n) * length + time
                        if fixed_b:
                            store(dB, row, load(dB, row) + to_b1)
                            store(dB, row + 1, load(dB, row + 1) + to_b2)
                        else:
                            add_up(work, np.intp(DECAY), steps, dB, summed)
                            add_up(work, np.intp(DECAY + 1), steps, dB, summed + length)
                        if fixed_c:
                            store(dC, row, load(dC, row) + to_c1)
                            store(dC, row + 1, load(dC, row + 1) + to_c2)
                        else:
                            add_up(work, np.intp(BEFORE), steps, dC, summed)
                            add_up(work, np.intp(BEFORE + 1), steps, dC, summed + length)
                    for step in range(steps):
                        at = step * SLOTS
                        to_x = load(work, at + TO_X)
                        if method == EULER:
                            to_dt = fma(to_x, load(work, at + U), load(work, at + TO_DT))
                            store(work, at + TO_DT, to_dt)
                            to_x = to_x * load(work, at + DT)
                        store(work, at + TO_X, fma(skip, load(work, at + UP), to_x))
                    write_block(du, origin, length, used, steps, work, np.intp(TO_X))
                    write_block(ddelta, origin, length, used, steps, work, np.intp(TO_DT))
                copy_rows(work, np.intp(ROWS), dfirst, place * states, states)
                store(dD, place, skip_sum)

    return scan_backward


@njit
def add_up(work, row, steps, target, offset):
    """Add the sums over lanes of `steps` rows to a contiguous target, from element `offset` on."""
    width = work.shape[1]
    for step in range(0, steps, width):
        if step + width <= steps:
            add_to(target, offset + step, sums_of_rows(work, row + step * SLOTS))
        else:
            store(work, row, sums_of_rows(work, row + step * SLOTS))
            for j in range(steps - step):
                target[offset + step + j] += work[row, j]


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

    Shapes: u, delta, y (batch, dim, length); A (dim, state); B, C (batch, groups, channels, state, length)
    with strides of 0 where they are shared; D (dim,); states (batch, dim, state); marks (batch, dim,
    chunks or 0, state).
    """
    dim, states = A.shape
    length = u.shape[2]
    for task in range(begin, end):
        batch, channel = task // dim, task % dim
        group, inner = channel // B.shape[2], channel % B.shape[2]
        h = first_state[batch, channel].copy()
        for time in range(length):
            if time % CHUNK == 0 and marks.shape[2] > 0:
                for n in range(states):  # entry by entry: rows whose lengths are compared take twice as long to compile
                    marks[batch, channel, time // CHUNK, n] = h[n]
            total = 0.0
            for n in range(states):
                step = complex_step(method, A[channel, n], delta[batch, channel, time])
                h[n] = step[0] * h[n] + step[1] * u[batch, channel, time] * B[batch, group, inner, n, time]
                total += (C[batch, group, inner, n, time] * h[n]).real
            y[batch, channel, time] = 2 * total + D[channel] * u[batch, channel, time]
        for n in range(states):
            last_state[batch, channel, n] = h[n]


@njit(cache=True, nogil=True)
def complex_backward(begin, end, method, u, delta, A, B, C, D, marks, dy, dlast, du, ddelta, dA, dB, dC, dD, dfirst):
    """As `backward`; one task is one group of channels, which add to the same dB and dC.

    dA and dD have a leading batch axis, else all have the shapes of their arguments. Gradients are
    torch's: d/d Re + i d/d Im.
    """
    states, length = A.shape[1], u.shape[2]
    groups, channels = B.shape[1:3]
    before = np.zeros((CHUNK + 1, states), A.dtype)
    for task in range(begin, end):
        batch, group = task // groups, task % groups
        for inner in range(channels):
            channel = group * channels + inner
            g = dlast[batch, channel].copy()
            for chunk in range((length - 1) // CHUNK, -1, -1):
                start = chunk * CHUNK
                steps = min(CHUNK, length - start)
                for n in range(states):
                    before[0, n] = marks[batch, channel, chunk, n]
                for step in range(steps):
                    time = start + step
                    ut, dt = u[batch, channel, time], delta[batch, channel, time]
                    for n in range(states):
                        parts = complex_step(method, A[channel, n], dt)
                        inputs = parts[1] * ut * B[batch, group, inner, n, time]
                        before[step + 1, n] = parts[0] * before[step, n] + inputs
                for step in range(steps - 1, -1, -1):
                    time = start + step
                    ut, dt, up = u[batch, channel, time], delta[batch, channel, time], dy[batch, channel, time]
                    to_u, to_dt = D[channel] * up, 0.0 * up
                    dD[batch, channel] += up * ut
                    for n in range(states):
                        decay, weight, decay_dt, decay_a, weight_dt, weight_a = complex_step(method, A[channel, n], dt)
                        b = B[batch, group, inner, n, time]
                        dC[batch, group, inner, n, time] += 2 * up * before[step + 1, n].conjugate()
                        flow = g[n] + 2 * up * C[batch, group, inner, n, time].conjugate()
                        to_decay = flow * before[step, n].conjugate()
                        to_weight = flow * (ut * b).conjugate()
                        to_u += (flow * (weight * b).conjugate()).real
                        to_dt += (to_decay * decay_dt.conjugate() + to_weight * weight_dt.conjugate()).real
                        dA[batch, channel, n] += to_decay * decay_a.conjugate() + to_weight * weight_a.conjugate()
                        dB[batch, group, inner, n, time] += flow * (weight * ut).conjugate()
                        g[n] = flow * decay.conjugate()
                    du[batch, channel, time] = to_u
                    ddelta[batch, channel, time] = to_dt
            for n in range(states):
                dfirst[batch, channel, n] = g[n]
