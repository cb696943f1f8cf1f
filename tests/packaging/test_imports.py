"""The rooms as Python sees them: no module needs itself, whether it imports at the top or inside a function."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("ganaug", "classifiers", "custom_ops")


def module_name(root: Path, path: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def targets(tree: ast.AST) -> Iterator[str]:
    """Every dotted name that is imported anywhere in a module, those of functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "imports say where they import from"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
                yield str(node.module)


def imports(root: Path) -> dict[str, set[str]]:
    """What every module of the packages below `root` imports of them; a name of a module stands for that module."""
    files = {module_name(root, path): path for package in PACKAGES for path in (root / package).rglob("*.py")}
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in files.items()}
    return {name: {target for target in targets(tree) if target in files} - {name} for name, tree in trees.items()}


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = imports(ROOT)
    assert len(graph) > 150
    TopologicalSorter(graph).prepare()  # raises where there is a circle


def test_a_planted_circle_is_found_also_through_a_late_import(tmp_path: Path) -> None:
    (tmp_path / "ganaug").mkdir()
    (tmp_path / "ganaug" / "a.py").write_text("from ganaug.b import thing\n")
    (tmp_path / "ganaug" / "b.py").write_text("def thing():\n    import ganaug.a\n")
    with pytest.raises(CycleError):
        TopologicalSorter(imports(tmp_path)).prepare()
