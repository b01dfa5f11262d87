"""No network, from inside the process: settings that libraries read at import, and a recorder.

The namespace around the process is the wall; this is what Python can see and say. Call
`go_offline` before any library that can talk to a network is imported. Standard library only.
"""

import ipaddress
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # Spinning barriers on a busy machine make steps several times slower.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Collective communication stays inside the box.
    "GLOO_SOCKET_IFNAME": "lo",
    "NCCL_SOCKET_IFNAME": "lo",
}
"""Environment that keeps the libraries off the network; read by them once, at import."""

TALKERS = ("huggingface_hub", "transformers", "datasets")
"""Libraries that must not be imported before the settings stand."""

QUIET_LOGGERS = ("bitsandbytes.backends.cpu.ops",)
"""Loggers that complain of a kernel that they may not fetch; there is nothing to do about it."""

NETWORK_EVENTS = (
    "socket.connect",
    "socket.sendto",
    "socket.sendmsg",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.gethostbyaddr",
    "socket.getnameinfo",
)


@dataclass(frozen=True)
class Refusal:
    """One attempt to reach beyond this box."""

    event: str
    """The audit event's name."""
    address: str


def set_offline() -> None:
    """Set the environment; what is imported, or started, from now on stays off the network.

    Raises: RuntimeError, when a library that reads it was imported before without it.
    """
    early = [name for name in TALKERS if name in sys.modules and os.environ.get("HF_HUB_OFFLINE") != "1"]
    if early:
        raise RuntimeError(f"imported before the offline settings stood: {', '.join(early)}")
    for name, value in SETTINGS.items():
        os.environ[name] = value
    for logger in QUIET_LOGGERS:
        logging.getLogger(logger).setLevel(logging.CRITICAL)


def refuse_network(on_refusal: Callable[[Refusal], None]) -> list[Refusal]:
    """Refuse every address that is not loopback for as long as the process lives; the growing record.

    An audit hook cannot be taken off again, and sees what Python's `socket` does, nothing else.
    """
    refused: list[Refusal] = []

    def judge(event: str, args: tuple[Any, ...]) -> None:
        if event not in NETWORK_EVENTS:
            return
        address = _address(event, args)
        if address is None or is_loopback(address):
            return
        refusal = Refusal(event, address)
        refused.append(refusal)
        on_refusal(refusal)
        raise ConnectionRefusedError(f"this box has no network: {event} to {address} refused")

    sys.addaudithook(judge)
    return refused


def go_offline(on_refusal: Callable[[Refusal], None] = lambda refusal: None) -> list[Refusal]:
    """Both: the settings, and the recorder that refuses."""
    set_offline()
    return refuse_network(on_refusal)


def is_loopback(host: str) -> bool:
    """Whether `host` is this box by name or number. No name is looked up."""
    if host in ("", "localhost", "ip6-localhost"):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _address(event: str, args: tuple[Any, ...]) -> str | None:
    """The host that the event reaches for; None for a Unix socket or no host at all."""
    # What is looked up stands first, where something is sent to stands last.
    target = args[0] if event.startswith("socket.get") else args[-1]
    if isinstance(target, tuple):
        target = target[0] if target else None
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        return None
    if isinstance(target, bytes):
        target = target.decode("ascii", "replace")
    return target if isinstance(target, str) else None
