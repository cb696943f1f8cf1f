"""Sentences on the figures over all classes: what they say next to those of real images of other patients."""

from collections.abc import Sequence

from ganaug.evaluate.judged import Finding
from ganaug.evaluate.scores import ALL, ImageScore
from ganaug.report.numbers import figure

ALPHA = 0.05  # of the permutation test that an alarm rests on
TODO = {
    "faithful": "train longer, or synthesize with a smaller --psi",
    "diverse": "train longer, with --psi 1, or on more patients",
    "overall": "look at the snapshots' curve, and train longer or begin from a better one",
    "copying": "read what is found on copies, and use synthesize --reject-copies",
}


def find_distances(headline: ImageScore, ratios: Sequence[ImageScore]) -> list[Finding]:
    """What the headline distance and the metrics that are read as ratios say, each over all classes.

    An alarm is a figure beyond the range that one more partition of the real patients would have: `floor_low` and
    `floor_high`. Of the headline distance it takes a small p-value as well.
    """
    findings = [finding for finding in [_find_headline(headline)] if finding]
    for row in ratios:
        if row.value_at_half is None or row.floor is None or row.floor_low is None or row.floor_high is None:
            continue
        if row.value_at_half < row.floor_low:
            sentence = (
                f"{row.metric} is {figure(row.value_at_half)} at {row.n_half} images, where real images of other "
                f"patients have {figure(row.floor)} ({figure(row.floor_low)} to {figure(row.floor_high)})"
            )
            findings.append(Finding(row.question, ALL, sentence, True, TODO[row.question]))
    return findings


def _find_headline(row: ImageScore) -> Finding | None:
    if row.value_at_half is None or row.floor is None or row.floor_low is None or row.floor_high is None:
        return None
    compared = (
        f"{row.metric} is {figure(row.value_at_half)} at {row.n_half} images, and between real images of different "
        f"patients {figure(row.floor)} ({figure(row.floor_low)} to {figure(row.floor_high)})"
    )
    by_chance = "" if row.p_value is None else f"; p = {figure(row.p_value)}"
    if row.value_at_half > row.floor_high and (row.p_value is None or row.p_value < ALPHA):
        sentence = f"farther from real images than other patients are: {compared}{by_chance}"
        return Finding("overall", ALL, sentence, True, TODO["overall"])
    if row.value_at_half < row.floor_low:
        sentence = f"nearer to the training patients than other patients are: {compared}"
        return Finding("copying", ALL, sentence, True, TODO["copying"])
    return Finding("overall", ALL, f"as near to real images as other patients are: {compared}{by_chance}", False)
