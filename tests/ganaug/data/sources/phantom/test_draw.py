"""The phantom: reproducible, independent images whose classes differ as they should and whose patients differ more."""

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from ganaug.config import BREAST_CLASSES, PhantomConfig
from ganaug.data.sources.phantom.anatomy import paint_tissue
from ganaug.data.sources.phantom.draw import PhantomImage, draw, draw_one, draw_patient, num_images
from ganaug.data.sources.phantom.tissue import Outline, Scene
from ganaug.errors import ConfigError

SMALL = PhantomConfig(resolution_px=32, um_per_px=4.0, num_patients=8, images_per_patient=2)


def haematoxylin(made: PhantomImage, seed: int) -> NDArray[np.floating[Any]]:
    """The concentration of haematoxylin that the picture shows, unmixed with the patient's own stains."""
    person = draw_patient(seed, int(made.group_id.removeprefix("phantom-p")))
    absorbance = -np.log(np.maximum(made.image, 1) / (255 * person.background))
    return (absorbance @ np.linalg.pinv(person.absorbance.astype(np.float64)))[..., 0]


def scene_of(class_name: str, seed: int, side_px: int = 96) -> Scene:
    scene = Scene(128.0, side_px, np.random.default_rng(seed))
    paint_tissue(scene, draw_patient(7, seed).habits, class_name)
    return scene


def test_same_seed_gives_the_same_bytes() -> None:
    twice = [list(draw(SMALL, 3)) for _ in range(2)]
    assert len(twice[0]) == num_images(SMALL)
    for first, second in zip(*twice, strict=True):
        assert first.image.tobytes() == second.image.tobytes()
        assert first.mask.tobytes() == second.mask.tobytes()


