"""One synthetic file before all judges: what is compared with what, and who is asked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ganaug.config import CPU, Compute
from ganaug.config.choices import UNSEEN, VALIDATION
from ganaug.data.dataset import DataSet
from ganaug.data.held_out import held_out
from ganaug.data.schema import ImageReader, name_to_share, open_reader
from ganaug.data.synthetic import admit_synthetic, require_compared
from ganaug.errors import DataError, UserError
from ganaug.evaluate.appearance.spectrum import judge_spectrum
from ganaug.evaluate.appearance.stain import judge_stain
from ganaug.evaluate.comparison.distances import judge_distances
from ganaug.evaluate.copies.judge import judge_copies
from ganaug.evaluate.diversity import judge_lpips_diversity
from ganaug.evaluate.extractors.extractor import Extractor
from ganaug.evaluate.extractors.independence import Teacher, teachers_of
from ganaug.evaluate.features import features_of
from ganaug.evaluate.judged import Chapter, Embedded, Finding, ImageSet, Judged
from ganaug.evaluate.judgement import Judgement, ScoredFile
from ganaug.evaluate.labels.chapter import judge_labels
from ganaug.evaluate.scores import ALL
from ganaug.evaluate.training_curve import judge_training
from ganaug.workspace import GanRun, Workspace, append_jsonl, read_jsonl

NUM_AUDITED = 500  # images of a file that a study compares with the training images


@dataclass(frozen=True)
class Case:
    """A synthetic file that may be judged: nothing speaks against its provenance, and it fits the data set."""

    workspace: Workspace
    real: ImageReader  # of the data set, as the fold sees it
    made: ImageReader  # of the synthetic file
    run: GanRun | None  # the generator's folder
    judged: Judged
    about: ScoredFile
    teachers: tuple[Teacher, ...]  # the extractors that the generator and its images depend on


@dataclass(frozen=True)
class Evidence:
    """What a judge is given."""

    judged: Judged
    embedded: tuple[Embedded, ...]  # by each extractor that gave features
    run: GanRun | None
    compute: Compute
    seed: int

    @property
    def first(self) -> Embedded:
        """The features by the first extractor; raises DataError where none gave any."""
        if not self.embedded:
            raise DataError("no extractor gave features", todo="choose another with --extractor")
        return self.embedded[0]


def _judge_distances(given: Evidence) -> Chapter:
    chapters = [
        judge_distances(given.judged, embedded, seed=given.seed, progress=given.compute.progress)
        for embedded in given.embedded
    ]
    return Chapter(
        tuple(score for chapter in chapters for score in chapter.scores),
        tuple(dict.fromkeys(finding for chapter in chapters for finding in chapter.findings)),
        tuple(exhibit for chapter in chapters for exhibit in chapter.exhibits),
    )


# Whose turn it is, the question that is asked, and who answers it
JUDGES: Mapping[str, tuple[str, Callable[[Evidence], Chapter]]] = {
    "distances": ("overall", _judge_distances),
    "training": ("overall", lambda given: judge_training(given.run) if given.run else Chapter()),
    "LPIPS": ("diverse", lambda given: judge_lpips_diversity(given.judged, compute=given.compute, seed=given.seed)),
    "labels": ("obedient", lambda given: judge_labels(given.judged, given.first, seed=given.seed)),
    "copies": (
        "copying",
        lambda given: judge_copies(
            given.judged,
            given.embedded[0] if given.embedded else None,
            compute=given.compute,
            seed=given.seed,
            progress=given.compute.progress,
        ),
    ),
    "stain": ("appearance", lambda given: judge_stain(given.judged, seed=given.seed)),
    "spectrum": ("appearance", lambda given: judge_spectrum(given.judged, seed=given.seed)),
}


def open_case(
    workspace: Workspace,
    dataset: DataSet,
    synthetic: Path,
    run: GanRun | None,
    *,
    against: str = VALIDATION,
    seed: int = 0,
) -> Case:
    """What the images of the file `synthetic` are compared with; seed: of the figures' random draws.

    against: whose images stand for unknown patients, of UNSEEN; a figure that knows the test patients must choose
    nothing. Raises LeakError where the file's provenance is missing, edited, or of another data set or fold, or where
    it shows a picture that the fold holds back; DataError where its classes or resolution are not the data set's.
    """
    table, provenance = admit_synthetic(dataset, synthetic, run.fold if run else None)
    fold = provenance.fold
    require_compared(workspace, dataset, fold, synthetic, provenance.content)
    real, made = dataset.images(fold), open_reader(synthetic, table)
    unseen = dataset.val(fold) if against == VALIDATION else held_out(dataset, fold)
    train, others = (
        ImageSet(real, part, dataset.table.label[part], dataset.table.group_id[part])
        for part in (dataset.train(fold), unseen)
    )
    without_patients = ImageSet(made, np.arange(len(table)), table.label, np.full(len(table), ""))
    about = ScoredFile(
        dataset=dataset.name,
        dataset_fingerprint=provenance.dataset_fingerprint,
        folds_digest=provenance.folds_digest,
        fold=fold,
        synthetic=name_to_share(synthetic, provenance.content),
        synthetic_digest=provenance.content,
        generator=provenance.generator,
        kimg=provenance.kimg,
        psi=table.attrs.get("psi"),
        held_out_part=UNSEEN[against],
        seed=seed,
    )
    judged = Judged(train, others, without_patients, dataset.table.class_names, UNSEEN[against])
    return Case(workspace, real, made, run, judged, about, teachers_of(run, table))


def judge_case(case: Case, extractors: Sequence[Extractor], compute: Compute = CPU) -> Judgement:
    """Ask every judge of JUDGES, per class and over all classes.

    A judge that cannot work on these images leaves a finding that says why, and the others are asked. The scores are
    added to the run's metrics.jsonl where there is a run and they are not there yet.
    """
    embedded, failed = [], []
    for extractor in extractors:
        try:
            embedded.append(embed(case, extractor, compute))
        except UserError as error:
            failed.append(_not_judged("overall", f" by {extractor.name}: {error.shared}"))
    given = Evidence(case.judged, tuple(embedded), case.run, compute, case.about.seed)
    bar = tqdm(JUDGES.values(), desc="judges", disable=not compute.progress or None)
    return _recorded(case, Judgement(case.about, (*failed, *(_ask(given, *of_judge) for of_judge in bar))))


def score_case(case: Case, extractor: Extractor, compute: Compute = CPU) -> Judgement:
    """What a study shows of its generators: distances without intervals, LPIPS diversity, and copies.

    At most NUM_AUDITED images, taken evenly from the file, are compared with the training images.
    """
    embedded, seed, progress = embed(case, extractor, compute), case.about.seed, compute.progress
    distances = judge_distances(case.judged, embedded, seed=seed, progress=progress, with_intervals=False)
    diversity = judge_lpips_diversity(case.judged, compute=compute, seed=seed)
    audited = replace(case.judged, synthetic=case.judged.synthetic.evenly(NUM_AUDITED))
    copies = judge_copies(audited, None, compute=compute, seed=seed, progress=progress)
    return _recorded(case, Judgement(case.about, (distances, diversity, copies)))


def embed(case: Case, extractor: Extractor, compute: Compute = CPU) -> Embedded:
    """The features of the three sets; those of real images are extracted once for all folds that show them alike."""
    sides = [(case.real, case.judged.train), (case.real, case.judged.held_out), (case.made, case.judged.synthetic)]
    train, held_out, synthetic = (
        features_of(case.workspace, images, extractor, rows=chosen.indices, progress=compute.progress)
        for images, chosen in sides
    )
    return Embedded(extractor, train, held_out, synthetic)


def _ask(given: Evidence, question: str, answer: Callable[[Evidence], Chapter]) -> Chapter:
    try:
        return answer(given)
    except UserError as error:
        return _not_judged(question, f": {error.shared}")


def _not_judged(question: str, reason: str) -> Chapter:
    return Chapter(findings=(Finding(question, ALL, f"not judged{reason}", is_alarm=False),))


def _recorded(case: Case, judgement: Judgement) -> Judgement:
    """The judgement, its rows in metrics.jsonl; the figures are reproducible, so the same call again adds nothing.

    A generator whose folder is gone gets none: nothing there could say what the rows are about.
    """
    if case.run is not None and case.run.config.exists():
        known = read_jsonl(case.run.metrics)
        for row in judgement.to_rows():
            if row not in known:
                append_jsonl(case.run.metrics, row)
    return judgement
