"""What memory there is, when it ran out, and that none of it is left behind. Imports no torch by itself."""

import contextlib
import errno
import resource
import sys
from pathlib import Path

SAID = ("can't allocate memory", "not enough memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""What torch says in a plain RuntimeError. Source: torch, c10/core/impl/alloc_cpu.cpp; the CUDA runtime,
cudaErrorMemoryAllocation; cuBLAS, cublasStatus_t."""

NO_CORE = 1
"""Bytes: of 0 a core that goes to a program (systemd-coredump) takes no notice, of 1 it does.
Source: Linux, fs/coredump.c, `cprm.limit == 1`."""


def free_memory_bytes(group: Path = Path("/sys/fs/cgroup")) -> int:
    """What this box can give to a process now, the limit of its control group respected.

    What a group has read of files counts as used, and is given back as soon as somebody needs it: a base that
    was just hashed would else leave no room.

    Source: proc_meminfo(5), MemAvailable; kernel documentation, cgroup v2, memory.max and memory.stat.
    """
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        used = int((group / "memory.current").read_text(encoding="ascii"))
        told = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
        read = int(told["active_file"]) + int(told["inactive_file"])
    except (OSError, ValueError, KeyError):
        return free
    return max(0, min(free, int(limit) - used + read)) if limit.isdecimal() else free


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out, the box's or the graphics card's."""
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch and isinstance(error, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(said in str(error) for said in SAID)


def leave_no_core() -> None:
    """Have no crash of this process, or of those that it starts, write its memory down: rows are in it."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (NO_CORE, NO_CORE))
