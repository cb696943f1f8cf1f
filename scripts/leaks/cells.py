"""Leaks planted in what studies left: cells, designs, verdicts; and in how a study is asked for."""

import shutil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganaug.provenance import digest_of_file, sealed
from ganaug.workspace import read_json, write_json
from leaks.forge import edit_json
from leaks.leak import Leak
from leaks.scene import KIMG, Command, Scene, study


def copy_a_cell_over_another_arms(scene: Scene) -> Command:
    """The cell of the arm real+synthetic is that of the arm real, sealed under the other's name."""
    own, real, treated = scene.study(), scene.cell("real"), scene.cell("real+synthetic")
    shutil.copy(own.predictions(real), own.predictions(treated))
    digest = read_json(own.cell(treated))["digest"]
    write_json(own.cell(treated), sealed({**read_json(own.cell(real)), "digest": digest}))
    return study()


def edit_a_score(scene: Scene) -> Command:
    """A score in the record of a cell is edited."""
    path = scene.study().cell(scene.cell("real+synthetic"))
    scores = read_json(path)["scores"]
    scores["by_image"]["overall"]["accuracy"] = 0.999
    edit_json(path, {"scores": scores})
    return study()


def edit_predictions(scene: Scene) -> Command:
    """The predicted probabilities of a cell are edited."""
    _write_predictions(scene, {"probs": np.full_like(_predictions(scene)["probs"], 0.25)})
    return study()


def take_predictions_of_other_images(scene: Scene) -> Command:
    """The predictions of a cell are of training images, and its record is sealed again."""
    dataset, own, cell = scene.dataset, scene.study(), scene.cell("real+synthetic")
    train = dataset.train(0)
    _write_predictions(scene, {"image_ids": np.array(dataset.table.image_digests(train))})
    edit_json(own.cell(cell), {"predictions": digest_of_file(own.predictions(cell))}, seal=True)
    return study()


def turn_the_labels_of_predictions(scene: Scene) -> Command:
    """The labels in the predictions of a cell are changed to fit them, and its record is sealed again."""
    own, cell = scene.study(), scene.cell("real+synthetic")
    _write_predictions(scene, {"labels": _predictions(scene)["probs"].argmax(axis=1)})
    edit_json(own.cell(cell), {"predictions": digest_of_file(own.predictions(cell))}, seal=True)
    return study()


def _predictions(scene: Scene) -> dict[str, NDArray[Any]]:
    with np.load(scene.study().predictions(scene.cell("real+synthetic"))) as stored:
        return {name: stored[name] for name in stored}


def _write_predictions(scene: Scene, change: dict[str, NDArray[Any]]) -> None:
    arrays: dict[str, Any] = {**_predictions(scene), **change}
    np.savez(scene.study().predictions(scene.cell("real+synthetic")), **arrays)


# ---- further looks ---------------------------------------------------------------------------------------------------


def look_again_with_other_options(scene: Scene) -> Command:
    """The same patients are tested once more with another number of synthetic images."""
    return study("--ratio", 0.5)


def hide_whom_an_earlier_study_tested(scene: Scene) -> Command:
    """The design of an earlier study is edited to name no patients, so that it may not count as a look at these."""
    edit_json(scene.study().design, {"tested": []})
    return study("--ratio", 0.5)


def edit_an_earlier_verdict(scene: Scene) -> Command:
    """The verdict of an earlier study is edited."""
    edit_json(scene.study().verdict, {"verdict": "gain"})
    return study("--ratio", 0.5)


# ---- arms that leak --------------------------------------------------------------------------------------------------


def ask_for_the_leaky_arm(scene: Scene) -> Command:
    """The arm whose generator knows test patients is asked for by its name alone."""
    return study("--arm", "real+leaky-synthetic", fold=None)


def audit_what_a_leak_would_do(scene: Scene) -> Command:
    """The same arm is asked for to show what a leak would do."""
    _add_fold_2(scene)
    return study("--leak-audit", fold="all")


def replicate_a_protocol_by_image(scene: Scene) -> Command:
    """A paper's protocol is run, which divides images, so that patients stand on both sides."""
    _add_fold_2(scene)
    return study("--replicate", "dalaresnet50", "--classifier", "dalaresnet50_small", fold="all")


def leave_images_out_that_the_generator_saw(scene: Scene) -> Command:
    """The study is asked for half of the real images, and the generator has seen the other half."""
    return study("--real-fraction", 0.5)


def _add_fold_2(scene: Scene) -> None:
    scene.do("train-gan", "--fold", 2, "--kimg", KIMG)
    scene.do("synthesize", "--fold", 2, "--per-class", 24)


AGAIN = "this cell is trained again"

LEAKS = (
    Leak(copy_a_cell_over_another_arms, rf"is of another cell.*{AGAIN}"),
    Leak(edit_a_score, rf"was edited after it was written.*{AGAIN}"),
    Leak(edit_predictions, rf"holds other predictions than were written there.*{AGAIN}"),
    Leak(take_predictions_of_other_images, rf"is of other test images than fold 0 has.*{AGAIN}"),
    Leak(turn_the_labels_of_predictions, rf"is of other test images than fold 0 has.*{AGAIN}"),
    Leak(look_again_with_other_options, r"Look 2 of 2 at these patients"),
    Leak(hide_whom_an_earlier_study_tested, r"phantom-\w+ .*edited after it was written"),
    Leak(edit_an_earlier_verdict, r"phantom-\w+ .*edited after it was written"),
    Leak(ask_for_the_leaky_arm, r"a generator that knows patients under test.*add --leak-audit"),
    Leak(audit_what_a_leak_would_do, r"this is a leak audit.*That is what a leak adds here, and no result"),
    Leak(leave_images_out_that_the_generator_saw, r"(saw|seen|knows?) .*(fraction|left out|leaves out)"),
    Leak(replicate_a_protocol_by_image, r"without a split by patient\. Here its protocol"),
)
