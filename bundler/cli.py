"""`islet-bundle`: the connected side. A command parses, calls one function, prints."""

from pathlib import Path

import click

from appliance.commands import Commands

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
passphrase_option = click.option(
    "--passphrase-file",
    type=FILE,
    help="File whose first line opens the key; asked for when the key needs one.",
)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Make signed bundles for isolated sites: keygen, root, lock, build, sign, anchor."""


@main.command()
@click.argument("key", type=FILE)
@click.option("--no-passphrase", is_flag=True, help="Keep the key unprotected; for demos and tests.")
@click.option("--passphrase-file", type=FILE, help="File whose first line protects the key.")
def keygen(key: Path, no_passphrase: bool, passphrase_file: Path | None) -> None:
    """Make a signing key: KEY (keep it offline) and KEY.pub."""
    from bundler.keys import make_key

    secret = b"" if no_passphrase else _passphrase(passphrase_file, confirm=True)
    click.echo(f"{make_key(key, secret).keyid}  {key}.pub")


@main.command()
@click.argument("folder", type=FOLDER)
@click.option(
    "--root-key", type=FILE, multiple=True, required=True, help="Private root key; signs. Repeat for more."
)
@click.option(
    "--release-key", type=FILE, multiple=True, required=True, help="Public release key (.pub). Repeat."
)
@click.option(
    "--threshold", type=int, default=1, show_default=True, help="How many different keys must sign."
)
@click.option("--days", type=int, default=3650, show_default=True, help="How long the root is good.")
@passphrase_option
def root(
    folder: Path,
    root_key: tuple[Path, ...],
    release_key: tuple[Path, ...],
    threshold: int,
    days: int,
    passphrase_file: Path | None,
) -> None:
    """Write the next root.N into FOLDER and sign it with the root keys given."""
    from bundler.keys import make_root, sign_root

    publics = [key.with_name(key.name + ".pub") for key in root_key]
    path = make_root(folder, publics, release_key, threshold, days)
    for key in root_key:
        sign_root(path, key, _secret_for(key, passphrase_file))
    click.echo(path)


@main.command()
@click.argument("manifest", type=FILE)
@click.option("--out", type=FILE, help="The lock; by default beside the manifest, ending in .lock.")
@cache_option
@hub_option
def lock(manifest: Path, out: Path | None, cache: Path, hub_endpoint: str | None) -> None:
    """Resolve MANIFEST to exact bytes: commits, hashes, sizes, licences."""
    from appliance.progress import Terminal
    from bundler.lock import lock as resolve
    from bundler.lock import write_lock
    from bundler.manifest import read_manifest
    from bundler.show import print_table

    out = out or manifest.with_suffix(".lock")
    made = resolve(
        read_manifest(manifest),
        manifest,
        hub_endpoint=hub_endpoint,
        cache=cache.expanduser(),
        progress=Terminal(),
    )
    write_lock(made, out)
    print_table(made)
    click.echo(out)


@main.command()
@click.argument("manifest", type=FILE)
@click.option("--lock", "lock_file", type=FILE, help="The lock; by default beside the manifest.")
@click.option("--out", type=FOLDER, required=True, help="The bundle folder to make.")
@click.option(
    "--number", type=click.IntRange(1, 999_999_999), required=True, help="Release number; only rises."
)
@click.option("--roots", type=FOLDER, required=True, help="Folder with root.N, made by `root`.")
@click.option(
    "--volume-size", type=int, default=4_000_000_000, show_default=True, help="Bytes; FAT32 takes this."
)
@cache_option
@hub_option
def build(
    manifest: Path,
    lock_file: Path | None,
    out: Path,
    number: int,
    roots: Path,
    volume_size: int,
    cache: Path,
    hub_endpoint: str | None,
) -> None:
    """Fetch what the lock names, check it and write the bundle folder, unsigned."""
    from appliance.progress import Terminal
    from bundler.build import build as make
    from bundler.keys import newest_root
    from bundler.lock import read_lock

    made = make(
        read_lock(lock_file or manifest.with_suffix(".lock"), manifest),
        manifest_folder=manifest.parent,
        number=number,
        root_version=max(newest_root(roots), 1),
        out=out,
        cache=cache.expanduser(),
        volume_bytes=volume_size,
        hub_endpoint=hub_endpoint,
        progress=Terminal(),
    )
    click.echo(f"{out}: {made.product} release {made.number}, not signed yet")


@main.command()
@click.argument("folder", type=FOLDER)
@click.option("--key", type=FILE, required=True, help="Private release key.")
@click.option("--roots", type=FOLDER, required=True, help="Folder with the signed root.N.")
@passphrase_option
def sign(folder: Path, key: Path, roots: Path, passphrase_file: Path | None) -> None:
    """Add one signature to a built FOLDER."""
    from bundler.sign import sign_bundle

    click.echo(sign_bundle(folder, roots, key, _secret_for(key, passphrase_file)))


@main.command()
@click.argument("folder", type=FOLDER)
@click.option(
    "--anchor", help="SHA-256 of the root, as on the anchor sheet; by default the root on the folder."
)
def verify(folder: Path, anchor: str | None) -> None:
    """Judge a signed FOLDER as a new site will, reading every byte."""
    from appliance.progress import Terminal
    from bundler.sign import verify_bundle

    found = verify_bundle(folder, anchor, Terminal())
    files = len(found.contents.entries)
    click.echo(
        f"{found.release.product} release {found.release.number}: whole and signed, {files} files inside"
    )


@main.command()
@click.argument("folder", type=FOLDER)
def anchor(folder: Path) -> None:
    """Print the anchor sheet of a signed FOLDER; send it by another road than the disk."""
    from bundler.sign import anchor_sheet

    click.echo(anchor_sheet(folder), nl=False)


@main.command()
@click.argument("folder", type=FOLDER)
def inspect(folder: Path) -> None:
    """Say what is inside FOLDER, without judging it."""
    from bundler.show import print_contents

    print_contents(folder)


def _secret_for(key: Path, passphrase_file: Path | None) -> bytes | None:
    """The passphrase of `key`; None for a key that has none."""
    encrypted = key.is_file() and b"ENCRYPTED" in key.read_bytes()[:60]
    return _passphrase(passphrase_file, confirm=False) if encrypted else None


def _passphrase(file: Path | None, *, confirm: bool) -> bytes:
    if file is not None:
        return file.read_bytes().split(b"\n", 1)[0]
    answer: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
    return answer.encode()
