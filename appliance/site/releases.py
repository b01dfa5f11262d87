"""The releases on this box: which are whole, which is in use, going back to the one before."""

import json
from dataclasses import dataclass
from pathlib import Path

from appliance.bundle import names
from appliance.bundle.contents import Contents, Entry, parse_contents
from appliance.durable import switch_link
from appliance.errors import DamagedBundle, HostNotReady
from appliance.sentence import say
from appliance.site import audit
from appliance.site.layout import NOTE, Site
from appliance.site.lock import alone
from appliance.site.state_format import check_forward, read_format


@dataclass(frozen=True)
class Installed:
    """One release that was installed to its end."""

    number: int
    product: str
    created: str
    sums_sha256: str
    """SHA-256 of its SHA256SUMS."""
    folder: Path
    state_format: int
    """Newest form of data and runs that it knows."""

    def contents(self) -> Contents:
        """Every file that its bundle carried. Raises: UntrustedBundle, when the list was changed."""
        return parse_contents((self.folder / "contents.json").read_bytes())

    def stored(self) -> tuple[Entry, ...]:
        """Every file that it needs of the store: those of its contents, and its runtime.tar.gz, which a later
        delta may leave out. Raises: UntrustedBundle, when the list was changed."""
        sha256 = self.files().get(names.RUNTIME)
        entries = self.contents().entries
        return (*entries, runtime_entry(sha256, self.folder / names.RUNTIME)) if sha256 else entries

    def files(self) -> dict[str, str]:
        """SHA256SUMS of its bundle: name to SHA-256."""
        return _read_note(self.folder)[1]


def runtime_entry(sha256: str, path: Path) -> Entry:
    """runtime.tar.gz as a file of the store; no list states its size: it is that of what lies at `path`."""
    try:
        size = path.lstat().st_size
    except OSError:
        size = 0
    return Entry(names.RUNTIME, "runtime", "runtime", "", size, sha256, 0o644, ())


def installed_releases(site: Site) -> list[Installed]:
    """The whole releases, lowest number first; one whose installation was cut off is not among them.

    Raises: DamagedBundle, when what vouches for one of them was changed.
    """
    found = [_read_note(path.parent)[0] for path in (site.prefix / "releases").glob(f"*/{NOTE}")]
    return sorted(found, key=lambda release: release.number)


def current_release(site: Site) -> Installed:
    """The release in use.

    Raises: HostNotReady, when there is none; DamagedBundle, when what vouches for it was changed.
    """
    folder = site.current.resolve()
    if folder.parent == (site.prefix / "releases").resolve() and (folder / NOTE).is_file():
        return _read_note(site.prefix / "releases" / folder.name)[0]
    raise HostNotReady(
        "No release is in use here.",
        why=say("{link} points to no whole release", link=site.current),
        next_step="Run install.sh again with the medium.",
    )


def _read_note(folder: Path) -> tuple[Installed, dict[str, str]]:
    """installed.json of a release: what was installed, and name to SHA-256 of its bundle's files.

    Raises: DamagedBundle, when it is not as it was written.
    """
    try:
        facts = json.loads((folder / NOTE).read_bytes())
        number, product, created, sums = (facts[n] for n in ("number", "product", "created", "sums-sha256"))
        files, state_format = facts.get("files", {}), facts.get("state-format", 1)
        texts = all(isinstance(text, str) for text in (product, created, sums, *files, *files.values()))
        if not texts or type(state_format) is not int or str(number) != folder.name:
            raise ValueError(NOTE)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise DamagedBundle(
            say("{path} is damaged on this box.", path=folder / NOTE),
            why="it is not as the installation wrote it",
            next_step=say(
                "When no training runs, run install.sh with the medium of release {number}.",
                number=folder.name,
            ),
        ) from None
    return Installed(int(number), product, created, sums, folder, state_format), files


def plan_rollback(site: Site, number: int | None = None) -> Installed:
    """The release `number`, or the one before the current one.

    Raises: HostNotReady, when there is no such whole release, or it cannot read the state as it is now.
    """
    now = current_release(site)
    earlier = [release for release in installed_releases(site) if release.number < now.number]
    wanted = [release for release in earlier if number is None or release.number == number]
    if not wanted:
        there = ", ".join(str(release.number) for release in earlier) or say("none")
        raise HostNotReady(
            say("There is no release {number} to go back to.", number=number)
            if number
            else say("There is no release before this one to go back to."),
            why=say(
                "release {now} is in use; earlier ones that are whole: {there}", now=now.number, there=there
            ),
            next_step="Name one of these with --to, or install it from its medium.",
        )
    check_forward(read_format(site.state), wanted[-1].state_format)
    return wanted[-1]


def roll_back(site: Site, number: int | None = None) -> Installed:
    """Use an earlier release from now on: one rename.

    What this box remembers of numbers it has had does not go back with it, and neither do runs.

    Raises: HostNotReady, as `plan_rollback` does, or when another command is at work here.
    """
    with alone(site, "rollback"):
        now, target = current_release(site), plan_rollback(site, number)
        audit.append(site.audit, "rollback", was=now.number, now=target.number)
        switch_link(site.current, f"releases/{target.number}")
    return target
