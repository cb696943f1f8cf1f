"""The answer to one question: do the images show the class that was asked for?"""

from dataclasses import replace

import numpy as np

from ganaug.evaluate.judged import Chapter, Embedded, Finding, Judged
from ganaug.evaluate.labels.agreement import judge_agreement
from ganaug.evaluate.labels.scope import Scope, alike_classes, is_finite, is_same, scope_of
from ganaug.evaluate.labels.separation import judge_separation
from ganaug.evaluate.labels.utility import judge_utility
from ganaug.evaluate.scores import ALL, ImageScore

HEADLINES = ("agreement", "class separation", "CAS", "CAS back")


def judge_labels(judged: Judged, embedded: Embedded, *, seed: int) -> Chapter:
    """Label fidelity, conditioning collapse, and the classification accuracy score, on one extractor's features.

    Agreement and CAS take `scope.MIN_IMAGES` images of `scope.MIN_PATIENTS` patients of a class in the training and in
    the held-out images, and as many synthetic ones; the separation of the classes needs no held-out patients. A figure
    that cannot be had is a row with the value None, whose note says what it takes. A class whose synthetic images are
    all alike has no figure, but an alarm.
    """
    own = embedded.extractor
    if not is_finite(embedded):
        reason = f"features of {own.name} hold NaN or infinity; expected numbers; check its weights"
        rows: tuple[ImageScore, ...] = tuple(_missing(f"{name}[{own.name}]", ALL, reason) for name in HEADLINES)
        return _of_extractor(Chapter(rows), embedded)
    draws = np.random.default_rng(seed).spawn(3)
    scope = scope_of(judged, embedded)
    chapters = [
        _agreement_chapter(scope, judged, own.name, draws[0]),
        judge_separation(judged, embedded, f"class separation[{own.name}]", draws[1]),
        _utility_chapter(scope, judged, own.name, draws[2]),
        Chapter(findings=_repeated(judged, embedded)),
    ]
    return _of_extractor(
        Chapter(
            tuple(score for chapter in chapters for score in chapter.scores),
            tuple(finding for chapter in chapters for finding in chapter.findings),
        ),
        embedded,
    )


def _agreement_chapter(scope: Scope, judged: Judged, name: str, rng: np.random.Generator) -> Chapter:
    metric = f"agreement[{name}]"
    absent = tuple(_missing(metric, class_name, f"{class_name}: {lack}") for class_name, lack in scope.missing.items())
    if scope.reason:
        return Chapter((_missing(metric, ALL, scope.reason), *absent))
    chapter = judge_agreement(scope, metric, judged.held_out_part, rng)
    return replace(chapter, scores=(*chapter.scores, *absent))


def _utility_chapter(scope: Scope, judged: Judged, name: str, rng: np.random.Generator) -> Chapter:
    if scope.reason:
        return Chapter((_missing(f"CAS[{name}]", ALL, scope.reason), _missing(f"CAS back[{name}]", ALL, scope.reason)))
    return judge_utility(scope, name, judged.held_out_part, rng)


def _repeated(judged: Judged, embedded: Embedded) -> tuple[Finding, ...]:
    """An alarm per class whose synthetic images are all alike; one only, where those of all classes are."""
    alike, made = alike_classes(judged, embedded), embedded.synthetic
    todo = "look at the images; choose another snapshot, or train again"
    if len(alike) > 1 and len(alike) == len(np.unique(judged.synthetic.label)) and is_same(made, embedded.train.std(0)):
        return (Finding("diverse", ALL, f"all {len(made)} synthetic images are alike", is_alarm=True, todo=todo),)
    names = [(judged.class_names[label], len(judged.synthetic.of_class(label))) for label in alike]
    return tuple(
        Finding("diverse", name, f"all {number} synthetic images of {name} are alike", is_alarm=True, todo=todo)
        for name, number in names
    )


def _missing(metric: str, class_name: str, note: str) -> ImageScore:
    return ImageScore(metric, class_name, None, question="obedient", note=note)


def _of_extractor(chapter: Chapter, embedded: Embedded) -> Chapter:
    """The chapter with the extractor in every row."""
    own = embedded.extractor
    rows = [
        replace(score, extractor=own.name, extractor_digest=own.digest, note=score.note or own.note)
        for score in chapter.scores
    ]
    return replace(chapter, scores=tuple(rows))
