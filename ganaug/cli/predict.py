"""`ganaug predict`: class probabilities of a user's own images, by image and by patient."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganaug.cli import reference
from ganaug.cli.common import Common, common_options, shown, warn
from ganaug.cli.find import ClassifierChoice, classifier_options, weights_option
from ganaug.errors import ConfigError, UserError, private
from ganaug.workspace import open_workspace, user_path

if TYPE_CHECKING:
    from ganaug.classify.stored import StoredClassifier

SKIPPED_SHOWN = 20
_NAMED = re.compile(r"(?P<name>[\w:.-]+(?:\[[^]]*\])?)=(?P<file>.+)")


@click.command(epilog=reference.PREDICT)
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="CSV",
              help="Table to write; that of patients goes next to it")  # fmt: skip
@classifier_options
@click.option("--pretrained", metavar="FILE",
              help="Weights that a probe was trained with, if not published ones; or NAME=FILE")  # fmt: skip
@weights_option
@click.option("--layout", metavar="LEVELS", help="The folder levels from the top, such as class/patient")
@click.option("--patients", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="CSV",
              help="Patients of the images: a table with the columns path,group")  # fmt: skip
@click.option("--um-per-px", type=float, help="Micrometres per pixel of the images")
@click.option("--test", "is_test", is_flag=True, help="Score against the class folders; refused where any was seen")
@common_options("workspace", "device")
def predict(
    common: Common,
    source: Path,
    out: Path,
    choice: ClassifierChoice,
    pretrained: str | None,
    weights_dir: Path | None,
    layout: str | None,
    patients: Path | None,
    um_per_px: float | None,
    is_test: bool,
) -> None:
    """Predict the images of SOURCE, a folder, an archive or one file, with a classifier of train-classifier.

    It says which images are of pictures that the classifier was trained or selected on, and calls nothing a test that
    holds one of them.
    """
    from ganaug.classify.predict.predict import predict_images
    from ganaug.classify.predict.seen import dataset_of
    from ganaug.classify.predict.tables import require_testable, require_writable, score_test, table_paths, write_tables
    from ganaug.classify.predict.user_images import list_images
    from ganaug.data.archives.files import existing, printable

    if um_per_px is not None and not 0 < um_per_px < 1e6:
        raise ConfigError(f"--um-per-px {um_per_px}", expected="a positive number below a million")
    require_writable(out, is_test=is_test)
    stored = _open(common, choice, pretrained, weights_dir)
    images = list_images(existing(str(source), "SOURCE"), stored.class_names, layout=layout, patients=patients)
    dataset = dataset_of(stored, open_workspace(common.workspace_path, tidy=False))
    if is_test:
        require_testable(images, stored, dataset)
    warn(f"note: {stored.name} of fold {stored.fold} of {stored.dataset}, {stored.run.root.name}")
    found = predict_images(stored, images, dataset=dataset, um_per_px=um_per_px, progress=True)
    for note in (*images.notes, *found.notes(is_test=is_test)):
        warn(f"note: {note}")
    for path, reason in found.skipped[:SKIPPED_SHOWN]:
        warn(f"note: skipped {private(path)}: {reason}")
    if len(found.skipped) > SKIPPED_SHOWN:
        warn(f"note: {len(found.skipped) - SKIPPED_SHOWN} more images are skipped")
    scores = score_test(out, stored, found) if is_test else None
    written = [str(path) for path in write_tables(out, found)]
    num = len(found.images)
    lines = [f"{num} image{'s' * (num != 1)} predicted, {len(found.skipped)} skipped"]
    if scores is not None:
        written.append(str(table_paths(out)[2]))
        by_patient = (scores["by_patient"] or {}).get("overall") or {}
        lines.append(
            f"balanced accuracy by image {shown(scores['by_image']['overall']['balanced_accuracy'])}, by patient "
            f"{shown(by_patient.get('balanced_accuracy'))}"
        )
    value = {"classifier": str(stored.run.root), "images": num, "seen": int(found.compared.is_seen.sum()),
             "patients_seen": [printable(name) for name in found.compared.patients_seen], "files": written,
             "skipped": [[printable(path), reason] for path, reason in found.skipped], "scores": scores}  # fmt: skip
    common.report(value, "\n".join([*lines, *written]))


def _open(
    common: Common, choice: ClassifierChoice, pretrained: str | None, weights_dir: Path | None
) -> "StoredClassifier":
    """Open the classifier; NAME=FILE is taken for its weights as well, where NAME is its own."""
    name, file = _named_file(pretrained)
    stored = choice.open(common, pretrained=user_path(file) if file else None, weights_dir=weights_dir)
    if name and name != stored.name:
        raise ConfigError(f"--pretrained {pretrained} with {stored.name}", expected=f"FILE, or {stored.name}=FILE")
    return stored


def _named_file(given: str | None) -> tuple[str, str | None]:
    """The classifier, empty where none is named, and the file of FILE or NAME=FILE."""
    from ganaug.study.training_set import name_classifier

    match = _NAMED.fullmatch(given or "")
    if match is None:
        return "", given
    try:
        return name_classifier(match["name"]), match["file"]
    except UserError:  # a path with = in it
        return "", given
