"""RELEASE as a holder of the release key could write it: signed, and against its grammar or the site."""

from collections.abc import Callable

from tests.attacks.case import CUT_OFF, NO_TEXT, Attack, Change, invalid, malformed
from tests.bundles import PAST, Workshop

NAME = "RELEASE"
KEYS = ("format", "product", "number", "created", "expires", "root-version", "disk-bytes")


def edited(edit: Callable[[bytes], bytes]) -> Change:
    """RELEASE is another one, listed and signed."""

    def change(shop: Workshop) -> None:
        path = shop.bundle / NAME
        before = path.read_bytes()
        path.write_bytes(edit(before))
        assert path.read_bytes() != before
        shop.list_and_sign()

    return change


def fields(**changes: object) -> Change:
    """RELEASE says something else, in its grammar."""

    def change(shop: Workshop) -> None:
        shop.release(**changes)
        shop.list_and_sign()

    return change


def line(key: str, text: str) -> Change:
    """The whole line of `key` is `text`."""
    place = KEYS.index(key)

    def edit(data: bytes) -> bytes:
        lines = data.split(b"\n")
        return b"\n".join([*lines[:place], text.encode(), *lines[place + 1 :]])

    return edited(edit)


def _values() -> dict[str, Attack]:
    """Values against the grammar of their field."""
    values = {
        "format": ("islet-release-2", "islet-release-10", "ISLET-RELEASE-1", "islet-root-1", ""),
        "product": ("Islet", "-islet", "x" * 65, "islet test", "islet/test", "..", "", "islet_test"),
        "number": (
            "0",
            "01",
            "-1",
            "+2",
            "1.0",
            "1e3",
            "0x2",
            "1000000000",
            "99999999999999999999",
            "",
            "2 ",
            "two",
        ),
        "created": (
            "2026-11-01",
            "2026-11-01T00:00:00",
            "2026-11-01 00:00:00Z",
            "2026-11-01T00:00:00+00:00",
            "now",
        ),
        "expires": ("never", "2099-01-01T00:00:00z", "20990101T000000Z", "99999-01-01T00:00:00Z", ""),
        "root-version": ("0", "01", "10000", "-1", ""),
        "disk-bytes": ("-1", "00", "1000000000000000", "1.0", "1 GB", "", "0x10"),
    }
    return {
        f"RELEASE has the {key} {value[:30]!r}": Attack(
            line(key, f"{key}: {value}"), *invalid(NAME, KEYS.index(key) + 1, key)
        )
        for key, bad in values.items()
        for value in bad
    }


def _bytes() -> dict[str, Attack]:
    """Bytes that are no text."""
    texts: dict[str, Callable[[bytes], bytes]] = {
        "Windows line ends": lambda data: data.replace(b"\n", b"\r\n"),
        "a byte order mark": lambda data: b"\xef\xbb\xbf" + data,
        "a NUL": lambda data: data.replace(b"islet-test", b"islet-test\0"),
        "a tab": lambda data: data.replace(b"number: 2", b"number:\t2"),
        "Arabic digits": lambda data: data.replace(b"number: 2", "number: ٢".encode()),
        "an escape": lambda data: data.replace(b"islet-test", b"islet-test\x1b[0m"),
        "a product in Chinese": lambda data: data.replace(b"islet-test", "医院".encode()),
    }
    return {
        f"RELEASE has {how}": Attack(edited(edit), *malformed(NAME, NO_TEXT)) for how, edit in texts.items()
    }


def _swapped(data: bytes) -> bytes:
    lines = data.split(b"\n")
    lines[3], lines[4] = lines[4], lines[3]
    return b"\n".join(lines)


EXPIRED = (3, "Release 2 has expired.", f"it was good until {PAST}")

