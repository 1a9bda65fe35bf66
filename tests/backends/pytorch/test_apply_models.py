"""`apply` on models as they come: weight norm, the meta device, factors of the forward pass, trainers, Muon beside AdamW."""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from typing import Any

import pytest
import torch
from handmade import handmade, power
from residual_net import BASE, Net, quiet, rules, run
from scalerules.backends.pytorch.model.apply import ModelWarning
from scalerules.backends.pytorch.model.forward_factors import Multiply
from scalerules.backends.pytorch.model.muon_pair import Pair
from scalerules.backends.pytorch.source.emit import Groups, apply
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

import scalerules as sr
from scalerules.architecture.graph import Graph
from scalerules.errors import ScaleRulesError
from scalerules.solution.solution import Solution

torch.set_num_threads(1)
WIDE = {"width": 128}


# --- a small transformer with tied logits, as one writes it ----------------------------------------------------------


class Attention(nn.Module):
    def __init__(self, width: int, fused: bool) -> None:
        super().__init__()
        self.fused, self.scaling = fused, (width // 4) ** -0.5
        if fused:
            self.qkv = nn.Linear(width, 3 * width, bias=False)
        else:
            self.query, self.key, self.value = (nn.Linear(width, width, bias=name == "q") for name in "qkv")
            nn.init.zeros_(self.query.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, str]:
        q, k, v = self.qkv(x).chunk(3, -1) if self.fused else (self.query(x), self.key(x), self.value(x))
        q, k, v = (y.unflatten(-1, (4, -1)).transpose(1, 2) for y in (q, k, v))
        y = functional.scaled_dot_product_attention(q, k, v, scale=self.scaling)
        return y.transpose(1, 2).flatten(2), "and something else"


class Transformer(nn.Module):
    def __init__(self, width: int, fused: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.wte = nn.Embedding(11, width)
        self.layers = nn.ModuleList(Attention(width, fused) for _ in range(2))
        self.head = nn.Linear(width, 11, bias=False)
        self.head.weight = self.wte.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.wte(tokens)
        for layer in self.layers:
            x = x + layer(x)[0]
        return self.head(x)


def tied(fused: bool = False) -> Solution:
    """Its graph, with scores of 1/head and logits times 1/width."""
    g = sr.Builder("tied", sizes=BASE, loss="cross_entropy",
                   axes={"batch": 4, "time": 5, "vocab": 11, "n": "width", "heads": 4, "head": "width/4", "layers": 2,
                         "all": "3*width"})  # fmt: skip
    tokens = g.input("tokens", "batch time vocab", kind="tokens")
    g.parameter("wte.weight", "vocab n")
    x = g.einsum("x", "b t v, v n -> b t n", tokens, parameters=("wte.weight",))
    with g.repeat("blocks", x, "layers") as block:
        h = block.stream
        if fused:
            y = g.dense("qkv.weight", h, "all n", "b t")
            q, k, v = (g.node(l, "slice", y, axis="n", offset=o) for l, o in [("q", None), ("k", "n"), ("v", "2*n")])
        else:
            q = g.bias("query.bias", g.dense("query.weight", h, "n n", "b t"), "n")
            k, v = g.dense("key.weight", h, "n n", "b t"), g.dense("value.weight", h, "n n", "b t")
        q, k, v = (g.node(f"{y}.heads", "reshape", y, axes="batch time heads head") for y in (q, k, v))
        scores = g.scale("scores", g.einsum("dots", "b s h d, b t h d -> b h s t", q, k), "head^(-1/2)", free=True)
        weights = g.softmax(scores, axis="time", name="weights")
        y = g.node("mix", "reshape", g.einsum("y", "b h s t, b t h d -> b s h d", weights, v), axes="batch time n")
        block.result = g.residual("out", h, g.scale("branch", y, free=True))
    logits = g.einsum("logits", "b t n, v n -> b t v", "blocks", parameters=("wte.weight",))
    graph = g.build(g.scale("logits.scale", logits, free=True))
    factors = {"scores": power(-1), "branch": power("-1/2"), "logits.scale": power(-1)}
    return handmade(graph).changed(multipliers={name: dict(e.fractions) for name, e in factors.items()})


def set_up(model: nn.Module, solution: Solution, **options: Any) -> Groups:
    return quiet(model, solution, **{"sizes": WIDE, "places": {"branch": "layers.*"}, **options})


def by_hand(model: Transformer, tokens: Tensor, scores: float, branch: float, logits: float) -> Tensor:
    """The forward pass with the factors written into it."""
    model = copy.deepcopy(model)
    x = model.wte(tokens)
    for layer in model.layers:
        assert isinstance(layer, Attention)
        for module in layer.modules():
            module._forward_hooks.clear()
        layer.scaling = scores
        x = x + branch * layer(x)[0]
    return logits * functional.linear(x, model.wte.weight)


@pytest.mark.parametrize("fused", [False, True])
def test_factors_are_set_where_the_graph_says(fused: bool) -> None:
    model, solution = Transformer(128, fused), tied(fused)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        groups = apply(
            model,
            solution,
            base=BASE,
            sizes=WIDE,
            lr=1e-2,
            places={"branch": "layers.*"},
            reference=Transformer(32, fused),
        )
    assert groups.placed == {
        # a factor of the scores is one behind the queries; a fused projection has no output of its own for them
        "scores": [f"layers.{i}.{'scaling' if fused else 'query'}" for i in (0, 1)],
        "branch": ["layers.0", "layers.1"],
        "logits.scale": ["head"],
    }
    assert groups.multipliers == {"scores": 0.25, "branch": 0.5, "logits.scale": 0.25}
    tokens = torch.randint(11, (3, 5))
    # at the base size a head has 8 entries: 8^(-1/2), and 1/4 of that here
    torch.testing.assert_close(model(tokens), by_hand(model, tokens, scores=8**-0.5 / 4, branch=0.5, logits=0.25))


def test_factors_are_set_once_and_stay_in_copies() -> None:
    model, solution = Transformer(128), tied()
    set_up(model, solution, places={"branch": "layers.*", "scores": "layers.*.scaling"})
    tokens = torch.randint(11, (3, 5))
    expected = by_hand(model, tokens, scores=8**-0.5 / 4, branch=0.5, logits=0.25)
    set_up(model, solution, places={"branch": "layers.*", "scores": "layers.*.scaling"}, init=False)
    loaded = Transformer(128)
    set_up(loaded, solution, places={"branch": "layers.*", "scores": "layers.*.scaling"}, init=False)
    loaded.load_state_dict(model.state_dict(), assign=True)
    compiled = torch.compile(copy.deepcopy(model), backend="eager", fullgraph=True)
    late = torch.compile(Transformer(128), backend="eager")
    set_up(late, solution, places={"branch": "layers.*", "scores": "layers.*.scaling"})  # type: ignore[arg-type]
    late.load_state_dict(compiled.state_dict())
    for other in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model)), loaded, compiled, late):
        torch.testing.assert_close(other(tokens), expected)
    assert sum(isinstance(h, Multiply) for m in model.modules() for h in m._forward_hooks.values()) == 3
    # back at the base size no hook is left
    again = Transformer(32)
    set_up(again, solution, sizes={"width": 64})
    set_up(again, solution, sizes=BASE)
    assert not any(module._forward_hooks for module in again.modules())


