"""One index on loopback for the resolver: every package's page comes from the index that it is bound to.

uv can bind only what a project names itself, and not what that needs in turn; so it is shown one index, ours,
and reaches nothing else. Wheels have no bytes here, only metadata: resolving moves no gigabytes.
"""

import json
import secrets
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from packaging.utils import canonicalize_name

from appliance.errors import ApplianceError
from bundler.sources.indexes import Indexes, ListedFile
from bundler.sources.wheel_metadata import read_facts

JSON = "application/vnd.pypi.simple.v1+json"


@dataclass
class Router:
    """What is served, and what became of it."""

    indexes: Indexes
    cache: Path
    provided: Mapping[str, str]
    """Canonical names of packages that the environment has, with their versions: no others are offered."""
    url: str = ""
    """Of the index; holds a secret, so that other users of this machine get nothing from it."""
    failed: list[ApplianceError] = field(default_factory=list)
    """Why an index or a wheel could not be read."""
    not_found: list[str] = field(default_factory=list)
    """Packages that their index does not have."""

    def page(self, package: str) -> bytes:
        """The page of `package`. Source: PEP 691. Raises: ApplianceError."""
        name = canonicalize_name(package)
        if name in self.provided:
            files = [
                _entry(ListedFile(f"{_escaped(name)}-{self.provided[name]}-py3-none-any.whl", "", "", 0))
            ]
        else:
            files = [_entry(file) for file in self.indexes.page(name)]
        if not files:
            self.not_found.append(name)
        return json.dumps({"meta": {"api-version": "1.0"}, "name": name, "files": files}).encode()

    def metadata(self, package: str, file_name: str) -> bytes | None:
        """METADATA of a wheel; None if there is no such wheel. Raises: ApplianceError."""
        name = canonicalize_name(package)
        if name in self.provided:
            version = self.provided[name]
            return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
        file = next((file for file in self.indexes.page(name) if file.name == file_name), None)
        return None if file is None or not file.is_wheel else read_facts(file, self.cache).metadata


@contextmanager
def routed(indexes: Indexes, cache: Path, provided: Mapping[str, str]) -> Iterator[Router]:
    """Serve while the context lasts."""
    router = Router(indexes, cache, provided)
    secret = secrets.token_urlsafe(16)

    class Handler(BaseHTTPRequestHandler):
        """Answers the resolver."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """One request."""
            path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
            try:
                body = _answer(router, path.strip("/").split("/"), secret)
            except ApplianceError as error:
                router.failed.append(error)
                self._send(400, b"")  # not tried again by uv: it was tried again where that could help
            else:
                self._send(404 if body is None else 200, body or b"")

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: failures are kept."""

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", JSON if body[:1] == b"{" else "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    router.url = f"http://127.0.0.1:{server.server_address[1]}/{secret}/simple"
    try:
        yield router
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(router: Router, parts: list[str], secret: str) -> bytes | None:
    """The body for /SECRET/simple/NAME/ or /SECRET/files/NAME/FILE.metadata; None for anything else."""
    match parts:
        case [given, "simple", name] if secrets.compare_digest(given, secret):
            return router.page(name)
        case [given, "files", name, file] if secrets.compare_digest(given, secret):
            return (
                router.metadata(name, file.removesuffix(".metadata")) if file.endswith(".metadata") else None
            )
    return None


def _entry(file: ListedFile) -> dict[str, object]:
    """One file of a page; its address leads back here, whatever its index says."""
    name = canonicalize_name(file.name.split("-", 1)[0]) if file.is_wheel else "-"
    entry: dict[str, object] = {
        "filename": file.name,
        "url": f"../../files/{name}/{urllib.parse.quote(file.name)}",
        "hashes": {"sha256": file.sha256} if file.sha256 else {},
        "core-metadata": file.is_wheel,
        "yanked": False if file.yanked is None else (file.yanked or True),
    }
    if file.requires_python:
        entry["requires-python"] = file.requires_python
    return entry


def _escaped(name: str) -> str:
    """A canonical name as it stands in file names."""
    return name.replace("-", "_")
