"""The plain text of control files: printable ASCII lines, each ended by a newline."""

import re

from appliance.bundle.refusal import malformed
from appliance.sentence import say


def read_lines(name: str, data: bytes) -> list[str]:
    """The lines of a control file, without their newlines.

    Raises: UntrustedBundle, when a byte is neither printable ASCII nor a newline, or the last
    line is not ended.
    """
    if any(byte != 0x0A and not 0x20 <= byte <= 0x7E for byte in data):
        raise malformed(name, "it holds something other than plain text")
    if not data.endswith(b"\n"):
        raise malformed(name, "its last line is cut off")
    return data.decode("ascii").split("\n")[:-1]


def read_field(name: str, lines: list[str], index: int, key: str, grammar: re.Pattern[str]) -> str:
    """The value of line `index`, which must read `key: value`.

    Raises: UntrustedBundle, naming the field that is missing or wrong.
    """
    line = lines[index] if index < len(lines) else ""
    value = line.removeprefix(f"{key}: ")
    if value == line or not grammar.fullmatch(value):
        raise malformed(name, say("line {line} must be a valid '{key}: ...'", line=index + 1, key=key))
    return value
