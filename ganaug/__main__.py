"""`python -m ganaug` is `ganaug`."""

from ganaug.cli.main import main

main()
