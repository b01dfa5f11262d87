"""A server on loopback that does what servers should not: each request gets the next play of its path."""

import random
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Play = Callable[["Call"], None]
"""What the server does with one request."""


@dataclass
class Hostile:
    """A running server."""

    address: str
    plays: dict[str, list[Play]] = field(default_factory=dict)
    """By path; the last one stays."""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Path and headers (names in lower case) of every request."""

    def url(self, path: str, *plays: Play) -> str:
        """The address of `path`, where the requests get `plays` in turn."""
        self.plays[path] = list(plays)
        return self.address + path

    def headers(self, path: str) -> list[dict[str, str]]:
        """Those of each request to `path`."""
        return [headers for asked, headers in self.asked if asked == path]


class Call(BaseHTTPRequestHandler):
    """One request, with what a play needs."""

    protocol_version = "HTTP/1.1"
    server_state: Hostile

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Do the next thing on the list."""
        path = self.path.partition("?")[0]
        state = self.server_state
        state.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        plays = state.plays.get(path, [status(404)])
        play = plays.pop(0) if len(plays) > 1 else plays[0]
        play(self)

    def start_of_range(self) -> int:
        """The first byte asked for."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(found[1]) if found else 0

    def send(self, code: int, body: bytes = b"", **headers: str) -> None:
        """An answer; names of headers with `_` for `-`."""
        self.send_response(code)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self) -> None:
        """End the connection after this answer."""
        self.close_connection = True


def good(body: bytes, **headers: str) -> Play:
    """As a good server: Range and If-Range are honoured."""

    def play(call: Call) -> None:
        start = call.start_of_range()
        tag = headers.get("ETag", "")
        if start and call.headers.get("If-Range", tag) == tag:
            extent = f"bytes {start}-{len(body) - 1}/{len(body)}"
            call.send(206, body[start:], Content_Range=extent, **headers)
        else:
            call.send(200, body, **headers)

    return play


def cut(body: bytes, after: int, **headers: str) -> Play:
    """As a good server, whose connection breaks when `after` more bytes were sent."""

    def play(call: Call) -> None:
        start = call.start_of_range()
        answer = {"Content_Length": str(len(body) - start), **headers}
        if start:
            answer["Content_Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        call.send(206 if start else 200, body[start : start + after], **answer)
        call.hang_up()

    return play


def cut_at_random(body: bytes, seed: int) -> Play:
    """Cut anywhere, each time elsewhere; at least one byte gets through."""
    chance = random.Random(seed)
    return lambda call: cut(body, chance.randint(1, max(len(body) // 3, 1)))(call)


def without_range(play_body: bytes, after: int | None = None) -> Play:
    """Sends everything from the start, whatever was asked; breaks off after `after` bytes."""

    def play(call: Call) -> None:
        call.send(200, play_body[:after], Content_Length=str(len(play_body)))
        if after is not None:
            call.hang_up()

    return play


def status(code: int, **headers: str) -> Play:
    """A refusal or a redirect."""
    return lambda call: call.send(code, b"no", **headers)


def silence(seconds: float, before: bytes = b"", length: int = 0) -> Play:
    """Sends the headers and `before`, then nothing for so long."""

    def play(call: Call) -> None:
        call.send(200, before, Content_Length=str(length))
        call.wfile.flush()
        time.sleep(seconds)
        call.hang_up()

    return play


def endless(call: Call) -> None:
    """Sends no length, and bytes until nobody listens."""
    call.send_response(200)
    call.send_header("Connection", "close")
    call.end_headers()
    try:
        while True:
            call.wfile.write(bytes(1 << 16))
    except OSError:
        call.hang_up()


@contextmanager
def hostile(host: str = "127.0.0.1", *, tls: Path | None = None) -> Iterator[Hostile]:
    """A server on `host` while the context lasts; `tls`: a file with its key and certificate."""
    handler = type("Bound", (Call,), {})
    server = ThreadingHTTPServer((host, 0), handler)
    server.daemon_threads = True
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    state = Hostile(f"{'https' if tls else 'http'}://{host}:{server.server_address[1]}")
    handler.server_state = state  # type: ignore[attr-defined]
    server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def garbage(call: Call) -> None:
    """Answers with what is not HTTP."""
    call.wfile.write(b"\x00\xffSSH-2.0 go away\r\n\r\n")
    call.hang_up()


def hang_up(call: Call) -> None:
    """Does not answer."""
    call.hang_up()


def chunked(body: bytes, after: int | None = None) -> Play:
    """Sends `body` in chunks without a length, whatever was asked; breaks off after `after` bytes."""

    def play(call: Call) -> None:
        call.send_response(200)
        call.send_header("Transfer-Encoding", "chunked")
        call.end_headers()
        for at in range(0, len(body[:after]), 1000):
            piece = body[:after][at : at + 1000]
            call.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        if after is None:
            call.wfile.write(b"0\r\n\r\n")
        call.hang_up()

    return play


def garbled(call: Call) -> None:
    """Sends a chunk whose length is no number."""
    call.send_response(200)
    call.send_header("Transfer-Encoding", "chunked")
    call.end_headers()
    call.wfile.write(b"4\r\n#!/b\r\nmany\r\n")
    call.hang_up()


def many_digits(call: Call) -> None:
    """States lengths that no file has."""
    start, digits = call.start_of_range(), "9" * 5000
    if start:
        call.send(206, b"x", Content_Range=f"bytes {start}-{digits}/{digits}", Content_Length="1")
    else:
        call.send(200, b"x", Content_Length=digits)
    call.hang_up()


def any_play(chance: random.Random, body: bytes, others: list[bytes]) -> Play:
    """One of all these, at random, with `body` or another one."""
    sent = chance.choice([body, body, *others])
    some = chance.randint(0, len(sent))
    tag = chance.choice(["", '"one"', '"two"', 'W/"one"'])
    return chance.choice(
        [
            good(sent, ETag=tag),
            cut(sent, some, ETag=tag),
            cut(sent, some, ETag=tag),
            without_range(sent),
            without_range(sent, after=some),
            chunked(sent),
            chunked(sent, after=some),
            status(chance.choice([301, 400, 403, 404, 408, 416, 429, 500, 503]), Location="/elsewhere"),
            status(302, Location="/f"),
            good(sent, Content_Encoding="gzip"),
            lambda call: call.send(206, sent, Content_Range=f"bytes {some}-{len(sent)}/{len(sent)}"),
            lambda call: call.send(206, sent[some:], Content_Range=f"bytes {some}-/{len(sent)}"),
            endless,
            garbage,
            garbled,
            many_digits,
            hang_up,
        ]
    )
