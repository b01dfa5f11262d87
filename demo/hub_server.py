"""A model hub on the loopback interface, enough of one for huggingface_hub as it is and for the bundler.

Serves folders as repositories: model information with sizes, blob ids and LFS hashes, the file tree, and
files with redirects, ETag, Range and If-Range as the real hub gives them; gated repositories to whoever
has the token. A commit's id is computed from its content. It can also lie and break off, so that the
checks on the other side can be seen to work.
"""

import fnmatch
import hashlib
import json
import random
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LFS_PATTERNS = ("*.safetensors", "*.bin", "*.gguf", "*.model", "tokenizer.json")
READ_BYTES = 1 << 20
CUT_BYTES = 4 << 20
CUT_SEED = 20261121


@dataclass(frozen=True)
class ServedFile:
    """One file of a repository."""

    path: Path
    size: int
    blob: str
    """Git blob id: of the file, or of its pointer if it is an LFS file."""
    sha256: str
    """Of an LFS file; empty for others."""
    pointer_size: int


@dataclass(frozen=True)
class Repository:
    """A folder, listed once."""

    commit: str
    files: dict[str, ServedFile]
    licence: str


@dataclass(frozen=True)
class Lies:
    """What the server does wrong, as patterns of file names."""

    wrong: tuple[str, ...] = ()
    """Served with one bit flipped."""
    short: tuple[str, ...] = ()
    """Served without the last byte, the connection then closed."""
    cut: tuple[str, ...] = ()
    """The connection breaks at a random place, until less than CUT_BYTES are left."""
    busy: tuple[str, ...] = ()
    """Refused at first, in turn with 429 and 500."""


