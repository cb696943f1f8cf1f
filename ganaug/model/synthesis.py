"""The synthesis network with skip connections: styles to images, through resolutions that double."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from custom_ops import bias_act, modulated_conv2d, setup_filter, upsample2d
from ganaug.config import NetworkConfig
from ganaug.errors import ConfigError
from ganaug.model.layers import RESAMPLE_TAPS, FullyConnected, block_dtype, to_dtype_and_layout

NoiseMode = Literal["random", "const", "none"]


def block_resolutions(resolution_px: int) -> list[int]:
    """4, 8, …, resolution_px."""
    return [2**exponent for exponent in range(2, int(math.log2(resolution_px)) + 1)]


class SynthesisLayer(nn.Module):
    """A modulated 3×3 convolution with noise, bias and leaky ReLU, enlarging by `up`, limited to ±`clamp`."""

    noise_const: Tensor
    resample_filter: Tensor

    def __init__(
        self,
        num_in: int,
        num_out: int,
        w_dim: int,
        resolution_px: int,
        up: int,
        clamp: float | None,
        *,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.up, self.clamp = up, clamp
        self.affine = FullyConnected(w_dim, num_in, generator=generator, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(num_out, num_in, 3, 3, generator=generator))
        self.bias = nn.Parameter(torch.zeros(num_out))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(resolution_px, resolution_px, generator=generator))
        self.register_buffer("resample_filter", setup_filter(RESAMPLE_TAPS), persistent=False)

    def forward(self, x: Tensor, w: Tensor, noise_mode: NoiseMode, generator: torch.Generator | None) -> Tensor:
        x = modulated_conv2d(
            x,
            self.weight,
            self.affine(w),
            self._noise(x.shape[0], noise_mode, generator),
            up=self.up,
            padding=1,
            resample_filter=self.resample_filter,
            flip_weight=self.up == 1,  # with up-sampling a true convolution, as in the published weights
        )
        return bias_act(x, self.bias.to(x.dtype), act="lrelu", clamp=self.clamp)

    def _noise(self, num_images: int, mode: NoiseMode, generator: torch.Generator | None) -> Tensor | None:
        if mode == "none":
            return None
        if mode == "const":
            return self.noise_const[None, None] * self.noise_strength
        if generator is None:
            raise ConfigError("noise_mode 'random' without a torch.Generator", todo="pass generator= or another mode")
        shape = [num_images, 1, *self.noise_const.shape]
        noise = torch.randn(shape, generator=generator, device=generator.device)
        return noise.to(self.noise_const.device) * self.noise_strength


class ToRGB(nn.Module):
    """A modulated 1×1 convolution to red, green and blue, not demodulated, limited to ±`clamp`."""

    def __init__(self, num_in: int, w_dim: int, clamp: float | None, *, generator: torch.Generator) -> None:
        super().__init__()
        self.clamp = clamp
        self.affine = FullyConnected(w_dim, num_in, generator=generator, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(3, num_in, 1, 1, generator=generator))
        self.bias = nn.Parameter(torch.zeros(3))
        self.weight_gain = 1 / math.sqrt(num_in)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        styles = self.affine(w) * self.weight_gain
        x = modulated_conv2d(x, self.weight, styles, demodulate=False)
        return bias_act(x, self.bias.to(x.dtype), clamp=self.clamp)


class SynthesisBlock(nn.Module):
    """One resolution: the learned constant (4 px) or an enlarging layer, then a layer, then its addend to the image.

    The layers compute in the given type; the image is summed up in float32.
    """

    resample_filter: Tensor

    def __init__(
        self, num_in: int, num_out: int, config: NetworkConfig, resolution_px: int, *, generator: torch.Generator
    ) -> None:
        super().__init__()
        w_dim, clamp = config.w_dim, config.conv_clamp
        self.is_first = resolution_px == 4
        if self.is_first:
            self.const = nn.Parameter(torch.randn(num_out, 4, 4, generator=generator))
        else:
            self.conv0 = SynthesisLayer(num_in, num_out, w_dim, resolution_px, 2, clamp, generator=generator)
        self.conv1 = SynthesisLayer(num_out, num_out, w_dim, resolution_px, 1, clamp, generator=generator)
        self.torgb = ToRGB(num_out, w_dim, clamp, generator=generator)
        self.register_buffer("resample_filter", setup_filter(RESAMPLE_TAPS), persistent=False)

    @property
    def num_convs(self) -> int:
        return 1 if self.is_first else 2

    def forward(
        self,
        x: Tensor | None,
        img: Tensor | None,
        ws: Tensor,
        dtype: torch.dtype,
        noise_mode: NoiseMode,
        generator: torch.Generator | None,
    ) -> tuple[Tensor, Tensor]:
        """x and img: of the resolution below, None at the first. ws: [N, num_convs + 1, w_dim]."""
        *conv_ws, rgb_w = ws.unbind(dim=1)
        if x is None or img is None:
            x = to_dtype_and_layout(self.const.expand(ws.shape[0], -1, -1, -1), dtype)
            x = self.conv1(x, conv_ws[0], noise_mode, generator)
            return x, self.torgb(x, rgb_w).float()
        x = self.conv0(to_dtype_and_layout(x, dtype), conv_ws[0], noise_mode, generator)
        x = self.conv1(x, conv_ws[1], noise_mode, generator)
        return x, upsample2d(img, self.resample_filter) + to_dtype_and_layout(self.torgb(x, rgb_w), torch.float32)


class Synthesis(nn.Module):
    """All resolutions from 4 px up; blocks are named b4, b8, …, as the field names them.

    The last style of a block, of its toRGB, is also the first of the next: L = 2·log2(resolution) − 2 styles in all.
    Source: Karras et al. 2020a, section 4.1 and figure 7.
    """

    def __init__(self, config: NetworkConfig, *, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.resolutions = block_resolutions(config.resolution_px)
        num_in = 0
        for resolution in self.resolutions:
            num_out = config.channels(resolution)
            self.add_module(f"b{resolution}", SynthesisBlock(num_in, num_out, config, resolution, generator=generator))
            num_in = num_out
        self.num_ws = 2 * len(self.resolutions)

    def forward(
        self,
        ws: Tensor,
        noise_mode: NoiseMode = "random",
        generator: torch.Generator | None = None,
        force_float32: bool = False,
    ) -> Tensor:
        """ws: [N, L, w_dim]. noise_mode: 'random' draws from `generator`, 'const' repeats, 'none' leaves it out.

        force_float32: compute in float32 even where the configuration has half precision. Returns img [N, 3, H, W],
        float32, about [-1, 1], unclamped. Raises ConfigError for random noise without a generator.
        """
        x: Tensor | None = None
        img: Tensor | None = None
        first = 0
        for resolution in self.resolutions:
            block: SynthesisBlock = getattr(self, f"b{resolution}")
            dtype = block_dtype(self.config, resolution, ws, force_float32)
            x, img = block(x, img, ws[:, first : first + block.num_convs + 1], dtype, noise_mode, generator)
            first += block.num_convs
        assert img is not None
        return img
