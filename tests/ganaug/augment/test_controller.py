"""p goes straight to where the heuristic meets its target, and a resume goes on as if nothing had been."""

import json

import torch
from torch import Tensor

from ganaug.augment.controller import AdaController

ALL_REAL, HALF_REAL = torch.ones(16, 1), torch.tensor([[1.0], [-1.0]] * 8)


def test_p_rises_to_1_in_the_stated_images_and_stays_there() -> None:
    ada = AdaController(speed_kimg=8, interval=4)
    seen = []
    for _ in range(150):  # of 4 iterations of 16 images: 8,000 images are 125
        ada.observe(ALL_REAL)
        seen.append(ada.update(16))
    expected = (torch.arange(1, 151) * 16 * 4 / 8000).clamp(max=1)
    torch.testing.assert_close(torch.tensor(seen), expected)
    assert ada.heuristic == 1


def test_p_falls_to_0_below_the_target_and_stays_there() -> None:
    ada = AdaController(p=0.001)
    for _ in range(4):
        ada.observe(HALF_REAL)
        ada.update(64)
    assert ada.p == 0
    assert ada.heuristic == 0


def test_p_holds_on_target_without_observations_and_on_what_is_no_number() -> None:
    ada = AdaController(p=0.5, target=0.0)
    for logits in (HALF_REAL, None, torch.full((4, 1), torch.nan)):
        if logits is not None:
            ada.observe(logits)
        assert ada.update(64) == 0.5


def test_the_heuristic_is_the_mean_sign_over_the_interval_whatever_the_size_of_the_outputs() -> None:
    ada = AdaController()
    ada.observe(torch.tensor([[100.0], [1e-3], [-5.0]]))
    ada.observe(torch.tensor([[2.0]]))
    ada.update(4)
    assert ada.heuristic == 0.5
    ada.observe(-ALL_REAL)  # what was before is forgotten
    ada.update(4)
    assert ada.heuristic == -1


def test_a_resume_amid_an_interval_continues_to_the_bit() -> None:
    random = torch.Generator().manual_seed(0)
    logits = [torch.randn(8, 1, generator=random) + 0.8 for _ in range(40)]
    whole, part = AdaController(speed_kimg=1), AdaController(speed_kimg=1)
    for iteration, real_logits in enumerate(logits):
        whole.observe(real_logits)
        part.observe(real_logits)
        if iteration % 4 == 3:
            assert whole.update(8) == part.update(8)
        if iteration % 7 == 5:
            saved, part = json.dumps(part.state()), AdaController(speed_kimg=1)
            part.load(json.loads(saved))
    assert whole.state() == part.state()
    assert whole.p > 0


def test_processes_count_together_and_a_saved_sum_counts_once() -> None:
    others = [torch.tensor([3.0, 4.0])]

    def reduce(total: Tensor) -> Tensor:
        return total + others[0]

    ada = AdaController(reduce=reduce)
    ada.observe(-torch.ones(4, 1))
    state = ada.state()
    assert (state["signs"], state["count"]) == (-1, 8)
    first, second = AdaController(), AdaController()
    first.load(state)
    second.load(state, is_first=False)
    assert (first.state()["count"], second.state()["count"]) == (8, 0)
    ada.update(8)
    assert ada.heuristic == -1 / 8
