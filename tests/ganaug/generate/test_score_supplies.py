"""Who scores the images of a study."""

from dataclasses import replace
from typing import Any

import pytest

from ganaug.config import SynthesisConfig
from ganaug.data.dataset import DataSet
from ganaug.evaluate.extractors.independence import Teacher
from ganaug.evaluate.judge_file import Case, open_case
from ganaug.generate import score_supplies
from ganaug.generate.score_supplies import score_images
from ganaug.generate.supplies import supplies_for
from ganaug.generate.synthesize import plan_synthesis, synthesize
from ganaug.provenance import digest_of_file
from ganaug.weights import find_weights
from ganaug.workspace import GanRun, Workspace


def test_by_default_a_network_that_taught_the_generator_does_not_score_its_images(
    run: GanRun, workspace: Workspace, tiny: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = find_weights(None, "efficientnet_lite0")
    teacher = Teacher("the discriminator's frozen part", digest=digest_of_file(file))

    def open_taught(*arguments: Any) -> Case:
        return replace(open_case(*arguments), teachers=(teacher,))

    synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=6)))
    supplies = supplies_for(workspace, tiny, [run.fold])
    alone = {score.extractor for each in score_images(workspace, tiny, supplies) for score in each.scores}
    monkeypatch.setattr(score_supplies, "open_case", open_taught)
    taught = {score.extractor for each in score_images(workspace, tiny, supplies) for score in each.scores}
    assert any("lite0" in str(name) for name in alone)
    assert not any("lite0" in str(name) for name in taught)
    assert any("lite1" in str(name) for name in taught)
