import numpy as np
from PIL import Image

from ganaug.data.duplicates import exact_duplicates, phash


def distance(one: int, two: int) -> int:
    return (one ^ two).bit_count()


def texture(seed: int, side: int = 64) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC))


def test_the_hash_survives_resizing_and_dimming_but_tells_images_apart() -> None:
    image = texture(0)
    smaller = np.asarray(Image.fromarray(image).resize((40, 40), Image.Resampling.LANCZOS))
    assert distance(phash(image), phash(smaller)) <= 4
    assert distance(phash(image), phash((image * 0.8).astype(np.uint8))) <= 4
    assert min(distance(phash(image), phash(texture(seed))) for seed in range(1, 20)) > 10


def test_the_hash_has_64_bits_half_of_them_set() -> None:
    hashes = [phash(texture(seed)) for seed in range(20)]
    assert all(0 <= value < 2**64 for value in hashes)
    assert all(30 <= value.bit_count() <= 33 for value in hashes)
    assert len(set(hashes)) == 20


def test_copies_within_a_patient_leave_one() -> None:
    copies = exact_duplicates(np.array(["x", "y", "x", "x"]), np.zeros(4, int), np.array(["p", "p", "p", "p"]))
    assert copies.keep.tolist() == [True, True, False, False]
    assert copies.group.tolist() == ["p"] * 4
    assert copies.notices == ("2 images are exact copies of others of the same class and were left out",)


def test_patients_who_share_an_image_become_one_through_any_chain() -> None:
    digests = np.array(["x", "x", "y", "y", "z", "w"])
    groups = np.array(["c", "b", "b", "a", "c", "d"])
    copies = exact_duplicates(digests, np.zeros(6, int), groups)
    assert copies.keep.tolist() == [True, False, True, False, True, True]
    assert copies.group.tolist() == ["a", "a", "a", "a", "a", "d"]
    assert sum("shares an image" in notice for notice in copies.notices) == 2


def test_copies_with_conflicting_labels_are_all_dropped() -> None:
    copies = exact_duplicates(np.array(["x", "x", "y"]), np.array([0, 1, 0]), np.array(["p", "q", "r"]))
    assert copies.keep.tolist() == [False, False, True]
    assert copies.group.tolist() == ["p", "q", "r"]
    assert "different classes" in copies.notices[0]


def test_nothing_is_said_where_nothing_repeats() -> None:
    copies = exact_duplicates(np.array(["x", "y"]), np.array([0, 1]), np.array(["p", "q"]))
    assert copies.keep.all()
    assert copies.notices == ()
