"""Notes on a study that its reader has to know before believing the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ganaug.classify.probes import is_probe
from ganaug.config.choices import (
    BASELINE,
    CONTROL,
    EXTERNAL,
    LEAKY,
    POOLED,
    SHUFFLED,
    SYNTHETIC_ONLY,
    TREATMENT,
    WEIGHTED,
)
from ganaug.evaluate.copies.verdict import QUESTION as COPYING
from ganaug.evaluate.judgement import Judgement
from ganaug.report.numbers import percent, points
from ganaug.study.arms.registry import draws, find_arm
from ganaug.study.design import Design
from ganaug.study.statistics.out_of_fold import FEWEST_PATIENTS, OutOfFold, score_counts
from ganaug.study.statistics.paired import Difference
from ganaug.study.statistics.power import scale

FEW_PATIENTS_PER_CLASS = 5
CLOSE = 0.05  # of the metric: a shortcut that near is most of the task
SMALLEST_NARROWING = 0.05  # points of a half width, that are worth another generator
MUCH = 0.10  # ten points of the metric: what counts as much worse


def notes_on_classifier(classifier: str, tested: OutOfFold, differences: Sequence[Difference]) -> list[str]:
    by_pair = {(d.arm, d.baseline): d for d in differences}
    notes = []
    placebo = by_pair[CONTROL, BASELINE]
    if placebo.interval.is_above(0) or placebo.interval.is_below(0):
        meaning = (
            "A probe sees them in other orientations, which is worth something here without any generator."
            if is_probe(classifier)
            else "They hold nothing new, so training noise is as large as the effects that are looked for; use more "
            "seeds or more steps."
        )
        notes.append(
            f"{classifier}: repeats of real images alone changed the score by {points(placebo.estimate)} points "
            f"({points(placebo.interval.low)} to {points(placebo.interval.high)}). {meaning}"
        )
    alone = by_pair.get((SYNTHETIC_ONLY, BASELINE))
    if alone is not None and alone.estimate < -MUCH and alone.interval.is_below(0):
        notes.append(
            f"{classifier}: trained on synthetic images alone it scores {points(alone.estimate)} points against real "
            "ones. The generator has learned little of what separates the classes; train it longer before "
            "concluding that such images cannot help."
        )
    shuffled = by_pair.get((SHUFFLED, BASELINE))
    if shuffled is not None and shuffled.interval.is_above(0):
        notes.append(
            f"{classifier}: synthetic images with permuted labels changed the score by {points(shuffled.estimate)} "
            f"points ({points(shuffled.interval.low)} to {points(shuffled.interval.high)}). They teach nothing of the "
            "classes, so whatever the others gain may be a regulariser's and not the generator's."
        )
    notes += _note_on_augmentation(classifier, [arm for arm, _ in by_pair])
    notes += _note_on_balance(classifier, by_pair[TREATMENT, BASELINE], by_pair.get((WEIGHTED, BASELINE)))
    notes += _note_on_leak(classifier, by_pair.get((LEAKY, TREATMENT)))
    notes += _note_on_luck(by_pair[TREATMENT, POOLED])
    counts = tested.counts[BASELINE]
    guessing = 1 / counts.shape[-1]
    if score_counts(counts, "balanced_accuracy") < guessing + 0.05:
        notes.append(
            f"{classifier}: on real images it is hardly better than guessing ({percent(guessing)} balanced accuracy): "
            "the comparison says nothing about the images; use more steps or another classifier."
        )
    return notes


def unserved_fractions(design: Design) -> list[float]:
    """The fractions of real images whose arms draw from generators of the whole fold."""
    arms = map(find_arm, design.config.arms)
    return sorted({arm.fraction for arm in arms if draws(arm)} - {1.0} - set(design.of_fractions), reverse=True)


def note_on_fractions(fractions: Sequence[float]) -> str:
    """What the arms of fractions say where generators of the whole fold serve them."""
    return (
        f"{', '.join(f'{TREATMENT}/{fraction:g}' for fraction in fractions)}: the generators saw all real training "
        "images of their fold, so part of the gain may be images that the fraction leaves out; it says nothing of a "
        f"laboratory that has so few. `ganaug train-gan --real-fraction {fractions[0]:g}` trains generators that saw "
        "these alone, as --train-missing does."
    )


def notes_on_copies(judgements: Sequence[Judgement]) -> list[str]:
    """One for each synthetic file that repeats training images."""
    first_alarms = [next((a for a in judged.alarms if a.question == COPYING), None) for judged in judgements]
    return [
        f"fold {judged.file.fold}: of the synthetic images that were compared, {alarm.sentence}. What copies add is "
        "what repeated real images add."
        for judged, alarm in zip(judgements, first_alarms)
        if alarm is not None
    ]


def _note_on_augmentation(classifier: str, arms: Sequence[str]) -> list[str]:
    """That an arm of other classical augmentation is to a probe what the real images are."""
    same = [arm for arm in arms if find_arm(arm).classical_augmentation]
    if not is_probe(classifier) or not same:
        return []
    return [
        f"{classifier}: {', '.join(same)} is {BASELINE} once more, as a probe sees orientations and no other "
        "augmentation. Only a network can say what strong classical augmentation does."
    ]


def _note_on_balance(classifier: str, treated: Difference, weighted: Difference | None) -> list[str]:
    """That repeats of rarer classes gain as much as a generator does, where they do."""
    if weighted is None or not 0 < treated.estimate <= weighted.estimate:
        return []
    interval = f"{points(weighted.interval.low)} to {points(weighted.interval.high)}"
    return [
        f"{classifier}: real images alone, those of rarer classes repeated ({WEIGHTED}), gain "
        f"{points(weighted.estimate)} points ({interval}), {TREATMENT} {points(treated.estimate)}. What is gained here "
        "may be balance between the classes, which needs no generator."
    ]


def _note_on_leak(classifier: str, inflation: Difference | None) -> list[str]:
    """What a leak would have been reported as."""
    if inflation is None:
        return []
    return [
        f"{classifier}: this is a leak audit. Images of generators that know patients under test scored "
        f"{points(inflation.estimate)} points ({points(inflation.interval.low)} to {points(inflation.interval.high)}) "
        "against those of generators that do not. That is what a leak adds here, and no result."
    ]


def _note_on_luck(answer: Difference) -> list[str]:
    """What one generator per fold costs, and what a second one would buy."""
    if answer.num_generators > 1:
        return []
    several = scale(answer.spread, answer.size, replace(answer.size, num_generators=2))
    now, then = (100 * part.half_width(answer.interval.confidence) for part in (answer.variance, several))
    second = f"With a second generator per fold it would be about ±{then:.1f} points in place of ±{now:.1f}."
    if now - then < SMALLEST_NARROWING:
        second = "Here a second generator per fold would hardly narrow it."
    return [
        f"{answer.classifier}: one generator serves each fold, so its luck is in every seed of the fold. Only the "
        f"differences between folds show it; they are in the interval. {second}"
    ]


def notes_on_shortcuts(
    shortcuts: Mapping[str, float], classifiers: Mapping[str, float], metric: str, guessing: float
) -> list[str]:
    """How far a classifier gets without tissue; an alarm where others get hardly farther. Scores on real images.

    None where the shortcut is hardly better than guessing: then a classifier that is near it has learnt nothing.
    """
    notes = []
    for name, score in shortcuts.items():
        close = [other for other, own in classifiers.items() if own - score < CLOSE]
        if close and score - guessing >= MUCH:
            notes.append(
                f"{name}, which sees the mean colour and the stain of a whole image and no tissue, reaches "
                f"{percent(score)} {metric.replace('_', ' ')} on real images, within {100 * CLOSE:g} points of "
                f"{', '.join(close)} or above: as posed, the task is mostly one of stain, and so is whatever synthetic "
                "images add to it. Prepare the data set with --stain macenko, and at a higher resolution."
            )
    return notes


def notes_on_sample(tested: OutOfFold, design: Design, class_names: Sequence[str], num_folds: int) -> list[str]:
    num_patients, num_images = len(tested.images), int(tested.images.sum())
    notes = []
    if num_patients == num_images:
        notes.append(
            "Every image counts as its own patient. If several come from one patient, the folds leak and the intervals "
            "are too narrow."
        )
    for text in sorted(
        {text for fold in design.folds for supply in design.supplies_of(fold) for text in supply.provenance.declared}
    ):
        notes.append(
            f"The generators started from weights whose training data are declared and checked by nothing: {text}. If "
            "patients of this data set were among them, the comparison leaks."
        )
    unserved = unserved_fractions(design)
    notes += [note_on_fractions(unserved)] if unserved else []
    if design.external:
        names = ", ".join(sorted({images.name for images in design.external.values()}))
        notes.append(
            f"{EXTERNAL}: the images of {names} come from another tool. What it was trained on is declared and checked "
            f"by nothing: {' '.join(design.config.external_saw.split())}. If patients of this data set were among it, "
            "the comparison of this arm leaks."
        )
    for name, origin in design.origins.items():
        if origin.startswith("declared"):
            notes.append(
                f"The weights that {name} started from have no record: {origin}. If patients of this data set were "
                "among it, the comparison leaks."
            )
    holders = dict(zip(class_names, (tested.images > 0).sum(axis=0).tolist(), strict=True))
    unjudged = [f"{name} {n}" for name, n in holders.items() if n < FEWEST_PATIENTS]
    if len(holders) - len(unjudged) < 2:
        notes.append(
            f"Of fewer than two classes {FEWEST_PATIENTS} patients or more were tested ({', '.join(unjudged)}). With "
            "so few nobody can say how much patients differ, so the verdict is inconclusive whatever the intervals say."
        )
    elif unjudged:
        notes.append(
            f"Classes with fewer than {FEWEST_PATIENTS} patients tested ({', '.join(unjudged)}) are left out of the "
            "differences and of the verdict: with so few nobody can say how much patients differ."
        )
    few = [f"{name} {n}" for name, n in holders.items() if FEWEST_PATIENTS <= n < FEW_PATIENTS_PER_CLASS]
    if few:
        notes.append(
            f"Patients tested of some classes are few ({', '.join(few)}): results on these classes are results on "
            "these patients."
        )
    if len(design.folds) < num_folds:
        left = num_folds - len(design.folds)
        often = " in every repeat" if any(design.repeats) else ""
        notes.append(f"{left} of {num_folds} folds were not studied, so not every patient was tested{often}.")
    if len(design.config.seeds) == 1:
        notes.append(
            "One seed: nothing shows how much a training run strays by itself, so the verdict is inconclusive whatever "
            "the interval says; use two seeds or more."
        )
    return notes
