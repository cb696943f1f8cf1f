"""The sizes of files, functions, signatures and folders stay within what a reader takes in at once."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("ganaug", "classifiers", "custom_ops")
FOLDERS = (*PACKAGES, "scripts", "tests")

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 60
MAX_ARGUMENTS = 8
MAX_MODULES = 12  # in a folder

MANY_ARGUMENTS = {  # public functions with more, and the reason
    "custom_ops/modulated_conv.py modulated_conv2d": "the operator's own tensors and options, as published",
}
MANY_MODULES = {  # folders with more, and the reason
    "classifiers/models": "one file per model",
    "ganaug/cli": "one file per command",
    "scripts": "one file per benchmark",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def functions(path: Path) -> tuple[Function, ...]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return tuple(node for node in ast.walk(tree) if isinstance(node, Function))


def num_lines(function: Function) -> int:
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


def num_arguments(function: Function) -> int:
    arguments = function.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def is_command(function: Function) -> bool:
    """Whether click calls it: its arguments are the options of a command line."""
    return any("click" in ast.unparse(decorator) for decorator in function.decorator_list)


def long_files(root: Path) -> set[str]:
    return {name for name, path in modules(root) if len(path.read_text(encoding="utf-8").splitlines()) > MAX_FILE_LINES}


def long_functions(root: Path) -> set[str]:
    return {
        f"{name} {function.name}"
        for name, path in modules(root)
        for function in functions(path)
        if num_lines(function) > MAX_FUNCTION_LINES
    }


def long_signatures(root: Path) -> set[str]:
    return {
        f"{name} {function.name}"
        for name, path in modules(root)
        for function in functions(path)
        if name.split("/")[0] in PACKAGES and not function.name.startswith("_") and not is_command(function)
        if num_arguments(function) > MAX_ARGUMENTS
    }


def full_folders(root: Path) -> set[str]:
    names = [name for name, path in modules(root) if path.name != "__init__.py"]
    parents = [name.rpartition("/")[0] for name in names]
    return {parent for parent in parents if parents.count(parent) > MAX_MODULES}


def modules(root: Path) -> list[tuple[str, Path]]:
    """Every module, by its path from `root`."""
    paths = sorted(path for folder in FOLDERS for path in (root / folder).rglob("*.py"))
    return [(path.relative_to(root).as_posix(), path) for path in paths]


def test_files_are_short() -> None:
    assert len(modules(ROOT)) > 300
    assert long_files(ROOT) == set()


def test_functions_fit_a_screen() -> None:
    assert long_functions(ROOT) == set()


def test_public_functions_take_few_arguments() -> None:
    assert long_signatures(ROOT) == MANY_ARGUMENTS.keys()


def test_folders_hold_few_modules() -> None:
    assert full_folders(ROOT) == MANY_MODULES.keys()


def test_what_is_over_a_limit_is_found(tmp_path: Path) -> None:
    (tmp_path / "ganaug").mkdir()
    arguments = ", ".join(f"a{number}" for number in range(MAX_ARGUMENTS + 1))
    body = "    pass\n" * MAX_FUNCTION_LINES
    (tmp_path / "ganaug" / "a.py").write_text(f"def f({arguments}):\n{body}" + "\n" * MAX_FILE_LINES)
    (tmp_path / "ganaug" / "b.py").write_text(f"@click.command()\ndef f({arguments}): ...\ndef _g({arguments}): ...\n")
    for number in range(MAX_MODULES - 1):
        (tmp_path / "ganaug" / f"m{number}.py").touch()
    assert long_files(tmp_path) == {"ganaug/a.py"}
    assert long_functions(tmp_path) == long_signatures(tmp_path) == {"ganaug/a.py f"}
    assert full_folders(tmp_path) == {"ganaug"}
