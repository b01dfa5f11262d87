"""Every system call by which a program changes files, seen one at a time before it is done.

A filter in the kernel (seccomp's user notification) stops each such call of a program and all its children
and asks this process what is to happen: let it be, fail with an error number, write only a part, or kill
everything at once. The calls have one count over all processes, which strace's injection has not (it counts
each process and each call by itself), and what is not asked about runs at full speed. Linux on x86-64 only.

The answers are given by a `Judge`; the calls it is asked about are `Call`s, with the paths they concern.
"""

import ctypes
import errno
import fcntl
import os
import platform
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.system_calls import FICLONE, NAMES, NO_FILES, OPENED_TO_WRITE, PATHS, READS, SYSTEM_CALLS, Call

# Of linux/seccomp.h, linux/bpf_common.h, linux/prctl.h.
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_NOTICE, _ANSWER = struct.Struct("=QIIiIQ6Q"), struct.Struct("=QqiI")
_NEW_LISTENER, _WAIT_KILLABLE = 1 << 3, 1 << 5
_ALLOW, _NOTIFY, _CONTINUE = 0x7FFF0000, 0x7FC00000, 1
_LOAD, _EQUAL, _AND, _RETURN = 0x20, 0x15, 0x54, 0x06
_PR_SET_NO_NEW_PRIVS, _SYS_SECCOMP = 38, 317

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Go:
    """Let the call be done."""


@dataclass(frozen=True)
class Fail:
    """Do not do it; the program is told this error."""

    number: int


@dataclass(frozen=True)
class Short:
    """Do the first half of a write, and say so."""


@dataclass(frozen=True)
class Part:
    """Do so much of a read, and say so."""

    length: int
    """Bytes, at least one."""


@dataclass(frozen=True)
class Kill:
    """Do not do it: every process of the program ends here, as by `kill -9`."""


Answer = Go | Fail | Short | Part | Kill
GO = Go()


Judge = Callable[[Call], Answer]


@dataclass
class Ended:
    """How a watched program ended."""

    code: int
    """Exit code, or minus the signal."""
    out: str
    err: str
    calls: int
    """How many a judge was asked about."""
    killed: bool
    outside: list[str]
    """Files elsewhere that it opened to write, removed, renamed or made."""


