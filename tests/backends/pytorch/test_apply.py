"""`apply` on live models: untouched at the base size, the rules elsewhere, names matched or refused, nothing hung on."""

from __future__ import annotations

import copy
import math
import sys
import warnings
from dataclasses import replace

import pytest
import torch
from handmade import handmade
from residual_net import BASE, Block, Net, blocks_graph, quiet, rules, run
from scalerules.backends.pytorch.model.apply import ModelWarning
from scalerules.backends.pytorch.model.at_sizes import Sizes
from scalerules.backends.pytorch.model.matrices import adjustment
from scalerules.backends.pytorch.source.emit import apply
from torch import nn

import scalerules as sr
from scalerules.errors import MissingExtra, ScaleRulesError, UnknownName

torch.set_num_threads(1)


def stds(model: nn.Module) -> dict[str, float]:
    return {name: float(parameter.detach().std(unbiased=False)) for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "lion"])
@pytest.mark.parametrize("reference", [False, True])
def test_at_the_base_size_nothing_happens(optimizer: str, reference: bool) -> None:
    model, twin = Net(32), Net(32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        groups = apply(model, rules(optimizer), base=BASE, sizes=BASE, lr=1e-2, weight_decay=0.1,
                       reference=Net(32, seed=1) if reference else None)  # fmt: skip
    for (name, a), (_, b) in zip(model.named_parameters(), twin.named_parameters(), strict=True):
        assert torch.equal(a, b), name
    assert len(groups) == 1 and groups.multipliers == {"scores": 1.0}
    (group,) = groups
    assert group["params"] == list(model.parameters()) and group["names"] == [n for n, _ in model.named_parameters()]
    wanted = {"lr": 1e-2, "weight_decay": 0.1} | ({"eps": 1e-8} if optimizer == "adam" else {})
    assert {key: value for key, value in group.items() if key not in ("params", "names")} == wanted


@pytest.mark.parametrize("reference", ["model", "mapping", "none"])
def test_away_from_it_every_std_and_rate_follows_its_rule(reference: str) -> None:
    model, solution, ratio = Net(128), rules(), {"width": 4.0}
    given = {"model": Net(32, seed=1), "none": None,
             "mapping": {"W_E": 1.0, "mlp.W_up": 32**-0.5, "mlp.W_down": 128**-0.5, "W_U": 32**-0.5}}  # fmt: skip
    before = copy.deepcopy(model)
    groups = quiet(model, solution, sizes={"width": 128}, reference=given[reference])
    base = {"W_E": 1.0, "mlp.W_up": 32**-0.5, "mlp.W_down": 128**-0.5, "W_U": 32**-0.5}
    for name, parameter in model.named_parameters():
        rule = name if name in solution.parameters else name.split(".", 2)[2]
        if rule in base:
            wanted = base[rule] * solution[rule].init.factor(ratio)
            assert stds(model)[name] == pytest.approx(wanted, rel=0.12), name
        else:
            assert torch.equal(parameter, before.get_parameter(name))
    for group in groups:
        for name in group["names"]:
            rule = solution[name if name in solution.parameters else name.split(".", 2)[2]]
            assert group["lr"] == pytest.approx(1e-2 * rule.lr.factor(ratio))
            assert group["weight_decay"] == pytest.approx(0.1 * rule.wd.factor(ratio))
            assert group["eps"] == pytest.approx(1e-8 * rule.eps.factor(ratio))
    assert sorted(n for g in groups for n in g["names"]) == sorted(n for n, _ in model.named_parameters())


def test_a_bias_of_two_entries_that_are_nearly_alike_is_not_blown_up() -> None:
    """Their std says nothing of how large they are: divided by it, the bias was multiplied by 50."""

    def make(width: int, *entries: float) -> nn.Sequential:
        model = nn.Sequential(nn.Linear(8, width), nn.GELU(), nn.Linear(width, 2))
        if entries:
            model.get_parameter("2.bias").data.copy_(torch.tensor(entries))
        return model

    graph = sr.trace(lambda width: make(width), {"width": (16, 24, 32)}, inputs=lambda width: torch.ones(4, 8))
    model, solution = make(128, 0.1, 0.102), sr.derive(graph, optimizer="adamw")
    sr.apply(model, solution, base={"width": 32}, sizes={"width": 128}, lr=1e-2, reference=make(32, 0.1, -0.1))
    assert model.get_parameter("2.bias").abs().max() < 0.2


def test_a_grouped_convolution_behind_a_shuffle_takes_its_rule() -> None:
    """The graph has its weight as groups, outputs and inputs, the module as outputs, inputs and one position."""

    class Shuffled(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.e, self.b = nn.Conv1d(3, width, 1), nn.Conv1d(width, width, 1, groups=4)
            self.o = nn.Linear(width, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = torch.relu(self.e(x))
            h = h.view(2, 4, h.shape[1] // 4, 6).transpose(1, 2).reshape(h.shape)
            return self.o(torch.relu(self.b(h)).mean(-1))

    graph = sr.trace(Shuffled, {"width": (16, 24, 32)}, inputs=lambda width: torch.ones(2, 3, 6))
    solution, model = sr.derive(graph, optimizer="adamw"), Shuffled(128)
    groups = sr.apply(model, solution, base={"width": 32}, sizes={"width": 128}, lr=1e-2, reference=Shuffled(32))
    assert str(solution["b.weight"].init) == "width^(-1/2)"
    assert next(group["lr"] for group in groups if "b.weight" in group["names"]) == pytest.approx(1e-2 / 4)
    with pytest.raises(ScaleRulesError, match="where sizes= say"):
        sr.apply(model, solution, base={"width": 32}, sizes={"width": 64}, lr=1e-2)


def test_with_a_reference_the_std_is_exact_and_a_second_call_changes_nothing() -> None:
    model, reference = Net(128), {"W_E": 0.5, "mlp.W_up": 0.1, "mlp.W_down": 0.2, "W_U": 0.3}
    quiet(model, rules(), sizes={"width": 128}, reference=reference)
    assert stds(model)["blocks.1.mlp.W_down"] == pytest.approx(0.2 / 2, rel=1e-5)
    assert stds(model)["W_U"] == pytest.approx(0.3 / 4, rel=1e-5)
    before = copy.deepcopy(model)
    quiet(model, rules(), sizes={"width": 128}, reference=reference)
    for a, b in zip(model.parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_what_cannot_be_set_from_outside_is_said() -> None:
    with pytest.warns(ModelWarning) as caught:
        groups = apply(Net(128), rules(), base=BASE, sizes={"width": 128}, lr=1e-2)
    texts = sorted(str(warning.message) for warning in caught)
    assert len(texts) == 2
    assert texts[0] == (
        "these factors stand in the forward pass and cannot be set from outside; set them in the model:\n"
        "  scores: 0.5 times its value at the base size (width^(-1/2)): 0.015625 where that is 1/n = 0.03125"
    )
    assert texts[1].startswith("without reference= the model's own initialisation is taken to be proportional")
    assert groups.multipliers == {"scores": 0.5}


def test_a_bias_that_the_model_draws_is_left_and_said() -> None:
    model = Net(64)
    bias = model.get_parameter("blocks.0.mlp.b_up")
    nn.init.normal_(bias)
    before = bias.detach().clone()
    with pytest.warns(ModelWarning) as caught:
        apply(model, rules(), base=BASE, sizes={"width": 64}, lr=1e-2)
    assert any("declares blocks.0.mlp.b_up as constant" in str(warning.message) for warning in caught)
    assert torch.equal(bias, before)


def test_a_derived_solution_sets_up_a_live_model() -> None:
    solution = sr.derive(blocks_graph(), "adamw")
    model = Net(128)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelWarning)
        groups = sr.apply(
            model, solution, base=BASE, sizes={"width": 128}, lr=1e-2, weight_decay=0.1, reference=Net(32)
        )
    losses = run(model, [torch.optim.AdamW(groups)], 10)
    assert losses[-1] < losses[0] / 2
    rates = {name: group["lr"] for group in groups for name in group["names"]}
    assert rates["blocks.1.mlp.W_up"] == pytest.approx(1e-2 / 4) and rates["W_E"] == 1e-2


def test_schedulers_keep_the_ratios() -> None:
    model = Net(128)
    groups = quiet(model, rules(), sizes={"width": 128})
    optimizer = torch.optim.AdamW(groups)
    before = [group["lr"] for group in optimizer.param_groups]
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    for _ in range(4):
        run(model, [optimizer], 1)
        schedule.step()
    after = [group["lr"] for group in optimizer.param_groups]
    assert len(set(before)) > 1 and after != before
    assert [a / after[0] for a in after] == pytest.approx([b / before[0] for b in before])


@pytest.mark.parametrize(("name", "take"), [("adam", torch.optim.AdamW), ("sgd", torch.optim.SGD)])
def test_training_at_the_base_size_is_plain_training(name: str, take: type[torch.optim.Optimizer]) -> None:
    ours, plain = Net(32), Net(32)
    groups = quiet(ours, rules(name), sizes=BASE, optimizer=take)
    defaults = {"lr": 1e-2, "weight_decay": 0.1}
    assert run(ours, [take(groups)]) == run(plain, [take(plain.parameters(), **defaults)])  # type: ignore[call-arg]
    for a, b in zip(ours.parameters(), plain.parameters(), strict=True):
        assert torch.equal(a, b)


def test_muon_takes_the_matrices_and_another_the_rest() -> None:
    model, solution = Net(128), rules("muon-original")
    groups = quiet(model, solution, sizes={"width": 128}, optimizer=torch.optim.Muon)
    matrices = {name for group in groups.matrices for name in group["names"]}
    assert matrices == {"W_E", "W_U", *(f"blocks.{i}.mlp.W_{k}" for i in (0, 1) for k in ("up", "down"))}
    assert {name for group in groups.others for name in group["names"]} == {
        f"blocks.{i}.mlp.{k}" for i in (0, 1) for k in ("gain", "b_up")
    }
    assert all("eps" not in group for group in groups.matrices) and all("eps" in group for group in groups.others)
    losses = run(model, [torch.optim.Muon(groups.matrices), torch.optim.AdamW(groups.others)])
    assert all(map(math.isfinite, losses))


def test_torch_muons_own_adjustment_is_taken_out() -> None:
    graph = blocks_graph()
    for adjust, name, wanted in [
        # W_E is (vocab, n): torch sees rows/columns = 11/n, below one at both sizes, and adjusts by 1
        ("muon", "W_E", 1.0),
        ("muon-original", "W_E", 1 / math.sqrt((128 / 11) / (32 / 11))),
        ("muon", "blocks.0.mlp.W_up", 1.0),
        ("muon-match-rms", "blocks.0.mlp.W_up", 0.5),
    ]:
        at = Sizes.of(handmade(graph, adjust), graph, BASE, {"width": 128})  # type: ignore[arg-type]
        rule = name if name == "W_E" else "mlp.W_up"
        assert adjustment(at, rule, Net(128).get_parameter(name)) == pytest.approx(wanted), (adjust, name)


def test_it_survives_copies_compilation_and_assigned_checkpoints() -> None:
    model, solution = Net(64), rules()
    groups = quiet(model, solution, sizes={"width": 64})
    assert all(not vars(parameter) for parameter in model.parameters())
    twin = copy.deepcopy(model)
    loaded = Net(64, seed=3)
    loaded.load_state_dict(model.state_dict(), assign=True)
    compiled = torch.compile(copy.deepcopy(model), backend="eager")
    for other in (twin, loaded, compiled):
        moved = groups.on(other)  # type: ignore[arg-type]
        again = quiet(other, solution, sizes={"width": 64}, init=False)  # type: ignore[arg-type]
        for a, b in zip(moved, again, strict=True):
            assert all(p is q for p, q in zip(a["params"], b["params"], strict=True))
            assert {k: v for k, v in a.items() if k not in ("params", "names")} == {
                k: v for k, v in b.items() if k not in ("params", "names")
            }
        assert sum(len(group["params"]) for group in moved) == len(list(model.parameters()))
    fresh = torch.compile(Net(64), backend="eager")
    quiet(fresh, solution, sizes={"width": 64})  # type: ignore[arg-type]
    for a, b in zip(fresh.parameters(), model.parameters(), strict=True):
        assert torch.equal(a, b)
    optimizer = torch.optim.AdamW(groups)
    run(model, [optimizer], 1)
    other = torch.optim.AdamW(groups.on(twin))
    other.load_state_dict(optimizer.state_dict())
    assert [g["lr"] for g in other.param_groups] == [g["lr"] for g in groups]


def test_tied_parameters_appear_once_and_frozen_ones_not_at_all() -> None:
    g = sr.Builder("tied", sizes=BASE, axes={"batch": 4, "vocab": 11, "n": "width"})
    g.parameter("W_E", "vocab n")
    x = g.einsum("x", "b v, v n -> b n", g.input("tokens", "batch vocab", kind="tokens"), parameters=("W_E",))
    h = g.dense("W", x, "n n")
    graph = g.build(g.einsum("logits", "b n, v n -> b v", h, parameters=("W_E",)))
    model = nn.Module()
    model.W_E, model.W = nn.Parameter(torch.randn(11, 32)), nn.Parameter(torch.randn(32, 32), requires_grad=False)
    model.head = nn.Module()
    model.head.weight = model.W_E
    groups = quiet(model, handmade(graph), sizes={"width": 64})
    assert [group["names"] for group in groups] == [["W_E"]]
    assert [group["params"] for group in groups] == [[model.W_E]]
    untied = handmade(blocks_graph())
    twice = Net(32)
    twice.W_U = twice.W_E
    with pytest.raises(ScaleRulesError, match="one tied parameter, and follows the rules 'W_E', 'W_U'"):
        quiet(twice, untied, sizes=BASE)


def renamed() -> nn.Module:
    """A model whose names are not the graph's."""
    net, model = Net(32), nn.Module()
    model.wte = nn.Embedding(11, 32)
    model.h = net.blocks
    model.lm_head = nn.Linear(32, 11, bias=False)
    return model


def test_names_can_be_given() -> None:
    names = {"wte.weight": "W_E", "lm_head.weight": "W_U", "h.*.mlp.W_up": "mlp.W_up"}
    groups = quiet(renamed(), rules(), sizes=BASE, names=names)
    assert len(groups[0]["names"]) == 10


def test_names_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ScaleRulesError) as caught:
        quiet(renamed(), rules(), sizes=BASE)
    assert str(caught.value) == (
        "parameter 'wte.weight' of the model: has no rule "
        "(one of: W_E, W_U; names={'wte.weight': 'W_E'} would say that it follows that rule)"
    )
    model = Net(32)
    del model.W_U
    with pytest.raises(ScaleRulesError, match="rule 'W_U': has no parameter in the model .names="):
        quiet(model, rules(), sizes=BASE)
    with pytest.raises(ScaleRulesError, match="unknown rule 'mlp.W_dwon' .did you mean 'mlp.W_down'."):
        quiet(Net(32), rules(), sizes=BASE, names={"W_E": "mlp.W_dwon"})
    double = Net(32)
    double.more = nn.ModuleList([Block(32)])
    with pytest.raises(ScaleRulesError, match=r"could be that of 'blocks\.\*\.mlp\.gain' and of 'more\.\*\.mlp\.gain'"):
        quiet(double, rules(), sizes=BASE)


def test_scales_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UnknownName, match="unknown scale 'widht' .did you mean 'width'"):
        apply(Net(32), rules(), base={"widht": 32}, sizes={"widht": 64}, lr=1e-2)
    with pytest.raises(ScaleRulesError, match="scale 'depth': base= has no value"):
        apply(Net(32), rules(), base=BASE, sizes={"width": 64, "depth": 2}, lr=1e-2)
    with pytest.raises(ScaleRulesError, match="scale 'depth': changes, but the solution holds it fixed"):
        apply(Net(32), rules(), base={**BASE, "depth": 2}, sizes={**BASE, "depth": 4}, lr=1e-2)
    with pytest.raises(ScaleRulesError, match="has 4 times the entries .* sizes= and base= say 2"):
        quiet(Net(128), rules(), sizes={"width": 64}, reference=Net(32))
    with pytest.raises(ScaleRulesError, match="not what the rules were derived for .adam."):
        quiet(Net(64), rules(), sizes={"width": 64}, optimizer=torch.optim.SGD)


def test_without_the_graph_a_reference_is_needed() -> None:
    solution = replace(rules(), architecture=None)
    with pytest.raises(ScaleRulesError, match="give graph=..., or reference="):
        quiet(Net(64), solution, sizes={"width": 64})
    one, other = Net(64), Net(64)
    quiet(one, solution, sizes={"width": 64}, reference=Net(32))
    quiet(other, rules(), sizes={"width": 64}, reference=Net(32))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_depth_may_change_with_layers_that_the_reference_lacks() -> None:
    solution = replace(rules(), scales=("width", "depth")).changed("mlp.W_up", init={"depth": "-1/2"})
    model = Net(32, depth=8)
    quiet(model, solution, base={**BASE, "depth": 2}, sizes={**BASE, "depth": 8}, reference=Net(32, seed=1))
    assert stds(model)["blocks.7.mlp.W_up"] == pytest.approx(32**-0.5 / 2, rel=0.05)


def test_sizes_outside_of_the_cone_are_said() -> None:
    solution = replace(rules(), scales=("width", "depth"), cone=("2*depth <= width",))
    base = {**BASE, "depth": 2}
    with pytest.warns(ModelWarning) as caught:
        apply(Net(64, 4), solution, base=base, sizes={"width": 64, "depth": 4}, lr=1e-2)
    assert any("in which the rules hold: not 2*depth <= width" in str(warning.message) for warning in caught)
    for sizes in ({"width": 128, "depth": 4}, {"width": 8, "depth": 1}, base):
        at = Sizes.of(solution, solution.architecture, base, sizes)
        assert at.outside() == []


def test_torch_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Net(32)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"pip install 'scalerules\[torch\]'"):
        apply(model, rules(), base=BASE, sizes=BASE, lr=1e-2)
