"""A linear probe: multinomial logistic regression on frozen features, its L2 penalty chosen on validation images."""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from classifiers.scores import Labels

FEWEST_DIGITS = 1e-4  # a feature whose standard deviation is a smaller fraction of its mean is taken for constant
TOLERANCE = 1e-4  # of the gradient, at which iterations end early: scikit-learn's default
Features = NDArray[np.float32]


@dataclass(frozen=True)
class ProbeConfig:
    """The effort of one probe: the same grid and the same limit of iterations, whatever the number of images.

    A penalty p adds p/2 · Σ w² to the mean cross-entropy, so that it means the same for n images and for 2 n. The
    iterations per penalty are few, as each begins where the stronger penalty before it ended (our choice: 20; in 15
    fits to the phantom's EfficientNet features they lost 0.0004 of validation loss to 500 on average, 0.010 at most).
    So are the penalties (our choice: 5; in 15 such fits on 1680 images 7 in the same range gave 0.0002 less validation
    loss, the same balanced accuracy, and took twice as long).
    """

    penalties: tuple[float, ...] = (1.0, 0.2, 0.03, 0.006, 0.001)  # L2, from strong to weak
    num_iterations: int = 20  # of L-BFGS at most, for each penalty

    def __post_init__(self) -> None:
        falling = all(a > b for a, b in zip(self.penalties, self.penalties[1:], strict=False))
        if not (self.penalties and falling and self.penalties[-1] > 0 and self.penalties[0] < math.inf):
            raise ValueError(f"penalties {self.penalties}; expected positive numbers from strong to weak")
        if self.num_iterations < 1:
            raise ValueError(f"{self.num_iterations} iterations; expected at least 1")

    @property
    def num_steps(self) -> int:
        """Iterations of L-BFGS over the whole grid, at most."""
        return len(self.penalties) * self.num_iterations


