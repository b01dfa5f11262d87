"""For every test: no socket may leave loopback, and nobody's own settings leak in."""

import ipaddress
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.real import (  # noqa: F401  (fixtures)
    installed_site,
    real_bundle,
    small_bundle,
    small_delta,
    small_second,
    workshop,
)


def pytest_configure() -> None:
    """Signals as a terminal gives them: who started the tests may have had some ignored, for all beneath."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of two processes side by side, one takes all tests of the big bundle: it is made and installed once."""
    for item in items:
        if "real_bundle" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("real bundle"))


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Refuse to connect anywhere but loopback and socket files, so that "offline" is proved."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = address[0]
            if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
                pytest.fail(f"a test tried to connect to {host}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    yield
