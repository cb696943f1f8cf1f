"""What a run reports: overfitting shows, and scores order generators."""

from dataclasses import replace
from typing import cast

import pytest
import torch

from ganaug.config import GanConfig, NetworkConfig
from ganaug.data.dataset import DataSet
from ganaug.errors import ConfigError, WeightsError
from ganaug.evaluate.extractors.extractor import Extractor
from ganaug.model.discriminator import Discriminator
from ganaug.model.pixels import from_pixels
from ganaug.train.distributed.process_group import ProcessGroup
from ganaug.train.loop import train_gan
from ganaug.train.monitoring.monitor import Monitor
from ganaug.train.state import new_state
from ganaug.train.task import Task, plan_training
from ganaug.workspace import Workspace, read_jsonl

NETWORK = NetworkConfig(16, 4, z_dim=16, w_dim=16, channel_base=128, channel_max=16)
CONFIG = GanConfig(NETWORK, total_kimg=0.064, batch=8, r1_interval=2, pl_weight=0.0, ada_pipeline="blit", ada_kimg=0.1)


@pytest.fixture
def task(workspace: Workspace, tiny: DataSet) -> Task:
    return plan_training(workspace, tiny, 0, CONFIG)


def test_a_line_of_stats_has_losses_ada_overfitting_speed_and_memory(task: Task) -> None:
    (line,) = read_jsonl(train_gan(task).stats)
    names = {"loss_g", "loss_d", "r1", "p", "real_signs", "train_logits", "val_logits", "fake_logits"}
    assert names | {"sec_per_kimg", "memory_mib", "kimg"} <= line.keys()
    assert -1 <= line["real_signs"] <= 1
    assert 0 <= line["p"] <= 1
    assert line["memory_mib"] > 50


def test_a_discriminator_that_knows_its_training_images_shows(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    state, monitor = new_state(CONFIG, ProcessGroup()), Monitor(task)
    known = from_pixels(task.dataset.images(0)[task.dataset.train(0)])

    class ByHeart(torch.nn.Module):
        def forward(self, img: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[1.0 if any(torch.equal(shown, other) for other in known) else -1.0] for shown in img])

    state.trainer.networks = replace(state.trainer.networks, D=cast(Discriminator, ByHeart()))
    assert monitor.logits(state) == {"train_logits": 1.0, "val_logits": -1.0}


def test_p_follows_the_controller_and_a_fixed_probability_stays(
    task: Task, workspace: Workspace, tiny: DataSet
) -> None:
    state = new_state(CONFIG, ProcessGroup())
    assert state.p == 0
    state.ada.p = 0.3
    assert state.p == 0.3
    assert new_state(replace(CONFIG, ada_p=0.7), ProcessGroup()).p == 0.7
    off = new_state(replace(CONFIG, ada_pipeline="none"), ProcessGroup())
    off.ada.p = 0.3
    assert off.p == 0


def plain_features(images: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.adaptive_avg_pool2d(images.float() / 255, 2).flatten(1)


def test_scores_put_the_training_images_before_noise(task: Task) -> None:
    monitor, state = Monitor(task), new_state(CONFIG, ProcessGroup())
    vars(monitor)["extractor"] = Extractor("plain", "0", "means of quarters", plain_features)
    real = from_pixels(task.dataset.images(0)[monitor._scored])
    shown: list[int] = []

    def copies(z: torch.Tensor, c: torch.Tensor, **_: object) -> torch.Tensor:
        shown.append(len(z))
        return real[sum(shown) - len(z) : sum(shown)]

    def noise(z: torch.Tensor, c: torch.Tensor, **_: object) -> torch.Tensor:
        return torch.randn(len(z), 3, 16, 16, generator=torch.Generator().manual_seed(0))

    exact, noisy = monitor.score_of(copies, state), monitor.score_of(noise, state)
    assert exact.score == pytest.approx(0, abs=1e-6)
    assert noisy.score > 0.01
    assert noisy.kernel is not None
    assert exact.kernel is not None
    assert noisy.kernel > 10 * abs(exact.kernel)
    # What repeats the training images is as far from validation patients as the training images are.
    assert exact.val_score == pytest.approx(exact.val_floor)
    assert exact.val_kernel == pytest.approx(exact.val_kernel_floor)
    assert noisy.val_score is not None
    assert exact.val_floor is not None
    assert noisy.val_score > exact.val_floor
    assert noisy.val_floor == exact.val_floor


def test_a_score_without_its_weights_is_refused(task: Task) -> None:
    config = replace(CONFIG, extractor="inception", total_kimg=0.008)
    with pytest.raises(WeightsError):
        train_gan(replace(task, config=config))


# ---- who judges ----

PROJECTED = replace(CONFIG, discriminator="projected", r1_gamma=0.0)


def test_a_generator_is_judged_by_another_network_than_its_teacher(workspace: Workspace, tiny: DataSet) -> None:
    chosen = {
        name: Monitor(plan_training(workspace, tiny, 0, replace(config, extractor="auto"))).extractor
        for name, config in (("stylegan2", CONFIG), ("projected", PROJECTED))
    }
    names = {name: extractor.name for name, extractor in chosen.items() if extractor}
    assert names["stylegan2"].startswith("efficientnet-lite0")
    assert names["projected"].startswith("efficientnet-lite1")


def test_the_teacher_is_refused_as_a_judge_before_anything_is_trained(workspace: Workspace, tiny: DataSet) -> None:
    task = plan_training(workspace, tiny, 0, replace(PROJECTED, extractor="efficientnet_lite0"))
    with pytest.raises(ConfigError, match="efficientnet_lite0 served this generator as the discriminator"):
        train_gan(task)
    assert not task.run.states()


def test_scores_say_how_often_a_classifier_of_validation_patients_names_the_class_asked_for(
    workspace: Workspace, tiny: DataSet
) -> None:
    run = train_gan(plan_training(workspace, tiny, 0, replace(CONFIG, extractor="pixels_pca")))
    (row,) = read_jsonl(run.scores)
    for name in ("agreement", "agreement_floor"):
        assert 0 <= row[name] <= 1
