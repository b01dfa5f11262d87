"""Asking the supervisor of a site. Standard library and msgspec only."""

import os
import socket
import struct
from pathlib import Path

import msgspec

from appliance.errors import HostNotReady
from appliance.run.failure import error_of
from appliance.sentence import reason, say
from appliance.supervisor.protocol import SOCKET, Answer, Line, Record, Request, Start, Status, Stop

ANSWER_WITHIN_S = 30.0
MAX_ANSWER_BYTES = 1_000_000


def is_supervised(state: Path) -> bool:
    """Whether the site with this state folder has a supervisor."""
    return (state / SOCKET).is_socket()


def start(state: Path, run: str) -> Line:
    """Have the run started, or queued.

    Raises: HostNotReady, when the one who asks may not, it is at work already, or nobody answers; BadInput.
    """
    (line,) = ask(state, Start(run)).runs
    return line


def stop(state: Path, run: str) -> bool:
    """Have the run write a checkpoint and end; whether it was at work or waiting. Raises: as `start`."""
    return ask(state, Stop(run)).done


def status(state: Path) -> tuple[Line, ...]:
    """What is at work and what waits, as far as the one who asks may see. Raises: as `start`."""
    return ask(state, Status()).runs


def record(state: Path, event: str, facts: dict[str, str | int]) -> None:
    """Add an entry to the audit log. Raises: as `start`."""
    ask(state, Record(event, facts))  # type: ignore[arg-type]  # the supervisor judges the name


def ask(state: Path, request: Request) -> Answer:
    """The answer to one request. Raises: what it tells; HostNotReady, when none comes."""
    try:
        content = _exchange(state, msgspec.json.encode(request) + b"\n")
        answer = msgspec.json.decode(content, type=Answer)
    except (OSError, msgspec.DecodeError) as error:
        raise HostNotReady(
            "The supervisor of this box does not answer.",
            why=reason(error),
            next_step="Ask an administrator to run: systemctl restart islet.",
        ) from error
    if answer.error is not None:
        raise error_of(answer.error)
    return answer


def _exchange(state: Path, line: bytes) -> bytes:
    folder = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_WITHIN_S)
            # Through the handle: the path of a socket may have 107 bytes, that of a state folder more.
            connection.connect(f"/proc/self/fd/{folder}/{SOCKET}")
            _check_peer(connection, os.fstat(folder).st_uid)
            connection.sendall(line)
            answer = b""
            while not answer.endswith(b"\n") and len(answer) < MAX_ANSWER_BYTES:
                part = connection.recv(65536)
                if not part:
                    break
                answer += part
            return answer
    finally:
        os.close(folder)


def _check_peer(connection: socket.socket, owner: int) -> None:
    """Only who owns the state folder, or root, may play its supervisor."""
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    if uid not in (0, owner):
        raise PermissionError(say("its socket belongs to account {uid}", uid=uid))
