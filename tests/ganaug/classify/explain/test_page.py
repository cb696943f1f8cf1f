"""The page of a stored classifier's maps: what it shows, what it withholds, and how it reads on a narrow screen."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from classifiers.explain.measures import MEASURES
from ganaug.classify.explain.explain import Explanations, MethodScores
from ganaug.classify.explain.page import draw_contour, notes_of, pictures_of, unlike_a_prior, write_page
from ganaug.classify.stored import StoredClassifier
from ganaug.data.dataset import DataSet
from ganaug.report.pictures import overlay


def test_the_page_and_its_pictures_name_nobody(
    stored: StoredClassifier, tiny: DataSet, found: Explanations, tmp_path: Path
) -> None:
    page = write_page(tmp_path, stored, tiny, found, "ganaug explain --seed 0")
    text = page.read_text()
    files = sorted(tmp_path.glob("*.png"))
    assert len(files) == 7 * len(found.shown)
    assert text.count("data:image/png;base64,") == len(files)
    assert "http" not in text.replace("https://", ""), "nothing is loaded"
    assert 'src="data:' in text
    for path in files:
        with Image.open(path) as image:
            assert image.info == {}
            assert image.size == (160, 160)
    table = tiny.table
    for names in (table.group_id, table.path, table.image_id):
        assert not [name for name in np.unique(names).tolist() if name in text]
    for heading in ("Are the maps faithful?", "Do the maps depend", "It is no finding", "ganaug explain --seed 0"):
        assert heading in text


def test_a_second_page_removes_the_pictures_of_the_first_and_nothing_else(
    stored: StoredClassifier, tiny: DataSet, found: Explanations, tmp_path: Path
) -> None:
    write_page(tmp_path, stored, tiny, found, "")
    (tmp_path / "mine.png").write_bytes(b"mine")
    write_page(tmp_path, stored, tiny, replace(found, shown=found.shown[:1]), "")
    assert len(list(tmp_path.glob("*.png"))) == 7 + 1
    assert (tmp_path / "mine.png").read_bytes() == b"mine"


def test_pictures_show_what_their_captions_say(found: Explanations) -> None:
    shown = found.shown[0]
    kinds = [kind for kind, _, _ in pictures_of(shown)]
    assert kinds == [
        "image",
        *(f"{m}_{k}" for m in ("gradcam", "winsor_cam") for k in ("map", "thresholded", "contour")),
    ]
    only = replace(shown, maps={"dt_gradcam": shown.maps["dt_gradcam"]}, mask=None)
    assert [kind for kind, _, _ in pictures_of(only)] == ["image", "dt_gradcam_thresholded", "dt_gradcam_contour"]
    image = np.full((8, 8, 3), (200, 100, 150), np.uint8)
    assert (overlay(image, np.zeros((8, 8), np.float32)) == 150).all()
    area = np.zeros((8, 8), bool)
    area[:, :6] = True
    drawn = draw_contour(image, area, (1, 2, 3))
    assert (drawn[:, 4:6] == (1, 2, 3)).all()
    assert (drawn[:, 6:] == image[:, 6:]).all()
    assert (drawn[:, :4] == image[:, :4]).all(), "an area that goes on beyond the image has no border there"


def test_the_page_says_where_no_method_beats_a_map_that_never_looks(found: Explanations) -> None:
    def with_deletion(change: Callable[[str], float]) -> Explanations:
        rows = []
        for row in found.scores:
            value = row.scores["deletion_blur"]
            assert value is not None
            scores = {
                **row.scores,
                **{f"deletion_{fill}": replace(value, mean=change(row.method)) for fill in ("blur", "tissue")},
                **{f"insertion_{fill}": replace(value, mean=1 - change(row.method)) for fill in ("blur", "tissue")},
            }
            rows.append(MethodScores(row.method, scores))
        return replace(found, scores=tuple(rows))

    poor = unlike_a_prior(with_deletion(lambda method: 0.5))
    assert poor is not None
    assert "no method is better than centre and random" in poor or "no method is better than random and centre" in poor
    assert unlike_a_prior(with_deletion(lambda method: 0.5 if method == "random" else 0.6)) is not None
    faithful = with_deletion(lambda method: 0.1 if method == "gradcam" else 0.5)
    assert unlike_a_prior(faithful) is None
    last = replace(found.randomised[-1], rank_correlation={"gradcam": 0.9, "winsor_cam": 0.1})
    notes = notes_of(replace(faithful, randomised=(last,)))
    assert [note for note in notes if note.startswith("gradcam: the maps stay")]


def test_the_page_speaks_of_intervals_and_blind_maps_only_where_they_are(
    stored: StoredClassifier, tiny: DataSet, found: Explanations, tmp_path: Path
) -> None:
    whole = write_page(tmp_path, stored, tiny, found, "").read_text()
    assert "bootstrap interval" in whole
    assert "maps that never look at the network" in " ".join(whole.split())
    assert f"With {found.num_patients} patients these intervals are too narrow" in whole
    gradcam = MethodScores(
        "gradcam",
        {name: score and replace(score, low=None, high=None) for name, score in found.scores[0].scores.items()},
    )
    alone = replace(found, scores=(gradcam,), methods=("gradcam",), num_measured=1, num_patients=1)
    page = write_page(tmp_path, stored, tiny, alone, "").read_text()
    assert "1 test image of 1 patient," in page
    assert "bootstrap interval" not in page
    assert "too narrow" not in page
    assert "never look" not in page
    many = replace(found, num_patients=10)
    assert "too narrow" not in write_page(tmp_path, stored, tiny, many, "").read_text()


def test_the_page_says_where_the_image_as_it_lies_gets_another_class(
    stored: StoredClassifier, tiny: DataSet, found: Explanations, tmp_path: Path
) -> None:
    first = found.shown[0]
    other = replace(first, predicted_unturned=(first.predicted + 1) % 4)
    same = replace(first, predicted_unturned=first.predicted)
    pages = [
        write_page(tmp_path, stored, tiny, replace(found, shown=(shown,), num_disagreeing=num), "").read_text()
        for shown, num in ((other, 1), (same, 0))
    ]
    assert [f"as {stored.class_names[other.predicted_unturned]})" in page for page in pages] == [True, False]
    assert ["Images that get another class" in page for page in pages] == [True, False]
    assert "without averaging" in pages[1]


def test_on_a_narrow_screen_every_figure_of_a_table_has_its_label(
    stored: StoredClassifier, tiny: DataSet, found: Explanations, tmp_path: Path
) -> None:
    page = write_page(tmp_path, stored, tiny, found, "").read_text()
    assert page.count("<td") > len(MEASURES)
    assert page.count("<td") == page.count('data-label="')
    assert page.count("<table") == page.count('class="wide"'), "the tables that the narrow layout is of"
    assert "@media screen and (max-width: 40rem)" in page
