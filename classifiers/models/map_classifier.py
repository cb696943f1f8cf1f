"""The interface of the classifiers that end in one map of features: its mean and a linear layer."""

from dataclasses import dataclass

from torch import Tensor, nn

from classifiers.models.backbones import IMAGENET_MEAN, IMAGENET_STD, Normalise, resize

MIN_SIDE_PX = 32  # the stride of the full models, at which their last map is a single position


@dataclass(frozen=True)
class MapConfig:
    """What all of them share; the defaults are those of the published weights."""

    image_size_px: int = 224
    dropout: float = 0.0  # before the last layer

    def __post_init__(self) -> None:
        if self.image_size_px < MIN_SIDE_PX:
            raise ValueError(
                f"image size {self.image_size_px} px; expected at least {MIN_SIDE_PX} px; resize the images to that"
            )


class MapClassifier(nn.Module):
    """Images to class logits through `body`, whose last map is averaged, and a linear layer.

    Input float [N,3,H,W] in [0,1], resized to `config.image_size_px` where it has another size; output [N,num_classes].
    """

    backbones = ("body",)

    def __init__(self, body: nn.Module, num_features: int, num_classes: int, config: MapConfig) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)
        self.body = body
        self.dropout = nn.Dropout(config.dropout)
        self.classify = nn.Linear(num_features, num_classes)

    def last_map(self, x: Tensor) -> Tensor:
        """x float [N,3,H,W], normalised, to the last map [N,C,H/stride,W/stride]."""
        last_map: Tensor = self.body(x)
        return last_map

    def pool(self, last_map: Tensor) -> Tensor:
        """The last map [N,C,h,w] to features [N,D]."""
        return last_map.mean(dim=(2, 3))

    def features(self, x: Tensor) -> Tensor:
        """The input of the last layer, [N,D]."""
        return self.pool(self.last_map(self.normalise(resize(x, self.config.image_size_px))))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.dropout(self.features(x)))
        return logits