def test_places_that_lead_nowhere_are_refused() -> None:
    with pytest.raises(ScaleRulesError, match=r"'blocks\.\*' is neither a module of the model nor a number"):
        set_up(Transformer(128), tied(), places={"branch": "blocks.*"})
    with pytest.raises(ScaleRulesError, match="'score': has no solved factor .one of: scores, branch"):
        set_up(Transformer(128), tied(), places={"score": "layers.*"})
    model = Transformer(128)
    model.layers[0].scaling = 3.0  # type: ignore[assignment]
    with pytest.raises(ScaleRulesError, match=r"'layers\.0\.scaling': is 3: neither 0\.1767.* nor 0\.0883"):
        set_up(model, tied(), places={"scores": "layers.*.scaling"})


def test_a_factor_passes_back_through_everything_linear() -> None:
    """Without places: the branch is linear in the values, so behind their projection it is the same factor."""
    model = Transformer(128)
    groups = apply(model, tied(), base=BASE, sizes=WIDE, lr=1e-2, reference=Transformer(32))
    assert groups.placed["branch"] == ["layers.0.value", "layers.1.value"]
    tokens = torch.randint(11, (3, 5))
    torch.testing.assert_close(model(tokens), by_hand(model, tokens, scores=8**-0.5 / 4, branch=0.5, logits=0.25))


