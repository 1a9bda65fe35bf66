"""More inputs of every kind of `hostile_inputs.py`: names that are code, files, code of users, numbers, Python."""

from __future__ import annotations

NAMES = """\
name: "__import__('os').system('touch PWNED')"
scales: {width: 1}
axes: {batch: 4, lambda: width, "None": 8}
parameters:
  "self": {axes: "lambda None"}
  "''' + open('PWNED','w') + '": {axes: "lambda lambda"}
  "{torch.os.system('touch PWNED')}": {axes: "None lambda"}
nodes:
  "import": {op: input, axes: [batch, "None"]}
  "class": {op: einsum, inputs: ["import"], parameters: ["self"], equation: "b i, o i -> b o"}
  "%s\\\\": {op: relu, inputs: ["class"]}
  "exec": {op: einsum, inputs: ["%s\\\\"], parameters: ["''' + open('PWNED','w') + '"], equation: "b i, o i -> b o"}
  "print":
    op: einsum
    inputs: ["exec"]
    parameters: ["{torch.os.system('touch PWNED')}"]
    equation: "b i, o i -> b o"
outputs: ["print"]
"""
BODY = "import scalerules as sr\ndef build():\n    {}\n    return sr.graph('mlp')\n"
MORE_FILES = {
    "names.yaml": NAMES,
    "bom.yaml": "\ufeffname: x\n",
    "tabs.yaml": "name: x\n\taxes: {}\n",
    "two.yaml": "name: x\n---\nname: y\n",
    "merge.yaml": "name: x\n<<: {a: 1}\n",
    "types.yaml": "name: 3\nscales: 3\naxes: 3\nparameters: 3\nnodes: 3\noutputs: 3\n",
    "keys.json": '{"name": "x", "name": "y"}',
    "utf16.json": "\udcff\udcfe{\x00}\x00",
    "digits.json": '{"graph": "mlp", "version": ' + "9" * 6000 + "}",
    "given.json": '{"h1": {"inti": "1"}}',
    "given3.json": '{"h1": 3}',
    "echoes.py": BODY.format("import os; os.system('echo noise'); os.write(1, b'noise')"),
    "late.py": BODY.format("import atexit; atexit.register(print, 'noise')"),
    "silent.py": BODY.format("import sys; sys.stdout = sys.stderr = None"),
    "alarms.py": BODY.format("import signal, time; signal.alarm(1); time.sleep(1.2)"),
    "moves.py": BODY.format("import os; os.chdir('/')"),
    "threads.py": (
        "import threading, time, scalerules as sr\ndef spin():\n    while True: print('noise'); time.sleep(.01)\n"
        "def build():\n    threading.Thread(target=spin).start()\n    return sr.graph('mlp')\n"
    ),
    "mute.py": "class E(Exception):\n    def __str__(self): raise ValueError('no')\ndef build(): raise E\n",
    "long.py": "def build(): raise ValueError('x' * 10**7)\n",
    "signs.py": "def build(): raise ValueError('\\udcff\\u202e\\x1b[31m')\n",
    "own.py": "class B(BaseException): pass\ndef build(): raise B('x')\n",
    "yields.py": "def build(): yield 1\n",
    "needs.py": "def build(width, depth): pass\n",
    "value.py": "build = 3\n",
    "nulls.py": "\x00def build(): pass\n",
    "law.py": "def law(x): raise RuntimeError('law')\n",
}

MORE = """
emit names.yaml -o out.py
derive out.py
emit names.yaml --optimizer muon -o out.py
derive out.py
derive names.yaml --format latex
report names.yaml -o report.html
derive bom.yaml
derive tabs.yaml
derive two.yaml
derive merge.yaml
derive types.yaml
derive keys.json
derive utf16.json
derive mlp --given digits.json
derive mlp --given given.json
derive mlp --given given3.json
derive echoes.py --format json
derive late.py --format json
derive silent.py --format json
derive alarms.py --format json
derive moves.py -o moved.txt
derive threads.py --format json
derive mute.py
derive long.py
derive signs.py
derive own.py
derive yields.py
derive needs.py
derive value.py
derive nulls.py
derive mlp --optimizer law.py
derive mlp 2>&-
derive mlp <&-
emit mlp -o /dev/full
verify mlp --plot .png
report mlp -o no/such/x.html
transfer mlp --store .
transfer mlp --store /dev/null
transfer mlp --lrs nan
transfer mlp --axis nosuch=4
transfer mlp --jobs 99999
transfer mlp --compare nosuch
transfer value.py:build
verify mlp --sizes 64,abc
verify mlp --device cuda
fuzz --minutes inf
fuzz --graphs 1e3
derive mlp --scale width=1/0
derive mlp --scale width=1 --scale width=2
derive mlp --set hidden=1e3
derive mlp --set width=3
derive mlp --optimizer 'adam(nosuch=1)'
published nosuch
$ sr.derive('mlp', scales={3: 1})
$ sr.emit(sr.derive('mlp'), graph=3)
$ sr.Solution.from_json(b'{}')
$ sr.Solution.from_json('null')
$ sr.verify(sr.graph('mlp'), sr.derive('transformer'))
$ sr.transfer('mlp', compare=3)
$ sr.transfer('mlp', store=3)
$ sr.transfer('mlp', data=3)
$ sr.transfer('mlp', axes=['batch'])
$ sr.fuzz(optimizers='adam')
$ sr.trace(lambda width: 3, scales={'width': 8}, inputs=lambda width: None)
$ sr.apply(__import__('torch').nn.Linear(3, 3), sr.derive('mlp'), base=8, sizes={'width': 16}, lr=1)
$ sr.apply(__import__('torch').nn.Linear(3, 3), sr.derive('mlp'), base={'width': 8}, sizes={'width': 16}, lr='1')
$ sr.apply(__import__('torch').nn.Linear(3, 3), sr.derive('mlp'), base={'width': 8}, sizes={'width': 16}, lr=1)
""".strip().splitlines()
