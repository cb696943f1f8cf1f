"""Near-equal names are never merged, parted or passed over in silence."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganaug.config import DRAWN, FoldsConfig, PrepareConfig
from ganaug.data.sources import SOURCES, scan_source
from ganaug.data.sources.scans.reconcile import reconcile
from ganaug.data.sources.scans.scan import Item, Scan
from ganaug.errors import ConfigError, DataError, for_sharing, for_terminal

Rows = list[tuple[str, str, str]]  # label, patient, site


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., PrepareConfig]:
    """A manifest of one empty image for each row."""

    def write(rows: Rows, **options: object) -> PrepareConfig:
        lines = ["path\tlabel\tgroup\tsite"]
        for number, (label, group, site) in enumerate(rows):
            (tmp_path / f"{number}.png").write_bytes(b"")
            lines.append(f"{number}.png\t{label}\t{group}\t{site}")
        (tmp_path / "list.csv").write_text("\n".join(lines), encoding="utf-8")
        return PrepareConfig("folder", str(tmp_path / "list.csv"), **options)  # type: ignore[arg-type]

    return write


ROWS: Rows = [
    ("x", "p1", "Lab A"),
    ("x", "p01", "lab a"),
    ("y", "q1", "Lab  A"),
    ("y", "q1_slide2", "Lab B"),
    ("y", "r", ""),
]


@pytest.mark.parametrize("other", ["benign", "BENIGN", "Ｂenign"])
def test_near_equal_classes_are_refused_until_the_user_says_what_they_are(
    make: Callable[..., PrepareConfig], other: str
) -> None:
    rows: Rows = [("Benign", "p1", ""), ("Benign", "p2", ""), (other, "p3", ""), ("malignant", "q1", "")]
    with pytest.raises(DataError, match=r"near-equal: '\w+' and .*--near-names merge.*--near-names keep"):
        scan_source(make(rows))
    kept = scan_source(make(rows, near_names="keep"))
    assert set(kept.class_names) == {"Benign", other, "malignant"}
    merged = scan_source(make(rows, near_names="merge"))
    assert merged.class_names == ("Benign", "malignant")
    assert merged.labels.tolist() == [0, 0, 0, 1]
    assert any("Benign" in for_terminal(note) and other in for_terminal(note) for note in merged.notes)
    assert scan_source(make(rows, exclude_classes=(other,))).class_names == ("Benign", "malignant")


@pytest.mark.parametrize("near_names", [None, "keep"])
def test_near_equal_patients_and_sites_are_kept_apart_and_noted(
    make: Callable[..., PrepareConfig], near_names: str | None
) -> None:
    scan = scan_source(make(ROWS, near_names=near_names))
    assert scan.groups.tolist() == [group for _, group, _ in ROWS]
    assert scan.sites.tolist() == [site for *_, site in ROWS]
    [patients, sites] = [for_terminal(note) for note in scan.notes if "near-equal" in note]
    assert "p01 = p1" in patients
    assert "q1 = q1_slide2" in patients
    assert "Lab  A = Lab A = lab a" in sites
    assert ("--near-names merge" in patients) == (near_names is None)


def test_near_equal_patients_and_sites_are_merged_where_the_user_asks_for_it(
    make: Callable[..., PrepareConfig],
) -> None:
    scan = scan_source(make(ROWS, near_names="merge", folds=FoldsConfig(by="site")))
    assert scan.groups.tolist() == ["p01", "p01", "q1", "q1", "r"]
    assert scan.sites.tolist() == ["Lab  A"] * 3 + ["Lab B", ""]
    assert sum("count as one each" in note for note in scan.notes) == 2


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["p1", "P1", "p01", "p1_slide2", "p2", "ß", "SS", "p 2"])),
        min_size=3,
    )
)
def test_merging_joins_whole_patients_and_loses_no_image(rows: list[tuple[int, str]]) -> None:
    items = tuple(Item(f"{n}.png", label, group, f"{n}.png") for n, (label, group) in enumerate(rows))
    scan = Scan(("a", "b", "c"), items, lambda items: iter(()), "", "")
    kept = reconcile(scan, PrepareConfig("folder"))
    merged = reconcile(scan, PrepareConfig("folder", near_names="merge"))
    assert kept.items == items
    assert [item.path for item in merged.items] == [item.path for item in items]
    assert merged.labels.tolist() == scan.labels.tolist()
    pairs = set(zip(scan.groups.tolist(), merged.groups.tolist()))
    assert len(pairs) == len({old for old, _ in pairs})  # images of one patient stay together
    assert not any(
        "near-equal" in note for note in reconcile(merged, PrepareConfig("folder")).notes[len(merged.notes) :]
    )


def test_a_table_joins_the_patients_of_its_rows(make: Callable[..., PrepareConfig], tmp_path: Path) -> None:
    table = tmp_path / "same.csv"
    table.write_text("patient,same_as,remark\nq1_slide2,q1,\np01,p1,seen in 2019\np1,r,\n")
    scan = scan_source(make(ROWS, same_patient=str(table)))
    assert scan.groups.tolist() == ["r", "r", "q1", "q1", "r"]
    assert any("3 patients count as another" in note for note in scan.notes)
    assert not any("near-equal patients" in note for note in scan.notes)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("patient,same_as\np1,p01\np9,p1\n", "line 3 of .*same.csv names the patient p9, who is not in the data set"),
        ("patient,same_as\np1,\n", "line 2 of .*same.csv lacks a name"),
        ("patient,same\np1,p01\n", "has the columns patient, same; expected patient,same_as"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_by_row(
    make: Callable[..., PrepareConfig], tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "same.csv").write_text(text)
    with pytest.raises(DataError, match=says):
        scan_source(make(ROWS, same_patient=str(tmp_path / "same.csv")))


def test_a_split_that_would_part_joined_patients_is_not_on_offer() -> None:
    items = tuple(Item(f"{n}.png", n % 2, group, f"{n}.png") for n, group in enumerate(["p1", "p01", "q", "r"]))
    safe = {"p1": "train", "p01": "train", "q": "val", "r": "test"}
    splits = {"safe": safe, "leaky": safe | {"p01": "test"}}
    scan = Scan(("a", "b"), items, lambda items: iter(()), "", "", splits=splits)
    merged = reconcile(scan, PrepareConfig("folder", near_names="merge"))
    assert dict(merged.splits) == {"safe": {"p01": "train", "q": "val", "r": "test"}}
    assert any("the split leaky is not on offer" in note for note in merged.notes)


def test_every_source_whose_names_come_from_people_takes_the_options() -> None:
    assert len(SOURCES) == 8
    for name, source in SOURCES.items():
        assert ({"near_names", "same_patient"} <= set(source.options)) == (name not in DRAWN)
    with pytest.raises(ConfigError, match="--near-names with phantom"):
        scan_source(PrepareConfig("phantom", near_names="merge"))


def test_no_note_shares_the_name_of_a_patient_or_site(make: Callable[..., PrepareConfig]) -> None:
    secret: Rows = [
        (label, f"Hadwig{n}{end}", f"Ulm{end}") for n in range(3) for end in ("", "_slide2", " ") for label in "xy"
    ]
    for near_names in (None, "merge", "keep"):
        scan = scan_source(make(secret, near_names=near_names))
        assert len(scan.notes) >= 2
        shared = for_sharing("\n".join(scan.notes))
        assert "Hadwig" not in shared
        assert "Ulm" not in shared
        assert "Hadwig" in for_terminal("\n".join(scan.notes))
