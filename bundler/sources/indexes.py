"""Package indexes: which one a package is bound to, and what it lists.

- Each package has one index: the one that binds it, else the default one. There is no falling through, so a
  package of the same name elsewhere, whatever its version, is never seen. An index that binds serves nothing
  but what it binds.
- The machine's pip and uv settings are not looked at. The default index is what the user gives, else the one
  that uv has built in. An address given for an index by its name replaces that of the manifest: a mirror.
- Credentials are in what the user gives, never in a manifest and never in a lock.

Formats: PEP 503 and PEP 691 (pages), PEP 592 (yanked), PEP 658 (metadata apart), PEP 700 (sizes); or a folder
of wheels.
"""

import fnmatch
import json
import re
import tempfile
import threading
import urllib.parse
from collections.abc import Iterable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from appliance.errors import BadInput, DamagedBundle, StepFailed
from appliance.process import run
from bundler.manifest import WheelIndex, Wheels
from bundler.sources import file_sha256
from bundler.sources.download import NotGiven, Source, fetch_text

ACCEPTED = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
"""As PEP 691 recommends."""

MAX_PAGE_BYTES = 256 << 20
"""The page of a package with many nightly builds has some tens of megabytes."""

DEFAULT = ""
"""The name of the index that nothing is bound to."""

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ListedFile:
    """One file on a page."""

    name: str
    """A plain file name."""
    url: str = field(repr=False)
    """May hold credentials."""
    sha256: str
    """Empty if the page says none."""
    size: int | None
    """Bytes; None: not said."""
    requires_python: str = ""
    yanked: str | None = None
    """Why its maker took it back; None if it was not."""
    has_metadata: bool = False
    """Whether its metadata lie beside it."""
    metadata_sha256: str = ""
    """Of these; empty if the page says none."""

    @property
    def is_wheel(self) -> bool:
        """Whether it is a wheel by its name."""
        return self.name.endswith(".whl")


@dataclass(frozen=True)
class Place:
    """Where an index is: an address, or a folder of wheels."""

    name: str
    """As the manifest names it; empty for the default one."""
    url: str = field(repr=False)
    folder: Path | None
    given: bool
    """Whether the user gave the address beside the manifest: the hints of a lock do not count then."""

    @property
    def title(self) -> str:
        """For people."""
        return f"the index {self.name!r}" if self.name else "the default index"


class Indexes:
    """Every index of one manifest, and the pages that were read from them."""

    def __init__(self, wheels: Wheels, base: Path, given: Iterable[str] = ()) -> None:
        """base: the manifest's folder. given: addresses by the user, `URL` or `NAME=URL`."""
        self._bound = wheels.index
        self._base = base
        self._given = _by_name(given, {DEFAULT, *(index.name for index in wheels.index)})
        self._places: dict[str, Place] = {}
        self._pages: dict[str, list[ListedFile]] = {}
        self._lock = threading.Lock()

    def name_for(self, package: str) -> str:
        """The name of the index that `package` comes from. Raises: BadInput, when two bind it."""
        name = canonicalize_name(package)
        found = [index.name for index in self._bound if is_bound(index, name)]
        if len(found) > 1:
            raise BadInput(
                f"{name} is bound to more than one index.",
                why=f"wheels.index: {' and '.join(found)} name it",
                next_step="Let one of them name it in the manifest.",
            )
        return found[0] if found else DEFAULT

    def place(self, name: str) -> Place:
        """The index `name`. Raises: BadInput, when it is a folder that is not there."""
        with self._lock:
            if name not in self._places:
                self._places[name] = self._find_place(name)
            return self._places[name]

    def page(self, package: str) -> list[ListedFile]:
        """What the one index of `package` lists of it; nothing if it does not have it.

        Raises: BadInput, StepFailed, when the index cannot be read; DamagedBundle, when it lists nonsense.
        """
        name = canonicalize_name(package)
        with self._lock:
            known = self._pages.get(name)
        if known is None:
            place = self.place(self.name_for(name))
            known = _folder_page(place.folder, name) if place.folder else _page(place, name)
            with self._lock:
                self._pages[name] = known
        return known

    def _find_place(self, name: str) -> Place:
        given = self._given.get(name)
        if given is None and name == DEFAULT:
            return Place(name, built_in_index(), None, given=False)
        address = given or next(index.url for index in self._bound if index.name == name)
        if re.match(r"https?://", address):
            return Place(name, address, None, given=given is not None)
        folder = (self._base / address).resolve()
        if not folder.is_dir():
            raise BadInput(
                f"The folder of the index {name!r} is not there.",
                why=f"there is no folder {folder}",
                next_step="Correct wheels.index.url in the manifest; a folder is relative to the manifest.",
            )
        return Place(name, "", folder, given=given is not None)


def is_bound(index: WheelIndex, package: str) -> bool:
    """Whether `index` binds `package`, a canonical name."""
    patterns = (re.sub(r"[-_.]+", "-", pattern.lower()) for pattern in index.packages)
    return any(fnmatch.fnmatchcase(package, pattern) for pattern in patterns)


def built_in_index() -> str:
    """The address that uv takes when it is told none. Raises: StepFailed, when uv does not run."""
    from uv import find_uv_bin

    lines: list[str] = []
    # It reads no requirements from an empty standard input, and writes where it would have looked for them.
    run(
        [find_uv_bin(), "--no-config", "pip", "compile", "--emit-index-url", "--offline", "--no-cache", "-"],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "TMPDIR": tempfile.gettempdir()},
        on_line=lines.append,
        next_step="Give the index with --index.",
    )
    found = [line.split()[1] for line in lines if line.startswith("--index-url ")]
    if not found:
        raise StepFailed(
            "The default index is not known.",
            why="uv does not say which one it has built in",
            next_step="Give the index with --index.",
        )
    return found[0]


