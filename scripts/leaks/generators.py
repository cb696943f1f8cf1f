"""Leaks planted in generators: whose they are, what they were trained on, and what they began with."""

import shutil
from pathlib import Path

from ganaug.checkpoint.snapshot import load_tensors, save_tensors
from ganaug.provenance import Provenance
from leaks.forge import edit_json, edit_metadata, record_in, seal_images, seal_snapshot, swap_bytes
from leaks.leak import Leak
from leaks.scene import FOLDS, NAME, Command, Scene, command, study, write_pictures

SHORT = ("--fold", 0, "--kimg", 0.016)


def synthesize_fold_0(*options: object) -> Command:
    return command("synthesize", "--fold", 0, "--per-class", 24, "--seed", 1, *options)


# ---- files that are another fold's -----------------------------------------------------------------------------------


def put_a_snapshot_of_another_fold_here(scene: Scene) -> Command:
    """The snapshot of fold 1 lies in the folder of fold 0's generator, under its snapshot's name."""
    swap_bytes(scene.snapshot(0), scene.snapshot(1))
    return synthesize_fold_0()


def rename_the_generator_of_another_fold(scene: Scene) -> Command:
    """The folder of fold 1's generator is renamed as if it were of fold 0."""
    own, other = scene.gan(0).root, scene.gan(1).root
    renamed = other.with_name(other.name.replace("fold1", "fold0"))
    shutil.rmtree(own)
    other.rename(renamed)
    return synthesize_fold_0()


def put_weights_of_another_fold_under_this_record(scene: Scene) -> Command:
    """The weights are those of fold 1's generator, the record is that of fold 0's."""
    tensors, _ = load_tensors(scene.snapshot(1))
    _, metadata = load_tensors(scene.snapshot(0))
    save_tensors(scene.snapshot(0), tensors, metadata)
    return synthesize_fold_0()


def resume_from_the_state_of_another_fold(scene: Scene) -> Command:
    """The training state of fold 1 lies in fold 0's folder, and names fold 0's configuration."""
    (own,), (other,) = scene.gan(0).states(), scene.gan(1).states()
    tensors, metadata = load_tensors(other)
    save_tensors(own, tensors, {**metadata, "run": load_tensors(own)[1]["run"]})
    return command("train-gan", "--fold", 0, "--kimg", 0.064)


def choose_the_generator_of_another_fold(scene: Scene) -> Command:
    """The user asks for fold 1's generator to serve fold 0."""
    return study("--gan", scene.gan(1).root.name)


# ---- records that were edited ----------------------------------------------------------------------------------------


def edit_the_configuration(scene: Scene) -> Command:
    """The file that names a generator's data set and folds is edited."""
    config = scene.gan(0).config
    edit_json(config, {"created": "2000-01-01T00:00:00+00:00"})
    return study()


def edit_the_configuration_of_a_snapshot(scene: Scene) -> Command:
    """The configuration inside a snapshot is edited, so that it seems to have begun with nothing."""
    edit_metadata(scene.snapshot(0), "config", lambda config: {**config, "init": ""})
    return synthesize_fold_0()


def take_patients_out_of_a_snapshots_record(scene: Scene) -> Command:
    """A patient is taken out of the record of a snapshot."""
    edit_metadata(scene.snapshot(0), "provenance", lambda it: {**it, "groups_seen": it["groups_seen"][1:]})
    return synthesize_fold_0()


# ---- what a generator began with -------------------------------------------------------------------------------------


def _serve(scene: Scene, *options: object) -> None:
    """Train a further generator of fold 0 and let it serve the fold, as it is configured last."""
    scene.do("train-gan", *SHORT, *options)
    scene.do("synthesize", "--fold", 0, "--per-class", 24)


def begin_with_the_generator_of_another_fold(scene: Scene) -> Command:
    """A generator of fold 0 begins with the weights of fold 1's, which knows fold 0's test patients."""
    _serve(scene, "--init", scene.snapshot(1))
    return study()


def begin_with_it_through_another_generator(scene: Scene) -> Command:
    """The same at one remove: it begins with a generator of fold 2 that began with fold 1's."""
    scene.do("train-gan", "--fold", 2, "--kimg", 0.016, "--init", scene.snapshot(1))
    _serve(scene, "--init", scene.snapshot(2))
    return study()


