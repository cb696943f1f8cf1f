"""The digests of patients and images: the same for whoever has the same images, and beyond anybody else's reach."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ganaug.config import FoldsConfig, PrepareConfig
from ganaug.data.dataset import open_dataset
from ganaug.data.folds.folds import make_folds
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.data.schema import ImageTable, read_table, resolve_patients
from ganaug.provenance import digest_of, keyed_digest
from ganaug.workspace import open_workspace

NUM = 18  # images, three of each of six patients
ALL = np.arange(NUM)


def table_of(sha256: list[str], names: list[str]) -> ImageTable:
    ids = np.array([f"image-{index}" for index in range(len(sha256))])
    return ImageTable(
        class_names=("a", "b"),
        label=np.arange(len(sha256)) // 3 % 2,
        image_id=ids,
        group_id=np.array(names),
        site_id=np.full(len(ids), ""),
        path=ids,
        sha256=np.array(sha256),
        magnification=np.zeros(len(ids), np.int64),
        um_per_px=np.full(len(ids), np.nan),
        phash=np.arange(1, len(ids) + 1, dtype=np.uint64),
        attrs={"resolution_px": 16, "fingerprint": "f" * 64},
    )


SHA256 = [digest_of(["image", index]) for index in range(NUM)]
NAMES = [f"patient {index // 3}" for index in range(NUM)]
TABLE = table_of(SHA256, NAMES)


def shared_of(table: ImageTable) -> tuple[str, ...]:
    """All that is shared of who the patients are."""
    seen = table.seen(np.arange(len(table)))
    return *seen.groups, *seen.images, make_folds(table, FoldsConfig(num_folds=3)).digest


@given(st.integers(0, NUM - 1), st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8))
def test_one_image_or_one_name_that_is_not_known_makes_every_digest_unknown(index: int, guess: str) -> None:
    """Who knows all names and all images but one, and all names but one, still computes none of the digests."""
    others = [
        table_of([*SHA256[:index], digest_of(guess), *SHA256[index + 1 :]], NAMES),
        table_of(SHA256, [f"{guess}!" if name == NAMES[index] else name for name in NAMES]),
    ]
    known = set(shared_of(TABLE))
    assert len(known) == 6 + NUM + 1
    for other in others:
        assert known.isdisjoint(shared_of(other))


@given(st.permutations(range(NUM)))
def test_the_order_of_the_images_changes_no_digest(order: list[int]) -> None:
    permuted = table_of([SHA256[index] for index in order], [NAMES[index] for index in order])
    assert permuted.seen(ALL).groups == TABLE.seen(ALL).groups
    assert permuted.seen(ALL).images == TABLE.seen(ALL).images


def test_names_and_all_that_is_shared_give_no_digest_of_a_patient() -> None:
    """Whatever is shared is tried as the key for every name, alone and with the others; so is no key at all."""
    shared = [*shared_of(TABLE), *TABLE.seen(ALL).hashes, TABLE.fingerprint, digest_of(sorted(set(NAMES))), ""]
    keys = {value.encode() for value in shared} | {bytes.fromhex(value) for value in shared}
    keys |= {bytes.fromhex(digest_of(["ganaug patients", *rows])) for rows in ([], sorted(set(NAMES)), sorted(shared))}
    guesses = {keyed_digest(key, "patient", name) for key in keys for name in NAMES}
    assert len(guesses) > 500
    assert guesses.isdisjoint(TABLE.seen(ALL).groups)
    assert TABLE.seen(ALL).groups == tuple(sorted(keyed_digest(TABLE.key, "patient", name) for name in set(NAMES)))


def test_a_right_guess_of_the_folds_cannot_be_confirmed() -> None:
    folds = make_folds(TABLE, FoldsConfig(num_folds=3))
    for guess in (folds.to_dict(), [folds.to_dict()], ["", folds.to_dict()], [TABLE.fingerprint, folds.to_dict()]):
        assert digest_of(guess) != folds.digest
    same_patients = table_of([digest_of(value) for value in SHA256], NAMES)
    assert make_folds(same_patients, FoldsConfig(num_folds=3)).to_dict() == folds.to_dict()
    assert make_folds(same_patients, FoldsConfig(num_folds=3)).digest != folds.digest


def test_two_data_sets_know_one_patient_by_different_digests() -> None:
    part = table_of(SHA256[:9], NAMES[:9])
    assert set(part.group_id.tolist()) < set(TABLE.group_id.tolist())
    assert set(part.seen(ALL[:9]).groups).isdisjoint(TABLE.seen(ALL).groups)
    assert set(part.seen(ALL[:9]).images).isdisjoint(TABLE.seen(ALL).images)


@given(st.sets(st.sampled_from(sorted(set(NAMES)))), st.lists(st.text("0123456789abcdef", min_size=24, max_size=24)))
def test_who_holds_the_data_set_resolves_its_own_patients_and_no_others(chosen: set[str], strange: list[str]) -> None:
    digests = [*map(TABLE.patient_digest, sorted(chosen)), *strange]
    assert resolve_patients(TABLE, digests) == {TABLE.patient_digest(name): name for name in chosen}


def test_an_order_by_digests_does_not_depend_on_the_names() -> None:
    """The images of one patient do not stand together, as they do in a data set."""
    order = TABLE.in_shared_order(ALL)
    assert sorted(order.tolist()) == ALL.tolist()
    digests = TABLE.image_digests(order)
    assert digests == sorted(digests)
    assert replace(TABLE, label=TABLE.label[::-1]).in_shared_order(ALL).tolist() == order.tolist()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for index in range(12):
        folder = tmp_path / "source" / "ab"[index % 2] / f"Frau Nr. {index // 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    return tmp_path / "source"


def test_preparing_again_gives_the_same_digests(source: Path, tmp_path: Path) -> None:
    """Other folds, resolution, stain, place and name of the data set; else nobody could compare what two runs saw."""
    ways: list[Callable[[PrepareConfig], PrepareConfig]] = [
        lambda config: config,
        lambda config: replace(config, folds=FoldsConfig(num_folds=3, scheme="hold-out", seed=5)),
        lambda config: replace(config, resolution_px=24, fit="resize", name="other"),
        lambda config: replace(config, source=str(source.rename(tmp_path / "elsewhere"))),
    ]
    found = set()
    for number, way in enumerate(ways):
        config = way(PrepareConfig("folder", str(source), name="lab", resolution_px=16, folds=FoldsConfig(num_folds=3)))
        table = read_table(prepare_dataset(open_workspace(tmp_path / f"w{number}"), config).path)
        found.add((table.seen(np.arange(12)).groups, table.seen(np.arange(12)).images))
    ((groups, images),) = found
    assert (len(groups), len(images)) == (6, 12)


def test_the_notes_of_checks_do_not_say_where_the_workspace_lies(source: Path, tmp_path: Path) -> None:
    names = set()
    for place in ("Klinik", "Praxis"):
        workspace = open_workspace(tmp_path / place)
        prepare_dataset(
            workspace, PrepareConfig("folder", str(source), resolution_px=16, folds=FoldsConfig(num_folds=3))
        )
        _ = open_dataset(workspace, "folder").reader
        names.add(tuple(path.name for path in workspace.root.glob("cache/checked/*")))
    ((name,),) = names
    assert name.endswith(".json")
