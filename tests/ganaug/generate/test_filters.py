"""Filters: they see training patients only, drop what they promise to drop, and leave counts that add up."""

from collections.abc import Callable
from dataclasses import replace

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from ganaug.config import Compute, SynthesisConfig
from ganaug.data.dataset import DataSet
from ganaug.data.images.perceptual_hash import NUM_SYMMETRIES, apply_symmetry
from ganaug.data.schema import ImageReader, content_digest, read_table
from ganaug.data.synthetic import admit_synthetic, require_serves
from ganaug.errors import ConfigError, LeakError, UserError
from ganaug.evaluate.extractors import trained_classifier
from ganaug.generate.filters import (
    REJECTORS,
    Filter,
    FilterInputs,
    Screening,
    copies,
    describe_acceptance,
    fit_filters,
    record_of,
)
from ganaug.generate.sampler import CHUNK
from ganaug.generate.shards import synthesize_all
from ganaug.generate.synthesize import SynthesisPlan, plan_synthesis, synthesize
from ganaug.parallel.shards import Shard
from ganaug.provenance import read_provenance
from ganaug.workspace import GanRun, Workspace

FOLD = 2


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trained_classifier, "FIT", replace(trained_classifier.FIT, num_steps=3, batch=8))


@pytest.fixture
def inputs(workspace: Workspace, tiny: DataSet) -> FilterInputs:
    return FilterInputs(tiny, FOLD, workspace.gan("phantom", FOLD, "c" * 64))


# ---- every filter ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REJECTORS)
def test_a_filter_says_of_each_image_whether_it_is_accepted(name: str, inputs: FilterInputs) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    filter = REJECTORS[name](0.5, inputs)
    accepted = filter.accepts(images, 1)
    assert accepted.dtype == np.bool_
    assert accepted.shape == (5,)
    assert np.array_equal(filter.accepts(images, 1), accepted)


class Inverted:
    """A data set's images, those at `inverted` as their negative."""

    def __init__(self, reader: ImageReader, inverted: NDArray[np.int64]) -> None:
        self.reader, self.inverted = reader, inverted

    def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        images, is_inverted = self.reader[indices], np.isin(indices, self.inverted)
        return np.where(is_inverted[:, None, None, None], 255 - images, images)


