"""The page of a judgement: what it shows, what it withholds, and that it needs nothing but itself."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ganaug.evaluate.judged import Chapter, Exhibit, Finding, ImageSet, Judged
from ganaug.evaluate.judgement import Judgement, ScoredFile
from ganaug.evaluate.metrics.metric import QUESTIONS
from ganaug.evaluate.page import notes_of, samples_of, sizes_of, write_page
from ganaug.evaluate.scores import ALL, ImageScore
from ganaug.evaluate.table import format_judgement

ABOUT = ScoredFile(
    "tiny", "a" * 64, "b" * 64, 1, "tiny-fold1.h5", "c" * 64, "d" * 64, kimg=12.0, psi=0.7,
    held_out_part="validation patients", seed=0,
)  # fmt: skip
KERNEL = ImageScore(
    "kernel[net]", ALL, 0.25, low=0.125, high=0.5, value_at_half=0.375, floor=0.0625, floor_low=0.03, floor_high=0.09,
    held_out=0.3125, held_out_floor=0.15, p_value=0.001, n_real=40, n_synthetic=44, n_half=18, n_held_out=9,
    extractor="net", extractor_digest="e" * 64,
)  # fmt: skip
RECALL = ImageScore("recall[net]", "in situ", None, question="diverse", note="in situ: 3 images; 8 are needed")
ALARM = Finding("copying", "in situ", "5 of 40 images are copies of training images", True, "use --reject-copies")
CALM = Finding("obedient", ALL, "the classes differ", False)
PICTURE = Exhibit("appearance", "Power spectrum", "no peak", "data:image/svg+xml;base64,AAAA")


@pytest.fixture
def judgement() -> Judgement:
    return Judgement(ABOUT, (Chapter((KERNEL,)), Chapter((RECALL,), (ALARM, CALM)), Chapter(exhibits=(PICTURE,))))


@pytest.fixture
def judged() -> Judged:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, size=(60, 16, 16, 3), dtype=np.uint8)
    label = np.arange(20) % 2
    train, held_out, synthetic = (
        ImageSet(images, np.arange(start, start + 20), label, group)
        for start, group in (
            (0, np.array([f"Mrs Smith {i // 4}" for i in range(20)])),
            (20, np.array([f"Mr Jones {i // 5}" for i in range(20)])),
            (40, np.full(20, "")),
        )
    )
    return Judged(train, held_out, synthetic, ("Benign <b>", "in situ"), "validation patients")


def test_answers_hold_everything_once_and_in_the_order_of_the_questions(judgement: Judgement) -> None:
    answers = judgement.answers()
    assert [answer.question for answer in answers] == ["overall", "diverse", "obedient", "copying", "appearance"]
    assert next(iter(QUESTIONS)) == "overall"
    assert sum(len(answer.scores) for answer in answers) == len(judgement.scores) == 2
    assert sum(len(answer.findings) for answer in answers) == len(judgement.findings) == 2
    assert [answer.question for answer in answers if answer.is_alarm] == ["copying"]
    assert judgement.alarms == (ALARM,)


def test_the_page_shows_every_figure_and_finding_loads_nothing_and_names_nobody(
    judgement: Judgement, judged: Judged, tmp_path: Path
) -> None:
    path = tmp_path / "evaluations" / "page.html"
    write_page(path, judged, judgement, "ganaug evaluate-gan --fold 1")
    text = path.read_text()
    for figure in (
        "0.25",
        "0.125 to 0.5",
        "0.375",
        "0.0625",
        "0.03 to 0.09",
        "0.3125",
        "0.15",
        "0.001",
        ">44<",
        ">18<",
    ):
        assert figure in text, figure
    for sentence in (ALARM.sentence, ALARM.todo, CALM.sentence, RECALL.note, "ganaug evaluate-gan --fold 1", "ψ = 0.7"):
        assert sentence in text, sentence
    assert PICTURE.uri in text
    assert "Benign &lt;b&gt;" in text
    assert "Benign <b>" not in text
    assert "Smith" not in text
    assert "Jones" not in text
    sources = re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', text)
    assert len(sources) == 4 + 1
    assert all(source.startswith("data:") for source in sources)
    assert not re.search(r"url\(|@import|<script|<link|http", text)
    assert len(text) < 5e6


def test_the_page_begins_with_what_speaks_against_the_images(
    judgement: Judgement, judged: Judged, tmp_path: Path
) -> None:
    write_page(tmp_path / "a.html", judged, judgement, "")
    assert "1 finding speaks" in " ".join((tmp_path / "a.html").read_text().split())
    calm = Judgement(ABOUT, (Chapter((KERNEL,), (CALM,)),))
    write_page(tmp_path / "b.html", judged, calm, "")
    assert "Nothing that was looked at speaks against these images" in (tmp_path / "b.html").read_text()


def test_figures_that_know_the_test_patients_are_marked(judgement: Judgement) -> None:
    both = Judgement(replace(ABOUT, held_out_part="validation and test patients"), judgement.chapters)
    assert not any("test patients" in note for note in notes_of(judgement))
    assert any("test patients" in note for note in notes_of(both))


def test_sizes_and_samples_are_of_each_class(judged: Judged) -> None:
    assert sizes_of(judged) == [("Benign <b>", 10, 5, 10, 4, 10), ("in situ", 10, 5, 10, 4, 10)]
    samples = samples_of(judged, seed=0)
    assert len(samples) == 2
    assert all(row.real and row.synthetic and row.real != row.synthetic for row in samples)
    without = replace(judged, synthetic=replace(judged.synthetic, label=np.zeros(20, np.int64)))
    assert samples_of(without, seed=0)[1].synthetic is None


def test_the_terminal_shows_only_columns_that_hold_something(judgement: Judgement) -> None:
    text = format_judgement(judgement)
    assert "0.125 to 0.5" in text
    assert "ratio" not in text
    assert f"! in situ: {ALARM.sentence}; {ALARM.todo}" in text
    assert f"· {CALM.sentence}" in text
    assert RECALL.note in text
    assert text.index("How near") < text.index("copies of training")
