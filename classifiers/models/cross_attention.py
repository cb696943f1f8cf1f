"""Cross-attention of a patient's tiles and gene expression: the subtype of a breast tumour from both, or from one.

The model reads patients, not images: features of tiles that a frozen network gave, in bags of different sizes, and one
row of expression. It scales both by means and standard deviations that it keeps with its weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from classifiers.models.entry import Classifier

Variant = Literal["default", "published"]
Arm = Literal["both", "genes", "image"]
SOURCE = "Cross-attention of image and expression, arXiv 2503.02849"


@dataclass(frozen=True)
class PatientBatch:
    """N patients with up to T tiles each."""

    tiles: Tensor  # f32 [N,T,D], features of tiles; of any finite value where there is no tile
    is_tile: Tensor  # bool [N,T]
    expression: Tensor  # f32 [N,G], unscaled

    def to(self, device: str | torch.device) -> Self:
        return type(self)(self.tiles.to(device), self.is_tile.to(device), self.expression.to(device))


@dataclass(frozen=True)
class PatientSamples:
    """Patients under indices, each with a bag of tiles of its own size."""

    tiles: Sequence[NDArray[np.float32]]  # per patient [T,D]
    expression: NDArray[np.float32]  # [P,G], unscaled

    def __post_init__(self) -> None:
        if len(self.tiles) != len(self.expression):
            seen = f"tiles of {len(self.tiles)} patients with expression of {len(self.expression)}"
            raise ValueError(f"{seen}; expected the same patients; give one bag and one row for each")

    def __len__(self) -> int:
        return len(self.tiles)

    def __getitem__(self, indices: NDArray[np.int64]) -> PatientBatch:
        bags = [self.tiles[int(index)] for index in indices]
        num_tiles = max(1, *(len(bag) for bag in bags))
        tiles = np.zeros((len(bags), num_tiles, bags[0].shape[1]), np.float32)
        is_tile = np.zeros((len(bags), num_tiles), bool)
        for row, bag in enumerate(bags):
            tiles[row, : len(bag)], is_tile[row, : len(bag)] = bag, True
        expression = np.ascontiguousarray(self.expression[indices])
        return PatientBatch(torch.from_numpy(tiles), torch.from_numpy(is_tile), torch.from_numpy(expression))

    def take(self, indices: NDArray[np.int64]) -> "PatientSamples":
        """These patients alone, in this order."""
        return PatientSamples([self.tiles[int(index)] for index in indices], self.expression[indices])


class CrossAttention(nn.Module):
    """Patients to class logits: input a `PatientBatch` of D features and G genes, output [N,num_classes].

    `set_scales` must see the training patients once before the training, and no other patient.

    From the source: frozen features of tiles, fully connected layers for expression, cross-attention, five folds.
    `variant="published"` is its network, see `PublishedFusion`, whose image cannot matter. Our choice is the default,
    see `GroupedFusion`. `arm` leaves one of the two inputs away: "genes" or "image".

    Source: arXiv 2503.02849 and its author's notebook, which scales expression over all samples before the folds and
    stops on the fold that it scores; here both are part of the training alone.
    """

    backbones = ()

    def __init__(
        self, num_classes: int, num_features: int, num_genes: int, variant: Variant = "default", arm: Arm = "both"
    ) -> None:
        super().__init__()
        if min(num_features, num_genes) < 1:
            raise ValueError(f"{num_features} features and {num_genes} genes; expected at least 1 of each")
        self.num_classes, self.arm = num_classes, arm
        self.scale_tiles, self.scale_genes = Standardise(num_features), Standardise(num_genes)
        body = PublishedFusion if variant == "published" else GroupedFusion
        self.fusion = body(num_features, num_genes, arm)
        self.dropout = nn.Dropout(self.fusion.dropout)
        self.classify = nn.Linear(self.fusion.width, num_classes)

    def set_scales(self, samples: PatientSamples) -> None:
        """Take mean and standard deviation of every gene, and of every feature over all tiles, from these patients."""
        self.scale_genes.set_to(samples.expression)
        if any(map(len, samples.tiles)):
            self.scale_tiles.set_to(np.concatenate(list(samples.tiles)))

    def features(self, x: PatientBatch) -> Tensor:
        """The input of the last layer, [N,width]; raises ValueError for other genes or features, or without tiles."""
        _check(x, self.scale_tiles.mean.numel(), self.scale_genes.mean.numel(), needs_tiles=self.arm != "genes")
        features: Tensor = self.fusion(self.scale_tiles(x.tiles), x.is_tile, self.scale_genes(x.expression))
        return features

    def forward(self, x: PatientBatch) -> Tensor:
        logits: Tensor = self.classify(self.dropout(self.features(x)))
        return logits


class Standardise(nn.Module):
    """Values [...,C] less their mean, over their standard deviation; both are kept with the weights."""

    mean: Tensor
    std: Tensor

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_channels))
        self.register_buffer("std", torch.ones(num_channels))

    def set_to(self, values: NDArray[np.float32]) -> None:
        """Take both from values [N,C]; a channel that does not vary keeps the standard deviation 1."""
        wide = np.asarray(values, np.float64)
        std = wide.std(axis=0)
        self.mean.copy_(torch.from_numpy(wide.mean(axis=0)))
        self.std.copy_(torch.from_numpy(np.where(std > 1e-6, std, 1.0)))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


class PublishedFusion(nn.Module):
    """The published network: genes → one token, tiles → tokens, attention of tiles to genes, mean, 512 → 256.

    Query = image tokens, key = value = the one gene token. A softmax over one key is 1 whatever the query says, so
    every image token receives the same value, W_o·W_v·gene: neither the output nor any gradient can depend on the
    tiles, and their gradient is exactly zero. It is a network of the genes alone.

    The source states the widths; ReLU between the layers is our choice. Without `both` there is no attention: the
    one input's tokens are averaged.
    """

    width, dropout = 256, 0.5

    def __init__(self, num_features: int, num_genes: int, arm: Arm) -> None:
        super().__init__()
        self.arm = arm
        if arm != "image":
            self.genes = nn.Sequential(nn.Linear(num_genes, 512), nn.ReLU())
        if arm != "genes":
            self.tiles = nn.Sequential(nn.Linear(num_features, 512), nn.ReLU())  # a convolution of kernel 1
        if arm == "both":
            self.attention = Attention(512, num_heads=8)
        self.head = nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, self.width), nn.ReLU())

    def forward(self, tiles: Tensor, is_tile: Tensor, expression: Tensor) -> Tensor:
        if self.arm == "genes":
            pooled = self.genes(expression)
        elif self.arm == "image":
            pooled = masked_mean(self.tiles(tiles), is_tile)
        else:
            pooled = masked_mean(self.attention(self.tiles(tiles), self.genes(expression)[:, None]), is_tile)
        features: Tensor = self.head(pooled)
        return features


class GroupedFusion(nn.Module):
    """Our choice: genes as tokens of learned groups, and attention both ways, in a size for few hundred patients.

    Each of 8 gene tokens is a group of genes (see `GeneGroups`), so the softmax has something to choose from. Genes
    attend to tiles and tiles to genes, with residuals, so that both reach the output by a way of their own; their
    means stand next to each other, each normalised by itself, or the larger one would hide the other. A thousand
    features of few patients are learnt by heart within some twenty steps, so they pass two strong dropouts. An arm
    alone attends to itself: all arms are equally deep.
    """

    dim, num_groups, dropout, tile_dropout = 64, 8, 0.3, 0.5

    def __init__(self, num_features: int, num_genes: int, arm: Arm) -> None:
        super().__init__()
        self.arm = arm
        self.width = self.dim * (2 if arm == "both" else 1)
        if arm != "image":
            self.genes = GeneGroups(num_genes, self.num_groups, self.dim, self.dropout)
            self.genes_look, self.norm_genes = Block(self.dim, self.dropout), nn.LayerNorm(self.dim)
        if arm != "genes":
            self.tiles = nn.Sequential(
                nn.Dropout(self.tile_dropout),
                nn.Linear(num_features, self.dim),
                nn.LayerNorm(self.dim),
                nn.Dropout(self.tile_dropout),
            )
            self.tiles_look, self.norm_tiles = Block(self.dim, self.dropout), nn.LayerNorm(self.dim)

    def forward(self, tiles: Tensor, is_tile: Tensor, expression: Tensor) -> Tensor:
        g = None if self.arm == "image" else self.genes(expression)
        t = None if self.arm == "genes" else self.tiles(tiles)
        pooled = []
        if g is not None:
            tokens = self.genes_look(g, g) if t is None else self.genes_look(g, t, is_tile)
            pooled.append(self.norm_genes(tokens.mean(1)))
        if t is not None:
            tokens = self.tiles_look(t, t, is_tile) if g is None else self.tiles_look(t, g)
            pooled.append(self.norm_tiles(masked_mean(tokens, is_tile)))
        return torch.cat(pooled, 1)


class GeneGroups(nn.Module):
    """Scaled expression [N,G] to M tokens [N,M,dim]: token m is a mean of gene vectors, weighted by value and group.

    Every gene has a vector and belongs to the groups by a softmax, both learned: G·(M + dim) weights, where a layer
    from all genes to all tokens would have G·M·dim.
    """

    def __init__(self, num_genes: int, num_groups: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.vectors = nn.Parameter(torch.randn(num_genes, dim) / dim**0.5)
        self.groups = nn.Parameter(torch.randn(num_genes, num_groups))
        self.token = nn.Parameter(torch.randn(num_groups, dim) / dim**0.5)

    def forward(self, expression: Tensor) -> Tensor:
        member = self.groups.softmax(1)
        member = member / member.square().sum(0, keepdim=True).sqrt()  # a sum of noise has unit variance in each group
        weights = self.dropout(expression)[:, :, None] * member
        return torch.einsum("ngm,gd->nmd", weights, self.vectors) + self.token


class Block(nn.Module):
    """Tokens that attend to a context, then a feed-forward layer, each with a residual and normalised first."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.norm_tokens, self.norm_context, self.norm = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim, num_heads=4)
        self.feed = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * dim, dim))
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, context: Tensor, is_context: Tensor | None = None) -> Tensor:
        seen = self.attention(self.norm_tokens(tokens), self.norm_context(context), is_context)
        tokens = tokens + self.dropout(seen)
        fed: Tensor = tokens + self.feed(self.norm(tokens))
        return fed


