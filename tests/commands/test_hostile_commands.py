"""Hostile command lines and files: refused before anything runs, in one line, with the option's name."""
# pyright: reportArgumentType=false, reportCallIssue=false

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scalerules as sr
from scalerules.boundary import guard
from scalerules.commands.common import COMMANDS
from scalerules.commands.main import main
from scalerules.errors import ScaleRulesError

# (arguments, the message behind "scalerules: ")
NONSENSE = [
    (["verify", "mlp", "--lr", "-1"], "--lr -1.0 is not a number above 0 and at most 1e+09"),
    (["verify", "mlp", "--lr", "nan"], "--lr nan is not a number above 0"),
    (["verify", "mlp", "--lr=-inf"], "--lr -inf is not a number above 0"),
    (["verify", "mlp", "--lr", "1e30"], "--lr 1e+30 is not a number above 0"),
    (["verify", "mlp", "--lr", "0"], "--lr 0.0 is not a number above 0"),
    (["verify", "mlp", "--sizes", "-64,128"], "--sizes -64.0 is not a number above 0"),
    (["verify", "mlp", "--sizes", "64,nan"], "--sizes nan is not a number above 0"),
    (["verify", "mlp", "--sizes", "64,1e400"], "--sizes inf is not a number above 0"),
    (["verify", "mlp", "--sizes", "64"], "--sizes [64.0]: at least 2 different numbers are needed"),
    (["verify", "mlp", "--sizes", "64,64"], "--sizes [64.0, 64.0]: at least 2 different numbers are needed"),
    (["verify", "mlp", "--sizes", ""], "--sizes '' is not a list of numbers"),
    (["verify", "mlp", "--seeds", "0"], "--seeds 0 is not a whole number from 1 to 10000"),
    (["verify", "mlp", "--seeds", ""], "--seeds '' is not a list of whole numbers"),
    (["verify", "mlp", "--seeds", "-4"], "--seeds -4 is not a whole number from 1 to 10000"),
    (["verify", "mlp", "--seed", "-1"], "--seed -1 is not a whole number from 0"),
    (["verify", "mlp", "--steps", "0"], "--steps 0 is not a whole number from 1 to 100"),
    (["verify", "mlp", "--plot", "x.banana"], "x.banana: unknown kind of figure '.banana' (one of: .eps, .htm, .html,"),
    (["verify", "mlp", "--plot", "x.pgn"], "x.pgn: unknown kind of figure '.pgn' (did you mean '.png'?)"),
    (["verify", "mlp", "--plot", "no/x.png"], "there is no folder"),
    (["verify", "mlp", "--plot", ".png"], ".png: has no ending that says what kind of figure it is (such as x.svg)"),
    (["transfer", "mlp", "--plot", "x.hmtl"], "x.hmtl: unknown kind of figure '.hmtl' (did you mean '.html'?)"),
    (["transfer", "mlp", "--jobs", "0"], "--jobs 0 is not a whole number from 1 to 1024"),
    (["transfer", "mlp", "--jobs", "-1"], "--jobs -1 is not a whole number from 1 to 1024"),
    (["transfer", "mlp", "--base", "-3"], "--base -3.0 is not a number above 0"),
    (["transfer", "mlp", "--lrs", "0.1,-0.2"], "--lrs -0.2 is not a number above 0"),
    (["transfer", "mlp", "--seeds", "0"], "--seeds 0 is not a whole number from 1 to 10000"),
    (["transfer", "mlp", "--steps", "-5"], "--steps -5 is not a whole number from 1 to 1000000"),
    (["transfer", "mlp", "--axis", "batch=-3"], "--axis 'batch=-3' is not NAME=LENGTH"),
    (["transfer", "mlp", "--store", "no/x"], "there is no folder"),
    (["report", "mlp", "--sizes", "32"], "--sizes [32.0]: at least 2 different numbers are needed"),
    (["fuzz", "--minutes", "nan"], "--minutes nan is not a number above 0"),
    (["fuzz", "--minutes", "-1"], "--minutes -1.0 is not a number above 0"),
    (["fuzz", "--graphs", "0"], "--graphs 0 is not a whole number from 1"),
    (["fuzz", "--save", "/proc/found"], "cannot make the folder '/proc/found'"),
    (["derive", "mlp", "--steps", "2.5"], "--steps 2.5 is not a whole number"),
    (["derive", "/tmp/.."], "unknown graph '/tmp/..'"),
    (["derive", "mlp", "--scale", "width", "--scale", "width=2"], "--scale 'width=2': 'width' stands twice"),
    (["derive", "mlp", "--set", "hidden=1", "--set", "hidden=2"], "--set 'hidden=2': 'hidden' stands twice"),
    (["transfer", "mlp", "--jobs=1.5"], "--jobs 1.5 is not a whole number"),
    (["fuzz", "--graphs", "2."], "--graphs 2. is not a whole number"),
    (["derive", "mlp", "--steps", "100000"], "--steps 100000 is not a whole number from 1 to 100"),
    (["derive", "mlp", "--set", "hidden=-1"], "graph 'mlp': option 'hidden' is a whole number from 0 to 1000, not -1"),
    (["derive", "mlp", "--set", "hidden=100000"], "graph 'mlp': option 'hidden' is a whole number from 0 to 1000, not 100000"),
    (["derive", "mlp", "--set", "hidden=two"], "graph 'mlp': option 'hidden' is a whole number from 0 to 1000, not 'two'"),
    (["derive", "mlp", "--set", "activation=3"], "graph 'mlp': option 'activation' is a name, not 3"),
    (["derive", "transformer", "--set", "tied=maybe"], "graph 'transformer': option 'tied' is true or false, not 'maybe'"),
    (["derive", "mlp", "--set", "activation=foo"], "graph 'mlp', node 'a1': unknown op 'foo' (one of: abs, add, "),
    (["derive", "mlp", "--scale", "width=-1"], "graph 'mlp': no scale grows"),
    (["derive", "mlp", "--scale", "width=1e9"], "--scale 'width=1e9': '1e9' is not a number"),
    (["derive", "mlp", "--optimizer", "shampoo(1e999999999,1)"], "optimizer 'shampoo': needs two exponents"),
    (["derive", "mlp", "--optimizer", "x" * 10_000], "unknown optimizer 'xxx"),
    (["derive", "mlp", "-o", "a" * 300], "cannot write 'aaa"),
    (["derive", "x" * 10_000], "unknown graph 'xxx"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"), NONSENSE, ids=lambda v: " ".join(v)[:60] if isinstance(v, list) else ""
)
def test_nonsense_is_refused_before_anything_runs(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    start = time.monotonic()
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(f"scalerules: {message}")
    assert (shown.out, len(shown.err.splitlines()), list(tmp_path.iterdir())) == ("", 1, [])
    assert time.monotonic() - start < 5


def test_sizes_that_cannot_be_allocated_are_refused_with_the_memory_that_they_need(capsys):
    pytest.importorskip("torch")
    for command in ("verify", "transfer"):
        assert main([command, "mlp", "--sizes", "64,99999999"]) == 2
        said = capsys.readouterr().err
        assert said.startswith("scalerules: training at width 1e+08 needs about 320,000 TB of memory, and ")


def test_an_activation_is_one_of_the_functions(capsys):
    main(["derive", "mlp", "--set", "activation=foo"])
    said = capsys.readouterr().err
    assert "tanh" in said and "einsum" not in said and "scan" not in said and ".py" not in said


WORDS = st.sampled_from([
    "mlp", "mlpp", "--optimizer", "adam", "sgd", "--scale", "width", "width=1/2", "width=", "=", "--steps", "0", "-1", "nan",
    "1e999999999", "--given", "ntk", "--set", "hidden=1", "hidden", "--mode", "joint", "--gauge", "table8", "--format", "json",
    "--alignment", "full", "--nonlazy", "--lazy", "-o", "out.txt", "--", "--output", "\u202e", "", "x" * 500, "*", "--help", "h1",
])  # fmt: skip


@settings(max_examples=60)
@given(
    st.sampled_from(["derive", "explain", "classify", "emit", "list", "nonsense"]),
    st.lists(WORDS | st.text(max_size=5), max_size=5),
)
def test_any_command_line_ends_with_a_status_and_a_line(tmp_path_factory, command, words):
    folder = tmp_path_factory.mktemp("any")
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert main([command, *words]) in (0, 1, 2)
    finally:
        os.chdir(before)


# --- a user's code ---

HOSTILE = """\
import atexit, os, signal, sys, threading, time
import scalerules as sr
print("on standard output")
os.system("echo below Python")

def build(): return sr.graph("mlp")
def prints():
    print("more")
    return build()
def leaves(): os._exit(0)
def exits(): sys.exit("bye")
def raises(): raise RuntimeError("one\\ntwo " * 1000)
def recurses(): return recurses()
def forks():
    os.fork()
    return build()
def moves():
    os.chdir("/")
    return build()
def takes():
    held = []
    while True:
        held.append(bytearray(10**8))
def hangs():
    while True:
        time.sleep(1)
def stubborn():
    while True:
        try:
            time.sleep(1)
        except BaseException:
            pass
def redirects():
    sys.stdout = sys.stderr = None
    return build()
def closes():
    os.close(1)
    return build()
def interrupts(): raise KeyboardInterrupt
def unspeakable():
    class Mute(Exception):
        def __str__(self): raise ValueError
    raise Mute
def own_kind():
    class Own(BaseException): pass
    raise Own("x")
def late():
    atexit.register(print, "late")
    return build()
def alarmed():
    signal.alarm(1)
    time.sleep(1.2)
    return build()
def threads():
    def spin():
        while True: print("noise", flush=True)
    threading.Thread(target=spin).start()
    return build()
"""

# factory -> (exit status, how the last line of standard error begins; "" where JSON comes out)
ENDS = {
    "prints": (0, ""),
    "forks": (0, ""),
    "moves": (0, ""),
    "redirects": (0, ""),
    "closes": (0, ""),
    "leaves": (2, "scalerules: hostile.py:10:15: SystemExit: os._exit(0)"),
    "exits": (2, "scalerules: hostile.py:11:14: SystemExit: bye"),
    "raises": (2, "scalerules: hostile.py:12:15: RuntimeError: one two one two"),
    "recurses": (2, "scalerules: hostile.py:13:24: RecursionError: maximum recursion depth"),
    "hangs": (2, "scalerules: hangs() of hostile.py takes more than 2 s (let it do less, or run it in Python)"),
    "stubborn": (2, "scalerules: stubborn() of hostile.py takes more than 2 s and does not end"),
    "takes": (2, "scalerules: hostile.py:23:21: MemoryError"),
    "interrupts": (130, "scalerules: interrupted"),
    "unspeakable": (2, "scalerules: hostile.py:43:5: Mute"),
    "own_kind": (2, "scalerules: hostile.py: Own: x"),
    "late": (0, ""),
    "alarmed": (0, ""),
    "threads": (0, ""),
}

RUN = """\
import sys
from scalerules.boundary import guard
from scalerules import __main__ as program
guard.SECONDS, guard.AGAIN, program.PATIENCE = {seconds}, 0.3, 0.5
guard.available = lambda: 500_000_000
sys.exit(program.main())
"""


@pytest.mark.parametrize("factory", ENDS)
def test_a_users_code_cannot_end_double_or_dirty_the_result(factory, tmp_path):
    (tmp_path / "hostile.py").write_text(HOSTILE)
    status, last = ENDS[factory]
    run = RUN.format(seconds=2 if factory in ("hangs", "stubborn") else 30)  # a busy machine needs long to fill memory
    command = [sys.executable, "-c", run, "derive", f"hostile.py:{factory}", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    if last:
        assert done.stdout == "" and done.stderr.splitlines()[-1].startswith(last)
    else:
        assert json.loads(done.stdout)["graph"] == "mlp"
    assert "on standard output\nbelow Python\n" in done.stderr


def test_an_interruption_inside_exec_is_none_of_python_itself(tmp_path):
    """Python ends itself by the signal where the last `exec()` of a text was interrupted."""
    (tmp_path / "deep.py").write_text("def build(): exec('raise KeyboardInterrupt')")
    command = [sys.executable, "-m", "scalerules", "derive", "deep.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    said = re.sub(r"scalerules: derive deep.py, \d+ s\n", "", done.stderr)  # a busy machine shows how far it is
    assert (done.returncode, said) == (130, "scalerules: interrupted\n")


def test_a_guard_leaves_nothing_behind():
    before = (os._exit, signal.getsignal(signal.SIGALRM), sys.stdout, os.getcwd())
    with pytest.raises(ZeroDivisionError), guard.limits(), guard.guarded("it"):
        os.chdir("/")
        raise ZeroDivisionError
    assert (os._exit, signal.getsignal(signal.SIGALRM), sys.stdout, os.getcwd()) == before


# --- where results go ---


def shell(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = command.replace("scalerules", f'"{sys.executable}" -m scalerules')
    environment = {**os.environ, "PYTHONIOENCODING": "", **environment}
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=folder, env=environment)


@pytest.mark.parametrize(
    ("command", "place", "message"),
    [
        ("scalerules derive mlp -o /dev/full", "out", "cannot write '/dev/full': No space left on device (the result was printed instead)"),
        ("scalerules derive mlp > /dev/full", "err", "cannot write to standard output: No space left on device (the result was printed instead)"),
        ("scalerules derive mlp >&-", "err", "cannot write to standard output: it is closed (the result was printed instead)"),
        ("scalerules derive mlp 2> /dev/full -o /dev/full", "out", ""),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_printed(command, place, message, tmp_path):
    done = shell(command, tmp_path)
    assert done.returncode == 2
    shown = {"out": done.stdout, "err": done.stderr}[place]
    assert "\noutput " in shown and "Traceback" not in done.stderr
    assert not message or done.stderr.splitlines()[-1] == f"scalerules: {message}"


def test_a_terminal_without_box_characters(tmp_path):
    pytest.importorskip("torch")
    done = shell(
        "scalerules verify mlp --sizes 8,16 --seeds 1", tmp_path, PYTHONUTF8="0", LC_ALL="C", PYTHONCOERCECLOCALE="0"
    )
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout.isascii() and "+-0.4" not in done.stdout and " +- " in done.stdout


# --- the Python interface ---


def asked(question) -> str:
    with pytest.raises(ScaleRulesError) as caught:
        question()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


SOLUTION = sr.derive("mlp", "adam")
LR = SOLUTION["h1"].lr
PYTHON = [
    (lambda: sr.derive(3), "a graph has a name or a path, not an int (such as 'mlp' or 'my_arch.yaml')"),
    (lambda: sr.derive(None), "a graph has a name or a path, not nothing"),
    (lambda: sr.graph(b"mlp"), "a graph has a name or a path, not a bytes"),
    (lambda: sr.derive("mlp", scales=["width"]), "scales are growths by name, not ['width'] (such as scales={"),
    (lambda: sr.derive("mlp", scales="width"), "scales are growths by name, not 'width'"),
    (lambda: sr.derive("mlp", scales={3: 1}), "graph 'mlp': unknown scale 3 (one of: width)"),
    (lambda: sr.derive("mlp", scales={"width": "1e999999999"}), "scale 'width': cannot read the growth '1e999999999'"),
    (lambda: sr.derive("mlp", scales={"width": None}), "scale 'width': cannot read the growth None"),
    (lambda: sr.derive("mlp", scales={"width": float("nan")}), "scale 'width': cannot read the growth nan"),
    (lambda: sr.derive("mlp", optimizer=None), "cannot read the optimizer None (such as adamw(decay=independent))"),
    (lambda: sr.derive("mlp", optimizer=["adam"]), "cannot read the optimizer ['adam']"),
    (lambda: sr.derive("mlp", mode=3), "unknown mode 3 (one of: isolated, joint)"),
    (lambda: sr.derive("mlp", gauge=["plain"]), "unknown gauge ['plain'] (one of: "),
    (lambda: sr.derive("mlp", steps=2.5), "steps 2.5 is not a whole number from 1 to 100"),
    (lambda: sr.derive("mlp", steps=True), "steps True is not a whole number from 1 to 100"),
    (lambda: sr.derive("mlp", alignment=3), "unknown alignment 3 (one of: "),
    (lambda: sr.derive("mlp", alignment={"h1": 3}), "alignment of 'h1': needs three exponents"),
    (lambda: sr.derive("mlp", given=3), "given sizes stand by parameter, not 3"),
    (lambda: sr.derive("mlp", given={"h1": {"init": "1e999999999"}}), "parameter 'h1': cannot read the exponent '1e999999999'"),
    (lambda: sr.derive("mlp", given={"parameters": 3}), "parameters: stand by name, not as 3"),
    (lambda: sr.classify(3), "a graph has a name or a path, not an int"),
    (lambda: sr.emit("mlp", "pytorch"), "emit writes a solution, not a str (sr.emit(sr.derive("),
    (lambda: sr.emit(SOLUTION, "pytroch"), "unknown backend 'pytroch' (did you mean 'pytorch'?)"),
    (lambda: sr.emit(SOLUTION, ["pytorch"]), "unknown backend ['pytorch'] (one of: "),
    (lambda: sr.emit(SOLUTION, graph=3), "graph= is an int, not a Graph (graph=sr.graph('mlp'))"),
    (lambda: sr.transfer("mlp", SOLUTION, compare=3), "compare= holds an int, not a solution or the name of one"),
    (lambda: sr.transfer("mlp", SOLUTION, data=3), "data= is an int, which has no fitted(), batch() and held_out()"),
    (lambda: sr.transfer("mlp", SOLUTION, axes=["batch"]), "axes= is a list, not lengths by axis"),
    (lambda: sr.transfer("mlp", SOLUTION, store=3), "store= is an int, not the name of a file"),
    (lambda: sr.fuzz(graphs=1, store=3), "store= is an int, not the name of a file"),
    (lambda: sr.fuzz(graphs=1, optimizers="adam"), "optimizers= is a str, not a list of names"),
    (lambda: SOLUTION[0], "graph 'mlp': unknown parameter 0 (one of: h1, h2, input, output)"),
    (lambda: SOLUTION["h11"], "graph 'mlp': unknown parameter 'h11' (did you mean 'h1'?)"),
    (lambda: LR["w"], "unknown scale 'w' (one of: width)"),
    (lambda: LR.factor(2), "ratios stand by scale, not as 2 (such as {'width': 2})"),
    (lambda: LR.factor({"w": 2}), "unknown scale 'w'"),
    (lambda: LR.factor({"width": -1}), "the ratio of 'width' -1 is not a number above 0"),
    (lambda: LR.factor({"width": 0}), "the ratio of 'width' 0 is not a number above 0"),
    (lambda: LR.factor({"width": "x"}), "the ratio of 'width' 'x' is not a number above 0"),
    (lambda: SOLUTION.changed("h1", lrr={"width": 0}), "parameter 'h1': unknown size 'lrr' (did you mean 'lr'?)"),
    (lambda: SOLUTION.changed("h1", lr={"width": "1e999999999"}), "lr of 'h1': cannot read the exponent"),
    (lambda: sr.verify("mlp", SOLUTION), "'mlp' is no graph (such as sr.graph('mlp'))"),
    (lambda: sr.verify(sr.graph("mlp"), "mup"), "'mup' is no solution (such as sr.derive("),
    (lambda: sr.verify(sr.graph("mamba"), SOLUTION), "graph 'mamba': unknown parameter 'input'"),
    (lambda: sr.verify(sr.graph("mlp"), SOLUTION, sizes="64,128"), "sizes '64,128' is no list of numbers"),
    (lambda: sr.verify(sr.graph("mlp"), SOLUTION, sizes=[64, None]), "sizes None is not a number above 0"),
    (lambda: sr.verify(sr.graph("mlp"), SOLUTION, lr=float("nan")), "lr nan is not a number above 0"),
    (lambda: sr.verify(sr.graph("mlp"), SOLUTION, seeds=[]), "seeds names no number of seeds"),
    (lambda: sr.transfer("mlp", jobs=0), "jobs 0 is not a whole number from 1 to 1024"),
    (lambda: sr.transfer("mlp", SOLUTION, lrs=[]), "lrs []: at least 1 different numbers are needed"),
    (lambda: sr.fuzz(minutes=-1), "minutes -1 is not a number above 0"),
    (lambda: sr.Graph.model_validate({**sr.graph("mlp").to_dict(), "scales": {"width": "1e999999999"}}), "scale 'width': cannot read the growth"),
    (lambda: sr.Graph.model_validate({**sr.graph("mlp").to_dict(), "sizes": {"width": -1}}), "scale 'width': has the base size -1 (a size is above 0)"),
    (lambda: sr.Graph.model_validate({**sr.graph("mlp").to_dict(), "sizes": {"width": float("inf")}}), "scale 'width': has the base size inf"),
]  # fmt: skip


@pytest.mark.parametrize(("question", "message"), PYTHON, ids=lambda v: v[:40] if isinstance(v, str) else "")
def test_the_python_interface_raises_its_own_errors(question, message):
    assert asked(question).startswith(message)


def test_an_axis_has_a_length_above_0():
    data = sr.graph("mlp").to_dict()
    for length in (-3, 0, "-3", "width - 100", "0*width"):
        text = asked(lambda length=length: sr.Graph.model_validate({**data, "axes": {**data["axes"], "in": length}}))
        assert text.startswith(("axis 'in': has the length", "axis 'in': cannot read the length"))


def test_a_reserved_name_is_told_as_such():
    data = sr.graph("mlp").to_dict()
    nodes = {("stream" if name == "h1" else name): node for name, node in data["nodes"].items()}
    nodes["a2"] = {**nodes["a2"], "inputs": ["stream"]}
    text = asked(lambda: sr.Graph.model_validate({**data, "nodes": nodes}))
    assert text == "node 'stream': is a reserved name ('stream' is what a repeated block reads)"


def test_inputs_that_are_missing_are_named_once(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    Path("model.py").write_text("from torch import nn\ndef make(width): return nn.Linear(width, width)\n")
    assert main(["derive", "model.py:make", "--scale", "width=8,16,24"]) == 2
    assert "write make_inputs(**sizes), which returns" in capsys.readouterr().err


def test_every_command_is_there():
    assert set(COMMANDS) >= {"derive", "verify", "transfer", "fuzz", "emit", "check"}
