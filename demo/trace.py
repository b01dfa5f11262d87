"""Reading strace's record: where programs tried to connect or send to."""

import ipaddress
import re
from collections import Counter
from pathlib import Path

CALLS = "connect,sendto,sendmsg,sendmmsg"
"""System calls that can name an address: of streams, and of datagrams without a connect."""

_ADDRESS = re.compile(
    r'sa_family=AF_INET6?, .*?(?:inet_addr\("(?P<v4>[^"]+)"\)|inet_pton\(AF_INET6, "(?P<v6>[^"]+)")'
)


def connects(trace: Path) -> tuple[Counter[str], int]:
    """(addresses other than loopback that were tried, how often each; how many went to loopback)."""
    outside: Counter[str] = Counter()
    loopback = 0
    for line in trace.read_text(encoding="utf-8", errors="replace").splitlines():
        for match in _ADDRESS.finditer(line):
            address = match["v4"] or match["v6"]
            if ipaddress.ip_address(address).is_loopback:
                loopback += 1
            else:
                outside[address] += 1
    return outside, loopback