def _by_name(given: Iterable[str], known: set[str]) -> dict[str, str]:
    """Index name to address, as the user gave them. Raises: BadInput."""
    found: dict[str, str] = {}
    for text in given:
        named = re.fullmatch(r"([A-Za-z0-9._-]+)=(.+)", text)
        name, address = (named[1], named[2]) if named else (DEFAULT, text)
        if name not in known:
            raise BadInput(
                f"There is no index {name!r}.",
                why=f"the manifest names: {', '.join(sorted(known - {DEFAULT})) or 'none'}",
                next_step="Give --index URL for the default index, --index NAME=URL for one of the manifest.",
            )
        if not re.match(r"https?://", address):
            raise BadInput(
                "--index is not an address.",
                why="it begins with neither https:// nor http://",
                next_step="Give the address of a simple index; a folder is named in the manifest.",
            )
        found[name] = address
    return found


def _folder_page(folder: Path, name: str) -> list[ListedFile]:
    """The wheels of `name` in a folder, with hashes computed from their bytes."""
    return [
        ListedFile(path.name, path.as_uri(), file_sha256(path), path.stat().st_size)
        for path in sorted(folder.glob("*.whl"))
        if _package(path.name) == name
    ]


def _page(place: Place, name: str) -> list[ListedFile]:
    """The page of `name` at an address."""
    address = f"{place.url.rstrip('/')}/{name}/"
    source = Source(address, headers=lambda: {"Accept": ACCEPTED})
    try:
        body = fetch_text(f"The page of {name} in {place.title}", source, most=MAX_PAGE_BYTES)
    except NotGiven as error:
        if error.status in (404, 410):
            return []
        raise
    try:
        files = _json_files(body) if body.lstrip()[:1] == b"{" else _html_files(body)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedBundle(
            f"The page of {name} in {place.title} is not valid.",
            why=f"{type(error).__name__}: {error}",
            next_step="Run the same command again; if it stays so, ask who runs the index.",
        ) from error
    # An address of another kind, of a file of this machine say, is not for an index to name.
    placed = [_at(address, file) for file in files if _FILE_NAME.fullmatch(file.name)]
    return [file for file in placed if re.match(r"https?://", file.url)]


def _at(page: str, file: ListedFile) -> ListedFile:
    """`file` with its whole address; the page's credentials are kept for the page's own server only."""
    url = urllib.parse.urlsplit(urllib.parse.urljoin(page, file.url))
    own = urllib.parse.urlsplit(page)
    user, found, host = own.netloc.rpartition("@")
    if found and url.netloc == host and url.scheme == own.scheme:
        url = url._replace(netloc=own.netloc)
    values = {**vars(file), "url": urllib.parse.urlunsplit(url._replace(fragment=""))}
    return ListedFile(**values)


def _json_files(body: bytes) -> list[ListedFile]:
    """Source: PEP 691, "Project Detail"; PEP 714 for `core-metadata`."""
    return [_json_file(entry) for entry in json.loads(body)["files"]]


def _json_file(entry: dict[str, Any]) -> ListedFile:
    metadata = entry.get("core-metadata", entry.get("data-dist-info-metadata", False))
    yanked = entry.get("yanked", False)
    size = entry.get("size")
    return ListedFile(
        name=entry["filename"],
        url=entry["url"],
        sha256=_hash(entry.get("hashes", {}).get("sha256")),
        size=size if isinstance(size, int) and size >= 0 else None,
        requires_python=entry.get("requires-python") or "",
        yanked=None if yanked is False else ("" if yanked is True else str(yanked)),
        has_metadata=metadata is not False,
        metadata_sha256=_hash(metadata.get("sha256")) if isinstance(metadata, dict) else "",
    )


def _html_files(body: bytes) -> list[ListedFile]:
    """Source: PEP 503; PEP 714 for `data-core-metadata`."""
    parser = _Anchors()
    parser.feed(body.decode("utf-8", "replace"))
    return [_html_file(attributes) for attributes in parser.found]


def _html_file(attributes: dict[str, str]) -> ListedFile:
    url, _, fragment = attributes["href"].partition("#")
    name = urllib.parse.unquote(urllib.parse.urlsplit(url).path.rsplit("/", 1)[-1])
    metadata = attributes.get("data-core-metadata", attributes.get("data-dist-info-metadata"))
    return ListedFile(
        name=name,
        url=url,
        sha256=_hash(urllib.parse.parse_qs(fragment).get("sha256", [""])[0]),
        size=None,
        requires_python=attributes.get("data-requires-python", ""),
        yanked=attributes.get("data-yanked"),
        has_metadata=metadata is not None,
        metadata_sha256=_hash((metadata or "").removeprefix("sha256=")),
    )


class _Anchors(HTMLParser):
    """Gathers the links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One tag of the page."""
        attributes = {name: value or "" for name, value in attrs}
        if tag == "a" and attributes.get("href"):
            self.found.append(attributes)


def _hash(text: Any) -> str:
    """`text` if it is a SHA-256, else empty: another kind of hash counts as none."""
    return text if isinstance(text, str) and _SHA256.fullmatch(text) else ""


def _package(file_name: str) -> str | None:
    try:
        return parse_wheel_filename(file_name)[0]
    except InvalidWheelFilename:
        return None
