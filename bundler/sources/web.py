"""One request over HTTP(S): redirects, proxies, credentials and what each kind of failure means.

- Credentials go to the address that they were given for (scheme, host and port) and nowhere else: a redirect
  to another place loses them. They are in no message: `shown` takes them out of an address.
- From https a redirect never leads to http, and no redirect leads to a file.
- Bodies are taken as they are sent; an encoding that was not asked for is named when the bytes are wrong.
- The environment's proxies and certificates are used, as pip and curl do; loopback never by a proxy.
"""

import base64
import http.client
import ipaddress
import re
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any

Headers = Callable[[], Mapping[str, str]]

MAX_REDIRECTS = 10
REDIRECTS = frozenset({301, 302, 303, 307, 308})
AGAIN = frozenset({408, 425, 429})
"""Refusals that pass; so do all of 500 and above."""
AGENT = "islet-bundle"
_NUMBER = re.compile(r"[0-9]{1,18}")
"""Of bytes; Python refuses to read numbers of thousands of digits."""
_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)")
_CONDA_TOKEN = re.compile(r"/t/[^/]+/")
"""How conda channels carry a token in the path."""
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>()]+")


@dataclass(frozen=True)
class Source:
    """An address that bytes may come from."""

    url: str = field(repr=False)
    """May hold `user:password@`, which becomes a header for this place only."""
    headers: Headers | None = field(default=None, repr=False)
    """Asked for at each request to this place; for credentials."""
    may_be_file: bool = False
    """Whether a `file:` address is taken: only where the user declared one."""


class Failure(Exception):
    """Why one request brought nothing. Inside the downloader only: it becomes an ApplianceError."""

    def __init__(
        self, why: str, *, again: bool, status: int = 0, code: str = "", wait_s: float = 0, cost: int = 1
    ) -> None:
        super().__init__(why)
        self.why = why
        self.again = again
        """Whether the same request may go well later."""
        self.status = status
        """Of HTTP; 0, when there was no answer."""
        self.code = code
        """What the Hub says in X-Error-Code."""
        self.wait_s = wait_s
        """What the server asked for."""
        self.cost = cost
        """How many of the attempts it uses up: what cannot even be reached seldom comes back in seconds."""


@dataclass(frozen=True)
class Answer:
    """A body that is about to be read."""

    start: int
    """Where in the file the body begins."""
    total: int | None
    """Bytes of the whole file, as the server says."""
    validator: str
    """Its strong ETag; empty if it has none."""
    encoding: str
    """Content-Encoding that was not asked for; empty if there is none."""
    headers: Mapping[str, str] = field(repr=False)
    body: Any = field(repr=False)

    def read(self, most: int) -> bytes:
        """What has arrived, at most `most` bytes; nothing at the end. Raises: Failure."""
        try:
            return bytes(self.body.read1(most))
        except (OSError, http.client.HTTPException) as error:
            raise _broken(error) from error
        except ValueError as error:  # http.client, of a chunk's length that is no number
            raise Failure("the server's answer is garbled", again=True) from error


@contextmanager
def opened(
    source: Source, *, start: int = 0, length: int | None = None, validator: str = "", timeout_s: float
) -> Iterator[Answer]:
    """The answer to a GET of `source`, from byte `start` on if the server can.

    length: bytes asked for; None: all the rest.
    validator: the ETag under which the bytes before `start` came; if it is another now, all is sent again.
    timeout_s: how long to wait for a connection, and for each piece of the answer.

    Raises: Failure, also while the body is read.
    """
    wanted = {"Accept-Encoding": "identity", "User-Agent": AGENT}
    if start or length is not None:
        wanted["Range"] = f"bytes={start}-" if length is None else f"bytes={start}-{start + length - 1}"
        if validator:
            wanted["If-Range"] = validator
    with _followed(source, wanted, timeout_s) as reply:
        headers = {} if reply.headers is None else dict(reply.headers.items())
        found = {name.lower(): value for name, value in headers.items()}
        begin, total = _extent(reply.status or 200, found, start)
        tag, encoding = found.get("etag", ""), found.get("content-encoding", "").lower()
        yield Answer(
            begin,
            total,
            tag if tag.startswith('"') else "",
            "" if encoding == "identity" else encoding,
            found,
            reply,
        )


