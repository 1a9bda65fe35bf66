"""Real model classes to trace, built from configuration alone: factories, inputs and scale values.

Each entry is `name: Entry(make_model, make_inputs, scales)`; libraries are imported when a factory is called.
"""

# ruff: noqa: E731
# What configurations take and libraries export is not in their types.
# pyright: reportCallIssue=false, reportPrivateImportUsage=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

VOCABULARY = 96
HEADS = 4


@dataclass(frozen=True)
class Entry:
    """How to make a model and its inputs; `scales` as `scalerules.trace` takes them. `source`: the library."""

    make_model: Callable[..., Any]
    make_inputs: Callable[..., Any]
    scales: dict[str, tuple[int, ...]]
    source: str = "transformers"


WIDTH = {"width": (32, 48, 64)}
DEEP = {"width": (32, 48, 64), "depth": (2, 3, 4)}


def tokens(time: int = 7, **_: int) -> dict[str, Any]:
    """Token indices with labels: the module computes its loss."""
    import torch

    ids = torch.arange(2 * time).reshape(2, time) % VOCABULARY
    return {"input_ids": ids, "labels": ids, "use_cache": False}


def plain_tokens(time: int = 7, **_: int) -> Any:
    """Token indices, as one positional argument."""
    import torch

    return torch.arange(2 * time).reshape(2, time) % VOCABULARY


def masked_tokens(**_: int) -> dict[str, Any]:
    import torch

    ids = torch.arange(14).reshape(2, 7) % VOCABULARY
    return {"input_ids": ids, "labels": ids}


def pictures(size: int = 32, **_: int) -> dict[str, Any]:
    import torch

    return {"pixel_values": torch.ones(2, 3, size, size), "labels": torch.tensor([1, 2])}


def pixels(size: int = 16, channels: int = 3, **_: int) -> Any:
    import torch

    return torch.ones(2, channels, size, size)


def series(channels: int = 5, time: int = 9, **_: int) -> Any:
    import torch

    return torch.ones(2, time, channels)


def decoder(config: str, model: str, /, **fixed: Any) -> Callable[..., Any]:
    """A decoder of transformers whose sizes go by the usual names."""

    def make(width: int, depth: int = 2) -> Any:
        import transformers

        sizes = {
            "hidden_size": width,
            "intermediate_size": 3 * width,
            "num_hidden_layers": depth,
            "num_attention_heads": HEADS,
            "num_key_value_heads": 2,
            "vocab_size": VOCABULARY,
            "max_position_embeddings": 64,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        }
        sizes |= {key: value(width) if callable(value) else value for key, value in fixed.items()}
        return getattr(transformers, model)(getattr(transformers, config)(**sizes))

    return make


def gpt2(width: int, depth: int = 2) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(n_embd=width, n_head=HEADS, n_layer=depth, vocab_size=VOCABULARY, n_positions=64))


def bert(width: int, depth: int = 2) -> Any:
    from transformers import BertConfig, BertForMaskedLM

    return BertForMaskedLM(
        BertConfig(
            hidden_size=width, num_hidden_layers=depth, num_attention_heads=HEADS, intermediate_size=4 * width,
            vocab_size=VOCABULARY, max_position_embeddings=64,
        )
    )  # fmt: skip


def t5(width: int, depth: int = 3) -> Any:
    from transformers import T5Config, T5ForConditionalGeneration

    return T5ForConditionalGeneration(
        T5Config(
            d_model=width, d_kv=width // HEADS, d_ff=4 * width, num_layers=depth, num_heads=HEADS,
            vocab_size=VOCABULARY, decoder_start_token_id=0,
        )
    )  # fmt: skip


def whisper(width: int, depth: int = 2) -> Any:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    return WhisperForConditionalGeneration(
        WhisperConfig(
            d_model=width, encoder_layers=depth, decoder_layers=depth, encoder_attention_heads=HEADS,
            decoder_attention_heads=HEADS, encoder_ffn_dim=4 * width, decoder_ffn_dim=4 * width, vocab_size=VOCABULARY,
            num_mel_bins=8, max_source_positions=16, max_target_positions=16, pad_token_id=0, bos_token_id=1,
            eos_token_id=2, decoder_start_token_id=1,
        )
    )  # fmt: skip


def speech(**_: int) -> dict[str, Any]:
    import torch

    return {"input_features": torch.ones(2, 8, 32), "labels": torch.ones(2, 7, dtype=torch.int64), "use_cache": False}


def vit(width: int, depth: int = 2) -> Any:
    from transformers import ViTConfig, ViTForImageClassification

    return ViTForImageClassification(
        ViTConfig(
            hidden_size=width, num_hidden_layers=depth, num_attention_heads=HEADS, intermediate_size=4 * width,
            image_size=32, patch_size=8, num_labels=10,
        )
    )  # fmt: skip


def convnext(width: int) -> Any:
    from transformers import ConvNextConfig, ConvNextForImageClassification

    return ConvNextForImageClassification(
        ConvNextConfig(hidden_sizes=[width, 2 * width, 4 * width, 8 * width], depths=[2, 2, 3, 2], num_labels=10)
    )


