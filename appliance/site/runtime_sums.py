"""What the runtime of a release was when its installation ended: `releases/N/runtime.sums`.

`sha256sum -c runtime.sums`, started in the release's folder, checks the same files: a line a file, as that
program writes and reads them; symbolic links stand in comments. Compiled modules that come to be later, when
root runs something, are no damage; those that were there at the end of the installation are in the list.
"""

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from appliance.durable import write_whole
from appliance.progress import Progress
from appliance.sentence import say
from appliance.site.layout import RUNTIME_SUMS
from appliance.site.rehash import THREADS, Item, file_sha256

_LINE = re.compile(r"(\\?)([0-9a-f]{64})  (.+)")
_LINK = re.compile(r"# (.+) -> (.+)")
_COMPILED = re.compile(r".*/__pycache__/[^/]+\.pyc(?:\.\d+)?")


@dataclass(frozen=True)
class RuntimeSums:
    """What was recorded."""

    files: dict[str, str]
    """Path under the release, `runtime/bin/python3.12`, to SHA-256."""
    links: dict[str, str]
    """Path to what the link says."""


def record_runtime(release: Path, progress: Progress) -> None:
    """Hash everything in the release's runtime and write the list. Raises: OSError."""
    files, links = _walk(release)
    lines = []
    with (
        ThreadPoolExecutor(THREADS) as pool,
        progress.stage(say("recording the runtime"), total=len(files), unit=say("files")) as advance,
    ):
        sums = pool.map(lambda name: file_sha256(release / name)[0], files)
        for name, sha256 in zip(files, sums, strict=True):
            lines.append(_format(name, sha256))
            advance(1)
    lines += [f"# {_escape(name)} -> {_escape(target)}" for name, target in links.items()]
    text = "".join(f"{line}\n" for line in lines)
    write_whole(release / RUNTIME_SUMS, text.encode("utf-8", "surrogateescape"), mode=0o444)


def read_runtime_sums(release: Path) -> RuntimeSums:
    """What was recorded of the release. Raises: OSError; ValueError, when it is not written as it must be."""
    files, links = {}, {}
    for number, line in enumerate(
        (release / RUNTIME_SUMS).read_bytes().decode("utf-8", "surrogateescape").splitlines(), start=1
    ):
        if link := _LINK.fullmatch(line):
            links[_unescape(link[1])] = _unescape(link[2])
        elif file := _LINE.fullmatch(line):
            files[_unescape(file[3]) if file[1] else file[3]] = file[2]
        else:
            raise ValueError(f"{RUNTIME_SUMS}: line {number}")
    return RuntimeSums(files, links)


def runtime_items(release: Path, sums: RuntimeSums) -> list[Item]:
    """The recorded files, to be hashed again; a length is not recorded, and is taken from the disk."""
    return [Item(name, release / name, sha256, _size(release / name)) for name, sha256 in sums.files.items()]


def odd_names(release: Path, sums: RuntimeSums) -> list[str]:
    """Files that nobody recorded, and links that are gone, new, or say something else."""
    files, links = _walk(release)
    new = [name for name in files if name not in sums.files and not _COMPILED.fullmatch(name)]
    changed = {*links.items()} ^ {*sums.links.items()}
    return sorted({*new, *(name for name, _ in changed)})


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _walk(release: Path) -> tuple[list[str], dict[str, str]]:
    """Plain files and links under the runtime, by name; what is neither, nobody can have put there rightly,
    and counts as a file."""
    files, links = [], {}
    for entry in _entries(release / "runtime"):
        name = os.path.relpath(entry.path, release)
        if entry.is_symlink():
            links[name] = os.readlink(entry.path)  # noqa: PTH115  (text as it stands, not a path)
        else:
            files.append(name)
    return sorted(files), dict(sorted(links.items()))


def _entries(folder: Path) -> Iterator["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(Path(entry.path))
            else:
                yield entry


def _escape(name: str) -> str:
    return name.replace("\\", "\\\\").replace("\n", "\\n")


def _unescape(name: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], name)


def _format(name: str, sha256: str) -> str:
    escaped = _escape(name)
    return f"{sha256}  {name}" if escaped == name else f"\\{sha256}  {escaped}"
