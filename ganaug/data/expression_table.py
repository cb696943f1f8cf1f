"""The expression that a data set holds next to its images, one row per patient."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganaug.data.dataset import DataSet
from ganaug.data.schema import open_images, require_array
from ganaug.errors import DataError, private

_PARTS = ("expression/values", "expression/group_id", "expression/genes")


@dataclass(frozen=True)
class ExpressionTable:
    """Expression of P patients in G genes, log2(count + 1), unscaled: it is scaled on the training part of a fold."""

    groups: tuple[str, ...]  # the patients, by the names that the images have
    genes: tuple[str, ...]
    values: NDArray[np.float32]  # f32 [P,G]

    def rows_of(self, groups: list[str]) -> NDArray[np.float32]:
        """The rows f32 [n,G] of these patients, in their order; raises DataError where one has none."""
        place = {group: row for row, group in enumerate(self.groups)}
        missing = [group for group in groups if group not in place]
        if missing:
            raise DataError(
                f"{len(missing)} of {len(groups)} patients have no expression, such as {private(missing[0])}",
                expected="a row for each patient",
                todo="prepare the data set again with a table that holds them",
            )
        rows: NDArray[np.float32] = self.values[[place[group] for group in groups]]
        return rows


def has_expression(dataset: DataSet) -> bool:
    """Whether the data set was prepared with a table of expression."""
    return all(name in dataset.table.attrs["content"] for name in _PARTS)


def read_expression_table(dataset: DataSet) -> ExpressionTable:
    """The data set's table of expression; raises DataError where it has none, LeakError where it was changed."""
    if not has_expression(dataset):
        raise DataError(
            f"{dataset.name} holds no expression",
            expected="a data set of tiles and expression",
            todo="prepare tcga-brca with --expression, or paired-phantom",
        )
    for name in _PARTS:
        require_array(dataset.path, dataset.table, name)
    with open_images(dataset.path) as file:
        values, groups, genes = (file[name] for name in _PARTS)
        table = ExpressionTable(
            tuple(groups.asstr()[:].tolist()), tuple(genes.asstr()[:].tolist()), np.asarray(values[:], np.float32)
        )
    if table.values.shape != (len(table.groups), len(table.genes)) or not np.isfinite(table.values).all():
        seen = f"{dataset.path} holds expression {list(table.values.shape)}"
        expected = f"finite values [{len(table.groups)}, {len(table.genes)}]"
        raise DataError(seen, expected=expected, todo="make it again with ganaug")
    return table


def order_genes(found: tuple[str, ...], expected: tuple[str, ...], where: str) -> NDArray[np.int64]:
    """Where a table has each gene that a model was trained on: its columns i64 [G] in the order of the model's.

    Raises DataError where its genes are others, more, fewer, or one stands twice; their order does not matter.
    """
    place = {gene: column for column, gene in enumerate(found)}
    missing = [gene for gene in expected if gene not in place]
    further = [gene for gene in found if gene not in set(expected)]
    if len(place) < len(found):
        difference = f"{len(found) - len(place)} stand there more than once"
    else:
        difference = (
            f"{len(missing)} of the model's genes are missing{_such_as(missing)}, {len(further)} are further ones"
            f"{_such_as(further)}"
        )
    if missing or further or len(place) < len(found):
        raise DataError(
            f"the genes of {where} differ from the model's: {difference}",
            expected=f"its {len(expected)} genes, in any order",
            todo="prepare the data set with the table that the model was trained with, or train it again",
        )
    return np.array([place[gene] for gene in expected], np.int64)


def _such_as(genes: list[str]) -> str:
    return f" ({', '.join(genes[:3])}{', …' if len(genes) > 3 else ''})" if genes else ""
