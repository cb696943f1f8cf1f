"""What the arms and the generators of a design must be for a verdict to come of it."""

from collections.abc import Mapping, Sequence

from ganaug.config import StudyConfig
from ganaug.config.choices import BASELINE, CONTROL, EXTERNAL, TREATMENT
from ganaug.errors import ConfigError, LeakError
from ganaug.study.admission.guard import AdmittedSupply
from ganaug.study.arms.registry import find_arm


def require_arms(config: StudyConfig) -> None:
    """Raise ConfigError where no verdict could come of these arms, or one of them would leak unasked."""
    arms = [find_arm(name) for name in config.arms]
    needed = [BASELINE, CONTROL, TREATMENT]
    needed += [f"{BASELINE}/{arm.fraction:g}" for arm in arms if arm.fraction < 1]
    missing = [name for name in dict.fromkeys(needed) if name not in config.arms]
    if missing:
        raise ConfigError(
            f"the arms {', '.join(config.arms)}",
            expected=f"{', '.join(missing)} among them",
            todo="a verdict compares the treatment with the baseline and with the control, a fraction with its own",
        )
    external = [arm.name for arm in arms if "external" in arm.depends_on]
    if bool(external) != bool(config.external):
        raise ConfigError(
            f"{EXTERNAL} without --external FILE, or the reverse",
            expected="both",
            todo="name the file, or leave both out",
        )
    leaky = [arm.name for arm in arms if "leak" in arm.depends_on]
    if leaky and not config.leak_audit:
        raise LeakError(
            f"the arm {', '.join(leaky)} holds images of a generator that knows patients under test",
            expected="such images only where a study is to show what a leak would do",
            todo="add --leak-audit, which marks the arm in all that it reports, or leave the arm out",
        )


def require_generators(groups: Sequence[Mapping[int, tuple[AdmittedSupply, ...]]], num_seeds: int) -> None:
    """Raise ConfigError unless each fold has as many generators, at most one for each seed, and each only once.

    groups: by fold what serves the whole of it, and the same for fractions of its real images.
    """
    of_folds = [(fold, of_fold) for group in groups for fold, of_fold in group.items()]
    numbers = {len(of_fold) for _, of_fold in of_folds}
    if len(numbers) > 1 or max(numbers) > num_seeds:
        raise ConfigError(
            f"generators per fold: {', '.join(f'{len(of_fold)} of fold {fold}' for fold, of_fold in of_folds)}; "
            f"{num_seeds} seeds",
            expected="equally many for each fold and fraction, and at most one per seed",
            todo="train the missing ones, or choose another --generators or --seeds",
        )
    for fold, of_fold in of_folds:
        if len({supply.provenance.generator for supply in of_fold}) < len(of_fold):
            raise ConfigError(
                f"{len(of_fold)} synthetic files for fold {fold} of one generator",
                expected="each of a generator of its own, as the luck of a generator is what they tell apart",
                todo="train another with `ganaug train-gan --seed N` and synthesize",
            )
