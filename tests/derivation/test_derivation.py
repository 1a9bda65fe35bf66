"""Derivations: rows that follow, conditions that give the unknowns, trees, tables, and the checker that trusts nothing."""

from __future__ import annotations

import copy
import itertools
import json
import pickle
import random
import re
import shutil
import subprocess
import time
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest
import sympy

import scalerules as sr
from scalerules.errors import Clash, ScaleRulesError, UnknownName
from scalerules.solution import Solution
from scalerules.solution.branches import MOST
from scalerules.solution.checker import failures
from scalerules.solution.derivation import written


@cache
def solution(name: str = "mlp", optimizer: str = "adam", **asked) -> Solution:
    return sr.derive(name, optimizer=optimizer, progress=False, **asked)


def test_the_hidden_layer_in_three_lines():
    derivation = solution().derivation
    assert derivation is not None
    found = {each.symbol: each for each in derivation.solved}
    assert [str(found[s].value) for s in ("a_h1", "c_h1", "a_output")] == ["width^(-1/2)", "width^-1", "width^-1"]
    start = derivation.condition(str(found["a_h1"].condition))
    assert (start.relation, written(start.form)) == ("at most", "a_input + a_h1 + g_n/2")
    row = derivation.row(start.row)
    assert (row.quantity, row.operation, [str(s) for s in row.sums]) == ("h1", "W_h1 a1", ["n: independent 1/2"])
    readout = derivation.row(derivation.condition(str(found["a_output"].condition)).row)
    assert (readout.operation, [str(s) for s in readout.sums]) == ("W_output d a3", ["n: aligned 1"])


def test_sizes_are_sympy_expressions_and_conditions_relations():
    derivation = solution().derivation
    assert derivation is not None
    row = next(row for row in derivation if row.quantity == "h1")
    assert row.symbols == sympy.Symbol("a_h1") + sympy.Symbol("F3") + sympy.Symbol("g_n") / 2
    assert isinstance(derivation.condition("E1").sympy, sympy.Le) and isinstance(
        derivation.condition("E5").sympy, sympy.Eq
    )
    assert len(derivation) == len(list(derivation)) == len(derivation.rows)


def test_an_answer_for_every_scale_alone_has_a_cone_where_a_term_outgrows_what_divides_it():
    """Of times that grow faster than the width another part of the gradient is the largest: the rows here say nothing."""
    axes = {"batch": 4, "time": "second", "in": 8, "out": 4, "n": "width", "neck": 8}
    g = sr.Builder("neck", scales={"width": 1, "second": "1/2"}, sizes={"width": 64, "second": 4}, axes=axes)
    first = g.dense("first", g.input("x", "batch time in"), "n in", "b t")
    normed = g.gain("gain", g.node("norm", "layer_norm", first, axis="n"), "n", "b t")
    neck = g.sigmoid(g.bias("bias", g.dense("W1", normed, "neck n", "b t"), "neck"))
    branch = g.scale("branch", g.dense("W2", neck, "n neck", "b t"), free=True)
    read = g.rms_norm(g.residual("sum", first, branch), axis="n", name="last_norm")
    found = sr.derive(g.build(g.dense("last", read, "out n", "b t")), optimizer="adamw", progress=False)
    assert found.cone == ("second <= width",)
    found.check()


def narrow_and_wide():
    axes = {"batch": 16, "in": 8, "n": "wide", "m": "wide*deep", "out": 4}
    g = sr.Builder("fans", scales={"wide": 1, "deep": 1}, sizes={"wide": 64, "deep": 8}, axes=axes)
    h = g.dense("first", g.input("x", "batch in"), "n in")
    return g.build(g.dense("last", g.gelu(g.dense("second", g.gelu(h), "m n")), "out m"))


TRUE = [
    ("mlp", "sgd", {}),
    ("mlp", "muon", {}),
    ("mlp", "lamb", {}),
    ("mlp", "adam", {"gauge": "ntk"}),
    ("mlp", "sgd", {"gauge": "table8"}),
    ("mlp", "sgd", {"given": {"output": {"init": "-1/2"}}, "lazy": True}),
    ("mlp", "adam", {"mode": "isolated"}),
    ("mlp", "sgd(clip=fixed)", {}),
    ("mlp", "adamw", {"tied": "all"}),
    ("lora", "sgd", {}),
    (narrow_and_wide, "sgd", {"scales": {"wide": 1, "deep": "1/2"}}),
]


