"""The averaged generator against closed forms."""

import pytest
import torch

from ganaug.train.networks import ema_beta, update_ema


def models() -> tuple[torch.nn.BatchNorm1d, torch.nn.BatchNorm1d]:
    ema, model = torch.nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3)
    with torch.no_grad():
        model.weight.fill_(5.0)
        running_mean(model).fill_(7.0)
    return ema.requires_grad_(False), model


def running_mean(model: torch.nn.BatchNorm1d) -> torch.Tensor:
    assert model.running_mean is not None
    return model.running_mean


def test_half_the_distance_is_left_after_the_half_life() -> None:
    ema, model = models()
    for _ in range(10):
        update_ema(ema, model, batch=100, nimg_seen=10**9, ema_kimg=1.0)
    torch.testing.assert_close(ema.weight, torch.full((3,), 5 - 4 * 0.5))


def test_rampup_shortens_the_half_life_of_a_young_run() -> None:
    assert ema_beta(batch=16, nimg_seen=3200, ema_kimg=10, rampup=0.05) == pytest.approx(0.5 ** (16 / 160))
    assert ema_beta(batch=16, nimg_seen=10**7, ema_kimg=10, rampup=0.05) == pytest.approx(0.5 ** (16 / 10000))


def test_first_update_copies_the_model_and_buffers_are_always_copied() -> None:
    ema, model = models()
    update_ema(ema, model, batch=16, nimg_seen=0)
    assert torch.equal(ema.weight, model.weight)
    with torch.no_grad():
        running_mean(model).fill_(9.0)
    update_ema(ema, model, batch=16, nimg_seen=10**9)
    assert torch.equal(running_mean(ema), torch.full((3,), 9.0))
