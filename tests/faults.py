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
from functools import cached_property
from pathlib import Path

SYSTEM_CALLS = {
    # fmt: off
    "write": 1,
    "pwrite64": 18,
    "writev": 20,
    "pwritev": 296,
    "sendfile": 40,
    "copy_file_range": 326,
    "fsync": 74,
    "fdatasync": 75,
    "sync": 162,
    "syncfs": 306,
    "sync_file_range": 277,
    "open": 2,
    "creat": 85,
    "openat": 257,
    "ioctl": 16,
    "truncate": 76,
    "ftruncate": 77,
    "fallocate": 285,
    "rename": 82,
    "renameat": 264,
    "renameat2": 316,
    "link": 86,
    "linkat": 265,
    "unlink": 87,
    "unlinkat": 263,
    "rmdir": 84,
    "mkdir": 83,
    "mkdirat": 258,
    "symlink": 88,
    "symlinkat": 266,
    "mknod": 133,
    "mknodat": 259,
    "chmod": 90,
    "fchmod": 91,
    "fchmodat": 268,
    "fchmodat2": 452,
    "chown": 92,
    "fchown": 93,
    "lchown": 94,
    "fchownat": 260,
    # fmt: on
}
"""Numbers of the x86-64 table (arch/x86/entry/syscalls/syscall_64.tbl)."""
READS = {"read": 0, "pread64": 17, "readv": 19, "mmap": 9}
"""Asked about only when a judge wants to see how the medium is read."""
NAMES = {number: name for name, number in (SYSTEM_CALLS | READS).items()}

FD_FIRST = frozenset(
    {
        # fmt: off
        "write",
        "pwrite64",
        "writev",
        "pwritev",
        "fsync",
        "fdatasync",
        "syncfs",
        "sync_file_range",
        "ioctl",
        "ftruncate",
        "fallocate",
        "fchmod",
        "fchown",
        "sendfile",
        "read",
        "pread64",
        "readv",
        # fmt: on
    }
)
"""Calls whose first argument is the open file that they concern."""
PATHS: Mapping[str, tuple[tuple[int | None, int], ...]] = {
    "open": ((None, 0),),
    "creat": ((None, 0),),
    "openat": ((0, 1),),
    "truncate": ((None, 0),),
    "rename": ((None, 0), (None, 1)),
    "renameat": ((0, 1), (2, 3)),
    "renameat2": ((0, 1), (2, 3)),
    "link": ((None, 0), (None, 1)),
    "linkat": ((0, 1), (2, 3)),
    "unlink": ((None, 0),),
    "unlinkat": ((0, 1),),
    "rmdir": ((None, 0),),
    "mkdir": ((None, 0),),
    "mkdirat": ((0, 1),),
    "symlink": ((None, 1),),
    "symlinkat": ((1, 2),),
    "mknod": ((None, 0),),
    "mknodat": ((0, 1),),
    "chmod": ((None, 0),),
    "fchmodat": ((0, 1),),
    "fchmodat2": ((0, 1),),
    "chown": ((None, 0),),
    "lchown": ((None, 0),),
    "fchownat": ((0, 1),),
}
"""Where arguments name files: (argument with the folder's handle, or None; argument with the path)."""

NO_FILES = ("/dev/null", "/dev/tty", "/proc/", "pipe:", "socket:", "anon_inode:")
"""How names start behind which no file lies."""

FICLONE = 0x40049409
"""ioctl that makes one file share another's blocks (linux/fs.h); `cp` tries it first."""
OPENED_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
AT_FDCWD = -100

# Of linux/seccomp.h, linux/bpf_common.h, linux/prctl.h.
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_NOTICE, _ANSWER = struct.Struct("=QIIiIQ6Q"), struct.Struct("=QqiI")
_NEW_LISTENER, _WAIT_KILLABLE = 1 << 3, 1 << 5
_ALLOW, _NOTIFY, _CONTINUE = 0x7FFF0000, 0x7FC00000, 1
_LOAD, _EQUAL, _AND, _RETURN = 0x20, 0x15, 0x54, 0x06
_PR_SET_NO_NEW_PRIVS, _SYS_SECCOMP, _SYS_PIDFD_OPEN, _SYS_PIDFD_GETFD = 38, 317, 434, 438

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
class Kill:
    """Do not do it: every process of the program ends here, as by `kill -9`."""


Answer = Go | Fail | Short | Kill
GO = Go()


