"""Whether what was installed is still what was signed: the store, names for it, the runtimes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from appliance.progress import Progress, amount_text
from appliance.sentence import Sentence, listed, say
from appliance.site.damage import is_linked
from appliance.site.health.finding import Finding
from appliance.site.layout import RUNTIME_SUMS, Site
from appliance.site.marks import RUNTIME_MARK, STORE_MARK, mark
from appliance.site.rehash import Item, Rehashed, Round, rehash
from appliance.site.releases import Installed, current_release, installed_releases
from appliance.site.runtime_sums import odd_names, read_runtime_sums, runtime_items

ROUND = "doctor/round"
"""Under the state folder: which files were found good in the round that is under way."""
SHOWN = 3


@dataclass(frozen=True)
class Part:
    """Files that are mended together: the store, or the runtime of one release."""

    release: Installed | None
    """Whose runtime; None: the store."""
    items: tuple[Item, ...]
    odd: tuple[str, ...] = ()
    """Names in a runtime that nobody recorded, or links that changed."""
    unread: tuple[Item, ...] = ()
    """The list of what there should be, where it cannot be read."""


def look_at_files(site: Site, progress: Progress, how: str) -> list[Finding]:
    """One finding for the store and one for the runtime of every release.

    how: `quick`: presence and length only; `full`: all anew, read from the disk itself; else a round that was
    cut off goes on.

    Raises: HostNotReady, when no release is in use; DamagedBundle, when what vouches for one was changed;
    OSError.
    """
    current_release(site)
    releases = installed_releases(site)
    parts = [Part(None, tuple(_stored(site, releases))), *(_runtime(release) for release in releases)]
    items = [item for part in parts for item in part.items]
    if how == "quick":
        found = _glance(items)
    else:
        memory = Round(site.state / ROUND, items, anew=how == "full")
        with progress.stage(say("hashing what is installed"), total=sum(i.size for i in items)) as advance:
            advance(sum(items[number].size for number in memory.good))
            found = rehash(items, memory, advance, from_disk=how == "full")
    bad = {item.path: item for item in (*found.damaged, *found.missing)}
    return [
        _judge(part, [*part.unread, *(i for i in part.items if i.path in bad)], releases, found, how)
        for part in parts
    ]


def _stored(site: Site, releases: Sequence[Installed]) -> Iterable[Item]:
    """Every file of the store once, and every name of a release that is not the store's file itself."""
    seen = set()
    for release in releases:
        for entry in release.stored():
            if entry.sha256 not in seen:
                seen.add(entry.sha256)
                yield Item(entry.path, site.stored(entry.sha256), entry.sha256, entry.size)
            if not is_linked(site, release, entry):
                yield Item(entry.path, release.folder / entry.path, entry.sha256, entry.size)


def _runtime(release: Installed) -> Part:
    try:
        sums = read_runtime_sums(release.folder)
    except (OSError, ValueError):
        return Part(release, (), unread=(Item(RUNTIME_SUMS, release.folder / RUNTIME_SUMS, "", 0),))
    return Part(release, tuple(runtime_items(release.folder, sums)), tuple(odd_names(release.folder, sums)))


def _glance(items: Sequence[Item]) -> Rehashed:
    """What is missing or has another length, without reading."""
    missing = [item for item in items if not item.path.is_file() or item.path.is_symlink()]
    damaged = [i for i in items if i.path.is_file() and i.path.stat().st_size != i.size]
    return Rehashed(tuple(damaged), tuple(missing), 0, 0)


def _judge(
    part: Part, bad: Sequence[Item], releases: Sequence[Installed], found: Rehashed, how: str
) -> Finding:
    name = _name(part)
    facts: dict[str, int | float | str | bool] = {
        "files": len(part.items),
        "bytes": sum(item.size for item in part.items),
        "damaged": len(bad),
        "unknown": len(part.odd),
        "hashed": how != "quick",
        "remembered": found.remembered,
    }
    code = "files.store" if part.release is None else "files.runtime"
    if part.release is not None:
        facts["release"] = part.release.number
    if not bad and not part.odd:
        return Finding(name, True, _sound(part, how), code=code, facts=facts)
    numbers = [part.release] if part.release else _users(bad, releases)
    marked = all([mark(r.folder, RUNTIME_MARK if part.release else STORE_MARK) for r in numbers])
    listed_numbers = ", ".join(str(release.number) for release in numbers)
    return Finding(
        name,
        False,
        listed([*_damaged(bad), *_unknown(part.odd)], "; "),
        say("release {numbers} uses them; they are not what was installed", numbers=listed_numbers),
        _way_out(numbers, marked, of_runtime=part.release is not None),
        code=code,
        facts={**facts, "releases": listed_numbers},
    )


def _name(part: Part) -> Sentence:
    if part.release is None:
        return say("stored files")
    return say("runtime of release {number}", number=part.release.number)


def _sound(part: Part, how: str) -> Sentence:
    size = amount_text(sum(item.size for item in part.items), "B")
    if how == "quick":
        return say("{count} files are there ({size}); none was hashed", count=len(part.items), size=size)
    if part.release is None:
        return say(
            "{count} files have the hashes that were signed ({size})", count=len(part.items), size=size
        )
    return say("{count} files are as they were installed ({size})", count=len(part.items), size=size)


def _users(bad: Iterable[Item], releases: Iterable[Installed]) -> list[Installed]:
    """The releases that use any of these files."""
    hashes = {item.sha256 for item in bad}
    return [r for r in releases if any(entry.sha256 in hashes for entry in r.stored())]


def _damaged(bad: Sequence[Item]) -> list[Sentence]:
    if not bad:
        return []
    return [say("damaged: {files}", files=_names(sorted({item.name for item in bad})))]


def _unknown(odd: Sequence[str]) -> list[Sentence]:
    return [say("not of this release: {files}", files=_names(odd))] if odd else []


def _names(names: Sequence[str]) -> Sentence:
    shown: list[str] = list(names[:SHOWN])
    if len(names) > SHOWN:
        shown.append(say("{count} more", count=len(names) - SHOWN))
    return listed(shown)


def _way_out(releases: Sequence[Installed], marked: bool, *, of_runtime: bool) -> Sentence:
    numbers = ", ".join(str(release.number) for release in releases)
    if not marked:
        return say(
            "As the account that installed Islet here, run islet doctor again, then install.sh with the "
            "medium of release {numbers}.",
            numbers=numbers,
        )
    if of_runtime:
        return say(
            "When no training runs, run install.sh with the medium of release {numbers}: the runtime is made "
            "anew.",
            numbers=numbers,
        )
    return say(
        "Run install.sh with the medium of release {numbers}: only what is damaged is copied again.",
        numbers=numbers,
    )
