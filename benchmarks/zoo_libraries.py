"""Models of PyPI libraries, unedited: timm, torchvision, x-transformers, vit-pytorch, torch_geometric, neuraloperator,
denoising-diffusion-pytorch, ncps. Libraries are imported when a factory is called.
"""

# ruff: noqa: E731
# Libraries have few types, and are not installed where these are checked.
# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from zoo import VOCABULARY, WIDTH, Entry

DEEP = {"width": (32, 64, 96), "depth": (2, 3, 4)}
FINE = {"width": (32, 64, 96)}
"""Widths of which every part that these models take is whole."""


def pictures(size: int = 32) -> Callable[..., Any]:
    import torch

    return lambda **_: torch.ones(2, 3, size, size)


def ids(**_: int) -> Any:
    import torch

    return torch.arange(14).reshape(2, 7) % VOCABULARY


def made(module: str, name: str, /, *fixed: Any, **options: Any) -> Callable[..., Any]:
    """A class of a library by its options; what can be called is a function of the width."""

    def make(width: int, depth: int = 2) -> Any:
        values = {key: value(width) if callable(value) else value for key, value in options.items()}
        values = {key: depth if value == "DEPTH" else value for key, value in values.items()}
        return getattr(importlib.import_module(module), name)(*fixed, **values)

    return make


W = lambda width: width


def times(*factors: float) -> Callable[[int], tuple[int, ...]]:
    return lambda width: tuple(int(factor * width) for factor in factors)


IMAGE: dict[str, Any] = {"img_size": 32, "patch_size": 8, "embed_dim": W, "num_heads": 4, "num_classes": 10}
STAGES: dict[str, Any] = {"depths": (1, 1, 1, 1), "dims": times(1, 2, 4, 8), "num_classes": 10}

TIMM: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "timm_vit": (made("timm.models.vision_transformer", "VisionTransformer", depth="DEPTH", **IMAGE), DEEP),
    "timm_deit": (made("timm.models.deit", "VisionTransformerDistilled", depth=2, **IMAGE), FINE),
    "timm_eva": (made("timm.models.eva", "Eva", depth="DEPTH", **IMAGE), DEEP),
    "timm_beit": (made("timm.models.beit", "Beit", depth=2, **IMAGE), FINE),
    "timm_cait": (made("timm.models.cait", "Cait", depth=2, **IMAGE), FINE),
    "timm_xcit": (made("timm.models.xcit", "Xcit", depth=2, **IMAGE), FINE),
    "timm_mixer": (made("timm.models.mlp_mixer", "MlpMixer", img_size=32, patch_size=8, num_blocks="DEPTH",
                        embed_dim=W, num_classes=10), DEEP),
    "timm_convnext": (made("timm.models.convnext", "ConvNeXt", **STAGES), FINE),
    "timm_metaformer": (made("timm.models.metaformer", "MetaFormer", **STAGES), FINE),
    "timm_inception_next": (made("timm.models.inception_next", "MetaNeXt", **STAGES), FINE),
    "timm_convmixer": (made("timm.models.convmixer", "ConvMixer", dim=W, depth="DEPTH", kernel_size=5, patch_size=4,
                            num_classes=10), DEEP),
    "timm_densenet": (made("timm.models.densenet", "DenseNet", growth_rate=W, block_config=(2, 2), num_classes=10),
                      FINE),
    "timm_focalnet": (made("timm.models.focalnet", "FocalNet", embed_dim=W, depths=(1, 1), focal_levels=(2, 2),
                           focal_windows=(3, 3), num_classes=10), FINE),
    "timm_pvt": (made("timm.models.pvt_v2", "PyramidVisionTransformerV2", depths=(1, 1), embed_dims=times(1, 2),
                      num_heads=(2, 4), sr_ratios=(2, 1), mlp_ratios=(4, 4), num_classes=10), FINE),
    "timm_davit": (made("timm.models.davit", "DaVit", depths=(1, 1), embed_dims=times(1, 2), num_heads=(2, 4),
                        window_size=4, num_classes=10), FINE),
    "timm_starnet": (made("timm.models.starnet", "StarNet", base_dim=W, depths=(1, 1), mlp_ratio=4, num_classes=10),
                     FINE),
    "timm_edgenext": (made("timm.models.edgenext", "EdgeNeXt", dims=times(1, 2, 4, 8), depths=(1, 1, 1, 1),
                           global_block_counts=(0, 1, 1, 1), num_classes=10), FINE),
}  # fmt: skip