class Call:
    """One system call that waits for an answer."""

    def __init__(self, number: int, pid: int, name: str, arguments: tuple[int, ...]) -> None:
        self.number = number
        """Its place among the calls that a judge is asked about, from 0."""
        self.pid = pid
        self.name = name
        self.arguments = arguments

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Absolute paths of the files it concerns; of a link, the new name last. None for `sync`."""
        if self.name in FD_FIRST:
            return (self.path_of(self.arguments[0]),)
        if self.name == "copy_file_range":
            return (self.path_of(self.arguments[2]),)
        if self.name == "mmap":
            return (self.path_of(self.arguments[4]),)
        return tuple(self._named(folder, at) for folder, at in PATHS.get(self.name, ()))

    def path_of(self, handle: int) -> str:
        """Where an open file of the program lies now."""
        try:
            return str(Path(f"/proc/{self.pid}/fd/{_signed(handle)}").readlink())
        except OSError:
            return ""

    def _named(self, folder: int | None, at: int) -> str:
        text = os.fsdecode(self.text(at))
        if not text.startswith("/"):
            handle = AT_FDCWD if folder is None else _signed(self.arguments[folder])
            start = f"/proc/{self.pid}/cwd" if handle == AT_FDCWD else f"/proc/{self.pid}/fd/{handle}"
            try:
                text = f"{Path(start).readlink()}/{text}".rstrip("/")
            except OSError:
                return ""
        parent, name = os.path.split(os.path.normpath(text))
        return f"{os.path.realpath(parent).rstrip('/')}/{name}"

    def text(self, at: int) -> bytes:
        """The string that an argument points to."""
        address, found = self.arguments[at], b""
        while b"\0" not in found and len(found) < 8192:
            # A read must not cross into a page that is not there.
            piece = self.memory(address + len(found), 4096 - (address + len(found)) % 4096)
            if not piece:
                break
            found += piece
        return found.partition(b"\0")[0]

    def memory(self, address: int, length: int) -> bytes:
        """Bytes of the program."""
        buffer = ctypes.create_string_buffer(length)
        here = (ctypes.c_uint64 * 2)(ctypes.addressof(buffer), length)
        there = (ctypes.c_uint64 * 2)(address, length)
        got = _libc.process_vm_readv(self.pid, here, 1, there, 1, 0)
        return buffer.raw[: max(got, 0)]

    def data(self) -> bytes:
        """The bytes that a write is about to write."""
        if self.name in ("write", "pwrite64"):
            return self.memory(self.arguments[1], self.arguments[2])
        if self.name in ("writev", "pwritev"):
            table = self.memory(self.arguments[1], 16 * self.arguments[2])
            return b"".join(self.memory(*pair) for pair in struct.iter_unpack("=QQ", table))
        source, at = (
            (self.arguments[0], 1) if self.name == "copy_file_range" else (self.arguments[1], 2)
        )  # sendfile(to, from, …)
        length = self.arguments[4] if self.name == "copy_file_range" else self.arguments[3]
        start = (
            struct.unpack("=q", self.memory(self.arguments[at], 8))[0]
            if self.arguments[at]
            else self.offset(source)[0]
        )
        handle = os.open(f"/proc/{self.pid}/fd/{source}", os.O_RDONLY)
        try:
            size = os.fstat(handle).st_size
            return os.pread(handle, max(0, min(length, size - start)), start)
        finally:
            os.close(handle)

    def offset(self, handle: int) -> tuple[int, bool]:
        """Where an open file stands, and whether it is always written at its end."""
        facts = dict(
            line.split(":", 1)
            for line in Path(f"/proc/{self.pid}/fdinfo/{handle}").read_text().splitlines()
            if ":" in line
        )
        return int(facts["pos"]), bool(int(facts["flags"], 8) & os.O_APPEND)

    def write_half(self) -> int:
        """Write the first half of a write's bytes into the program's own open file; how many these are."""
        data = self.data()
        half = data[: max(1, len(data) // 2)]
        process = _libc.syscall(_SYS_PIDFD_OPEN, self.pid, 0)
        handle = _libc.syscall(_SYS_PIDFD_GETFD, process, self.arguments[0], 0)
        try:
            if self.name == "pwrite64":
                return os.pwrite(handle, half, self.arguments[3])
            return os.write(handle, half)
        finally:
            os.close(handle)
            os.close(process)

    def __str__(self) -> str:
        return f"{self.name} {' '.join(self.paths)}"


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


def _signed(value: int) -> int:
    """A handle as C sees it."""
    return ctypes.c_int(value & 0xFFFFFFFF).value


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
