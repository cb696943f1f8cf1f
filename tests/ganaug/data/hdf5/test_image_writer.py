"""The writer of images keeps those that are asked for, in place and in their order."""

from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganaug.data.hdf5.guarded_file import writing_hdf5
from ganaug.data.hdf5.image_writer import ImageWriter


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(9)), st.integers(0, 9))
def test_images_are_kept_and_ordered_in_place(tmp_path: Path, order: list[int], number: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
    masks = np.where(pixels[..., 0] > 99, 255, 0).astype(np.uint8)
    with writing_hdf5(tmp_path / "a.h5") as (file, guarded):
        writer = ImageWriter(file, guarded, 16, masks=True)
        writer.append(pixels, masks)
        writer.keep(np.array(order[:number], np.int64))
        assert len(writer) == number
        assert all(
            np.array_equal(image, pixels[row])
            for image, row in zip(writer.read(range(number)), order[:number], strict=True)
        )
        kept = list(writer._file["mask"])
        assert len(kept) == number
        assert all(np.array_equal(mask, masks[row]) for mask, row in zip(kept, order[:number], strict=True))
