"""Earlier studies of the same test patients in this workspace: every further look makes a false finding more likely."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ganaug.errors import LeakError, UserError
from ganaug.provenance import require_seal
from ganaug.workspace import NUMBER, TEXT, Study, Workspace, is_record, read_json

_OF_DESIGN = {"created": TEXT, "tested": (list,), "config": (dict,)}
_OF_CONFIG = {"classifiers": (list,), "ratio": NUMBER, "num_steps": NUMBER, "seeds": (list,)}
_OF_WORD = {"verdict": TEXT}


@dataclass(frozen=True)
class Look:
    """A finished study that tested some of the same patients."""

    study: str
    created: str
    verdict: str
    num_patients: int  # that both tested
    options: str  # those that set it apart: classifiers, ratio, steps and seeds


def other_looks(workspace: Workspace, study: str, tested: Collection[str]) -> list[Look]:
    """The finished studies but `study` that tested any of the patients `tested` (keyed digests), the first one first.

    A study whose design was edited counts too, as one that cannot say whom it tested.
    """
    found = []
    for path in sorted(workspace.root.glob("studies/*/design.json")):
        other = Study(path.parent)
        if path.parent.name != study and other.verdict.exists():
            look = _look(other, set(tested))
            if look is not None:
                found.append(look)
    return sorted(found, key=lambda look: (look.created, look.study))


def _look(other: Study, tested: set[str]) -> Look | None:
    name = other.root.name
    try:
        design = require_seal(read_json(other.design), other.design)
        verdict = require_seal(read_json(other.verdict), other.verdict)
        fits = is_record(design, _OF_DESIGN) and is_record(design["config"], _OF_CONFIG)
        if not (fits and is_record(verdict, _OF_WORD)):
            raise TypeError("no design or verdict of ours")
        shared = len(tested.intersection(design["tested"]))
        return Look(name, design["created"], verdict["verdict"], shared, _options(design["config"])) if shared else None
    except LeakError:
        return Look(name, "", "edited after it was written", 0, "unknown")
    except (UserError, KeyError, TypeError):
        return Look(name, "", "cannot be read", 0, "unknown")


def _options(config: dict[str, Any]) -> str:
    names = ", ".join(config["classifiers"])
    return f"{names}; ratio {config['ratio']:g}, {config['num_steps']} steps, {len(config['seeds'])} seeds"


def warning_of(looks: Collection[Look], created: str) -> str:
    """The warning that a report gives of the other looks; empty where there is none."""
    if not looks:
        return ""
    number = 1 + sum(look.created < created for look in looks)
    others = f"{len(looks)} other finished stud{'y' if len(looks) == 1 else 'ies'}"
    return (
        f"Look {number} of {len(looks) + 1} at these patients: the workspace holds {others} of them (listed below). "
        "Whoever reports the best of several looks does so at a higher error rate than is stated here; decide by the "
        "study that was planned first, or test on new patients."
    )
