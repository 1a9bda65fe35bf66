"""Traced models of transformers have the rules of the catalogue's graphs, parameter by parameter.

The architectures are the same by their papers and not by their code: fused and batched weights, other names, heads that
grow here and are more there. What is compared does not depend on the gauge: the multiplier is taken into the initial
standard deviation and into the learning rate.
"""

from __future__ import annotations

from fractions import Fraction

import pytest

import scalerules as sr
from benchmarks.zoo import ZOO

ATTENTION = {f"self_attn.{letter.lower()}_proj.weight": f"attention.W_{letter}" for letter in "QKVO"}

GPT2 = {
    "transformer.wte.weight": "W_E",  # the head is the same tensor: a readout with a factor behind it
    "transformer.wpe.weight": "W_E",  # another look-up that is added to it
    "transformer.ln_f.weight": "final.gain", "transformer.ln_f.bias": "mlp.b_up",
} | {
    f"transformer.h.*.{mine}": theirs
    for mine, theirs in {
        "ln_1.weight": "attention.gain", "ln_2.weight": "mlp.gain", "ln_1.bias": "mlp.b_up", "ln_2.bias": "mlp.b_up",
        "attn.c_attn.weight[:, 0:width]": "attention.W_Q", "attn.c_attn.weight[:, width:2*width]": "attention.W_K",
        "attn.c_attn.weight[:, 2*width:3*width]": "attention.W_V", "attn.c_proj.weight": "attention.W_O",
        "mlp.c_fc.weight": "mlp.W_up", "mlp.c_proj.weight": "mlp.W_down",
        "attn.c_attn.bias[0:width]": "mlp.b_up", "attn.c_attn.bias[width:2*width]": "mlp.b_up",
        "attn.c_attn.bias[2*width:3*width]": "mlp.b_up", "attn.c_proj.bias": "mlp.b_up",
        "mlp.c_fc.bias": "mlp.b_up", "mlp.c_proj.bias": "mlp.b_up",  # every bias is one number for each entry
    }.items()
}  # fmt: skip

OUTSIDE = {"model.embed_tokens.weight": "W_E", "lm_head.weight": "W_U"}

LLAMA = OUTSIDE | {"model.norm.weight": "final.gain"} | {
    f"model.layers.*.{mine}": theirs
    for mine, theirs in (ATTENTION | {
        "input_layernorm.weight": "attention.gain", "post_attention_layernorm.weight": "mlp.gain",
        "mlp.gate_proj.weight": "mlp.W_gate", "mlp.up_proj.weight": "mlp.W_up", "mlp.down_proj.weight": "mlp.W_down",
    }).items()
}  # fmt: skip

MIXTRAL = OUTSIDE | {"model.norm.weight": "final_gain"} | {
    f"model.layers.*.{mine}": theirs
    for mine, theirs in {
        "input_layernorm.weight": "gain", "post_attention_layernorm.weight": "gain", "mlp.gate.weight": "W_router",
        "mlp.experts.gate_up_proj[:, 0:3*width, :]": "W_up", "mlp.experts.gate_up_proj[:, 3*width:6*width, :]": "W_up",
        "mlp.experts.down_proj": "W_down",
    }.items()
}  # fmt: skip
"""Without attention, which the catalogue's `moe` does not have."""

MAMBA = {"backbone.embeddings.weight": "W_E", "backbone.norm_f.weight": "final_gain"} | {
    f"backbone.layers.{layer}.{mine}": theirs
    for layer in (0, 1)
    for mine, theirs in {
        "norm.weight": "gain", "mixer.A_log": "A_log", "mixer.D": "D", "mixer.out_proj.weight": "W_out",
        "mixer.in_proj.weight[0:2*width, :]": "W_u", "mixer.in_proj.weight[2*width:4*width, :]": "W_z",
        "mixer.conv1d.weight": "W_conv", "mixer.conv1d.bias": "b_conv",
        "mixer.x_proj.weight[0:1/16*width, :]": "W_rank",
        "mixer.x_proj.weight[1/16*width:1/16*width + state, :]": "W_B",
        "mixer.x_proj.weight[1/16*width + state:1/16*width + 2*state, :]": "W_C",
        "mixer.dt_proj.weight": "W_dt", "mixer.dt_proj.bias": "b_dt",
    }.items()
}  # fmt: skip


def rules(name: str, measure: bool = True) -> sr.Solution:
    """What is derived from a model of the zoo."""
    entry = ZOO[name]
    return sr.derive(sr.trace(entry.make_model, entry.scales, entry.make_inputs, measure=measure), "adamw")


def pair(solution: sr.Solution, name: str) -> tuple[Fraction, Fraction]:
    """Exponents of init and learning rate of a parameter, in the width; Adam's rate takes the multiplier once."""
    rule = solution.parameters[name]
    mult = rule.mult.fractions.get("width", Fraction(0))
    return rule.init.fractions.get("width", Fraction(0)) + mult, rule.lr.fractions.get("width", Fraction(0)) + mult


def same(ours: sr.Solution, theirs: sr.Solution, names: dict[str, str]) -> None:
    """Every named parameter has the catalogue's rule."""
    wrong = {mine: (pair(ours, mine), pair(theirs, name)) for mine, name in names.items()
             if pair(ours, mine) != pair(theirs, name)}  # fmt: skip
    assert not wrong


def test_gpt2_is_the_transformer():
    ours, theirs = rules("gpt2"), sr.derive(sr.graph("transformer", tied=True), "adamw")
    assert set(ours.parameters) == set(GPT2), "the tied head is no parameter of its own"
    same(ours, theirs, GPT2)
    multipliers = {name: found["width"] for name, found in ours.multipliers.items()}
    assert multipliers == {"transformer.h.*.attn.scores": -1, "lm_head.scale": -1}
    assert theirs.multipliers["logits"]["width"] == theirs.multipliers["attention.scores"]["width"] == -1


@pytest.mark.slow
def test_llama_is_llama():
    ours, theirs = rules("llama"), sr.derive(sr.graph("llama"), "adamw")
    assert set(ours.parameters) == set(LLAMA)
    same(ours, theirs, LLAMA)
    ((_, scores),) = ours.multipliers.items()
    assert scores["width"] == -1, "the heads grow here; the catalogue's get more, and their factor is a constant"


@pytest.mark.slow
def test_mixtral_is_moe_behind_attention():
    ours, theirs = rules("mixtral"), sr.derive(sr.graph("moe", shared=False), "adamw")
    attention = {f"model.layers.*.{mine}": name for mine, name in ATTENTION.items()}
    assert set(ours.parameters) == set(MIXTRAL) | set(attention)
    same(ours, theirs, MIXTRAL)
    same(ours, sr.derive(sr.graph("llama"), "adamw"), attention)


def test_mamba_is_mamba():
    ours, theirs = rules("mamba"), sr.derive(sr.graph("mamba"), "adamw")
    assert set(ours.parameters) == set(MAMBA)
    same(ours, theirs, MAMBA)
    # Here the head is the embedding's tensor: its rule is the look-up's, and its factor takes what W_U's init has.
    assert ours.multipliers["lm_head.scale"]["width"] == theirs.parameters["W_U"].init["width"] == -1