class Attention(nn.Module):
    """Multi-head attention of tokens [N,T,dim] to a context [N,S,dim], of which `is_context` bool [N,S] counts.

    Written out, as the softmax's own backward gives an exact zero where there is one key; fused kernels round.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, tokens: Tensor, context: Tensor, is_context: Tensor | None = None) -> Tensor:
        q, k, v = (
            x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for x in (self.query(tokens), self.key(context), self.value(context))
        )
        logits = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5
        if is_context is not None:
            logits = logits.masked_fill(~is_context[:, None, None, :], -torch.inf)
        mixed: Tensor = self.out((logits.softmax(3) @ v).transpose(1, 2).flatten(2))
        return mixed


def masked_mean(tokens: Tensor, is_token: Tensor) -> Tensor:
    """The mean of the tokens [N,T,C] that count, [N,C]."""
    return (tokens * is_token[:, :, None]).sum(1) / is_token.sum(1, keepdim=True)


def _check(x: PatientBatch, num_features: int, num_genes: int, *, needs_tiles: bool) -> None:
    if x.expression.shape[1] != num_genes:
        seen = f"expression of {x.expression.shape[1]} genes"
        raise ValueError(f"{seen}; expected the {num_genes} that the model was made for; give the same table of genes")
    if not needs_tiles:
        return
    if x.tiles.shape[2] != num_features:
        seen = f"tiles of {x.tiles.shape[2]} features"
        raise ValueError(f"{seen}; expected the {num_features} that the model was made for; use the same extractor")
    if not bool(x.is_tile.any(1).all()):
        raise ValueError("a patient without tiles; expected at least 1; use arm=genes or leave the patient out")


def _build(
    num_classes: int, _: int, variant: Variant, arm: Arm, *, num_features: int = 1280, num_genes: int = 50
) -> CrossAttention:
    return CrossAttention(num_classes, num_features, num_genes, variant, arm)


CROSS_ATTENTION = Classifier(
    build=_build,
    small="cross_attention",
    source=SOURCE,
    cam_layer=None,
    inputs="image+expression",
    switches={"variant": get_args(Variant), "arm": get_args(Arm)},
)
