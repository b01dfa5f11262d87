"""What a delta takes from this site: every file that it leaves out must be here, whole.

Checked before anything of the release is written. `install.sh` does the same before it copies anything,
in the same order and the same words.
"""

from appliance.bundle import names
from appliance.bundle.contents import Contents, Entry
from appliance.bundle.environment import check_environment
from appliance.bundle.medium import CHUNK_BYTES
from appliance.bundle.refusal import malformed
from appliance.bundle.release import Release
from appliance.errors import ApplianceError, DamagedBundle, HostNotReady
from appliance.progress import Progress
from appliance.sentence import say
from appliance.site.layout import Site
from appliance.site.releases import installed_releases, runtime_entry
from appliance.site.store import is_whole

SHOWN = 3
"""How many of the files that are lacking are named."""


def check_required(
    site: Site, release: Release, contents: Contents, runtime: str | None, progress: Progress
) -> None:
    """Look for everything that `contents` requires in the store, and hash it.

    runtime: SHA-256 of runtime.tar.gz, where the medium leaves it to the store.

    Raises: HostNotReady, when this is a first install or files are not here; DamagedBundle, when one is
    here with other bytes; UntrustedBundle, when contents.json gives a size that the bytes do not have, or
    what runtime.tar.gz shall be has not the form of one.
    """
    required = contents.required
    if runtime is not None:
        required.insert(0, runtime_entry(runtime, site.stored(runtime)))
    if not required:
        return
    if not (site.prefix / "trust" / "root").exists():
        raise HostNotReady(
            say("Release {number} is a delta, and nothing is installed here.", number=release.number),
            why=say("it leaves out {count} files that an earlier release brought", count=len(required)),
            next_step=say("Bring the full bundle of release {number}.", number=release.number),
        )
    lacking = [entry for entry in required if not _is_there(site, entry)]
    if lacking:
        raise _lacking(site, release, lacking, len(required))
    with progress.stage(say("checking what stays"), total=sum(entry.size for entry in required)) as advance:
        for entry in required:
            _check_stored(site, release, entry)
            advance(entry.size)
    if runtime is not None:
        with site.stored(runtime).open("rb") as file:
            check_environment(iter(lambda: file.read(CHUNK_BYTES), b""), release.disk_bytes)


def _is_there(site: Site, entry: Entry) -> bool:
    path = site.stored(entry.sha256)
    return path.is_file() and not path.is_symlink()


def _lacking(site: Site, release: Release, lacking: list[Entry], total: int) -> ApplianceError:
    shown = ", ".join(entry.path for entry in lacking[:SHOWN]) + (", ..." if len(lacking) > SHOWN else "")
    hashes = {entry.sha256 for entry in lacking}
    had = [
        str(installed.number)
        for installed in installed_releases(site)
        if any(entry.sha256 in hashes for entry in installed.stored())
    ]
    return HostNotReady(
        say(
            "Release {number} is a delta, and {count} of the {total} files that it leaves out are not here.",
            number=release.number,
            count=len(lacking),
            total=total,
        ),
        why=say("not here: {files}; brought once by release {numbers}", files=shown, numbers=", ".join(had))
        if had
        else say("not here: {files}; no release of this box brought them", files=shown),
        next_step=say(
            "Bring the full bundle of release {number}, or install the release before it that brings them.",
            number=release.number,
        ),
    )


def _check_stored(site: Site, release: Release, entry: Entry) -> None:
    path = site.stored(entry.sha256)
    if not is_whole(path, entry.sha256):
        raise DamagedBundle(
            say("{path} is damaged on this box.", path=entry.path),
            why=say("the store's copy no longer has its SHA-256, and this delta does not carry the file"),
            next_step=say(
                "Bring the full bundle of release {number}: it replaces the file.", number=release.number
            ),
        )
    if path.stat().st_size != entry.size:
        raise malformed(names.CONTENTS, say("the size of {path} is not that of its bytes", path=entry.path))
