import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganaug.data.copies.duplicates import Copies, Search, find_copies
from ganaug.data.images.perceptual_hash import apply_symmetry, phash_symmetries
from ganaug.errors import for_sharing, private

Pixels = NDArray[np.uint8]
CLASSES = ("DC", "LC", "PC")


def copies_of(
    images: Sequence[NDArray[np.uint8]], label: Sequence[int], group: Sequence[str], image_id: Sequence[str] = ()
) -> Copies:
    names = image_id or [f"i{index:03d}" for index in range(len(images))]
    return find_copies(
        np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in images]),
        np.stack([phash_symmetries(image) for image in images]),
        np.array(label),
        np.array(group),
        np.array(names),
        CLASSES,
        pixels=lambda indices: np.stack([images[index] for index in indices]),
    )


def records(copies: Copies) -> list[tuple[str, str, str, str]]:
    return [(copy.kind, copy.a, copy.b, copy.done) for copy in copies.found]


def test_small_tiles_of_a_few_blobs_are_no_copies_of_one_another(resize: Callable[..., Pixels]) -> None:
    rng = np.random.default_rng(0)
    tiles = [
        np.clip(resize(rng.integers(40, 250, (4, 4, 3), dtype=np.uint8), 16) + rng.normal(0, 4, (16, 16, 3)), 0, 255)
        for _ in range(400)
    ]
    copies = copies_of([tile.astype(np.uint8) for tile in tiles], [0] * 400, [f"p{index}" for index in range(400)])
    assert copies.found == ()


def test_no_two_of_many_real_fields_are_taken_for_copies(recompress: Callable[..., Pixels], shared: Path) -> None:
    paths = sorted(shared.glob("BreaKHis_v1/**/*.png"))[::3]
    images = [np.asarray(Image.open(path).convert("RGB").resize((64, 64), Image.Resampling.BOX)) for path in paths]
    copy = apply_symmetry(recompress(images[7], 75), 3).copy()
    groups = [path.parts[-3] for path in paths]
    copies = copies_of([*images, copy], [0] * len(groups) + [0], [*groups, "another"])
    assert records(copies) == [("near", "i007", f"i{len(groups)}", "patients joined")]


def test_copies_within_a_patient_leave_one(texture: Callable[..., Pixels]) -> None:
    x, y = texture(0), texture(1)
    copies = copies_of([x, y, x, x], [0, 0, 0, 0], ["p", "p", "p", "p"])
    assert copies.keep.tolist() == [True, True, False, False]
    assert copies.group.tolist() == ["p"] * 4
    assert copies.notes == ("2 images are exact copies of others of the same class and were skipped",)
    reason = "skipped: same image of the same class"
    assert records(copies) == [("exact", "i000", "i002", reason), ("exact", "i000", "i003", reason)]


def test_patients_who_share_an_image_become_one_through_any_chain(texture: Callable[..., Pixels]) -> None:
    x, y, z, w = (texture(seed) for seed in range(4))
    copies = copies_of([x, x, y, y, z, w], [0] * 6, ["c", "b", "b", "a", "c", "d"])
    assert copies.keep.tolist() == [True, False, True, False, True, True]
    assert copies.group.tolist() == ["a", "a", "a", "a", "a", "d"]
    assert sum("shares an image" in note for note in copies.notes) == 2


def test_near_copies_join_patients_through_any_chain_and_all_stay(
    tissue: Callable[..., Pixels], recompress: Callable[..., Pixels], relight: Callable[..., Pixels]
) -> None:
    x, y = tissue(0), tissue(1)
    images = [x, np.rot90(recompress(x, 70)).copy(), tissue(2), y, relight(y, 0.9)[::-1].copy(), tissue(3)]
    copies = copies_of(images, [0, 0, 1, 2, 2, 1], ["c", "b", "e", "b", "a", "d"])
    assert copies.keep.all()
    assert copies.group.tolist() == ["a", "a", "e", "a", "a", "d"]
    assert records(copies) == [("near", "i000", "i001", "patients joined"), ("near", "i003", "i004", "patients joined")]


