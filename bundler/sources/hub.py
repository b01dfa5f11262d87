"""Models, from a hub: pinned to a commit, each file checked by us.

The hub's listing says what there is; files come by `bundler.sources.download`, as everything does. The hub
lists a SHA-256 for large files (LFS) and the git blob id for small ones: both are checked, and the SHA-256
of a small file is computed from bytes that have the listed blob id. In the cache a file lies under the id
that was listed, so that a new commit with the same weights costs nothing.

Where the hub is and who the user is are the settings of the standard client (`HF_ENDPOINT`, `HF_TOKEN`,
`hf auth login`). The token is sent to that address only, and stands in no lock, cache, message or bundle.
"""

import fnmatch
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from appliance.errors import ApplianceError, BadInput, StepFailed
from appliance.progress import Progress
from bundler import policy
from bundler.manifest import Model
from bundler.rules import Exceptions
from bundler.sources import place, wrong_bytes
from bundler.sources.download import Job, NotGiven, Patience, Source, Wanted, fetch_all, fetch_text
from bundler.sources.web import shown

LISTING_BYTES = 64 << 20


class LockedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a model."""

    path: str
    """Relative to the repository, `/`-separated."""
    size: int
    """Bytes."""
    sha256: str
    blob: str
    """The git blob id the hub lists; of an LFS file, that of its pointer."""
    lfs: bool
    """Whether `sha256` is the hub's own listing (else computed from bytes with the id `blob`)."""


class LockedModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model at one commit."""

    hub: str
    """`organisation/name`."""
    commit: str
    """40 hex digits."""
    licence: str
    files: tuple[LockedFile, ...]
    """Sorted by path."""


class _Large(msgspec.Struct, frozen=True):
    sha256: str
    size: int


class _Listed(msgspec.Struct, frozen=True, rename={"path": "rfilename", "blob": "blobId"}):
    path: str
    size: int | None = None
    blob: str | None = None
    lfs: _Large | None = None


class _Listing(msgspec.Struct, frozen=True, rename={"card": "cardData"}):
    """What the hub says of a model at a revision."""

    sha: str
    siblings: tuple[_Listed, ...]
    card: dict[str, Any] | None = None


def lock_model(
    model: Model,
    *,
    endpoint: str | None,
    cache: Path,
    progress: Progress,
    patience: Patience | None = None,
    exceptions: Exceptions | None = None,
) -> LockedModel:
    """Pin `model` to the commit its revision names now; small files are fetched, weights are not.

    endpoint: the hub's address; None: the standard client's.

    Raises: BadInput, when the model is not there, not open to the user or breaks the content policy;
    DamagedBundle, when the hub serves bytes other than it lists; StepFailed, when it cannot be reached.
    """
    hub = _Hub(model.hub, endpoint)
    with hub.errors():
        listing = hub.listing(model.revision, progress, patience)
        listed = [entry for entry in listing.siblings if _is_wanted(entry.path, model.leave_out)]
        policy.check_names(model.hub, [entry.path for entry in listed], exceptions)
        small = [entry for entry in listed if entry.lfs is None]
        jobs = [
            hub.job(listing.sha, entry.path, cache, size=entry.size, blob=entry.blob or "") for entry in small
        ]
        got = fetch_all(jobs, what=f"Fetch {model.hub}", progress=progress, patience=patience)
    files = [
        LockedFile(entry.path, entry.lfs.size, entry.lfs.sha256, entry.blob or "", lfs=True)
        for entry in listed
        if entry.lfs is not None
    ]
    for entry, job, file in zip(small, jobs, got, strict=True):
        policy.check_content(model.hub, entry.path, job.target, exceptions)
        files.append(LockedFile(entry.path, file.size, file.sha256, entry.blob or "", lfs=False))
    return LockedModel(
        hub=model.hub,
        commit=listing.sha,
        licence=model.licence or _licence(listing.card or {}) or "unknown",
        files=tuple(sorted(files, key=lambda file: file.path)),
    )


def fetch_model(
    model: LockedModel,
    *,
    endpoint: str | None,
    cache: Path,
    into: Path,
    progress: Progress,
    patience: Patience | None = None,
    exceptions: Exceptions | None = None,
) -> list[Path]:
    """Put the locked files of `model` below `into`, at their own paths; checked, also when cached before.

    Raises: BadInput, when a file breaks the content policy or the user may not have it; DamagedBundle, when
    bytes are not the locked ones; StepFailed, when the hub cannot be reached.
    """
    policy.check_names(model.hub, [file.path for file in model.files], exceptions)
    hub = _Hub(model.hub, endpoint)
    jobs = [
        hub.job(
            model.commit,
            file.path,
            cache,
            size=file.size,
            sha256=file.sha256,
            blob=None if file.lfs else file.blob,
        )
        for file in model.files
    ]
    with hub.errors():
        fetch_all(jobs, what=f"Fetch {model.hub}", progress=progress, patience=patience)
    for file, job in zip(model.files, jobs, strict=True):
        policy.check_content(model.hub, file.path, job.target, exceptions)
        place(job.target, into / file.path)
    return [into / file.path for file in model.files]


def cached_file(file: LockedFile, cache: Path) -> Path:
    """Where a locked file is kept."""
    return _cached(file.sha256 if file.lfs else file.blob, cache)


def _cached(name: str, cache: Path) -> Path:
    return cache / "hub" / name[:2] / name


class _Hub:
    """One model repository, as this user sees it."""

    def __init__(self, name: str, endpoint: str | None) -> None:
        from huggingface_hub import constants

        self._name = name
        self._endpoint = (endpoint or constants.ENDPOINT).rstrip("/")

    def listing(self, revision: str, progress: Progress, patience: Patience | None) -> _Listing:
        """What there is at `revision`. Raises: NotGiven; DamagedBundle, when it is no such listing."""
        url = f"{self._endpoint}/api/models/{self._name}/revision/{quote(revision, safe='')}?blobs=true"
        name = f"{self._name} (listing)"
        body = fetch_text(name, self._source(url), most=LISTING_BYTES, note=progress.note, patience=patience)
        try:
            listing = msgspec.json.decode(body, type=_Listing)
        except msgspec.DecodeError as error:
            raise wrong_bytes(name, expected="the files of a model", got=str(error)) from error
        if re.fullmatch(r"[0-9a-f]{40}", listing.sha) is None:
            raise wrong_bytes(name, expected="a commit of 40 hex digits", got=listing.sha)
        if re.fullmatch(r"[0-9a-f]{40}", revision) is not None and revision != listing.sha:
            raise wrong_bytes(name, expected=f"the commit {revision}", got=listing.sha)
        for entry in listing.siblings:
            _check_listed(name, entry)
        return listing

    def job(
        self,
        commit: str,
        path: str,
        cache: Path,
        *,
        size: int | None,
        sha256: str | None = None,
        blob: str | None = None,
    ) -> Job:
        """What brings one file into the cache, under the id that the hub lists for it."""
        url = f"{self._endpoint}/{self._name}/resolve/{commit}/{quote(path)}"
        wanted = Wanted(f"{self._name}/{path}", (self._source(url),), size=size, sha256=sha256, blob=blob)
        return Job(wanted, _cached(blob or sha256 or "", cache))

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what was not given into what the operator does next."""
        try:
            yield
        except NotGiven as error:
            raise self._explained(error) from error

    def _explained(self, error: NotGiven) -> ApplianceError:
        page = f"{shown(self._endpoint)}/{self._name}"
        if error.code == "GatedRepo" or error.status == 403:
            who = (
                "the account that you are logged in with may not have it"
                if _token()
                else ("its owners ask you to accept their licence first, and you are not logged in")
            )
            return BadInput(
                f"The model {self._name} is gated.",
                why=f"{who} ({error.why})",
                next_step=f"Accept the licence on the model's page, {page}, log in with `hf auth login` "
                "(or set HF_TOKEN), then run the same command.",
            )
        if error.status in (401, 404):
            return BadInput(
                f"The hub has no model {self._name} at this revision, or does not show it to you.",
                why=error.why,
                next_step="Correct models.hub or models.revision in the manifest; for a private model, "
                "log in with `hf auth login` or set HF_TOKEN.",
            )
        return StepFailed(
            f"The hub could not be asked for {self._name}.",
            why=error.why,
            next_step="Check the network and HF_ENDPOINT (or --hub), then run the same command: it goes on "
            "where it stopped.",
        )

    def _source(self, url: str) -> Source:
        return Source(url, headers=_credentials)


def _credentials() -> Mapping[str, str]:
    token = _token()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _token() -> str | None:
    """The user's token, as the standard client finds it."""
    from huggingface_hub import get_token

    return get_token()


def _is_wanted(path: str, leave_out: tuple[str, ...]) -> bool:
    return path not in policy.IGNORED and not any(fnmatch.fnmatchcase(path, rule) for rule in leave_out)


def _check_listed(name: str, entry: _Listed) -> None:
    """Raises: DamagedBundle, when the listing does not say what an honest one says of every file."""
    if entry.lfs is not None:
        if re.fullmatch(r"[0-9a-f]{64}", entry.lfs.sha256) is None or entry.lfs.size < 0:
            raise wrong_bytes(name, expected=f"a SHA-256 and size of {entry.path}", got=entry.lfs.sha256)
    elif entry.size is None or entry.size < 0 or re.fullmatch(r"[0-9a-f]{40}", entry.blob or "") is None:
        raise wrong_bytes(name, expected=f"a size and git blob of {entry.path}", got=str(entry.blob))


def _licence(card: Mapping[str, Any]) -> str:
    """The licence that the model's card names; the empty text if it names none."""
    licence = card.get("license")
    if licence in (None, "other"):
        licence = card.get("license_name") or licence
    if isinstance(licence, str):
        return licence
    return ", ".join(str(each) for each in licence) if isinstance(licence, list) else ""
