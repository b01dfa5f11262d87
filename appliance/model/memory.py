"""Memory that ran out, told from other failures; and none of it left behind. Imports no torch by itself."""

import contextlib
import errno
import resource
import sys

SAID = ("can't allocate memory", "not enough memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""What torch says in a plain RuntimeError. Source: torch, c10/core/impl/alloc_cpu.cpp; the CUDA runtime,
cudaErrorMemoryAllocation; cuBLAS, cublasStatus_t."""

NO_CORE = 1
"""Bytes: of 0 a core that goes to a program (systemd-coredump) takes no notice, of 1 it does.
Source: Linux, fs/coredump.c, `cprm.limit == 1`."""


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
