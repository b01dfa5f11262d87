"""`islet data privacy` and `measure`: rows without what names a patient."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.data.privacy.kinds import Kind
from appliance.data_commands.files import FILE, files_argument, format_option
from appliance.site_commands import json_option

if TYPE_CHECKING:
    from appliance.data.privacy.clean import Cleaned, Review, Wishes
    from appliance.data.read import Reading
    from appliance.run.rows import Row


@click.command()
@files_argument
@format_option
@click.option("--out", type=click.Path(path_type=Path), help="Write rows without identifiers here (JSONL).")
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
    "--record-number", "patterns", multiple=True, help="A regular expression of your own record numbers."
)
@click.option("--review", type=click.IntRange(1, 1000), help="Show so many new rows, and ask about each.")
@json_option
def privacy(
    files: tuple[Path, ...],
    file_format: str,
    out: Path | None,
    replace: bool,
    keep: tuple[tuple[str, str], ...],
    names: Path | None,
    forget_names: bool,
    patterns: tuple[str, ...],
    review: int | None,
    as_json: bool,
) -> None:
    """What in FILES names a patient; with --out, the same rows without it. FILES stay as they are.

    Kinds, positions and counts only: what was found is never shown, logged or written.
    """
    from appliance.data.privacy import clean
    from appliance.data.read import read_files
    from appliance.privacy_view import print_cleaned, print_written
    from appliance.run.plan import DataFile

    if (review or forget_names) and out is None:
        raise click.UsageError("--review and --forget-names need --out.")
    if forget_names and names is None:
        raise click.UsageError("--forget-names needs --names.")
    if any(not why.strip() for _, why in keep):
        raise click.UsageError("--keep needs a reason.")
    if out is not None:
        clean.check_free(out)  # before a person looks at rows for nothing
    wishes = clean.Wishes(
        "replace" if replace else "mask",
        {Kind(kind): why for kind, why in keep},
        _listed(names) if names else (),
        patterns,
    )
    choices = [DataFile(str(file.absolute()), file_format) for file in files]  # type: ignore[arg-type]
    reading = read_files(choices)
    cleaned = clean.clean_rows(reading.rows, wishes)
    print_cleaned(cleaned, len(reading.problems), as_json=as_json)
    if out is not None:
        _write(out, reading, cleaned, wishes, _review(cleaned, review or 0))
        if not as_json:
            print_written(out)
    if names is not None and forget_names:
        clean.forget(names)


@click.command()
@json_option
def measure(as_json: bool) -> None:
    """How much of what is hidden in made-up notes the rules for patients' data find here."""
    from appliance.data.privacy.clean import measured_document
    from appliance.privacy_view import print_measured

    print_measured(measured_document(), as_json=as_json)


def _listed(file: Path) -> tuple[str, ...]:
    """The names in a file, one a line.

    Raises: BadInput, when its encoding cannot be told.
    """
    from appliance.data.files.encoding import decode_text

    text, _ = decode_text(file.read_bytes(), file)
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _review(cleaned: "Cleaned", wanted: int) -> "Review":
    """Show new rows, spread over those in which something was found, and ask about each.

    Raises: click.UsageError, when nobody answers.
    """
    from appliance.data.privacy.clean import Review

    touched = cleaned.touched or tuple(range(len(cleaned.rows)))
    step = max(1, len(touched) // wanted) if wanted else 1
    shown = touched[::step][:wanted]
    try:
        objected = [at + 1 for at in shown if _names_somebody(at + 1, cleaned.rows[at])]
    except click.Abort as error:
        raise click.UsageError(
            "The rows were not all looked at: nothing was written. Start again."
        ) from error
    return Review(len(shown), tuple(objected))


def _names_somebody(number: int, row: "Row") -> bool:
    from appliance.privacy_view import asks_about

    return click.confirm(asks_about(number, row), prompt_suffix=" ", err=True)


def _write(out: Path, reading: "Reading", cleaned: "Cleaned", wishes: "Wishes", review: "Review") -> None:
    """Write the rows and the report.

    Raises: BadInput, also when the person saw somebody named: nothing is written then.
    """
    from appliance.data.privacy.clean import write_clean
    from appliance.errors import BadInput
    from appliance.sentence import listed, say

    if review.objected:
        numbers = listed([str(number) for number in review.objected])
        raise BadInput(
            say("{count} of the rows that you looked at still name a person.", count=len(review.objected)),
            why=say("the rows {numbers}; nothing was written", numbers=numbers),
            next_step="Give the names (--names) or your record numbers (--record-number), and start again.",
        )
    write_clean(out, reading, cleaned, wishes, review)