def test_an_image_does_not_depend_on_those_before_it_or_on_how_many_there_are() -> None:
    in_order = list(draw(SMALL, 3))
    assert len(in_order) == num_images(SMALL) == 16
    larger = PhantomConfig(resolution_px=32, um_per_px=4.0, num_patients=80, images_per_patient=9)
    for position in (13, 0, 6):
        alone = draw_one(larger, 3, position // 2, position % 2)
        assert alone.image.tobytes() == in_order[position].image.tobytes()
        assert alone.image_id == in_order[position].image_id


def test_seeds_patients_and_images_all_differ() -> None:
    pictures = {made.image.tobytes() for seed in (0, 1) for made in draw(SMALL, seed)}
    assert len(pictures) == 2 * num_images(SMALL)


def test_patients_are_spread_evenly_and_keep_class_and_site() -> None:
    of_group = defaultdict(set)
    for made in draw(SMALL, 0):
        of_group[made.group_id].add((made.label, made.site))
    assert len(of_group) == 8
    assert all(len(found) == 1 for found in of_group.values())
    labels = [label for found in of_group.values() for label, _ in found]
    assert np.bincount(labels).tolist() == [2] * len(BREAST_CLASSES)


def test_site_and_stain_tell_nothing_of_the_class() -> None:
    people = [draw_patient(0, number) for number in range(400)]
    sites = np.zeros((4, 4))
    for person in people:
        sites[person.label, person.site] += 1
    assert sites.min() > 10  # 25 expected
    colour = np.array([person.absorbance.ravel() for person in people])
    means = np.array([colour[label::4].mean(axis=0) for label in range(4)])
    assert np.all(means.std(axis=0) < 0.25 * colour.std(axis=0))  # random alone: a tenth


@pytest.mark.parametrize(("resolution_px", "patient"), [(16, 0), (16, 1), (16, 2), (16, 3), (33, 1), (98, 2), (512, 3)])
def test_every_resolution_gives_an_image_and_a_mask_of_two_values(resolution_px: int, patient: int) -> None:
    made = draw_one(PhantomConfig(resolution_px=resolution_px, um_per_px=2.0), 1, patient, 0)
    assert made.image.shape == (resolution_px, resolution_px, 3)
    assert made.image.dtype == made.mask.dtype == np.uint8
    assert made.mask.shape == (resolution_px, resolution_px)
    assert set(np.unique(made.mask)) <= {0, 255}
    assert made.mask.any()
    assert made.image.std() > 5


@pytest.mark.parametrize("um_per_px", [0.05, 0.3, 12.0])
def test_every_magnification_gives_an_image(um_per_px: float) -> None:
    config = PhantomConfig(resolution_px=24, um_per_px=um_per_px, num_patients=4, images_per_patient=2)
    assert [made.mask.any() for made in draw(config, 2)] == [True] * 8


@pytest.mark.parametrize("patient", range(4))
def test_one_field_of_view_is_the_same_scene_at_two_resolutions(patient: int) -> None:
    coarse = draw_one(PhantomConfig(resolution_px=32, um_per_px=4.0), 5, patient, 0)
    fine = draw_one(PhantomConfig(resolution_px=128, um_per_px=1.0), 5, patient, 0)
    shrunk = fine.image.reshape(32, 4, 32, 4, 3).mean(axis=(1, 3))
    assert np.corrcoef(coarse.image.ravel(), shrunk.ravel())[0, 1] > 0.93
    other = draw_one(PhantomConfig(resolution_px=32, um_per_px=4.0), 5, patient, 1)
    assert np.corrcoef(other.image[..., 0].ravel(), shrunk[..., 0].ravel())[0, 1] < 0.6


def test_a_patient_keeps_its_stain_across_images() -> None:
    config = PhantomConfig(resolution_px=48, num_patients=16, images_per_patient=6)
    hues = np.zeros((16, 6, 3))
    for position, made in enumerate(draw(config, 0)):
        absorbance = -np.log(np.maximum(made.image.reshape(-1, 3), 1) / 255).astype(np.float64)
        mean = absorbance[absorbance.sum(axis=1) > 0.3].mean(axis=0)  # stained pixels only
        hues[divmod(position, 6)] = mean / np.linalg.norm(mean)
    within, between = hues.var(axis=1).mean(), hues.mean(axis=1).var(axis=0).mean()
    assert within < 0.35 * between


@pytest.mark.parametrize("label", range(4), ids=BREAST_CLASSES)
def test_the_mask_holds_the_nuclei(label: int) -> None:
    config = PhantomConfig(resolution_px=64, num_patients=48, images_per_patient=2)
    inside, outside = [], []
    for patient in range(label, 48, 4):
        for index in range(2):
            made = draw_one(config, 0, patient, index)
            dye, masked = haematoxylin(made, 0), made.mask > 0
            assert masked.any()
            inside.append(dye[masked].mean())
            outside.append(dye[~masked].mean() if not masked.all() else np.nan)
    assert np.nanmean(inside) > 1.5 * np.nanmean(outside)


def test_nuclei_grow_from_normal_to_in_situ_to_invasive_but_overlap() -> None:
    areas = {}
    for name in BREAST_CLASSES:
        scenes = [scene_of(name, seed, side_px=32) for seed in range(30)]
        areas[name] = [np.mean([cells.area_um2().mean() for cells in scene.deciding_nuclei]) for scene in scenes]
    mean = {name: np.mean(found) for name, found in areas.items()}
    assert mean["Normal"] < mean["Benign"] < mean["InSitu"] < mean["Invasive"]
    assert mean["Normal"] * 1.3 < mean["InSitu"]
    assert np.quantile(areas["InSitu"], 0.9) > np.quantile(areas["Invasive"], 0.25)
    assert np.quantile(areas["Normal"], 0.9) > np.quantile(areas["InSitu"], 0.1)


def test_depth_of_an_outline_is_the_distance_to_its_border() -> None:
    disc = Outline(3.0, -2.0, 20.0, 20.0)
    x = np.array([3.0, 13.0, 23.0, 28.0])
    np.testing.assert_allclose(disc.depth(x, np.full(4, -2.0)), [20, 10, 0, -5], atol=0.01)
    bean = Outline(0.0, 0.0, 30.0, 20.0, angle=0.5, bend=0.2, lobes=(0.0, 0.03, 0.0))
    for below in (-1.0, 0.0, 1.0, 3.0):
        x, y, _ = bean.ring(4.0, below)
        np.testing.assert_allclose(bean.depth(x, y), below, atol=0.25 + 0.25 * abs(below))


@pytest.mark.parametrize(("seed", "patient", "index"), [(-1, 0, 0), (0, 8, 0), (0, -1, 0), (0, 0, 2)])
def test_what_the_configuration_does_not_have_is_refused(seed: int, patient: int, index: int) -> None:
    with pytest.raises(ConfigError, match="expected"):
        draw_one(SMALL, seed, patient, index)


def test_more_data_makes_a_classifier_better_on_unseen_patients() -> None:
    """The instrument's calibration, small: 12 against 120 images per class at equal steps."""
    config = PhantomConfig(resolution_px=32, um_per_px=4.0, num_patients=120, images_per_patient=6)

    def images(patients: range, per_patient: int) -> tuple[torch.Tensor, torch.Tensor]:
        made = [draw_one(config, 11, patient, index) for patient in patients for index in range(per_patient)]
        pixels = torch.tensor(np.stack([item.image for item in made]))
        return pixels.permute(0, 3, 1, 2) / 127.5 - 1, torch.tensor([item.label for item in made])

    test = images(range(80, 120), 3)
    few, many = (fit_and_score(images(range(patients), per), test) for patients, per in ((16, 3), (80, 6)))
    assert 0.5 < many < 0.98
    assert many > few + 0.1


def fit_and_score(
    train: tuple[torch.Tensor, torch.Tensor], test: tuple[torch.Tensor, torch.Tensor], num_steps: int = 200
) -> float:
    """Accuracy on `test` of a small network trained on `train`."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for wide, narrow in ((3, 16), (16, 32), (32, 48)):
            layers += [nn.Conv2d(wide, narrow, 3, padding=1), nn.BatchNorm2d(narrow), nn.ReLU(), nn.MaxPool2d(2)]
        net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 4))
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=num_steps)
    generator = torch.Generator().manual_seed(0)
    for step in range(num_steps):
        rows = torch.randint(len(train[0]), (32,), generator=generator)
        img = torch.rot90(train[0][rows], step % 4, (2, 3))
        loss = nn.functional.cross_entropy(net(img.flip(3) if step % 8 > 3 else img), train[1][rows])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        return float((net.eval()(test[0]).argmax(1) == test[1]).float().mean())
