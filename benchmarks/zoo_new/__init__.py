"""Models in no other list, written the way research code is: what each is called with, and its scales."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

from zoo import DEEP, WIDTH, Entry  # noqa: E402

from . import (  # noqa: E402
    adapters,
    agents,
    applied,
    attention,
    generative,
    memories,
    perceptrons,
    pictures,
    research,
    science,
    sequences,
    state_spaces,
    structures,
    unrolled,
)

EDGES = [[0, 1, 2, 3, 4, 0], [1, 2, 3, 4, 0, 2]]


def normal(*shapes: tuple[int, ...]) -> Callable[..., tuple[Tensor, ...]]:
    """Inputs of independent entries."""
    return lambda **_: tuple(torch.randn(shape) for shape in shapes)


def whole(below: int, *shapes: tuple[int, ...]) -> Callable[..., tuple[Tensor, ...]]:
    """Indices below a bound."""
    return lambda **_: tuple(torch.randint(1, below, shape) for shape in shapes)


def mixed(*makes: Callable[[], Tensor]) -> Callable[..., tuple[Tensor, ...]]:
    return lambda **_: tuple(make() for make in makes)


def edges() -> Tensor:
    return torch.tensor(EDGES)


def randn(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(shape)


def randint(below: int, *shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randint(1, below, shape)


def positive(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.rand(shape) + 0.1


TOKENS = whole(30, (2, 7))
SEQUENCE, VECTORS, PICTURES = normal((2, 9, 16)), normal((4, 10)), normal((2, 3, 16, 16))

INPUTS: dict[Any, Any] = {
    attention.TokenFormer: TOKENS, attention.ProductKeyMemory: normal((6, 16)), attention.LightningLinear: TOKENS,
    attention.MultiHeadLatent: TOKENS, attention.TalkingHeads: SEQUENCE, attention.GatedUnit: SEQUENCE,
    attention.MultiQuery: TOKENS, attention.Perceiver: SEQUENCE, attention.Hopfield: VECTORS,
    attention.LinFormer: SEQUENCE,
    attention.Synthesizer: SEQUENCE, attention.RelativePositions: SEQUENCE,
    state_spaces.MambaND: PICTURES, state_spaces.GroupMamba: PICTURES, state_spaces.SiMBA: normal((2, 6, 8)),
    state_spaces.SpaceTime: normal((2, 6, 3)), state_spaces.SSMLoRA: VECTORS, state_spaces.MinGRU: TOKENS,
    state_spaces.Griffin: TOKENS, state_spaces.DeltaNet: TOKENS, state_spaces.LiquidCell: normal((2, 5, 6), (2, 5)),
    state_spaces.EchoState: normal((2, 6, 3)), state_spaces.HiPPO: normal((2, 6, 5)),
    perceptrons.Maxout: VECTORS, perceptrons.WideNet: TOKENS, perceptrons.FLoRA: PICTURES,
    perceptrons.MagnitudeInvariant: normal((4, 5), (3,)), perceptrons.ParallelStreams: TOKENS,
    perceptrons.SideTuned: VECTORS, perceptrons.PrefixTuned: TOKENS, perceptrons.Monarch: VECTORS,
    perceptrons.KroneckerLinear: VECTORS, perceptrons.TensorTrain: VECTORS, perceptrons.Highway: VECTORS,
    perceptrons.SoftMoE: normal((2, 6, 10)), perceptrons.ExpertChoice: normal((2, 6, 10)),
    perceptrons.SwitchWithLoss: normal((2, 6, 10)), perceptrons.SIREN: normal((4, 2)),
    perceptrons.Lipschitz: normal((4, 5)), perceptrons.Bayesian: normal((4, 6)),
    science.TensorisedFNO: normal((2, 3, 8, 8)), science.MultigridOperator: normal((2, 1, 8, 8)),
    science.DeepONet: normal((4, 10), (4, 2)), science.PINN: normal((4, 1), (4, 1)),
    science.Hamiltonian: normal((4, 4)),
    science.Score: normal((4, 3), (4, 3)), science.SchNet: mixed(randint(10, 5), randn(5, 3), edges),
    science.EGNN: mixed(randn(5, 4), randn(5, 3), edges), science.GIN: normal((5, 5), (5, 5)),
    science.Graphormer: whole(8, (2, 5), (2, 5), (2, 5, 5)), science.EdgeConv: normal((2, 3, 10)),
    science.NeuralSpline: normal((4, 4)), science.LatentODE: normal((2, 5, 3)),
    applied.PPO: mixed(randn(4, 6), randint(4, 4)), applied.SAC: normal((4, 6)),
    applied.QRDQN: mixed(randn(4, 8), randint(3, 4), randn(4, 5)), applied.NoisyNet: normal((4, 8)),
    applied.RSSM: normal((2, 4, 7), (2, 4, 2)), applied.GaussianPolicy: normal((4, 6), (4, 2)),
    applied.FactorisationMachine: whole(40, (4, 4)), applied.AutoInt: whole(40, (4, 4)),
    applied.DIN: whole(50, (4, 6), (4,)), applied.SASRec: whole(31, (2, 7), (2, 7), (2, 7)),
    applied.LightGCN: mixed(randn(11, 11), randint(5, 4), randint(6, 4)), applied.TwoTower: normal((4, 6), (4, 7)),
    applied.Conformer: normal((2, 12, 20)), applied.ListenAttendSpell: mixed(randn(2, 6, 10), randint(12, 2, 4)),
    applied.VectorQuantised: PICTURES, applied.DDPM: mixed(randn(2, 3, 8, 8), randint(100, 2), randn(2, 3, 8, 8)),
    applied.StyleGenerator: normal((2, 16)), applied.MaskedAutoencoder: PICTURES, applied.Inception: PICTURES,
    agents.TanhPolicy: normal((4, 7)), agents.Dueling: normal((2, 4, 52, 52)),
    agents.WorldModel: normal((2, 4, 10), (2, 4, 3)), agents.DLRM: mixed(randn(4, 5), randint(20, 4, 4)),
    agents.DeepFM: whole(30, (4, 4)), agents.MDN: normal((4, 2), (4, 1)), agents.FakeQuant: normal((4, 6)),
    agents.LoRA: normal((4, 6)), agents.MeanTeacher: normal((4, 6)), agents.SimSiam: normal((6, 8), (6, 8)),
    agents.Triplet: normal((2, 1, 8, 8), (2, 1, 8, 8), (2, 1, 8, 8)), agents.SparseAutoencoder: normal((4, 8)),
    sequences.MaskMoE: TOKENS, sequences.LoopAttention: TOKENS, sequences.RWKV4: TOKENS, sequences.MLSTM: TOKENS,
    sequences.MemN2N: whole(30, (2, 5, 4), (2, 3)), sequences.RecurrentDepth: TOKENS,
    sequences.CRF: mixed(randint(30, 2, 5), randint(5, 2, 5)), sequences.CausalWithSlopes: TOKENS,
    sequences.LongConvolution: TOKENS, sequences.DiagonalS4: normal((2, 6, 3)), sequences.CalledAlike: normal((4, 5)),
    structures.RealNVP: normal((4, 6)), structures.EBM: normal((4, 5)),
    structures.MPNN: mixed(randint(10, 5), edges, randn(6, 3), lambda: torch.tensor([0, 0, 1, 1, 1])),
    structures.EdgeAttention: mixed(randn(5, 7), edges), structures.NeuralODE: normal((4, 4)),
    structures.Burgers: normal((6, 1), (6, 1)), structures.TaskWeights: mixed(randint(3, 2), randn(2, 3, 6)),
    structures.Capsule: normal((2, 1, 15, 15)), structures.DeepSet: mixed(randn(2, 5, 3), lambda: torch.ones(2, 5)),
    structures.MaskQueries: normal((2, 3, 8, 8)), structures.KAN: normal((4, 4)),
    structures.SuperResolution: normal((2, 3, 8, 8)), structures.WeightStd: normal((2, 3, 8, 8)),
    applied.ShuffleMobile: PICTURES, applied.MixerForecast: normal((2, 8, 3)), applied.NBeats: normal((4, 10)),
    research.BitNet: normal((4, 6)), research.BurgersFunc: normal((4, 2)), research.Langevin: normal((2, 1, 8, 8)),
    research.Differential: TOKENS, research.DETR: normal((2, 5, 6)),
    generative.AdaLNZero: mixed(randn(2, 4, 8, 8), randint(100, 2), randint(10, 2)),
    generative.EDM: mixed(randn(4, 6), positive(4)), generative.VICReg: normal((6, 8), (6, 8)),
    generative.Consistency: mixed(randn(4, 6), randn(4, 6), positive(4, 1)), generative.Glow: normal((4, 6)),
    generative.FSQ: normal((4, 8)), generative.ResidualVQ: normal((2, 1, 16)),
    generative.DINOHead: normal((4, 8), (4, 8)),
    generative.Wav2Vec: mixed(randn(2, 1, 64), lambda: torch.arange(12).reshape(2, 6) % 3 == 0),
    generative.NeuralProcess: normal((2, 5, 1), (2, 5, 1), (2, 4, 1), (2, 4, 1)),
    adapters.DoRA: normal((4, 6)), adapters.VeRA: normal((4, 6)), adapters.IA3: TOKENS, adapters.SoftPrompt: TOKENS,
    adapters.CrossNetV2: whole(20, (4, 4)), adapters.CIN: whole(40, (4, 4)), adapters.MMoE: normal((4, 8)),
    adapters.QMIX: mixed(randn(2, 3, 10), randn(2, 12), randint(5, 2, 3)),
    adapters.IQN: mixed(randn(4, 8), positive(4, 3)),
    adapters.ColBERT: whole(40, (3, 5), (3, 7)),
    memories.SLSTM: TOKENS, memories.TTTLinear: TOKENS, memories.GatedDelta: TOKENS, memories.Hyena: TOKENS,
    memories.PerceiverIO: SEQUENCE, memories.NTM: normal((2, 4, 8)), memories.MixtureOfDepths: TOKENS,
    memories.DynamicHyper: TOKENS, memories.Antisymmetric: normal((2, 5, 5)), memories.Mogrifier: TOKENS,
    memories.Forgetting: TOKENS,
    memories.DecisionTransformer: mixed(randn(2, 4, 1), randn(2, 4, 7), randn(2, 4, 3), randint(10, 2, 4)),
    pictures.MaxViT: normal((2, 3, 8, 8)), pictures.ConvNeXtV2: PICTURES, unrolled.GMLP: TOKENS,
    unrolled.Equilibrium: normal((4, 6)), unrolled.LISTA: normal((4, 10)), unrolled.PNA: normal((5, 5), (5, 5)),
    unrolled.PaiNN: mixed(randint(10, 5), randn(5, 3), edges), pictures.AFNO: normal((2, 8, 8, 3)),
    pictures.Involution: normal((2, 3, 8, 8)), pictures.DynamicConv: normal((2, 3, 8, 8)),
    pictures.GroupEquivariant: normal((2, 3, 8, 8)), pictures.ECAPA: normal((2, 20, 12)),
    pictures.SincNet: normal((2, 1, 80)),
    unrolled.FTTransformer: normal((4, 6)), unrolled.SoftTree: normal((4, 8)), unrolled.EarlyExit: normal((4, 6)),
}  # fmt: skip

SCALES = {
    attention.TokenFormer: DEEP, attention.MultiQuery: DEEP, state_spaces.MinGRU: DEEP, perceptrons.Highway: DEEP,
    sequences.CalledAlike: DEEP,
    state_spaces.GroupMamba: {"width": (128, 192, 256)},
}  # fmt: skip

NEW = {
    model.__name__: Entry(model, inputs, SCALES.get(model, WIDTH), "plain torch") for model, inputs in INPUTS.items()
}
