"""A list that someone else fixed is obeyed to the letter, or refused with the names of what is wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganaug.config import FoldsConfig
from ganaug.data.folds.folds import Folds, check_feasible, make_folds
from ganaug.data.schema import ImageTable
from ganaug.errors import FoldsError

Tabulate = Callable[..., ImageTable]
PARTS = {**dict.fromkeys(["p0", "p1", "p2", "p3", "p4", "p5"], "train"), "p6": "val", "p7": "val"}
PARTS |= {"p8": "test", "p9": "test"}
PARTS_WITHOUT_VAL = PARTS | {"p6": "train", "p7": "train"}


@pytest.fixture
def table(make_table: Tabulate) -> ImageTable:
    """Ten patients of two images; the even ones are of class a, the odd ones of b."""
    groups = [f"p{patient}" for patient in range(10) for _ in range(2)]
    return make_table([int(group[1]) % 2 for group in groups], groups)


def listed(parts: dict[str, str]) -> str:
    return "group,part\n" + "".join(f"{group},{part}\n" for group, part in parts.items())


@pytest.fixture
def folds_of(tmp_path: Path, table: ImageTable) -> Callable[..., Folds]:
    """Folds of the table by a CSV of this text, checked as `prepare` does before it reads pixels."""

    def make(text: str | bytes, **change: Any) -> Folds:
        path = tmp_path / "split.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        config = FoldsConfig(scheme="fixed", fixed=str(path), **change)
        check_feasible(table.label, table.group_id, table.site_id, table.class_names, config)
        return make_folds(table, config)

    return make


def test_the_list_is_obeyed_to_the_letter(folds_of: Callable[..., Folds]) -> None:
    folds = folds_of(listed(PARTS))
    assert folds.num_folds == 1
    for part, groups in folds.parts(0).items():
        assert sorted(groups) == sorted(group for group in PARTS if PARTS[group] == part)
    assert folds.rule == "the parts are those of the list split.csv"


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + listed(PARTS).replace("\n", "\r\n"),
        "note, Part ,GROUP\n" + "".join(f'"a, b",{part.upper()}, {group}\n' for group, part in PARTS.items()),
        listed(PARTS) + "\n\n",
        listed(PARTS) + "p0,train\n",  # the same twice says nothing new
        listed(PARTS).replace(",val", ",Validation"),
    ],
    ids=["BOM and CRLF", "other order and case, more columns", "blank lines", "a repeated row", "another word"],
)
def test_other_spellings_of_the_list_say_the_same(folds_of: Callable[..., Folds], text: str) -> None:
    assert folds_of(text) == folds_of(listed(PARTS))


def test_a_missing_validation_part_is_cut_from_train_and_said(
    folds_of: Callable[..., Folds], table: ImageTable
) -> None:
    folds = folds_of(listed(PARTS_WITHOUT_VAL))
    assert set(folds.test_groups(0)) == {"p8", "p9"}
    assert "no validation part, so about 1/5 of its train part validates" in folds.rule
    for groups in (folds.val_groups(0), folds.train_groups(0)):
        assert table.class_counts(table.indices_of(groups)).min() > 0
    assert len(folds.val_groups(0)) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (listed({k: v for k, v in PARTS.items() if k not in ("p3", "p8")}), "lacks p3, p8; expected a part for every"),
        (listed(PARTS | {"q1": "test", "q2": "val"}), "names q1, q2; expected patients of the data set only"),
        (listed(PARTS) + "p0,test\n", "puts p0 in train and, in line 12, in test"),
        (listed(PARTS | {"p4": "tset"}), "line 6 of split.csv puts 'p4' in 'tset'; expected train, val or test"),
        (listed(PARTS) + "p0\n", "line 12 of split.csv has 1 cell; expected 2"),
        ("patient,part\np0,train\n", "has the columns patient, part; expected group,part"),
        ("part;group\ntrain\n", "line 2 of split.csv has 1 cell; expected 2"),
        ("", "split.csv is empty; expected the columns group, part"),
        (b"group,part\n\xff\xfe,train\n", "line 2 of split.csv is no CSV in UTF-8"),
        (listed(PARTS | {"p8": "train", "p9": "train"}), "puts no patient in test"),
        (listed(PARTS | {"p7": "test"}), "the val part of split.csv has no image of b"),
        (listed(PARTS | {"p1": "val", "p3": "val", "p5": "val"}), "the train part of split.csv has no image of b"),
        (
            listed(PARTS_WITHOUT_VAL | {"p1": "test", "p3": "test", "p5": "test"}),
            "no validation part can be cut from the train part of split.csv, which has 1 of b patients",
        ),
    ],
)
def test_a_faulty_list_is_refused_by_name(folds_of: Callable[..., Folds], text: str, message: str) -> None:
    with pytest.raises(FoldsError) as error:
        folds_of(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_list_that_is_not_there_names_what_the_source_offers(table: ImageTable) -> None:
    with pytest.raises(FoldsError, match=r"the list mine cannot be read.*the source's own split: theirs"):
        make_folds(table, FoldsConfig(scheme="fixed", fixed="mine"), splits={"theirs": PARTS})


def test_a_split_of_the_source_may_know_more_patients_than_there_are(table: ImageTable) -> None:
    config = FoldsConfig(scheme="fixed", fixed="theirs")
    splits = {"theirs": PARTS | {"p10": "train"}}
    check_feasible(table.label, table.group_id, table.site_id, table.class_names, config, splits=splits)
    folds = make_folds(table, config, splits=splits)
    assert set(folds.test_groups(0)) == {"p8", "p9"}
    assert "1 of its 11 patients have no image" in folds.rule
    assert "p10" not in folds.rule


def test_a_list_that_parts_a_site_is_refused_where_sites_stay_together(
    tmp_path: Path, table: ImageTable, make_table: Tabulate
) -> None:
    sites = np.array([f"s{int(group[1]) // 4}" for group in table.group_id])  # s0: p0–p3, s1: p4–p7, s2: p8, p9
    sited = ImageTable(**{**vars(table), "site_id": sites})
    splits = {"theirs": PARTS}
    with pytest.raises(FoldsError, match=r"parts p4 \(train\) from p6 \(val\), of one site.*--fold-by group"):
        make_folds(sited, FoldsConfig(scheme="fixed", fixed="theirs", by="site"), splits=splits)
    whole = {"theirs": PARTS | {"p4": "val", "p5": "val"}}
    folds = make_folds(sited, FoldsConfig(scheme="fixed", fixed="theirs", by="site"), splits=whole)
    assert set(folds.val_groups(0)) == {"p4", "p5", "p6", "p7"}
