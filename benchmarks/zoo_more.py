"""A second list of real model classes of transformers and diffusers, built from configuration alone.

Written as a stranger would write the call: the configuration's own names, a small vocabulary, no options for tracing.
"""

# What configurations take and libraries export is not in their types.
# pyright: reportCallIssue=false, reportPrivateImportUsage=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zoo import DEEP, HEADS, VOCABULARY, WIDTH, Entry, decoder, masked_tokens, noisy, pictures, tokens

SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def made(config: str, model: str, /, **fixed: Any) -> Callable[..., Any]:
    """A model by the names of its configuration; what can be called is a function of the width (and depth)."""

    def make(width: int, depth: int = 2) -> Any:
        import inspect

        import transformers

        known = {"width": width, "depth": depth}
        values = {
            key: value(**{name: known[name] for name in inspect.signature(value).parameters})
            if callable(value) else value
            for key, value in fixed.items()
        }  # fmt: skip
        return getattr(transformers, model)(getattr(transformers, config)(**values))

    return make


WIDE = {"width": (64, 128, 192), "depth": (2, 3, 4)}
"""Sizes at which a quarter of a head is even: only part of it is rotated."""

USUAL: dict[str, Any] = {
    "hidden_size": lambda width: width, "num_hidden_layers": lambda depth: depth, "num_attention_heads": HEADS,
    "intermediate_size": lambda width: 4 * width, "vocab_size": VOCABULARY, "max_position_embeddings": 64,
}  # fmt: skip
HEAD: dict[str, Any] = {"head_dim": lambda width: width // HEADS}
VISION: dict[str, Any] = {
    "hidden_size": lambda width: width, "num_hidden_layers": lambda depth: depth, "num_attention_heads": HEADS,
    "intermediate_size": lambda width: 4 * width, "image_size": 32, "patch_size": 8,
}  # fmt: skip
ENCODER_DECODER: dict[str, Any] = {
    "d_model": lambda width: width, "encoder_layers": lambda depth: depth, "decoder_layers": lambda depth: depth,
    "encoder_attention_heads": HEADS, "decoder_attention_heads": HEADS, "encoder_ffn_dim": lambda width: 4 * width,
    "decoder_ffn_dim": lambda width: 4 * width, "vocab_size": VOCABULARY, "max_position_embeddings": 64,
    "decoder_start_token_id": 2, **SPECIAL,
}  # fmt: skip
SPEECH: dict[str, Any] = {
    "hidden_size": lambda width: width, "num_hidden_layers": lambda depth: depth, "num_attention_heads": HEADS,
    "intermediate_size": lambda width: 4 * width, "conv_dim": lambda width: (width, width, width), "vocab_size": 32,
    "conv_stride": (5, 2, 2), "conv_kernel": (10, 3, 3), "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4, "mask_time_prob": 0.0, "layerdrop": 0.0,
}  # fmt: skip


def ids_only(**_: int) -> dict[str, Any]:
    return {"input_ids": tokens()["input_ids"], "use_cache": False}


def encoder_decoder(**_: int) -> dict[str, Any]:
    import torch

    ids = torch.arange(14).reshape(2, 7) % VOCABULARY
    return {"input_ids": ids, "labels": ids}


def sound(**_: int) -> dict[str, Any]:
    import torch

    return {"input_values": torch.ones(2, 800)}


def pixel_values(size: int = 32, **_: int) -> dict[str, Any]:
    import torch

    return {"pixel_values": torch.ones(2, 3, size, size)}


def text_and_pictures(**_: int) -> dict[str, Any]:
    import torch

    return {"input_ids": torch.arange(14).reshape(2, 7), "pixel_values": torch.ones(2, 3, 32, 32), "return_loss": True}


def two_towers(config: str, model: str, **fixed: Any) -> Callable[..., Any]:
    """CLIP and the like: a tower for text and one for pictures, both `width` wide."""

    def make(width: int, depth: int = 2) -> Any:
        import transformers

        common = {
            "hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": depth,
            "num_attention_heads": HEADS,
        }  # fmt: skip
        text = {**common, "vocab_size": VOCABULARY, "max_position_embeddings": 16, **SPECIAL, **fixed}
        vision = {**common, "image_size": 32, "patch_size": 8}
        kind = getattr(transformers, config)
        extra = {"projection_dim": width} if "CLIP" in config else {}
        return getattr(transformers, model)(kind(text_config=text, vision_config=vision, **extra))

    return make


def timeseries(**_: int) -> dict[str, Any]:
    import torch

    return {"past_values": torch.ones(2, 32, 3), "future_values": torch.ones(2, 8, 3)}


def trajectories(**_: int) -> dict[str, Any]:
    import torch

    return {
        "states": torch.ones(2, 5, 7), "actions": torch.ones(2, 5, 3), "rewards": torch.ones(2, 5, 1),
        "returns_to_go": torch.ones(2, 5, 1), "timesteps": torch.arange(10).reshape(2, 5),
        "attention_mask": torch.ones(2, 5),
    }  # fmt: skip


def conditional_unet(width: int) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=16, in_channels=4, out_channels=4, block_out_channels=(width, 2 * width), layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=24, attention_head_dim=4, norm_num_groups=8,
    )  # fmt: skip


