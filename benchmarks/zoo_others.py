"""Models that no other list has: set transformer, pointer network, slot attention, and models of pytorch-forecasting,
segmentation-models-pytorch, timm at published depth, and transformers. Libraries are imported when a factory is called.
"""

# Libraries have few types, and are not installed where these are checked.
# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false

from __future__ import annotations

import functools
import importlib
import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from zoo import HEADS, VOCABULARY, WIDTH, Entry, decoder, tokens
from zoo_libraries import FINE, W, made, pictures, times

FOUR = {"width": (32, 64, 128)}


class MAB(nn.Module):
    """Multihead attention block of the set transformer (arXiv 1810.00825), as its authors write it."""

    def __init__(self, dim_q: int, dim_k: int, dim_v: int, heads: int) -> None:
        super().__init__()
        self.dim_v, self.heads = dim_v, heads
        self.fc_q, self.fc_k = nn.Linear(dim_q, dim_v), nn.Linear(dim_k, dim_v)
        self.fc_v, self.fc_o = nn.Linear(dim_k, dim_v), nn.Linear(dim_v, dim_v)
        self.ln0, self.ln1 = nn.LayerNorm(dim_v), nn.LayerNorm(dim_v)

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        query, key, value = self.fc_q(query), self.fc_k(key), self.fc_v(key)
        size = self.dim_v // self.heads
        q, k, v = (torch.cat(each.split(size, 2), 0) for each in (query, key, value))
        scores = torch.softmax(q.bmm(k.transpose(1, 2)) / self.dim_v**0.5, 2)
        out = torch.cat((q + scores.bmm(v)).split(query.shape[0], 0), 2)
        out = self.ln0(out)
        return self.ln1(out + F.relu(self.fc_o(out)))


class ISAB(nn.Module):
    """Attention through induced points."""

    def __init__(self, dim_in: int, dim: int, heads: int, points: int) -> None:
        super().__init__()
        self.points = nn.Parameter(torch.empty(1, points, dim))
        nn.init.xavier_uniform_(self.points)
        self.mab0, self.mab1 = MAB(dim, dim_in, dim, heads), MAB(dim_in, dim, dim, heads)

    def forward(self, x: Tensor) -> Tensor:
        return self.mab1(x, self.mab0(self.points.repeat(x.shape[0], 1, 1), x))


class PMA(nn.Module):
    """Pooling by attention of seeds."""

    def __init__(self, dim: int, heads: int, seeds: int) -> None:
        super().__init__()
        self.seeds = nn.Parameter(torch.empty(1, seeds, dim))
        nn.init.xavier_uniform_(self.seeds)
        self.mab = MAB(dim, dim, dim, heads)

    def forward(self, x: Tensor) -> Tensor:
        return self.mab(self.seeds.repeat(x.shape[0], 1, 1), x)


