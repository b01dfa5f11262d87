"""contents.json as a holder of the release key could write it: listed, signed, hostile.

The shell never opens it but for lines of a delta; the appliance does, and whatever it says is data: a path
is a name below the release's folder, an offset a place in a volume that was hashed. The families are those of
archive attacks (absolute, `..`, links, collisions, sizes), for there is no archive whose parser could be hit.
"""

import functools
import json
from collections.abc import Callable
from typing import Any

from tests.attacks.case import Attack, Change, malformed
from tests.bundles import Workshop

NAME = "contents.json"
CONFIG = 0
"""Place of models/islet/tiny/config.json among the files: the smaller model file, in the first volume."""
Document = dict[str, Any]
Forge = Callable[[bytes], bytes]


def raw(edit: Forge) -> Change:
    """contents.json is other bytes, listed and signed."""

    def change(shop: Workshop) -> None:
        path = shop.bundle / NAME
        before = path.read_bytes()
        path.write_bytes(edit(before))
        assert path.read_bytes() != before
        shop.list_and_sign()

    return change


def edited(edit: Callable[[Document], object]) -> Change:
    """contents.json is another document, listed and signed."""

    def rewrite(data: bytes) -> bytes:
        document = json.loads(data)
        edit(document)
        return json.dumps(document).encode()

    return raw(rewrite)


def on_file(field: str, value: object) -> Change:
    """A field of one file has another value."""
    return edited(functools.partial(_set, field, value))


def _set(field: str, value: object, document: Document) -> None:
    document["files"][CONFIG][field] = value


def on_part(**values: object) -> Change:
    """The one part of a file is told otherwise."""
    return edited(lambda document: document["files"][CONFIG]["parts"][0].update(values))


def not_valid(where: str) -> tuple[int, str, str]:
    """The answer that names the field."""
    return malformed(NAME, f"{where} is not valid")


PATHS = {
    "absolute": "/etc/passwd",
    "absolute by two slashes": "//etc/passwd",
    "upward": "../../etc/passwd",
    "upward in the middle": "models/../../../etc/passwd",
    "upward at its end": "models/islet/..",
    "upward and back": "models/../models/islet/tiny/config.json",
    "with a step that is a dot": "models/./config.json",
    "with an empty step": "models//config.json",
    "with a slash at its end": "models/islet/",
    "a home": "~root/.profile",
    "a folder alone": "models",
    "empty": "",
    "a dot": ".",
    "Windows' upward": "models\\..\\..\\passwd",
    "with a backslash": "models/a\\b",
    "a Windows drive": "C:/Windows/x",
    "a Windows share": "\\\\host\\share",
    "a Windows stream": "models/a:stream",
    "with a NUL": "models/a\0.txt",
    "with a NUL after a good name": "models/islet/tiny/config.json\0",
    "with a line end": "models/a\nb",
    "with a carriage return": "models/a\rb",
    "with a tab": "models/a\tb",
    "with an escape": "models/\x1b[2Ja",
    "with a bell": "models/\x07a",
    "with a DEL": "models/a\x7f",
    "with a blank": "models/a b",
    "with a blank at its end": "models/a ",
    "with a dot at its end": "models/a.",
    "with dots at its end": "models/a...",
    "hidden": "models/.hidden",
    "in a hidden folder": "models/.git/hooks/post-checkout",
    "an option": "models/-rf",
    "with a quote": "models/a'b",
    "with a dollar": "models/$HOME",
    "with a star": "models/*",
    "with a semicolon": "models/a;reboot",
    "composed (NFC)": "models/caf\u00e9",
    "decomposed (NFD)": "models/cafe\u0301",
    "with a look-alike letter": "models/\u0441onfig.json",
    "with wide letters": "models/\uff43onfig",
    "with a slash that is none": "models\u2215..\u2215etc",
    "with a division slash": "models/\u2044etc",
    "with a two-dot leader": "models/\u2025/etc",
    "with a zero-width blank": "models/a\u200bb",
    "turned right to left": "models/\u202egpj.exe",
    "with a byte order mark": "\ufeffmodels/a",
    "in Chinese": "models/模型",
    "with a lone surrogate": "models/\ud800",
    "of 251 characters": "models/" + "a/" * 121 + "aa",
    "of a step of 201 characters": "models/" + "x" * 201,
    "of 100,000 characters": "models/" + "x" * 100_000,
    "of 10,000 steps": "models/" + "a/" * 10_000 + "b",
    "that no tar header holds": "models/" + "x" * 120,
    "in another kind's folder": "wheels/config.json",
    "the site's own state": "trust/root",
    "the release's own mark": "installed.json",
    "the switch": "current",
    "in the runtime": "runtime/bin/python",
    "in the runtime, upward": "models/../runtime/bin/python",
    "a folder by another case": "Models/islet/config.json",
    "percent-encoded": "models/%2e%2e/%2e%2e/passwd",
    "overlong UTF-8, as it would be read": "models/\xc0\xae\xc0\xae/x",
}
"""Paths that may not be. What Windows reserves (CON, NUL, COM1) is a plain name to every box there is."""

