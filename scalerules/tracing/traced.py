"""`trace`: any torch module, unedited, as a graph whose parameters have the module's own names.

The module is traced at several sizes (`tracing.recording`), every call is lowered to elementary operations
(`tracing.lowering`), and what the outputs need is written as a graph (`tracing.assemble`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import PrivateAttr

from scalerules.architecture.graph import Graph
from scalerules.boundary.isolated import isolated as alone
from scalerules.boundary.working import working
from scalerules.errors import MissingExtra, ScaleRulesError, UnknownName

if TYPE_CHECKING:
    from scalerules.tracing.writing.places import Live

    from .record import Record

STEPS = ("round", "floor", "ceil", "trunc", "sign", "sgn", "heaviside", "fix", "gt", "ge", "lt", "le")
"""Operations through which no gradient comes back."""
TRIES = 6
"""So often weights that turn out to be read as a whole are taken whole, and the lowering is done again."""


class Traced(Graph):
    """The graph of a traced module. `record` is what was traced, `places` where free factors stand in the module."""

    _record: Any = PrivateAttr(default=None)
    _places: dict[str, list[str]] = PrivateAttr(default_factory=dict[str, list[str]])
    _notes: list[str] = PrivateAttr(default_factory=list[str])
    _live: Any = PrivateAttr(default=None)

    @property
    def record(self) -> Record | None:
        """What was traced: calls with symbolic sizes, weights, modules and source lines."""
        return self._record

    @property
    def places(self) -> dict[str, list[str]]:
        """The attributes of the module that hold every free factor, `{"scores": ["layers.*.attn.scaling"]}`."""
        return self._places

    @property
    def live(self) -> Live | None:
        """Where nodes and parameters stand in the module; None of a graph that was made from a record alone."""
        return self._live

    @property
    def notes(self) -> list[str]:
        """What a user should know: factors to set, parameters that were left out, fallbacks."""
        return self._notes


def trace(
    make_model: Any,
    scales: Mapping[str, Any] | str | None = None,
    inputs: Any = None,
    *,
    measure: bool = True,
    loss: Literal["mse", "cross_entropy"] | None = None,
    progress: bool = True,
    check: bool = False,
    isolated: bool = False,
) -> Traced:
    """The graph of what `make_model(**sizes)` computes on `inputs(**sizes)`, or on the same `inputs` at all sizes.

    `scales` gives for every scale some values that the factory accepts, `{"width": (32, 48, 64)}`; the first scale is
    the one that grows by default. In place of a factory there may be a configuration of transformers, with the field
    that grows, `{"width": "hidden_size"}` (fields that follow it are found by measuring) or all that do, `{"width":
    ("hidden_size", "num_attention_heads")}`, and without inputs where it is called with tokens or pictures; or modules
    of two sizes or more, `(base, target)`, whose `scales` are read off their shapes where none are given.

    No weights are allocated for tracing; `measure` False also leaves out the small real
    copies in which the initial values are looked at. `loss` is what `verify` trains with; by default that of the
    module itself, cross-entropy where it returns an entry for every token of a table, and else mean squares.
    `progress`: what takes more than two seconds says so on standard error. `check` prints what was guessed, which
    branches were fixed, and which parameters have no rule (`dry_run`). `isolated` runs the module's code in a forked
    process with limits of time and memory, as the command line does: a crash is an exception then.

    Raises `MissingExtra` without torch, and `ScaleRulesError` where the module cannot be traced or an operation is not
    known, with the operation, the module's path and the source line.
    """
    try:
        from scalerules.tracing.exporting.recording import record

        from .starts import start
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] == "torch":
            raise MissingExtra("tracing a module", "torch") from error
        raise
    if loss not in (None, "mse", "cross_entropy"):
        raise UnknownName("loss", str(loss), ["mse", "cross_entropy"])
    with working(f"tracing {_name_of(make_model)}", progress):
        begun = start(make_model, scales, inputs, graph_of)
        run = alone if isolated else _here
        found = run(
            lambda: record(begun.make_model, begun.scales, begun.inputs, measure=measure, exactly=begun.exactly)
        )
        graph = graph_of(found, begun.make_model, begun.inputs, loss)
        graph._notes = [*begun.notes, *graph.notes]  # pyright: ignore[reportPrivateUsage]
    if check:
        from .dry_run import dry_run

        print("\n".join(dry_run(graph, graph.record, graph.notes) or ["nothing was guessed, fixed or left out"]))
    return graph


def _name_of(what: Any) -> str:
    """How a line of progress calls what is traced."""
    first = cast("Sequence[object]", what)[0] if isinstance(what, (list, tuple)) and what else cast(object, what)
    return getattr(first, "__name__", None) or type(first).__name__


def _here(work: Callable[[], Record]) -> Record:
    return work()


def graph_of(
    record: Record,
    make_model: Callable[..., Any] | None = None,
    inputs: Callable[..., Any] | None = None,
    loss: str | None = None,
) -> Traced:
    """The graph of a record. Raises `ScaleRulesError` where it cannot be lowered.

    With what makes the module and its inputs, `verify` measures the module itself.
    """
    from scalerules.tracing.dry_run import unread
    from scalerules.tracing.exporting.short_inputs import brief
    from scalerules.tracing.writing.beside_losses import growing_sums
    from scalerules.tracing.writing.free_factors import free_factors, freed
    from scalerules.tracing.writing.places import inside, lines_of, live
    from scalerules.tracing.writing.write import Writer

    lowering, written = _lowered(record, loss)
    growth = {scale: int(i == 0) for i, scale in enumerate(record.scales) if scale not in lowering.held}
    writer = Writer(record, freed(written))
    try:
        graph = writer.graph(growth, Traced)
    except UnknownName as error:
        if not lowering.held:
            raise
        what = f"a loop has as many steps as {' and '.join(sorted(lowering.held))} says, and so has an axis"
        raise ScaleRulesError(what, hint="hold it fixed: give inputs of one length at all sizes") from error
    assert isinstance(graph, Traced)
    graph._places, said = free_factors(writer)  # pyright: ignore[reportPrivateUsage]
    unlike, places = _unlike_the_module(record, written.nodes.values()), None
    if unlike is None and make_model is not None and inputs is not None:
        places = live(writer, lowering.shown, make_model, brief(inputs, record.cut))
        if hidden := [output for output in graph.outputs if output not in places.nodes]:
            unlike, places = f"no call of the module returns {hidden[0]!r}, from which its loss is computed", None
        elif (bent := inside(writer)) is not None:
            unlike, places = f"the factor that is solved for stands inside of the call {bent!r}", None
    if unlike is not None:
        said.append(f"verify runs the graph and not the module: {unlike}")
    graph._live = places  # pyright: ignore[reportPrivateUsage]
    graph.written_at(lines_of(writer))
    graph._record = record  # pyright: ignore[reportPrivateUsage]
    left = _penalties(record, lowering)
    said += [f"output {k} is a number of weights alone, a penalty: it is left out, as weight decay is" for k in left]
    said += growing_sums(lowering.sketch.nodes, [lowering.get(output.ref) for output in record.outputs])
    graph._notes = [*record.notes, *lowering.notes, *said, *unread(graph, record)]  # pyright: ignore[reportPrivateUsage]
    return graph


def _lowered(record: Record, loss: str | None) -> tuple[Any, Any]:
    """The lowering of a record and the pieces of its graph; again where weights, loops or blocks do not fit."""
    from scalerules.tracing.lowering.driver import lowered
    from scalerules.tracing.lowering.folding import Unfoldable
    from scalerules.tracing.sketch.sketch import Sketch
    from scalerules.tracing.writing.state_spaces import Unfused, fused
    from scalerules.tracing.writing.write import Conflict, pieces

    whole, unfolded = frozenset[str](), frozenset[str]()
    for _ in range(TRIES):
        try:
            lowering = lowered(record, Sketch(whole), unfolded)
            outputs = [lowering.get(output.ref) for output in record.outputs]
            return lowering, fused(pieces(record, lowering.sketch, outputs, loss))
        except Unfused as loops:
            unfolded |= loops.loops
        except Conflict as conflict:
            whole |= conflict.weights
        except Unfoldable as blocks:
            unfolded |= {str(blocks)}
    said = f"the weights {', '.join(sorted(whole))} are read in ways that do not fit together"
    raise ScaleRulesError(said, where=f"module {record.model}", hint="read each in the same parts everywhere")


def _penalties(record: Record, lowering: Any) -> list[int]:
    """The places of the outputs that weights alone make, where there are others."""
    from scalerules.tracing.writing.write import is_penalty

    results = [lowering.get(output.ref) for output in record.outputs]
    sources = [getattr(result, "source", None) for result in results]
    places = [k for k, source in enumerate(sources) if isinstance(source, str) and is_penalty(lowering.sketch, source)]
    return places if len(places) < len(results) else []


def _unlike_the_module(record: Record, nodes: Iterable[Any]) -> str | None:
    """What in the graph is not run as the module runs it, if anything."""
    from scalerules.tracing.lowering.state import operation

    if any(node.op == "scan" and not _one_call(node) for node in nodes):
        return "a loop over time was traced as one scan"
    if any(loop.over == "time" and loop.count is not None and loop.count.scales for loop in record.repetitions):
        return "a block that is applied again is traced as its sum"
    if (complex_one := next((w.name for w in record.weights if w.trained and "complex" in w.dtype), None)) is not None:
        return f"the weight {complex_one!r} is complex"
    if record.taken_apart:
        return f"the graph has what {record.taken_apart} does, call by call"
    if record.own_gradients and any(operation(call.target) in STEPS for call in record.calls):
        return "a step is passed by a gradient of the module's own"
    if record.decided:
        return "a branch depends on values, and the graph has the one that the given inputs take"
    return None


def _one_call(node: Any) -> bool:
    """Whether a scan is a call of the exported program, which can be run as one."""
    return node.call is not None and node.call.target.startswith("scalerules.")
