"""The parts of ResViT-GANNet that work on tokens: fusion of depths, and attention between two branches (TAMA)."""

import torch
from torch import Tensor, nn


class TokenFusion(nn.Module):
    """The patch tokens of several blocks [N,T,C], each through its own LayerNorm, in a learned softmax mix."""

    def __init__(self, dim: int, num_blocks: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(num_blocks))
        self.logits = nn.Parameter(torch.zeros(num_blocks))  # an even mix at first

    def forward(self, blocks: list[Tensor]) -> Tensor:
        weights = self.logits.softmax(0)
        return torch.stack([weight * norm(tokens) for weight, norm, tokens in zip(weights, self.norms, blocks)]).sum(0)


class Tama(nn.Module):
    """Token-aligned multimodal attention: residual [N,T,C] and transformer tokens [N,T',C] to [N,C]."""

    def __init__(self, dim: int, num_heads: int, aligned: bool) -> None:
        super().__init__()
        self.aligned = aligned
        self.cnn_asks_vit = CrossAttention(dim, num_heads)
        self.vit_asks_cnn = CrossAttention(dim, num_heads)
        self.gate = nn.Linear(2 * dim, dim)
        self.pools = nn.ModuleList(AttentionPool(dim) for _ in range(1 if aligned else 2))

    def forward(self, cnn: Tensor, vit: Tensor) -> Tensor:
        a, b = self.cnn_asks_vit(cnn, vit), self.vit_asks_cnn(vit, cnn)
        if self.aligned:
            pooled: Tensor = self.pools[0](self.mix(a, b))
            return pooled
        return self.mix(self.pools[0](a), self.pools[1](b))

    def mix(self, a: Tensor, b: Tensor) -> Tensor:
        gate: Tensor = self.gate(torch.cat([a, b], dim=-1)).sigmoid()
        return gate * a + (1 - gate) * b


class CrossAttention(nn.Module):
    """Tokens [N,T,C] ask a context [N,T',C]: attention and a feed-forward of four times the width, both residual."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.norm_tokens, self.norm_context, self.norm_out = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, num_heads, batch_first=True)
        self.feed_forward = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, tokens: Tensor, context: Tensor) -> Tensor:
        context = self.norm_context(context)
        attended: Tensor = self.attention(self.norm_tokens(tokens), context, context, need_weights=False)[0]
        tokens = tokens + attended
        update: Tensor = self.feed_forward(self.norm_out(tokens))
        return tokens + update


class AttentionPool(nn.Module):
    """Tokens [N,T,C] to their mean [N,C], weighted by a learned softmax score."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.score = nn.Linear(dim, 1, bias=False)  # a bias would fall out of the softmax

    def forward(self, tokens: Tensor) -> Tensor:
        weights: Tensor = self.score(tokens).softmax(dim=1)
        return (weights * tokens).sum(dim=1)


class Concatenation(nn.Module):
    """The mean tokens [N,C] of the branches side by side: what TAMA has to beat, and all that is left of one branch."""

    def forward(self, *branches: Tensor) -> Tensor:
        return torch.cat([tokens.mean(dim=1) for tokens in branches], dim=-1)
