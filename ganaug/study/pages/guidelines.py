"""What reporting guidelines for medical imaging ask for, as far as a study can answer, and what its authors must."""

from dataclasses import dataclass

from ganaug.report.numbers import count
from ganaug.study.verdict.findings import Findings

GUIDELINES = "CLAIM 2024, TRIPOD+AI 2024 and STARD-AI 2025"


@dataclass(frozen=True)
class Item:
    """A topic of the guidelines in our words; an empty answer is the authors' to give."""

    topic: str
    asks: str  # whose guidelines ask for it
    answer: str


def fill_in(found: Findings) -> list[Item]:
    """The topics in the order of a paper."""
    design, table, config = found.design, found.dataset.table, found.design.config
    first = found.verdict.differences[0]
    supplies = [supply for fold in design.folds for supply in design.supplies_of(fold)]
    return [
        Item("Title and abstract name the method and the kind of study", "CLAIM, TRIPOD+AI, STARD-AI", ""),
        Item("Clinical background and intended use", "CLAIM, TRIPOD+AI, STARD-AI", ""),
        Item("Question and hypothesis", "CLAIM, TRIPOD+AI",
             "Whether adding generated images changes the score of a classifier on patients whom neither the generator "
             f"nor the classifier has seen; margin {100 * config.margin:g} points, fixed before the first training."),
        Item("Study design, prospective or not; registration", "CLAIM, TRIPOD+AI, STARD-AI",
             f"A comparison on existing images; the design was frozen as {design.name} before the first cell."),
        Item("Source of the data, dates, centres, consent and ethics approval", "CLAIM, TRIPOD+AI, STARD-AI", ""),
        Item("Who was eligible, and who was excluded", "CLAIM, STARD-AI", ""),
        Item("Preparation of the images", "CLAIM",
             f"{table.resolution_px} × {table.resolution_px} px; stain: {table.attrs.get('stain') or 'as it is'}; "
             f"exact and near copies were searched for and dropped or kept with one patient."),
        Item("Reference standard: who labelled the images, and how", "CLAIM, TRIPOD+AI, STARD-AI", ""),
        Item("Sample size and how it was arrived at", "CLAIM, TRIPOD+AI, STARD-AI",
             f"{count(first.num_patients, 'patient')} and {count(first.num_images, 'image')} under test. The smallest "
             f"difference that such a study would show in four of five repetitions: "
             f"{100 * min(d.smallest_gain for d in found.verdict.differences if d.is_answer):.1f} points."),
        Item("Partitions, and how they are kept apart", "CLAIM, TRIPOD+AI, STARD-AI",
             "By patient. Generators saw training patients only; each file carries proof of it, which was checked."),
        Item("Model, software, initial weights", "CLAIM, TRIPOD+AI",
             f"{', '.join(config.classifiers)}; weights: {'; '.join(design.origins.values()) or 'drawn at random'}. "
             "Versions: see Provenance."),
        Item("Training, choice of hyperparameters, choice of the final model", "CLAIM, TRIPOD+AI",
             f"{config.num_steps} steps in every arm; weights chosen on validation patients; no hyperparameter was "
             "chosen on patients under test by this tool. Other studies of these patients: "
             f"{len(found.looks) or 'none in this workspace'}."),
        Item("Synthetic data: how they were made, checked and used", "CLAIM, TRIPOD+AI",
             f"{count(len(supplies), 'generator')}, {config.ratio:g} synthetic images per real one of the same class; "
             "samples, scores and checks for copies are on this page and on that of `ganaug evaluate-gan`."),
        Item("Metrics and their uncertainty", "CLAIM, TRIPOD+AI, STARD-AI",
             f"{config.metric.replace('_', ' ')}, with intervals over patients and training runs; calibration and the "
             "Brier score next to it."),
        Item("Robustness, and performance in parts of the data", "CLAIM, TRIPOD+AI, STARD-AI",
             "By class and by magnification, see above. Other centres and scanners were not tested."),
        Item("Fairness: age, ethnicity, centre", "TRIPOD+AI, STARD-AI", ""),
        Item("Explanation of decisions", "CLAIM",
             "Maps of cases that turned are shown; `ganaug explain` makes and measures more."),
        Item("Flow of participants, characteristics of patients", "CLAIM, TRIPOD+AI, STARD-AI", ""),
        Item("Failure analysis", "CLAIM",
             "Cases that synthetic images turned wrong are shown; a pathologist has to judge them."),
        Item("Limits, generalisability, implications for practice", "CLAIM, TRIPOD+AI, STARD-AI", ""),
        Item("Availability of code, data and models", "CLAIM, TRIPOD+AI",
             "The command at the end of this page makes the study again from the same workspace; where code and data "
             "can be had is the authors' to say."),
        Item("Funding and conflicts of interest", "CLAIM, TRIPOD+AI, STARD-AI", ""),
    ]  # fmt: skip