@pytest.mark.parametrize(("graph", "optimizer", "asked"), TRUE)
def test_the_checker_confirms_what_the_engine_derives(graph, optimizer, asked):
    graph = graph if isinstance(graph, str) else graph()
    found = sr.derive(graph, optimizer=optimizer, progress=False, **asked)
    found.check()
    again = Solution.from_json(found.to_json())
    assert again.derivation == found.derivation and again == found


def corrupted(data: dict, rng: random.Random) -> tuple[str, dict]:
    """A copy with one thing changed, and what."""
    data = copy.deepcopy(data)
    story, scale = data["derivation"], next(iter(data["direction"]))
    kind = rng.choice(["size", "parent", "condition", "exponent", "cone", "adds", "sum", "unknown"])
    other = str(Fraction(rng.choice([-3, -2, -1, 1, 2, 3, 5]), rng.choice([1, 2, 3])))

    def changed(mapping: dict[str, str], key: str) -> None:
        mapping[key] = other if Fraction(mapping.get(key, "0")) != Fraction(other) else str(Fraction(other) + 1)

    row = rng.choice(story["rows"])
    if kind == "size":
        changed(row["size"], scale)
    elif kind == "parent":
        row = rng.choice([row for row in story["rows"] if row["follows"]])
        link = rng.choice(row["follows"])
        link[0] = rng.choice([r["row"] for r in story["rows"] if r["row"] != link[0]])
    elif kind == "condition":
        changed(condition := rng.choice(story["conditions"])["form"], rng.choice(list(condition)))
    elif kind == "exponent":
        number = rng.choice(["init", "lr", "mult", "wd"])
        changed(data["parameters"][rng.choice(list(data["parameters"]))][number], scale)
    elif kind == "cone":
        data["cone"] = data["cone"][1:] if data["cone"] and rng.random() < 0.5 else [*data["cone"], f"{scale} <= 0"]
    elif kind == "adds":
        changed(row["adds"], rng.choice([*row["adds"], next(iter(story["growths"]))]))
    elif kind == "sum":
        row = rng.choice([row for row in story["rows"] if any(share != "0" for _, _, share in row["sums"])])
        rng.choice([s for s in row["sums"] if s[2] != "0"])[2] = "7/5"
    else:
        changed(rng.choice(story["solved"])["value"], scale)
    return kind, data


@pytest.mark.parametrize(("name", "optimizer"), [("mlp", "adam"), ("lora", "sgd")])
def test_every_corruption_is_caught(name, optimizer):
    data = solution(name, optimizer).to_dict()
    rng, caught = random.Random(0), dict[str, int]()
    for _ in range(100):
        kind, wrong = corrupted(data, rng)
        assert next(failures(wrong), None), (kind, wrong)
        caught[kind] = caught.get(kind, 0) + 1
    assert len(caught) == 8


@pytest.mark.parametrize("number", ["1e999999999", "9" * 5000, "1/0", "NaN", "0.1", ""])
def test_a_tampered_file_is_refused_with_its_row_whatever_numbers_stand_in_it(number):
    data = solution().to_dict()
    data["derivation"]["rows"][3]["size"]["width"] = number
    started = time.monotonic()
    with pytest.raises(
        ScaleRulesError, match=r"does not hold|derivation\.rows\.3\.size\.width: cannot read the exponent"
    ):
        Solution.from_json(json.dumps(data))
    assert time.monotonic() - started < 1  # 0.01 s as measured, whatever the number
    data["derivation"]["rows"][3]["size"]["width"] = "1/2"
    with pytest.raises(ScaleRulesError, match="row F4 does not follow"):
        Solution.from_json(json.dumps(data))


