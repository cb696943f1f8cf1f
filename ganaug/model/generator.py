"""The generator: a mapping and a synthesis network."""

import torch
from torch import Tensor, nn

from ganaug.config import NetworkConfig
from ganaug.model.mapping import Mapping
from ganaug.model.synthesis import NoiseMode, Synthesis


class Generator(nn.Module):
    """StyleGAN2's class-conditional generator; one class makes it unconditional.

    Parameters are named mapping.trunk.embed, mapping.trunk.layers.<i> and synthesis.b<px>.const (4 px),
    .conv0 (from 8 px), .conv1 and .torgb; the last three have .affine, .weight and .bias. Weights are stored unscaled,
    [out, in, k, k].
    `generator` draws the initial weights: same seed, same bytes; the global random state is not touched.
    Source: Karras et al. 2020a; conditioning as in Karras et al. 2020b, appendix.
    """

    def __init__(self, config: NetworkConfig, *, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.synthesis = Synthesis(config, generator=generator)
        self.mapping = Mapping(
            config.z_dim,
            config.num_classes,
            config.w_dim,
            config.mapping_layers,
            self.synthesis.num_ws,
            generator=generator,
        )

    def forward(
        self,
        z: Tensor,
        c: Tensor | None,
        psi: float = 1.0,
        noise_mode: NoiseMode = "random",
        generator: torch.Generator | None = None,
        force_float32: bool = False,
    ) -> Tensor:
        """z: [N, z_dim] from N(0, 1). c: one-hot [N, K]. psi: as in `Mapping`. The others: as in `Synthesis`.

        Returns img [N, 3, H, W], about [-1, 1], unclamped.
        """
        img: Tensor = self.synthesis(self.mapping(z, c, psi), noise_mode, generator, force_float32)
        return img
