"""What both command lines share: errors become three lines and an exit code, in one place.

They are said in the person's language (`appliance.locale.language_of`), each whole in one language.
"""

import errno
import io
import os
import sys
from pathlib import Path
from typing import Any

import click

from appliance.durable import DISK_FAULTS, DISK_FULL
from appliance.errors import ApplianceError, HostNotReady
from appliance.locale import LANGUAGES, VARIABLE, catalogue, language_of
from appliance.sentence import Sentence, say
from appliance.trace import keep_trace

INTERRUPTED = 130
"""Exit code after Ctrl-C, as a shell gives it."""

LONGEST_SENTENCE = 200
"""Letters of a command's first sentence in the list of commands; far more than any has."""


def _choose_language(context: click.Context, option: click.Parameter, language: str | None) -> None:
    if language:
        os.environ[VARIABLE] = language  # for this process, and for what it starts


language_option = click.option(
    "--lang",
    type=click.Choice(LANGUAGES),
    callback=_choose_language,
    expose_value=False,
    is_eager=True,
    help="Language of messages; by default, the terminal's.",
)
"""Chooses the language of what a command says."""


class Commands(click.Group):
    """A group whose commands raise ApplianceError instead of printing and exiting."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a failure that an operator can meet is shown and sets the exit code.

        One that nobody foresaw is one line without its message, which may hold a patient's words; where it
        happened goes into a file that only this user may read.
        """
        if ctx.parent is not None:
            return super().invoke(ctx)  # the outermost group answers for all
        _write_what_can_be_written()
        try:
            return super().invoke(ctx)
        except ApplianceError as error:
            click.echo(f"islet: {_said(error)}", err=True)
            sys.exit(error.exit_code)
        except (KeyboardInterrupt, click.Abort):
            click.echo(f"\nislet: {_in_language(say('Interrupted.'))}", err=True)
            sys.exit(INTERRUPTED)
        except (click.ClickException, click.exceptions.Exit, EOFError):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # whoever read the output has gone; click ends quietly
            if isinstance(error, OSError) and error.errno in DISK_FAULTS:
                refusal = _disk_failure(error)
                click.echo(f"islet: {_said(refusal)}", err=True)
                sys.exit(refusal.exit_code)
            click.echo(f"islet: {_in_language(_own_failure(error, self.find_logs(ctx)))}", err=True)
            sys.exit(1)

    def find_logs(self, ctx: click.Context) -> Path | None:
        """The folder for traces of failures that nobody foresaw; None: the temporary one."""
        return None

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the journey, not of the alphabet."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each command with the whole first sentence of its help, wrapped where click would cut it."""
        commands = {name: self.commands[name] for name in self.list_commands(ctx)}
        rows = [(name, each.get_short_help_str(LONGEST_SENTENCE)) for name, each in commands.items()]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def _write_what_can_be_written() -> None:
    """A name that the terminal has no letters for becomes escapes in the answer, and no failure."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _disk_failure(error: OSError) -> HostNotReady:
    """The disk, which no command can foresee at each of its writes; what was there before is still whole."""
    full = error.errno in DISK_FULL
    return HostNotReady(
        "The disk is full." if full else "The disk cannot be read or written.",
        why=say("{path}: {reason}", path=error.filename or "", reason=error.strerror or ""),
        next_step="Free space there, then give the same command again."
        if full
        else "Look at the system's messages about this disk; then give the same command again.",
    )


def _own_failure(error: Exception, logs: Path | None) -> Sentence:
    kind, log = type(error).__name__, keep_trace(error, logs)
    if log is None:
        return say("Islet itself failed: {kind}.", kind=kind)
    return say("Islet itself failed: {kind}. Where it failed is written in {log}.", kind=kind, log=log)


def _said(error: ApplianceError) -> str:
    """The error's three lines in the person's language, or in English where that does not know it."""
    known = catalogue(language_of(os.environ))
    parts = (error.what, error.next_step)
    whole = all(known.knows(part.template) for part in parts)
    return _in_language(error.sentence()) if whole else str(error)


def _in_language(sentence: Sentence) -> str:
    """`sentence` in the person's language, or in English where the terminal cannot write that."""
    text = catalogue(language_of(os.environ)).say(sentence)
    try:
        text.encode(sys.stderr.encoding or "ascii")
    except UnicodeEncodeError:
        return str(sentence)
    return text