def resnet(width: int) -> Any:
    from transformers import ResNetConfig, ResNetForImageClassification

    return ResNetForImageClassification(
        ResNetConfig(
            embedding_size=width, hidden_sizes=[4 * width, 8 * width, 16 * width, 32 * width], depths=[2, 2, 3, 2],
            num_labels=10,
        )
    )  # fmt: skip


def swin(width: int) -> Any:
    from transformers import SwinConfig, SwinForImageClassification

    return SwinForImageClassification(
        SwinConfig(
            embed_dim=width, depths=[2, 2], num_heads=[2, 4], image_size=32, patch_size=2, window_size=4, num_labels=10
        )
    )


def deepseek(width: int, depth: int = 3) -> Any:
    from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

    return DeepseekV3ForCausalLM(
        DeepseekV3Config(
            hidden_size=width, intermediate_size=3 * width, moe_intermediate_size=width, num_hidden_layers=depth,
            num_attention_heads=HEADS, num_key_value_heads=HEADS, n_shared_experts=1, n_routed_experts=8, n_group=2,
            topk_group=1, num_experts_per_tok=2, kv_lora_rank=width // 2, q_lora_rank=width // 2, qk_rope_head_dim=8,
            qk_nope_head_dim=width // 4, v_head_dim=width // 4, first_k_dense_replace=1, vocab_size=VOCABULARY,
            max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        )
    )  # fmt: skip


def mamba(width: int, state: int = 16, depth: int = 2) -> Any:
    from transformers import MambaConfig, MambaForCausalLM

    return MambaForCausalLM(
        MambaConfig(
            hidden_size=width, state_size=state, num_hidden_layers=depth, vocab_size=VOCABULARY, pad_token_id=0,
            bos_token_id=1, eos_token_id=2,
        )
    )  # fmt: skip


def mamba2(width: int, state: int = 16, depth: int = 2) -> Any:
    from transformers import Mamba2Config, Mamba2ForCausalLM

    return Mamba2ForCausalLM(
        Mamba2Config(
            hidden_size=width, state_size=state, num_hidden_layers=depth, vocab_size=VOCABULARY, head_dim=8,
            num_heads=width // 4, n_groups=1, pad_token_id=0, bos_token_id=1, eos_token_id=2, chunk_size=4,
        )
    )  # fmt: skip


def rwkv(width: int, depth: int = 2) -> Any:
    from transformers import RwkvConfig, RwkvForCausalLM

    return RwkvForCausalLM(
        RwkvConfig(
            hidden_size=width, attention_hidden_size=width, intermediate_size=4 * width, num_hidden_layers=depth,
            vocab_size=VOCABULARY, context_length=16, bos_token_id=1, eos_token_id=2,
        )
    )  # fmt: skip


def xlstm(width: int, depth: int = 2) -> Any:
    from transformers import xLSTMConfig, xLSTMForCausalLM

    return xLSTMForCausalLM(
        xLSTMConfig(
            hidden_size=width, num_hidden_layers=depth, num_blocks=depth, num_heads=4, vocab_size=VOCABULARY,
            chunk_size=4,
        )
    )  # fmt: skip


def dit(width: int, depth: int = 2) -> Any:
    from diffusers import DiTTransformer2DModel

    return DiTTransformer2DModel(
        num_attention_heads=HEADS, attention_head_dim=width // HEADS, in_channels=4, out_channels=8, num_layers=depth,
        sample_size=8, patch_size=2, num_embeds_ada_norm=10, norm_num_groups=1,
    )  # fmt: skip


def latents(**_: int) -> dict[str, Any]:
    import torch

    return {
        "hidden_states": torch.ones(2, 4, 8, 8), "timestep": torch.tensor([3, 5]),
        "class_labels": torch.tensor([1, 2]), "return_dict": False,
    }  # fmt: skip


def diffusion_unet(width: int) -> Any:
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=16, in_channels=3, out_channels=3, block_out_channels=(width, 2 * width), norm_num_groups=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1, attention_head_dim=8,
    )  # fmt: skip


def noisy(**_: int) -> dict[str, Any]:
    import torch

    return {"sample": torch.ones(2, 3, 16, 16), "timestep": 5, "return_dict": False}


def mlp(width: int) -> Any:
    from torch import nn

    return nn.Sequential(nn.Linear(5, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3))


def lstm(width: int, depth: int = 2) -> Any:
    import torch
    from torch import nn

    class LanguageModel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(VOCABULARY, width)
            self.lstm = nn.LSTM(width, 2 * width, num_layers=depth, batch_first=True)
            self.head = nn.Linear(2 * width, VOCABULARY)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.head(self.lstm(self.embedding(ids))[0])

    return LanguageModel()


