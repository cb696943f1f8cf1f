"""Leaks that a reviewer, a colleague or an attacker could plant: each is refused with its reason, or reported."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from classifiers.registry import seeded_build
from ganaug.checkpoint.snapshot import content_of, load_snapshot, load_tensors, save_tensors
from ganaug.classify.trained import content_of_weights, trained_classifier
from ganaug.config import FoldsConfig, GanConfig, NetworkConfig, PrepareConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.folds.folds import make_folds, write_folds
from ganaug.data.hdf5.image_writer import writing_images
from ganaug.data.held_out import find_seen, find_shown, held_out
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.data.schema import read_table
from ganaug.data.synthetic import admit_synthetic, require_serves
from ganaug.errors import ConfigError, CorruptFile, LeakError, WorkspaceError
from ganaug.generate.find import Choice, generators_for, supplies_for, supply_for
from ganaug.generate.synthesize import SynthesisConfig, plan_synthesis, synthesize
from ganaug.provenance import Provenance, sealed
from ganaug.study.cells import load_cell
from ganaug.study.design import plan
from ganaug.study.guard import admit
from ganaug.study.run import evaluate_augmentation, lay_down
from ganaug.train.loop import train_gan
from ganaug.train.task import plan_training
from ganaug.workspace import GanRun, Workspace, read_json, read_jsonl, write_json

Reseal = Callable[..., None]


# ---- a file's own word -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["group_id", "label", "sha256", "site_id"])
def test_a_patient_moved_to_the_training_part_is_refused_at_the_opening(tiny: DataSet, workspace, column: str) -> None:
    with h5py.File(tiny.path, "r+") as file:
        old = file[column][0]
        file[column][0] = file[column][-1] if column == "group_id" else b"other" if isinstance(old, bytes) else 1 - old
    with pytest.raises(LeakError, match="edited after it was written"):
        open_dataset(workspace, tiny.name)


def test_pixels_of_test_patients_in_training_rows_are_found_by_whatever_uses_them(tiny: DataSet, workspace) -> None:
    train, test = tiny.train(0), tiny.test(0)
    with h5py.File(tiny.path, "r+") as file:
        file["images"][int(train[0])] = file["images"][int(test[0])]
    dataset = open_dataset(workspace, tiny.name)  # the table is as it was
    for use in (dataset.images, lambda fold: dataset.reader, lambda fold: trained_classifier(Path("x"), dataset, fold)):
        with pytest.raises(LeakError, match="was changed after it was written"):
            use(0)


def test_another_folds_stain_is_refused(tmp_path: Path, workspace: Workspace, tiny: DataSet) -> None:
    path = workspace.dataset("stained")
    table = replace(tiny.table, attrs={**tiny.table.attrs, "stain": {"method": "macenko"}})
    with writing_images(path, 16) as writer:
        writer.append(tiny.reader[np.arange(len(table))])
        for fold in range(3):
            writer.append_stained(fold, np.full((len(table), 16, 16, 3), fold, np.uint8))
        table = writer.finish(table)
    write_folds(workspace.folds("stained"), make_folds(table, FoldsConfig(num_folds=3)))
    assert open_dataset(workspace, "stained").images(1)[np.array([0])].max() == 1
    with h5py.File(path, "r+") as file:
        file["stained/fold0"][...] = file["stained/fold1"][...]
    dataset = open_dataset(workspace, "stained")
    assert dataset.images(1)[np.array([0])].max() == 1
    with pytest.raises(LeakError, match=r"stained/fold0"):
        dataset.images(0)


def test_a_state_of_another_fold_is_not_trained_on_in_this_one(trained: GanRun) -> None:
    workspace = Workspace(trained.root.parent.parent)
    dataset = open_dataset(workspace, "phantom")
    here = plan_training(workspace, dataset, 0, gan_config())
    (theirs,) = trained.states()
    tensors, metadata = load_tensors(theirs)
    save_tensors(here.run.state(16), tensors, {**metadata, "run": here.digest})
    with pytest.raises(CorruptFile, match="edited after it was written"):
        train_gan(here)
    assert here.run.snapshots() == []


@pytest.mark.parametrize("name", ["config", "class_names"])
def test_a_snapshot_with_another_configuration_or_other_classes_is_refused(trained: GanRun, name: str) -> None:
    (path,) = trained.snapshots()
    tensors, metadata = load_tensors(path)
    old = json.loads(metadata[name])
    new = {**old, "seed": 7} if name == "config" else old[::-1]
    save_file(tensors, path, metadata={**metadata, name: json.dumps(new)})
    with pytest.raises(LeakError, match="changed after"):
        load_snapshot(path)


def test_a_generator_whose_configuration_was_edited_serves_no_fold(trained: GanRun) -> None:
    workspace = Workspace(trained.root.parent.parent)
    dataset = open_dataset(workspace, "phantom")
    assert len(generators_for(workspace, dataset, 2)) == 1
    write_json(trained.config, {**read_json(trained.config), "created": "2000-01-01"})
    assert generators_for(workspace, dataset, 2) == []
    for other in (5, [], {}, "text"):
        write_json(trained.config, other)
        assert generators_for(workspace, dataset, 2) == []


# ---- pictures under other names --------------------------------------------------------------------------------------


def other_names(tiny: DataSet, workspace: Workspace) -> DataSet:
    """The same pictures under permuted names, in folds of their own."""
    names = {name: f"other-{name}" for name in tiny.folds.groups}
    table = replace(
        tiny.table,
        group_id=np.array([names[name] for name in tiny.table.group_id.tolist()]),
        sha256=np.array([f"{value[::-1]}" for value in tiny.table.sha256.tolist()]),  # saved again, so other bytes
    )
    with writing_images(workspace.dataset("other"), 16) as writer:
        writer.append(tiny.reader[np.arange(len(table))])
        table = writer.finish(table)
    write_folds(workspace.folds("other"), make_folds(table, FoldsConfig(num_folds=3, seed=5)))
    return open_dataset(workspace, "other")


def test_a_generator_begun_on_the_same_pictures_under_other_names_is_refused(tiny: DataSet, workspace) -> None:
    other = other_names(tiny, workspace)
    before = other.table.seen(np.arange(len(other.table)))
    assert not set(before.groups) & set(tiny.table.seen(np.arange(len(tiny.table))).groups)
    network = NetworkConfig(16, 4, z_dim=16, w_dim=16, channel_base=128, channel_max=16)
    task = plan_training(workspace, tiny, 0, GanConfig(network, total_kimg=0.016, batch=8))
    honest = task.provenance(1.0).sealed("x")
    require_serves(tiny, 0, honest, "it")
    begun = replace(task, seen_before=replace(before, groups=()), declared=("other.safetensors: a colleague's",))
    assert begun.num_held_out == len(held_out(tiny, 0))
    with pytest.raises(LeakError, match=r"saw 32 pictures of the validation or test part .* under other names"):
        require_serves(tiny, 0, begun.provenance(1.0).sealed("x"), "it")


def test_pictures_of_another_phantom_are_no_pictures_of_this_one(tiny: DataSet, workspace: Workspace) -> None:
    config = PrepareConfig("phantom", name="second", resolution_px=16, seed=1, folds=FoldsConfig(num_folds=3))
    config = replace(config, phantom=replace(config.phantom, resolution_px=16, num_patients=40, images_per_patient=5))
    prepare_dataset(workspace, config)
    other = open_dataset(workspace, "second")
    everything = np.arange(len(other.table))
    assert len(find_seen(tiny, 0, other.table.seen(everything))) == 0
    assert len(find_shown(tiny, 0, other.reader[everything])) == 0


def as_jpeg(image: np.ndarray, quality: int = 90) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda image: image,
    "rotated": np.rot90,
    "flipped": lambda image: image[:, ::-1],
    "transposed": lambda image: image.swapaxes(0, 1),
    "lighter": lambda image: np.clip(image * 1.1, 0, 255).astype(np.uint8),
    "as JPEG": as_jpeg,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_synthetic_file_that_holds_a_held_out_picture_is_refused(
    trained: GanRun, reseal: Reseal, change: str
) -> None:
    workspace = Workspace(trained.root.parent.parent)
    dataset = open_dataset(workspace, "phantom")
    path = synthesize(plan_synthesis(workspace, trained, SynthesisConfig(per_class=6)))
    assert admit(workspace, dataset, 2, path).fold == 2
    victim = int(dataset.test(2)[1])
    with h5py.File(path, "r+") as file:
        file["images"][7] = CHANGES[change](dataset.reader[np.array([victim])][0])
    with pytest.raises(LeakError, match="changed after"):
        admit(workspace, dataset, 2, path)
    reseal(path)
    with pytest.raises(LeakError, match=rf"image 7 of .* shows the picture {dataset.table.image_id[victim]}"):
        admit(workspace, dataset, 2, path)


def test_a_shard_with_a_foreign_image_is_not_merged_and_sealed_again_it_is_refused(
    trained: GanRun, reseal: Reseal
) -> None:
    from ganaug.generate.synthesize import merge, merge_parts
    from ganaug.parallel.shards import Shard

    workspace = Workspace(trained.root.parent.parent)
    dataset = open_dataset(workspace, "phantom")
    plan = plan_synthesis(workspace, trained, SynthesisConfig(per_class=20))
    parts = [synthesize(plan, Shard(index, 2)) for index in range(2)]
    with h5py.File(parts[0], "r+") as file:
        file["images"][3] = dataset.reader[dataset.test(2)[:1]][0]
    assert merge(plan, 2) is None
    reseal(parts[0])
    with pytest.raises(LeakError, match=r"image 3 of .* shows the picture"):
        admit(workspace, dataset, 2, merge_parts(plan))


@pytest.mark.parametrize(("suffix", "quality"), [("png", None), ("jpg", 90)])
def test_synthetic_images_saved_again_are_found_among_real_ones(
    trained: GanRun, tmp_path: Path, suffix: str, quality: int | None
) -> None:
    workspace = Workspace(trained.root.parent.parent)
    dataset = open_dataset(workspace, "phantom")
    path = workspace.synthetic(trained.root.name, 1, 1.0, 0)
    rng = np.random.default_rng(3)
    made = np.clip(dataset.reader[np.arange(8)][:, ::-1] + rng.integers(-40, 40, (8, 16, 16, 3)), 0, 255)
    made = np.repeat(np.repeat(made.astype(np.uint8), 4, axis=1), 4, axis=2)
    table = replace(dataset.table, **{name: getattr(dataset.table, name)[:8] for name in COLUMNS}, phash=hashes(made))
    with writing_images(path, 64) as writer:
        writer.append(made)
        record = plan_training(workspace, dataset, 2, gan_config()).provenance(1.0)
        writer.finish(replace(table, attrs={"resolution_px": 64, "source": "synthetic"}), record=record)
    root = tmp_path / "images"
    real = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), np.uint8)
    for number, image in enumerate([*real, np.rot90(made[1]), made[5]]):
        file = root / "ab"[number % 2] / f"p{number // 2}-{number % 2}" / f"{number}.{suffix if number > 11 else 'png'}"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(image)).save(
            file, **({"quality": quality} if number > 11 and quality else {})
        )
    prepared = prepare_dataset(
        workspace, PrepareConfig("folder", str(root), name="mixed", resolution_px=64, folds=FoldsConfig(3))
    )
    assert len(prepared.table) == 12
    assert [Path(name).stem for name, _ in prepared.left_out] == ["12", "13"]
    assert all(path.name in reason for _, reason in prepared.left_out)


COLUMNS = ("label", "image_id", "group_id", "site_id", "path", "sha256", "magnification", "um_per_px")


def hashes(images: np.ndarray) -> np.ndarray:
    from ganaug.data.images.perceptual_hash import phash

    return np.array([phash(image) for image in images], np.uint64)


def gan_config() -> GanConfig:
    network = NetworkConfig(16, 4, z_dim=16, w_dim=16, channel_base=128, channel_max=16)
    return GanConfig(network, total_kimg=0.016, batch=8)


# ---- weights that a classifier starts from ---------------------------------------------------------------------------


def weights(tmp_path: Path, record: Provenance | None = None, seed: int = 5) -> Path:
    """Weights of a classifier, sealed with a record as the extractor of a generator is, or without any."""
    start = seeded_build("dalaresnet50_small", 2, seed, image_size_px=16)
    state = {name: value.contiguous() for name, value in start.state_dict().items()}
    path = tmp_path / "start.safetensors"
    metadata = {"provenance": record.sealed(content_of_weights(state)).to_json()} if record else None
    save_file(state, path, metadata=metadata)
    return path


def test_weights_that_name_test_patients_of_a_fold_are_refused(world, quick, tmp_path: Path) -> None:
    path = weights(tmp_path, world.provenance(1))
    config = replace(quick, pretrained=(("dalaresnet50_small", str(path)),))
    with pytest.raises(LeakError, match="of the validation or test part of fold 0"):
        lay_down(world.workspace, world.dataset, world.synthesize_all(), config)
    path = weights(tmp_path, world.provenance(0))
    design = lay_down(world.workspace, world.dataset, world.synthesize_all(), config)
    assert design.origins["dalaresnet50_small"].startswith("trained by ganaug on fold 0 of tiny")


def test_weights_under_the_record_of_others_are_refused(world, quick, tmp_path: Path) -> None:
    _, honest = load_tensors(weights(tmp_path, world.provenance(0)))
    path = weights(tmp_path, seed=6)  # which may have seen anybody
    save_file(load_tensors(path)[0], path, metadata=honest)
    config = replace(quick, pretrained=(("dalaresnet50_small", str(path)),))
    with pytest.raises(LeakError, match="was changed after its provenance was sealed"):
        lay_down(world.workspace, world.dataset, world.synthesize_all(), config)


UNKNOWN: dict[str, dict[str, tuple[str, ...]]] = {
    "patients of another data set": {"groups_seen": ("a" * 24, "b" * 24), "images_seen": (), "hashes_seen": ()},
    "an import": {"groups_seen": ("unknown:0123",), "images_seen": (), "hashes_seen": ()},
    "nobody": {"groups_seen": (), "images_seen": (), "hashes_seen": ()},
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_weights_whose_patients_are_unknown_need_a_word_which_the_report_repeats(
    world, quick, tmp_path: Path, kind: str
) -> None:
    path = weights(tmp_path, replace(world.provenance(0), **UNKNOWN[kind]))
    config = replace(quick, pretrained=(("dalaresnet50_small", str(path)),))
    with pytest.raises(LeakError, match="--pretrained-saw"):
        lay_down(world.workspace, world.dataset, world.synthesize_all(), config)
    config = replace(config, pretrained_saw=(("dalaresnet50_small", "patients of Graz"),))
    origin = lay_down(world.workspace, world.dataset, world.synthesize_all(), config).origins["dalaresnet50_small"]
    assert origin.startswith("declared, and checked by nothing: patients of Graz")  # by which the verdict warns


def test_weights_that_began_with_declared_ones_say_so(world, quick, tmp_path: Path) -> None:
    path = weights(tmp_path, replace(world.provenance(0), declared=("weights 0123: birds",)))
    config = replace(quick, pretrained=(("dalaresnet50_small", str(path)),))
    origin = lay_down(world.workspace, world.dataset, world.synthesize_all(), config).origins["dalaresnet50_small"]
    assert origin.startswith("declared, and checked by nothing: weights 0123: birds")


def test_weights_of_unknown_origin_are_refused_until_it_is_declared_and_then_reported(
    world, quick, tmp_path: Path
) -> None:
    config = replace(quick, pretrained=(("dalaresnet50_small", str(weights(tmp_path))),))
    with pytest.raises(LeakError, match="carries no record of what it saw"):
        lay_down(world.workspace, world.dataset, world.synthesize_all(), config)
    config = replace(config, pretrained_saw=(("dalaresnet50_small", "photographs of birds"),))
    outcome = evaluate_augmentation(world.workspace, world.dataset, world.synthesize_all(), config, jobs=1)
    assert any("photographs of birds" in warning for warning in outcome.verdict.warnings)
    assert "photographs of birds" in outcome.study.report.read_text()


# ---- cells, designs and looks ----------------------------------------------------------------------------------------


def finished(world, config):
    outcome = evaluate_augmentation(world.workspace, world.dataset, world.synthesize_all(), config, jobs=1)
    design = lay_down(world.workspace, world.dataset, world.synthesize_all(), config)
    return outcome.study, plan(design)


@pytest.mark.filterwarnings("ignore:ganaug")
def test_a_cell_copied_over_another_arms_is_trained_again(world, quick) -> None:
    study, cells = finished(world, quick)
    real, synthetic = (next(cell for cell in cells if cell.arm == arm) for arm in ("real", "synthetic-only"))
    study.predictions(synthetic.name).write_bytes(study.predictions(real.name).read_bytes())
    record = read_json(study.cell(real.name))
    write_json(study.cell(synthetic.name), {**record, "digest": synthetic.digest})
    assert load_cell(study, synthetic, world.dataset) is None
    write_json(study.cell(synthetic.name), sealed({**record, "digest": synthetic.digest}))
    assert load_cell(study, synthetic, world.dataset) is None
    assert load_cell(study, real, world.dataset) is not None


@pytest.mark.filterwarnings("ignore:ganaug")
def test_an_edited_score_is_not_repeated_by_the_results(world, quick) -> None:
    study, cells = finished(world, quick)
    record = read_json(study.cell(cells[0].name))
    record["scores"]["by_image"]["overall"]["accuracy"] = 0.999
    write_json(study.cell(cells[0].name), record)
    finished(world, quick)
    rows = read_jsonl(study.results)
    assert len(rows) == len(cells)
    assert all(row["by_image"]["accuracy"] != 0.999 for row in rows)


@pytest.mark.filterwarnings("ignore:ganaug")
def test_predictions_on_other_images_are_no_cells(world, quick) -> None:
    study, cells = finished(world, quick)
    path = study.predictions(cells[0].name)
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored}
    arrays["labels"] = 1 - arrays["labels"]
    np.savez(path, **arrays)
    from ganaug.provenance import digest_of_file

    record = read_json(study.cell(cells[0].name))
    write_json(study.cell(cells[0].name), sealed({**record, "predictions": digest_of_file(path)}))
    assert load_cell(study, cells[0], world.dataset) is None


def test_cells_of_the_pixels_of_before_are_not_reused(world, quick, reseal: Reseal) -> None:
    before = plan(lay_down(world.workspace, world.dataset, world.synthesize_all(), quick))
    with h5py.File(world.dataset.path, "r+") as file:
        file["images"][0] = 255 - file["images"][0]
    reseal(world.dataset.path)
    table = read_table(world.dataset.path)
    write_folds(world.workspace.folds("tiny"), make_folds(table, FoldsConfig(num_folds=3)))
    changed = replace(world, dataset=open_dataset(world.workspace, "tiny"))
    after = plan(lay_down(changed.workspace, changed.dataset, changed.synthesize_all(), quick))
    assert len(before) == len(after) == 4
    assert not {cell.digest for cell in before} & {cell.digest for cell in after}


def test_every_further_look_at_the_same_patients_is_counted_in_each_report(world, quick) -> None:
    studies = []
    for ratio in (0.5, 1.0, 1.5):
        config = replace(quick, ratio=ratio)
        studies.append(evaluate_augmentation(world.workspace, world.dataset, world.synthesize_all(), config, jobs=1))
    assert not any("Look " in warning for warning in studies[0].verdict.warnings)
    assert "Look 2 of 2 at these patients" in studies[1].verdict.warnings[0]
    assert "Look 3 of 3 at these patients" in studies[2].verdict.warnings[0]
    page = studies[2].study.report.read_text()
    assert all(one.study.root.name in page for one in studies)
    again = evaluate_augmentation(
        world.workspace, world.dataset, world.synthesize_all(), replace(quick, ratio=0.5), jobs=1
    )
    assert "Look 1 of 3 at these patients" in again.verdict.warnings[0]


def test_a_study_that_hides_its_patients_still_counts_as_a_look(world, quick) -> None:
    first = evaluate_augmentation(world.workspace, world.dataset, world.synthesize_all(), quick, jobs=1)
    write_json(first.study.design, {**read_json(first.study.design), "tested": []})
    config = replace(quick, ratio=0.5)
    second = evaluate_augmentation(world.workspace, world.dataset, world.synthesize_all(), config, jobs=1)
    assert "of 2 at these patients" in second.verdict.warnings[0]
    assert "edited after it was written" in second.study.report.read_text()


# ---- which file serves -----------------------------------------------------------------------------------------------


def test_what_serves_does_not_depend_on_the_times_of_files(trained: GanRun) -> None:
    import os

    workspace = Workspace(trained.root.parent.parent)
    dataset = open_dataset(workspace, "phantom")
    first, second, small = (
        synthesize(plan_synthesis(workspace, trained, SynthesisConfig(per_class=number, seed=seed)))
        for seed, number in enumerate((8, 8, 2))
    )
    for times in ([1, 2, 3], [3, 2, 1], [2, 3, 1]):
        for path, seconds in zip((first, second, small), times, strict=True):
            os.utime(path, (seconds, seconds))
        supply = supply_for(workspace, dataset, 2, at_least=5)
        assert supply is not None
        assert (supply.synthetic, supply.num_others) == (second, 2)
        assert supply_for(workspace, dataset, 2).synthetic == small  # type: ignore[union-attr]
    assert supply_for(workspace, dataset, 2, at_least=99).synthetic in (first, second)  # type: ignore[union-attr]
    chosen = supply_for(workspace, dataset, 2, choice=Choice(files=(first,)))
    assert chosen is not None
    assert chosen.synthetic == first
    assert supplies_for(workspace, dataset, [0, 1, 2])[0].fold == 2


def test_what_was_chosen_serves_or_is_refused_and_nothing_takes_its_place(trained: GanRun) -> None:
    workspace = Workspace(trained.root.parent.parent)
    dataset = open_dataset(workspace, "phantom")
    paths = [synthesize(plan_synthesis(workspace, trained, SynthesisConfig(2, seed=seed))) for seed in range(2)]
    assert supplies_for(workspace, dataset, [1, 2], choice=Choice(files=(paths[0],)))[0].synthetic == paths[0]
    for choice in (Choice(files=(paths[0],)), Choice(gans=(trained.root.name,))):
        with pytest.raises(ConfigError, match="is of fold 2 of phantom; expected of fold 0, 1 of phantom"):
            supplies_for(workspace, dataset, [0, 1], choice=choice)
    with pytest.raises(ConfigError, match="are both of fold 2"):
        supplies_for(workspace, dataset, [2], choice=Choice(files=tuple(paths)))


def test_a_generator_of_other_folds_serves_none_of_these(trained: GanRun) -> None:
    workspace = Workspace(trained.root.parent.parent)
    dataset = open_dataset(workspace, "phantom")
    synthesize(plan_synthesis(workspace, trained, SynthesisConfig(per_class=2)))
    assert supply_for(workspace, dataset, 2) is not None
    write_folds(workspace.folds("phantom"), make_folds(dataset.table, FoldsConfig(num_folds=3, seed=9)))
    other = open_dataset(workspace, "phantom")
    assert supply_for(workspace, other, 2) is None
    with pytest.raises(WorkspaceError, match="other folds"):
        supply_for(workspace, other, 2, choice=Choice(gans=(trained.root.name,)))


def test_images_that_hide_whom_their_generator_saw_disagree_with_its_snapshot(trained: GanRun, reseal: Reseal) -> None:
    workspace = Workspace(trained.root.parent.parent)
    dataset = open_dataset(workspace, "phantom")
    path = synthesize(plan_synthesis(workspace, trained, SynthesisConfig(per_class=2)))
    _, record = admit_synthetic(dataset, path)
    reseal(path, replace(record, images_seen=record.images_seen[1:]))
    with pytest.raises(LeakError, match="synthesize again"):
        admit(workspace, dataset, 2, path)


def test_a_snapshot_of_another_fold_put_into_this_ones_folder_makes_no_images(trained: GanRun) -> None:
    workspace = Workspace(trained.root.parent.parent)
    dataset = open_dataset(workspace, "phantom")
    other = train_gan(plan_training(workspace, dataset, 1, gan_config()))
    (own,), (theirs,) = trained.snapshots(), other.snapshots()
    own.write_bytes(theirs.read_bytes())
    with pytest.raises(LeakError, match=f"is a snapshot of {other.root.name}; expected one of {trained.root.name}"):
        synthesize(plan_synthesis(workspace, trained, SynthesisConfig(per_class=2)))
    assert workspace.synthetics() == []


def test_a_snapshot_sealed_again_with_other_weights_is_another_generator(trained: GanRun) -> None:
    workspace = Workspace(trained.root.parent.parent)
    dataset = open_dataset(workspace, "phantom")
    path = synthesize(plan_synthesis(workspace, trained, SynthesisConfig(per_class=2)))
    (snapshot,) = trained.snapshots()
    tensors, metadata = load_tensors(snapshot)
    tensors = {name: value + 1 if value.is_floating_point() else value for name, value in tensors.items()}
    content = content_of(tensors, metadata)
    record = replace(load_snapshot(snapshot).provenance, generator=content).sealed(content)
    save_tensors(snapshot, tensors, {**metadata, "provenance": record.to_json()})
    assert torch.is_tensor(next(iter(tensors.values())))
    with pytest.raises(LeakError, match="was made by the generator"):
        admit(workspace, dataset, 2, path)
