"""Any model of timm behind the interface of our classifiers, under the name `timm:<name>`."""

from typing import Any

from torch import Tensor, nn

from classifiers.models.backbones import Normalise, resize


class TimmClassifier(nn.Module):
    """A timm model without its head, and a linear layer over its features.

    Input float [N,3,H,W] in [0,1], resized and normalised as timm's card of that model says; output [N,num_classes].
    `options` are timm's own, for a body of another shape than the published one.

    Raises ValueError where timm has no model of that name.
    """

    backbones = ("body",)

    def __init__(self, name: str, num_classes: int, **options: Any) -> None:
        import timm

        super().__init__()
        if not timm.is_model(name):
            raise ValueError(
                f"timm has no model {name!r}; expected a name that timm.list_models() gives; "
                "list them: python -c 'import timm; print(timm.list_models())'"
            )
        self.num_classes = num_classes
        body: Any = timm.create_model(name, pretrained=False, num_classes=0, **options)
        card = body.pretrained_cfg
        self.body = body
        self.image_size_px: int = card["input_size"][-1]
        self.normalise = Normalise(card["mean"], card["std"])
        self.classify = nn.Linear(body.head_hidden_size, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """The input of the last layer, [N,D], D as timm's model has it."""
        features: Tensor = self.body(self.normalise(resize(x, self.image_size_px)))
        return features

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.features(x))
        return logits