class LinearProbe(nn.Module):
    """Features [N,D] standardised by the training rows, and a linear layer `classify`: logits [N,num_classes]."""

    mean: Tensor
    std: Tensor

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("std", torch.ones(num_features))
        self.classify = nn.Linear(num_features, num_classes)
        nn.init.zeros_(self.classify.weight)
        nn.init.zeros_(self.classify.bias)

    def standardise(self, features: Tensor) -> Tensor:
        return (features - self.mean).div_(self.std)

    def forward(self, features: Tensor) -> Tensor:
        return nn.functional.linear(features, *self.fold(self.classify.weight, self.classify.bias))

    def fold(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """A layer over standardised features as one over features as they come, which saves a copy of them."""
        scaled = weight / self.std
        return scaled, bias - scaled @ self.mean


@dataclass(frozen=True)
class ProbeResult:
    """A probe with the penalty of the lowest validation loss, the stronger one on a tie."""

    probe: LinearProbe
    penalty: float
    history: list[dict[str, float]]  # step (iterations granted so far), penalty, num_iterations, val_loss, val_accuracy
    best_step: int  # of the row that was chosen


def fit_probe(
    features: Features, labels: Labels, *, val: tuple[Features, Labels], num_classes: int, config: ProbeConfig
) -> ProbeResult:
    """Fit a probe to features f32 [n,D] with labels i64 [n], by L-BFGS in float32 on one thread.

    val: features f32 [V,m,D], V views of each image whose probabilities are averaged, and labels i64 [m]. The intercept
    is not penalised; of two classes the logits are ±z/2, the same regression. The same input gives the same bytes.

    Raises ValueError where features or labels do not fit each other, where a class has no training row, and for NaN.

    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(40) % 2
    >>> features = (rng.normal(size=(40, 3)) + 4 * labels[:, None]).astype(np.float32)
    >>> result = fit_probe(features, labels, val=(features[None], labels), num_classes=2, config=ProbeConfig())
    >>> result.history[-1]["val_accuracy"]
    1.0
    """
    from threadpoolctl import threadpool_limits

    _check("training", features, labels, "[n,D]", num_classes)
    _check("validation", *val, "[V,m,D]", num_classes)
    absent = sorted(set(range(num_classes)) - set(np.unique(labels).tolist()))
    if absent:
        raise ValueError(f"class {absent[0]} has no training image; expected at least one of each; use other folds")
    probe = LinearProbe(features.shape[1], num_classes)
    with threadpool_limits(1), torch.inference_mode():
        rows = torch.from_numpy(features)
        std, mean = torch.std_mean(rows, dim=0, correction=0)
        is_constant = std <= FEWEST_DIGITS * mean.abs()
        probe.mean.copy_(mean)
        probe.std.copy_(torch.where(is_constant, 1.0, std))
        layers, history = _follow_path(probe.standardise(rows).numpy(), labels, config)
        for row, scores in zip(history, _validate(probe, layers, val), strict=True):
            row |= scores
    best = min(range(len(history)), key=lambda row: history[row]["val_loss"])  # the first of equals
    _set_layer(probe, *layers[best])
    return ProbeResult(probe.eval(), config.penalties[best], history, (best + 1) * config.num_iterations)


Layer = tuple[NDArray[np.float32], NDArray[np.float32]]  # weight [K,D] and bias [K]


def _follow_path(rows: Features, labels: Labels, config: ProbeConfig) -> tuple[list[Layer], list[dict[str, float]]]:
    """Fit penalty after penalty, each from the last one's solution: a layer and a row of the history for each."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    regression = LogisticRegression(warm_start=True, max_iter=config.num_iterations, tol=TOLERANCE)
    layers, history = [], []
    for number, penalty in enumerate(config.penalties, start=1):
        regression.set_params(C=1 / (penalty * len(rows)))  # scikit-learn's C weighs the sum of the losses
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the effort is fixed
            regression.fit(rows, labels)
        layers.append(_both_classes(regression.coef_, regression.intercept_))
        taken = float(regression.n_iter_.max())
        history.append({"step": float(number * config.num_iterations), "penalty": penalty, "num_iterations": taken})
    return layers, history


def _validate(probe: LinearProbe, layers: list[Layer], val: tuple[Features, Labels]) -> Iterator[dict[str, float]]:
    """Loss and accuracy of each layer on the validation images, in one pass over their features."""
    truth = torch.from_numpy(val[1])
    weights, biases = (torch.from_numpy(np.concatenate(parts)) for parts in zip(*layers, strict=True))
    logits = nn.functional.linear(torch.from_numpy(val[0]), *probe.fold(weights, biases))
    for own in torch.split(logits, probe.num_classes, dim=2):
        log_probs = mean_log_probs(own)
        yield {
            "val_loss": nn.functional.nll_loss(log_probs.double(), truth).item(),
            "val_accuracy": (log_probs.argmax(1) == truth).float().mean().item(),
        }


def mean_log_probs(logits: Tensor) -> Tensor:
    """The logarithm of the mean probabilities [N,K] of V views, from logits [V,N,K]; these are logits themselves."""
    return logits.log_softmax(2).logsumexp(0) - math.log(len(logits))


def _both_classes(weight: NDArray[np.float32], bias: NDArray[np.float32]) -> Layer:
    """A layer with a row per class; scikit-learn has a single one, of the second class, where there are two."""
    if len(weight) > 1:
        return weight.copy(), bias.copy()
    return np.concatenate([-weight / 2, weight / 2]), np.concatenate([-bias / 2, bias / 2])


def _set_layer(probe: LinearProbe, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
    with torch.no_grad():
        probe.classify.weight.copy_(torch.from_numpy(weight))
        probe.classify.bias.copy_(torch.from_numpy(bias))


def _check(role: str, features: Features, labels: Labels, shape: str, num_classes: int) -> None:
    if features.dtype != np.float32 or features.ndim != shape.count(",") + 1 or not features.size:
        raise ValueError(f"{role} features {features.dtype} {list(features.shape)}; expected float32 {shape}")
    if labels.dtype != np.int64 or labels.shape != features.shape[-2:-1]:
        raise ValueError(
            f"{features.shape[-2]} {role} rows with labels {labels.dtype} {list(labels.shape)}; expected an int64 each"
        )
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(f"{role} labels run from {labels.min()} to {labels.max()}; expected 0 to {num_classes - 1}")
    if not math.isfinite(torch.from_numpy(features).sum()):
        raise ValueError(f"{role} features hold NaN or infinity; expected finite numbers; check the extractor")
