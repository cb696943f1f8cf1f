"""The names of arms: NAME, with a ratio of its own after an @, and with a fraction of the real images after a /."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ganaug.config.choices import BALANCED, BASELINE, CONTROL, EXTERNAL, LEAKY, POOLED, TREATMENT, WEIGHTED
from ganaug.errors import ConfigError

MOST_ADDED = 1000  # images per real one
_NAME = re.compile(r"(?P<base>[^@/]+)(@(?P<ratio>[^@/]+))?(/(?P<fraction>[^@/]+))?")


@dataclass(frozen=True)
class ArmName:
    """The parts of an arm's name, such as real+synthetic@0.5/0.25."""

    base: str
    ratio: float | None = None  # None: that of the study
    fraction: float = 1.0  # of the real training images
    has_fraction: bool = False  # whether the name says it

    @property
    def text(self) -> str:
        ratio = "" if self.ratio is None else f"@{self.ratio:g}"
        return f"{self.base}{ratio}{f'/{self.fraction:g}' if self.has_fraction else ''}"


def read_name(text: str) -> ArmName | None:
    """The parts of a name; None where it is not written as `ArmName.text` writes it."""
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    try:
        ratio = None if match["ratio"] is None else float(match["ratio"])
        fraction = 1.0 if match["fraction"] is None else float(match["fraction"])
    except ValueError:
        return None
    name = ArmName(match["base"], ratio, fraction, match["fraction"] is not None)
    return name if name.text == text else None


def pairs_of(arms: Sequence[str]) -> list[tuple[str, str]]:
    """The comparisons of a study, arm and baseline: the question first, then every arm against what it adds to.

    A fraction of the real images has a question and baselines of its own, and itself stands against all of them. What
    is added in another dose stands against the control of that dose, where it is there, and classes that were filled up
    with drawn images against those that were filled up with repeats.
    """
    pairs = [(TREATMENT, POOLED), *((arm, _baseline_of(arm)) for arm in arms if arm != BASELINE), (TREATMENT, CONTROL)]
    for arm in arms:
        name = _parts(arm)
        control = replace(name, base=CONTROL).text
        if name.base == TREATMENT and arm != TREATMENT and control in arms:
            pairs += [(arm, pool(_baseline_of(arm), control)), (arm, control)]
        weighted = replace(name, base=WEIGHTED, ratio=None).text
        if name.base == BALANCED and weighted in arms:
            pairs.append((arm, weighted))
        if name.base == LEAKY and replace(name, base=TREATMENT).text in arms:
            pairs.append((arm, replace(name, base=TREATMENT).text))
    return pairs


def pool(baseline: str, control: str) -> str:
    """The name of the mean of two arms."""
    return f"mean of {baseline} and {control}"


def pooled_arms(baseline: str) -> tuple[str, ...]:
    """The arms that a baseline is the mean of: two, or itself."""
    match = re.fullmatch(r"mean of (\S+) and (\S+)", baseline)
    return match.groups() if match else (baseline,)


def _baseline_of(arm: str) -> str:
    """The arm of real images that an arm adds to; of a fraction of these alone, all of them."""
    name = _parts(arm)
    return BASELINE if name.base == BASELINE else replace(name, base=BASELINE, ratio=None).text


def _parts(arm: str) -> ArmName:
    parts = read_name(arm)
    assert parts is not None, arm
    return parts


def name_arms(
    arms: Iterable[str], fractions: Iterable[float] = (), *, external: bool = False, leak_audit: bool = False
) -> tuple[str, ...]:
    """All arms of a study, each once: the given ones, those of each fraction of the real images, and the special ones.

    An arm of a fraction comes with the baseline of that fraction.
    """
    named = [*arms, *(arm for fraction in fractions for arm in arms_of_fraction(fraction))]
    named += [EXTERNAL] * external + [LEAKY] * leak_audit
    complete: list[str] = []
    for arm in named:
        parts = read_name(arm)
        if parts is not None and parts.has_fraction:
            complete.append(replace(parts, base=BASELINE, ratio=None).text)
        complete.append(arm)
    return tuple(dict.fromkeys(complete))


def read_fractions(text: str) -> tuple[float, ...]:
    """The fractions of a list such as 0.1,0.25,1; raises ConfigError."""
    try:
        fractions = tuple(float(part) for part in text.split(","))
    except ValueError:
        fractions = ()
    if not fractions or not all(0 < fraction <= 1 for fraction in fractions):
        raise ConfigError(
            f"real fractions {text}", expected="numbers above 0 and up to 1, with commas between, such as 0.1,0.25,1"
        )
    return fractions


def arms_of_fraction(fraction: float) -> tuple[str, ...]:
    """The arms that answer the question for a fraction of the real images."""
    end = "" if fraction == 1 else f"/{fraction:g}"
    return tuple(f"{base}{end}" for base in (BASELINE, CONTROL, TREATMENT))
