"""A browser shows the whole page, on any screen, in light and dark, and asks nobody for anything."""

from pathlib import Path

import pytest

from ganaug.config import DEFAULT_ARMS, StudyConfig
from ganaug.study.arms.names import name_arms
from tests.ganaug.study.conftest import make_world
from tests.ganaug.study.pages.browser import show

LONG_NAMES = ("Benign-with-a-rather-long-name", "Malignant")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a study with all that a report can show."""
    world = make_world(tmp_path_factory.mktemp("world"), LONG_NAMES)
    config = StudyConfig(
        classifiers=("dalaresnet50_small",), shortcuts=(), seeds=(0, 1), num_steps=2, batch=4, num_resamples=100,
        arms=name_arms((*DEFAULT_ARMS, "real+synthetic@0.5"), (0.5,), leak_audit=True), leak_audit=True,
    )  # fmt: skip
    return world.run(config).study.report


@pytest.mark.parametrize("width_px", [1200, 390])
@pytest.mark.parametrize("is_dark", [False, True])
def test_page_fits_the_screen_and_loads_nothing(page: Path, tmp_path: Path, width_px: int, is_dark: bool) -> None:
    shown = show(page, tmp_path, width_px=width_px, is_dark=is_dark)
    assert shown.errors == []
    assert shown.requests == []
    assert shown.images > 10
    assert shown.broken == 0
    assert shown.width == width_px
    assert shown.scroll_width <= width_px, shown.too_wide
    assert shown.too_wide == []
    assert (brightness(shown.paper) < brightness(shown.ink)) == is_dark
    assert (shown.narrow_plots > 0) == (width_px < 640)


def brightness(colour: str) -> float:
    """Of a colour as the browser writes it, such as rgb(22, 22, 20)."""
    values = colour[colour.index("(") + 1 : -1].split(",")[:3]
    return sum(map(float, values))


def test_page_is_small_enough_to_send(page: Path) -> None:
    assert page.stat().st_size < 5e6
