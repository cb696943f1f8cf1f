"""A score of synthetic images: one row type for all metrics."""

from dataclasses import asdict, dataclass
from typing import Any

ALL = "all"  # in place of a class: the row over all of them


@dataclass(frozen=True)
class ImageScore:
    """One figure of a class of synthetic images, next to the same figure of real images (its floor).

    A distance depends on the number of images, the Fréchet distance most of all, so `value` means nothing next to a
    figure of other counts. `value_at_half` and `floor` are between equal counts, `n_half` images on each side.
    A figure that could not be had is None, and `note` says why.
    """

    metric: str  # the figure's name, such as FID or frechet[squeezenet1_0-imagenet]
    class_name: str  # or ALL
    value: float | None  # between all real images and the synthetic ones
    low: float | None = None  # 95 % interval of `value`, leaving out patients; None where there is none
    high: float | None = None
    value_std: float | None = None  # standard error of `value` by the metric's own rule; None where it has none
    value_at_half: float | None = None  # between a half of the real images and as many synthetic ones
    floor: float | None = None  # the same figure of real images alone
    floor_low: float | None = None  # holds the floor of one more split with 95 %; of LPIPS an interval by patients
    floor_high: float | None = None
    floor_std: float | None = None  # standard deviation of `floor` over the splits
    ratio: float | None = None  # `value_at_half` / `floor`, of metrics that are read so
    held_out: float | None = None  # between real images of patients the generator did not see and as many synthetic
    held_out_floor: float | None = None  # between the same and as many training images
    p_value: float | None = None  # of the permutation test that permutes whole patients
    n_real: int | None = None
    n_synthetic: int | None = None
    n_half: int | None = None  # mean number of images in a half
    n_held_out: int | None = None  # images on each side of `held_out`
    num_splits: int | None = None  # splits of the real images that `floor` is a mean over; None: it is over all of them
    num_pairs: int | None = None  # random pairs of images that `value` is a mean over
    extractor: str | None = None
    extractor_digest: str | None = None  # SHA-256 of its weights
    question: str = "overall"  # of `ganaug.evaluate.metrics.metric.QUESTIONS`
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON values; a class's name stands under `class`."""
        values = asdict(self)
        return {"metric": values.pop("metric"), "class": values.pop("class_name"), **values}
