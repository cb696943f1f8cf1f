"""The paired phantom says what it states: tissue one bit of the subtype, expression the other, each to its degree."""

from dataclasses import replace

import numpy as np
import pytest

from ganaug.config import PairedConfig, PhantomConfig, PrepareConfig
from ganaug.data.dataset import open_dataset
from ganaug.data.expression_table import has_expression, read_expression_table
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.data.sources.phantom.draw import draw_patient
from ganaug.data.sources.phantom.paired import (
    SUBTYPES,
    TISSUES,
    best_accuracy,
    draw_expression,
    draw_genes,
    draw_tissue,
    scan,
    subtype_of,
)
from ganaug.errors import ConfigError
from ganaug.workspace import Workspace

NUM = 3000  # patients of the simulations


def right_with_the_best_rule(config: PairedConfig, seed: int) -> tuple[float, float, float]:
    """The fractions of patients named right by image, by genes and by both, by a rule that knows how they are drawn."""
    genes = draw_genes(config, seed)
    subtype = np.array([subtype_of(patient) for patient in range(NUM)])
    tissue = np.array([TISSUES.index(draw_tissue(config, seed, patient)) for patient in range(NUM)])
    values = np.stack([draw_expression(genes, seed, patient) for patient in range(NUM)])
    high = ((values - genes.mean) / genes.std) @ genes.effect > 0  # Fisher's rule: the classes differ in means alone
    guess = np.random.default_rng(0).integers(2, size=(2, NUM))
    return (
        float((subtype == 2 * tissue + guess[0]).mean()),
        float((subtype == 2 * guess[1] + high).mean()),
        float((subtype == 2 * tissue + high).mean()),
    )


@pytest.mark.parametrize(
    "config", [PairedConfig(), PairedConfig(tissue_reliability=0.8, num_informative=4, batch_effect=2.0)]
)
def test_the_best_rule_reaches_what_is_stated_and_not_more(config: PairedConfig) -> None:
    best, reached = best_accuracy(config), right_with_the_best_rule(config, 3)
    for stated, found in zip((best.image, best.genes, best.both), reached, strict=True):
        assert abs(found - stated) < 3.5 * np.sqrt(stated * (1 - stated) / NUM)


def test_the_stated_accuracies_in_closed_form() -> None:
    blind = best_accuracy(PairedConfig(tissue_reliability=0.5, effect=0.0))
    assert (blind.image, blind.genes, blind.both) == (0.25, 0.25, 0.25)
    sure = best_accuracy(PairedConfig(tissue_reliability=1.0, num_informative=50, effect=100.0))
    assert (sure.image, sure.genes, sure.both) == (0.5, 0.5, 1.0)
    assert best_accuracy(PairedConfig(num_informative=4)).genes == pytest.approx(0.8413447 / 2)  # Φ(1) / 2


def test_neither_input_says_anything_of_the_others_half() -> None:
    config = PairedConfig()
    genes = draw_genes(config, 0)
    subtype = np.array([subtype_of(patient) for patient in range(NUM)])
    values = np.stack([draw_expression(genes, 0, patient) for patient in range(NUM)])
    invasive, high = subtype // 2 == 1, subtype % 2 == 1
    z = [
        (values[bit].mean(0) - values[~bit].mean(0)) / values.std(0) * np.sqrt(NUM) / 2
        for bit in (invasive, high)
    ]  # fmt: skip
    assert np.abs(z[0]).max() < 4.5
    assert np.array_equal(np.abs(z[1]) > 10, genes.effect != 0)
    tissue = np.array([draw_tissue(config, 0, patient) == "Invasive" for patient in range(NUM)])
    assert abs(tissue[high].mean() - tissue[~high].mean()) < 4.5 / np.sqrt(NUM)


def test_laboratories_shift_the_genes_that_say_nothing() -> None:
    genes = draw_genes(PairedConfig(batch_effect=3.0), 0)
    shifted = np.abs(genes.batch).max(axis=0) > 0
    assert np.array_equal(shifted, genes.effect == 0)
    sites = np.array([draw_patient(0, patient).site for patient in range(400)])
    values = np.stack([draw_expression(genes, 0, patient) for patient in range(400)])
    between = values[sites == 0].mean(0) - values[sites == 1].mean(0)
    expected = genes.std * (genes.batch[0] - genes.batch[1])
    assert np.corrcoef(between, expected)[0, 1] > 0.95


def test_a_patient_does_not_depend_on_the_others() -> None:
    small, large = (scan(PrepareConfig("paired-phantom", phantom=PhantomConfig(16, num, 2, 8.0))) for num in (8, 12))
    assert np.array_equal(small.tables["expression/values"], large.tables["expression/values"][:8])
    assert small.items == large.items[:16]
    assert small.class_names == SUBTYPES


def test_it_is_prepared_like_any_other_with_its_table(workspace: Workspace) -> None:
    config = PrepareConfig("paired-phantom", resolution_px=16, phantom=PhantomConfig(16, 20, 2, 8.0))
    prepared = prepare_dataset(workspace, config)
    assert "at best 47.5% of the patients are classified right from tissue" in prepared.notes[0]
    dataset = open_dataset(workspace, "paired-phantom")
    assert dataset.table.attrs["options"]["paired"] == vars(config.paired)
    assert (dataset.table.group_id.shape, len(np.unique(dataset.table.site_id))) == ((40,), 4)
    assert has_expression(dataset)
    expression = read_expression_table(dataset)
    assert expression.values.shape == (20, 50)
    genes = draw_genes(config.paired, 0)
    assert np.array_equal(expression.rows_of(["paired-p007"])[0], draw_expression(genes, 0, 7))


def test_impossible_phantoms_are_refused() -> None:
    for wrong in ({"tissue_reliability": 0.4}, {"num_informative": 51}, {"effect": -1.0}, {"num_genes": 0}):
        with pytest.raises(ConfigError, match="expected"):
            replace(PairedConfig(), **wrong)
    with pytest.raises(ConfigError, match="seed -1"):
        scan(PrepareConfig("paired-phantom", seed=-1))