def conditioned(**_: int) -> dict[str, Any]:
    import torch

    return {
        "sample": torch.ones(2, 4, 16, 16), "timestep": torch.tensor([3, 5]),
        "encoder_hidden_states": torch.ones(2, 5, 24),
    }  # fmt: skip


def sd3(width: int, depth: int = 2) -> Any:
    from diffusers import SD3Transformer2DModel

    return SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, num_layers=depth, attention_head_dim=width // HEADS,
        num_attention_heads=HEADS, joint_attention_dim=20, caption_projection_dim=width, pooled_projection_dim=12,
        out_channels=4, pos_embed_max_size=16,
    )  # fmt: skip


def sd3_inputs(**_: int) -> dict[str, Any]:
    import torch

    return {
        "hidden_states": torch.ones(2, 4, 8, 8), "encoder_hidden_states": torch.ones(2, 5, 20),
        "pooled_projections": torch.ones(2, 12), "timestep": torch.tensor([3.0, 5.0]),
    }  # fmt: skip


def flux(width: int, depth: int = 2) -> Any:
    from diffusers import FluxTransformer2DModel

    head = width // HEADS
    return FluxTransformer2DModel(
        patch_size=1, in_channels=4, num_layers=depth, num_single_layers=depth, attention_head_dim=head,
        num_attention_heads=HEADS, joint_attention_dim=20, pooled_projection_dim=12, guidance_embeds=False,
        axes_dims_rope=(head // 2, head // 4, head // 4),
    )  # fmt: skip


def flux_inputs(**_: int) -> dict[str, Any]:
    import torch

    return {
        "hidden_states": torch.ones(2, 16, 4), "encoder_hidden_states": torch.ones(2, 5, 20),
        "pooled_projections": torch.ones(2, 12), "timestep": torch.tensor([0.3, 0.5]),
        "img_ids": torch.ones(16, 3), "txt_ids": torch.ones(5, 3),
    }  # fmt: skip


def autoencoder(width: int) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        in_channels=3, out_channels=3, block_out_channels=(width, 2 * width), layers_per_block=1, latent_channels=4,
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"), norm_num_groups=8,
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"), sample_size=16,
    )  # fmt: skip


