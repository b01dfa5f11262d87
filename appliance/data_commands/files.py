"""The arguments that every command on files of rows has."""

from pathlib import Path

import click

FORMATS = ("auto", "alpaca", "messages", "csv")
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
files_argument = click.argument("files", type=FILE, nargs=-1, required=True)
format_option = click.option(
    "--format", "file_format", type=click.Choice(FORMATS), default="auto", show_default=True
)