def test_what_was_changed_by_hand_has_no_derivation_and_a_file_of_version_1_still_loads():
    other = solution().changed("h1", lr={"width": 0})
    assert other.derivation is None
    with pytest.raises(ScaleRulesError, match="has no derivation"):
        other.check()
    data = json.loads(other.to_json()) | {"version": 1}
    data["explanations"]["h1"][0]["steps"] = [{"stage": "forward", "time": 0, "node": "x", "size": "1", "because": "."}]
    assert Solution.from_json(json.dumps(data)) == other
    assert "derive again" in other.explain("h1")


def test_pickled_it_keeps_its_derivation():
    assert pickle.loads(pickle.dumps(solution())).derivation == solution().derivation


TREES = [
    ("mlp", "adam", "output", ["W_output d a3", "[n: aligned 1]", "held by E6"], 2),
    ("mlp", "sgd", "output", ["W_output d a3", "[n: aligned 1]", "held by E"], 2),
    ("transformer", "adam", "attention.scores", ["[head: aligned 1]", "held by"], 4),
    ("transformer", "sgd", "attention.scores", ["[head: aligned 1]", "held by"], 4),
    ("mamba", "adam", "W_B", ["W_W_B d u", "[inner: aligned 1]", "signs of G"], 4),
]


@pytest.mark.parametrize(("name", "optimizer", "of", "words", "most"), TREES)
def test_a_tree_has_every_row_once_and_is_short(name, optimizer, of, words, most):
    text = solution(name, optimizer).explain(of)
    tree = "\n".join(itertools.takewhile(bool, text.splitlines()[2:]))
    assert all(word in tree for word in words), tree
    names = [line.split()[0] for line in tree.splitlines()[2:]]
    assert len(names) <= most
    assert len(set(names)) == len(names)
    assert "Half a power more, and the change of" in text


def trees_of(text: str) -> list[list[str]]:
    """The names of the first row of every line, tree by tree."""
    found = [re.match(r" {2,}([FBGUCL]\d+)\b", line) for line in text.splitlines()]
    return [[row[1] for row in rows if row] for named, rows in itertools.groupby(found, bool) if named]


@pytest.mark.parametrize(("name", "optimizer"), [("transformer", "sgd"), ("mamba", "adam"), ("lora", "sgd")])
def test_no_tree_is_longer_than_a_dozen_rows_and_every_row_that_it_names_has_a_line_or_a_reason(name, optimizer):
    found = solution(name, optimizer)
    for of in (*found.parameters, *found.multipliers):
        text = found.explain(of)
        assert all(len(rows) <= MOST and len(set(rows)) == len(rows) for rows in trees_of(text)), text
        told = {row for rows in trees_of(text) for row in rows}
        for line in (line for line in text.splitlines() if line.startswith("  ") and "held by" not in line):
            for row, note in re.findall(r"(?: [+-] |  )(?:\d\*)?([FBGUCL]\d+)( \(.*?\))?", line):
                assert note or row in told, (row, text)
        below = re.findall(r"([FBGUCL]\d+)(?: \([^()]*,)? below\)", text)
        assert all(f"\n{row}: the " in text for row in below), text


def test_a_rate_at_a_saddle_is_read_off_the_training_beyond_it():
    derivation = solution("lora", "sgd").derivation
    assert derivation is not None and all(each.condition for each in derivation.solved)
    rate = derivation.of("c_B_2")
    assert rate is not None and rate.condition is not None
    condition = derivation.condition(rate.condition)
    assert (written(condition.adds), derivation.row(condition.row).stage) == ("-u_B_2", "update")
    text = solution("lora", "sgd").explain("B_2")
    assert "u_B_2 = 1 by E" in text and "the own contribution beyond the saddle grows like width^(1/2)" in text
    assert "### Beyond the saddle, step 2: changes" in solution("lora", "sgd").to_markdown()


def test_a_factor_beside_another_is_read_off_where_a_neck_starts_at_a_saddle():
    """Random graph 71143: an update beyond the saddle was no kind of event from which a factor could be read."""
    g = sr.Builder("neck", axes={"batch": 4, "in": 8, "n": "width", "neck": 8, "out": 16})
    g.parameter("first", "n in")
    first = g.einsum("rows", "b i, n i -> b n", g.input("x", "batch in"), g.tanh(parameters=("first",)))
    up = g.dense("up", g.dense("down", first, "neck n", "b"), "n neck", "b")
    twice = g.scale("branch", g.scale("free", up, free=True), free=True)
    graph = g.build(g.dense("last", twice, "out n", "b"))
    sr.derive(graph, optimizer="sgd").check()


