"""The command `python -m classifiers`: `table` prints the table of all classifiers, or writes it into a file."""

import sys
from pathlib import Path

from classifiers.table import markdown_table, replace_table

USAGE = """usage: python -m classifiers table [FILE]

  table         print parameters, FLOPs, source and licence of every classifier, as Markdown
  table FILE    replace the table in that Markdown file, such as README.md"""


def main(arguments: list[str]) -> int:
    if arguments == ["table"]:
        print(markdown_table())
        return 0
    if len(arguments) == 2 and arguments[0] == "table":
        path = Path(arguments[1])
        try:
            path.write_text(replace_table(path.read_text(encoding="utf-8"), markdown_table()), encoding="utf-8")
        except (OSError, ValueError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            return 2
        return 0
    print(USAGE, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