MORE: dict[str, Entry] = {
    "opt": Entry(
        made("OPTConfig", "OPTForCausalLM", hidden_size=lambda width: width, ffn_dim=lambda width: 4 * width,
             num_hidden_layers=lambda depth: depth, num_attention_heads=HEADS, vocab_size=VOCABULARY,
             max_position_embeddings=64, word_embed_proj_dim=lambda width: width), tokens, DEEP),
    "bloom": Entry(made("BloomConfig", "BloomForCausalLM", hidden_size=lambda width: width, n_head=HEADS,
                        n_layer=lambda depth: depth, vocab_size=VOCABULARY), tokens, DEEP),
    "gpt_neox": Entry(made("GPTNeoXConfig", "GPTNeoXForCausalLM", **USUAL), tokens, WIDE),
    "gptj": Entry(made("GPTJConfig", "GPTJForCausalLM", n_embd=lambda width: width, n_head=HEADS,
                       n_layer=lambda depth: depth, rotary_dim=4, vocab_size=VOCABULARY, n_positions=64), tokens, DEEP),
    "gpt_neo": Entry(made("GPTNeoConfig", "GPTNeoForCausalLM", hidden_size=lambda width: width, num_heads=HEADS,
                          num_layers=2, attention_types=[[["global", "local"], 1]], vocab_size=VOCABULARY,
                          max_position_embeddings=64, window_size=4), tokens, WIDTH),
    "falcon": Entry(made("FalconConfig", "FalconForCausalLM", hidden_size=lambda width: width,
                         num_attention_heads=HEADS, num_hidden_layers=lambda depth: depth, vocab_size=VOCABULARY),
                    tokens, DEEP),
    "phi": Entry(made("PhiConfig", "PhiForCausalLM", **USUAL), tokens, DEEP),
    "phi3": Entry(decoder("Phi3Config", "Phi3ForCausalLM"), tokens, DEEP),
    "stablelm": Entry(decoder("StableLmConfig", "StableLmForCausalLM"), tokens, WIDE),
    "cohere": Entry(decoder("CohereConfig", "CohereForCausalLM"), tokens, DEEP),
    "cohere2": Entry(decoder("Cohere2Config", "Cohere2ForCausalLM"), tokens, WIDTH),
    "glm": Entry(decoder("GlmConfig", "GlmForCausalLM", head_dim=lambda width: width // HEADS), tokens, DEEP),
    "glm4": Entry(decoder("Glm4Config", "Glm4ForCausalLM", head_dim=lambda width: width // HEADS), tokens, DEEP),
    "granite": Entry(decoder("GraniteConfig", "GraniteForCausalLM"), tokens, DEEP),
    "granite_moe": Entry(decoder("GraniteMoeConfig", "GraniteMoeForCausalLM", num_local_experts=8,
                                 num_experts_per_tok=2), tokens, DEEP),
    "olmo": Entry(decoder("OlmoConfig", "OlmoForCausalLM"), tokens, DEEP),
    "olmoe": Entry(decoder("OlmoeConfig", "OlmoeForCausalLM", num_experts=8, num_experts_per_tok=2), tokens, DEEP),
    "gpt_oss": Entry(decoder("GptOssConfig", "GptOssForCausalLM", num_local_experts=8, num_experts_per_tok=2,
                             head_dim=lambda width: width // HEADS), tokens, DEEP),
    "gemma2": Entry(decoder("Gemma2Config", "Gemma2ForCausalLM", head_dim=lambda width: width // HEADS,
                            query_pre_attn_scalar=lambda width: width // HEADS), tokens, DEEP),
    "gemma3": Entry(decoder("Gemma3TextConfig", "Gemma3ForCausalLM", head_dim=lambda width: width // HEADS,
                            query_pre_attn_scalar=lambda width: width // HEADS), tokens, DEEP),
    "mistral": Entry(decoder("MistralConfig", "MistralForCausalLM"), tokens, DEEP),
    "qwen2": Entry(decoder("Qwen2Config", "Qwen2ForCausalLM"), tokens, DEEP),
    "qwen2_moe": Entry(decoder("Qwen2MoeConfig", "Qwen2MoeForCausalLM", num_experts=8, num_experts_per_tok=2,
                               moe_intermediate_size=lambda width: width,
                               shared_expert_intermediate_size=lambda width: 2 * width), tokens, DEEP),
    "qwen3_next": Entry(decoder("Qwen3NextConfig", "Qwen3NextForCausalLM", num_experts=4, num_experts_per_tok=2,
                                moe_intermediate_size=lambda width: width, num_hidden_layers=4,
                                shared_expert_intermediate_size=lambda width: width,
                                head_dim=lambda width: width // HEADS, linear_key_head_dim=8, linear_value_head_dim=8,
                                linear_num_key_heads=2, linear_num_value_heads=4), tokens,
                        {"width": (64, 128, 192)}),
    "starcoder2": Entry(decoder("Starcoder2Config", "Starcoder2ForCausalLM"), tokens, DEEP),
    "nemotron": Entry(decoder("NemotronConfig", "NemotronForCausalLM"), tokens, DEEP),
    "smollm3": Entry(decoder("SmolLM3Config", "SmolLM3ForCausalLM"), tokens, WIDTH),
    "mpt": Entry(made("MptConfig", "MptForCausalLM", d_model=lambda width: width, n_heads=HEADS,
                      n_layers=lambda depth: depth, vocab_size=VOCABULARY, max_seq_len=64), tokens, DEEP),
    "gpt_bigcode": Entry(made("GPTBigCodeConfig", "GPTBigCodeForCausalLM", n_embd=lambda width: width, n_head=HEADS,
                              n_layer=lambda depth: depth, vocab_size=VOCABULARY, n_positions=64), tokens, DEEP),
    "deepseek_v2": Entry(decoder("DeepseekV2Config", "DeepseekV2ForCausalLM", num_hidden_layers=3,
                                 moe_intermediate_size=lambda width: width, num_key_value_heads=HEADS,
                                 n_shared_experts=1, n_routed_experts=8, num_experts_per_tok=2, q_lora_rank=None,
                                 kv_lora_rank=lambda width: width // 2, qk_rope_head_dim=8,
                                 qk_nope_head_dim=lambda width: width // 4, v_head_dim=lambda width: width // 4,
                                 first_k_dense_replace=1), tokens, WIDTH),
    "llama4": Entry(decoder("Llama4TextConfig", "Llama4ForCausalLM", num_local_experts=4, num_experts_per_tok=1,
                            intermediate_size_mlp=lambda width: 2 * width, num_hidden_layers=4,
                            head_dim=lambda width: width // HEADS), tokens, WIDTH),
    "roberta": Entry(made("RobertaConfig", "RobertaForMaskedLM", **USUAL), masked_tokens, DEEP),
    "albert": Entry(made("AlbertConfig", "AlbertForMaskedLM", **USUAL, embedding_size=16), masked_tokens, WIDTH),
    "distilbert": Entry(made("DistilBertConfig", "DistilBertForMaskedLM", dim=lambda width: width, n_heads=HEADS,
                             n_layers=lambda depth: depth, hidden_dim=lambda width: 4 * width, vocab_size=VOCABULARY,
                             max_position_embeddings=64), masked_tokens, DEEP),
    "electra": Entry(made("ElectraConfig", "ElectraForPreTraining", **USUAL, embedding_size=lambda width: width // 2),
                     masked_tokens, DEEP),
    "deberta_v2": Entry(made("DebertaV2Config", "DebertaV2ForMaskedLM", **USUAL, relative_attention=True,
                             pos_att_type=["p2c", "c2p"], position_buckets=8), masked_tokens, DEEP),
    "modernbert": Entry(made("ModernBertConfig", "ModernBertForMaskedLM", **USUAL, **SPECIAL, cls_token_id=1,
                             sep_token_id=2), masked_tokens, {"width": (32, 48, 64), "depth": (4, 7, 10)}),
    "bart": Entry(made("BartConfig", "BartForConditionalGeneration", **ENCODER_DECODER), encoder_decoder, DEEP),
    "pegasus": Entry(made("PegasusConfig", "PegasusForConditionalGeneration", **ENCODER_DECODER),
                     encoder_decoder, DEEP),
    "mbart": Entry(made("MBartConfig", "MBartForConditionalGeneration", **ENCODER_DECODER), encoder_decoder, DEEP),
    "m2m100": Entry(made("M2M100Config", "M2M100ForConditionalGeneration", **ENCODER_DECODER), encoder_decoder, DEEP),
    "mt5": Entry(made("MT5Config", "MT5ForConditionalGeneration", d_model=lambda width: width,
                      d_kv=lambda width: width // HEADS, d_ff=lambda width: 2 * width, num_heads=HEADS,
                      num_layers=lambda depth: depth, vocab_size=VOCABULARY, decoder_start_token_id=0),
                 encoder_decoder, DEEP),
    "umt5": Entry(made("UMT5Config", "UMT5ForConditionalGeneration", d_model=lambda width: width,
                       d_kv=lambda width: width // HEADS, d_ff=lambda width: 2 * width, num_heads=HEADS,
                       num_layers=lambda depth: depth, vocab_size=VOCABULARY, decoder_start_token_id=0),
                  encoder_decoder, DEEP),
    "clip": Entry(two_towers("CLIPConfig", "CLIPModel"), text_and_pictures, DEEP),
    "siglip": Entry(two_towers("SiglipConfig", "SiglipModel"), text_and_pictures, DEEP),
    "dinov2": Entry(made("Dinov2Config", "Dinov2ForImageClassification", num_labels=10, mlp_ratio=4,
                         **{k: v for k, v in VISION.items() if k != "intermediate_size"}), pictures, DEEP),
    "deit": Entry(made("DeiTConfig", "DeiTForImageClassification", num_labels=10, **VISION), pictures, DEEP),
    "beit": Entry(made("BeitConfig", "BeitForImageClassification", num_labels=10, **VISION), pictures, WIDTH),
    "vit_mae": Entry(made("ViTMAEConfig", "ViTMAEForPreTraining", **VISION, decoder_hidden_size=lambda width: width,
                          decoder_num_hidden_layers=2, decoder_num_attention_heads=HEADS,
                          decoder_intermediate_size=lambda width: 2 * width), pixel_values, DEEP),
    "segformer": Entry(made("SegformerConfig", "SegformerForSemanticSegmentation",
                            hidden_sizes=lambda width: [width, 2 * width], depths=[2, 2], num_encoder_blocks=2,
                            num_attention_heads=[1, 2], sr_ratios=[4, 2], patch_sizes=[7, 3], strides=[4, 2],
                            mlp_ratios=[4, 4], decoder_hidden_size=lambda width: 2 * width, num_labels=10),
                       pixel_values, WIDTH),
    "convnextv2": Entry(made("ConvNextV2Config", "ConvNextV2ForImageClassification", num_labels=10, depths=[2, 2, 2, 2],
                             hidden_sizes=lambda width: [width, 2 * width, 4 * width, 8 * width]),
                        pictures, {"width": (8, 16, 24)}),
    "mobilenet_v2": Entry(made("MobileNetV2Config", "MobileNetV2ForImageClassification", num_labels=10,
                               depth_multiplier=lambda width: width / 16), pictures, {"width": (16, 32, 48)}),
    "efficientnet": Entry(made("EfficientNetConfig", "EfficientNetForImageClassification", num_labels=10,
                               width_coefficient=lambda width: width / 16, image_size=32,
                               hidden_dim=lambda width: 80 * width), pictures, {"width": (16, 32, 48)}),
    "regnet": Entry(made("RegNetConfig", "RegNetForImageClassification", num_labels=10,
                         embedding_size=lambda width: width, depths=[1, 2, 2, 1], groups_width=8,
                         hidden_sizes=lambda width: [width, 2 * width, 4 * width, 8 * width]),
                    pictures, {"width": (16, 24, 32)}),
    "poolformer": Entry(made("PoolFormerConfig", "PoolFormerForImageClassification", num_labels=10,
                             hidden_sizes=lambda width: [width, 2 * width, 4 * width, 8 * width], depths=[2, 2, 2, 2]),
                        pictures, {"width": (16, 24, 32)}),
    "pvt": Entry(made("PvtConfig", "PvtForImageClassification", num_labels=10, image_size=32, num_encoder_blocks=2,
                      hidden_sizes=lambda width: [width, 2 * width], depths=[2, 2], sequence_reduction_ratios=[2, 1],
                      patch_sizes=[4, 2], strides=[4, 2], num_attention_heads=[1, 2], mlp_ratios=[4, 4]),
                 pictures, WIDTH),
    "wav2vec2": Entry(made("Wav2Vec2Config", "Wav2Vec2ForCTC", **SPEECH), sound, DEEP),
    "hubert": Entry(made("HubertConfig", "HubertForCTC", **SPEECH), sound, DEEP),
    "zamba2": Entry(decoder("Zamba2Config", "Zamba2ForCausalLM", num_hidden_layers=4, mamba_d_state=16, mamba_ngroups=1,
                            n_mamba_heads=lambda width: width // 4, mamba_headdim=8, chunk_size=4,
                            layers_block_type=["mamba", "hybrid", "mamba", "mamba"], hybrid_layer_ids=[1],
                            num_key_value_heads=HEADS, use_mem_rope=True), tokens, WIDTH),
    "bamba": Entry(decoder("BambaConfig", "BambaForCausalLM", num_hidden_layers=3, attn_layer_indices=[1],
                           mamba_n_heads=lambda width: width // 4, mamba_d_head=8, mamba_d_state=16, mamba_n_groups=1,
                           mamba_chunk_size=4), tokens, WIDTH),
    "recurrent_gemma": Entry(decoder("RecurrentGemmaConfig", "RecurrentGemmaForCausalLM", num_hidden_layers=3,
                                     lru_width=lambda width: width, attention_window_size=8,
                                     head_dim=lambda width: width // HEADS), tokens, WIDTH),
    "falcon_mamba": Entry(made("FalconMambaConfig", "FalconMambaForCausalLM", hidden_size=lambda width: width,
                               state_size=16, num_hidden_layers=lambda depth: depth, vocab_size=VOCABULARY, **SPECIAL),
                          tokens, DEEP),
    "perceiver": Entry(made("PerceiverConfig", "PerceiverForMaskedLM", d_latents=lambda width: width, d_model=32,
                            num_latents=8, num_blocks=1, num_self_attends_per_block=2, num_self_attention_heads=4,
                            num_cross_attention_heads=4, qk_channels=lambda width: width,
                            v_channels=lambda width: width, vocab_size=VOCABULARY, max_position_embeddings=7),
                       lambda **_: {"inputs": masked_tokens()["input_ids"]}, WIDTH),
    "patchtst": Entry(made("PatchTSTConfig", "PatchTSTForPrediction", d_model=lambda width: width, num_input_channels=3,
                           num_hidden_layers=lambda depth: depth, num_attention_heads=HEADS, context_length=32,
                           prediction_length=8, patch_length=4, patch_stride=4, ffn_dim=lambda width: 4 * width),
                      timeseries, DEEP),
    "decision": Entry(made("DecisionTransformerConfig", "DecisionTransformerModel", state_dim=7, act_dim=3,
                           hidden_size=lambda width: width, n_head=HEADS, n_layer=lambda depth: depth, max_ep_len=16,
                           vocab_size=1, n_positions=64), trajectories, DEEP),
    "detr": Entry(made("ConditionalDetrConfig", "ConditionalDetrModel", d_model=lambda width: width), pixel_values,
                  WIDTH),
    "unet2d_condition": Entry(conditional_unet, conditioned, {"width": (16, 24, 32)}, "diffusers"),
    "sd3": Entry(sd3, sd3_inputs, DEEP, "diffusers"),
    "flux": Entry(flux, flux_inputs, {"width": (32, 64, 96), "depth": (2, 3, 4)}, "diffusers"),
    "autoencoder_kl": Entry(autoencoder, lambda **_: noisy()["sample"], {"width": (16, 24, 32)}, "diffusers"),
}  # fmt: skip
