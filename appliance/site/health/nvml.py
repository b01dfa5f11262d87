"""What NVIDIA's management library says of the cards, printed as JSON by a process of its own.

    python -m appliance.site.health.nvml

A process, because a driver that hangs or crashes must not take the one that asks with it. The library is the
driver's own `libnvidia-ml.so.1`; types and numbers are those of nvml.h. Knows no words for people.
"""

import ctypes
import json
import sys
from collections.abc import Callable
from ctypes import POINTER, Structure, byref, c_int, c_uint, c_ulonglong, c_void_p
from typing import Any

LIBRARY = "libnvidia-ml.so.1"
NAME_BYTES = 96
"""NVML_DEVICE_NAME_V2_BUFFER_SIZE; versions of the driver take 80."""

SUCCESS, NOT_SUPPORTED, INSUFFICIENT_SIZE, FUNCTION_NOT_FOUND = 0, 3, 7, 13
NO_LIBRARY = 12
"""NVML_ERROR_LIBRARY_NOT_FOUND, which is also how this module says that there is none to ask."""

UNCORRECTED, SINCE_BOOT, MIG_ENABLED = 1, 0, 1
MOST_PROCESSES = 4096
UNKNOWN_BYTES = 2**64 - 1
"""NVML_VALUE_NOT_AVAILABLE: in a container the driver does not know whose memory it is."""


class _Memory(Structure):
    """nvmlMemory_t."""

    _fields_ = (("total", c_ulonglong), ("free", c_ulonglong), ("used", c_ulonglong))


class _Process(Structure):
    """nvmlProcessInfo_t, as versions 2 and 3 of the call fill it."""

    _fields_ = (
        ("pid", c_uint),
        ("used", c_ulonglong),
        ("gpu_instance", c_uint),
        ("compute_instance", c_uint),
    )


class Failed(Exception):
    """A call that did not succeed; `code` is its nvmlReturn_t."""

    def __init__(self, call: str, code: int) -> None:
        super().__init__(f"{call}: {code}")
        self.call, self.code = call, code


class _Library:
    """The loaded library."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL(LIBRARY)
        except OSError:
            raise Failed("dlopen", NO_LIBRARY) from None

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function. Raises: Failed, also where this driver does not have it."""
        try:
            function = getattr(self._library, name)
        except AttributeError:
            raise Failed(name, FUNCTION_NOT_FOUND) from None
        function.restype = c_int
        if (code := function(*arguments)) != SUCCESS:
            raise Failed(name, code)

    def text(self, name: str, *arguments: Any) -> str:
        """A text that a function writes into a buffer."""
        buffer = ctypes.create_string_buffer(NAME_BYTES)
        self.call(name, *arguments, buffer, c_uint(NAME_BYTES))
        return buffer.value.decode("utf-8", "replace")

    def number(self, name: str, *arguments: Any) -> int:
        """An unsigned number that a function gives back."""
        value = c_uint()
        self.call(name, *arguments, byref(value))
        return value.value

    def pair(self, name: str, *arguments: Any) -> tuple[int, int]:
        """Two numbers that a function gives back."""
        first, second = c_int(), c_int()
        self.call(name, *arguments, byref(first), byref(second))
        return first.value, second.value


def look() -> dict[str, Any]:
    """Driver and cards; `error` is the nvmlReturn_t of what ended the look, 0 when nothing did."""
    found: dict[str, Any] = {"error": SUCCESS, "call": "", "driver": "", "cuda": 0, "cards": []}
    try:
        library = _Library()
        library.call("nvmlInit_v2")
    except Failed as failed:
        return found | {"error": failed.code, "call": failed.call}
    try:
        found["driver"] = library.text("nvmlSystemGetDriverVersion")
        cuda = c_int()
        library.call("nvmlSystemGetCudaDriverVersion_v2", byref(cuda))
        found["cuda"] = cuda.value
        found["cards"] = [_card(library, i) for i in range(library.number("nvmlDeviceGetCount_v2"))]
    except Failed as failed:
        found |= {"error": failed.code, "call": failed.call}
    _maybe(lambda: library.call("nvmlShutdown"))
    return found


def _card(library: _Library, index: int) -> dict[str, Any]:
    """One card; what it does not have, or does not say, is None."""
    card: dict[str, Any] = {"index": index, "error": SUCCESS, "name": "", "processes": [], "slices": None}
    device, memory = c_void_p(), _Memory()
    try:
        library.call("nvmlDeviceGetHandleByIndex_v2", c_uint(index), byref(device))
        card["name"] = library.text("nvmlDeviceGetName", device)
        library.call("nvmlDeviceGetMemoryInfo", device, byref(memory))
    except Failed as failed:
        return card | {"error": failed.code, "call": failed.call}
    card |= {"total": memory.total, "free": memory.free}
    card["capability"] = _maybe(lambda: library.pair("nvmlDeviceGetCudaComputeCapability", device))
    card["ecc"] = _maybe(lambda: library.pair("nvmlDeviceGetEccMode", device))
    card["uncorrected"] = _maybe(lambda: _uncorrected(library, device))
    mig = _maybe(lambda: library.pair("nvmlDeviceGetMigMode", device))
    if mig is not None and mig[0] == MIG_ENABLED:
        card["slices"] = _slices(library, device)
    card["processes"] = _maybe(lambda: _processes(library, device)) or []
    return card


def _maybe(ask: Callable[[], Any]) -> Any:
    """What `ask` gives; None where the card or the driver cannot say, which is no fault."""
    try:
        return ask()
    except Failed:
        return None


def _uncorrected(library: _Library, device: c_void_p) -> int:
    count = c_ulonglong()
    library.call("nvmlDeviceGetTotalEccErrors", device, c_uint(UNCORRECTED), c_uint(SINCE_BOOT), byref(count))
    return count.value


def _slices(library: _Library, device: c_void_p) -> list[int]:
    """Memory of every MIG slice that exists, bytes."""
    found = []
    for index in range(_maybe(lambda: library.number("nvmlDeviceGetMaxMigDeviceCount", device)) or 0):
        part, memory = c_void_p(), _Memory()
        try:
            library.call("nvmlDeviceGetMigDeviceHandleByIndex", device, c_uint(index), byref(part))
            library.call("nvmlDeviceGetMemoryInfo", part, byref(memory))
        except Failed:
            continue  # no slice at this index
        found.append(memory.total)
    return found


def _processes(library: _Library, device: c_void_p) -> list[dict[str, int | None]]:
    """Who computes on the card: process ids as the kernel of this box counts them, and bytes."""
    room = 64
    while True:
        array, count = (_Process * room)(), c_uint(room)
        try:
            _ask_processes(library, device, count, array)
            break
        except Failed as failed:
            if failed.code != INSUFFICIENT_SIZE or room >= MOST_PROCESSES:
                raise
            room *= 4
    return [
        {"pid": each.pid, "used": None if each.used == UNKNOWN_BYTES else each.used}
        for each in array[: count.value]
    ]


def _ask_processes(library: _Library, device: c_void_p, count: c_uint, array: Any) -> None:
    arguments = (device, byref(count), ctypes.cast(array, POINTER(_Process)))
    try:
        library.call("nvmlDeviceGetComputeRunningProcesses_v3", *arguments)
    except Failed as failed:
        if failed.code != FUNCTION_NOT_FOUND:
            raise
        library.call("nvmlDeviceGetComputeRunningProcesses_v2", *arguments)


if __name__ == "__main__":
    json.dump(look(), sys.stdout)
