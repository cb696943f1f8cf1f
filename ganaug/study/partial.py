"""What can be judged of a study some of whose cells failed: the largest part of it that is complete."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from ganaug.config.choices import BASELINE, CONTROL, TREATMENT
from ganaug.errors import UserError, some_of
from ganaug.study.arms.registry import find_arm
from ganaug.study.design import Cell, Design

NEEDED = (BASELINE, CONTROL, TREATMENT)  # without which there is no answer


class CellsFailed(UserError):
    """Some cells did not finish; all others have."""


@dataclass(frozen=True)
class Dropped:
    """Something that all its cells share, and that is left out of what is judged."""

    kind: str  # arm, classifier, seed or fold
    value: str | int

    def holds(self, cell: Cell) -> bool:
        return bool(getattr(cell, self.kind) == self.value)

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"


def complete_part(design: Design, cells: Sequence[Cell], lacking: Collection[Cell]) -> tuple[Design, str] | None:
    """The design of the part that is complete, under the study's own name, and a warning; None where none answers.

    Arms, classifiers, folds or seeds are left out until nothing lacks, each time the one that loses fewest cells for
    each that lacks. The arms of the answer stay, and so do two folds; seeds are left out only where a fold has one
    generator, as else a seed says which.
    """
    left, gone, dropped = list(cells), set(lacking), list[Dropped]()
    while gone & set(left):
        choices = {part for cell in gone & set(left) for part in _parts_of(design, cell, left)}
        if not choices:
            return None
        dropped.append(min(choices, key=lambda part: _loss(part, left, gone)))
        left = [cell for cell in left if not dropped[-1].holds(cell)]
    for part in list(dropped):  # what a later one made needless is taken back
        others = [other for other in dropped if other != part]
        without = [cell for cell in cells if not any(other.holds(cell) for other in others)]
        if not gone & set(without):
            dropped, left = others, without
    warning = (
        f"Partial: {len(gone)} of {len(cells)} cells lack ({some_of(sorted(cell.name for cell in gone))}). What is "
        f"judged leaves out {', '.join(map(str, dropped))}. The same command trains them again and judges all."
    )
    return _reduce(design, left), warning


KINDS = ("arm", "seed", "fold", "classifier")  # what is left out first where the loss is the same


def _loss(part: Dropped, left: Sequence[Cell], gone: Collection[Cell]) -> tuple[float, int, str]:
    """Finished cells that leaving it out loses, for each that lacks."""
    held = [cell for cell in left if part.holds(cell)]
    num_gone = sum(cell in gone for cell in held)
    return (len(held) - num_gone) / num_gone, KINDS.index(part.kind), str(part.value)


def _parts_of(design: Design, cell: Cell, left: Sequence[Cell]) -> list[Dropped]:
    """What could be left out so that a cell is not missed."""
    own = {kind: {getattr(other, kind) for other in left if other.classifier not in design.config.shortcuts}
           for kind in ("classifier", "fold", "seed")}  # fmt: skip
    parts = []
    if cell.classifier in design.config.shortcuts or len(own["classifier"]) > 1:
        parts.append(Dropped("classifier", cell.classifier))
    if cell.classifier in design.config.shortcuts:
        return parts
    is_base = find_arm(cell.arm).base == BASELINE  # others of its fraction stand against it
    if cell.arm not in NEEDED and not is_base:
        parts.append(Dropped("arm", cell.arm))
    if len(own["fold"]) > 2:
        parts.append(Dropped("fold", cell.fold))
    if len(own["seed"]) > 1 and design.num_generators == 1:
        parts.append(Dropped("seed", cell.seed))
    return parts


def _reduce(design: Design, left: Sequence[Cell]) -> Design:
    """The design of these cells alone, which goes by the name of the whole."""
    config = design.config
    present = {kind: {getattr(cell, kind) for cell in left} for kind in ("classifier", "arm", "fold")}
    seeds = {cell.seed for cell in left if cell.classifier not in config.shortcuts}
    classifiers = tuple(name for name in config.classifiers if name in present["classifier"])
    reduced = replace(
        config,
        classifiers=classifiers,
        pretrained=tuple(pair for pair in config.pretrained if pair[0] in classifiers),
        pretrained_saw=tuple(pair for pair in config.pretrained_saw if pair[0] in classifiers),
        shortcuts=tuple(name for name in config.shortcuts if name in present["classifier"]),
        arms=tuple(name for name in config.arms if name in present["arm"]),
        seeds=tuple(seed for seed in config.seeds if seed in seeds),
    )
    supplies, *of_fractions = (
        {fold: of_fold for fold, of_fold in group.items() if fold in present["fold"]}
        for group in (design.supplies, *design.of_fractions.values())
    )
    kept = dict(zip(design.of_fractions, of_fractions, strict=True))
    return replace(design, config=reduced, supplies=supplies, of_fractions=kept, part_of=design.name)
