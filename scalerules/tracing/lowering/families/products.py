"""Products of matrices: linear layers, batched products, einsum."""

from __future__ import annotations

from collections.abc import Sequence

from scalerules.sizes.arithmetic import ONE
from scalerules.tracing.record import Call
from scalerules.tracing.sketch.values import Constant, Result, Value

from ..look_ups import chosen_rows
from ..state import Lowering, as_length, copies, number, operation
from ..table import lowers
from .drawn import drawn
from .joins import joined
from .products_of_joins import beside_each_other, parts_of_join


def contracted(
    lowering: Lowering,
    operands: Sequence[tuple[Value | Constant, Sequence[str]]],
    result: Sequence[str],
    short: str | None = None,
) -> Value:
    """An einsum with a letter per dimension; a fixed matrix must not be summed with over an axis that grows."""
    if (weight := _times_ones(lowering, operands, result)) is not None:
        return weight
    ready: list[tuple[Value, Sequence[str]]] = []
    weights = [letters for operand, letters in operands if isinstance(operand, Value) and operand.is_weight]
    for operand, letters in operands:
        if isinstance(operand, Constant):
            if (tokens := chosen_rows(lowering, operand, letters, weights, result)) is not None:
                ready.append(tokens)
                continue
            grown = [x for x, length in zip(letters, operand.shape, strict=True) if length is None or length.scales]
            summed = any(letter not in result for letter in grown)
            if summed and operand.truth is not None and len(operand.truth.base.dims) == len(letters):
                ready.append((drawn(lowering, operand.truth, "step"), letters))
                continue
            if summed and operand.number is None and lowering.entries_of(operand) is None:
                raise lowering.unknown(
                    "a fixed matrix is multiplied along an axis that grows; what it does is not known",
                    "make it a parameter that is not trained: its entries are measured then",
                )
            operand = lowering.constant(operand)
        ready.append((operand, letters))
    if (parts := parts_of_join(lowering, ready, result)) is not None:
        sums = [contracted(lowering, part, result, short) for part in parts]
        return lowering.sketch.combine("add", [(part_sum, list(result)) for part_sum in sums], list(result), "joined")
    if (beside := beside_each_other(lowering, ready, result)) is not None:
        products, letter, length = beside
        own = [contracted(lowering, part, result, short) for part in products]
        return joined(lowering, own, list(result).index(letter), length)
    for index, (value, letters) in enumerate(ready):
        for dim, letter in enumerate(letters):
            if len(value.dims[dim]) > 1 and letter not in result and _weights(ready, letter):
                value = lowering.sketch.layout.merge(value, dim)
        ready[index] = (value, letters)
    return lowering.sketch.combine("einsum", ready, result, short)


def _times_ones(
    lowering: Lowering, operands: Sequence[tuple[Value | Constant, Sequence[str]]], result: Sequence[str]
) -> Value | None:
    """A value times equal entries, where nothing is summed but axes of length 1: its copies, and no contraction.

    A weight that is multiplied by ones stays a weight: the derivative of a network begins like that.
    """
    values = [(operand, letters) for operand, letters in operands if isinstance(operand, Value)]
    ones = [(operand, letters) for operand, letters in operands if isinstance(operand, Constant)]
    if len(values) != 1 or len(ones) != 1 or not isinstance(ones[0][0].number, (int, float)) or not ones[0][0].number:
        return None
    (value, letters), (constant, others) = values[0], ones[0]
    lengths = dict(zip(others, constant.shape, strict=True))
    kept = dict(zip(letters, value.dims, strict=True))
    if any(kept[letter] for letter in letters if letter not in result):
        return None
    if any(letter not in result and letter not in kept and lengths[letter] != ONE for letter in others):
        return None
    return value.at([kept.get(x) or copies(lengths.get(x, ONE), lowering.sketch) for x in result])


def _weights(operands: Sequence[tuple[Value, Sequence[str]]], letter: str) -> bool:
    """Whether a weight is summed over this letter as one axis: then its factors are merged, not the weight cut."""
    return any(
        value.is_weight and len(value.dims[i]) == 1
        for value, letters in operands
        for i, x in enumerate(letters)
        if x == letter
    )


def biased(lowering: Lowering, value: Value, bias: object) -> Value:
    """Plus a bias along the last dimensions."""
    if not isinstance(bias, Value):
        return value
    letters = [str(i) for i in range(len(value.dims))]
    return lowering.sketch.combine(
        "add", [(value, letters), (bias, letters[len(letters) - len(bias.dims) :])], letters, "bias"
    )


