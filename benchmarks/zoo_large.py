"""Language models at their published sizes, traced on the meta device: no weights are allocated."""

# What configurations take and libraries export is not in their types.
# pyright: reportCallIssue=false, reportPrivateImportUsage=false

from __future__ import annotations

from typing import Any

from zoo import Entry, tokens


def llama(width: int) -> Any:
    """Llama 7B (arXiv 2302.13971): 32 layers of 4096, heads of 128."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            hidden_size=width, intermediate_size=43 * width // 16, num_hidden_layers=32, vocab_size=32000,
            num_attention_heads=width // 128, num_key_value_heads=width // 128,
        )
    )  # fmt: skip


def mixtral(width: int) -> Any:
    """Mixtral 8x7B (arXiv 2401.04088): 32 layers of 4096, two of eight experts."""
    from transformers import MixtralConfig, MixtralForCausalLM

    return MixtralForCausalLM(
        MixtralConfig(
            hidden_size=width, intermediate_size=7 * width // 2, num_hidden_layers=32, vocab_size=32000,
            num_attention_heads=width // 128, num_key_value_heads=width // 512, num_local_experts=8,
            num_experts_per_tok=2,
        )
    )  # fmt: skip


def deepseek_v3(width: int) -> Any:
    """DeepSeek-V3 (arXiv 2412.19437): 61 layers of 7168, 671 billion weights, eight of 256 experts."""
    from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

    return DeepseekV3ForCausalLM(
        DeepseekV3Config(
            hidden_size=width, intermediate_size=18 * width // 7, moe_intermediate_size=2 * width // 7,
            num_hidden_layers=61, num_attention_heads=width // 56, num_key_value_heads=width // 56, vocab_size=129280,
            n_shared_experts=1, n_routed_experts=256, n_group=8, topk_group=4, num_experts_per_tok=8,
            kv_lora_rank=width // 14, q_lora_rank=3 * width // 14, qk_rope_head_dim=64, qk_nope_head_dim=128,
            v_head_dim=128, first_k_dense_replace=3,
        )
    )  # fmt: skip


LARGE: dict[str, Entry] = {
    "llama_7b": Entry(llama, tokens, {"width": (4096, 6144, 8192)}),
    "mixtral_8x7b": Entry(mixtral, tokens, {"width": (4096, 6144, 8192)}),
    "deepseek_v3_671b": Entry(deepseek_v3, tokens, {"width": (7168, 10752, 14336)}),
}
