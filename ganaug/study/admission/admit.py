"""From synthetic files to a design: all admitted, known to suffice and, where an arm asks for it, filtered."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ganaug.classify.probes import extractor_of, is_probe
from ganaug.classify.train import build_classifier
from ganaug.config import Compute, StudyConfig
from ganaug.data.dataset import DataSet
from ganaug.data.external import ExternalImages, read_external, require_nothing_held_out
from ganaug.errors import ConfigError
from ganaug.generate.supplies import Supply
from ganaug.study.admission.filtered import accept
from ganaug.study.admission.guard import AdmittedSupply, admit, origins_of
from ganaug.study.admission.requirements import require_arms
from ganaug.study.arms.registry import find_arm
from ganaug.study.cells import compose
from ganaug.study.design import Design, make_design, plan_cells
from ganaug.study.replication import by_image_design
from ganaug.workspace import Workspace


def design_study(workspace: Workspace, dataset: DataSet, supplies: Sequence[Supply], config: StudyConfig) -> Design:
    """The design of a study, once every synthetic file is admitted and known to suffice; nothing is written."""
    require_arms(config)
    folds = range(dataset.folds.num_folds) if config.folds is None else config.folds
    unknown = [str(fold) for fold in folds if not 0 <= fold < dataset.folds.num_folds]
    if unknown:
        raise ConfigError(f"fold {', '.join(unknown)}", expected=f"folds from 0 to {dataset.folds.num_folds - 1}")
    whole = _by_fold(folds, [supply for supply in supplies if supply.real_fraction == 1])
    missing = [str(fold) for fold in folds if not whole[fold]]
    if missing:
        raise ConfigError(
            f"no synthetic images for fold {', '.join(missing)} of {dataset.name}",
            todo="make them with `ganaug train-gan --fold K` and `ganaug synthesize`, or add --train-missing",
        )
    require_buildable(dataset, config)
    fractions = sorted({supply.real_fraction for supply in supplies} - {1.0})
    groups = [whole] + [_by_fold(folds, [each for each in supplies if each.real_fraction == f]) for f in fractions]
    admitted = [
        {fold: tuple(admit(workspace, dataset, each) for each in group[fold]) for fold in folds} for group in groups
    ]
    origins = origins_of(dataset, list(folds), config)
    design = make_design(dataset, admitted[0], config, origins, dict(zip(fractions, admitted[1:], strict=True)))
    design = replace(design, external=_admit_external(workspace, dataset, design))
    _require_composable(dataset, design, is_filtered=False)
    if config.replicate:
        by_image_design(dataset, design)  # raises where it cannot be
    return design


def _by_fold(folds: Sequence[int], supplies: Sequence[Supply]) -> dict[int, list[Supply]]:
    return {fold: [supply for supply in supplies if supply.fold == fold] for fold in folds}


def _admit_external(workspace: Workspace, dataset: DataSet, design: Design) -> dict[int, ExternalImages]:
    """The images of another tool for each studied fold, once none of them shows a picture that the fold holds back."""
    files = {fold: design.config.external_of(fold) for fold in design.folds} if design.config.external else {}
    without = [str(fold) for fold, file in files.items() if file is None]
    if without:
        raise ConfigError(
            f"no external images for fold {', '.join(without)}", todo="name them with --external FOLD=FILE"
        )
    admitted = {fold: read_external(workspace, dataset, file) for fold, file in files.items() if file is not None}
    for fold, images in admitted.items():
        require_nothing_held_out(dataset, fold, images)
    return admitted


def _require_composable(dataset: DataSet, design: Design, *, is_filtered: bool) -> None:
    """Compose every arm once, which raises where images are too few; filtered arms only where that was done."""
    cells = plan_cells(design)
    served = [(cell.arm, design.supply_of(cell.fold, cell.seed, find_arm(cell.arm).fraction)) for cell in cells]
    for cell in dict(zip(served, cells)).values():
        if ("filter" in find_arm(cell.arm).depends_on) == is_filtered:
            compose(dataset, design, cell)


def filter_supplies(workspace: Workspace, dataset: DataSet, design: Design, compute: Compute) -> Design:
    """The design with its synthetic files filtered, where an arm asks for that; raises where too few images are left.

    An image is accepted where a classifier of the fold's training images assigns it to its class. It is the one that
    `evaluate-gan --extractor classifier` uses, stored in the generator's folder.
    """
    if not any("filter" in find_arm(name).depends_on for name in design.config.arms):
        return design

    def filter_all(supplies: Mapping[int, tuple[AdmittedSupply, ...]]) -> dict[int, tuple[AdmittedSupply, ...]]:
        return {
            fold: tuple(replace(each, accepted=accept(dataset, each, compute)) for each in of_fold)
            for fold, of_fold in supplies.items()
        }

    of_fractions = {fraction: filter_all(supplies) for fraction, supplies in design.of_fractions.items()}
    design = replace(design, supplies=filter_all(design.supplies), of_fractions=of_fractions)
    _require_composable(dataset, design, is_filtered=True)
    return design


def require_buildable(dataset: DataSet, config: StudyConfig) -> None:
    """Build every classifier once; raise ConfigError, before hours of training, where one cannot be built."""
    pretrained = dict(config.pretrained)
    for name in (*config.classifiers, *config.shortcuts):
        weights = Path(pretrained[name]) if name in pretrained else None
        try:
            if is_probe(name):
                extractor_of(name, weights)
            else:
                build_classifier(dataset, name, 0, weights)
        except (ValueError, RuntimeError, OSError) as error:
            raise ConfigError(str(error).split("\n")[0]) from error
