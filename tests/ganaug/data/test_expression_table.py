"""The table of expression of a data set: read as it was sealed, and refused where it is another."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ganaug.config import FoldsConfig, PhantomConfig, PrepareConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.expression_table import ExpressionTable, has_expression, order_genes, read_expression_table
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.errors import DataError, LeakError
from ganaug.workspace import Workspace

GENES = ("ESR1", "ERBB2", "KRT5")


@pytest.fixture
def paired(workspace: Workspace) -> DataSet:
    config = PrepareConfig(
        "paired-phantom", resolution_px=16, phantom=PhantomConfig(16, 12, 1, 8.0), folds=FoldsConfig(num_folds=3)
    )
    prepare_dataset(workspace, config)
    return open_dataset(workspace, "paired-phantom")


def test_rows_stand_in_the_order_that_is_asked_for() -> None:
    table = ExpressionTable(("a", "b", "c"), GENES, np.arange(9, dtype=np.float32).reshape(3, 3))
    assert table.rows_of(["c", "a"]).tolist() == [[6, 7, 8], [0, 1, 2]]
    with pytest.raises(DataError, match="1 of 2 patients have no expression, such as d"):
        table.rows_of(["a", "d"])


def test_a_table_that_was_changed_is_a_leak(paired: DataSet, workspace: Workspace) -> None:
    read_expression_table(paired)
    with h5py.File(paired.path, "r+") as file:
        file["expression/values"][0, 0] += 1
    with pytest.raises(LeakError, match="expression/values"):
        read_expression_table(open_dataset(workspace, "paired-phantom"))


def test_values_that_are_no_numbers_are_refused_although_sealed(
    paired: DataSet, workspace: Workspace, reseal: Any
) -> None:
    with h5py.File(paired.path, "r+") as file:
        file["expression/values"][0, 0] = np.nan
    reseal(paired.path)
    with pytest.raises((DataError, LeakError)):
        read_expression_table(open_dataset(workspace, "paired-phantom"))


def test_a_data_set_without_expression_names_those_that_have_it(tiny: DataSet) -> None:
    assert not has_expression(tiny)
    with pytest.raises(DataError, match=r"phantom holds no expression; .*tcga-brca with --expression, or paired"):
        read_expression_table(tiny)


@pytest.mark.parametrize(
    ("found", "facts"),
    [
        (("ESR1", "ERBB2"), r"1 of the model's genes are missing \(KRT5\), 0 are further ones"),
        ((*GENES, "A", "B", "C", "D"), r"0 of the model's genes are missing, 4 are further ones \(A, B, C, …\)"),
        (("ESR1", "ERBB2", "KRT5", "ESR1"), "1 stand there more than once"),
    ],
)
def test_genes_that_differ_from_the_models_are_one_line(found: tuple[str, ...], facts: str) -> None:
    with pytest.raises(DataError, match=facts) as refused:
        order_genes(found, GENES, str(Path("table.h5")))
    assert "\n" not in str(refused.value)


def test_genes_in_any_order_are_found() -> None:
    assert order_genes(GENES, GENES, "here").tolist() == [0, 1, 2]
    other = (GENES[2], GENES[0], GENES[1])
    assert [other[column] for column in order_genes(other, GENES, "here")] == list(GENES)
