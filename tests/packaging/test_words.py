"""The standard words stand everywhere: in code, comments, messages, tests, help and README."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("ganaug", "classifiers", "custom_ops", "scripts", "tests")
SUFFIXES = (".py", ".sh", ".j2", ".cpp", ".cu", ".h", ".cuh")
FILES = [
    ROOT / "README.md",
    *sorted(
        path
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in SUFFIXES and path != Path(__file__)
    ),
]

# What is not written, and what stands in its place.
WORDS = {
    r"\b(take|takes|taken|took|taking)[ _]up\b": "resume",
    r"\bprocessors?\b": "CPU",
    r"\bchances?\b": "probability",
    r"\bshares? of\b": "fraction, ratio",
    r"(?<!standard )\bdeviations?\b": "standard deviation",
    r"\btorn\b": "truncated, corrupt",
    r"\banew\b": "again",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\bforeign\b": "external",
    r"\bstrangers?\b": "unknown patients",
    r"\bbeside\b": "compared with, next to",
    r"\bleaders?\b": "main process",
    r"\bway[_ ]out\b": "suggestion",
    r"\b(images?|patients?|cells?|seeds?|numbers?|figures?) a (class|fold|step|side|part)\b": "per class, per step",
    r"\bturned round\b": "flipped, transposed",
    r"(?<![.])\b(?<!def )(tell|tells|telling|told)\b(?! apart)": "print, report",
    r"\b(player|players|game|Game)\b": "network pair, optimizers",
    r"\b[Tt]eam\b": "process group",
    r"\b(held_alone|take_up|arranged|softened|fitting)\b": "a verb",
    r"\bexplained\b": "os_errors_as_workspace_errors",
    r"\bnotices?\b": "note",
    r"\bcaveats?\b": "note",
    r"\bcautions?\b": "note",
    r"\bleft_out\b": "skipped",
    r"\brecipes?\b": "config, plan",
    r"\b_(such|wish|Sink)\b": "a name that says what it is",
}
VARIABLES = {"some", "one", "said", "told"}  # which name nothing

# The few that stay: they mean something else there.
ALLOWED: dict[str, dict[str, str]] = {}


@pytest.mark.parametrize("pattern", WORDS, ids=lambda pattern: WORDS[pattern])
def test_a_standard_word_has_no_rival(pattern: str) -> None:
    allowed = ALLOWED.get(pattern, {})
    found = Counter(
        str(path.relative_to(ROOT)) for path in FILES for _ in re.finditer(pattern, path.read_text(), re.IGNORECASE)
    )
    rivals = {name: number for name, number in found.items() if name not in allowed}
    assert not rivals, f"write {WORDS[pattern]!r} in place of it"
    assert set(allowed) <= set(found), "an exception that nothing needs"


def names_bound(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg


def test_a_variable_names_what_it_holds() -> None:
    modules = [path for path in FILES if path.suffix == ".py"]
    assert len(modules) > 300
    assert [
        f"{path.relative_to(ROOT)}: {name}" for path in modules for name in names_bound(path) if name in VARIABLES
    ] == []
