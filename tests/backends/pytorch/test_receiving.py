"""Numbers on their way to an optimizer: by name, for the class that receives them, and no parameter lost."""

from __future__ import annotations

import functools
import json
import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import yaml
from handmade import handmade
from residual_net import BASE, Net, blocks_graph, quiet, rules
from scalerules.backends.pytorch.model.apply import ModelWarning
from scalerules.backends.pytorch.model.receiver import Receiver
from scalerules.backends.pytorch.source.emit import Groups, apply
from torch import Tensor, nn

import scalerules as sr
from scalerules.errors import ScaleRulesError, UnknownName

torch.set_num_threads(1)
WIDE = {"width": 128}


def theirs(name: str) -> type[torch.optim.Optimizer]:
    """A class of pytorch-optimizer, which is loaded where a test asks for it, not by every process that collects."""
    import pytorch_optimizer

    return getattr(pytorch_optimizer, name)


def by_name(groups: Groups, key: str) -> dict[str, Any]:
    return {name: group.get(key) for group in groups for name in group["names"]}


# --- base numbers by name ---------------------------------------------------------------------------------------------


def test_base_numbers_by_name_multiply_the_rules() -> None:
    plain = quiet(Net(128), rules(), sizes=WIDE, lr=1e-2, weight_decay=0.1)
    named = quiet(
        Net(128), rules(), sizes=WIDE, lr={"*": 1e-2, "W_?": 3e-2, "W_E": 5e-2},
        weight_decay={"*": 0.1, "*.b_up": 0.0, "*gain*": 0.0}, eps={"*": 1e-8, "W_E": 1e-6},
        betas={"*": (0.9, 0.95), "W_E": (0.8, 0.9)},
    )  # fmt: skip
    for name, rate in by_name(named, "lr").items():
        times = {"W_E": 5, "W_U": 3}.get(name, 1)
        assert rate == pytest.approx(times * by_name(plain, "lr")[name])
        kept = 0 if name.endswith(("b_up", "gain")) else 1
        assert by_name(named, "weight_decay")[name] == pytest.approx(kept * by_name(plain, "weight_decay")[name])
        assert by_name(named, "eps")[name] == pytest.approx((100 if name == "W_E" else 1) * by_name(plain, "eps")[name])
        assert by_name(named, "betas")[name] == ((0.8, 0.9) if name == "W_E" else (0.9, 0.95))


def test_a_tied_parameter_takes_what_fits_one_of_its_names() -> None:
    g = sr.Builder("tied", sizes=BASE, axes={"batch": 4, "vocab": 11, "n": "width"})
    g.parameter("W_E", "vocab n")
    x = g.einsum("x", "b v, v n -> b n", g.input("tokens", "batch vocab", kind="tokens"), parameters=("W_E",))
    graph = g.build(g.einsum("logits", "b n, v n -> b v", x, parameters=("W_E",)))
    model = nn.Module()
    model.W_E, model.head = nn.Parameter(torch.randn(11, 64)), nn.Module()
    model.head.weight = model.W_E
    groups = quiet(model, handmade(graph), sizes={"width": 64}, lr={"*": 1e-3, "head.*": 5e-3})
    assert by_name(groups, "lr") == {"W_E": 5e-3 / 2}  # the rule of what the logits read


