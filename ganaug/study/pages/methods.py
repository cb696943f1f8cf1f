"""The methods of a study in words that a paper can take over, and the references that they need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ganaug.classify.probes import is_probe
from ganaug.config.choices import BASELINE, CONTROL
from ganaug.report.numbers import count, percent
from ganaug.study.admission.guard import AdmittedSupply
from ganaug.study.arms.registry import draws, find_arm
from ganaug.study.verdict.findings import Findings


@dataclass(frozen=True)
class Reference:
    """A source, by the number that the text gives it."""

    number: int
    text: str


REFERENCES = (
    Reference(1, "Karras T et al. Training generative adversarial networks with limited data. NeurIPS 2020."),
    Reference(2, "Cameron AC, Gelbach JB, Miller DL. Robust inference with multiway clustering. J Bus Econ Stat 2011."),
    Reference(3, "Bell RM, McCaffrey DF. Bias reduction in standard errors for linear regression with multi-stage "
                 "samples. Surv Methodol 2002."),
    Reference(4, "Schuirmann DJ. A comparison of the two one-sided tests procedure and the power approach for "
                 "assessing the equivalence of average bioavailability. J Pharmacokinet Biopharm 1987."),
    Reference(5, "Hochberg Y. A sharper Bonferroni procedure for multiple tests of significance. Biometrika 1988."),
    Reference(6, "Sauer A et al. Projected GANs converge faster. NeurIPS 2021."),
    Reference(7, "Wilson EB. Probable inference, the law of succession, and statistical inference. J Am Stat Assoc "
                 "1927."),
    Reference(8, "Miettinen O, Nurminen M. Comparative analysis of two rates. Stat Med 1985."),
)  # fmt: skip


def write_methods(found: Findings) -> list[str]:
    """Paragraphs on data, generators, arms and statistics; numbers in brackets are of `REFERENCES`."""
    return [_data(found), _generators(found), _arms(found), _statistics(found)]


def _data(found: Findings) -> str:
    table, design, first = found.dataset.table, found.design, found.verdict.differences[0]
    classes = ", ".join(table.class_names)
    repeats = f" in {design.num_repeats} repeats" if design.num_repeats > 1 else ""
    return (
        f"{design.dataset}: {count(len(table), 'image')} of {table.resolution_px} × {table.resolution_px} pixels in "
        f"{len(table.class_names)} classes ({classes}). Patients, not images, were divided into "
        f"{count(len(design.folds), 'fold')}{repeats}; in each fold a patient trains, validates or tests. "
        f"{count(first.num_patients, 'patient')} with {count(first.num_images, 'image')} were tested, each in a fold "
        "that had held them out of the training of the generator and of the classifier."
    )


def _generators(found: Findings) -> str:
    design = found.design
    asked = sorted({arm.fraction for arm in map(find_arm, design.config.arms) if draws(arm)} & set(design.of_fractions))
    of_fractions = "".join(
        f" For arms of {percent(fraction)} of the real images as many were trained on these alone for "
        f"{_length(design.of_fractions[fraction])}."
        for fraction in asked
    )
    return (
        f"Each fold had {count(design.num_generators, 'generator')} of its own, class-conditional and of the StyleGAN2 "
        f"family with adaptive discriminator augmentation [1] or a projected discriminator [6], trained on the fold's "
        f"training patients alone for {_length(design.supplies)}.{of_fractions} Before any classifier was trained, "
        "each synthetic image was compared with the held-out pictures, and each file's record of what its generator "
        "saw was checked."
    )


def _length(supplies: Mapping[int, Sequence[AdmittedSupply]]) -> str:
    """How long the generators of some files were trained."""
    kimg = sorted({supply.provenance.kimg for of_fold in supplies.values() for supply in of_fold})
    return f"{' to '.join(f'{value:g}' for value in dict.fromkeys((kimg[0], kimg[-1])))} thousand images"


def _arms(found: Findings) -> str:
    config = found.design.config
    networks = [name for name in config.classifiers if not is_probe(name)]
    trained = (
        f" Each network ({', '.join(networks)}) was trained for {config.num_steps} optimiser steps with a batch of "
        f"{config.batch}, from the same initial weights, in every arm of a fold and seed; its weights were chosen on "
        "real validation images."
        if networks
        else ""
    )
    return (
        f"The arms were {', '.join(config.arms)}. {BASELINE} holds the real training images; {CONTROL} repeats them "
        f"until there are as many as with synthetic ones.{trained} {count(len(config.seeds), 'seed')} per fold and arm."
    )


def _statistics(found: Findings) -> str:
    config = found.design.config
    return (
        f"The outcome is the difference in {config.metric.replace('_', ' ')} between real and synthetic images and the "
        f"mean of the two arms of real images alone, with a {percent(config.confidence)} interval that is robust to "
        "clusters of patients and of training runs [2], corrected for leverage [3], and a score interval [7, 8]. Gain "
        "and loss were claimed where the interval excludes zero; equivalence where two one-sided tests [4] exclude "
        f"{100 * config.margin:g} points, a margin fixed beforehand; else the result is called inconclusive. Where "
        "several classifiers do not agree, effects are claimed by Hochberg's procedure [5]. Classes with fewer than "
        "three patients under test are left out of the outcome by a rule fixed beforehand."
    )