def shown(url: str) -> str:
    """`url` as it may be printed: without user, password, token and query."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return "an address that is none"
    path = _CONDA_TOKEN.sub("/", parts.path)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, "", ""))


def without_secrets(text: str) -> str:
    """What another program said, with each address in it as `shown` gives it."""
    return _ADDRESS.sub(lambda found: shown(found[0]), text)


def _extent(status: int, headers: Mapping[str, str], start: int) -> tuple[int, int | None]:
    """(first byte of the body, bytes of the file) that an answer states."""
    length = headers.get("content-length", "")
    if status != 206:
        # A length in another encoding is not the file's.
        plain = headers.get("content-encoding", "identity") == "identity"
        return 0, int(length) if plain and _NUMBER.fullmatch(length) else None
    stated = _RANGE.fullmatch(headers.get("content-range", ""))
    if stated is None or int(stated[1]) != start:
        raise Failure("the server sent another part than the one asked for", again=True, status=206)
    return start, None if stated[2] == "*" else int(stated[2])


@contextmanager
def _followed(source: Source, wanted: Mapping[str, str], timeout_s: float) -> Iterator[Any]:
    """The reply at the end of all redirects, with status 200 or 206."""
    url, own = _without_user(source)
    home = _place(url)
    for _ in range(MAX_REDIRECTS + 1):
        _check_scheme(url, source)
        headers = {**wanted, **(own if _place(url) == home else {})}
        with _sent(url, headers, timeout_s) as reply:
            if reply.status not in REDIRECTS:
                _check_status(reply)
                yield reply
                return
            target = reply.headers.get("Location", "").replace(" ", "%20")
        if not target:
            raise Failure("the server redirects to nowhere", again=False)
        url = _redirected(url, target)
    raise Failure(f"the server redirects more than {MAX_REDIRECTS} times", again=False)


@contextmanager
def _sent(url: str, headers: Mapping[str, str], timeout_s: float) -> Iterator[Any]:
    """The reply to one request, whatever its status."""
    try:
        request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310  (scheme was checked)
        direct = _is_loopback(urllib.parse.urlsplit(url).hostname or "")
        reply = _opener(direct=direct).open(request, timeout=timeout_s)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _broken(error) from error
    with reply:
        yield reply


@cache  # reading the machine's certificates takes a while
def _opener(*, direct: bool) -> urllib.request.OpenerDirector:
    """What sends a request, by the environment's proxy or not; it leaves redirects and refusals to us."""
    handlers: list[urllib.request.BaseHandler] = [_AsItIs()]
    if direct:
        handlers.append(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(*handlers)


class _AsItIs(urllib.request.HTTPErrorProcessor):
    """Every reply is one."""

    def http_response(self, request: Any, response: Any) -> Any:
        """The reply itself."""
        return response

    https_response = http_response


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _without_user(source: Source) -> tuple[str, dict[str, str]]:
    """(the address without user and password, the headers for its own place)."""
    parts = _split(source.url)
    headers: dict[str, str] = {}
    user, found, host = parts.netloc.rpartition("@")
    if found:
        encoded = base64.b64encode(urllib.parse.unquote(user).encode()).decode("ascii")
        headers["Authorization"] = f"Basic {encoded}"
    if source.headers is not None:
        headers |= source.headers()
    return urllib.parse.urlunsplit(parts._replace(netloc=host)), headers


def _place(url: str) -> tuple[str, str | None, int | None]:
    """Whom a request to `url` speaks to."""
    parts = _split(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, port


def _split(url: str) -> urllib.parse.SplitResult:
    """The parts of `url`. Raises: Failure, when it is no address."""
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port  # judged only when it is asked for
    except ValueError as error:
        raise Failure("it is no valid address", again=False) from error
    return parts


def _check_scheme(url: str, source: Source) -> None:
    scheme = _split(url).scheme
    if scheme not in ("http", "https") and not (scheme == "file" and source.may_be_file):
        raise Failure(f"an address that begins with {scheme or 'nothing'}: is not taken here", again=False)


def _redirected(url: str, target: str) -> str:
    """Where a redirect from `url` leads. Raises: Failure, when it may not lead there."""
    try:
        target = urllib.parse.urljoin(url, target)
    except ValueError as error:
        raise Failure("the server redirects to what is no address", again=False) from error
    before, after = _split(url).scheme, _split(target).scheme
    if after not in ("http", "https"):
        raise Failure(f"the server redirects to {after}:", again=False)
    if before == "https" and after == "http":
        raise Failure("the server redirects from https to http", again=False)
    return target


def _check_status(reply: Any) -> None:
    """Raises: Failure, when the server gave no file."""
    status = reply.status or 200  # a file has none
    if status in (200, 206):
        return
    again = status in AGAIN or status >= 500
    wait_s = _retry_after(reply.headers.get("Retry-After", "")) if again else 0.0
    code = reply.headers.get("X-Error-Code", "")
    reason = f"the server answers {status} {http.client.responses.get(status, '')}".rstrip()
    # 416: what we hold is longer than its file; asked again, from the start, it will say how long that is.
    raise Failure(reason, again=again or status == 416, status=status, code=code, wait_s=wait_s)


def _retry_after(text: str) -> float:
    """Seconds that a Retry-After header asks for; 0, if it says none. Source: RFC 9110, 10.2.3."""
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError):
        return 0.0


def _broken(error: Exception) -> Failure:
    """What the lower layers raised, in words."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = f"its certificate is not trusted here ({cause.verify_message}); SSL_CERT_FILE names other ones"
        return Failure(why, again=False)
    if isinstance(cause, TimeoutError):
        return Failure("no answer in time", again=True)
    if isinstance(cause, ConnectionRefusedError | socket.gaierror):
        return Failure(f"it cannot be reached: {cause.strerror}", again=True, cost=2)
    if isinstance(cause, http.client.IncompleteRead | http.client.RemoteDisconnected | ConnectionError):
        return Failure("the connection broke off", again=True)
    if isinstance(cause, FileNotFoundError | IsADirectoryError | PermissionError):
        return Failure(f"it cannot be read: {cause.strerror}", again=False)
    if isinstance(cause, ValueError | http.client.InvalidURL):
        return Failure("it is no valid address", again=False)
    return Failure(
        f"the connection failed: {cause}", again=isinstance(error, OSError | http.client.HTTPException)
    )
