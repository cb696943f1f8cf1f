"""A paper's protocol runs next to the honest one, on the same images, and shows what it adds to a score."""

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ganaug.config import FoldsConfig, StudyConfig
from ganaug.data.dataset import open_dataset
from ganaug.data.folds.by_image import divide_by_image
from ganaug.data.folds.folds import make_folds, write_folds
from ganaug.errors import ConfigError
from ganaug.study.replication import PAPERS, find_paper
from ganaug.workspace import read_json

if TYPE_CHECKING:
    from tests.ganaug.study.conftest import World


def replicating(**options: object) -> StudyConfig:
    given: dict[str, object] = {
        "classifiers": ("dalaresnet50_small",), "shortcuts": (), "seeds": (0,), "num_steps": 2, "batch": 4,
        "num_resamples": 100, "replicate": "dalaresnet50", **options,
    }  # fmt: skip
    return StudyConfig(**given)  # type: ignore[arg-type]


def test_dividing_by_image_puts_patients_on_both_sides_and_images_on_one(world: "World") -> None:
    divided, group = divide_by_image(world.dataset), world.dataset.table.group_id
    tested = [divided.test(fold) for fold in range(divided.folds.num_folds)]
    assert sorted(np.concatenate(tested).tolist()) == list(range(len(group)))
    for fold, test in enumerate(tested):
        train = divided.train(fold)
        assert not set(test.tolist()) & set(train.tolist())
        assert set(group[test].tolist()) & set(group[train].tolist())
    assert divided.folds.digest != world.dataset.folds.digest


def test_the_report_shows_both_protocols_and_the_verdict_is_the_honest_one(world: "World") -> None:
    supplies = world.supply_all()
    honest = world.run(replicating(replicate=""), supplies)
    outcome = world.run(replicating(), supplies)
    assert outcome.num_reused == outcome.num_cells == honest.num_cells
    assert [d.to_dict() for d in outcome.verdict.differences] == [d.to_dict() for d in honest.verdict.differences]
    page = outcome.study.report.read_text(encoding="utf-8")
    assert "What a split by image would have said" in page
    assert PAPERS["dalaresnet50"].citation in page
    assert "What a split by image would have said" not in honest.study.report.read_text(encoding="utf-8")
    designs = [read_json(path) for path in world.workspace.root.glob("studies/*/design.json")]
    assert len(designs) == 3
    unjudged = [path.parent for path in world.workspace.root.glob("studies/*/design.json")
                if not (path.parent / "verdict.json").exists()]  # fmt: skip
    assert len(unjudged) == 1  # by image: it is no study that could be taken for one


def test_a_replication_of_a_part_of_the_folds_is_refused(world: "World") -> None:
    with pytest.raises(ConfigError, match="1 of 3 folds with --replicate"):
        world.run(replicating(folds=(0,)))


def test_a_scheme_without_parts_of_equal_rank_is_refused(world: "World") -> None:
    table = world.dataset.table
    write_folds(world.workspace.folds("tiny"), make_folds(table, FoldsConfig(3, scheme="leave-one-out")))
    with pytest.raises(ConfigError, match="leave-one-out"):
        divide_by_image(open_dataset(world.workspace, "tiny"))


def test_only_known_papers_are_replicated() -> None:
    assert {find_paper(name).classifier for name in PAPERS} == {"resvit_gannet", "dalaresnet50"}
    with pytest.raises(ConfigError, match="no paper 'x'"):
        find_paper("x")
