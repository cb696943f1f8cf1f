"""Deletion and insertion equal torchcam's; masks, intervals and randomisation in closed form."""

import itertools
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from classifiers.explain.faithfulness import BASELINES, blur, compute_curves, fixed_mask, localise, tissue_colour
from classifiers.explain.gradcam import grad_cam
from classifiers.explain.intervals import patient_interval
from classifiers.explain.method import MapOptions
from classifiers.explain.randomisation import compare_maps, randomise, structural_similarity
from classifiers.explain.registry import METHODS
from classifiers.registry import build_seeded

CLASSES = torch.tensor([0, 2, 1, 1])


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return build_seeded("dalaresnet50_small", 3, 0, image_size_px=32).eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(3))


class GivenMaps:
    """An extractor for torchcam that gives the same maps whatever it is asked."""

    def __init__(self, model: nn.Module, maps: Tensor) -> None:
        self.model, self.maps = model, maps

    def __call__(self, *_: object, **__: object) -> list[Tensor]:
        return [self.maps]

    def fuse_cams(self, cams: list[Tensor]) -> Tensor:
        return cams[0]

    def _hooks_off(self) -> AbstractContextManager[None]:
        return nullcontext()


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("name", METHODS)
def test_the_mean_of_the_areas_is_torchcams_metric(model: nn.Module, images: Tensor, name: str, baseline: str) -> None:
    from torchcam.metrics import DeletionInsertionMetric

    fill, softmax = BASELINES[baseline], partial(torch.softmax, dim=-1)
    maps = METHODS[name].compute(model, images, CLASSES, "gates.0", "NCHW", MapOptions())
    metric = DeletionInsertionMetric(GivenMaps(model, maps), softmax, baseline=fill)
    metric.update(images, CLASSES.tolist())
    curves = compute_curves(model, images, maps, CLASSES, fill(images))
    assert curves.deletion.shape == (4, 21)
    assert curves.deletion_auc.mean() == pytest.approx(metric.summary()["deletion_auc"], abs=1e-6)
    assert curves.insertion_auc.mean() == pytest.approx(metric.summary()["insertion_auc"], abs=1e-6)


def test_with_torchcams_own_extractor_the_areas_are_equal_too(model: nn.Module, images: Tensor) -> None:
    from torchcam.methods import GradCAM
    from torchcam.metrics import DeletionInsertionMetric

    class Probabilities(nn.Module):  # torchcam differentiates what it measures, which is the probability
        def __init__(self) -> None:
            super().__init__()
            self.body = model

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.body(x)
            return logits.softmax(1)

    with GradCAM(model, "gates.0") as extractor:
        metric = DeletionInsertionMetric(extractor, partial(torch.softmax, dim=-1), baseline=blur)
        metric.update(images, CLASSES.tolist())
    maps = grad_cam(Probabilities().eval(), images, CLASSES, "body.gates.0", "NCHW", MapOptions())
    curves = compute_curves(model, images, maps, CLASSES, blur(images))
    assert curves.deletion_auc.mean() == pytest.approx(metric.summary()["deletion_auc"], abs=1e-6)
    assert curves.insertion_auc.mean() == pytest.approx(metric.summary()["insertion_auc"], abs=1e-6)


def test_the_curves_run_between_the_image_and_its_baseline(model: nn.Module, images: Tensor) -> None:
    baseline = blur(images)
    curves = compute_curves(model, images, torch.rand(4, 32, 32), CLASSES, baseline, steps=5)
    with torch.inference_mode():
        whole, none = (model(x).softmax(1).gather(1, CLASSES[:, None])[:, 0].numpy() for x in (images, baseline))
    np.testing.assert_allclose(curves.deletion[:, 0], whole, rtol=1e-5)
    np.testing.assert_allclose(curves.deletion[:, -1], none, rtol=1e-5)
    np.testing.assert_allclose(curves.insertion[:, [0, -1]], np.stack([none, whole], 1), rtol=1e-5)
    assert curves.fractions[0] == 0
    assert curves.fractions[-1] == 1