@lowers("linear")
def linear(lowering: Lowering, call: Call) -> Result:
    """`x W^T + b`."""
    x, w = lowering.arg(call, 0), lowering.arg(call, 1)
    batch = [f"b{i}" for i in range(_rank(x) - 1)]
    result = [*batch, "o"] if _rank(w) == 2 else batch
    operands = [(x, [*batch, "i"]), (w, ["o", "i"] if _rank(w) == 2 else ["i"])]
    outputs = contracted(lowering, operands, result, _short(call))
    return biased(lowering, outputs, lowering.arg(call, 2, "bias"))


def _rank(operand: Value | Constant) -> int:
    return len(operand.dims) if isinstance(operand, Value) else len(operand.shape)


def _short(call: Call) -> str | None:
    """No further word where the module is one layer; otherwise the operation's name."""
    kind = call.stack[-1][1] if call.stack else ""
    return None if any(word in kind for word in ("Linear", "Conv", "Embedding")) else operation(call.target)


@lowers("addmm", "addmv", "addbmm", "_addmm_activation")
def addmm(lowering: Lowering, call: Call) -> Result:
    """`bias + a b`."""
    bias, a, b = (lowering.arg(call, i) for i in range(3))
    right = ["i", "o"] if _rank(b) == 2 else ["i"]
    product = contracted(lowering, [(a, ["b", "i"]), (b, right)], ["b", "o"] if _rank(b) == 2 else ["b"], _short(call))
    factor = as_length(lowering.arg(call, 4, "alpha", 1)) or ONE
    return biased(lowering, lowering.sketch.scale(product, factor, "scale"), bias)  # type: ignore[arg-type]


@lowers("baddbmm")
def baddbmm(lowering: Lowering, call: Call) -> Result:
    """`beta * input + alpha * (a @ b)`."""
    given, a, b = (lowering.arg(call, i) for i in range(3))
    product = contracted(lowering, [(a, ["b", "s", "i"]), (b, ["b", "i", "o"])], ["b", "s", "o"], "bmm")
    alpha = as_length(lowering.arg(call, 4, "alpha", 1))
    if alpha is not None:
        product = lowering.sketch.scale(product, alpha)
    if number(lowering.arg(call, 3, "beta", 1), 1.0) == 0 or not isinstance(given, Value):
        return product
    letters = ["0", "1", "2"]
    return lowering.sketch.combine("add", [(product, letters), (given, letters[3 - len(given.dims) :])], letters, "add")


@lowers("mm", "bmm", "matmul", "dot", "mv", "vdot", "inner", "__matmul__", "chain_matmul", "linalg_matmul",
        "_sparse_mm", "sparse_mm", "hspmm", "spmm")  # fmt: skip
def matmul(lowering: Lowering, call: Call) -> Result:
    """The last two dimensions are multiplied as matrices, those before are a batch."""
    a, b = lowering.arg(call, 0), lowering.arg(call, 1)
    rank_a, rank_b = _rank(a), _rank(b)
    deep = max(rank_a, rank_b, 2) - 2
    batch = [f"b{i}" for i in range(deep)]
    left = [*batch[deep - (rank_a - 2) :], "s", "i"] if rank_a > 1 else ["i"]
    right = [*batch[deep - (rank_b - 2) :], "i", "o"] if rank_b > 1 else ["i"]
    result = [*batch, *(["s"] if rank_a > 1 else []), *(["o"] if rank_b > 1 else [])]
    return contracted(lowering, [(a, left), (b, right)], result, _short(call))


@lowers("outer", "ger")
def outer(lowering: Lowering, call: Call) -> Result:
    """Every product of an entry of one with one of the other."""
    return contracted(lowering, [(lowering.arg(call, 0), ["a"]), (lowering.arg(call, 1), ["b"])], ["a", "b"], "outer")


@lowers("tensordot")
def tensordot(lowering: Lowering, call: Call) -> Result:
    """Sums over dimensions of one that go with dimensions of the other."""
    a, b, along, across = (lowering.arg(call, i) for i in range(4))
    left, right = [f"a{i}" for i in range(_rank(a))], [f"b{i}" for i in range(_rank(b))]
    for mine, its in zip(along, across, strict=True):
        left[lowering.dim(mine, len(left))] = right[lowering.dim(its, len(right))] = f"s{mine}"
    result = [letter for letter in (*left, *right) if letter[0] != "s"]
    return contracted(lowering, [(a, left), (b, right)], result, _short(call))


