"""The socket: who asks is the kernel's word, how much and how long is bounded, one client hurts no other."""

import fcntl
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import msgspec

from appliance.durable import sync_folder
from appliance.errors import ApplianceError, HostNotReady
from appliance.run.failure import failure_fields
from appliance.sentence import say
from appliance.site.audit import Who, login_of, person
from appliance.supervisor.keeper import Keeper
from appliance.supervisor.protocol import (
    ASK_WITHIN_S,
    MAX_BYTES,
    SOCKET,
    Answer,
    Record,
    Request,
    Start,
    Status,
    Stop,
    read_request,
)
from appliance.trace import keep_trace, kind_text, trace_text

TICK_S = 0.5
AT_ONCE, AT_ONCE_EACH = 32, 6
"""Connections, over all and of one account; beyond these one is told to come again."""


class Server:
    """Listens in the state folder until it is asked to end."""

    def __init__(self, state: Path, keeper: Keeper) -> None:
        self._state = state
        self._keeper = keeper
        self._lock = threading.Lock()
        self._open: Counter[int] = Counter()
        self._over = False

    def serve(self) -> None:
        """Answer until SIGTERM or SIGINT, or until another release is in use; what is at work goes on.

        Raises: HostNotReady, when another supervisor listens; OSError.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        runtime = Path(sys.prefix).resolve()
        with self._alone(), self._listening() as listener:
            self._keeper.take_up()
            ticked = time.monotonic()
            while not self._over:
                self._accept(listener)
                if time.monotonic() - ticked >= TICK_S:
                    self._tick()
                    ticked = time.monotonic()
                    if Path(sys.prefix).resolve() != runtime:
                        return  # systemd starts it again, from the release that is in use now

    def _tick(self) -> None:
        try:
            self._keeper.tick()
        except OSError as error:  # a full disk: what could not be written down is tried again
            print(f"islet: {kind_text(error)}", file=sys.stderr)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._over = True

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the site's lock for supervisors; the system takes it back however this one ends."""
        path = self._state / "supervisor" / "lock"
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise HostNotReady(
                    "Another supervisor is at work here.",
                    why=say("{lock} is held", lock=path),
                    next_step="End that one first: systemctl stop islet.",
                ) from None
            yield
            (self._state / SOCKET).unlink(missing_ok=True)

    def _listening(self) -> socket.socket:
        """The socket under its name, by one rename: one that a killed supervisor left is replaced."""
        folder = os.open(self._state, os.O_RDONLY | os.O_DIRECTORY)
        listener = socket.socket(socket.AF_UNIX)
        try:
            aside = f".{SOCKET}.{os.getpid()}"
            with suppress(FileNotFoundError):
                os.unlink(aside, dir_fd=folder)
            listener.bind(f"/proc/self/fd/{folder}/{aside}")
            # Who may do what is judged by the account that asks, not by the mode of the socket.
            os.chmod(aside, 0o666, dir_fd=folder)  # noqa: S103
            listener.listen(64)
            listener.settimeout(TICK_S / 2)
            os.rename(aside, SOCKET, src_dir_fd=folder, dst_dir_fd=folder)
            sync_folder(self._state)
        except BaseException:
            listener.close()
            raise
        finally:
            os.close(folder)
        return listener

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            return
        except OSError as error:  # too many handles are open: they are not for ever
            print(f"islet: {kind_text(error)}", file=sys.stderr)
            time.sleep(TICK_S)
            return
        pid, uid = _peer(connection)
        with self._lock:
            busy = self._open.total() >= AT_ONCE or self._open[uid] >= AT_ONCE_EACH
            if not busy:
                self._open[uid] += 1
        if busy:
            with connection, suppress(OSError):
                connection.settimeout(0)  # a short line into an empty buffer, or nothing
                connection.sendall(_error(_busy()))
            return
        who = _who(pid, uid)
        threading.Thread(target=self._converse, args=(connection, who), daemon=True).start()

    def _converse(self, connection: socket.socket, who: Who) -> None:
        try:
            with connection, suppress(OSError):
                line = _line_of(connection)
                if line:
                    connection.settimeout(ASK_WITHIN_S)
                    connection.sendall(self._answer(line, who))
        finally:
            with self._lock:
                self._open[who.uid] -= 1

    def _answer(self, line: bytes, who: Who) -> bytes:
        try:
            return msgspec.json.encode(self._do(read_request(line), who)) + b"\n"
        except ApplianceError as error:
            return _error(error)
        except Exception as error:
            print(trace_text(error), file=sys.stderr)
            keep_trace(error, self._state / "supervisor")
            return _error(
                ApplianceError(
                    "The supervisor itself failed.",
                    why=type(error).__name__,
                    next_step="Hand in what `journalctl -u islet` shows.",
                )
            )

    def _do(self, request: Request, who: Who) -> Answer:
        match request:
            case Start(run=run):
                return Answer(runs=(self._keeper.start(run, who),))
            case Stop(run=run):
                return Answer(done=self._keeper.stop(run, who))
            case Status():
                return Answer(runs=self._keeper.status(who))
            case Record(event=event, facts=facts):
                self._keeper.record(event, facts, who)
                return Answer(done=True)


def _line_of(connection: socket.socket) -> bytes:
    """The one line that a client says in time; empty when it says none, or one that is too long."""
    deadline = time.monotonic() + ASK_WITHIN_S
    line = b""
    while not line.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or len(line) > MAX_BYTES:
            return b""
        connection.settimeout(left)
        part = connection.recv(MAX_BYTES + 1)
        if not part:
            return b""
        line += part
    return line if len(line) <= MAX_BYTES else b""


def _peer(connection: socket.socket) -> tuple[int, int]:
    """Process and account on the other side, as they were when it connected. Source: unix(7), SO_PEERCRED."""
    size = struct.calcsize("3i")
    pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return pid, uid


def _who(pid: int, uid: int) -> Who:
    """The account, and who logged in, while the process is still that account's: numbers come again."""
    login = login_of(pid)
    with suppress(OSError):
        if Path(f"/proc/{pid}").stat().st_uid == uid:
            return person(uid, login)
    return person(uid, None)


def _busy() -> HostNotReady:
    return HostNotReady(
        "The supervisor has too many visitors.",
        why=say("at most {count} of one account are heard at once", count=AT_ONCE_EACH),
        next_step="Try again in a moment.",
    )


def _error(error: ApplianceError) -> bytes:
    return msgspec.json.encode(Answer(error=failure_fields(error))) + b"\n"
