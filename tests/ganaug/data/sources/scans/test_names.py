"""Names that differ in spelling alone are found, and others are not."""

import unicodedata
from collections import defaultdict
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ganaug.data.sources.breakhis import parse_name
from ganaug.data.sources.scans.names import equal_but_for_spelling, near_key, near_patients, plain

NAME = st.text(st.characters(categories=("L", "N", "Pd")), min_size=1, max_size=8)
SPELLINGS = (
    str.upper,
    str.casefold,
    lambda name: f" {name}",
    lambda name: f"{name}\t ",
    lambda name: f"{name[:1]}  {name[1:]}",
    lambda name: f"{name[:1]}\u200b{name[1:]}",
    lambda name: unicodedata.normalize("NFD", name),
    lambda name: unicodedata.normalize("NFKC", name),
    lambda name: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in name),  # full width
)


@settings(max_examples=150, deadline=None)
@given(NAME, st.sampled_from(SPELLINGS))
def test_another_spelling_has_the_same_key(name: str, spell: object) -> None:
    other = spell(name)  # type: ignore[operator]
    assume(name.casefold() == name.upper().casefold())  # a dotless i has another letter's capital
    assume(unicodedata.normalize("NFKC", name.casefold()) == unicodedata.normalize("NFKC", name.casefold().casefold()))
    assert near_key(near_key(other)) == near_key(near_key(name))


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("1", "1.0"),
        ("p1", "p01"),
        ("p1", "P0001"),
        ("Lab A", "lab  a"),
        ("Benign", "benign "),
        ("case 7", "case 07"),
        ("é", "e\u0301"),
    ],
)
def test_names_of_one_meaning_are_near(name: str, other: str) -> None:
    assert equal_but_for_spelling([other, "something", name, name]) == [sorted([name, other])]
    assert near_patients([other, "something", name, name]) == [sorted([name, other])]


@settings(max_examples=100, deadline=None)
@given(st.sets(st.integers(1, 3000), min_size=2, max_size=40), st.sampled_from(["p", "TCGA-A1-", "14-", "", "case_"]))
def test_patients_that_are_numbered_are_never_near(numbers: set[int], prefix: str) -> None:
    names = [f"{prefix}{number}" for number in numbers]
    assert near_patients(names) == []
    assert near_patients([f"{prefix}{number:04d}" for number in numbers]) == []


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 99999),
    st.sampled_from(["_slide2", "-2", "AB", " b", "-block-3", ".1", "_img12", "CD"]),
    st.sampled_from(["14-", "p", ""]),
)
def test_a_slide_of_a_patient_is_near_the_patient(number: int, suffix: str, prefix: str) -> None:
    patient, other = f"{prefix}{number}", f"{prefix}{number + 100_000}"
    assert near_patients([patient, other, patient + suffix]) == [sorted([patient, patient + suffix])]


def test_slides_without_their_patient_are_near_each_other() -> None:
    assert near_patients(["14-7_slide1", "14-8_slide1", "14-7 slide 2"]) == [["14-7 slide 2", "14-7_slide1"]]
    assert near_patients(["slide1", "slide2", "image_1", "image_2"]) == []


def test_lettered_slides_of_one_accession_are_near_each_other() -> None:
    assert near_patients(["14-22549AB", "14-22549CD", "14-22549G", "14-21998AB", "12a", "12b"]) == [
        ["14-22549AB", "14-22549CD", "14-22549G"]
    ]


def test_the_slides_of_breakhis_are_near_where_they_share_an_accession(shared: Path) -> None:
    paths = (shared / "breakhis-files.txt").read_text().split()
    names = {name for path in paths if (name := parse_name(PurePosixPath(path).name))}
    accessions: dict[str, set[str]] = defaultdict(set)
    for name in names:
        accessions[name.accession].add(name.slide)
    assert len(accessions) == 70
    expected = sorted(sorted(slides) for slides in accessions.values() if len(slides) > 1)
    assert near_patients(name.slide for name in names) == expected


def test_near_names_chain() -> None:
    assert near_patients(["p1", "P01", "p01_slide2", "p1-3", "p12"]) == [["P01", "p01_slide2", "p1", "p1-3"]]


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(), max_size=10))
def test_any_folder_name_becomes_text_that_can_be_stored(name: str) -> None:
    text = plain(name)
    text.encode("utf-8")
    assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)
    if name.isprintable():
        assert text == unicodedata.normalize("NFC", name)
