"""The laboratory is named as a shortcut where it says much of the class, and only there."""

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ganaug.study.verdict.sites import note_on_sites, score_by_site

if TYPE_CHECKING:
    from tests.ganaug.study.conftest import World


def set_sites(world: "World", share: float) -> None:
    """Two laboratories, of which each sends its own class, but for some of the patients."""
    table = world.dataset.table
    patient = np.unique(table.group_id, return_inverse=True)[1]
    own = patient // 2 % 6 >= round(6 * share)
    site = np.where(own, table.label, 1 - table.label)
    object.__setattr__(table, "site_id", np.array(["north", "south"])[site])


@pytest.mark.parametrize(("share", "score"), [(0.0, 1.0), (0.5, None)])
def test_a_laboratory_scores_as_it_goes_with_the_class(world: "World", share: float, score: float | None) -> None:
    set_sites(world, share)
    found = score_by_site(world.dataset, (0, 1, 2))
    assert found is not None
    assert found == pytest.approx(score) if score is not None else found < 0.6
    assert bool(note_on_sites(world.dataset, (0, 1, 2))) == (score is not None)


def test_nothing_is_said_where_laboratories_are_unknown_or_one(world: "World") -> None:
    assert score_by_site(world.dataset, (0,)) is None
    object.__setattr__(world.dataset.table, "site_id", np.full(len(world.dataset.table), "north"))
    assert note_on_sites(world.dataset, (0,)) == []
