"""A package index on loopback, made of a folder of files; each of its habits can be switched."""

import hashlib
import html
import json
import re
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class PackageIndex:
    """What an index does, and what was asked of it."""

    folder: Path
    as_json: bool = True
    """PEP 691 pages; else PEP 503."""
    hashes: bool = True
    metadata: bool = True
    """PEP 658."""
    ranges: bool = True
    yanked: dict[str, str] = field(default_factory=dict)
    """File name to reason."""
    wrong: dict[str, bytes] = field(default_factory=dict)
    """File name to the bytes that are sent in its place."""
    user: str = ""
    """`Basic` credentials that are wanted, encoded."""
    sizes: bool = True
    url: str = ""
    asked: list[str] = field(default_factory=list)
    """Paths of the requests."""
    sent: dict[str, int] = field(default_factory=dict)
    """Path to bytes sent."""

    def files(self, name: str) -> list[Path]:
        """The files of one package, oldest name first."""
        return [path for path in sorted(self.folder.iterdir()) if _package(path.name) == name]

    def page(self, name: str) -> bytes | None:
        """The page of one package."""
        files = self.files(name)
        if not files:
            return None
        if self.as_json:
            return json.dumps(
                {"meta": {"api-version": "1.1"}, "name": name, "files": [*map(self._entry, files)]}
            ).encode()
        return (
            "<!DOCTYPE html><html><body>" + "<br>".join(map(self._anchor, files)) + "</body></html>"
        ).encode()

    def metadata_of(self, path: Path) -> bytes:
        """METADATA, taken out of the wheel."""
        with zipfile.ZipFile(path) as archive:
            return archive.read(next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA")))

    def _entry(self, path: Path) -> dict[str, object]:
        offered = self.metadata and path.suffix == ".whl"
        digest = hashlib.sha256(self.metadata_of(path)).hexdigest() if offered else ""
        entry: dict[str, object] = {
            "filename": path.name,
            "url": f"../../files/{path.name}",
            "hashes": {"sha256": _sha256(path)} if self.hashes else {"md5": "0" * 32},
            "core-metadata": {"sha256": digest} if offered else False,
            "yanked": self.yanked.get(path.name, False),
        }
        return entry | ({"size": path.stat().st_size} if self.sizes else {})

    def _anchor(self, path: Path) -> str:
        fragment = f"#sha256={_sha256(path)}" if self.hashes else ""
        more = ' data-core-metadata="true"' if self.metadata and path.suffix == ".whl" else ""
        if path.name in self.yanked:
            more += f' data-yanked="{html.escape(self.yanked[path.name])}"'
        return f'<a href="../../files/{path.name}{fragment}"{more}>{path.name}</a>'


@contextmanager
def serve_index(index: PackageIndex) -> Iterator[PackageIndex]:
    """Serve it; `index.url` is the address of its pages while the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        """Answers."""

        def do_GET(self) -> None:
            """One request."""
            index.asked.append(self.path)
            if index.user and self.headers.get("Authorization") != f"Basic {index.user}":
                self._send(401, b"")
                return
            parts = self.path.strip("/").split("/")
            body = None
            if parts[0] == "simple" and len(parts) == 2:
                body = index.page(parts[1])
            elif parts[0] == "files":
                body = self._file(parts[1])
            if body is None:
                self._send(404, b"")
            else:
                self._send_part(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

        def _file(self, name: str) -> bytes | None:
            path = index.folder / name.removesuffix(".metadata")
            if not path.is_file():
                return None
            if name in index.wrong:
                return index.wrong[name]
            if name.endswith(".metadata"):
                return index.metadata_of(path) if index.metadata else None
            return path.read_bytes()

        def _send_part(self, body: bytes) -> None:
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if wanted is None or not index.ranges:
                self._send(200, body)
                return
            first, last = int(wanted[1]), min(int(wanted[2] or len(body) - 1), len(body) - 1)
            self._send(206, body[first : last + 1], f"bytes {first}-{last}/{len(body)}")

        def _send(self, status: int, body: bytes, extent: str = "") -> None:
            index.sent[self.path] = index.sent.get(self.path, 0) + len(body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if extent:
                self.send_header("Content-Range", extent)
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    index.url = f"http://127.0.0.1:{server.server_address[1]}/simple"
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _package(file_name: str) -> str:
    """The canonical name of the package that a file is of."""
    return re.sub(r"[-_.]+", "-", re.split(r"-\d", file_name, maxsplit=1)[0]).lower()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