def begin_with_the_same_pictures_under_other_names(scene: Scene) -> Command:
    """A generator begins with one of the same pictures, saved again under other names, and their origin is declared."""
    source = scene.root / "renamed"
    write_pictures(scene.dataset, source, rename=lambda name: f"other-{name[::-1]}", suffix=".tif")
    scene.do("prepare", "--dataset", "folder", "--source", source, "--name", "other", "--resolution", 16,
             "--folds", FOLDS, "--seed", 4)  # fmt: skip
    scene.do("train-gan", "--dataset", "other", *SHORT)
    (other,) = scene.workspace.gans("other")[0].snapshots()
    scene.do("train-gan", "--dataset", NAME, *SHORT, "--init", other, "--init-saw", "images of another hospital")
    scene.do("synthesize", "--dataset", NAME, "--fold", 0, "--per-class", 24)
    return study("--dataset", NAME)


def _unknown(scene: Scene) -> Path:
    """A snapshot of which nobody knows what it saw, as `ganaug import-gan` writes them."""
    path = scene.root / "unknown.safetensors"
    nothing = Provenance("unknown", "", "", -1, ("unknown:0123456789abcdef",), "0" * 64)
    fields = ("dataset", "dataset_fingerprint", "folds_digest", "fold", "groups_seen", "images_seen", "hashes_seen")
    seal_snapshot(scene.snapshot(1), path, **{name: getattr(nothing, name) for name in fields})
    return path


def begin_with_weights_of_unknown_origin(scene: Scene) -> Command:
    """A generator begins with imported weights of which nobody says what they saw."""
    _serve(scene, "--init", _unknown(scene))
    return study()


def begin_with_weights_and_declare_their_origin(scene: Scene) -> Command:
    """The same, and the user says what they saw, which is not true."""
    _serve(scene, "--init", _unknown(scene), "--init-saw", "photographs of birds")
    return study()


# ---- fractions of the real images ------------------------------------------------------------------------------------


def ask_for_fewer_real_images_than_the_generator_saw(scene: Scene) -> Command:
    """A study of half of the real images draws from a generator that saw all of them."""
    return study("--real-fraction", 0.5)


def say_that_a_generator_saw_a_fraction(scene: Scene) -> Command:
    """The same, and its file says that it saw that half alone; its record says more."""
    path = scene.root / "half.h5"
    shutil.copyfile(scene.synthetic(0), path)
    seal_images(path, real_fraction=0.5)
    return study("--real-fraction", 0.5, "--synthetic", path)


def fill_the_file_of_a_fraction_with_images_of_the_whole(scene: Scene) -> Command:
    """A generator saw half of the real images; its file is filled with those of one that saw all, under its record."""
    scene.do("train-gan", *SHORT, "--real-fraction", 0.5)
    scene.do("synthesize", "--fold", 0, "--per-class", 24, "--real-fraction", 0.5)
    half = scene.workspace.gans(NAME, 0)[-1].root.name
    (path,) = (path for path in scene.workspace.synthetics() if path.name.startswith(half))
    record = record_in(scene.synthetic(0))
    path.write_bytes(scene.synthetic(0).read_bytes())
    seal_images(path, record, real_fraction=0.5)
    return study("--real-fraction", 0.5)


LEAKS = (
    Leak(put_a_snapshot_of_another_fold_here, r"is a snapshot of phantom-fold1-\w+; expected one of phantom-fold0-"),
    Leak(rename_the_generator_of_another_fold, r"is a snapshot of phantom-fold1-\w+; expected one of phantom-fold0-"),
    Leak(put_weights_of_another_fold_under_this_record, r"was changed after its provenance was sealed"),
    Leak(resume_from_the_state_of_another_fold, r"was edited after it was written"),
    Leak(choose_the_generator_of_another_fold, r"is of fold 1 of phantom; expected of fold 0"),
    Leak(edit_the_configuration, r"config\.json was edited after it was written.* serves no fold until then"),
    Leak(edit_the_configuration_of_a_snapshot, r"was changed after its provenance was sealed"),
    Leak(take_patients_out_of_a_snapshots_record, r"the provenance of .* was edited after it was written"),
    Leak(begin_with_the_generator_of_another_fold, r"a training that saw .* of the validation or test part of fold 0"),
    Leak(begin_with_it_through_another_generator, r"a training that saw .* of the validation or test part of fold 0"),
    Leak(begin_with_the_same_pictures_under_other_names, r"saw 24 pictures of .* fold 0 .* under other names"),
    Leak(begin_with_weights_of_unknown_origin, r"saw 1 patients whom phantom does not know"),
    Leak(begin_with_weights_and_declare_their_origin, r"declared and checked by nothing: .*photographs of birds"),
    Leak(ask_for_fewer_real_images_than_the_generator_saw, r"the generators saw all real training images"),
    Leak(say_that_a_generator_saw_a_fraction, r"training images of fold 0 that the fraction 0.5 leaves out"),
    Leak(fill_the_file_of_a_fraction_with_images_of_the_whole, r"that the fraction 0.5 leaves out|lies under the name"),
)
