"""Models, from a hub: pinned to a commit, each file checked by us.

The download itself is huggingface_hub's, unmodified, so that mirrors, gated models and the user's token
work as people know them; what it brings is believed only after its bytes were hashed here. The hub lists
a SHA-256 for large files (LFS) and the git blob id for small ones: both are checked, and the SHA-256 of
a small file is computed from bytes that have the listed blob id. Tokens are never recorded.
"""

import fnmatch
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from appliance.errors import BadInput, DamagedBundle, StepFailed
from appliance.progress import Advance, Progress
from bundler import policy
from bundler.manifest import Model
from bundler.sources import check_file, place, wrong_bytes


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


def lock_model(model: Model, *, endpoint: str | None, cache: Path, progress: Progress) -> LockedModel:
    """Pin `model` to the commit its revision names now; small files are fetched, weights are not.

    Raises: BadInput, when the model is not there or breaks the content policy; DamagedBundle, when the
    hub serves bytes other than it lists; StepFailed, when it cannot be reached.
    """
    from huggingface_hub import HfApi

    with _hub_errors(model.hub):
        info = HfApi(endpoint=endpoint).model_info(model.hub, revision=model.revision, files_metadata=True)
    if info.sha is None or re.fullmatch(r"[0-9a-f]{40}", info.sha) is None:
        raise wrong_bytes(f"{model.hub} (listing)", expected="a commit of 40 hex digits", got=str(info.sha))
    listed = [entry for entry in info.siblings or [] if _is_wanted(entry.rfilename, model.leave_out)]
    policy.check_names(model.hub, [entry.rfilename for entry in listed])
    small = [entry.rfilename for entry in listed if entry.lfs is None]
    total = sum(entry.size or 0 for entry in listed if entry.lfs is None)
    folder = _download(model.hub, info.sha, small, total, endpoint, cache, progress)
    files = tuple(sorted((_locked(model.hub, entry, folder) for entry in listed), key=lambda file: file.path))
    licence = model.licence or _licence(info) or "unknown"
    return LockedModel(hub=model.hub, commit=info.sha, licence=licence, files=files)


def fetch_model(
    model: LockedModel, *, endpoint: str | None, cache: Path, into: Path, progress: Progress
) -> list[Path]:
    """Put the locked files of `model` below `into`, at their own paths; checked, also when cached before.

    Raises: BadInput, when a file breaks the content policy; DamagedBundle, when bytes are not the locked
    ones; StepFailed, when the hub cannot be reached.
    """
    paths = [file.path for file in model.files]
    policy.check_names(model.hub, paths)
    total = sum(file.size for file in model.files)
    folder = _download(model.hub, model.commit, paths, total, endpoint, cache, progress)
    placed = []
    with progress.stage(f"Check {model.hub}", total=total) as advance:
        for file in model.files:
            source = _real_file(model.hub, folder, file.path)
            check_file(source, name=f"{model.hub}/{file.path}", sha256=file.sha256, size=file.size)
            policy.check_content(model.hub, file.path, source)
            target = into / file.path
            place(source, target)
            placed.append(target)
            advance(file.size)
    return placed


def _is_wanted(path: str, leave_out: tuple[str, ...]) -> bool:
    return path not in policy.IGNORED and not any(fnmatch.fnmatchcase(path, rule) for rule in leave_out)


def _locked(hub: str, entry: Any, folder: Path) -> LockedFile:
    """The lock's entry of a listed file; a small one is checked and hashed from the snapshot in `folder`."""
    path, size, blob = entry.rfilename, entry.size, entry.blob_id
    if entry.lfs is not None:
        if re.fullmatch(r"[0-9a-f]{64}", entry.lfs.sha256) is None:
            raise wrong_bytes(f"{hub}/{path} (listing)", expected="a SHA-256", got=str(entry.lfs.sha256))
        return LockedFile(path, entry.lfs.size, entry.lfs.sha256, blob or "", lfs=True)
    file = _real_file(hub, folder, path)
    body = file.read_bytes()
    got = git_blob_id(body)
    if size != len(body) or blob != got:
        file.unlink()
        raise wrong_bytes(
            f"{hub}/{path}",
            expected=f"{size} bytes, git blob {blob}",
            got=f"{len(body)} bytes, git blob {got}",
        )
    policy.check_content(hub, path, file)
    return LockedFile(path, len(body), hashlib.sha256(body).hexdigest(), got, lfs=False)


def git_blob_id(body: bytes) -> str:
    """The id that git gives a file with these bytes. Source: git's documentation, "Git Objects"."""
    return hashlib.sha1(b"blob %d\0" % len(body) + body, usedforsecurity=False).hexdigest()


def _real_file(hub: str, folder: Path, path: str) -> Path:
    """The cached file itself (a snapshot holds links), which must lie in the cache of this model."""
    file = (folder / path).resolve()
    if not file.is_relative_to(folder.resolve().parent.parent) or not file.is_file():
        raise DamagedBundle(
            f"The cache lacks {hub}/{path}.",
            why="the download ended without this file, or it lies outside the cache",
            next_step="Fetch again: run the same command.",
        )
    return file


def _licence(info: Any) -> str:
    """The licence that the model's card names; the empty text if it names none."""
    card = info.card_data
    licence = getattr(card, "license", None) if card is not None else None
    if licence in (None, "other"):
        licence = getattr(card, "license_name", None) or licence
    return licence if isinstance(licence, str) else ", ".join(licence or [])


def _download(
    hub: str, commit: str, paths: list[str], total: int, endpoint: str | None, cache: Path, progress: Progress
) -> Path:
    """The snapshot folder of `commit` in the cache, with the files `paths` in it."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import snapshot_download

    with progress.stage(f"Fetch {hub}", total=total) as advance, _hub_errors(hub):
        return Path(
            snapshot_download(
                hub,
                revision=commit,
                endpoint=endpoint,
                cache_dir=cache / "hub",
                allow_patterns=paths,
                tqdm_class=_bar(advance),
            )
        )


def _bar(advance: Advance) -> type[Any]:
    """A tqdm class that draws nothing and hands bytes written to `advance`."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    class Bar(tqdm):  # type: ignore[misc]
        """Counts for our own progress; huggingface_hub opens one bar a purpose, told apart by its text."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.counts = str(kwargs.get("desc", "")).startswith("Reconstructing")
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            if self.counts:
                advance(int(n or 0))
            return None

    return Bar


@contextmanager
def _hub_errors(hub: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into what the operator does next."""
    import httpx2
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except GatedRepoError as error:
        raise BadInput(
            f"The model {hub} is gated.",
            why="its owners ask you to accept their terms first",
            next_step="Accept them on the model's page, log in with `hf auth login`, run the command again.",
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise BadInput(
            f"The hub has no model {hub} at this revision, or does not show it to you.",
            why=_reason(error),
            next_step="Correct models.hub or models.revision in the manifest; log in for a private model.",
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, httpx2.HTTPError) as error:
        raise StepFailed(
            f"The hub could not be asked for {hub}.",
            why=_reason(error),
            next_step="Check the network and HF_ENDPOINT, then run the same command again.",
        ) from error
    except OSError as error:
        if "Consistency check failed" not in str(error):
            raise
        raise DamagedBundle(
            f"The hub served a file of {hub} in the wrong length.",
            why=_reason(error),
            next_step="Fetch again: run the same command. If it stays so, ask who runs the hub.",
        ) from error


def _reason(error: BaseException) -> str:
    """The first two lines of an error's text: huggingface_hub puts the status first, then what it means."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) or type(error).__name__
