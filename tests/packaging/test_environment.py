"""The environment is read in few places, each for a reason; the command line is read by programs alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
READERS = {
    "ganaug/workspace.py": "the folder of the workspace",
    "ganaug/weights.py": "the folder of published weights",
    "ganaug/provenance.py": "the key that signs",
    "ganaug/parallel/launcher.py": "what torchrun and Slurm set",
    "ganaug/parallel/processes.py": "all of it is handed on to the processes that it starts",
    "custom_ops/dispatch.py": "which implementation runs",
    "custom_ops/native/cache.py": "the folder of built operators",
    "custom_ops/native/toolchain.py": "compilers, and what the build hands on to them",
}


def sources() -> Iterator[tuple[str, ast.Module]]:
    for package in ("ganaug", "classifiers", "custom_ops"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def uses(tree: ast.Module, module: str, members: set[str]) -> bool:
    """Whether the code takes one of the module's members, by attribute or by import."""
    taken = {
        name
        for node in ast.walk(tree)
        for name in (
            [node.attr] if isinstance(node, ast.Attribute) and ast.unparse(node.value) == module
            else [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) and node.module == module
            else []
        )
    }  # fmt: skip
    return bool(taken & members)


def test_the_environment_is_read_where_it_is_listed() -> None:
    trees = dict(sources())
    assert READERS.keys() <= trees.keys()
    readers = {name for name, tree in trees.items() if uses(tree, "os", {"environ", "environb", "getenv", "getenvb"})}
    assert readers - READERS.keys() == set()
    assert "ganaug/parallel/launcher.py" in readers


def test_the_command_line_is_read_by_programs_alone() -> None:
    readers = {name for name, tree in sources() if uses(tree, "sys", {"argv", "orig_argv"})}
    assert {name for name in readers if not name.endswith("__main__.py")} == set()
