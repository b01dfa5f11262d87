"""`islet-bundle`: the connected side. A command parses, calls one function, prints."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.commands import Commands
from bundler import medium_commands as medium
from bundler import signing_commands as signing

if TYPE_CHECKING:  # what a lock is made of takes half a second to import
    from bundler.lock import Part

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)
DEFAULT_CACHE = Path("~/.cache/islet-bundle")

cache_option = click.option(
    "--cache",
    type=FOLDER,
    default=DEFAULT_CACHE,
    show_default=True,
    help="Where downloads are kept and re-checked.",
)
hub_option = click.option(
    "--hub", "hub_endpoint", envvar="HF_ENDPOINT", help="Address of the model hub or its mirror."
)
index_option = click.option(
    "--index",
    "index",
    multiple=True,
    envvar="ISLET_INDEX",
    metavar="[NAME=]URL",
    help="Package index instead of the general one or, with NAME, instead of that of the manifest: a mirror. "
    "May hold credentials; they are recorded nowhere. Repeat for more.",
)


def _plain_anchor(context: click.Context, option: click.Parameter, given: str | None) -> str | None:
    """The 64 digits of an anchor as the sheet has them, in groups, or as a program prints them."""
    digits = None if given is None else "".join(given.split()).lower()
    if digits is not None and re.fullmatch(r"[0-9a-f]{64}", digits) is None:
        raise click.BadParameter("it must be 64 hexadecimal digits; spaces between them are allowed.")
    return digits


anchor_option = click.option(
    "--anchor",
    callback=_plain_anchor,
    help="SHA-256 of the root, as on the anchor sheet; by default the root on the folder.",
)
volume_option = click.option(
    "--volume-size", type=int, default=4_000_000_000, show_default=True, help="Bytes; FAT32 takes this."
)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Make signed bundles for isolated sites: keygen, root, lock, build, sign, anchor."""


main.add_command(signing.keygen)
main.add_command(signing.root)


@main.command()
@click.argument("manifest", type=FILE)
@click.option("--out", type=FILE, help="The lock; by default beside the manifest, ending in .lock.")
@click.option(
    "--upgrade",
    multiple=True,
    metavar="NAME",
    help="Resolve this one thing anew (a wheel, a conda package, a model, a data set, an extra, converter) "
    "and keep all else that the lock pins. Repeat for more.",
)
@click.option("--keep", is_flag=True, help="Keep what the lock pins; resolve what it lacks or what is new.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(["datasets", "extras", "models", "runtime", "converter", "wheels"]),
    help="Lock this part only and keep the others; where there are none, the lock says what it lacks. Repeat "
    "for more.",
)
@click.option(
    "--advisories",
    metavar="PATH|URL",
    help="Known vulnerabilities in the OSV format, as a folder, a zip or the address of a zip; what they say "
    "of the Python packages is recorded in the lock.",
)
@volume_option
@cache_option
@hub_option
@index_option
def lock(
    manifest: Path,
    out: Path | None,
    upgrade: tuple[str, ...],
    keep: bool,
    only: "tuple[Part, ...]",
    advisories: str | None,
    volume_size: int,
    cache: Path,
    hub_endpoint: str | None,
    index: tuple[str, ...],
) -> None:
    """Resolve MANIFEST to exact bytes: commits, hashes, sizes, licences."""
    from appliance.progress import Terminal
    from bundler.keeping import Old, without
    from bundler.lock import PARTS, read_lock, write_lock
    from bundler.locking import lock as resolve
    from bundler.manifest import read_manifest
    from bundler.outplace import check_outfile
    from bundler.show import print_table

    out = out or manifest.with_suffix(".lock")
    check_outfile(out)
    old = Old()
    if keep or upgrade:
        old = Old(read_lock(out), frozenset(upgrade))
    elif only and out.is_file():
        old = Old(without(read_lock(out), only))
    made = resolve(
        read_manifest(manifest),
        manifest,
        hub_endpoint=hub_endpoint,
        cache=cache.expanduser(),
        progress=Terminal(),
        index=index,
        only=only or PARTS,
        old=old,
        advisories=advisories,
    )
    write_lock(made, out)
    print_table(made, volume_size)
    click.echo(out)


@main.command()
@click.argument("manifest", type=FILE)
@click.option("--lock", "lock_file", type=FILE, help="The lock; by default beside the manifest.")
@click.option("--out", type=FOLDER, required=True, help="The bundle folder to make.")
@click.option(
    "--number", type=click.IntRange(1, 999_999_999), required=True, help="Release number; only rises."
)
@click.option("--roots", type=FOLDER, required=True, help="Folder with root.N, made by `root init`.")
@volume_option
@click.option(
    "--base",
    "bases",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    help="Leave out what the site has: a bundle that is there, its contents.json, or what "
    "`islet inventory --json` printed there. Repeat for more.",
)
@cache_option
@hub_option
@index_option
def build(
    manifest: Path,
    lock_file: Path | None,
    out: Path,
    number: int,
    roots: Path,
    volume_size: int,
    bases: tuple[Path, ...],
    cache: Path,
    hub_endpoint: str | None,
    index: tuple[str, ...],
) -> None:
    """Fetch what the lock names, check it and write the bundle folder, unsigned."""
    from appliance.progress import Terminal
    from bundler.build import build as make
    from bundler.lock import read_lock
    from bundler.manifest import read_manifest
    from bundler.roots import read_root
    from bundler.sources.indexes import Indexes

    made = make(
        read_lock(lock_file or manifest.with_suffix(".lock"), manifest),
        manifest_folder=manifest.parent,
        number=number,
        root_version=read_root(roots).version,
        out=out,
        cache=cache.expanduser(),
        volume_bytes=volume_size,
        bases=bases,
        hub_endpoint=hub_endpoint,
        indexes=Indexes(read_manifest(manifest).wheels, manifest.parent, index),
        progress=Terminal(),
    )
    click.echo(f"{out}: {made.product} release {made.number}, not signed yet")


main.add_command(signing.sign)


@main.command()
@click.argument("folder", type=FOLDER)
@anchor_option
def verify(folder: Path, anchor: str | None) -> None:
    """Judge a signed FOLDER as a new site will, reading every byte."""
    from appliance.progress import Terminal
    from bundler.delta import carried_words
    from bundler.sign import verify_bundle

    found = verify_bundle(folder, anchor, Terminal())
    release, words = found.release, carried_words(found.contents)
    click.echo(f"{release.product} release {release.number}: whole and signed; {words}")


main.add_command(signing.anchor)
main.add_command(signing.sigstore)


main.add_command(medium.diff)
main.add_command(medium.tar)


@main.command()
@click.argument("folder", type=FOLDER)
@anchor_option
@click.option("--json", "as_json", is_flag=True, help="For a script.")
@click.option(
    "--advisories",
    metavar="PATH|URL",
    help="Compare with the vulnerabilities that are known now, as `lock` does, not with those of the lock.",
)
@cache_option
def inspect(folder: Path, anchor: str | None, as_json: bool, advisories: str | None, cache: Path) -> None:
    """Say what is inside FOLDER, who signed it and what keeps a site from it; exits as `verify` does."""
    import json

    from appliance.progress import Terminal
    from bundler.inspection import as_document, inspect_bundle
    from bundler.inspection_table import print_inspection

    found = inspect_bundle(folder, anchor, Terminal(), advisories=advisories, cache=cache.expanduser())
    if as_json:
        click.echo(json.dumps(as_document(found), indent=1, ensure_ascii=False))
    else:
        print_inspection(found)
    if found.refusal is not None:
        raise found.refusal