def test_rates_may_be_tensors_and_share_a_group() -> None:
    groups = quiet(Net(128), rules(), sizes=WIDE, lr=torch.tensor(1e-2))
    assert len(groups) == len(quiet(Net(128), rules(), sizes=WIDE, lr=1e-2))
    assert all(isinstance(group["lr"], Tensor) for group in groups)
    groups.retune(optimizer := groups.optimizer(torch.optim.AdamW), lr=2e-2)
    assert optimizer.param_groups[0]["lr"] is groups[0]["lr"]
    assert float(max(group["lr"] for group in optimizer.param_groups)) == pytest.approx(2e-2)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"lr": -1.0}, r"lr=: cannot be -1"),
    ({"lr": math.nan}, r"lr=: cannot be nan"),
    ({"lr": math.inf}, r"lr=: cannot be inf"),
    ({"lr": "3e-4"}, r"lr=: is '3e-4', not a number"),
    ({"lr": True}, r"lr=: is True, not a number"),
    ({"lr": {}}, r"lr=: names no parameter"),
    ({"lr": {"W_E": 1e-3}}, r"lr=: parameter .* fits no pattern .*\"\*\""),
    ({"lr": {"*": 1e-3, "W_F": 1e-2}}, r"lr=: the pattern 'W_F' fits no parameter .did you mean 'W_.'"),
    ({"lr": {"*": 1e-3, 3: 1e-2}}, r"lr=: 3 is not a name"),
    ({"weight_decay": {"*": 0.1, "*.bias": -0.1}}, r"weight_decay\['\*\.bias'\]=: cannot be -0\.1"),
    ({"betas": 0.9}, r"betas=: is a float, not a pair of numbers"),
    ({"betas": (0.9, 1.0)}, r"betas=: cannot be \(0\.9, 1\.0\) .each is below 1"),
    ({"unruled": "ear.*"}, r"unruled=: the pattern 'ear\.\*' fits no parameter"),
    ({"optimizer": torch.optim.AdamW(Net(8).parameters())}, r"optimizer=: is an optimizer already, not the class"),
    ({"optimizer": "adamw"}, r"optimizer=: is a str, not the class of one"),
    ({"optimizer": torch.optim.SGD}, r"optimizer SGD: is not what the rules were derived for \(adam\) .*'sgd'"),
    ({"optimizer": torch.optim.Muon}, r"optimizer Muon: is not what the rules were derived for .*'muon'"),
    ({"optimizer": torch.optim.Rprop, "weight_decay": 0.1}, r"optimizer Rprop: has no weight decay"),
    ({"optimizer": torch.optim.Rprop, "betas": (0.9, 0.99)}, r"optimizer Rprop: has no betas"),
    ({"optimizer": torch.optim.AdamW, "eps": (1e-8, 1e-3)}, r"optimizer AdamW: takes one number for eps"),
    ({"sizes": {"widht": 64}}, r"unknown scale 'widht'"),
    ({"base": 32}, r"base=: is an int, not values by scale"),
    ({"sizes": None}, r"sizes=: is nothing, not values by scale"),
    ({"base": {"width": "32"}}, r"scale 'width': '32' is not a number above 0"),
    ({"lr": torch.tensor(1)}, r"lr=: is a Tensor, not a number"),
    ({"lr_beside": 1e-3}, r"lr_beside=: is the rate of what another optimizer takes, and adam has none beside it"),
    ({"reference": "small"}, r"reference=: is 'small', not a model built at the base size or stds by name"),
    ({"reference": Net}, r"reference=: is a type, not a model"),
    ({"reference": {"W_E": -1.0}}, r"reference\['W_E'\]=: cannot be -1"),
    ({"names": ["W_E"]}, r"names=: is a list, not rules by name"),
    ({"names": {"w_e": "W_E"}}, r"names=: the pattern 'w_e' fits no parameter"),
    ({"places": {"scores": 3}}, r"places=: is a dict, not paths by node"),
    ({"unruled": None}, r"unruled=: is nothing, not a pattern"),
    ({"init": "no"}, r"init=: is 'no', not True or False"),
    ({"seed": 1.5}, r"seed=: is 1\.5, not a whole number"),
    ({"graph": "mlp"}, r"graph=: is 'mlp', not a Graph"),
    ({"optimizer": nn.Linear}, r"optimizer=: Linear is no class of an optimizer"),
    ({"optimizer": functools.partial(torch.optim.AdamW, [])}, r"optimizer=: binds arguments without names"),
    (
        {"optimizer": functools.partial(torch.optim.AdamW, **{"beta": 0.9})},
        r"unknown argument 'beta' .did you mean 'betas'",
    ),
    ({"optimizer": functools.partial(torch.optim.AdamW, lr=0.1)}, r"optimizer AdamW: lr= has no effect, every group"),
    ({"places": {"score": "blocks.*"}}, r"'score': has no solved factor"),
]


@pytest.mark.parametrize(("options", "text"), BAD, ids=[str(i) for i in range(len(BAD))])
def test_what_does_not_fit_is_refused_before_anything_changes(options: dict[str, Any], text: str) -> None:
    model, twin = Net(128), Net(128)
    with pytest.raises(ScaleRulesError, match=text):
        quiet(model, rules(), **{"sizes": WIDE, "weight_decay": 0.0, **options})
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))


