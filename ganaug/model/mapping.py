"""The mapping network: a latent and a class to the style vector w, and w to the styles of all layers."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from ganaug.errors import ConfigError
from ganaug.model.layers import FullyConnected, normalize_second_moment

W_AVG_BETA = 0.995  # decay of the running mean of w per update


class StyleTrunk(nn.Module):
    """Embed the class, join it with the latent and map both to w [N, w_dim].

    The latent and the embedded class are each scaled to unit second moment. `z_dim` 0 leaves the latent out,
    `num_classes` 1 the class. Source: Karras et al. 2020a, section 2; 2020b, appendix.
    """

    def __init__(
        self, z_dim: int, num_classes: int, w_dim: int, num_layers: int, *, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.z_dim, self.num_classes = z_dim, num_classes
        if self.uses_c:
            self.embed = FullyConnected(num_classes, w_dim, generator=generator)
        widths = [z_dim + (w_dim if self.uses_c else 0)] + [w_dim] * num_layers
        self.layers = nn.ModuleList(
            FullyConnected(num_in, num_out, generator=generator, activation="lrelu", lr_multiplier=0.01)
            for num_in, num_out in pairwise(widths)
        )

    @property
    def uses_c(self) -> bool:
        return self.num_classes > 1

    def forward(self, z: Tensor | None, c: Tensor | None) -> Tensor:
        """z: [N, z_dim]. c: one-hot [N, K]. An input that the network leaves out is ignored. Raises
        ConfigError where a shape is wrong.
        """
        parts = []
        if self.z_dim > 0:
            parts.append(normalize_second_moment(_require_columns("latents z", z, self.z_dim)))
        if self.uses_c:
            parts.append(
                normalize_second_moment(self.embed(_require_columns("one-hot classes c", c, self.num_classes)))
            )
        w = torch.cat(parts, dim=1)
        for layer in self.layers:
            w = layer(w)
        return w


def _require_columns(name: str, value: Tensor | None, num_columns: int) -> Tensor:
    if value is None or value.ndim != 2 or value.shape[1] != num_columns:
        seen = "nothing" if value is None else f"shape {list(value.shape)}"
        raise ConfigError(f"{name}: {seen}", expected=f"[N, {num_columns}]")
    return value


class Mapping(nn.Module):
    """The generator's mapping network with its running mean of w, the centre of truncation."""

    w_avg: Tensor

    def __init__(
        self, z_dim: int, num_classes: int, w_dim: int, num_layers: int, num_ws: int, *, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.num_ws = num_ws
        self.trunk = StyleTrunk(z_dim, num_classes, w_dim, num_layers, generator=generator)
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor, c: Tensor | None, psi: float = 1.0) -> Tensor:
        """z: [N, z_dim]. c: one-hot [N, K], ignored for one class. psi: 1 is no truncation, 0 the mean w.

        Returns ws [N, L, w_dim], the same w for every layer.
        """
        w: Tensor = self.trunk(z, c)
        if psi != 1:
            w = self.w_avg.lerp(w, psi)
        return w[:, None, :].expand(-1, self.num_ws, -1)

    @torch.no_grad()
    def update_w_avg(self, ws: Tensor) -> None:
        """Move the running mean towards the batch's mean by 1 − W_AVG_BETA; training alone calls this."""
        self.w_avg.copy_(ws[:, 0].detach().mean(dim=0).lerp(self.w_avg, W_AVG_BETA))