@pytest.mark.parametrize("name", REJECTORS)
def test_a_filter_is_fitted_on_training_images_alone(
    name: str, inputs: FilterInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was held out may become anything: the filter stays the same; a training image may not."""
    dataset = inputs.dataset
    train, reader = dataset.train(FOLD), dataset.reader
    digests = []
    for inverted in (train[:0], np.setdiff1d(np.arange(len(dataset.table)), train), train[-1:]):
        inputs.run.extractor.unlink(missing_ok=True)
        monkeypatch.setattr(DataSet, "images", lambda _, fold, inverted=inverted: Inverted(reader, inverted))
        digests.append(REJECTORS[name](0.5, inputs).digest)
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("name", REJECTORS)
def test_a_stricter_filter_accepts_no_image_that_a_milder_one_drops(name: str, inputs: FilterInputs) -> None:
    images = inputs.dataset.reader[np.arange(30)]
    mild, strict = (REJECTORS[name](value, inputs).accepts(images, 0) for value in (0.1, 0.9))
    assert not np.any(strict & ~mild)


@pytest.mark.parametrize("name", REJECTORS)
def test_the_record_of_a_filter_names_the_training_patients_of_its_fold(name: str, inputs: FilterInputs) -> None:
    record = record_of(name, 0.5, REJECTORS[name](0.5, inputs), inputs)
    assert read_provenance(record.to_dict(), "here") == record
    train = inputs.dataset.folds.train_groups(FOLD)
    assert set(record.groups_seen) == set(map(inputs.dataset.table.patient_digest, train))
    require_serves(inputs.dataset, FOLD, record, "here")
    with pytest.raises(LeakError):
        require_serves(inputs.dataset, 0, record, "here")


# ---- copies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("symmetry", range(NUM_SYMMETRIES))
def test_copies_of_training_images_are_dropped_in_every_orientation(symmetry: int, inputs: FilterInputs) -> None:
    images = inputs.dataset.reader[inputs.dataset.train(FOLD)]
    noisy = apply_symmetry(images, symmetry, axes=(1, 2)).astype(np.int64) + np.random.default_rng(0).integers(
        -2, 3, images.shape
    )
    assert not copies(0.05, inputs).accepts(noisy.clip(0, 255).astype(np.uint8), 0).any()


def test_the_fraction_asked_for_of_other_patients_or_less_is_dropped(inputs: FilterInputs) -> None:
    images = inputs.dataset.reader[np.setdiff1d(np.arange(len(inputs.dataset.table)), inputs.dataset.train(FOLD))]
    dropped = [1 - copies(value, inputs).accepts(images, 0).mean() for value in (0.1, 0.9)]
    assert dropped[0] < 0.2 < 0.4 < dropped[1]


# ---- screening -------------------------------------------------------------------------------------------------------


class Numbers:
    """In the place of a sampler: an image shows its position."""

    def chunk(self, label: int, start: int) -> NDArray[np.uint8]:
        return np.broadcast_to(np.arange(start, start + CHUNK)[:, None, None, None], (CHUNK, 32, 32, 3)).astype(
            np.uint8
        )


def divisible(divisor: int) -> Filter:
    return Filter(lambda images, label: images[:, 0, 0, 0] % divisor == label, "")


def screen(wanted: list[int], at_a_time: int = 1, **divisors: int) -> tuple[list[list[int]], dict[str, dict[str, int]]]:
    filters = {name: divisible(divisor) for name, divisor in divisors.items()}
    screening = Screening(Numbers(), filters, ("a", "b"))  # type: ignore[arg-type]
    rows = list(screening.rows(wanted, at_a_time))
    found = [
        [i for batch in rows for i, k in zip(batch.position.tolist(), batch.label, strict=True) if k == label]
        for label in (0, 1)
    ]
    return found, screening.counts


@pytest.mark.parametrize("at_a_time", [1, 4])
def test_the_first_images_that_pass_all_filters_are_taken_and_counted_up_to_the_last(at_a_time: int) -> None:
    found, counts = screen([4, 2], at_a_time, two=2, three=3)
    assert found == [[0, 6, 12, 18], [1, 7]]
    assert counts["a"] == {"tried": 19, "two": 10, "three": 7, "accepted": 4}
    assert counts["b"] == {"tried": 8, "two": 4, "three": 3, "accepted": 2}
    assert describe_acceptance(counts).splitlines()[1] == "b: accepted 2 of 8 candidates (two 4, three 3)"


def test_a_class_of_which_nothing_is_wanted_is_not_drawn() -> None:
    found, counts = screen([0, 1], two=2)
    assert found == [[], [1]]
    assert counts["a"]["tried"] == 0


def test_filters_that_accept_too_little_end_in_one_line_with_the_rate() -> None:
    with pytest.raises(
        UserError, match=r"accept 1 of 48 candidates \(never 1\) of a; expected 2 of at most 40"
    ) as refusal:
        screen([2, 0], never=251)
    assert "\n" not in str(refusal.value)


# ---- the file --------------------------------------------------------------------------------------------------------


def filtered(workspace: Workspace, run: GanRun, monkeypatch: pytest.MonkeyPatch, value: float = 0.5) -> SynthesisPlan:
    """A plan whose filter lets every second image pass, as an untrained generator pleases no classifier."""

    def every_second(value: float, inputs: FilterInputs) -> Filter:
        fitted = copies(value, inputs)
        return replace(fitted, accepts=lambda images, label: np.arange(len(images)) % 2 == 1)

    monkeypatch.setitem(REJECTORS, "confidence", every_second)
    return plan_synthesis(workspace, run, SynthesisConfig(per_class=10, reject=(("confidence", value),)))


def test_filtered_images_carry_counts_and_records_and_are_admitted(
    workspace: Workspace, tiny: DataSet, run: GanRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = synthesize(filtered(workspace, run, monkeypatch))
    table, record = admit_synthetic(tiny, path)
    assert record.fold == FOLD
    assert table.attrs["acceptance"]["Benign"] == {"tried": 20, "confidence": 10, "accepted": 10}
    with h5py.File(path) as file:
        assert file["position"][:10].tolist() == list(range(1, 20, 2))


def test_every_batch_filters_the_same_images(
    workspace: Workspace, run: GanRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = filtered(workspace, run, monkeypatch)
    first = content_digest(synthesize(plan, batch=1))
    plan.target.unlink()
    assert content_digest(synthesize(plan, batch=4 * CHUNK)) == first


def test_images_picked_by_a_filter_that_saw_a_held_out_patient_are_refused(
    workspace: Workspace, tiny: DataSet, run: GanRun, monkeypatch: pytest.MonkeyPatch, reseal: Callable[..., None]
) -> None:
    path = synthesize(filtered(workspace, run, monkeypatch))
    leaked = tiny.folds.test_groups(FOLD)[0]

    stored = read_table(path).attrs["filters"]["confidence"]
    record = read_provenance(stored["provenance"], path)
    seen = (*record.groups_seen, tiny.table.patient_digest(leaked))
    record = replace(record, groups_seen=seen).sealed(record.content)
    reseal(path, filters={"confidence": {**stored, "provenance": record.to_dict()}})
    with pytest.raises(LeakError, match=leaked):
        admit_synthetic(tiny, path)


def test_filters_that_hide_what_they_saw_are_refused(
    workspace: Workspace, tiny: DataSet, run: GanRun, monkeypatch: pytest.MonkeyPatch, reseal: Callable[..., None]
) -> None:
    path = synthesize(filtered(workspace, run, monkeypatch))
    with h5py.File(path, "r+") as file:
        del file.attrs["filters"], file.attrs["acceptance"]
    with pytest.raises(LeakError, match="edited after it was written"):
        admit_synthetic(tiny, path)
    reseal(path, filters={"confidence": {}})
    with pytest.raises(LeakError, match="carries no provenance"):
        admit_synthetic(tiny, path)
    reseal(path, filters={})
    with pytest.raises(LeakError, match="confidence"):
        admit_synthetic(tiny, path)


def test_a_data_set_that_changed_since_the_generator_was_trained_is_refused(
    workspace: Workspace, tiny: DataSet, run: GanRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = filtered(workspace, run, monkeypatch)
    table = replace(tiny.table, attrs={**tiny.table.attrs, "fingerprint": "f" * 64})
    monkeypatch.setattr("ganaug.generate.synthesize.open_dataset", lambda workspace, name: replace(tiny, table=table))
    with pytest.raises(LeakError, match="another data set"):
        synthesize(plan)
    assert not plan.target.exists()


def test_an_unknown_filter_is_named_with_the_known_ones(
    workspace: Workspace, run: GanRun, inputs: FilterInputs
) -> None:
    with pytest.raises(ConfigError, match=r"luck.*confidence, copies"):
        plan_synthesis(workspace, run, SynthesisConfig(reject=(("luck", 0.5),)))
    with pytest.raises(ConfigError, match="luck"):
        fit_filters([("luck", 0.5)], inputs)


def test_filtered_images_are_not_sharded(workspace: Workspace, run: GanRun, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = filtered(workspace, run, monkeypatch)
    with pytest.raises(ConfigError, match="shard 0/2 of filtered images"):
        synthesize_all([plan], shard=Shard(0, 2))
    (path,) = synthesize_all([plan], compute=Compute(num_workers=3))
    assert read_table(path).class_counts().tolist() == [10] * 4
