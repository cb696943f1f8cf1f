"""`ganaug predict`: class probabilities of a user's own images, by image and by patient."""

from pathlib import Path

import click

from ganaug.cli import reference
from ganaug.cli.common import Common, common_options, warn
from ganaug.cli.find import ClassifierChoice, classifier_options, weights_option
from ganaug.errors import ConfigError, private

SKIPPED_SHOWN = 20


@click.command(epilog=reference.PREDICT)
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="CSV",
              help="Table to write; that of patients goes next to it")  # fmt: skip
@classifier_options
@click.option("--pretrained", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Weights that a probe was trained with, where they are not published ones")  # fmt: skip
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
    pretrained: Path | None,
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
    from ganaug.classify.predict import predict_images, require_labelled, score_test, table_paths, write_tables
    from ganaug.classify.user_images import list_images
    from ganaug.data.archives.files import existing

    if um_per_px is not None and not 0 < um_per_px < 1e6:
        raise ConfigError(f"--um-per-px {um_per_px}", expected="a positive number below a million")
    table_paths(out)
    stored = choice.open(common, pretrained=pretrained, weights_dir=weights_dir)
    images = list_images(existing(str(source), "SOURCE"), stored.class_names, layout=layout, patients=patients)
    if is_test:
        require_labelled(images)
    warn(f"note: {stored.name} of fold {stored.fold} of {stored.dataset}, {stored.run.root.name}")
    found = predict_images(stored, images, um_per_px=um_per_px, progress=True)
    for note in (*images.notes, *found.notes()):
        warn(f"note: {note}")
    for path, reason in found.skipped[:SKIPPED_SHOWN]:
        warn(f"note: skipped {private(path)}: {reason}")
    if len(found.skipped) > SKIPPED_SHOWN:
        warn(f"note: {len(found.skipped) - SKIPPED_SHOWN} more images are skipped")
    scores = score_test(out, stored, found) if is_test else None
    written = [str(path) for path in write_tables(out, found)]
    num_seen = int(found.is_seen.sum())
    lines = [f"{len(found.images)} images predicted, {len(found.skipped)} skipped", *written]
    if scores is not None:
        by_patient = (scores["by_patient"] or {}).get("overall") or {}
        lines[1:1] = [
            f"balanced accuracy by image {scores['by_image']['overall']['balanced_accuracy']}, by patient "
            f"{by_patient.get('balanced_accuracy')}"
        ]
    value = {"classifier": str(stored.run.root), "images": len(found.images), "seen": num_seen, "files": written,
             "skipped": [list(pair) for pair in found.skipped], "scores": scores}  # fmt: skip
    common.report(value, "\n".join(lines))
