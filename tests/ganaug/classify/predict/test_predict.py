"""Predictions of files are those of the prepared images, whatever else lies next to them."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ganaug.classify.stored import StoredClassifier
from ganaug.errors import ConfigError, DataError
from tests.ganaug.classify.conftest import make_lab
from tests.ganaug.classify.predict.conftest import predict

if TYPE_CHECKING:
    from tests.ganaug.classify.conftest import Lab


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"fit": "resize"},
        {"fit": "crop", "field_um": 18.0, "um_per_px": 0.5},
        {"stain": "reinhard"},
        {"stain": "macenko"},
    ],
    ids=lambda options: "-".join(map(str, options.values())) or "default",
)
def test_a_file_gets_the_probabilities_that_its_prepared_image_gets(
    lab_of: Callable[..., "Lab"], options: dict[str, Any]
) -> None:
    lab = lab_of(**options)
    stored, dataset = lab.train(num_steps=1), lab.dataset
    scale = {"um_per_px": 0.5} if "um_per_px" in options else {}
    found = predict(stored, lab.source, **scale)
    place = {path: index for index, path in enumerate(dataset.table.path.tolist())}
    assert len(found.images) == len(place) == 36
    expected = stored.probabilities(dataset.images(0)[np.array([place[image.name] for image in found.images])])
    np.testing.assert_allclose(found.probs, expected, atol=1e-5)
    assert (stored.pixels.stain is not None) == ("stain" in options)
    assert (found.num_unstained > 0) == bool(dataset.table.attrs.get("stain", {}).get("kept_as_they_are"))


def test_an_image_that_is_cut_into_tiles_gets_their_mean(lab_of: Callable[..., "Lab"]) -> None:
    lab = lab_of(fit="tile", field_px=20)
    stored, dataset = lab.train(num_steps=1), lab.dataset
    found = predict(stored, lab.source)
    paths = dataset.table.path
    assert len(found.images) == 36
    assert len(paths) == 4 * 36
    probs = stored.probabilities(dataset.images(0)[np.arange(len(paths))])
    for image, row in zip(found.images, found.probs, strict=True):
        np.testing.assert_allclose(row, probs[paths == image.name].mean(0), atol=1e-5)


def test_a_field_in_micrometres_needs_the_scale(lab_of: Callable[..., "Lab"]) -> None:
    lab = lab_of(field_um=18.0, um_per_px=0.5)
    with pytest.raises(ConfigError, match="--um-per-px"):
        predict(lab.train(num_steps=1), lab.source)


def test_images_of_any_mode_and_size_are_predicted_and_damaged_ones_skipped(
    stored: StoredClassifier, given: Path, make_picture: Callable[[int], NDArray[np.uint8]]
) -> None:
    image = Image.fromarray(make_picture(0))
    for mode in ("L", "P", "RGBA", "1"):
        image.convert(mode).save(given / f"{mode}.png")
    image.convert("CMYK").save(given / "cmyk.tif")
    image.resize((7, 500)).save(given / "long.png")
    deep = np.random.default_rng(0).integers(0, 4096, (40, 44)).astype(np.uint16)
    Image.fromarray(deep).save(given / "deep.png")
    (given / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    found = predict(stored, given)
    assert len(found.images) == 7
    assert [path for path, _ in found.skipped] == ["damaged.png"]
    np.testing.assert_allclose(found.probs.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("bits", [None, 10, 12])
def test_grey_of_16_bits_does_not_depend_on_the_other_files(tmp_path: Path, given: Path, bits: int | None) -> None:
    rng = np.random.default_rng(0)
    deep = [rng.integers(0, 2**bits, (40, 44)).astype(np.uint16) for _ in range(36)] if bits else None
    lab = make_lab(tmp_path / "deep", pixels=deep)
    stored = lab.train(num_steps=1)
    assert stored.pixels.grey_bits == bits
    dark = rng.integers(0, 1000, (40, 44)).astype(np.uint16)
    Image.fromarray(dark).save(given / "dark.png")
    alone = predict(stored, given)
    assert any(f"taken to have {bits or 16} bits" in note for note in alone.notes())
    Image.fromarray((60 * dark).astype(np.uint16)).save(given / "light.png")
    both = predict(stored, given)
    np.testing.assert_allclose(both.probs[0], alone.probs[0], atol=1e-6)
    values = np.round(np.minimum(dark, 2 ** (bits or 16) - 1) * (255 / (2 ** (bits or 16) - 1))).astype(np.uint8)
    Image.fromarray(values).save(given / "dark8.png")
    again = predict(stored, given)
    named = dict(zip([image.name for image in again.images], again.probs, strict=True))
    np.testing.assert_allclose(named["dark8.png"], named["dark.png"], atol=1e-6)


def test_nothing_that_can_be_read_is_refused_with_the_reason(stored: StoredClassifier, given: Path) -> None:
    (given / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with pytest.raises(DataError, match="damaged"):
        predict(stored, given)
