"""A training that was stopped goes on to the same bytes."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from classifiers.config import FitConfig
from classifiers.fit import FitRecord, Training
from classifiers.registry import build_seeded
from classifiers.training.state import TrainingState

CONFIG = FitConfig(num_steps=5, batch=4, eval_every=2, label_smoothing=0.1)
OPTIONS: dict[str, dict[str, Any]] = {
    "AdamW, dropout": {},
    "EMA, MixUp, CutMix": {"ema": 0.9, "mixup": 0.4, "cutmix": 1.0},
    "SGD, strong, weights": {"optimizer": "sgd", "classical_augmentation": "strong", "class_balance": "weights"},
    "sampler, last, EMA": {"class_balance": "sampler", "select": "last", "ema": 0.5},
}


def images(n: int = 12, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8), rng.integers(0, 2, n)


class Net(nn.Module):
    """The smallest model with statistics and dropout."""

    def __init__(self, seed: int, width: int = 4) -> None:
        super().__init__()
        self.num_classes = 2
        self.norm, self.dropout, self.classify = nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Linear(width, 2)
        self.conv = nn.Conv2d(3, width, 3)
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.dropout(self.conv(self.norm(x)).relu().mean((2, 3))))
        return logits


def start(config: FitConfig, seed: int = 0, model: nn.Module | None = None) -> Training:
    return Training(model or Net(seed), *images(), val=images(6, seed=1), config=config)


def through_files(state: TrainingState, folder: Path) -> TrainingState:
    save_file(state.tensors, folder / "state.safetensors")
    (folder / "state.json").write_text(json.dumps(state.values, allow_nan=False))
    return TrainingState(load_file(folder / "state.safetensors"), json.loads((folder / "state.json").read_text()))


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def values_but_time(state: TrainingState) -> dict[str, Any]:
    return {name: value for name, value in state.values.items() if name != "seconds"}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_training_stopped_after_any_step_ends_with_the_same_bytes(options: dict[str, Any], tmp_path: Path) -> None:
    config = replace(CONFIG, **options)
    whole = start(config)
    whole_records = list(whole.records())
    whole_state = whole.state()
    whole_result = whole.result()
    assert whole_state.values["step"] == config.num_steps
    for num_steps in range(config.num_steps + 1):
        stopped = start(config)
        records: list[FitRecord | None] = [stopped.step() for _ in range(num_steps)]
        resumed = start(config, seed=7)  # other initial weights, which are replaced
        resumed.resume(through_files(stopped.state(), tmp_path))
        torch.rand(num_steps)  # the global generator is somewhere else by now
        records += resumed.records()
        assert [record for record in records if record is not None] == whole_records
        assert same(resumed.state().tensors, whole_state.tensors)
        assert values_but_time(resumed.state()) == values_but_time(whole_state)
        result = resumed.result()
        assert (result.history, result.best_step) == (whole_result.history, whole_result.best_step)
        assert same(resumed.model.state_dict(), whole.model.state_dict())


@pytest.mark.parametrize("name", ["dalaresnet50_small", "resvit_gannet_small"])
def test_the_small_models_go_on_to_the_same_bytes(name: str) -> None:
    whole, stopped, resumed = (start(CONFIG, model=build_seeded(name, 2, seed, image_size_px=32)) for seed in (0, 0, 1))
    list(whole.records())
    next(stopped.records())
    resumed.resume(stopped.state())
    list(resumed.records())
    assert same(resumed.state().tensors, whole.state().tensors)


def test_dropout_draws_in_this_test() -> None:
    """Else the bytes would be the same for a generator that was not restored."""
    stopped = start(CONFIG)
    stopped.step()
    state = stopped.state()
    ends = []
    for fault in (False, True):
        resumed = start(CONFIG)
        random = torch.Generator().manual_seed(99).get_state() if fault else state.tensors["random.cpu"]
        resumed.resume(TrainingState(state.tensors | {"random.cpu": random}, state.values))
        list(resumed.records())
        ends.append(resumed.model.state_dict())
    assert not same(*ends)


def test_a_state_is_a_copy() -> None:
    training = start(CONFIG)
    training.step()
    state = training.state()
    before = {name: value.clone() for name, value in state.tensors.items()}
    list(training.records())
    assert same(state.tensors, before)
    resumed = start(CONFIG)
    resumed.resume(state)
    list(resumed.records())
    assert same(state.tensors, before)


def test_a_state_of_something_else_is_refused() -> None:
    training = start(CONFIG)
    training.step()
    state = training.state()
    with pytest.raises(ValueError, match=r"num_steps 5; expected 6"):
        start(replace(CONFIG, num_steps=6)).resume(state)
    other = Training(start(CONFIG).model, *images(seed=5), val=images(6, seed=1), config=CONFIG)
    with pytest.raises(ValueError, match="other labels"):
        other.resume(state)
    with pytest.raises(ValueError, match=r"classify.weight as \(2, 4\); expected \(2, 5\) as in this model"):
        start(CONFIG, model=Net(0, width=5)).resume(state)


def test_a_result_is_not_to_be_had_before_the_end_nor_a_step_after_it() -> None:
    training = start(CONFIG)
    training.step()
    with pytest.raises(ValueError, match="1 of 5 steps"):
        training.result()
    list(training.records())
    with pytest.raises(ValueError, match="all 5 steps"):
        training.step()
