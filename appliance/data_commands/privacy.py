"""`islet data privacy` and `measure`: rows without what names a patient."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.data.privacy.kinds import Kind
from appliance.data_commands.files import FILE, How, how_options
from appliance.data_commands.incoming import group_option, inputs_argument
from appliance.site_commands import json_option

if TYPE_CHECKING:
    from appliance.data.privacy.clean import Cleaned, Review
    from appliance.run.rows import Row


@click.command()
@inputs_argument
@how_options
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write rows without identifiers here; its name ends with .jsonl or .parquet.",
)
@click.option("--replace", is_flag=True, help="Put false values, the same for the same, instead of [NAME].")
@click.option(
    "--keep",
    nargs=2,
    multiple=True,
    type=(click.Choice([kind.value for kind in Kind]), str),
    metavar="KIND REASON",
    help="Leave this kind as it is; the report names the reason.",
)
@click.option("--names", type=FILE, help="Names that are looked for exactly, one a line.")
@click.option("--forget-names", is_flag=True, help="Overwrite and remove the file of names afterwards.")
@click.option(
    "--record-number",
    "patterns",
    multiple=True,
    metavar="PATTERN",
    help="A regular expression of your own record numbers.",
)
@click.option(
    "--review",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Show so many new rows, and ask about each.",
)
@group_option
@json_option
@click.pass_context
def privacy(
    context: click.Context,
    files: tuple[str, ...],
    how: How,
    out: Path | None,
    replace: bool,
    keep: tuple[tuple[str, str], ...],
    names: Path | None,
    forget_names: bool,
    patterns: tuple[str, ...],
    review: int | None,
    group: str | None,
    as_json: bool,
) -> None:
    """What in FILES names a patient; with --out, the same rows without it. FILES stay as they are.

    Kinds, positions and counts only: what was found is never shown, logged or written.
    """
    from appliance.data.privacy import clean
    from appliance.data_commands.incoming import choose, stream_all
    from appliance.privacy_view import print_cleaned, print_written

    if (review or forget_names) and out is None:
        raise click.UsageError("--review and --forget-names need --out.")
    if forget_names and names is None:
        raise click.UsageError("--forget-names needs --names.")
    if any(not why.strip() for _, why in keep):
        raise click.UsageError("--keep needs a reason.")
    wishes = clean.Wishes(
        "replace" if replace else "mask",
        {Kind(kind): why for kind, why in keep},
        _listed(names) if names else (),
        patterns,
        review or 0,
    )
    rows = stream_all(choose(context, files, how), group)
    if out is None:
        print_cleaned(clean.look_for(rows, wishes), as_json=as_json)
        return

    def look(cleaned: "Cleaned") -> "Review":
        print_cleaned(cleaned, as_json=as_json)
        return _review(cleaned)

    clean.write_clean(out, rows, wishes, look)
    if not as_json:
        print_written(out)
    if names is not None and forget_names:
        clean.forget(names)


@click.command()
@json_option
def measure(as_json: bool) -> None:
    """How much of what is hidden in made-up notes the rules for patients' data find here."""
    from appliance.data.privacy.measure import measured_document
    from appliance.privacy_view import print_measured

    print_measured(measured_document(), as_json=as_json)


def _listed(file: Path) -> tuple[str, ...]:
    """The names in a file, one a line.

    Raises: BadInput, when its encoding cannot be told, a line holds more than a name, or none holds one.
    """
    from appliance.data.files.encoding import decode_text
    from appliance.data.privacy.names import check_listed

    text, _ = decode_text(file.read_bytes(), file)
    names = [line.strip() for line in text.splitlines()]
    check_listed(names, file)
    return tuple(filter(None, names))


def _review(cleaned: "Cleaned") -> "Review":
    """Show new rows and ask about each.

    Raises: click.UsageError, when nobody answers.
    """
    from appliance.data.privacy.clean import Review

    try:
        objected = [number for number, row in cleaned.sample if _names_somebody(number, row)]
    except click.Abort as error:
        raise click.UsageError(
            "The rows were not all looked at: nothing was written. Start again."
        ) from error
    return Review(len(cleaned.sample), tuple(objected))


def _names_somebody(number: int, row: "Row") -> bool:
    from appliance.privacy_view import asks_about
    from appliance.wizard.cells import visible

    # A row is data: nothing of it acts on the terminal, which could hide the very name that is looked for.
    return click.confirm(visible(asks_about(number, row)), prompt_suffix=" ", err=True)
