"""The run over planted leaks, in short: those tried are refused or named, and one that is not would be found."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result

README = Path(__file__).parents[1] / "README.md"
TRIED = {  # the others need minutes
    "data set": "move a test patient to the training part",
    "pictures": "file a rotated copy",
    "split": "list images of a patient in two parts",
    "generator": "put a snapshot of another fold here",
    "synthetic images": "fill in rotated test pictures",
    "weights": "start from a classifier of another fold",
    "predictions": "test on rotated training pictures",
}
Run = Callable[[Mapping[str, Sequence[Any]]], tuple[Result, list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script, imported where it is needed, as it is slow to load."""
    import plant_leaks

    return plant_leaks


@pytest.fixture(scope="module")
def base(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = script.make_base(tmp_path_factory.mktemp("leaks") / "base", with_study=False)
    return made


@pytest.fixture
def run(script: ModuleType, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the script on leaks in the base that is there; gives what it printed, and the rows that it wrote."""

    def run_on(kinds: Mapping[str, Sequence[Any]]) -> tuple[Result, list[dict[str, Any]]]:
        monkeypatch.setattr(script, "make_base", lambda root: base)
        monkeypatch.setattr(script, "KINDS", kinds)
        result = CliRunner().invoke(script.main, ["--out", str(tmp_path / "leaks.json")])
        rows: list[dict[str, Any]] = json.loads((tmp_path / "leaks.json").read_text(encoding="utf-8"))["rows"]
        return result, rows

    return run_on


def test_leaks_of_different_kinds_are_refused_or_named(script: ModuleType, run: Run, tmp_path: Path) -> None:
    kinds = {kind: [leak for leak in script.KINDS[kind] if leak.name == name] for kind, name in TRIED.items()}
    result, rows = run(kinds)
    assert {row["kind"]: row["name"] for row in rows} == TRIED
    outcomes = {row["kind"]: row["outcome"] for row in rows}
    assert outcomes == {kind: "flagged" if kind == "pictures" else "refused" for kind in TRIED}
    assert result.exit_code == 0
    page = (tmp_path / "leaks.md").read_text(encoding="utf-8")
    assert "6 refused" in page
    assert all(row["planted"] in page and row["sentence"] for row in rows)
    assert str(tmp_path) not in page


@pytest.mark.parametrize(
    ("limit", "options", "outcome"),
    [
        ("", (), "accepted"),
        ("Nothing that the README says", (), "accepted"),
        ("A seal that is computed again", (), "cannot be detected"),
        ("", ("--layout", "no-level"), "refused for another reason"),
    ],
)
def test_a_leak_that_is_neither_refused_for_its_reason_nor_named_is_found(
    run: Run, limit: str, options: tuple[str, ...], outcome: str
) -> None:
    from leaks.leak import Leak
    from leaks.scene import Command, Scene, command

    def plant_nothing(scene: Scene) -> Command:
        """Nothing is planted."""
        return command("audit", "--train", scene.tissue / "Benign", "--test", scene.tissue / "Normal", *options)

    result, (row,) = run({"audit": [Leak(plant_nothing, "a sentence that nobody says", limit)]})
    assert row["outcome"] == outcome
    assert result.exit_code == (0 if outcome == "cannot be detected" else 1)


def test_leaks_are_as_many_as_the_readme_says_described_and_different(script: ModuleType) -> None:
    leaks = [leak for leaks in script.KINDS.values() for leak in leaks]
    assert f"plants {len(leaks)} leaks" in " ".join(README.read_text(encoding="utf-8").split())
    assert len({leak.name for leak in leaks}) == len({leak.plant for leak in leaks}) == len(leaks)
    assert all(leak.planted for leak in leaks)
    assert sum(bool(leak.limit) for leak in leaks) <= 3, "few leaks may be called impossible to detect"
