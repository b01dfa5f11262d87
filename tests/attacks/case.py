"""An attack: what is done to an honest bundle, and the three lines that both judges must give for it."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from appliance.bundle.medium import Medium
from appliance.bundle.release import Release
from appliance.bundle.verify import verify
from appliance.errors import ApplianceError
from appliance.site.layout import Site
from appliance.site.trust import read_trust, record_trust
from bundler.keys import read_public
from bundler.roots import newest_root
from tests.bundles import INSTALLER, PAST, Workshop

SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
NEXT = {
    3: "Do not install it. Call the sender and read these lines out.",
    4: "Copy the bundle again, or this one file, and start again.",
    6: "Mount the medium, and name the folder on it that has RELEASE in it.",
}
PLAIN_FILES = "a bundle holds plain files only"
NOTHING_ELSE = "a bundle holds nothing else"
NOT_SIGNED_HASH = "its SHA-256 is not the one that was signed"
NOT_WHOLE = "the bundle is not whole without it"
CUT_OFF = "its last line is cut off"
NO_TEXT = "it holds something other than plain text"

Change = Callable[[Workshop], object]


def nothing(shop: Workshop) -> None:
    """Leave it as it is."""


@dataclass(frozen=True)
class Attack:
    """One defect, and what must be said of it. `{NAME}` in a text stands for the key id of the key NAME,
    `{medium}` for the bundle's folder.
    """

    change: Change
    exit_code: int
    what: str
    why: str
    """Ends with `…` where what follows is the text of Python's own reader."""
    had: int = 0
    """Number of the release that the site has had; 0: a first install."""
    before: Change = nothing
    """What was done, honestly, before the site came to believe its root, or its anchor sheet was printed."""
    sheet: str = "before"
    """Whether the anchor sheet was printed `before` or `after` the change (by holders of the root keys)."""
    seen: str = "2026-10-01T00:00:00Z"
    """Newest signed date that the site has seen; its clock may have been set back since."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What the shell's environment holds beside the usual; `{shop}` stands for the workshop's folder."""

    def lines(self, shop: Workshop) -> str:
        """The three lines, as they are printed."""
        ids = _KeyIds(shop)
        what, why = (text.format_map(ids) if "{" in text else text for text in (self.what, self.why))
        return f"islet: {what}\nwhy: {why}\nnext: {NEXT[self.exit_code]}\n"

    def answers(self, shop: Workshop, said: str) -> bool:
        """Whether `said` is these three lines."""
        told, more, end = self.lines(shop).partition("…")
        return said.startswith(told) and said.endswith(end) if more else said == told


class _KeyIds(dict[str, str]):
    """The key id of every key that is named, and where the bundle is."""

    def __init__(self, shop: Workshop) -> None:
        super().__init__()
        self._shop = shop

    def __missing__(self, name: str) -> str:
        if name == "medium":
            return str(self._shop.bundle)
        noted = self._shop.root / "keys" / f"{name}.id"  # of a key that no tool of ours would read
        return noted.read_text() if noted.exists() else keyid(self._shop, name)


def keyid(shop: Workshop, name: str) -> str:
    """The key id of a key of this workshop."""
    return read_public(shop.public(name)).keyid


def damaged(name: str) -> tuple[int, str, str]:
    """The answer for a file whose bytes are not the signed ones."""
    return 4, f"{name} is damaged.", NOT_SIGNED_HASH


def missing(name: str) -> tuple[int, str, str]:
    """The answer for a file that is not there."""
    return 4, f"{name} is missing.", NOT_WHOLE


def not_plain(name: str) -> tuple[int, str, str]:
    """The answer for a link, a folder, a pipe."""
    return 3, f"{name} is not a plain file.", PLAIN_FILES


def extra(shown: str) -> tuple[int, str, str]:
    """The answer for a file that no list names."""
    return 3, f"{shown} is not in the signed list.", NOTHING_ELSE


def malformed(name: str, why: str) -> tuple[int, str, str]:
    """The answer for a control file that breaks its grammar."""
    return 3, f"{name} is not written as it must be.", why


def invalid(name: str, line: int, key: str) -> tuple[int, str, str]:
    """The answer for a `key: value` line that breaks its grammar."""
    return malformed(name, f"line {line} must be a valid '{key}: ...'")


def not_verifying(document: str, key: str) -> tuple[int, str, str]:
    """The answer for a signature file that names a key which did not make it."""
    why = f"it was not made over this {document} by the key it names"
    return 3, f"{document}.sig.{{{key}}} does not verify.", why


