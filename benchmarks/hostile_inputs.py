"""Inputs that a hostile or hasty user may give, as shell lines of `hostile_table.py`; `$` starts a Python question."""

from __future__ import annotations

FILES = {
    "evil.yaml": 'name: \'x"""; open("PWNED","w"); """\'\n',
    "bomb.yaml": "a: &a [x,x,x,x,x,x,x,x,x]\nb: [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n",
    "deep.json": "[" * 100_000,
    "tag.yaml": "name: !!python/object/apply:os.system ['touch PWNED']\n",
    "binary.yaml": "\udcff\udcfe\x00",
    "twice.yaml": "name: a\nname: b\n",
    "empty.yaml": "",
    "list.yaml": "[1, 2, 3]\n",
    "huge.yaml": "name: x\n" + "# fill\n" * 200_000,
    "endless.yaml": "name: x\nscales: {width: 1e999999999}\naxes: {}\nparameters: {}\nnodes: {}\noutputs: []\n",
    "bidi.yaml": "name: x\nscales: {\"wid\\u202eth\\n\": '1'}\naxes: {}\nparameters: {}\nnodes: {}\noutputs: []\n",
    "loud.py": "import scalerules as sr\nprint('noise')\ndef build():\n    print('more')\n    return sr.graph('mlp')\n",
    "raises.py": "def build():\n    raise RuntimeError('one\\ntwo')\n",
    "exits.py": "import sys\nsys.exit(0)\n",
    "leaves.py": "import os\ndef build(): os._exit(0)\n",
    "forks.py": "import os\nimport scalerules as sr\ndef build():\n    os.fork()\n    return sr.graph('mlp')\n",
    "recurses.py": "def build(): return build()\n",
    "takes.py": "def build(): return bytearray(10**13)\n",
    "nothing.py": "def build(): pass\n",
    "wrong.py": "def build(:\n",
    "closes.py": "import os\nimport scalerules as sr\ndef build():\n    os.close(1)\n    return sr.graph('mlp')\n",
    "interrupts.py": "def build(): raise KeyboardInterrupt\n",
    "model.py": "from torch import nn\ndef make(width): return nn.Linear(width, width)\n",
    "junk.sqlite": "this is no store",
    "half.json": '{"graph": "mlp", "optimizer": "adam", "para',
    "endless.json": '{"graph": "mlp", "parameters": {"h1": {"init": {"width": "1e999999999"}}}, "version": 1}',
    "newer.json": '{"graph": "mlp", "version": 99}',
    "nan.json": '{"graph": "mlp", "version": NaN}',
}
"""Files that stand where the lines are run; a lone surrogate is a byte that is no UTF-8."""

LINES = """
derive nosuch
derive mlpp
derive ''
derive .
derive /dev/null
derive /etc/hostname
derive no/such.yaml
derive evil.yaml
derive bomb.yaml
derive deep.json
derive tag.yaml
derive binary.yaml
derive twice.yaml
derive empty.yaml
derive list.yaml
derive huge.yaml
derive endless.yaml
derive bidi.yaml
derive loud.py --format json
derive raises.py
derive exits.py
derive leaves.py
derive forks.py
derive recurses.py
derive takes.py
derive nothing.py
derive wrong.py
derive closes.py
derive interrupts.py
derive model.py:make --scale width=8,16,24
derive model.py:nosuch --scale width=8,16,24
derive model.py:make --scale width=8
derive model.py:make --scale width=-8,16,24
derive nosuch.module:make --scale width=8,16,24
derive mlp --optimizer nosuch
derive mlp --optimizer 'shampoo(1e999999999,1)'
derive mlp --optimizer raises.py
derive mlp --optimizer nosuch.py
derive mlp --scale nosuch
derive mlp --scale width=-1
derive mlp --scale width=1e999999999
derive mlp --set hidden=-1
derive mlp --set hidden=100000
derive mlp --set activation=foo
derive mlp --set hidden
derive mlp --steps 100000
derive mlp --steps 2.5
derive mlp --mode nosuch
derive mlp --gauge nosuch
derive mlp --alignment nosuch
derive mlp --given nosuch
derive mlp --given half.json
derive mlp --given endless.json
derive mlp --given newer.json
derive mlp --format nosuch
derive mlp -o /dev/full
derive mlp -o no/such/file
derive mlp -o .
derive mlp > /dev/full
derive mlp >&-
derive mlp | head -1
derive mlp --nosuch
derive mlp extra words
explain mlp nosuch
classify mlp --given nan.json
classify mlp
emit mlp --to nosuch
emit mlp -o /proc/emitted.py
verify mlp --lr -1
verify mlp --lr nan
verify mlp --lr 1e30
verify mlp --sizes -64,128
verify mlp --sizes 64
verify mlp --sizes 64,64
verify mlp --sizes 64,1e400
verify mlp --sizes 64,99999999
verify mlp --sizes ,
verify mlp --seeds 0
verify mlp --seeds ''
verify mlp --steps 0
verify mlp --plot x.banana
verify mlp --plot no/x.png
verify mlp --device nosuch
transfer mlp --plot x.html
transfer mlp --jobs 0
transfer mlp --lrs 0.1,-0.2
transfer mlp --base nan
transfer mlp --axis batch=-3
transfer mlp --data nosuch
transfer mlp --store junk.sqlite
transfer mlp --store no/such/store
transfer mlp --sizes 64,99999999
fuzz --minutes -1
fuzz --graphs 0
fuzz --jobs 0
fuzz --save /proc/found
fuzz --store junk.sqlite --graphs 1
fuzz --optimizers nosuch
report mlp --sizes 32
list nosuch
nosuch
--nosuch
$ sr.derive(3)
$ sr.derive(None)
$ sr.derive('mlp', scales=['width'])
$ sr.derive('mlp', scales={'width': float('nan')})
$ sr.derive('mlp', optimizer=None)
$ sr.derive('mlp', optimizer='adam(')
$ sr.derive('mlp', steps=True)
$ sr.derive('mlp', given={'h1': {'init': '1e999999999'}})
$ sr.emit('mlp', 'pytorch')
$ sr.derive('mlp')[0]
$ sr.derive('mlp')['h1'].lr.factor(2)
$ sr.derive('mlp')['h1'].lr.factor({'w': 2})
$ sr.derive('mlp')['h1'].lr.factor({'width': -1})
$ sr.Solution.from_json('[' * 100000)
$ sr.Solution.from_json(open('half.json').read())
$ sr.Solution.from_json(open('endless.json').read())
$ sr.verify('mlp', sr.derive('mlp'))
$ sr.verify(sr.graph('mlp'), sr.derive('mlp'), sizes=[64, None])
$ sr.transfer('mlp', jobs=0)
$ sr.fuzz(minutes=-1)
$ sr.graph('mlp', hidden=10**9)
$ sr.Graph.model_validate({**sr.graph('mlp').to_dict(), 'axes': {'batch': -3}})
$ sr.Graph.model_validate({**sr.graph('mlp').to_dict(), 'sizes': {'width': float('inf')}})
$ sr.trace(None, scales={'width': (8, 16)}, inputs=None)
$ sr.apply(None, sr.derive('mlp'), base={'width': 8}, sizes={'width': 16}, lr=1)
""".strip().splitlines()
