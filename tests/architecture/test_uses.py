"""How a parameter is a matrix, seen from the data that it meets."""

from __future__ import annotations

import pytest
import yaml

import scalerules as sr
from scalerules.architecture.uses import fan_in, matrix

MADE = """
name: hypernetwork
axes: {batch: 8, in: 5, code: 8, rows: 5*width, n: width, out: 4}
parameters: {z: {axes: [code]}, W: {axes: [rows, code]}, last: {axes: [out, n]}}
nodes:
  x: {op: input, axes: [batch, in], kind: normal}
  made: {op: einsum, parameters: [z, W], equation: 'c, r c -> r'}
  layer: {op: rearrange, inputs: [made], equation: 'r -> n i', axes: [n, in]}
  hidden: {op: einsum, inputs: [x, layer], equation: 'b i, n i -> b n'}
  relu: {op: relu, inputs: [hidden]}
  last: {op: einsum, inputs: [relu], parameters: [last], equation: 'b n, o n -> b o'}
outputs: [last]
sizes: {width: 32}
scales: {width: 1}
"""


@pytest.fixture(scope="module")
def graph() -> sr.Graph:
    """A layer whose matrix another layer makes, as one row."""
    return sr.Graph.model_validate(yaml.safe_load(MADE))


def test_rows_that_are_viewed_as_a_matrix_are_those_of_what_makes_them(graph: sr.Graph) -> None:
    """The data sum over a part of the rows; a fan-in of all of them would leave no matrix, and Muon's step a vector."""
    use = matrix(graph, "W")
    assert use is not None and (use.summed, use.brought) == ((1,), (0,))
    plain = matrix(graph, "last")
    assert plain is not None and (plain.summed, plain.brought) == ((1,), (0,))
    assert matrix(graph, "z") is None


def test_it_trains_under_muon_as_its_rule_says(graph: sr.Graph) -> None:
    """Every row of the made matrix had moved like `width^(1/2)`, each by itself."""
    found = sr.verify(graph, sr.derive(graph, "muon"), sizes=[32, 64, 128], seeds=2, progress=False, jobs=1)
    assert not found.wrong and not found.failed


FILTER = """
name: filter
axes: {batch: 8, in: 5, code: 8, n: width, out: 4}
parameters: {z: {axes: [code]}, W: {axes: [n, code]}, first: {axes: [n, in]}, last: {axes: [out, n]}}
nodes:
  x: {op: input, axes: [batch, in], kind: normal}
  hidden: {op: einsum, inputs: [x], parameters: [first], equation: 'b i, n i -> b n'}
  bent: {op: tanh, parameters: [z]}
  made: {op: einsum, inputs: [bent], parameters: [W], equation: 'c, n c -> n'}
  gated: {op: einsum, inputs: [hidden, made], equation: 'b n, n -> b n'}
  last: {op: einsum, inputs: [gated], parameters: [last], equation: 'b n, o n -> b o'}
outputs: [last]
sizes: {width: 32}
scales: {width: 1}
"""


@pytest.mark.parametrize("op", ["einsum", "add"])
def test_a_layer_that_makes_a_vector_is_a_matrix_whatever_the_vector_is_for(op: str) -> None:
    """A filter, a gain, a bias: data meet it entry by entry. Taken for a vector it moved like `width^(1/2)` under Muon."""
    graph = sr.Graph.model_validate(yaml.safe_load(FILTER.replace("gated: {op: einsum", f"gated: {{op: {op}")))
    use = matrix(graph, "W")
    assert use is not None and (use.summed, use.brought) == ((1,), (0,))
    assert matrix(graph, "z") is None
    solution = sr.derive(graph, "muon")
    assert str(solution["W"].lr["width"]) == "1/2"
    found = sr.verify(graph, solution, sizes=[32, 64, 128], seeds=2, progress=False, jobs=1)
    assert not found.wrong and not found.failed


HEADS = """
name: heads
axes: {batch: 8, in: 5, head: width, d: 4, p: 4*width, n: width, out: 4}
parameters: {first: {axes: [p, in]}, W: {axes: [n, p]}, last: {axes: [out, n]}}
nodes:
  x: {op: input, axes: [batch, in], kind: normal}
  hidden: {op: einsum, inputs: [x], parameters: [first], equation: 'b i, p i -> b p'}
  heads: {op: rearrange, inputs: [hidden], equation: 'b p -> b h d', axes: [batch, head, d]}
  rows: {op: rms_norm, parameters: [W], axis: p}
  split: {op: rearrange, inputs: [rows], equation: 'n p -> n h d', axes: [n, head, d]}
  joined: {op: einsum, inputs: [heads, split], equation: 'b h d, n h d -> b n'}
  relu: {op: relu, inputs: [joined]}
  last: {op: einsum, inputs: [relu], parameters: [last], equation: 'b n, o n -> b o'}
outputs: [last]
sizes: {width: 32}
scales: {width: 1}
"""


def test_an_axis_that_a_view_splits_is_summed_over_once() -> None:
    """Heads of which normed rows read each: the fan-in was its own square, and Muon's step ended in a traceback."""
    graph = sr.Graph.model_validate(yaml.safe_load(HEADS))
    use = matrix(graph, "W")
    assert use is not None and (use.summed, use.brought) == ((1,), (0,))
    assert fan_in(graph, "W", {"width": 32}) == 128