def test_near_copies_of_one_patient_and_class_are_left_alone(
    tissue: Callable[..., Pixels], recompress: Callable[..., Pixels]
) -> None:
    copies = copies_of([tissue(0), recompress(tissue(0), 80)], [0, 0], ["p", "p"])
    assert copies.keep.all()
    assert copies.found == ()
    assert copies.notes == ()


def test_copies_with_conflicting_labels_are_all_dropped_and_join_nobody(texture: Callable[..., Pixels]) -> None:
    x, y = texture(0), texture(1)
    copies = copies_of([x, x, y], [0, 1, 0], ["p", "q", "r"])
    assert copies.keep.tolist() == [False, False, True]
    assert copies.group.tolist() == ["p", "q", "r"]
    assert "different classes" in copies.notes[0]
    assert records(copies) == [("exact", "i000", "i001", f"skipped: classes differ ({private('DC')}, {private('LC')})")]


def test_a_conflict_anywhere_in_a_chain_of_copies_drops_it_all(
    tissue: Callable[..., Pixels], recompress: Callable[..., Pixels]
) -> None:
    x = tissue(0)
    near = apply_symmetry(recompress(x, 75), 6).copy()
    copies = copies_of([x, x, near, tissue(1)], [0, 0, 2, 2], ["p", "p", "p", "q"])
    assert copies.keep.tolist() == [False, False, False, True]
    assert {done for *_, done in records(copies)} == {f"skipped: classes differ ({private('DC')}, {private('PC')})"}


def test_an_image_without_a_label_has_no_conflict_and_gives_way_to_its_labelled_copy(
    texture: Callable[..., Pixels], tissue: Callable[..., Pixels], recompress: Callable[..., Pixels]
) -> None:
    x, y = texture(0), tissue(1)
    copies = copies_of([x, x, y, recompress(y, 80)], [-1, 1, -1, 0], ["p", "q", "r", "s"])
    assert copies.keep.tolist() == [False, True, True, True]
    assert copies.group.tolist() == ["p", "p", "r", "r"]


def test_empty_fields_join_no_patients_but_equal_ones_are_skipped(empty_field: Callable[..., Pixels]) -> None:
    flat = np.full((64, 64, 3), 240, np.uint8)
    copies = copies_of([flat, flat, empty_field(0), empty_field(1)], [0, 0, 0, 0], ["p", "q", "r", "s"])
    assert copies.keep.tolist() == [True, False, True, True]
    assert copies.group.tolist() == ["p", "q", "r", "s"]
    assert "4 images show next to nothing" in copies.notes[1]


def test_nothing_is_said_where_nothing_repeats(tissue: Callable[..., Pixels]) -> None:
    images = [tissue(patient, index) for patient in range(6) for index in range(3)]
    copies = copies_of(images, [0] * 18, [f"p{patient}" for patient in range(6) for _ in range(3)])
    assert copies.keep.all()
    assert len(set(copies.group)) == 6
    assert copies.found == ()
    assert copies.notes == ()


def test_the_order_of_the_images_decides_nothing(
    tissue: Callable[..., Pixels], spoil: dict[str, Callable[[Pixels], Pixels]]
) -> None:
    rng = np.random.default_rng(0)
    originals = [tissue(patient) for patient in range(8)]
    spoilers = list(spoil.values())
    images = [*originals, *originals[:3]]
    images += [apply_symmetry(spoilers[k % 6](originals[k % 8]), k % 8).copy() for k in range(16)]
    label = [k % 3 if k < 14 else int(rng.integers(-1, 3)) for k in range(27)]
    group = [f"p{int(k)}" for k in rng.integers(0, 12, 27)]
    image_id = [f"i{k:03d}" for k in range(27)]
    before = copies_of(images, label, group, image_id)
    assert before.found
    for _ in range(3):
        new = rng.permutation(27).tolist()
        after = copies_of(*([column[k] for k in new] for column in (images, label, group, image_id)))
        assert after.keep.tolist() == before.keep[new].tolist()
        assert after.group.tolist() == before.group[new].tolist()
        assert (after.notes, after.found) == (before.notes, before.found)