@lowers("kron")
def kron(lowering: Lowering, call: Call) -> Result:
    """Every entry of one times all of the other: each dimension has a factor of each."""
    a, b = lowering.arg(call, 0), lowering.arg(call, 1)
    rank = max(_rank(a), _rank(b))
    left, right = ([f"{x}{i}" for i in range(rank - _rank(each), rank)] for x, each in (("a", a), ("b", b)))
    result = [f"{x}{i}" for i in range(rank) for x in "ab" if f"{x}{i}" in (*left, *right)]
    made = contracted(lowering, [(a, left), (b, right)], result, "kron")
    dims = dict(zip(result, made.dims, strict=True))
    return made.at([(*dims.get(f"a{i}", ()), *dims.get(f"b{i}", ())) for i in range(rank)])


@lowers("bilinear", "_trilinear")
def bilinear(lowering: Lowering, call: Call) -> Result:
    """`x W y` with one matrix per output."""
    x, y, w = (lowering.arg(call, i) for i in range(3))
    batch = [f"b{i}" for i in range(_rank(x) - 1)]
    outputs = contracted(
        lowering, [(x, [*batch, "i"]), (y, [*batch, "j"]), (w, ["o", "i", "j"])], [*batch, "o"], _short(call)
    )
    return biased(lowering, outputs, lowering.arg(call, 3, "bias"))


@lowers("einsum")
def einsum(lowering: Lowering, call: Call) -> Result:
    """Any product, by its equation."""
    equation, operands = str(call.args[0]).replace(" ", ""), list(lowering.arg(call, 1))
    left, arrow, result = equation.partition("->")
    parts = left.split(",")
    deep = max(
        (_rank(o) - len(p.replace("...", "")) for o, p in zip(operands, parts, strict=True) if "..." in p), default=0
    )
    if not arrow:
        seen = left.replace(",", "").replace("...", "")
        result = ("..." if deep else "") + "".join(sorted(c for c in set(seen) if seen.count(c) == 1))
    named = [_letters(part, _rank(o), deep) for part, o in zip(parts, operands, strict=True)]
    if any(len(set(letters)) < len(letters) for letters in named):
        raise lowering.unknown("an einsum takes a diagonal", "take torch.diagonal in front of it")
    every, wanted = list(zip(operands, named, strict=True)), _letters(result, None, deep)
    return contracted(lowering, _in_turn(lowering, every, wanted), wanted, "einsum")


Lettered = tuple[Value | Constant, Sequence[str]]


def _in_turn(lowering: Lowering, operands: Sequence[Lettered], result: Sequence[str]) -> Sequence[Lettered]:
    """What is left of the operands where products with several weights are taken one after the other.

    What each makes is a value of its own then, with a size of its own: of one sum over all axes only the product of
    all weights had one. Of all pairs that share an axis the one goes first whose product has the fewest.
    """
    weights = [each for each, _ in operands if isinstance(each, Value) and each.is_weight]
    if len(operands) < 3 or len(weights) < 2 or not all(isinstance(each, Value) for each, _ in operands):
        return operands
    pairs = [(a, b) for i, a in enumerate(operands) for b in operands[i + 1 :] if set(a[1]) & set(b[1])]
    made: list[tuple[list[str], list[Lettered], list[Lettered]]] = []
    for pair in pairs:
        others = [each for each in operands if all(each is not one for one in pair)]
        needed = {*result, *(letter for _, letters in others for letter in letters)}
        made.append(([x for x in dict.fromkeys((*pair[0][1], *pair[1][1])) if x in needed], [*pair], others))
    if not made:
        return operands
    kept, pair, others = min(made, key=lambda each: len(each[0]))
    return _in_turn(lowering, [(contracted(lowering, pair, kept, "einsum"), kept), *others], result)


def _letters(part: str, rank: int | None, deep: int) -> list[str]:
    before, dots, after = part.partition("...")
    count = 0 if not dots else deep if rank is None else rank - len(before) - len(after)
    return [*before, *(f"dot{deep - count + i}" for i in range(count)), *after]


@lowers("_grouped_mm", "grouped_mm", "_scaled_grouped_mm", "grouped_mm_fallback")
def grouped_mm(lowering: Lowering, call: Call) -> Result:
    """Rows sorted by expert, each times the matrix of its own."""
    x, w = lowering.arg(call, 0), lowering.arg(call, 1)
    if _rank(x) == 2 and _rank(w) == 3:
        return contracted(lowering, [(x, ["s", "i"]), (w, ["e", "i", "o"])], ["s", "o"], "experts")
    if _rank(x) == 3 and _rank(w) == 3:
        return contracted(lowering, [(x, ["e", "s", "i"]), (w, ["e", "i", "o"])], ["e", "s", "o"], "experts")
    raise lowering.unknown("this form of grouped product is not known", "write it as an einsum over the experts")
