"""The verdict on copies: a row and a sentence per class, and over all of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganaug.evaluate.copies.detector import RATE, CopyDetector, Matches
from ganaug.evaluate.copies.null import NEEDS_IMAGES, NEEDS_PATIENTS, p_value, rate_interval
from ganaug.evaluate.judged import Finding, Judged
from ganaug.evaluate.scores import ALL, ImageScore
from ganaug.report.numbers import count, percent

COPIES, SIMILARITY = "copies", "pixel similarity"
QUESTION = "copying"
ALARM = 0.05  # probability of a false alarm in one audit, divided among its sentences
_MOST = 0.8  # fraction of the copies from which they are called those of one patient
_SEVERAL = 3  # the fewest copies of which that is worth saying
_TODO = (  # how the generator was trained is not known here
    "draw the images again with synthesize --reject-copies; to train again, use --ada-pipeline histology, or where it "
    "was on a lower --ada-target, or stop earlier: a smaller --kimg with another --seed"
)


@dataclass(frozen=True)
class Found:
    """What the detector says of the synthetic images, and of the real ones that set its null."""

    judged: Judged
    detector: CopyDetector
    matches: Matches
    is_copy: NDArray[np.bool_]

    @property
    def null_copies(self) -> NDArray[np.bool_]:
        """Which real images of the null are as near to a training image as copies are."""
        return np.asarray(self.detector.null.lead > self.detector.limit)


@dataclass(frozen=True)
class Count:
    """The copies among the images of a class."""

    class_name: str
    num_images: int  # that show something
    num_blank: int
    num_copies: int
    from_one_patient: float  # fraction of the copies whose training images are of the same patient
    p_value: float


def counts_of(found: Found) -> list[Count]:
    """Over all classes, then per class; none where the null is too small."""
    if not found.detector.null.is_enough:
        return []
    names: list[tuple[str, int | None]] = [(ALL, None)]
    names += [(name, label) for label, name in enumerate(found.judged.class_names)]
    return [_count(found, name, label) for name, label in names]


def _count(found: Found, name: str, label: int | None) -> Count:
    synthetic = found.judged.synthetic
    places = np.arange(len(synthetic)) if label is None else synthetic.of_class(label)
    num_blank = int(found.matches.is_blank[places].sum())
    copies = places[found.is_copy[places]]
    patients = found.judged.train.group[found.matches.position[copies]]
    most = np.unique(patients, return_counts=True)[1].max() if len(copies) else 0
    leads = found.matches.lead[places[~found.matches.is_blank[places]]]
    p = p_value(leads, found.detector.null, found.detector.limit, RATE)
    return Count(name, len(leads), num_blank, len(copies), most / max(1, len(copies)), p)


def score_of(found: Found, counted: Count) -> ImageScore:
    """The row of a class: the fraction of copies, that among held-out images, and that among training images."""
    null, copies = found.detector.null, found.null_copies
    held_out, train = copies[null.is_held_out], copies[~null.is_held_out]
    has_images = counted.num_images > 0
    low, high = rate_interval(counted.num_copies, counted.num_images) if has_images else (None, None)
    return ImageScore(
        COPIES,
        counted.class_name,
        counted.num_copies / counted.num_images if has_images else None,
        low=low,
        high=high,
        floor=float(train.mean()) if len(train) else None,
        held_out=float(held_out.mean()) if len(held_out) else None,
        p_value=counted.p_value if has_images else None,
        n_real=len(found.judged.train),
        n_synthetic=counted.num_images,
        n_held_out=len(held_out),
        question=QUESTION,
        note=_note(found, counted),
    )


def _note(found: Found, counted: Count) -> str:
    null = found.detector.null
    if not counted.num_images:
        return f"{counted.class_name}: no synthetic image{' that shows something' if counted.num_blank else ''}"
    num_held_out = int(null.is_held_out.sum())
    of_others = f"{num_held_out} images of {found.judged.held_out_part}" if num_held_out else "no held-out image"
    note = (
        f"a copy leads further over the next patients than one real image in {1 / RATE:,.0f} would, by the tail of "
        f"{of_others} and {len(null.lead) - num_held_out} training images, each compared with other patients"
    )
    return note + (f"; {count(counted.num_blank, 'blank image')} not counted" if counted.num_blank else "")


def finding_of(found: Found, counted: Count, num_sentences: int) -> Finding:
    """The sentence of a class, one of `num_sentences` that may raise a false alarm."""
    is_alarm = counted.num_copies > 0 and counted.p_value < ALARM / num_sentences
    sentence = _sentence(found, counted, is_alarm)
    if counted.num_blank:
        sentence += f"; {count(counted.num_blank, 'blank image')} not counted, as empty glass is evidence of nothing"
    return Finding(QUESTION, counted.class_name, sentence, is_alarm, _TODO if is_alarm else "")


def _sentence(found: Found, counted: Count, is_alarm: bool) -> str:
    num, copies = counted.num_images, counted.num_copies
    if not num:
        which = "that shows something" if counted.num_blank else f"of {counted.class_name}"
        return f"copies cannot be judged: there is no synthetic image {which}"
    if not copies:
        return f"no copies found among {num}; a rate above {100 * rate_interval(0, num)[1]:.2g} % would have been seen"
    are = "is a copy of a training image" if copies == 1 else "are copies of training images"
    if copies >= _SEVERAL and counted.from_one_patient >= _MOST:
        are = "are copies of one patient" + ("" if counted.from_one_patient == 1 else ", all but a few")
    sentence = f"{copies} of {num} {are}" if is_alarm else f"{copies} of {num} may be copies"
    real = int(found.null_copies.sum())
    if real:
        sentence += f"; {real} of {count(len(found.null_copies), 'real image')} of other patients are as near"
    return sentence


def too_small(found: Found) -> tuple[ImageScore, Finding]:
    """The row and the sentence where the null is too small."""
    null = found.detector.null
    num_patients = len(np.unique(null.group))
    seen = f"{count(len(null.lead), 'real image')} of {count(num_patients, 'patient')} to compare with other patients"
    note = f"{seen}; it takes {NEEDS_IMAGES} of {NEEDS_PATIENTS}"
    score = ImageScore(COPIES, ALL, None, n_real=len(found.judged.train), question=QUESTION, note=note)
    todo = "give more held-out images, or more training patients"
    return score, Finding(QUESTION, ALL, f"copies cannot be judged: {note}", False, todo)


def split_finding(found: Found) -> tuple[Finding, ...]:
    """What is to be said where held-out images themselves are copies of training images: the split leaks."""
    held_out = found.null_copies[found.detector.null.is_held_out]
    if not held_out.any():
        return ()
    sentence = (
        f"{count(int(held_out.sum()), 'image')} of {found.judged.held_out_part}, of {len(held_out)} "
        f"({percent(float(held_out.mean()))}), are as near to a training image as copies are"
    )
    return (Finding(QUESTION, ALL, sentence, False, "look for copies across patients with ganaug audit"),)