def test_a_map_of_what_decides_is_more_faithful_than_its_opposite() -> None:
    class Corner(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            red = 8 * x[:, 0, :4, :4].mean((1, 2))
            return torch.stack([red, torch.full_like(red, 2)], dim=1)

    image, corner = torch.ones(1, 3, 16, 16), torch.zeros(1, 16, 16)
    corner[:, :4, :4] = 1
    nothing, first = torch.zeros_like(image), torch.tensor([0])
    right = compute_curves(Corner().eval(), image, corner, first, nothing)
    wrong = compute_curves(Corner().eval(), image, 1 - corner, first, nothing)
    assert right.deletion_auc[0] < 0.3 < 0.7 < wrong.deletion_auc[0]
    assert wrong.insertion_auc[0] < 0.3 < 0.7 < right.insertion_auc[0]


def test_a_model_in_training_mode_is_not_measured(model: nn.Module, images: Tensor) -> None:
    net = build_seeded("dalaresnet50_small", 3, 0, image_size_px=32).train()
    with pytest.raises(ValueError, match="training mode"):
        compute_curves(net, images, torch.rand(4, 32, 32), CLASSES, images)


def test_a_blur_keeps_a_plain_image_and_the_mean_and_takes_detail_away() -> None:
    plain = torch.full((1, 3, 32, 24), 0.6)
    torch.testing.assert_close(blur(plain), plain)
    board = (torch.arange(32)[:, None] + torch.arange(32)) % 2 * torch.ones(2, 3, 1, 1)
    assert (blur(board) - 0.5).abs().max() < 0.01
    assert blur(torch.rand(1, 3, 4, 4)).shape == (1, 3, 4, 4)


def test_the_colour_of_tissue_leaves_glass_and_the_black_border_out() -> None:
    image = torch.ones(2, 3, 8, 8)
    image[0, :, :, 4:] = torch.tensor([0.8, 0.4, 0.6])[:, None, None]
    image[0, :, :2, 4:] = 0.01
    torch.testing.assert_close(tissue_colour(image)[0, :, 3, 0], torch.tensor([0.8, 0.4, 0.6]))
    assert (tissue_colour(image)[1] == 1).all(), "an image of glass alone has the colour of glass"


# ---- masks -----------------------------------------------------------------------------------------------------------


def test_overlap_and_pointing_in_closed_form() -> None:
    maps, masks = torch.zeros(4, 8, 8), np.zeros((4, 8, 8), bool)
    masks[:3, :4, :4] = True
    maps[0, 2:6, :4], maps[0, 2, 2] = 0.9, 1.0  # half of it inside
    maps[1, 0, 5] = 1.0  # two pixels to the right of the mask
    maps[2] = 0.5  # constant
    found = localise(maps, fixed_mask(maps), masks)
    np.testing.assert_allclose(found.iou, [8 / 24, 0, 16 / 64, np.nan])
    np.testing.assert_allclose(found.precision, [0.5, 0, 0.25, np.nan])
    np.testing.assert_allclose(found.recall, [0.5, 0, 1, np.nan])
    np.testing.assert_allclose(found.pointing, [1, 0, 0.25, np.nan])
    assert found.num_without_mask == 1
    assert localise(maps, fixed_mask(maps), masks, tolerance_px=2).pointing[1] == 1
    assert not fixed_mask(torch.zeros(1, 4, 4)).any()


def test_an_interval_over_patients_is_that_of_their_means() -> None:
    rng = np.random.default_rng(0)
    means = rng.normal(0.5, 0.1, 200)
    groups = np.repeat(np.arange(200).astype(str), 3)
    interval = patient_interval(np.repeat(means, 3), groups)
    assert interval is not None
    assert interval.low is not None
    assert interval.high is not None
    assert interval.mean == pytest.approx(means.mean())
    half = 1.96 * means.std(ddof=1) / np.sqrt(200)
    assert interval.high - interval.low == pytest.approx(2 * half, rel=0.1), "not that of 600 independent images"
    assert (interval.num_images, interval.num_patients) == (600, 200)


def test_what_is_missing_is_skipped_and_one_patient_has_no_interval() -> None:
    values, groups = np.array([0.2, 0.4, np.nan]), np.array(["a", "a", "b"])
    interval = patient_interval(values, groups)
    assert interval is not None
    assert interval.mean == pytest.approx(0.3)
    assert (interval.low, interval.num_images) == (None, 2)
    assert patient_interval(np.array([np.nan]), np.array(["a"])) is None


# ---- randomisation ---------------------------------------------------------------------------------------------------


def test_the_cascade_goes_from_the_last_layer_to_all_and_leaves_the_model_alone(
    model: nn.Module, images: Tensor
) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    stages = list(randomise(model, images, num_stages=4))
    assert [stage.fraction for stage in stages] == sorted(stage.fraction for stage in stages)
    assert (stages[0].first_random, stages[-1].fraction) == ("classify", 1.0)
    changed = [
        {name for name, value in stage.model.named_parameters() if not torch.equal(value, before[name])}
        for stage in stages
    ]
    assert changed[0] == {"classify.weight", "classify.bias"}
    assert all(fewer < more for fewer, more in itertools.pairwise(changed))
    varied = {name for name, value in model.named_parameters() if value.std(correction=0) > 0}
    assert changed[-1] == varied, "a tensor of equal values has no other of its scale"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not stages[-1].model.training


def test_maps_agree_with_themselves_and_not_with_their_opposites() -> None:
    maps = torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(0))
    same, opposite = compare_maps(maps, maps), compare_maps(maps, 1 - maps)
    np.testing.assert_allclose(same.rank_correlation, 1)
    np.testing.assert_allclose(same.ssim, 1)
    np.testing.assert_allclose(opposite.rank_correlation, -1)
    assert (opposite.ssim < 0).all()
    assert np.isnan(compare_maps(maps, torch.zeros_like(maps)).rank_correlation).all()
    assert np.isnan(compare_maps(maps, torch.zeros_like(maps)).ssim).all()


def test_rank_correlation_is_scipys_also_with_ties() -> None:
    from scipy.stats import spearmanr

    generator = torch.Generator().manual_seed(1)
    first, second = ((5 * torch.rand(2, 6, 6, generator=generator)).round() for _ in range(2))
    expected = [spearmanr(a.flatten(), b.flatten()).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(compare_maps(first, second).rank_correlation, expected)


def test_structural_similarity_of_constants_is_the_term_of_luminance() -> None:
    a, b = torch.full((1, 12, 12), 0.2), torch.full((1, 12, 12), 0.6)
    expected = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    assert structural_similarity(a, b)[0] == pytest.approx(expected)
    assert structural_similarity(a[:, :4, :4], b[:, :4, :4])[0] == pytest.approx(expected)


def test_a_map_that_ignores_the_weights_is_found_out(model: nn.Module, images: Tensor) -> None:
    edges = images.mean(1)
    *_, last = randomise(model, images)
    ignoring = compare_maps(edges, edges).rank_correlation.mean()
    maps = [grad_cam(net, images, CLASSES, "gates.0", "NCHW", MapOptions()) for net in (model, last.model)]
    assert np.nanmean(compare_maps(*maps).rank_correlation) < ignoring