# --- weight norm ------------------------------------------------------------------------------------------------------


def perceptron(width: int, norm: str = "") -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Linear(6, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3, bias=False)]
    if norm:
        for layer in (layers[2], layers[4]):
            if norm == "new":
                weight_norm(layer)
            else:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", FutureWarning)
                    nn.utils.weight_norm(layer)
    return nn.Sequential(*layers)


def perceptron_graph() -> Graph:
    g = sr.Builder("perceptron", sizes=BASE, axes={"batch": 4, "in": 6, "n": "width", "out": 3})
    h = g.relu(g.bias("0.bias", g.dense("0.weight", g.input("x", "batch in"), "n in"), "n"), name="a")
    h = g.relu(g.bias("2.bias", g.dense("2.weight", h, "n n"), "n"), name="b")
    return g.build(g.dense("4.weight", h, "out n"))


@pytest.mark.parametrize("norm", ["new", "old"])
@pytest.mark.parametrize("how", ["rescaled", "reference", "drawn"])
def test_a_weight_normed_weight_is_the_plain_one(norm: str, how: str) -> None:
    solution = handmade(perceptron_graph())
    plain, normed = perceptron(128), perceptron(128, norm)
    options: dict[str, Any] = {"sizes": WIDE}
    seed = 4 if how == "drawn" else None
    quiet(plain, solution, **options, seed=seed, reference=perceptron(32) if how == "reference" else None)
    groups = quiet(
        normed, solution, **options, seed=seed, reference=perceptron(32, norm) if how == "reference" else None
    )
    x = torch.randn(5, 6)
    if how == "drawn":  # by names, and these differ
        normed(x)  # the older form computes its weight then
        for layer, expected in ((2, 32**-0.5 / 2), (4, 32**-0.5 / 4)):
            weight: Any = normed.get_submodule(str(layer)).weight
            assert float(torch.std(weight.detach())) == pytest.approx(expected, rel=0.15)
    else:
        torch.testing.assert_close(normed(x), plain(x))
    rates = {name: group["lr"] for group in groups for name in group["names"]}
    magnitude, direction = ("parametrizations.weight.original0", "parametrizations.weight.original1")
    magnitude, direction = (magnitude, direction) if norm == "new" else ("weight_g", "weight_v")
    assert rates[f"2.{direction}"] == rates[f"4.{direction}"] == pytest.approx(1e-2 / 4)
    # a row of the hidden weight keeps its norm, one of the last falls with 1/sqrt(width)
    assert rates[f"2.{magnitude}"] == pytest.approx(1e-2) and rates[f"4.{magnitude}"] == pytest.approx(1e-2 / 2)


def test_weight_norm_under_sgd_has_to_be_derived() -> None:
    with pytest.raises(ScaleRulesError, match=r"magnitude of a weight norm.*sr\.trace"):
        quiet(perceptron(128, "new"), handmade(perceptron_graph(), "sgd"), sizes=WIDE)


def test_weight_norm_with_rules_of_its_own() -> None:
    """As a traced graph has them: both parameters by their names; the magnitude's mean is what is scaled."""
    g = sr.Builder("own", sizes=BASE, axes={"batch": 4, "n": "width"})
    names = ["parametrizations.weight.original1", "parametrizations.weight.original0"]
    h = g.dense(names[0], g.input("x", "batch n"), "n n")
    g.parameter(names[1], "n")
    graph = g.build(g.einsum("out", "b n, n -> b n", h, parameters=(names[1],)))
    solution = handmade(graph).changed(names[1], init={"width": "-1/2"}, lr={"width": "-1/2"})
    for seed in (None, 0):
        model = weight_norm(nn.Linear(128, 128, bias=False))
        groups = quiet(model, solution, sizes=WIDE, seed=seed, reference=weight_norm(nn.Linear(32, 32, bias=False)))
        start = weight_norm(nn.Linear(32, 32, bias=False)).get_parameter(names[1]).detach()
        assert float(model.get_parameter(names[1]).detach().mean()) == pytest.approx(float(start.mean()) / 2, rel=0.05)
        assert {n: g["lr"] for g in groups for n in g["names"]}[names[1]] == pytest.approx(1e-2 / 2)