FOR_GROUPS: list[tuple[Callable[[Groups], Any], str]] = [
    (lambda groups: groups.optimizer("adamw"), r"optimizer=: is a str, not the class of one"),  # type: ignore[arg-type]
    (lambda groups: groups.optimizer(torch.optim.SGD), r"optimizer SGD: is not what the rules were derived for"),
    (lambda groups: groups.optimizer(torch.optim.AdamW, lr=0.1), r"lr= has no effect, every group has its own"),
    (lambda groups: groups.optimizer(torch.optim.AdamW, eps=1.0), r"eps= has no effect, every group has its own"),
    (lambda groups: groups.optimizer(torch.optim.AdamW, params=[]), r"unknown argument 'params'"),
    (lambda groups: groups.optimizer(theirs("AdamMini")), r"optimizer AdamMini: takes no groups of parameters"),
    (lambda groups: groups.optimizer(theirs("BSAM")), r"optimizer BSAM: needs num_data \(groups\.optimizer"),
    (lambda groups: groups.optimizer(theirs("AdaShift")), r"does not follow the rates .* \(take another one\)"),
    (lambda groups: groups.on(Net), r"the model: is a type, not a torch module"),  # type: ignore[arg-type]
    (lambda groups: groups.on(Net(64)), r"parameter 'W_E': is 11 x 64, these groups are for 11 x 128"),
    (lambda groups: groups.on(Net(128), names={"w.*": "W_E"}), r"names=: unknown name 'w\.\*'"),
    (lambda groups: groups.on(Net(128), names={"W_E": "W_F"}), r"unknown parameter 'W_F'"),
    (lambda groups: groups.retune("adamw", lr=1e-3), r"is a str, not an optimizer"),  # type: ignore[arg-type]
    (lambda groups: groups.per_group(1e-8, of="eps"), r"unknown number 'eps'"),
]


@pytest.mark.parametrize(("call", "text"), FOR_GROUPS, ids=[str(i) for i in range(len(FOR_GROUPS))])
def test_what_groups_cannot_do_is_said(call: Callable[[Groups], Any], text: str) -> None:
    with pytest.raises(ScaleRulesError, match=text):
        call(quiet(Net(128), rules(), sizes=WIDE))


def test_what_is_no_model_and_no_solution_is_said() -> None:
    with pytest.raises(ScaleRulesError, match="the model: is a type, not a torch module"):
        apply(Net, rules(), base=BASE, sizes=BASE, lr=1e-2)  # type: ignore[arg-type]
    with pytest.raises(ScaleRulesError, match="the solution: is a str, not a Solution"):
        apply(Net(32), "adamw", base=BASE, sizes=BASE, lr=1e-2)  # type: ignore[arg-type]


# --- the class that receives them -------------------------------------------------------------------------------------


def decayed(take: Any, width: int, law: str = "adam") -> float:
    """How large decay is beside the gradient (coupled) or the update (decoupled) of a hidden matrix."""
    model = Net(width)
    groups = quiet(model, rules(law), sizes={"width": width}, optimizer=take)
    return by_name(groups, "weight_decay")["blocks.0.mlp.W_up"]


@pytest.mark.parametrize(
    ("take", "wanted"),
    [
        (torch.optim.AdamW, 4),  # wd grows as 1/lr
        (functools.partial(torch.optim.RAdam, decoupled_weight_decay=True), 4),
        (torch.optim.Adam, 0.5),  # eps (the gradient's size) of -1, over an initial size of -1/2
        (torch.optim.RMSprop, 0.5),
        (torch.optim.NAdam, 0.5),
    ],
)
def test_decay_is_made_for_how_the_class_decays(take: Any, wanted: float) -> None:
    assert decayed(take, 128) / decayed(take, 32) == pytest.approx(wanted)


def test_decay_that_cannot_be_turned_is_refused() -> None:
    coupled = functools.partial(torch.optim.Adam, decoupled_weight_decay=False)
    with pytest.raises(ScaleRulesError, match=r"adds weight decay to the gradient.*'lion\(decay=coupled\)'"):
        quiet(Net(128), rules("lion"), sizes=WIDE, optimizer=coupled)
    groups = quiet(Net(128), rules(), sizes=WIDE)  # for decoupled decay, as nothing else is said
    with pytest.raises(ScaleRulesError, match=r"decays weights in a way that is coupled.*optimizer=Adam\)"):
        groups.optimizer(torch.optim.Adam)
    assert groups.optimizer(torch.optim.AdamW).defaults["lr"] == 1e-2
    without = quiet(Net(128), rules(), sizes=WIDE, weight_decay=0.0)
    assert without.optimizer(torch.optim.Adam).defaults["lr"] == 1e-2


