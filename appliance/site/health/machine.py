"""Processor, memory, C library and kernel of a box, against what a release asks for."""

import os
import platform
import re
from pathlib import Path

from appliance.progress import amount_text
from appliance.sentence import say
from appliance.site.health.finding import Finding
from appliance.site.health.needs import PROGRAMS_BYTES, Needs

MEMORY_BYTES = 8_000_000_000
"""Below it, a warning also where no model is known."""

BASE_FLAGS = ("cx16", "popcnt", "ssse3", "sse4_1", "sse4_2")
"""x86-64-v2, by the kernel's names. The wheels of NumPy 2.4 (its compiled baseline) and pyarrow 26 (-msse4.2)
are built for it, and do not start without."""
ENGINE_FLAGS = ("avx", "avx2", "bmi2", "f16c", "fma")
"""What the llama.cpp in the xllamacpp wheel was compiled with (its own system report says so); torch is
several times slower without."""

_CGROUP = Path("/sys/fs/cgroup")


def look_at_machine(needs: Needs | None) -> list[Finding]:
    """Memory and cores, processor, C library, kernel."""
    flags = read_flags(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    return [
        judge_memory(memory_bytes(), len(os.sched_getaffinity(0)), needs),
        judge_processor(platform.machine(), flags),
        judge_libc(os.confstr("CS_GNU_LIBC_VERSION") or "", needs),
    ]


def memory_bytes() -> int:
    """What programs here may take at most: the box's memory, or what a control group allows of it."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            limit = (_CGROUP / name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if limit.isdigit():
            total = min(total, int(limit))
    return total


def judge_memory(total_bytes: int, cores: int, needs: Needs | None) -> Finding:
    """Whether the largest model of the release can be merged in memory."""
    needed = max(needs.memory_bytes if needs and needs.model_bytes else 0, MEMORY_BYTES)
    return Finding(
        "memory and cores",
        total_bytes >= needed,
        say("{total} of memory, {cores} cores", total=amount_text(total_bytes, "B"), cores=cores),
        say("loading a model needs {memory} or more", memory=amount_text(needed, "B")),
        "Add memory, or choose a smaller model.",
        code="memory",
        facts={
            "total_bytes": total_bytes,
            "needed_bytes": needed,
            "cores": cores,
            "programs_bytes": PROGRAMS_BYTES,
        },
    )


def read_flags(cpuinfo: str) -> frozenset[str]:
    """The flags of the first processor in the text of /proc/cpuinfo."""
    found = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()


def judge_processor(machine: str, flags: frozenset[str]) -> Finding:
    """Whether the processor has the instructions that the programs were built with."""
    if machine != "x86_64":
        return Finding(
            "processor",
            False,
            say("this is a {machine}", machine=machine),
            "the programs of this release are for x86_64",
            "Use another box.",
            blocking=True,
            code="processor",
        )
    lacking = [flag for flag in BASE_FLAGS if flag not in flags]
    slow = [flag for flag in ENGINE_FLAGS if flag not in flags]
    facts = {"lacking": " ".join(lacking + slow)}
    if lacking:
        return Finding(
            "processor",
            False,
            say("the processor lacks {flags}", flags=", ".join(lacking)),
            "the programs are built for x86-64-v2 and do not start without",
            "Use a box made after 2010; on a virtual machine, let it see the processor of its host.",
            blocking=True,
            code="processor",
            facts=facts,
        )
    if slow:
        return Finding(
            "processor",
            False,
            say("the processor lacks {flags}", flags=", ".join(slow)),
            "the comparison in llama.cpp at export does not start, and training on the processor is slow",
            "Use a box made after 2015; on a virtual machine, let it see the processor of its host.",
            code="processor",
            facts=facts,
        )
    return Finding(
        "processor", True, "it has what the programs were built with", code="processor", facts=facts
    )


def judge_libc(found: str, needs: Needs | None) -> Finding:
    """Whether the C library is new enough for every wheel. found: as confstr says it, `glibc 2.36`."""
    numbers = re.fullmatch(r"glibc (\d+)\.(\d+)(?:\..*)?", found)
    if numbers is None:
        return Finding(
            "C library",
            False,
            say("the C library is not glibc: {found}", found=found or "?"),
            "the programs are built for glibc",
            "Use a box with glibc (Debian, Ubuntu, RHEL, openEuler and the like).",
            blocking=True,
            code="glibc",
        )
    version, needed = (int(numbers[1]), int(numbers[2])), needs.glibc if needs else (2, 0)
    facts = {"glibc": f"{version[0]}.{version[1]}", "needed": f"{needed[0]}.{needed[1]}"}
    if version < needed:
        return Finding(
            "C library",
            False,
            say("glibc {version} is older than {needed}", version=facts["glibc"], needed=facts["needed"]),
            "the programs are built for the newer one and do not start",
            "Use a newer system, or ask the sender for a bundle for this glibc.",
            blocking=True,
            code="glibc",
            facts=facts,
        )
    what = say("glibc {version}, kernel {kernel}", version=facts["glibc"], kernel=platform.release())
    return Finding("C library", True, what, code="glibc", facts=facts)