def test_a_picture_copied_a_thousand_times_is_read_once_an_image_and_noted_briefly(
    tissue: Callable[..., Pixels],
) -> None:
    image, num_images = tissue(0), 1000
    hashes = np.repeat(phash_symmetries(image)[None], num_images, axis=0)
    read: list[int] = []

    def pixels(indices: Sequence[int]) -> NDArray[np.uint8]:
        read.extend(indices)
        return np.repeat(image[None], len(indices), axis=0)

    names = np.array([f"i{index:04d}" for index in range(num_images)])
    copies = find_copies(names, hashes, np.zeros(num_images, int), names, names, CLASSES, pixels)
    assert set(read) == set(range(num_images))
    assert len(read) == num_images + 1  # the first one again, for its features
    assert set(copies.group) == {"i0000"}
    assert len(copies.found) == num_images - 1
    assert len(copies.notes) == 21
    assert copies.notes[-1] == "and 979 more patients share an image with another"


def test_rotated_copies_join_patients_and_disagree_as_any_copy_does(tissue: Callable[..., Pixels]) -> None:
    def rotated(image: Pixels) -> Pixels:
        return np.asarray(Image.fromarray(image).rotate(7, Image.Resampling.BICUBIC, fillcolor=(255, 255, 255)))

    x, y = tissue(0), tissue(1)
    copies = copies_of([x, rotated(x), y, rotated(y)], [0, 0, 1, 2], ["b", "a", "c", "d"])
    assert copies.keep.tolist() == [True, True, False, False]
    assert copies.group.tolist() == ["a", "a", "c", "d"]
    assert [(copy.kind, copy.done.split(";")[0]) for copy in copies.found] == [
        ("near", "patients joined"),
        ("near", f"skipped: classes differ ({private('LC')}, {private('PC')})"),
    ]


def test_fields_that_overlap_join_patients_and_stay_whatever_their_classes(
    tissue: Callable[..., Pixels], resize: Callable[..., Pixels]
) -> None:
    whole = resize(tissue(0), 96)
    images = [np.ascontiguousarray(whole[:64, :64]), np.ascontiguousarray(whole[:64, 32:]), resize(tissue(1), 64)]
    copies = copies_of(images, [0, 1, 1], ["b", "a", "c"])
    assert copies.keep.all()
    assert copies.group.tolist() == ["a", "a", "c"]
    assert [copy.kind for copy in copies.found] == ["overlap"]


def test_the_search_of_parts_can_be_left_out_and_a_note_says_so(tissue: Callable[..., Pixels]) -> None:
    x = tissue(0)
    images = [x, np.asarray(Image.fromarray(x).rotate(7, Image.Resampling.BICUBIC))]
    names = np.array(["a", "b"])
    hashes = np.stack([phash_symmetries(image) for image in images])
    for parts, num_notes in ((False, 1), (None, 0)):
        copies = find_copies(
            names, hashes, np.zeros(2, int), names, names, CLASSES, lambda at: np.stack(images)[at], Search(parts)
        )
        assert copies.group.tolist() == ["a", "b"]
        assert len(copies.notes) == num_notes


def test_no_note_on_copies_shares_the_name_of_a_patient(tissue: Callable[..., Pixels]) -> None:
    x = tissue(0)
    copies = copies_of([x, x, tissue(1)], [0, 0, 1], ["Hadwig", "Ekkehard", "Praxedis"])
    notes = [*copies.notes, *(done for *_, done in records(copies))]
    assert any("Hadwig" in note for note in notes)
    assert not any(name in for_sharing(note) for note in notes for name in ("Hadwig", "Ekkehard", "Praxedis"))
