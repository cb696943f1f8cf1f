"""The memorization audit: whether synthetic images repeat training images."""

import numpy as np
from numpy.typing import NDArray

from ganaug.config import Compute
from ganaug.evaluate.copies.detector import CopyDetector, Matches
from ganaug.evaluate.copies.figures import feature_scores, lpips_scores
from ganaug.evaluate.copies.gallery import Pair, gallery, num_pairs, turn_back
from ganaug.evaluate.copies.verdict import (
    COPIES,
    QUESTION,
    SIMILARITY,
    Found,
    counts_of,
    finding_of,
    score_of,
    split_finding,
    too_small,
)
from ganaug.evaluate.judged import Chapter, Embedded, Exhibit, Finding, Judged
from ganaug.evaluate.scores import ALL, ImageScore


def judge_copies(
    judged: Judged, embedded: Embedded | None, *, compute: Compute, seed: int, progress: bool = False
) -> Chapter:
    """The chapter on copying: rows per class, a verdict per class, and the closest pairs.

    A synthetic image is a copy where its nearest training image, aligned in pixels, leads further over those of other
    patients than real images' nearest ones do; see `CopyDetector`. The null is set by held-out images and, each
    compared with other patients only, by training images. An audit raises a false alarm with a probability of 5 % at
    most. Features give figures to read and no alarm; without them (None) these figures are left out.
    """
    if not len(judged.train) or not len(judged.synthetic):
        seen = f"{len(judged.train)} training and {len(judged.synthetic)} synthetic images"
        note = f"{seen}; it takes at least one of each"
        score = ImageScore(COPIES, ALL, None, question=QUESTION, note=note)
        return Chapter((score,), (Finding(QUESTION, ALL, f"copies cannot be judged: {note}", False),))
    train, held_out, device = judged.train.pixels(), judged.held_out.pixels(), compute.device
    others = (held_out, judged.held_out.group)
    detector = CopyDetector.fit(train, judged.train.group, others=others, device=device, progress=progress)
    synthetic = judged.synthetic.pixels()
    matches = detector.match(synthetic, progress=progress)
    found = Found(judged, detector, matches, detector.is_copy(matches))
    nearest_held_out = None
    if len(held_out):
        of_held_out = CopyDetector.without_null(held_out, judged.held_out.group, device)
        nearest_held_out = of_held_out.match(synthetic, progress=progress)
    scores, findings = _verdicts(found)
    scores += _similarities(judged, matches, nearest_held_out)
    if embedded is not None:
        scores += feature_scores(judged, embedded, seed)
        scores += lpips_scores(judged, embedded, compute, seed)
    return Chapter(tuple(scores), tuple(findings), (_gallery(found, nearest_held_out),))


def _verdicts(found: Found) -> tuple[list[ImageScore], list[Finding]]:
    counts = counts_of(found)
    if not counts:
        score, finding = too_small(found)
        return [score], [finding]
    findings = [finding_of(found, counted, len(counts)) for counted in counts]
    return [score_of(found, counted) for counted in counts], [*findings, *split_finding(found)]


def _similarities(judged: Judged, matches: Matches, nearest_held_out: Matches | None) -> list[ImageScore]:
    """The median similarity of synthetic images to their nearest training image, and to the nearest held-out one."""
    scores = []
    for name, label in [(ALL, None), *((name, label) for label, name in enumerate(judged.class_names))]:
        places = np.arange(len(judged.synthetic)) if label is None else judged.synthetic.of_class(label)
        note = "" if len(places) else f"{name}: no synthetic image"
        value, held_out = (
            float(np.median(each.similarity[places])) if each is not None and len(places) else None
            for each in (matches, nearest_held_out)
        )
        scores.append(
            ImageScore(
                SIMILARITY,
                name,
                value,
                held_out=held_out,
                n_real=len(judged.train),
                n_synthetic=len(places),
                n_held_out=len(judged.held_out),
                question=QUESTION,
                note=note,
            )
        )
    return scores


def _gallery(found: Found, nearest_held_out: Matches | None) -> Exhibit:
    judged, matches = found.judged, found.matches
    most = num_pairs(len(judged.class_names))
    leads: NDArray[np.float64] = np.where(matches.is_blank, -np.inf, matches.lead)
    pairs = {}
    for label, name in enumerate(judged.class_names):
        places = judged.synthetic.of_class(label)
        closest = places[np.argsort(-leads[places], kind="stable")[:most]]
        if len(closest):
            pairs[name] = [_pair(found, nearest_held_out, int(place)) for place in closest]
    return gallery(pairs, judged.held_out_part)


def _pair(found: Found, nearest_held_out: Matches | None, place: int) -> Pair:
    judged, here = found.judged, np.array([place])
    training = judged.train.pixels(found.matches.position[here])[0]
    held_out = None
    if nearest_held_out is not None:
        image = judged.held_out.pixels(nearest_held_out.position[here])[0]
        held_out = turn_back(image, int(nearest_held_out.orientation[place]))
    return Pair(
        judged.synthetic.pixels(here)[0],
        turn_back(training, int(found.matches.orientation[place])),
        held_out,
        float(found.matches.similarity[place]),
        bool(found.is_copy[place]),
    )