def test_a_pair_of_epsilons_is_scaled_one_by_one() -> None:
    solution = sr.derive(blocks_graph(), "adafactor")
    model = Net(128)
    take = functools.partial(torch.optim.Adafactor, eps=(1e-6, 1e-3))
    groups = quiet(model, solution, sizes=WIDE, optimizer=take)
    rule = solution["mlp.W_up"]
    ratio = {"width": 4.0}
    eps = by_name(groups, "eps")["blocks.0.mlp.W_up"]
    # torch's first is squared before it is added
    assert eps[0] == pytest.approx(1e-6 * rule.eps.factor(ratio) ** 0.5)
    assert eps[1] == pytest.approx(1e-3 * rule.dampings["eps2"].factor(ratio))
    groups.optimizer(torch.optim.Adafactor, eps=(1e-6, 1e-3))
    bare = quiet(Net(128), solution, sizes=WIDE)
    assert all("eps" not in group for group in bare)  # its form is the class's
    torch.optim.Adafactor(bare)


def test_an_optimizer_that_finds_its_rates_is_refused() -> None:
    with pytest.raises(ScaleRulesError, match=r"Prodigy: does not follow the rates of its groups"):
        quiet(Net(128), rules(), sizes=WIDE, optimizer=theirs("Prodigy"))
    with pytest.raises(ScaleRulesError, match=r"relative_step=False, in a functools\.partial"):
        quiet(Net(128), rules("adafactor"), sizes=WIDE, optimizer=theirs("AdaFactor"))


def test_a_class_of_ones_own_is_measured() -> None:
    class Descent(torch.optim.Optimizer):
        def __init__(self, params: Any, lr: float = 1e-3, weight_decay: float = 0.0) -> None:
            super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

        @torch.no_grad()
        def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
            for group in self.param_groups:
                for p in group["params"]:
                    p.mul_(1 - group["weight_decay"]).sub_(p.grad, alpha=group["lr"])

    receiver = Receiver.of(Descent)
    assert receiver.decay == "independent" and receiver.moves is not None and receiver.moves.gradient == 1
    with pytest.raises(ScaleRulesError, match="derived for .adam."):
        quiet(Net(128), rules(), sizes=WIDE, optimizer=Descent)
    # the rule keeps lr * wd, of which this class takes wd alone: it stays
    decays = by_name(quiet(Net(128), rules("sgd"), sizes=WIDE, optimizer=Descent), "weight_decay")
    rule = rules("sgd")["mlp.W_up"]
    factor = rule.wd.factor({"width": 4.0}) * rule.lr.factor({"width": 4.0})
    assert decays["blocks.0.mlp.W_up"] == pytest.approx(0.1 * factor)


def test_an_epsilon_below_the_dtype_is_said() -> None:
    with pytest.warns(ModelWarning, match=r"eps 2.5e-09 is 0 in float16, the dtype of blocks.0.mlp.gain and"):
        apply(Net(128).half(), rules(), base=BASE, sizes=WIDE, lr=1e-2, reference=Net(32))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        apply(Net(128).bfloat16(), rules(), base=BASE, sizes=WIDE, lr=1e-2, reference=Net(32))
    assert not any("eps" in str(warning.message) for warning in said)


# --- no parameter is lost ---------------------------------------------------------------------------------------------


def frozen() -> Any:
    """A graph in which the embedding is frozen."""
    graph = blocks_graph()
    embedding = graph.parameters["W_E"].model_copy(update={"trained": False})
    return handmade(graph.model_copy(update={"parameters": {**graph.parameters, "W_E": embedding}}))


def test_a_parameter_that_was_frozen_is_refused_or_asked_for() -> None:
    with pytest.raises(ScaleRulesError, match=r"'W_E' of the model: requires a gradient, and was frozen .*unruled="):
        quiet(Net(128), frozen(), sizes=WIDE)
    groups = quiet(Net(128), frozen(), sizes=WIDE, unruled="W_E")
    assert by_name(groups, "lr")["W_E"] == 1e-2 and by_name(groups, "eps")["W_E"] == 1e-8
    model = Net(128)
    model.W_E.requires_grad_(False)
    groups = quiet(model, frozen(), sizes=WIDE)
    assert "W_E" not in by_name(groups, "lr") and "in no group: W_E: is not trained" in str(groups)


