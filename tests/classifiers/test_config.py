"""A training's options are refused where they cannot work."""

from typing import Any

import pytest

from classifiers.config import FitConfig

CANNOT_WORK: dict[str, Any] = {
    "num_steps": 0,
    "batch": 1,
    "optimizer": "adam",
    "body_learning_rate": 0.0,
    "ema": 1.0,
    "mixup": -1.0,
    "cutmix": float("inf"),
    "class_balance": "both",
    "precision": "float16",
    "seed": -1,
    "learning_rate": float("nan"),
    "warmup": 1.0,
    "weight_decay": -0.1,
    "label_smoothing": 1.0,
    "grad_clip": 0.0,
    "classical_augmentation": "heavy",
    "eval_every": 0,
    "select": "first",
}


@pytest.mark.parametrize("field", CANNOT_WORK)
def test_config_refuses_what_cannot_work(field: str) -> None:
    with pytest.raises(ValueError, match=r"; expected "):
        FitConfig(**{field: CANNOT_WORK[field]})


def test_a_frozen_body_has_no_learning_rate() -> None:
    with pytest.raises(ValueError, match=r"a frozen body with the learning rate 0.1"):
        FitConfig(freeze_body=True, body_learning_rate=0.1)
