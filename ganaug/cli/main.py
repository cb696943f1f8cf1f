"""The command `ganaug`: one file a command, one library function behind each, one line for each error."""

import errno
import logging
import signal
import sys
import traceback
import warnings
from contextlib import suppress
from types import FrameType
from typing import Any

import click

from ganaug.cli.audit import audit
from ganaug.cli.common import DEBUG
from ganaug.cli.doctor import doctor
from ganaug.cli.evaluate_augmentation import evaluate_augmentation
from ganaug.cli.evaluate_gan import evaluate_gan
from ganaug.cli.explain import explain
from ganaug.cli.export import export
from ganaug.cli.export_gan import export_gan
from ganaug.cli.import_gan import import_gan
from ganaug.cli.inspect import inspect
from ganaug.cli.predict import predict
from ganaug.cli.prepare import prepare
from ganaug.cli.reader_study import reader_study
from ganaug.cli.strips import strips
from ganaug.cli.synthesize import synthesize
from ganaug.cli.train_classifier import train_classifier
from ganaug.cli.train_gan import train_gan
from ganaug.errors import Ended, UserError, for_terminal

_KEEP_NOTHING = ("audit", "inspect", "doctor")  # commands that keep no part of their work where they are stopped


class Commands(click.Group):
    """Commands in the order of their use, whose mistakes are reported in one line with exit status 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; with --debug an error is shown with where in the code it arose."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            if ctx.invoked_subcommand in _KEEP_NOTHING:
                _leave(130, "stopped; nothing is kept; run the same command again from the start")
            raise
        except Exception:
            if ctx.meta.get(DEBUG):
                traceback.print_exc()
            raise

    def main(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["standalone_mode"] = False
        _stop_as_on_ctrl_c()
        _print_logged_warnings()
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                sys.exit(super().main(*args, **kwargs) or 0)
        except click.exceptions.Exit as leave:
            sys.exit(leave.exit_code)
        except click.UsageError as error:
            if type(error).__name__ == "NoArgsIsHelpError" and error.ctx:  # new in click 8.2
                click.echo(error.ctx.get_help())
                sys.exit(0)
            where = error.ctx.command_path if error.ctx else "ganaug"
            _leave(2, f"{error.format_message().rstrip('.')}; see `{where} --help`")
        except UserError as error:
            _leave(2, str(error))
        except (KeyboardInterrupt, click.Abort):
            _leave(130, "stopped; files that were finished are kept; run the same command again")
        except MemoryError:
            _leave(2, "out of memory; use a smaller --batch, fewer --workers or a lower resolution")
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of our output has gone, as in `ganaug ... | head`
                sys.exit(0)
            _leave(2, f"{error.filename or 'a file'} cannot be read or written ({error.strerror or error})")
        except Exception as error:
            if type(error).__module__.startswith("custom_ops."):  # an operator that was insisted on, a wrong setting
                _leave(2, str(error))
            # the net: what no reader of a file foresaw is still one line
            _leave(2, f"failed for a reason that was not foreseen ({type(error).__name__}: {str(error)[:300]}); "
                      "run the same command with --debug and report what it prints")  # fmt: skip


def _stop_as_on_ctrl_c() -> None:
    """Treat what clusters and shutdowns send almost as Ctrl-C, so that work in progress is saved."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Ended

    with suppress(ValueError, AttributeError):  # outside the main thread, and where there is no SIGUSR1
        signal.signal(signal.SIGTERM, interrupt)
        signal.signal(signal.SIGUSR1, interrupt)


class _Notes(logging.Handler):
    """Prints what a library of ours logs as a note, each text once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.printed: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = " ".join(record.getMessage().split())
        if text not in self.printed:
            self.printed.add(text)
            click.echo(for_terminal(f"note: {text}"), err=True)


def _print_logged_warnings() -> None:
    logger = logging.getLogger("classifiers")
    for handler in logger.handlers[:]:
        if isinstance(handler, _Notes):
            logger.removeHandler(handler)
    logger.addHandler(_Notes())


def _show_warning(message: Warning | str, *about: Any, **more: Any) -> None:
    """One line for a warning of ours; where in the code it arose is of no use to who reads it."""
    text = str(message)
    ours = text.startswith("ganaug:")
    click.echo(for_terminal(text) if ours else warnings.formatwarning(message, *about[:3]).rstrip(), err=True)


def _leave(status: int, line: str) -> None:
    click.echo(f"ganaug: {for_terminal(' '.join(line.split()))}", err=True)
    sys.exit(status)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ganaug")
def main() -> None:
    """Does GAN augmentation make a breast-histopathology classifier better on patients it has never seen?

    The way of the data: prepare, train-gan, synthesize, evaluate-gan, evaluate-augmentation. Each command finds what
    the last one left in the workspace. A classifier to keep: train-classifier, predict, explain.
    """


for command in (
    prepare,
    audit,
    train_gan,
    synthesize,
    strips,
    evaluate_gan,
    evaluate_augmentation,
    train_classifier,
    reader_study,
    predict,
    explain,
    import_gan,
    export_gan,
    export,
    inspect,
    doctor,
):
    main.add_command(command)
