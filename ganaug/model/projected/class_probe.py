"""A linear probe of the class, on what the projected discriminator sees of an image."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classifiers.probe import ProbeConfig, fit_probe

PENALTY = ProbeConfig(penalties=(1.0,), num_iterations=100)  # strong, as a few hundred images teach 512 weights
SMALLEST_VARIANCE = 1e-8  # without which the gradient of a constant map would be infinite


class ClassProbe(nn.Module):
    """How surely images show their class, by a linear probe on means and standard deviations of maps.

    `fit` teaches it the classes of the real training images; it is never trained further, and before that it asks for
    nothing. What it knows is no part of a state: the same images teach it the same again.
    Our choice: projection heads ask whether an image is real given its class, which a generator of few images answers
    by leaving the rarer forms out. What is asked for here is the margin of real images and no more, as classes that
    show more than real ones do would mislead a classifier.
    """

    weight: Tensor
    bias: Tensor
    usual: Tensor

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        usual = torch.full((num_classes,), -torch.inf)  # the mean margin of real images, by class
        self.register_buffer("weight", torch.zeros(num_classes, num_features), persistent=False)
        self.register_buffer("bias", torch.zeros(num_classes), persistent=False)
        self.register_buffer("usual", usual, persistent=False)

    def fit(self, features: Tensor, label: Tensor) -> None:
        """Learn from real images, features [N, D] of `summarize` with their classes i64 [N], at least one of each."""
        rows, classes = features.float().cpu().numpy(), label.cpu().numpy()
        num_classes = len(self.bias)
        # with one penalty there is nothing to choose on validation images
        probe = fit_probe(
            rows, classes, val=(rows[None, :1], classes[:1]), num_classes=num_classes, config=PENALTY
        ).probe
        with torch.no_grad():
            weight, bias = probe.fold(probe.classify.weight, probe.classify.bias)
            self.weight.copy_(weight)
            self.bias.copy_(bias)
            margins = self.margins(features, F.one_hot(label, num_classes).to(features.dtype))
            self.usual.copy_(torch.stack([margins[label == k].mean() for k in range(num_classes)]))

    def margins(self, features: Tensor, c: Tensor) -> Tensor:
        """The log odds [N] of each image's class against all others. features: [N, D]. c: one-hot [N, K]."""
        logits = F.linear(features, self.weight, self.bias)
        own = c.argmax(1, keepdim=True)
        others = logits.scatter(1, own, -torch.inf).logsumexp(1)
        return logits.gather(1, own)[:, 0] - others

    def shortfall(self, features: Tensor, c: Tensor) -> Tensor:
        """By how much the margins fall short of the usual ones of their classes, a mean over the images.

        c: [N, K]; rows between one-hot and uniform, as in a class transition, count by the part that is one-hot.
        """
        lacking = F.relu(self.usual[c.argmax(1)] - self.margins(features, c))
        return ((c.amax(1) - c.amin(1)) * lacking).mean()


def summarize(maps: Sequence[Tensor]) -> Tensor:
    """The mean and standard deviation of every channel of maps [N, C, H, W] over their places: [N, D]."""
    means = [x.mean(dim=(2, 3)) for x in maps]
    stds = [(x.var(dim=(2, 3), correction=0) + SMALLEST_VARIANCE).sqrt() for x in maps]
    return torch.cat([*means, *stds], dim=1)
