"""Nyström attention: self-attention through a few landmark tokens, so that its cost is linear in the tokens."""

from contextlib import nullcontext

import torch
from torch import Tensor, nn


class NystromAttention(nn.Module):
    """Tokens [N,T,C] to tokens [N,T,C].

    softmax(QKᵀ) is taken as F·A⁺·B with F = softmax(QK̃ᵀ), A = softmax(Q̃K̃ᵀ) and B = softmax(Q̃Kᵀ), where Q̃ and K̃ are
    the means of `num_landmarks` segments of the tokens and A⁺ comes of `pseudo_inverse`. A depthwise convolution along
    the values of each head is added. With at most `num_landmarks` tokens each is its own landmark, and the attention
    is exact up to that iteration.

    Our choice: where the tokens do not divide into equal segments, neighbouring segments share tokens. The code in
    common use puts tokens of zeros in front instead, to which every other token then attends.

    Source: Xiong et al. 2021, "Nyströmformer", arXiv 2102.03902, section 3.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        num_landmarks: int,
        num_iterations: int = 6,
        residual_kernel: int = 33,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"tokens of {dim} for {num_heads} heads; expected a multiple of the heads")
        self.num_heads, self.num_landmarks, self.num_iterations = num_heads, num_landmarks, num_iterations
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.residual = nn.Conv2d(
            num_heads,
            num_heads,
            (residual_kernel, 1),
            padding=(residual_kernel // 2, 0),
            groups=num_heads,
            bias=False,
        )
        self.out = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = self.qkv(tokens).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        heads = self.attend(q, k, v) + self.residual(v)
        out: Tensor = self.dropout(self.out(heads.transpose(1, 2).flatten(2)))
        return out

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The attention alone: queries, keys and values [N,heads,T,D] to [N,heads,T,D]."""
        q = q * q.shape[-1] ** -0.5
        q_landmarks, k_landmarks = (segment_means(x, self.num_landmarks) for x in (q, k))
        from_landmarks = (q @ k_landmarks.transpose(-1, -2)).softmax(-1)
        among_landmarks = (q_landmarks @ k_landmarks.transpose(-1, -2)).softmax(-1)
        to_landmarks = (q_landmarks @ k.transpose(-1, -2)).softmax(-1)
        inverse = pseudo_inverse(among_landmarks, self.num_iterations)
        attended: Tensor = (from_landmarks @ inverse) @ (to_landmarks @ v)
        return attended


def segment_means(x: Tensor, num_segments: int) -> Tensor:
    """The means of nearly equal segments of tokens: [...,T,D] to [...,M,D], M at most T.

    The segments of adaptive average pooling; as a matrix product, whose gradient is deterministic on every device.
    """
    num_tokens = x.shape[-2]
    num_segments = min(num_segments, num_tokens)
    i = torch.arange(num_segments, device=x.device)[:, None]
    token = torch.arange(num_tokens, device=x.device)
    starts, ends = i * num_tokens // num_segments, ((i + 1) * num_tokens + num_segments - 1) // num_segments
    weights = ((token >= starts) & (token < ends)).to(x.dtype) / (ends - starts)
    return weights.to(x.dtype) @ x


def pseudo_inverse(a: Tensor, num_iterations: int = 6) -> Tensor:
    """The Moore–Penrose inverse of softmax matrices [...,M,M], by matrix products alone; at least in float32.

    Each iteration raises the error to the third power once it is small; half precision would keep it from becoming so.
    Source: Razavi et al. 2014, as in Xiong et al. 2021.
    """
    kind = a.device.type
    is_mixed = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    with torch.autocast(kind, enabled=False) if is_mixed else nullcontext():
        a = a.to(torch.promote_types(a.dtype, torch.float32))
        unit = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
        norms = a.abs().sum(-1).amax(-1) * a.abs().sum(-2).amax(-1)  # the largest row sum, the largest column sum
        z = a.transpose(-1, -2) / norms[..., None, None]
        for _ in range(num_iterations):
            az = a @ z
            z = 0.25 * z @ (13 * unit - az @ (15 * unit - az @ (7 * unit - az)))
    return z
