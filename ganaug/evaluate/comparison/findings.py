"""Sentences on distances and ratios: what they say next to those of real images of other patients."""

from collections.abc import Sequence

from ganaug.evaluate.judged import Finding
from ganaug.evaluate.scores import ALL, ImageScore
from ganaug.report.numbers import figure

ALPHA = 0.05  # of the permutation test that an alarm rests on
FEW_IMAGES = 20  # in a half; below, a range of figures holds almost anything
# By how many widths of its range a class lies beyond it. Our choice: ranges of a class rest on few patients, and of
# BreakHis with 6 training patients in a class, real images of its held-out patients lay beyond by up to 0.3.
CLEARLY = 0.5
CLASS_NEEDS = 8  # images in a half
ADVICE = {
    "overall": "train longer, or on more patients",
    "faithful": "train longer",
    "diverse": "train longer, or on more patients",
    "copying": "read what is found on copies, and use synthesize --reject-copies",
}


def find_distances(
    overall: Sequence[ImageScore], of_classes: Sequence[Sequence[ImageScore]] = (), absent: Sequence[str] = ()
) -> list[Finding]:
    """What the headline distance and the metrics that are read as ratios say, over all classes and of single ones.

    overall: the rows over all classes, the headline distance first. of_classes: the same rows of each class.
    absent: classes that have real and no synthetic images.

    An alarm is a figure beyond the range that one more partition of the real patients would have: `floor_low` and
    `floor_high`. Of the headline distance it takes a small p-value as well. A class has a sentence where it is clearly
    beyond, unless every class is and an alarm over all of them says so.
    """
    headline, *ratios = overall
    missing = [
        Finding("obedient", name, f"no synthetic image of {name}", True, "synthesize all classes") for name in absent
    ]
    general = [finding for finding in [_find_headline(headline, absent)] if finding]
    for row in ratios:
        if _excess(row) > 0:
            sentence = (
                f"{row.metric} is {figure(row.value_at_half)} at {row.n_half} images, where real images of other "
                f"patients have {figure(row.floor)} {_range(row)}"
            )
            general.append(Finding(row.question, ALL, sentence, True, ADVICE[row.question]))
    beyond = [finding for finding in (_find_class(rows) for rows in of_classes) if finding]
    if len(beyond) == len(of_classes) and any(finding.is_alarm for finding in general):
        beyond = []
    return [*missing, *general, *beyond]


def _find_headline(row: ImageScore, absent: Sequence[str]) -> Finding | None:
    if row.value_at_half is None or row.floor is None or row.floor_low is None or row.floor_high is None:
        return None
    compared = (
        f"{row.metric} is {figure(row.value_at_half)} at {row.n_half} images"
        f"{' without ' + ', '.join(absent) if absent else ''}, and between real images of different patients "
        f"{figure(row.floor)} {_range(row)}"
    )
    p = "" if row.p_value is None else f"p = {figure(row.p_value)}"
    is_large = row.p_value is not None and row.p_value < ALPHA
    if row.value_at_half > row.floor_high and (is_large or row.p_value is None):
        sentence = f"farther from real images than other patients are: {compared}{p and '; ' + p}"
        return Finding("overall", ALL, sentence, True, ADVICE["overall"])
    if row.value_at_half < row.floor_low:
        sentence = f"nearer to the training patients than other patients are: {compared}"
        return Finding("copying", ALL, sentence, True, ADVICE["copying"])
    if row.value_at_half > row.floor_high:
        seen = f"farther from real images than other patients are, though independent images may be as far ({p})"
    elif is_large:
        seen = f"within what other patients differ by, though farther than independent images of them would be ({p})"
    elif (row.n_half or 0) < FEW_IMAGES:
        seen = f"too few images to see a difference (n = {row.n_half}{p and ', ' + p})"
    else:
        seen = f"as near to real images as other patients are{p and f' ({p})'}"
    return Finding("overall", ALL, f"{seen}: {compared}", False)


def _find_class(rows: Sequence[ImageScore]) -> Finding | None:
    """One sentence on all figures of a class that are clearly beyond their ranges."""
    beyond = [row for row in rows if (row.n_half or 0) >= CLASS_NEEDS and _excess(row) > CLEARLY]
    if not beyond:
        return None
    questions = {row.question for row in beyond} - {"overall"} or {"overall"}  # what a distance sees, but of one kind
    question = questions.pop() if len(questions) == 1 else "overall"
    figures = ", ".join(f"{row.metric} {figure(row.value_at_half)} {_range(row)}" for row in beyond)
    sentence = (
        f"{beyond[0].class_name}: beyond what real images of other patients of this class have, at {beyond[0].n_half} "
        f"images: {figures}"
    )
    return Finding(question, beyond[0].class_name, sentence, True, ADVICE[question])


def _excess(row: ImageScore) -> float:
    """How far a figure lies beyond its range on the side that speaks against a generator, in widths of the range.

    Negative within it, on the other side, where the permutation test sees no difference, and where there is no figure.
    """
    if row.value_at_half is None or row.floor_low is None or row.floor_high is None:
        return -1.0
    if row.question == "overall":
        distance = row.value_at_half - row.floor_high if row.p_value is None or row.p_value < ALPHA else -1.0
    else:
        distance = row.floor_low - row.value_at_half
    return distance / ((row.floor_high - row.floor_low) or 1.0)


def _range(row: ImageScore) -> str:
    return f"({figure(row.floor_low)} to {figure(row.floor_high)})"