def test_a_part_of_the_model_has_the_numbers_of_the_whole() -> None:
    model = Net(128, depth=4)
    groups = quiet(model, rules(), sizes=WIDE)
    stage = nn.Module()
    stage.blocks, stage.W_U = nn.ModuleList(model.blocks[2:]), model.W_U  # the very parameters, under other names
    part = groups.on(stage)
    assert set(by_name(part, "lr")) == {"W_U", *(n for n in by_name(groups, "lr") if n[:8] in ("blocks.2", "blocks.3"))}
    assert all(by_name(part, "lr")[n] == by_name(groups, "lr")[n] for n in by_name(part, "lr"))
    other = Net(128, depth=2)  # values of its own: names say what it is
    renamed = nn.Module()
    renamed.tail = other.blocks
    moved = groups.on(renamed, names={"tail.0.*": "blocks.2.*", "tail.1.*": "blocks.3.*"})
    assert set(by_name(moved, "lr")) == set(by_name(part, "lr")) - {"W_U"}
    with pytest.raises(UnknownName, match=r"unknown parameter 'tail\.0\."):
        groups.on(renamed)
    with pytest.raises(ScaleRulesError, match="has none of the parameters"):
        groups.on(nn.Module())


def test_layers_that_the_reference_lacks_keep_their_profile() -> None:
    """torchtitan starts layer i at 1/sqrt(i + 1): so do those beyond the reference."""

    def made(width: int, depth: int) -> Net:
        model = Net(width, depth)
        with torch.no_grad():
            for i, block in enumerate(model.blocks):
                block.mlp.W_up.mul_((i + 1) ** -0.5)  # type: ignore[union-attr]
        return model

    model = made(128, 6)
    quiet(model, rules(), sizes=WIDE, reference=made(32, 2))
    stds = [float(block.mlp.W_up.detach().std()) for block in model.blocks]  # type: ignore[union-attr]
    assert [std / stds[0] for std in stds] == pytest.approx([(i + 1) ** -0.5 for i in range(6)], rel=0.05)
    assert stds[0] == pytest.approx(128**-0.5, rel=0.05)


def test_sizes_that_the_model_does_not_have_are_refused() -> None:
    def make(width: int) -> nn.Module:
        return nn.Sequential(nn.Linear(16, width), nn.Tanh(), nn.Linear(width, 8))

    graph = sr.trace(make, scales={"width": (32, 48, 64)}, inputs=lambda width: torch.zeros(4, 16), progress=False)
    with pytest.raises(ScaleRulesError, match=r"'0.weight': has a length of 128, where sizes= say 256"):
        apply(make(128), handmade(graph), base=BASE, sizes={"width": 256}, lr=1e-2)


# --- what a person reads, and what a file holds -----------------------------------------------------------------------


def test_printed_groups_say_what_will_happen() -> None:
    groups = quiet(Net(128), rules(), sizes=WIDE, lr={"*": 1e-2, "W_E": 0.05}, weight_decay={"*": 0.1, "*.gain": 0.0})
    assert (
        str(groups)
        == """\
blocks, adam: width 32 -> 128, depth 2; decoupled weight decay
  group  tensors  entries  lr              weight_decay  eps               parameters
  0      1        1,408    0.05 -> 0.0125  0.1 -> 0.4    1e-08             W_E
  1      1        1,408    0.01 -> 0.0025  0.1 -> 0.4    1e-08             W_U
  2      2        256      0.01            0             1e-08 -> 2.5e-09  blocks.0-1.mlp.gain
  3      4        262,144  0.01 -> 0.0025  0.1 -> 0.4    1e-08 -> 2.5e-09  blocks.0-1.mlp.W_up, blocks.0-1.mlp.W_down
  4      2        1,024    0.01            0.1           1e-08 -> 2.5e-09  blocks.0-1.mlp.b_up
set by hand: scores: 0.5 times its value at the base size (width^(-1/2)): 0.015625 where that is 1/n = 0.03125"""
    )


def test_groups_as_a_table_read_back_as_they_are() -> None:
    groups = quiet(Net(128), rules(), sizes=WIDE, eps=3e-9)
    data = groups.to_dict()
    assert json.loads(groups.to_json()) == data == yaml.safe_load(groups.to_yaml())
    assert data["sizes"] == {"width": 128.0, "depth": 2.0} and data["forward"] == {"scores": {"factor": 0.5, "set": []}}
    for entry, group in zip(data["groups"], groups, strict=True):
        assert entry["names"] == group["names"] and entry["lr"] == group["lr"] and entry["eps"] == group["eps"]
        assert entry["tuned"]["lr"] * entry["factors"]["lr"] == pytest.approx(group["lr"])
