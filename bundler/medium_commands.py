"""The commands of `islet-bundle` between two media: diff, tar."""

import json
from pathlib import Path

import click

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)
LISTED = click.Path(path_type=Path, exists=True)


@click.command()
@click.argument("old", type=LISTED)
@click.argument("new", type=LISTED)
@click.option("--json", "as_json", is_flag=True, help="For a script.")
def diff(old: Path, new: Path, as_json: bool) -> None:
    """Say what is new, changed and gone from OLD to NEW.

    Each is a bundle's folder, its contents.json, a lock, or what `islet inventory --json` printed.
    """
    from bundler.diff import as_document, difference
    from bundler.diff_table import print_difference
    from bundler.listing import read_listing

    found = difference(read_listing(old), read_listing(new))
    if as_json:
        click.echo(json.dumps(as_document(found), indent=1, ensure_ascii=False))
    else:
        print_difference(found)


@click.command()
@click.argument("folder", type=FOLDER)
@click.argument("file", type=FILE)
def tar(folder: Path, file: Path) -> None:
    """Write the signed FOLDER as one plain tar FILE, checking every byte on the way."""
    from appliance.progress import Terminal
    from bundler.tarball import write_tar

    top = write_tar(folder, file, Terminal())
    click.echo(f"{file}: unpacks to {top}/")