# --- one parameter, several rules -------------------------------------------------------------------------------------


def fused_solution() -> Solution:
    """Rows for dt, B and C, as a traced graph names the parts of a fused weight; and heads of q and k in turn."""
    g = sr.Builder("fused", sizes=BASE, axes={"batch": 4, "n": "width", "rank": "width/16", "state": 8, "head": "width/4",
                                              "heads": 4})  # fmt: skip
    x = g.input("x", "batch n")
    rows = {"dt": ("in.weight[0:1/16*width, :]", "rank n"), "B": ("in.weight[1/16*width:1/16*width + 8, :]", "state n")}
    outputs = [g.dense(name, x, axes) for name, axes in rows.values()]
    for i in (0, 1):
        name = f"qk.weight[(4, 2, width/4)[:, {i}, :], :]"
        g.parameter(name, "heads head n")
        outputs.append(g.einsum(f"qk{i}", "b n, h d n -> b h d", x, parameters=(name,)))
    graph = g.build(*outputs)
    return handmade(graph).changed("in.weight[0:1/16*width, :]", init={"width": "-1/2"}, lr={"width": "-1/2"}).changed(
        "qk.weight[(4, 2, width/4)[:, 0, :], :]", init={"width": "-1/2"}
    )  # fmt: skip


def fused_model(width: int) -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict(
        {"in": nn.Linear(width, width // 16 + 8, bias=False), "qk": nn.Linear(width, 2 * width, bias=False)}
    )


@pytest.mark.parametrize("how", ["reference", "alone", "drawn"])
def test_the_parts_of_a_fused_weight_follow_their_rules(how: str) -> None:
    solution, model, small = fused_solution(), fused_model(512), fused_model(32)
    with pytest.warns(ModelWarning) as caught:
        groups = apply(model, solution, base=BASE, sizes={"width": 512}, lr=1e-2, seed=3 if how == "drawn" else None,
                       reference=small if how == "reference" else None)  # fmt: skip
    fused, interleaved = (model[name].weight.detach() for name in ("in", "qk"))  # type: ignore[union-attr]
    natural = 32**-0.5 * (1 if how == "drawn" else 3**-0.5)  # nn.Linear draws uniformly
    tolerance = 0.2 if how == "reference" else 0.05  # the reference itself has few entries
    heads = interleaved.view(4, 2, 128, 512)
    for values, factor in [(fused[:32], 1 / 4), (fused[32:], 1 / 16), (heads[:, 0], 1 / 4), (heads[:, 1], 1 / 16)]:
        assert float(values.std()) == pytest.approx(natural * factor, rel=tolerance)
    texts = [str(warning.message) for warning in caught]
    assert (
        "the parts of in.weight have different rates ([0:1/16*width, :] width^(-1/2), [1/16*width:1/16*width + 8, :] "
        "width^-1) and are one parameter: the smallest is taken"
    ) in texts
    assert {name: group["lr"] for group in groups for name in group["names"]}["in.weight"] == pytest.approx(0.000625)


def test_a_part_outside_of_the_weight_is_refused() -> None:
    with pytest.raises(ScaleRulesError, match=r"reads entries 0 to 32 of a dimension of 10"):
        quiet(fused_model(32), fused_solution(), sizes={"width": 512})


# --- nothing has values yet -------------------------------------------------------------------------------------------


def test_on_the_meta_device_a_seed_is_asked_for_after_to_empty() -> None:
    with torch.device("meta"):
        model = Net(128)
    with pytest.raises(ScaleRulesError, match=r"has no values yet .*to_empty.*seed=0"):
        quiet(model, rules(), sizes=WIDE)
    with pytest.raises(ScaleRulesError, match=r"has no values yet .*to_empty.*seed=0"):
        quiet(model, rules(), sizes=WIDE, seed=0)
    model.to_empty(device="cpu")
    for parameter in model.parameters():
        nn.init.constant_(parameter, math.nan)
    groups = quiet(model, rules(), sizes=WIDE, seed=0)
    assert torch.equal(model.blocks[0].mlp.gain, torch.ones(128))  # type: ignore[union-attr]
    assert torch.equal(model.blocks[1].mlp.b_up, torch.zeros(512))  # type: ignore[union-attr]
    for name, expected in {"W_E": 1 / 4, "W_U": 32**-0.5 / 4, "blocks.1.mlp.W_down": 128**-0.5 / 2}.items():
        assert float(model.get_parameter(name).detach().std()) == pytest.approx(expected, rel=0.1)
    losses = run(model, [groups.optimizer(torch.optim.AdamW)], 5)
    assert losses[-1] < losses[0]


def test_drawn_values_take_constants_and_stds_from_the_reference() -> None:
    reference = Net(32)
    nn.init.constant_(reference.blocks[0].mlp.gain, 0.5)  # type: ignore[union-attr]
    nn.init.normal_(reference.W_E, std=0.02)
    model = Net(128, depth=3)
    quiet(model, rules(), sizes=WIDE, seed=1, reference=reference)
    assert torch.equal(model.blocks[0].mlp.gain, torch.full((128,), 0.5))  # type: ignore[union-attr]
    assert torch.equal(model.blocks[2].mlp.gain, torch.full((128,), 0.5))  # type: ignore[union-attr]
    assert float(model.W_E.detach().std()) == pytest.approx(0.02 / 4, rel=0.1)
    again = Net(32, seed=5)
    quiet(again, rules(), sizes=BASE, seed=1, reference=reference)
    assert float(again.W_E.detach().std()) == pytest.approx(0.02, rel=0.2)
    assert not torch.equal(again.W_E, Net(32, seed=5).W_E)


def test_fixed_structures_are_drawn_too() -> None:
    g = sr.Builder("structured", sizes=BASE, axes={"batch": 4, "n": "width", "state": 5})
    h = g.dense("W", g.input("x", "batch n"), "n n")
    g.parameter("A_log", "n state", init="log_range")
    g.parameter("B", "n state", init="range")
    y = g.einsum("y", "b n, n s, n s -> b n", h, parameters=("A_log", "B"))
    model = nn.Module()
    model.W, model.A_log, model.B = (nn.Parameter(torch.empty(64, n)) for n in (64, 5, 5))
    quiet(model, handmade(g.build(y)), sizes={"width": 64}, seed=0)
    expected = torch.arange(1.0, 6).expand(64, 5)
    assert torch.equal(model.B, expected) and torch.equal(model.A_log, expected.log())


# --- optimizers and trainers ------------------------------------------------------------------------------------------


def muon_groups(model: nn.Module, **options: Any) -> Groups:
    return quiet(model, rules("muon-original"), sizes=WIDE, optimizer=torch.optim.Muon, **options)


def test_muon_and_adamw_are_one_optimizer() -> None:
    one, two = Net(128), Net(128)
    groups = muon_groups(one, lr_beside=3e-3)
    assert {group["lr"] for group in groups.others} == {3e-3}
    pair = groups.optimizer(torch.optim.Muon, other_options={"betas": (0.9, 0.95)})
    assert isinstance(pair, Pair) and len(pair.param_groups) == len(groups)
    apart = muon_groups(two, lr_beside=3e-3)
    both = [torch.optim.Muon(apart.matrices), torch.optim.AdamW(apart.others, betas=(0.9, 0.95))]
    schedules = [torch.optim.lr_scheduler.StepLR(each, 1, 0.5) for each in (pair, *both)]
    for _ in range(3):
        assert run(one, [pair], 1) == run(two, both, 1)
        for schedule in schedules:
            schedule.step()
    assert all(group["lr"] == group["initial_lr"] / 8 for group in pair.param_groups)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
    # a checkpoint goes on where it was
    copied = copy.deepcopy(one)
    again = groups.on(copied).optimizer(torch.optim.Muon, other_options={"betas": (0.9, 0.95)})
    again.load_state_dict(pickle.loads(pickle.dumps(pair.state_dict())))
    assert [group["lr"] for group in again.param_groups] == [group["lr"] for group in pair.param_groups]
    assert run(copied, [again], 2) == run(one, [pair], 2)


def test_any_optimizer_that_takes_groups() -> None:
    from pytorch_optimizer import Lion

    for kind, take in [
        ("lion", Lion),
        ("sgd", torch.optim.SGD),
        ("adam", torch.optim.NAdam),
        ("adam", torch.optim.RMSprop),
    ]:
        model = Net(128)
        groups = quiet(model, rules(kind), sizes=WIDE, lr=1e-3, optimizer=take)
        optimizer = groups.optimizer(take)
        losses = run(model, [optimizer], 5)
        assert all(map(math.isfinite, losses)) and losses[-1] < losses[0], take
        wanted = [group["lr"] for group in groups]
        assert [group["lr"] for group in optimizer.param_groups] == wanted and len(groups) > 1


class Tokens(torch.utils.data.Dataset[dict[str, Tensor]]):
    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(index)
        return {
            "tokens": torch.randint(11, (8,), generator=generator),
            "labels": torch.randint(11, (8,), generator=generator),
        }


class WithLoss(nn.Module):
    """A model as the Hugging Face Trainer takes any: it returns its loss."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, tokens: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"loss": functional.cross_entropy(self.net(tokens).flatten(0, 1), labels.flatten())}


@pytest.mark.parametrize("kind", ["adam", "muon-original"])
def test_the_hugging_face_trainer(kind: str, tmp_path: Any) -> None:
    from transformers import Trainer, TrainingArguments

    model = WithLoss(Net(128))
    take = torch.optim.AdamW if kind == "adam" else torch.optim.Muon
    groups = quiet(model.net, rules(kind), sizes=WIDE, optimizer=take)
    arguments = TrainingArguments(str(tmp_path), max_steps=4, per_device_train_batch_size=8, lr_scheduler_type="linear",
                                  logging_steps=1, save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True)  # fmt: skip
    trainer = Trainer(model, arguments, train_dataset=Tokens(), optimizer_cls_and_kwargs=groups.for_trainer(take))
    trainer.train()
    optimizer: Any = trainer.optimizer
    got = [group["initial_lr"] for group in optimizer.param_groups]
    assert got == [group["lr"] for group in (groups if kind == "adam" else [*groups.matrices, *groups.others])]
    ratios = {group["lr"] / group["initial_lr"] for group in optimizer.param_groups}
    assert len(set(got)) > 1 and len(ratios) == 1 and ratios != {1.0}
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 4 and all(map(math.isfinite, losses))


def test_lightning(tmp_path: Any) -> None:
    import pytorch_lightning as lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = Net(128)

        def training_step(self, batch: dict[str, Tensor]) -> Tensor:
            return functional.cross_entropy(self.net(batch["tokens"]).flatten(0, 1), batch["labels"].flatten())

        def configure_optimizers(self) -> Any:
            groups = quiet(self.net, rules(), sizes=WIDE)
            optimizer = groups.optimizer(torch.optim.AdamW)
            schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    module = Module()
    trainer = lightning.Trainer(max_steps=3, accelerator="cpu", logger=False, enable_checkpointing=False,
                                enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path)  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(module, torch.utils.data.DataLoader(Tokens(), batch_size=8))
    optimizer: Any = trainer.optimizers[0]
    assert [group["lr"] for group in optimizer.param_groups] == [
        group["initial_lr"] / 4 for group in optimizer.param_groups
    ]
    assert sorted({round(group["initial_lr"], 6) for group in optimizer.param_groups}) == [0.0025, 0.01]


def test_groups_are_few() -> None:
    """Parameters of equal numbers share a group, so that `foreach` and fused optimizers take many at once."""
    groups = quiet(Net(128, depth=12), rules(), sizes=WIDE)
    assert len(groups) == 3 and sum(len(group["params"]) for group in groups) == 2 + 12 * 4
    assert len(quiet(Net(32, depth=12), rules(), sizes=BASE)) == 1


def test_decay_that_is_independent_of_the_rate_is_kept_so() -> None:
    """torch's AdamW decays by lr * weight_decay: for the rule `wd`, of each step, it gets wd / lr."""
    from dataclasses import replace

    solution = replace(rules(), optimizer="adamw(decay=independent)").changed("W_U", wd={"width": 0})
    groups = quiet(Net(128), solution, sizes=WIDE, optimizer=torch.optim.AdamW)
    (group,) = [group for group in groups if "W_U" in group["names"]]
    assert group["lr"] * group["weight_decay"] == pytest.approx(1e-2 * 0.1)