def not_allowed(document: str, suffix: str) -> tuple[int, str, str]:
    """The answer for a signature file by a key that no root names for this; `suffix` as shown."""
    what = f"{document}.sig.{suffix} is by a key that may not sign {document}."
    return 3, what, "its root does not name the key"


def too_few(document: str, role: str, judge: str, count: int, needed: int) -> tuple[int, str, str]:
    """The answer for a threshold that is not reached."""
    what = f"{document} is not signed by enough {role} keys of {judge}."
    return 3, what, f"{count} of {needed} needed"


def flip(path: Path, at: int = -1) -> None:
    """Another bit in one byte."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def truncate(path: Path, length: int = 1) -> None:
    """The last bytes are gone."""
    path.write_bytes(path.read_bytes()[:-length])


def append(path: Path, more: bytes) -> None:
    """More at its end."""
    path.write_bytes(path.read_bytes() + more)


def to_link(path: Path) -> None:
    """The same bytes, through a link."""
    aside = path.parent.parent / f"elsewhere-{path.name}"
    path.rename(aside)
    path.symlink_to(aside)


def to_pipe(path: Path) -> None:
    """A pipe that nobody writes to: who opens it waits for ever."""
    path.unlink()
    os.mkfifo(path)


def to_folder(path: Path) -> None:
    """A folder, with the file in it."""
    data = path.read_bytes()
    path.unlink()
    path.mkdir()
    (path / path.name).write_bytes(data)


def signature(shop: Workshop) -> Path:
    """The file of the list's first signature."""
    return min(shop.bundle.glob("SHA256SUMS.sig.*"))


def attacked(honest: Workshop, folder: Path, attack: Attack) -> tuple[Workshop, Site, str]:
    """A copy of the honest bundle with the defect, the site it meets, the anchor the site holds."""
    shutil.copytree(honest.root, folder / "shop", symlinks=True)
    shop = Workshop(folder / "shop")
    site = Site(folder / "prefix", folder / "state")
    attack.before(shop)
    if attack.had:
        site.prefix.mkdir()
        newest = (shop.roots / f"root.{newest_root(shop.roots)}").read_bytes()
        had = Release("islet-test", attack.had, attack.seen, PAST, 1, 0)
        sums = hashlib.sha256((shop.bundle / "SHA256SUMS").read_bytes()).hexdigest()
        record_trust(site, newest, had, sums)
    anchor = shop.anchor()
    attack.change(shop)
    return shop, site, newest_on_medium(shop) if attack.sheet == "after" else anchor


def newest_on_medium(shop: Workshop) -> str:
    """The SHA-256 of the newest root in the bundle."""
    versions = [int(path.name[5:]) for path in shop.bundle.glob("root.*") if path.name[5:].isdecimal()]
    return hashlib.sha256((shop.bundle / f"root.{max(versions)}").read_bytes()).hexdigest()


def judge_by_python(shop: Workshop, site: Site, anchor: str) -> ApplianceError | None:
    """What the appliance finds wrong; None, when it accepts the bundle."""
    try:
        verify(Medium(shop.bundle), read_trust(site, anchor))
    except ApplianceError as error:
        return error
    return None


def busybox_tools(folder: Path) -> list[str]:
    """What runs a script under busybox's shell where every tool but openssl is busybox's; fills `folder`.

    A namespace of its own has them in /usr/sbin, where install.sh looks first.
    """
    folder.mkdir()
    subprocess.run(["busybox", "--install", "-s", folder], check=True)
    return ["unshare", "-rm", "sh", "-c", 'mount --bind "$0" /usr/sbin && exec busybox sh "$@"', str(folder)]


def judge_by_shell(
    shell: list[str],
    shop: Workshop,
    site: Site,
    anchor: str,
    *,
    environment: Mapping[str, str] | None = None,
    check: bool = True,
) -> "subprocess.CompletedProcess[str]":
    """Run install.sh, with --check or in earnest."""
    command = [*shell, str(INSTALLER), *(["--check"] if check else []), "--prefix", str(site.prefix)]
    return subprocess.run(
        [*command, "--state", str(site.state), "--anchor", anchor, str(shop.bundle)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=os.environ
        | {"TMPDIR": str(site.prefix.parent)}
        | {name: value.replace("{shop}", str(shop.root)) for name, value in (environment or {}).items()},
        timeout=300,
    )
