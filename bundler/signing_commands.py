"""The commands of `islet-bundle` that know keys: keygen, root, sign, anchor, sigstore."""

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.commands import Commands

if TYPE_CHECKING:
    from bundler.signer import Signer

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)
THRESHOLD = click.IntRange(1, 9)
DAYS = click.IntRange(1, 36500)

passphrase_option = click.option(
    "--passphrase-file",
    type=FILE,
    help="File whose first line opens the key; asked for when the key needs one.",
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask; for scripts.")
days_option = click.option(
    "--days", type=DAYS, default=3650, show_default=True, help="How long the root is good, from now."
)


@dataclass(frozen=True)
class Who:
    """The options that say who signs."""

    key: Path | None
    passphrase_file: Path | None
    command: str | None
    public_key: Path | None
    digest: bool
    within_s: float

    def open(self) -> "Signer":
        """The signer. Raises: BadInput."""
        from bundler.signer import Command, KeyFile

        if self.command is not None and self.key is None:
            try:
                words = shlex.split(self.command)
            except ValueError as error:
                raise click.UsageError(f"--with-command cannot be split into words: {error}.") from None
            if self.public_key is None or not words:
                raise click.UsageError("--with-command needs a command and --public-key.")
            return Command(words, self.public_key, digest=self.digest, within_s=self.within_s)
        if self.key is None or self.command is not None or self.public_key is not None or self.digest:
            raise click.UsageError("Give --key, or --with-command with --public-key.")
        return KeyFile(self.key, _secret_for(self.key, self.passphrase_file))


def who_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `Who`; the command gets them as `who`."""
    from functools import wraps

    names = ("key", "passphrase_file", "command", "public_key", "digest", "within_s")

    @wraps(command)
    def gathered(**values: Any) -> Any:
        who = Who(**{name: values.pop(name) for name in names})
        return command(who=who, **values)

    options = (
        click.option("--key", type=FILE, help="Private key."),
        passphrase_option,
        click.option(
            "--with-command",
            "command",
            metavar="CMD",
            help="Program, with arguments, that signs: document on its stdin, DER signature on its stdout.",
        ),
        click.option("--public-key", type=FILE, help="Public key (.pub) of --with-command."),
        click.option("--digest", is_flag=True, help="Give the command the SHA-256, 32 bytes, only."),
        click.option(
            "--within",
            "within_s",
            type=click.FloatRange(1),
            default=300,
            show_default=True,
            help="Seconds that the command may take.",
        ),
    )
    for option in reversed(options):
        gathered = option(gathered)
    return gathered


@click.command()
@click.argument("key", type=FILE)
@click.option("--no-passphrase", is_flag=True, help="Keep the key unprotected; for demos and tests.")
@click.option("--passphrase-file", type=FILE, help="File whose first line protects the key.")
def keygen(key: Path, no_passphrase: bool, passphrase_file: Path | None) -> None:
    """Make a signing key: KEY (keep it offline) and KEY.pub."""
    from bundler.keys import make_key

    secret = None if no_passphrase else _passphrase(passphrase_file, confirm=True)
    click.echo(f"{make_key(key, secret).keyid}  {key}.pub")


@click.group(cls=Commands)
def root() -> None:
    """Say who may sign: make, sign, change and show the roots in a folder."""


@root.command()
@click.argument("roots", type=FOLDER)
@click.option("--root-key", type=FILE, multiple=True, required=True, help="Public root key (.pub). Repeat.")
@click.option(
    "--release-key", type=FILE, multiple=True, required=True, help="Public release key (.pub). Repeat."
)
@click.option(
    "--root-threshold", type=THRESHOLD, default=1, show_default=True, help="Root keys that must sign a root."
)
@click.option(
    "--release-threshold",
    type=THRESHOLD,
    default=1,
    show_default=True,
    help="Release keys that must sign a release.",
)
@days_option
def init(
    roots: Path,
    root_key: tuple[Path, ...],
    release_key: tuple[Path, ...],
    root_threshold: int,
    release_threshold: int,
    days: int,
) -> None:
    """Write root.1 into the folder ROOTS, unsigned."""
    from bundler.roots import init_root

    path = init_root(
        roots,
        root_key,
        release_key,
        root_threshold=root_threshold,
        release_threshold=release_threshold,
        days=days,
    )
    _say_root(roots)
    click.echo(path)


@root.command()
@click.argument("roots", type=FOLDER)
@click.option("--add-root-key", type=FILE, multiple=True, help="Public root key (.pub) to add. Repeat.")
@click.option("--add-release-key", type=FILE, multiple=True, help="Public release key (.pub) to add. Repeat.")
@click.option(
    "--remove-key", multiple=True, metavar="KEYID", help="Key id to leave out, of either kind. Repeat."
)
@click.option("--root-threshold", type=THRESHOLD, help="As before, unless given.")
@click.option("--release-threshold", type=THRESHOLD, help="As before, unless given.")
@days_option
def rotate(
    roots: Path,
    add_root_key: tuple[Path, ...],
    add_release_key: tuple[Path, ...],
    remove_key: tuple[str, ...],
    root_threshold: int | None,
    release_threshold: int | None,
    days: int,
) -> None:
    """Write root.N+1 into ROOTS, unsigned: root.N with these changes."""
    from bundler.roots import Change, rotate_root

    change = Change(add_root_key, add_release_key, remove_key, root_threshold, release_threshold)
    path = rotate_root(roots, change, days=days)
    _say_root(roots)
    click.echo(path)


@root.command("sign")
@click.argument("roots", type=FOLDER)
@who_options
@yes_option
def sign_the_root(roots: Path, who: Who, yes: bool) -> None:
    """Add one root key's signature to the newest root in ROOTS."""
    from bundler.roots import (
        check_may_sign_root,
        newest_root,
        read_people,
        root_tallies,
        root_text,
        sign_root,
        verdict,
    )

    signer = who.open()
    check_may_sign_root(roots, signer.public)
    shown = root_text(roots)
    _say_root(roots)
    _ask(f"Sign root.{newest_root(roots)} with key {signer.public.keyid}?", yes)
    click.echo(sign_root(roots, signer, shown))
    tallies = root_tallies(roots)
    _tell([line for tally in tallies for line in tally.lines(read_people(roots))])
    _tell([verdict(f"root.{newest_root(roots)}", tallies)])


@root.command()
@click.argument("roots", type=FOLDER)
@click.option("--version", type=click.IntRange(1, 9999), help="By default the newest.")
def show(roots: Path, version: int | None) -> None:
    """Say in words who may sign, how many must, until when, and who has signed."""
    from bundler.roots import describe_root

    click.echo("\n".join(describe_root(roots, version)))


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--roots", type=FOLDER, help="Folder with the signed root.N; by default those on FOLDER.")
@who_options
@yes_option
def sign(folder: Path, roots: Path | None, who: Who, yes: bool) -> None:
    """Add one signature to a built FOLDER, after reading all of it and showing what it is."""
    from appliance.progress import Terminal
    from bundler.sign import add_signature, check_signer, read_unsigned, tally_lines

    signer = who.open()
    check_signer(folder, roots or folder, signer.public)
    unsigned = read_unsigned(folder, roots or folder, Terminal())
    _tell(unsigned.lines())
    _ask(f"Sign this with key {signer.public.keyid}?", yes)
    click.echo(add_signature(unsigned, signer))
    _tell(tally_lines(unsigned))


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--html", "page", type=FILE, help="Write it as one page to print, instead of text on stdout.")
def anchor(folder: Path, page: Path | None) -> None:
    """Print the anchor sheet of a signed FOLDER; send it by another road than the disk."""
    from bundler.anchor import anchor_page, anchor_text, read_anchor

    if page is None:
        click.echo(anchor_text(read_anchor(folder)), nl=False)
        return
    from appliance.durable import write_whole
    from bundler.outplace import check_outfile

    check_outfile(page)
    write_whole(page, anchor_page(read_anchor(folder)).encode())
    click.echo(page)


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="Where to write; not on the medium.")
def sigstore(folder: Path, out: Path) -> None:
    """Write the signatures of FOLDER as Sigstore bundles too, with their public keys, into another folder."""
    from bundler.sigstore import write_sigstore

    for path in write_sigstore(folder, out):
        click.echo(path)


def _say_root(roots: Path) -> None:
    from bundler.roots import describe_root

    _tell(describe_root(roots))


def _tell(lines: Sequence[str]) -> None:
    click.echo("\n".join(lines), err=True)


def _ask(question: str, yes: bool) -> None:
    """Go on only when a person says so, or `yes` was said beforehand."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("There is nobody to ask. Read what is shown above, then give --yes.")
    click.confirm(question, abort=True, err=True)


def _secret_for(key: Path, passphrase_file: Path | None) -> bytes | None:
    """The passphrase of `key`; None for a key that has none."""
    from bundler.keys import is_encrypted

    return _passphrase(passphrase_file, confirm=False) if is_encrypted(key) else None


def _passphrase(file: Path | None, *, confirm: bool) -> bytes:
    if file is not None:
        try:
            return file.read_bytes().split(b"\n", 1)[0].removesuffix(b"\r")
        except OSError as error:
            raise click.UsageError(f"{file} cannot be read: {error.strerror}.") from None
    answer: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
    return answer.encode()
