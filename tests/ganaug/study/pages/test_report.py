"""The page stands alone, shows what it must, and trusts no name that it prints."""

import re
import xml.etree.ElementTree as ET
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from ganaug.config import StudyConfig
from ganaug.evaluate.judged import Chapter, Exhibit, Finding
from ganaug.evaluate.judgement import Judgement, ScoredFile
from ganaug.evaluate.scores import ImageScore
from ganaug.interval import Interval
from ganaug.study.design import Design
from ganaug.study.pages.figures import difference_plot
from ganaug.study.pages.provenance import command_of
from ganaug.study.run import Outcome
from ganaug.study.statistics.clustered import NONE, Part, Spread
from ganaug.study.statistics.intervals import Gap
from ganaug.study.statistics.paired import Difference
from ganaug.weights import WEIGHTS
from ganaug.workspace import read_json

if TYPE_CHECKING:
    from tests.ganaug.study.conftest import World

HOSTILE = '<script>alert("x")</script>'
VOID = {"meta", "img", "br", "link", "input", "hr", "source"}


class Page(HTMLParser):
    """Collects tags with their attributes, and whether the tags nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.balanced = True
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.balanced &= bool(self.open) and self.open.pop() == tag


@pytest.fixture
def outcome_of(world_of: Callable[..., "World"], quick: StudyConfig) -> Callable[..., Outcome]:
    def run(class_names: tuple[str, ...] = ("Benign", "Malignant"), **options: Any) -> Outcome:
        world = world_of(class_names=class_names)
        return world.run(quick, **options)

    return run


DISTANCE = ImageScore(
    "frechet[net]",
    HOSTILE,
    12.5,
    value_at_half=14.25,
    floor=9.75,
    floor_std=1.5,
    n_real=8,
    n_synthetic=30,
    n_half=4,
    num_splits=10,
)
DIVERSITY = ImageScore("LPIPS", "all", None, note="not computed: weights missing")
FILE = ScoredFile(
    "tiny", "a" * 64, "b" * 64, 0, "tiny.h5", "c" * 64, "d" * 64, kimg=1.0, psi=1.0,
    held_out_part="validation patients", seed=0,
)  # fmt: skip
SCORES = [Judgement(FILE, (Chapter((DISTANCE, DIVERSITY)),))]
COPIES = Chapter(
    (ImageScore("copies", "all", 0.03125, question="copying"),),
    (
        Finding("copying", "all", "16 of 512 are copies of one patient", True, "train less"),
        Finding("copying", "Benign", "no copies found among 256", False),
        Finding("copying", "InSitu", "16 of 256 are copies of one patient", True, "train less"),
    ),
    (Exhibit("copying", "The closest pairs", "HOW PAIRS ARE READ", "data:image/png;base64,AAAA"),),
)


def test_page_loads_nothing_and_escapes_hostile_names(outcome_of: Callable[..., Outcome]) -> None:
    outcome = outcome_of(class_names=("Benign", HOSTILE), image_scores=SCORES)
    text = outcome.study.report.read_text(encoding="utf-8")
    page = Page(text)
    assert page.balanced
    assert page.open == []
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed"}
    sources = [value for _, attrs in page.tags for name, value in attrs.items() if name in ("src", "href", "srcset")]
    assert sources
    assert all((source or "").startswith("data:image/") for source in sources)
    assert not re.search(r"url\(|@import", text)
    assert HOSTILE not in text
    assert "&lt;script&gt;" in text


def test_page_says_verdict_scores_warnings_and_proof(outcome_of: Callable[..., Outcome]) -> None:
    outcome = outcome_of(image_scores=SCORES)
    text = outcome.study.report.read_text(encoding="utf-8")
    stored = read_json(outcome.study.verdict)
    assert stored["verdict"] == outcome.verdict.word
    assert stored["sentence"] in text
    design = read_json(outcome.study.design)
    for needed in (
        *outcome.verdict.warnings,
        design["dataset_fingerprint"],
        design["folds_digest"],
        design["served"]["0"][0]["generator"][:16],
        "14.25",
        "9.75 ± 1.5",
        "LPIPS: not computed: weights missing",
    ):
        assert needed in text
    assert "not searched" in outcome.study.data_card.read_text(encoding="utf-8"), "copies, of which nothing is known"


def test_copies_are_told_at_the_top_with_the_pairs_and_on_the_card(outcome_of: Callable[..., Outcome]) -> None:
    judged = Judgement(FILE, (COPIES, Chapter((DISTANCE,))))
    other = Judgement(replace(FILE, fold=1), (Chapter(findings=COPIES.findings[2:]),))
    outcome = outcome_of(image_scores=[judged, other])
    text = outcome.study.report.read_text(encoding="utf-8")
    warnings = [text for text in outcome.verdict.warnings if "are copies of one patient" in text]
    assert [warning.partition(",")[0] for warning in warnings] == [
        "fold 0: of the synthetic images that were compared",
        "fold 1: of the synthetic images that were compared",
    ]
    assert "Fold 0: 16 of 512" in text
    assert "Folds 0, 1, InSitu: 16 of 256" in text, "one line for what several files have in common"
    assert "no copies found among 256" not in text, "a class is named where it raises an alarm"
    assert "HOW PAIRS ARE READ" in text
    assert "data:image/png;base64,AAAA" in text
    assert "0.0312" not in text, "a fraction is no distance"
    assert "- **Copies**: fold 0, 16 of 512" in outcome.study.data_card.read_text(encoding="utf-8")


def test_every_table_has_a_caption_and_every_image_a_text(outcome_of: Callable[..., Outcome]) -> None:
    page = Page(outcome_of().study.report.read_text(encoding="utf-8"))
    names = [tag for tag, _ in page.tags]
    assert names.count("table") == names.count("caption") > 5
    assert names.count("img") > 0
    assert all(attrs["alt"] for tag, attrs in page.tags if tag == "img")


def difference(arm: str, low: float, high: float) -> Difference:
    interval, spread = Interval(low, high, 0.95, "percentile"), Spread(Part(1e-4, 9), NONE, NONE)
    gap, sizes = Gap(0.7 + (low + high) / 2, 0.7, spread.total), (9, 9, 2, 1, (0,))
    return Difference("net", arm, "real", "accuracy", gap, interval, interval, spread, *sizes)


def test_plot_is_an_image_that_does_not_change_with_the_clock() -> None:
    differences = [difference("real+synthetic", -0.02, 0.05), difference("synthetic-only", -0.6, -0.4)]
    first, second = difference_plot(differences).wide, difference_plot(differences).wide
    assert first == second
    assert ET.fromstring(b64decode(first.partition(",")[2])).tag.endswith("svg")


@pytest.mark.parametrize(
    ("classifier", "digest", "says"),
    [
        ("efficientnet_lite0", WEIGHTS["efficientnet_lite0"].files[0].sha256, None),
        ("efficientnet_lite0", None, "efficientnet_lite0=none"),
        ("efficientnet_lite0", "a" * 64, "efficientnet_lite0=FILE-aaaaaaaaaaaa"),
        ("dalaresnet50_small", None, None),
        ("dalaresnet50_small", "b" * 64, "dalaresnet50_small=FILE-bbbbbbbbbbbb"),
    ],
)
def test_the_command_names_the_weights_where_they_are_not_the_default(
    classifier: str, digest: str | None, says: str | None
) -> None:
    pretrained = {classifier: digest} if digest else {}
    supplies: Any = {0: (None,), 1: (None,)}
    design = Design("tiny", "", "", supplies, StudyConfig(classifiers=(classifier,)), pretrained)
    words = command_of(design, 2).split()
    assert [words[i + 1] for i, word in enumerate(words) if word == "--pretrained"] == ([says] if says else [])