@dataclass
class Watch:
    """Runs programs whose changes below some folders are asked about."""

    folders: Sequence[Path]
    reads: bool = False
    """Whether reading is asked about too."""
    limit_s: float = 300
    concerned: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.concerned = tuple(os.path.realpath(folder) for folder in self.folders)

    def run(
        self, command: Sequence[str | Path], judge: Judge, *, env: Mapping[str, str] | None = None
    ) -> Ended:
        """Run `command` to its end; `judge` is asked about every call that concerns `folders`."""
        ours, theirs = socket.socketpair()
        numbers = SYSTEM_CALLS | (READS if self.reads else {})

        def prepare() -> None:
            listener = _install_filter(sorted(numbers.values()))
            socket.send_fds(theirs, [b"x"], [listener])
            os.close(listener)

        with ours, theirs:
            child = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=None if env is None else dict(env),
                start_new_session=True,
                preexec_fn=prepare,  # noqa: PLW1509  (no threads here)
            )
            _, (listener, *_), _, _ = socket.recv_fds(ours, 1, 1)
        outside: set[str] = set()
        with ThreadPoolExecutor(1) as reader:  # its pipes must not fill up while it is answered
            said = reader.submit(child.communicate)
            asked, killed = self._serve(listener, child, judge, outside)
            out, err = said.result(self.limit_s)
        return Ended(child.returncode, out, err, asked, killed, sorted(outside))

    def concerns(self, call: Call) -> bool:
        """Whether a call is about what lies below the folders, or about all file systems."""
        if call.name in ("sync", "syncfs"):
            return True
        return any(
            path == folder or path.startswith(f"{folder}/")
            for path in call.paths
            for folder in self.concerned
        )

    def _serve(
        self, listener: int, child: "subprocess.Popen[str]", judge: Judge, outside: set[str]
    ) -> tuple[int, bool]:
        """Answer until no process of the program is left."""
        asked, killed = 0, False
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        notice = bytearray(_NOTICE.size)
        try:
            while True:
                events = poll.poll(self.limit_s * 1000)
                if not events:
                    os.killpg(child.pid, signal.SIGKILL)
                    raise TimeoutError(f"nothing happened for {self.limit_s} s")
                if not events[0][1] & select.POLLIN:
                    return asked, killed
                notice[:] = bytes(_NOTICE.size)
                try:
                    fcntl.ioctl(listener, _RECEIVE, notice)
                except OSError:
                    continue  # the process is gone
                ident, pid, _, number, _, _, *arguments = _NOTICE.unpack(notice)
                call = Call(asked, pid, NAMES[number], tuple(arguments))
                answer: Answer = GO
                if not killed and self.concerns(call):
                    answer = judge(call)
                    asked += 1
                elif call.name in PATHS:  # `mkdir -p` tries every folder on the way
                    outside.update(
                        path
                        for path in call.paths
                        if not path.startswith(NO_FILES)
                        and not (call.name.startswith("mkdir") and Path(path).is_dir())
                    )
                if isinstance(answer, Kill):
                    killed = True
                    os.killpg(child.pid, signal.SIGKILL)
                    continue
                self._answer(listener, ident, call, answer)
        finally:
            os.close(listener)

    def _answer(self, listener: int, ident: int, call: Call, answer: Answer) -> None:
        if isinstance(answer, Fail):
            text = _ANSWER.pack(ident, 0, -answer.number, 0)
        elif isinstance(answer, Short):
            text = _ANSWER.pack(ident, call.write_half(), 0, 0)
        elif isinstance(answer, Part):
            text = _ANSWER.pack(ident, call.read_part(answer.length), 0, 0)
        else:
            text = _ANSWER.pack(ident, 0, 0, _CONTINUE)
        try:
            fcntl.ioctl(listener, _SEND, bytearray(text))
        except OSError as error:
            if error.errno != errno.ENOENT:  # the process is gone
                raise


def can_watch() -> bool:
    """Whether this machine can do any of this: Linux from 5.19 on x86-64."""
    if platform.machine() != "x86_64" or sys.platform != "linux":
        return False
    return tuple(int(part) for part in platform.release().split(".")[:2]) >= (5, 19)


def _install_filter(numbers: Sequence[int]) -> int:
    """Have the kernel ask about these calls of this process and its children; the handle it asks over.

    `open` is asked about only when it may change something, `ioctl` only for FICLONE.
    """
    number_at, arguments_at = 0, 16
    program: list[bytes] = []

    def step(code: int, value: int, yes: int = 0, no: int = 0) -> None:
        program.append(struct.pack("=HBBI", code, yes, no, value))

    def flags(name: str, at: int, wanted: int) -> None:
        """Ask when any of the wanted bits is set in an argument of the call."""
        step(_LOAD, number_at)
        step(_EQUAL, SYSTEM_CALLS[name], 0, 5)
        step(_LOAD, arguments_at + 8 * at)
        step(_AND, wanted)
        step(_EQUAL, 0, 0, 1)
        step(_RETURN, _ALLOW)
        step(_RETURN, _NOTIFY)

    flags("openat", 2, OPENED_TO_WRITE)
    flags("open", 1, OPENED_TO_WRITE)
    step(_LOAD, number_at)
    step(_EQUAL, SYSTEM_CALLS["ioctl"], 0, 4)
    step(_LOAD, arguments_at + 8)
    step(_EQUAL, FICLONE, 1, 0)
    step(_RETURN, _ALLOW)
    step(_RETURN, _NOTIFY)
    special = {SYSTEM_CALLS[name] for name in ("open", "openat", "ioctl")}
    for number in numbers:
        if number not in special:
            step(_EQUAL, number, 0, 1)
            step(_RETURN, _NOTIFY)
    step(_RETURN, _ALLOW)
    code = ctypes.create_string_buffer(b"".join(program))
    head = ctypes.create_string_buffer(struct.pack("=HxxxxxxQ", len(program), ctypes.addressof(code)))
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    listener = _libc.syscall(_SYS_SECCOMP, 1, _NEW_LISTENER | _WAIT_KILLABLE, head)
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return int(listener)