TORCHVISION = {
    "tv_vit": (made("torchvision.models.vision_transformer", "VisionTransformer", image_size=32, patch_size=8,
                    num_layers="DEPTH", num_heads=4, hidden_dim=W, mlp_dim=lambda w: 4 * w, num_classes=10), DEEP),
    "tv_swin": (made("torchvision.models.swin_transformer", "SwinTransformer", patch_size=[2, 2], embed_dim=W,
                     depths=[2, 2], num_heads=[2, 4], window_size=[4, 4], num_classes=10), FINE),
    "tv_densenet": (made("torchvision.models.densenet", "DenseNet", growth_rate=W, block_config=(2, 2),
                         num_init_features=lambda w: 2 * w, num_classes=10), FINE),
    "tv_maxvit": (made("torchvision.models.maxvit", "MaxVit", input_size=(32, 32), stem_channels=W, partition_size=4,
                       block_channels=lambda w: [w, 2 * w], block_layers=[1, 1], head_dim=8,
                       stochastic_depth_prob=0.0, num_classes=10), FINE),
}  # fmt: skip


def decoder(**options: Any) -> Callable[..., Any]:
    """A language model of x-transformers."""

    def make(width: int, depth: int = 2) -> Any:
        from x_transformers import Decoder, TransformerWrapper

        layers = Decoder(dim=width, depth=depth, heads=4, attn_dim_head=width // 4, **options)
        return TransformerWrapper(num_tokens=VOCABULARY, max_seq_len=16, attn_layers=layers)

    return make


X = {
    "x_plain": (decoder(), DEEP),
    "x_rotary": (decoder(rotary_pos_emb=True, ff_glu=True, use_rmsnorm=True), FINE),
    "x_alibi": (decoder(alibi_pos_bias=True, alibi_num_heads=2), FINE),
    "x_qk_norm": (decoder(attn_qk_norm=True, attn_qk_norm_dim_scale=True), FINE),
    "x_talking": (decoder(attn_pre_talking_heads=True, attn_post_talking_heads=True), FINE),
    "x_gated": (decoder(gate_residual=True), FINE),
    "x_macaron": (decoder(macaron=True), FINE),
    "x_shift": (decoder(shift_tokens=1), FINE),
    "x_one_kv": (decoder(attn_one_kv_head=True), FINE),
    "x_relative": (decoder(rel_pos_bias=True), FINE),
    "x_relu2": (decoder(ff_relu_squared=True, ff_post_act_ln=True, pre_norm=False), FINE),
}


def x_vit(width: int, depth: int = 2) -> Any:
    from x_transformers import Encoder, ViTransformerWrapper

    return ViTransformerWrapper(
        image_size=32, patch_size=8, num_classes=10, attn_layers=Encoder(dim=width, depth=depth, heads=4)
    )


def x_series(width: int, depth: int = 2) -> Any:
    from x_transformers import ContinuousTransformerWrapper, Encoder

    return ContinuousTransformerWrapper(
        dim_in=5, dim_out=3, max_seq_len=16, attn_layers=Encoder(dim=width, depth=depth, heads=4)
    )


PATCHES: dict[str, Any] = {
    "image_size": 32, "patch_size": 8, "num_classes": 10, "dim": W, "depth": 2, "heads": 4, "mlp_dim": lambda w: 4 * w,
}  # fmt: skip
VIT = {
    "vp_vit": made("vit_pytorch", "ViT", **PATCHES),
    "vp_simple": made("vit_pytorch.simple_vit", "SimpleViT", **PATCHES),
    "vp_deep": made("vit_pytorch.deepvit", "DeepViT", **PATCHES),
    "vp_cait": made("vit_pytorch.cait", "CaiT", cls_depth=2, **PATCHES),
    "vp_parallel": made("vit_pytorch.parallel_vit", "ViT", num_parallel_branches=2, **PATCHES),
    "vp_small": made("vit_pytorch.vit_for_small_dataset", "ViT", **PATCHES),
    "vp_normalized": made("vit_pytorch.normalized_vit", "nViT", dim_head=8, **PATCHES),
    "vp_xcit": made("vit_pytorch.xcit", "XCiT", cls_depth=2, **PATCHES),
    "vp_nest": made("vit_pytorch.nest", "NesT", image_size=32, patch_size=4, dim=W, heads=4, num_hierarchies=2,
                    block_repeats=(1, 1), num_classes=10),
    "vp_twins": made("vit_pytorch.twins_svt", "TwinsSVT", num_classes=10, s1_emb_dim=W, s1_patch_size=4,
                     s1_local_patch_size=2, s1_global_k=2, s1_depth=1, s2_emb_dim=lambda w: 2 * w, s2_patch_size=2,
                     s2_local_patch_size=2, s2_global_k=2, s2_depth=1, s3_emb_dim=lambda w: 2 * w, s3_patch_size=1,
                     s3_local_patch_size=2, s3_global_k=2, s3_depth=1, s4_emb_dim=lambda w: 2 * w, s4_patch_size=1,
                     s4_local_patch_size=2, s4_global_k=2, s4_depth=1),
}  # fmt: skip


def graph(name: str, /, **options: Any) -> Callable[..., Any]:
    """A graph network of torch_geometric: two layers."""

    def make(width: int) -> Any:
        kind = getattr(importlib.import_module("torch_geometric.nn.models"), name)
        return kind(in_channels=7, hidden_channels=width, num_layers=3, out_channels=3, **options)

    return make


def nodes_and_edges(**_: int) -> Any:
    import torch

    return torch.ones(5, 7), torch.tensor([[0, 1, 2, 3, 4, 0], [1, 2, 3, 4, 0, 2]])


GEOMETRIC = {
    "pyg_gcn": graph("GCN"), "pyg_sage": graph("GraphSAGE"), "pyg_gin": graph("GIN"), "pyg_gat": graph("GAT", heads=4),
    "pyg_gat2": graph("GAT", heads=4, v2=True), "pyg_edge": graph("EdgeCNN"),
    "pyg_jumping": graph("GCN", jk="cat"),
}  # fmt: skip


def fno(width: int) -> Any:
    from neuralop.models import FNO

    return FNO(n_modes=(4, 4), in_channels=3, out_channels=1, hidden_channels=width, n_layers=2)


def diffusion(width: int) -> Any:
    from denoising_diffusion_pytorch import Unet

    return Unet(dim=width, dim_mults=(1, 2), flash_attn=False)


def noisy(**_: int) -> Any:
    import torch

    return torch.ones(2, 3, 16, 16), torch.tensor([3, 5])


def cfc(width: int) -> Any:
    from ncps.torch import CfC

    return CfC(8, width, proj_size=3)


def sequence(**_: int) -> Any:
    import torch

    return torch.ones(2, 5, 8)


def series(**_: int) -> Any:
    import torch

    return torch.ones(2, 9, 5)


LIBRARIES: dict[str, Entry] = {
    **{name: Entry(make, pictures(), scales, "timm") for name, (make, scales) in TIMM.items()},
    **{name: Entry(make, pictures(), scales, "torchvision") for name, (make, scales) in TORCHVISION.items()},
    **{name: Entry(make, ids, scales, "x-transformers") for name, (make, scales) in X.items()},
    "x_vit": Entry(x_vit, pictures(), FINE, "x-transformers"),
    "x_series": Entry(x_series, series, FINE, "x-transformers"),
    **{name: Entry(make, pictures(), FINE, "vit-pytorch") for name, make in VIT.items()},
    **{name: Entry(make, nodes_and_edges, WIDTH, "torch_geometric") for name, make in GEOMETRIC.items()},
    "neuralop_fno": Entry(fno, pictures(16), WIDTH, "neuraloperator"),
    "ddpm_unet": Entry(diffusion, noisy, FINE, "denoising-diffusion-pytorch"),
    "cfc": Entry(cfc, sequence, WIDTH, "ncps"),
}
