"""The system calls by which a program changes files, and one of them as it waits for an answer.

Linux on x86-64 only. A call reads what it needs of the program that makes it: its memory, its open files.
"""

import ctypes
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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

_SYS_PIDFD_OPEN, _SYS_PIDFD_GETFD = 434, 438
_libc = ctypes.CDLL(None, use_errno=True)


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

    @contextmanager
    def opened(self) -> Iterator[int]:
        """The program's own open file, which is its first argument."""
        facts = Path(
            f"/proc/{self.pid}/status"
        ).read_text()  # it may be a thread; only a process has a handle
        leader = next(int(line.split()[1]) for line in facts.splitlines() if line.startswith("Tgid:"))
        process = _libc.syscall(_SYS_PIDFD_OPEN, leader, 0)
        handle = _libc.syscall(_SYS_PIDFD_GETFD, process, self.arguments[0], 0)
        try:
            yield handle
        finally:
            os.close(handle)
            os.close(process)

    def write_half(self) -> int:
        """Write the first half of a write's bytes into the program's own open file; how many these are."""
        data = self.data()
        half = data[: max(1, len(data) // 2)]
        with self.opened() as handle:
            if self.name == "pwrite64":
                return os.pwrite(handle, half, self.arguments[3])
            return os.write(handle, half)

    def readable(self) -> int:
        """How many bytes a read would get; of a mapping, its length."""
        if self.name == "mmap":
            return self.arguments[1]
        start = self.arguments[3] if self.name == "pread64" else self.offset(self.arguments[0])[0]
        size = Path(f"/proc/{self.pid}/fd/{self.arguments[0]}").stat().st_size
        return max(0, min(self.arguments[2], size - start))

    def read_part(self, length: int) -> int:
        """Read so many bytes for the program, into its memory; how many there were."""
        with self.opened() as handle:
            data = (
                os.pread(handle, length, self.arguments[3])
                if self.name == "pread64"
                else os.read(handle, length)
            )
        buffer = ctypes.create_string_buffer(data, len(data))
        here = (ctypes.c_uint64 * 2)(ctypes.addressof(buffer), len(data))
        there = (ctypes.c_uint64 * 2)(self.arguments[1], len(data))
        return int(_libc.process_vm_writev(self.pid, here, 1, there, 1, 0))

    def __str__(self) -> str:
        return f"{self.name} {' '.join(self.paths)}"


def _signed(value: int) -> int:
    """A handle as C sees it."""
    return ctypes.c_int(value & 0xFFFFFFFF).value