def mixer(width: int, depth: int = 2) -> Any:
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, patches: int) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.over_patches = nn.Sequential(nn.Linear(patches, 32), nn.GELU(), nn.Linear(32, patches))
            self.over_channels = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x + self.over_patches(self.norm1(x).transpose(1, 2)).transpose(1, 2)
            return x + self.over_channels(self.norm2(x))

    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, width, 4, 4)
            self.blocks = nn.Sequential(*(Block(16) for _ in range(depth)))
            self.norm = nn.LayerNorm(width)
            self.head = nn.Linear(width, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x).flatten(2).transpose(1, 2)
            return self.head(self.norm(self.blocks(x)).mean(1))

    return Mixer()


def unet(width: int) -> Any:
    """Two levels, batch norm, transposed convolutions, skip connections by concatenation."""
    import torch
    from torch import nn

    def block(i: int, o: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(), nn.Conv2d(o, o, 3, padding=1),
            nn.BatchNorm2d(o), nn.ReLU(),
        )  # fmt: skip

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down1, self.down2, self.middle = block(3, width), block(width, 2 * width), block(2 * width, 4 * width)
            self.pool = nn.MaxPool2d(2)
            self.up2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2)
            self.join2 = block(4 * width, 2 * width)
            self.up1 = nn.ConvTranspose2d(2 * width, width, 2, 2)
            self.join1 = block(2 * width, width)
            self.out = nn.Conv2d(width, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            a = self.down1(x)
            b = self.down2(self.pool(a))
            c = self.middle(self.pool(b))
            b = self.join2(torch.cat([b, self.up2(c)], 1))
            return self.out(self.join1(torch.cat([a, self.up1(b)], 1)))

    return UNet()


ZOO: dict[str, Entry] = {
    "gpt2": Entry(gpt2, tokens, DEEP),
    "llama": Entry(decoder("LlamaConfig", "LlamaForCausalLM"), tokens, DEEP),
    "qwen3": Entry(decoder("Qwen3Config", "Qwen3ForCausalLM", head_dim=lambda width: width // HEADS), tokens, DEEP),
    "gemma": Entry(decoder("GemmaConfig", "GemmaForCausalLM", head_dim=lambda width: width // HEADS), tokens, DEEP),
    "olmo2": Entry(decoder("Olmo2Config", "Olmo2ForCausalLM"), tokens, DEEP),
    "bert": Entry(bert, masked_tokens, DEEP),
    "t5": Entry(t5, tokens, {"width": (32, 48, 64), "depth": (3, 4, 5)}),
    "whisper": Entry(whisper, speech, DEEP),
    "vit": Entry(vit, pictures, DEEP),
    "convnext": Entry(convnext, pictures, {"width": (8, 16, 24)}),
    "resnet": Entry(resnet, pictures, {"width": (8, 12, 16)}),
    "swin": Entry(swin, pictures, {"width": (16, 24, 32)}),
    "mixtral": Entry(
        decoder("MixtralConfig", "MixtralForCausalLM", num_local_experts=8, num_experts_per_tok=2), tokens, DEEP
    ),
    "qwen3_moe": Entry(
        decoder(
            "Qwen3MoeConfig", "Qwen3MoeForCausalLM", num_experts=8, num_experts_per_tok=2,
            moe_intermediate_size=lambda width: width, head_dim=lambda width: width // HEADS,
        ), tokens, DEEP,
    ),
    "deepseek_v3": Entry(deepseek, tokens, {"width": (32, 48, 64), "depth": (3, 4, 5)}),
    "mamba": Entry(mamba, tokens, {"width": (32, 48, 64), "state": (8, 16, 24)}),
    "mamba2": Entry(mamba2, tokens, {"width": (32, 48, 64), "state": (8, 16, 24)}),
    "falcon_h1": Entry(
        decoder(
            "FalconH1Config", "FalconH1ForCausalLM", mamba_d_ssm=lambda width: 2 * width, mamba_d_head=8,
            mamba_n_heads=lambda width: width // 4, mamba_d_state=16, mamba_n_groups=1, mamba_chunk_size=4,
        ), tokens, WIDTH,
    ),
    "jamba": Entry(
        decoder(
            "JambaConfig", "JambaForCausalLM", num_experts=4, num_experts_per_tok=2, num_hidden_layers=8,
            attn_layer_period=4, attn_layer_offset=2, expert_layer_period=2, expert_layer_offset=1,
            mamba_d_state=16, use_mamba_kernels=False,
        ), tokens, WIDTH,
    ),
    "rwkv": Entry(rwkv, tokens, DEEP),
    "xlstm": Entry(xlstm, tokens, WIDTH),
    "dit": Entry(dit, latents, DEEP, "diffusers"),
    "unet2d": Entry(diffusion_unet, noisy, {"width": (16, 24, 32)}, "diffusers"),
    "mlp": Entry(mlp, lambda **_: series(5).mean(1), WIDTH, "torch"),
    "lstm": Entry(lstm, plain_tokens, WIDTH, "torch"),
    "mixer": Entry(mixer, pixels, DEEP, "torch"),
    "unet": Entry(unet, pixels, {"width": (4, 8, 12)}, "torch"),
}  # fmt: skip
