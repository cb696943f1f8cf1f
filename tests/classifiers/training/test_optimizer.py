"""Each weight moves as fast as its group, the averaged weights follow, and torch's generators stay where they were."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from classifiers.config import FitConfig, OptimizerName, Selection
from classifiers.fit import Training, fit
from classifiers.registry import build_seeded
from classifiers.training.optimizer import (
    AveragedModel,
    Randomness,
    learning_rate_factor,
    make_optimizer,
    set_learning_rate,
)

CONFIG = FitConfig(num_steps=3, batch=4, eval_every=1, classical_augmentation="none", label_smoothing=0.0)


class Net(nn.Module):
    """A body with statistics and dropout, and a head."""

    backbones = ("body",)

    def __init__(self, parts: tuple[str, ...] = ("body",)) -> None:
        super().__init__()
        self.num_classes, self.pretrained_parts = 2, parts
        self.body = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.Dropout(0.5))
        self.classify = nn.Linear(4, 2)
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.body(x).mean((2, 3)))
        return logits


def images(n: int = 12) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8), np.arange(n, dtype=np.int64) % 2


def state_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


# ---- groups ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_the_optimizer_is_torchs_own_with_its_schedule(name: OptimizerName) -> None:
    config = replace(CONFIG, optimizer=name, learning_rate=0.1, grad_clip=1e9, num_steps=4)
    ours, theirs = nn.Linear(3, 2, bias=False), nn.Linear(3, 2, bias=False)
    theirs.load_state_dict(ours.state_dict())
    peer: torch.optim.Optimizer = torch.optim.AdamW(theirs.parameters(), lr=0.1, weight_decay=0.05)
    if name == "sgd":
        peer = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9, weight_decay=0.05)
    optimizer = make_optimizer(ours, config)
    schedule = torch.optim.lr_scheduler.LambdaLR(peer, lambda step: learning_rate_factor(step, config))
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    for step in range(4):
        set_learning_rate(optimizer, step, config)
        for model, its_optimizer in ((ours, optimizer), (theirs, peer)):
            its_optimizer.zero_grad()
            torch.autograd.backward(model(x).square().mean())
            its_optimizer.step()
        schedule.step()
        assert torch.equal(ours.weight, theirs.weight)


def test_pretrained_layers_have_their_own_learning_rate_and_biases_and_norms_no_decay() -> None:
    groups = make_optimizer(Net(), replace(CONFIG, body_learning_rate=1e-4)).param_groups
    found = [(group["peak"], group["weight_decay"], len(group["params"])) for group in groups]
    assert found == [(1e-4, 0.05, 1), (1e-4, 0.0, 3), (3e-3, 0.05, 1), (3e-3, 0.0, 1)]
    groups = make_optimizer(Net(), CONFIG).param_groups
    assert [group["peak"] for group in groups] == [3e-3] * 4


def test_a_model_without_pretrained_parts_has_no_body() -> None:
    ends = []
    for rate in (None, 1e-6):
        model = Net(parts=())
        fit(model, *images(), config=replace(CONFIG, body_learning_rate=rate))
        ends.append(state_of(model))
    assert same(*ends)
    with pytest.raises(ValueError, match="a frozen body in a model without pretrained parts"):
        Training(Net(parts=()), *images(), config=replace(CONFIG, freeze_body=True))


def test_a_slow_body_moves_less_than_the_head() -> None:
    model = Net()
    before = state_of(model)
    fit(model, *images(), config=replace(CONFIG, body_learning_rate=1e-6))
    moved = {name: (value - before[name]).abs().max().item() for name, value in model.named_parameters()}
    assert 0 < moved["body.1.weight"] < 1e-4 < moved["classify.weight"]


def test_a_frozen_body_keeps_its_bytes_and_drops_nothing_whoever_predicts_in_between() -> None:
    model = Net()
    before = state_of(model)
    training = Training(model, *images(), val=images(4), config=replace(CONFIG, freeze_body=True))
    for _ in training.records():
        model.train()  # as a caller might
    training.result()
    after = state_of(model)
    assert same(
        {name: value for name, value in before.items() if name.startswith("body")},
        {name: value for name, value in after.items() if name.startswith("body")},
    )
    assert not torch.equal(before["classify.weight"], after["classify.weight"])
    assert all(parameter.requires_grad for parameter in model.parameters()), "free again"


def test_weights_from_a_file_are_the_body(tmp_path: Path) -> None:
    donor = build_seeded("resvit_gannet_small", 4, 1)
    torch.save(donor.state_dict(), tmp_path / "all.pth")
    torch.save(donor.get_submodule("cnn").state_dict(), tmp_path / "cnn.pth")
    parts = [
        getattr(build_seeded("resvit_gannet_small", 4, 2, weights=path), "pretrained_parts", ())
        for path in (None, tmp_path / "all.pth", tmp_path / "cnn.pth")
    ]
    assert parts == [(), ("cnn", "vit"), ("cnn",)]


# ---- averages --------------------------------------------------------------------------------------------------------


def test_the_average_follows_its_closed_form_and_copies_the_statistics() -> None:
    model = Net()
    average = AveragedModel(model, decay=0.3)
    expected = model.classify.weight.detach().clone()
    for step in range(1, 9):
        with torch.no_grad():
            model.classify.weight.fill_(step)
            model.get_buffer("body.0.running_mean").fill_(step)
        average.update(model, step)
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        torch.testing.assert_close(average.model.get_parameter("classify.weight"), expected)
        assert torch.equal(average.model.get_buffer("body.0.running_mean"), torch.full((3,), float(step)))


@pytest.mark.parametrize("select", ["best", "last"])
def test_averaged_weights_are_the_ones_that_are_judged_and_kept(select: Selection) -> None:
    config = replace(CONFIG, ema=0.9, select=select, learning_rate=0.1)
    plain, model = Net(), Net()
    fit(plain, *images(), config=replace(config, ema=0.0))
    training = Training(model, *images(), val=images(8), config=config)
    *_, last = training.records()
    assert training.average is not None
    averaged, raw = state_of(training.average.model), state_of(model)
    assert same(raw, state_of(plain)), "the average has no part in the steps"
    result = training.result()
    assert not same(raw, state_of(model))
    if select == "last" or result.best_step == last.step:
        assert same(averaged, state_of(model))


# ---- the rest --------------------------------------------------------------------------------------------------------


def test_what_is_drawn_inside_leaves_the_global_generator_and_goes_on_where_it_stopped() -> None:
    torch.manual_seed(5)
    straight = torch.rand(4)
    torch.manual_seed(1)
    before, randomness, pieces = torch.random.get_rng_state(), Randomness(5, torch.device("cpu")), []
    for _ in range(2):
        with randomness.drawing():
            pieces.append(torch.rand(2))
    assert torch.equal(torch.cat(pieces), straight)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_half_precision_learns_and_leaves_float32_weights() -> None:
    model, full = Net(), Net()
    result = fit(model, *images(), config=replace(CONFIG, precision="bfloat16"))
    expected = fit(full, *images(), config=CONFIG)
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    losses = [[row["train_loss"] for row in history] for history in (result.history, expected.history)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.05)
    assert losses[0] != losses[1]
