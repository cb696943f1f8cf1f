"""The controller of adaptive augmentation: more of it while the discriminator overfits, less while it does not."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor


def _identity(total: Tensor) -> Tensor:
    return total


@dataclass
class AdaController:
    """Moves p by a fixed step towards where the heuristic r = E[sign D(real)] meets its target.

    r is 0 without overfitting and 1 where the discriminator knows every real image. The paper limits p from below
    only, at 0; our choice is to limit it to 1 as well, as a probability cannot be more and would only come down late.
    Source: Karras et al. 2020b, section 3.
    """

    p: float = 0.0
    target: float = 0.6  # of r
    speed_kimg: float = 500.0  # thousands of real images in which p goes from 0 to 1
    interval: int = 4  # iterations between two updates
    reduce: Callable[[Tensor], Tensor] = _identity  # sums a tensor over all processes
    heuristic: float = 0.0  # r at the last update
    _seen: Tensor = field(default_factory=lambda: torch.zeros(2), repr=False)  # sum of the signs, and their number

    def observe(self, real_logits: Tensor) -> None:
        """Count the signs of the discriminator's outputs on augmented real images; waits for no device."""
        signs = real_logits.detach().sign().float()
        self._seen = self._seen.to(signs.device) + torch.stack([signs.sum(), torch.ones_like(signs).sum()])

    def update(self, batch: int) -> float:
        """Move p and forget what was observed; to be called every `interval` iterations, by all processes together.

        batch: real images per iteration, over all processes. Returns the new p; the old one where nothing was observed.
        """
        signs, count = self.reduce(self._seen).tolist()
        self._seen = torch.zeros_like(self._seen)
        if count > 0:
            self.heuristic = signs / count
            step = batch * self.interval / (self.speed_kimg * 1000)
            direction = (self.heuristic > self.target) - (self.heuristic < self.target)
            self.p = min(max(self.p + direction * step, 0.0), 1.0)
        return self.p

    def state(self) -> dict[str, float]:
        """The state to resume from, summed over all processes, which call this together."""
        signs, count = self.reduce(self._seen).tolist()
        return {"p": self.p, "heuristic": self.heuristic, "signs": signs, "count": count}

    def load(self, state: dict[str, float], is_first: bool = True) -> None:
        """Resume from a state; only the first process continues its sums, so that they count once in any world size."""
        self.p, self.heuristic = state["p"], state["heuristic"]
        seen = [state["signs"], state["count"]] if is_first else [0.0, 0.0]
        self._seen = torch.tensor(seen, device=self._seen.device)