VALUES: dict[str, list[Any]] = {
    "path": [None, 1, ["models/a"], {"a": 1}, True],
    "kind": ["runtime", "Model", "models", "", None, 1, ["model"]],
    "size": [-1, 701, 699, 0, 10**30, 2**63, 2**64 + 700, 700.0, "700", True, None, [700]],
    "sha256": ["0" * 63, "0" * 65, "A" * 64, "", None, "../" + "0" * 61, "0" * 63 + "\n", "g" * 64, 0],
    "mode": ["4755", "2755", "1777", "0777", "0666", "0664", "0600", "644", "00644", "", 420, None, "0o755"],
    "component": [None, 1, ["x"]],
    "licence": [None, 1, {"id": "MIT"}],
    "parts": [None, {}, "payload.000.tar", 0],
}
"""Values that may not be, by field of a file."""

PARTS: dict[str, tuple[dict[str, Any], str]] = {
    "a volume that is not there": (
        {"volume": "payload.999.tar"},
        "files: models/islet/tiny/config.json, whose volume is not listed,",
    ),
    "a volume outside": (
        {"volume": "../../etc/passwd"},
        "files: models/islet/tiny/config.json, whose volume is not listed,",
    ),
    "the runtime as its volume": (
        {"volume": "runtime.tar.gz"},
        "files: models/islet/tiny/config.json, whose volume is not listed,",
    ),
    "a volume that is no text": ({"volume": 0}, "files[0].parts[0].volume"),
    "an offset of 0": ({"offset": 0}, "files[0].parts[0].offset"),
    "an offset below 0": ({"offset": -512}, "files[0].parts[0].offset"),
    "an offset of -2^63": ({"offset": -(2**63)}, "files[0].parts[0].offset"),
    "an offset that is no block's": ({"offset": 513}, "files[0].parts[0].offset"),
    "an offset that is a fraction": ({"offset": 512.0}, "files[0].parts[0].offset"),
    "an offset that is text": ({"offset": "512"}, "files[0].parts[0].offset"),
    "an offset that is a truth value": ({"offset": True}, "files[0].parts[0].offset"),
    "an offset of nothing": ({"offset": None}, "files[0].parts[0].offset"),
    "an offset behind a gap": ({"offset": 1024}, "files: the place of models/islet/tiny/config.json"),
    "an offset in another file": ({"offset": 2048}, "files: the place of models/islet/tiny/config.json"),
    "an offset after the end": (
        {"offset": 512 * 10**9},
        "files: the place of models/islet/tiny/model.safetensors.part000",
    ),
    "an offset of 2^64 + 512": (
        {"offset": 2**64 + 512},
        "files: the place of models/islet/tiny/model.safetensors.part000",
    ),
    "a length below 0": ({"length": -700}, "files[0].parts[0].length"),
    "a length of one too many": ({"length": 701}, "files[0].size"),
    "a length of one too few": ({"length": 699}, "files[0].size"),
    "a length beyond what a header can say": ({"length": 8 * 1024**3}, "files[0].parts[0].length"),
    "a length of 2^64": ({"length": 2**64}, "files[0].parts[0].length"),
    "a length that is a fraction": ({"length": 700.5}, "files[0].parts[0].length"),
    "a length that is text": ({"length": "700"}, "files[0].parts[0].length"),
    "a field more": ({"skip": 0}, "files[0].parts[0].skip"),
}
"""Where a file's bytes may not lie, and the field that is named."""


def _all() -> dict[str, Attack]:
    found = {
        f"a path {how}": Attack(on_file("path", path), *not_valid("files[0].path"))
        for how, path in PATHS.items()
    }
    for field, values in VALUES.items():
        for value in values:
            found[f"the {field} {value!r}"] = Attack(on_file(field, value), *not_valid(f"files[0].{field}"))
    for how, (part, where) in PARTS.items():
        found[f"a part with {how}"] = Attack(on_part(**part), *not_valid(where))
    return found


ATTACKS = _all()