def test_nodes_rows_and_conditions_are_explained_and_the_nearest_name_is_told():
    found = solution()
    assert "the value of a2 at initialisation neither grows nor vanishes:" in found.explain("a2")
    assert "the gradient at a2 in step 1 goes like width^-1:" in found.explain("a2")
    assert found.explain("F4").startswith("F4 in mlp") and "E5" in found.explain("E5")
    with pytest.raises(UnknownName, match="did you mean 'h1'"):
        found.explain("h11")


def test_a_solution_is_like_a_mapping_and_shows_itself_in_a_notebook():
    found = solution()
    assert len(found) == 4 and list(found) == ["input", "h1", "h2", "output"] and "h1" in found
    assert found._ipython_key_completions_() == list(found)
    page = found._repr_html_()
    assert "width<sup>" in page and '<a href="#mlp-adam-joint-plain-E2">width<sup>' in page
    targets = set(re.findall(r'href="#([^"]*)"', page))
    assert targets <= set(re.findall(r'id="([^"]*)"', page)) and "mlp-adam-joint-plain-F3" in targets


def test_a_page_links_every_number_to_its_cause():
    text = solution().to_markdown()
    anchors = set(re.findall(r'<a id="(\w+)">', text))
    assert set(re.findall(r"\(#(\w+)\)", text)) <= anchors
    assert len(text.splitlines()) < 100


def test_from_the_table_to_the_cause_in_two_links():
    """What a newcomer does with the page as rendered: from the number of `W_B` along links to the aligned sum."""
    text = (Path(__file__).parents[2] / "derivations" / "mamba" / "adam.md").read_text(encoding="utf-8")
    rows = {found[1]: line for line in text.splitlines() if (found := re.match(r'\| <a id="(\w+)">', line))}
    cell = next(line for line in text.splitlines() if line.startswith("| `W_B`")).split(" | ")[2]
    assert cell.startswith("[width^-1]")
    steps = {name: 1 for name in re.findall(r"\(#(\w+)\)", cell)}
    for name in (queue := list(steps)):
        for cause in re.findall(r"\(#(\w+)\)", rows[name]):
            if cause not in steps:
                steps[cause] = steps[name] + 1
                queue.append(cause)
    cause = next(name for name in queue if "| W_B |" in rows[name] and "inner: aligned 1" in rows[name])
    assert steps[cause] == 2 and "W_W_B d u" in rows[cause]


SPECIFICATION = """
name: clashing
axes: {batch: 4, in: 4, n: width, out: 4}
parameters: {a: {axes: n in}, b: {axes: out n}}
nodes:
  x: {op: input, axes: batch in}
  h: {op: einsum, inputs: [x], parameters: [a], equation: "b i, n i -> b n"}
  grown: {op: scale, inputs: [h], factor: "width^2"}
  y: {op: einsum, inputs: [grown], parameters: [b], equation: "b n, o n -> b o"}
outputs: [y]
"""


def test_a_clash_names_the_line_of_its_node(tmp_path):
    (tmp_path / "spec.yaml").write_text(SPECIFICATION.lstrip())
    with pytest.raises(Clash) as caught:
        sr.derive(
            str(tmp_path / "spec.yaml"), optimizer="adam", given={"a": {"init": 0}, "b": {"init": 0}}, progress=False
        )
    line = (
        SPECIFICATION.lstrip().splitlines().index(next(s for s in SPECIFICATION.splitlines() if s.startswith("  y:")))
        + 1
    )
    assert any(f"spec.yaml:{line}" in equation for equation in caught.value.equations), str(caught.value)


CLASHES = [
    (
        "adam",
        {"output": {"init": 0}},
        {},
        ["C3         change of output  W_output d a3    [n: aligned 1]        g_n + a_output + C2"],
    ),
    ("sgd", {"h1": {"lr": 2}}, {}, ["c_h1 + B5 + 2*F2", "gradient at output  gradient of the loss"]),
    ("sgd", {"output": {"init": 0}, "h1": {"lr": 2}}, {"mode": "isolated"}, ["F4      value of h2"]),
]


