"""report.html: the study on one page that needs no network, for a reviewer to read and to check."""

from pathlib import Path

from classifiers.scores import AVERAGING
from ganaug.classify.probes import PROBE, is_probe
from ganaug.config.choices import LEAKY
from ganaug.data.hdf5.attributes import NOTES
from ganaug.errors import for_sharing
from ganaug.evaluate.judge_file import NUM_AUDITED
from ganaug.report.page import render_page
from ganaug.study.arms.registry import find_arm
from ganaug.study.pages.curves import dose_plot, fraction_plot, learning_plot, reliability_plot
from ganaug.study.pages.data_card import write_data_card
from ganaug.study.pages.exports import write_summary, write_tables
from ganaug.study.pages.figures import difference_plot
from ganaug.study.pages.guidelines import GUIDELINES, fill_in
from ganaug.study.pages.methods import REFERENCES, write_methods
from ganaug.study.pages.pictures import find_cases, sample_rows
from ganaug.study.pages.provenance import (
    arm_rows,
    command_of,
    environment_rows,
    fold_rows,
    option_rows,
    skipped_rows,
)
from ganaug.study.verdict.findings import Findings
from ganaug.study.verdict.notes import unserved_fractions
from ganaug.study.verdict.scores import CALIBRATION, COLUMNS
from ganaug.workspace import Study, write_text


def write_report(study: Study, found: Findings) -> None:
    """The page of a finished study, and next to it its tables, its answer as text and the card of its images.

    None of them names a patient, a file of theirs or a folder.
    """
    write_tables(study, found)
    write_summary(study, found)
    write_data_card(study, found)
    write_text(study.report, render_report(study, found))


def render_report(study: Study, found: Findings) -> str:
    """The text of the page."""
    design, dataset, results = found.design, found.dataset, found.results
    classifiers = design.config.classifiers
    return render_page(
        Path(__file__).with_name("report.html.j2"),
        found=found,
        design=design,
        table=dataset.table,
        verdict=found.verdict,
        notes=found.verdict.warnings,
        plot=difference_plot(found.verdict.differences),
        doses=dose_plot(found.curves),
        unserved=unserved_fractions(design),
        fractions=fraction_plot(found.curves, found.num_train),
        reliability=reliability_plot(results, classifiers),
        learning=learning_plot(results, classifiers),
        cases=find_cases(study, design, dataset, results),
        samples=sample_rows(design, dataset),
        image_scores=found.distances,
        copies=found.copies,
        closest=found.closest_pairs,
        num_audited=NUM_AUDITED,
        columns=COLUMNS,
        calibration=CALIBRATION,
        averaging=AVERAGING,
        scores=found.scores,
        arms=arm_rows(design, results),
        leaky=[name for name in design.config.arms if find_arm(name).base == LEAKY],
        folds=fold_rows(design, dataset),
        dataset_notes=[for_sharing(note) for note in dataset.table.attrs.get(NOTES, [])],
        skipped=skipped_rows(dataset),
        looks=found.looks,
        options=option_rows(design),
        environment=environment_rows(results),
        num_cells=len(results),
        probes=[name for name in classifiers if is_probe(name)],
        probe=PROBE,
        methods=write_methods(found),
        references=REFERENCES,
        guidelines=GUIDELINES,
        items=fill_in(found),
        command=command_of(design, dataset.folds.num_folds),
    )
