"""What the README says of commands, options and files is true."""

import re
from pathlib import Path

import click
import pytest

from ganaug.cli.main import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
OPTIONS = {
    option
    for command in main.commands.values()
    for param in command.params
    for option in (*param.opts, *param.secondary_opts)
}
OTHERS = {"--inputs", "--help"}  # of a script, and of every command


def test_every_option_in_the_readme_is_one_of_a_command() -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", README))
    assert len(named) > 10
    assert named - OPTIONS - OTHERS == set()


def test_every_command_is_in_the_table_and_no_other() -> None:
    assert set(re.findall(r"^\| `ganaug ([a-z-]+)", README, re.MULTILINE)) == set(main.commands)


def test_every_path_in_the_readme_is_there() -> None:
    paths = re.findall(r"`((?:ganaug|classifiers|custom_ops|scripts|tests)/[\w./-]+)`", README)
    paths += re.findall(r"\]\(([\w./-]+)\)", README)
    assert len(paths) > 8
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_python_name_in_the_readme_can_be_imported() -> None:
    from importlib import import_module

    names = re.findall(r"`((?:ganaug|classifiers|custom_ops)(?:\.\w+)+)`", README)
    assert names
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert hasattr(import_module(module), attribute), name


@pytest.mark.parametrize("name", sorted(main.commands))
def test_the_help_of_a_command_names_only_options_that_there_are(name: str) -> None:
    command = main.commands[name]
    text = command.get_help(click.Context(command, info_name=name, terminal_width=1000))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", text))
    assert named
    assert named - OPTIONS - {"--help", "--nproc-per-node", "--cuda"} == set()