def list_folder(folder: Path, licence: str = "apache-2.0") -> Repository:
    """The repository that `folder` makes; the same content gives the same commit."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            files[path.relative_to(folder).as_posix()] = _listed(path)
    text = "".join(f"{name} {file.blob}\n" for name, file in files.items())
    return Repository(hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), files, licence)


def _listed(path: Path) -> ServedFile:
    size = path.stat().st_size
    if not any(fnmatch.fnmatchcase(path.name, pattern) for pattern in LFS_PATTERNS):
        return ServedFile(path, size, _blob_id(path.read_bytes()), "", 0)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    return ServedFile(path, size, _blob_id(pointer), sha256, len(pointer))


def _blob_id(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Request:
    """One request, as it was kept."""

    address: str
    """Scheme, host and port that were asked."""
    path: str
    headers: dict[str, str]
    """Names in lower case."""


@contextmanager
def serve(
    repos: Mapping[str, Path],
    *,
    lies: Lies | None = None,
    gated: Mapping[str, str] | None = None,
    asked: list[Request] | None = None,
) -> Iterator[str]:
    """Serve each folder under its `organisation/name` while the context lasts; the value is the endpoint.

    gated: repository to the token that opens it. asked: every request is appended to it.
    """
    listed = {name: list_folder(folder) for name, folder in repos.items()}
    shared = {
        "repos": listed,
        "lies": lies or Lies(),
        "gated": gated or {},
        "asked": [] if asked is None else asked,
        "chance": random.Random(CUT_SEED),
        "refused": {},
    }
    with (
        _running("127.0.0.2", {**shared, "store": ""}) as store,
        _running("127.0.0.1", {**shared, "store": store}) as endpoint,
    ):
        yield endpoint


@contextmanager
def _running(host: str, shared: Mapping[str, object]) -> Iterator[str]:
    handler = type("Handler", (_Handler,), dict(shared))
    server = ThreadingHTTPServer((host, 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
    address = f"http://{host}:{server.server_address[1]}"
    handler.address = address  # type: ignore[attr-defined]
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.05), daemon=True)
    thread.start()
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    repos: Mapping[str, Repository]
    lies: Lies
    gated: Mapping[str, str]
    asked: list[Request]
    chance: random.Random
    refused: dict[str, int]
    """How often each busy file was."""
    store: str
    """Address of the second server, which large files are redirected to: another host, as with a real hub."""
    address: str

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer with a body."""
        self._answer()

    def do_HEAD(self) -> None:
        """Answer without one."""
        self._answer()

    def _answer(self) -> None:
        address = urlsplit(self.path)
        path = unquote(address.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.asked.append(Request(self.address, self.path, headers))
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path)
        if api:
            self._api(api[1], api[2], api[3] or "main", parse_qs(address.query))
            return
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if file:
            self._resolve(file[1], file[2], file[3])
            return
        stored = re.fullmatch(r"/lfs/([^/]+/[^/]+)/([0-9a-f]{64})", path)
        repo = self.repos.get(stored[1]) if stored else None
        sha256 = stored[2] if stored else ""
        for name, entry in repo.files.items() if repo else ():
            if entry.sha256 == sha256:
                self._send_file(name, entry, {"ETag": f'"{entry.sha256}"'})
                return
        self._refuse("EntryNotFound", "Entry not found")

    def _find(self, repo_id: str, revision: str) -> Repository | None:
        """The repository at this revision; None after the refusal was sent."""
        repo = self.repos.get(repo_id)
        if repo is None:
            self._refuse("RepoNotFound", "Repository not found")
        elif revision not in ("main", repo.commit):
            self._refuse("RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return repo
        return None

    def _api(self, repo_id: str, kind: str | None, revision: str, query: dict[str, list[str]]) -> None:
        repo = self._find(repo_id, revision)
        if repo is None:
            return
        if kind == "tree":
            self._send_json([_tree_entry(name, file) for name, file in repo.files.items()])
            return
        blobs = "blobs" in query
        self._send_json(
            {
                "_id": repo.commit[:24],
                "id": repo_id,
                "modelId": repo_id,
                "sha": repo.commit,
                "private": False,
                "gated": "manual" if repo_id in self.gated else False,
                "tags": [f"license:{repo.licence}"],
                "cardData": {"license": repo.licence},
                "siblings": [_sibling(name, file, blobs=blobs) for name, file in repo.files.items()],
            }
        )

    def _resolve(self, repo_id: str, revision: str, name: str) -> None:
        repo = self._find(repo_id, revision)
        if repo is None:
            return
        if not self._may_have(repo_id):
            return
        file = repo.files.get(name)
        if file is None:
            self._refuse("EntryNotFound", "Entry not found", {"X-Repo-Commit": repo.commit})
            return
        headers = {"X-Repo-Commit": repo.commit, "Accept-Ranges": "bytes"}
        if not file.sha256:
            self._send_file(name, file, headers | {"ETag": f'"{file.blob}"'})
            return
        headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
        self._send(302, b"", headers | {"Location": f"{self.store}/lfs/{repo_id}/{file.sha256}"})

    def _may_have(self, repo_id: str) -> bool:
        """Whether a gated repository is open to who asks; if not, the refusal was sent."""
        given = self.headers.get("Authorization", "")
        if repo_id not in self.gated or given == f"Bearer {self.gated[repo_id]}":
            return True
        words = f"Access to model {repo_id} is restricted."
        headers = {"X-Error-Code": "GatedRepo", "X-Error-Message": words}
        self._send(403 if given else 401, words.encode(), headers)
        return False

    def _is_busy(self, name: str) -> bool:
        """Whether a request for this file is refused for now; the refusal was sent then."""
        count = self.refused.get(name, 0)
        if not _fits(name, self.lies.busy) or count == 2:
            return False
        self.refused[name] = count + 1
        self._send(500 if count else 429, b"busy", {} if count else {"Retry-After": "0"})
        return True

    def _send_file(self, name: str, file: ServedFile, headers: dict[str, str]) -> None:
        if self._is_busy(name):
            return
        start, end = 0, file.size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if self.headers.get("If-Range", headers.get("ETag")) != headers.get("ETag"):
            asked = None
        if asked:
            start, end = int(asked[1]), min(int(asked[2] or file.size - 1) + 1, file.size)
        if asked and start >= end:
            self._send(416, b"", {"Content-Range": f"bytes */{file.size}"})
            return
        self.send_response(206 if asked else 200)
        if asked:
            headers = headers | {"Content-Range": f"bytes {start}-{end - 1}/{file.size}"}
        for key, value in (headers | {"Content-Length": str(end - start)}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self._send_bytes(name, file, start, end)

    def _send_bytes(self, name: str, file: ServedFile, start: int, end: int) -> None:
        """The bytes from `start` to `end`, with the lies told for files of this name."""
        if _fits(name, self.lies.short):
            end -= 1
            self.close_connection = True
        if _fits(name, self.lies.cut) and end - start >= CUT_BYTES:
            end = start + self.chance.randint(1, end - start - 1)
            self.close_connection = True
        with file.path.open("rb") as stream:
            stream.seek(start)
            at = start
            while at < end:
                body = stream.read(min(READ_BYTES, end - at))
                if _fits(name, self.lies.wrong) and at == start:
                    body = body[:-1] + bytes([body[-1] ^ 1])
                self.wfile.write(body)
                at += len(body)

    def _send_json(self, document: object) -> None:
        self._send(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _refuse(self, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        body = json.dumps({"error": message}).encode()
        self._send(404, body, (headers or {}) | {"X-Error-Code": code, "X-Error-Message": message})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _sibling(name: str, file: ServedFile, *, blobs: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"rfilename": name}
    if blobs:
        entry |= {"size": file.size, "blobId": file.blob}
        if file.sha256:
            entry["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": file.pointer_size}
    return entry


def _tree_entry(name: str, file: ServedFile) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": name, "size": file.size, "oid": file.blob}
    if file.sha256:
        entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": file.pointer_size}
    return entry
