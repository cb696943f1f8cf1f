"""A card for the synthetic images of a study: what they are, what they were made from, and what not to do with them."""

from ganaug.report.numbers import count, points
from ganaug.study.verdict.findings import Findings
from ganaug.workspace import Study, write_text


def write_data_card(study: Study, found: Findings) -> None:
    """The card as Markdown, next to the report."""
    write_text(study.data_card, "\n".join(_lines(found)) + "\n")


def _lines(found: Findings) -> list[str]:
    design, table = found.design, found.dataset.table
    supplies = [supply for fold in design.folds for supply in design.supplies_of(fold)]
    answers = [d for d in found.verdict.differences if d.is_answer]
    effects = "; ".join(
        f"{d.classifier} {points(d.estimate)} points ({points(d.interval.low)} to {points(d.interval.high)})"
        for d in answers
    )
    declared = sorted({text for supply in supplies for text in supply.provenance.declared})
    copies = [f"{folds}, {finding.sentence}" for folds, finding in found.copies]
    return [
        f"# Synthetic images of {design.dataset}",
        "",
        f"{count(len(supplies), 'file')} of class-conditional generators, {table.resolution_px} × "
        f"{table.resolution_px} px, classes {', '.join(table.class_names)}. None is a photograph; each is drawn by "
        "a network that was trained on images of patients.",
        "",
        "| fold | file | patients seen | images shown, thousands | generator | content |",
        "|---|---|---|---|---|---|",
        *(
            f"| {supply.fold} | {supply.file_name} | {len(supply.provenance.groups_seen)} | "
            f"{supply.provenance.kimg:g} | {supply.provenance.generator[:16]} | {supply.provenance.content[:16]} |"
            for supply in supplies
        ),
        "",
        f"- **Made from** the training patients of the fold in {design.dataset} "
        f"({table.attrs.get('source') or 'source not recorded'}; licence: "
        f"{table.attrs.get('licence') or 'not recorded'}). The licence of the real images may bind these, too.",
        *(f"- **Declared, and checked by nothing**: {text}" for text in declared),
        f"- **Effect on classifiers** of unseen patients: {found.verdict.word} ({effects}).",
        *(f"- **Copies**: {text}" for text in copies),
        *([] if copies else ["- **Copies**: not searched here; `ganaug evaluate-gan` does it."]),
        "- **Meant for** training classifiers on the patients of the same fold, and for research on generators.",
        "- **Not meant for** diagnosis, teaching as if real, testing any classifier, or training one that is tested on "
        "patients whom the generator saw.",
        "- **Limits**: a generator draws what is frequent; rare structures may lack or look wrong, and labels are what "
        "the generator was asked for, not what a pathologist saw.",
    ]