ATTACKS = {
    **_values(),
    **_bytes(),
    "RELEASE is empty and signed": Attack(edited(lambda data: b""), *malformed(NAME, CUT_OFF)),
    "RELEASE has no last line end": Attack(edited(lambda data: data[:-1]), *malformed(NAME, CUT_OFF)),
    "RELEASE lacks its first line": Attack(
        edited(lambda data: data.split(b"\n", 1)[1]), *invalid(NAME, 1, "format")
    ),
    "RELEASE lacks its last line": Attack(
        edited(lambda data: data[: data.index(b"disk-bytes")]), *invalid(NAME, 7, "disk-bytes")
    ),
    "RELEASE has a line too many": Attack(
        edited(lambda data: data + b"note: x\n"), *malformed(NAME, "it has 8 lines and must have 7")
    ),
    "RELEASE has an empty line at its end": Attack(
        edited(lambda data: data + b"\n"), *malformed(NAME, "it has 8 lines and must have 7")
    ),
    "RELEASE has a second number after the last line": Attack(
        edited(lambda data: data + b"number: 999\n"), *malformed(NAME, "it has 8 lines and must have 7")
    ),
    "RELEASE has an empty line at its start": Attack(
        edited(lambda data: b"\n" + data), *invalid(NAME, 1, "format")
    ),
    "RELEASE has two lines in another order": Attack(edited(_swapped), *invalid(NAME, 4, "created")),
    "RELEASE has a line twice": Attack(
        edited(lambda data: data.replace(b"number: 2\n", b"number: 2\nnumber: 2\n")),
        *invalid(NAME, 4, "created"),
    ),
    "RELEASE has a key in capitals": Attack(line("number", "Number: 2"), *invalid(NAME, 3, "number")),
    "RELEASE has no blank after a key": Attack(line("number", "number:2"), *invalid(NAME, 3, "number")),
    "RELEASE has two blanks after a key": Attack(line("number", "number:  2"), *invalid(NAME, 3, "number")),
    "RELEASE has a blank before a key": Attack(line("number", " number: 2"), *invalid(NAME, 3, "number")),
    "RELEASE is longer than its cap": Attack(
        edited(lambda data: data + b"x" * 1_000_000), *malformed(NAME, "it is longer than 1000000 bytes")
    ),
    "RELEASE has a product of 900,000 characters": Attack(
        line("product", f"product: {'x' * 900_000}"), *invalid(NAME, 2, "product")
    ),
    "RELEASE is a root": Attack(
        lambda shop: (
            (shop.bundle / NAME).write_bytes((shop.bundle / "root.1").read_bytes()),
            shop.list_and_sign(),
        ),
        *invalid(NAME, 1, "format"),
    ),
    "an older release": Attack(
        fields(number=1), 3, "Release 1 is older than this site.", "it has had release 2", had=2
    ),
    "a much older release": Attack(
        fields(number=1),
        3,
        "Release 1 is older than this site.",
        "it has had release 999999999",
        had=999_999_999,
    ),
    "a number that is smaller as text only": Attack(
        fields(number=9), 3, "Release 9 is older than this site.", "it has had release 10", had=10
    ),
    "another list under a number that was had": Attack(
        fields(number=2, created="2026-11-02T00:00:00Z"),
        3,
        "This is another release 2.",
        "this site has had that number with another list",
        had=2,
    ),
    "another product": Attack(
        fields(product="other"), 3, "This bundle is other.", "this site runs islet-test", had=1
    ),
    "a product whose name only begins alike": Attack(
        fields(product="islet-test2"), 3, "This bundle is islet-test2.", "this site runs islet-test", had=1
    ),
    "another product with a number that was had": Attack(
        fields(product="other", number=1), 3, "This bundle is other.", "this site runs islet-test", had=2
    ),
    "an expired release": Attack(fields(expires=PAST), *EXPIRED),
    "an expired release, at a site": Attack(fields(expires=PAST), *EXPIRED, had=1),
    "a release that expires in the year 0": Attack(
        fields(expires="0000-00-00T00:00:00Z"),
        3,
        "Release 2 has expired.",
        "it was good until 0000-00-00T00:00:00Z",
    ),
    "a release that expired one second before the newest date": Attack(
        fields(expires="2030-01-01T00:00:00Z"),
        3,
        "Release 2 has expired.",
        "it was good until 2030-01-01T00:00:00Z",
        had=1,
        seen="2030-01-01T00:00:01Z",
    ),
    "an expired release, and a clock that was set back": Attack(
        fields(expires="2035-12-31T23:59:59Z"),
        3,
        "Release 2 has expired.",
        "it was good until 2035-12-31T23:59:59Z",
        had=1,
        seen="2036-01-01T00:00:00Z",
    ),
    "a release that needs a newer root": Attack(
        fields(root_version=2), 3, "This release needs root.2.", "the newest here is root.1"
    ),
    "a release that needs the last root there can be": Attack(
        fields(root_version=9999), 3, "This release needs root.9999.", "the newest here is root.1", had=1
    ),
    "a release that is older and expired: that it is older is told": Attack(
        fields(number=1, expires=PAST), 3, "Release 1 is older than this site.", "it has had release 2", had=2
    ),
}