class SetTransformer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.enc = nn.Sequential(ISAB(3, width, HEADS, 6), ISAB(width, width, HEADS, 6))
        self.dec = nn.Sequential(PMA(width, HEADS, 4), MAB2(width, HEADS), MAB2(width, HEADS), nn.Linear(width, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.dec(self.enc(x))


class MAB2(MAB):
    """Attention of a set to itself."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__(dim, dim, dim, heads)

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().forward(x, x)


class PointerNetwork(nn.Module):
    """Pointer network (arXiv 1506.03134): an LSTM reads, another points at what was read, step by step."""

    def __init__(self, width: int, steps: int = 4) -> None:
        super().__init__()
        self.steps = steps
        self.embed = nn.Linear(2, width)
        self.encoder, self.decoder = nn.LSTM(width, width, batch_first=True), nn.LSTMCell(width, width)
        self.start = nn.Parameter(torch.randn(width))
        self.w1, self.w2 = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.v = nn.Linear(width, 1, bias=False)

    def forward(self, points: Tensor) -> Tensor:
        x = self.embed(points)
        read, (h, c) = self.encoder(x)
        h, c, given, found = h[0], c[0], self.start.expand(points.shape[0], -1), []
        for _ in range(self.steps):
            h, c = self.decoder(given, (h, c))
            scores = self.v(torch.tanh(self.w1(read) + self.w2(h).unsqueeze(1))).squeeze(-1)
            found.append(scores)
            given = torch.bmm(torch.softmax(scores, -1).unsqueeze(1), x).squeeze(1)
        return torch.stack(found, 1)


class SlotAttention(nn.Module):
    """Slot attention (arXiv 2006.15055) on tokens of a picture, with its readout."""

    def __init__(self, width: int, slots: int = 4, steps: int = 3) -> None:
        super().__init__()
        self.slots, self.steps, self.scale = slots, steps, width**-0.5
        self.embed = nn.Linear(12, width)
        self.mu, self.log_sigma = nn.Parameter(torch.randn(1, 1, width)), nn.Parameter(torch.zeros(1, 1, width))
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.gru = nn.GRUCell(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        self.norm_input, self.norm_slots, self.norm_mlp = (nn.LayerNorm(width) for _ in range(3))
        self.out = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm_input(self.embed(x))
        size, _, width = x.shape
        noise = torch.randn(size, self.slots, width)
        slots = self.mu + self.log_sigma.exp() * noise
        k, v = self.to_k(x), self.to_v(x)
        for _ in range(self.steps):
            before = slots
            q = self.to_q(self.norm_slots(slots))
            attn = (torch.einsum("bid,bjd->bij", q, k) * self.scale).softmax(1) + 1e-8
            attn = attn / attn.sum(-1, keepdim=True)
            updates = torch.einsum("bjd,bij->bid", v, attn)
            slots = self.gru(updates.reshape(-1, width), before.reshape(-1, width)).reshape(size, -1, width)
            slots = slots + self.mlp(self.norm_mlp(slots))
        return self.out(slots)


def normal(*shape: int) -> Callable[..., Tensor]:
    return lambda **_: torch.randn(shape, generator=torch.Generator().manual_seed(0))


def segmented(name: str, /, **options: Any) -> Callable[..., Any]:
    """A decoder of segmentation-models-pytorch on a ResNet, whose widths the library fixes."""
    return made(
        "segmentation_models_pytorch", name, encoder_name="resnet18", encoder_weights=None, classes=3, **options
    )


FIVE = times(8, 4, 2, 1, 1)
SEGMENTATION = {
    "smp_unet": segmented("Unet", decoder_channels=FIVE),
    "smp_unetpp": segmented("UnetPlusPlus", decoder_channels=FIVE),
    "smp_manet": segmented("MAnet", decoder_channels=FIVE, decoder_pab_channels=W),
    "smp_fpn": segmented("FPN", decoder_pyramid_channels=W, decoder_segmentation_channels=W),
    "smp_pspnet": segmented("PSPNet", psp_out_channels=W),
    "smp_deeplab": segmented("DeepLabV3Plus", decoder_channels=W),
    "smp_segformer": segmented("Segformer", decoder_segmentation_channels=W),
    "smp_upernet": segmented("UPerNet", decoder_channels=W),
}


@functools.cache
def series(known: bool = True) -> Any:
    """A data set of pytorch-forecasting: the price of two series is to be foreseen; `known`: with a level that is."""
    import pandas
    from pytorch_forecasting import TimeSeriesDataSet

    draw = random.Random(0)
    rows = [
        {"series": name, "time": step, "price": 2 + draw.random(), "level": draw.random()}
        for name in ("a", "b")
        for step in range(40)
    ]
    with torch.device("cpu"):
        return TimeSeriesDataSet(
            pandas.DataFrame(rows), time_idx="time", target="price", group_ids=["series"], max_encoder_length=12,
            min_encoder_length=12, max_prediction_length=4, min_prediction_length=4,
            time_varying_unknown_reals=["price"], time_varying_known_reals=["level"] if known else [],
        )  # fmt: skip


def forecast(name: str, known: bool = True, /, **options: Any) -> Callable[..., Any]:
    """A model of pytorch-forecasting, made from the data set as its tutorials do."""

    def make(width: int) -> Any:
        values = {key: value(width) if callable(value) else value for key, value in options.items()}
        kind = getattr(importlib.import_module("pytorch_forecasting.models"), name)
        return kind.from_dataset(series(known), **values)

    return make


def history(known: bool) -> Callable[..., dict[str, Any]]:
    """A batch of the data set."""
    return lambda **_: {"x": next(iter(series(known).to_dataloader(train=False, batch_size=2)))[0]}


FORECASTING = {
    "pf_tft": forecast("TemporalFusionTransformer", hidden_size=W, hidden_continuous_size=W, attention_head_size=4),
    "pf_nhits": forecast("NHiTS", hidden_size=W),
    "pf_nbeats": forecast("NBeats", False, widths=lambda w: [w, w], num_blocks=[2, 2], num_block_layers=[2, 2]),
    "pf_mlp": forecast("DecoderMLP", hidden_size=W, n_hidden_layers=2),
    "pf_rnn": forecast("RecurrentNetwork", False, hidden_size=W),
    "pf_deepar": forecast("DeepAR", False, hidden_size=W),
    "pf_tide": forecast("TiDEModel", hidden_size=W, decoder_output_dim=8, temporal_decoder_hidden=W,
                        temporal_hidden_size_future=W),
    "pf_timexer": forecast("TimeXer", hidden_size=W, d_ff=lambda w: 4 * w, n_heads=4, e_layers=2, patch_length=4),
}  # fmt: skip
ALONE = ("pf_nbeats", "pf_rnn", "pf_deepar")


def efficientnet(width: int) -> Any:
    """EfficientNet-B0 (arXiv 1905.11946) whole: a width of 32 is the published one."""
    from timm.models.efficientnet import _gen_efficientnet

    return _gen_efficientnet("efficientnet_b0", channel_multiplier=width / 32, num_classes=10)


def gemma3n(width: int) -> Any:
    from transformers import Gemma3nForCausalLM, Gemma3nTextConfig

    return Gemma3nForCausalLM(
        Gemma3nTextConfig(
            vocab_size=VOCABULARY, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=4,
            num_attention_heads=HEADS, num_key_value_heads=2, head_dim=width // HEADS, vocab_size_per_layer_input=64,
            hidden_size_per_layer_input=width // 2, num_kv_shared_layers=0, laurel_rank=8,
            activation_sparsity_pattern=[0.95, 0.95, 0.0, 0.0], max_position_embeddings=64,
            layer_types=["sliding_attention", "full_attention"] * 2,
        )
    )  # fmt: skip


OTHERS: dict[str, Entry] = {
    "set_transformer": Entry(SetTransformer, normal(2, 7, 3), WIDTH, "plain"),
    "pointer_network": Entry(PointerNetwork, normal(2, 5, 2), WIDTH, "plain"),
    "slot_attention": Entry(SlotAttention, normal(2, 9, 12), WIDTH, "plain"),
    "diffllama": Entry(decoder("DiffLlamaConfig", "DiffLlamaForCausalLM"), tokens, WIDTH),
    "gemma3n": Entry(gemma3n, tokens, WIDTH),
    "timm_cait_xxs24": Entry(made("timm.models.cait", "Cait", img_size=224, embed_dim=W, depth=24,
                                  num_heads=lambda w: w // 48, init_values=1e-5), pictures(224),
                             {"width": (192, 288, 384)}, "timm"),
    "timm_efficientnet_b0": Entry(efficientnet, pictures(64), FINE, "timm"),
    **{name: Entry(make, pictures(64), FOUR, "segmentation-models-pytorch") for name, make in SEGMENTATION.items()},
    **{name: Entry(make, history(name not in ALONE), FINE, "pytorch-forecasting")
       for name, make in FORECASTING.items()},
}  # fmt: skip