@pytest.mark.parametrize(("optimizer", "given", "asked", "words"), CLASHES)
def test_a_clash_shows_the_rows_that_its_conditions_follow_from(optimizer, given, asked, words):
    with pytest.raises(Clash) as caught:
        sr.derive("mlp", optimizer=optimizer, given=given, progress=False, **asked)
    text = str(caught.value)
    assert all(word in text for word in words), text
    assert all(rows and len(rows) <= MOST for rows in caught.value.rows) and "What would resolve it:" in text


LATEX = [("mlp", "adam", {}), ("transformer", "sgd", {}), ("lora", "adam", {"mode": "isolated"}), ("mlp", "lamb", {})]
TOO_WIDE = re.compile(r"Overfull \\hbox \((\d+)")
ENGINE = next(filter(None, map(shutil.which, ["pdflatex", "tectonic"])), None)


@pytest.mark.skipif(ENGINE is None, reason="needs a TeX engine")
@pytest.mark.parametrize(("name", "optimizer", "asked"), LATEX)
def test_the_latex_compiles_and_fits_the_page(tmp_path, name, optimizer, asked):
    body = solution(name, optimizer, **asked).to_latex()
    head = "\\documentclass{article}\\usepackage{longtable,array}\\begin{document}\\footnotesize\n"
    (tmp_path / "page.tex").write_text(head + body + "\\end{document}\n")
    options = ["-interaction=nonstopmode", "-halt-on-error"] if "pdflatex" in str(ENGINE) else []
    ran = subprocess.run([str(ENGINE), *options, "page.tex"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert (
        max(map(int, TOO_WIDE.findall(ran.stdout)), default=0) < 80
    )  # points: the margin, for names that do not break


@pytest.mark.parametrize(("name", "optimizer", "asked"), LATEX)
def test_the_latex_is_balanced_and_its_rows_have_the_columns_of_their_table(name, optimizer, asked):
    body = solution(name, optimizer, **asked).to_latex()
    assert body.count(r"\begin{longtable}") == body.count(r"\end{longtable}") >= 3
    plain = re.sub(r"\\[\\{}_#%&$]", "", body.replace(r"\\", ""))
    assert plain.count("{") == plain.count("}") and plain.count("$") % 2 == 0
    for table in re.findall(r"\\begin{longtable}(.*?)\\end{longtable}", body, re.DOTALL):
        lines = [
            re.sub(r"\\&", "", line)
            for line in table.splitlines()
            if line.rstrip(r" \hline").endswith(r" ") or "&" in line
        ]
        assert len({line.count("&") for line in lines if "&" in line}) == 1
    outside = re.sub(r"\$[^$]*\$|\\[_^]|\\begin.*|\\setlength.*", "", body.partition(r"\paragraph")[2])
    assert not re.search(r"[_^#]", outside)


def test_a_clash_at_a_parameter_that_stands_alone_has_no_rows_for_it():
    """What is largest of a sum may be a parameter's own range, which follows from nothing."""
    nodes = {
        "x": {"op": "input", "axes": ["b", "i"]},
        "h": {"op": "einsum", "inputs": ["x"], "parameters": ["W"], "equation": "b i, i n -> b n"},
        "shifted": {"op": "add", "inputs": ["h"], "parameters": ["ramp"], "equation": "b n, n -> b n"},
        "y": {"op": "einsum", "inputs": ["shifted"], "parameters": ["fixed"], "equation": "b n, i n -> b i"},
    }
    parameters = {
        "W": {"axes": ["i", "n"]},
        "ramp": {"axes": ["n"], "init": "range"},
        "fixed": {"axes": ["i", "n"], "init": "log_range", "trained": False},
    }
    made = {"name": "ramp", "axes": {"b": 4, "i": 4, "n": "width"}, "parameters": parameters, "nodes": nodes}
    with pytest.raises(sr.ScaleRulesError) as error:
        sr.derive(sr.Graph.model_validate({**made, "outputs": ["y"]}), optimizer="sgd")
    assert "cannot hold together" in str(error.value) and "'shifted'" in str(error.value)
