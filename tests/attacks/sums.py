"""SHA256SUMS as a holder of the release key could write it: signed, and against its grammar."""

from collections.abc import Callable

from tests.attacks.case import CUT_OFF, NO_TEXT, Attack, Change, malformed, missing, not_plain
from tests.bundles import WHEEL, Workshop

NAME = "SHA256SUMS"
ZEROS = "0" * 64


def edited(edit: Callable[[bytes], bytes]) -> Change:
    """The list is another one, and validly signed."""

    def change(shop: Workshop) -> None:
        sums = shop.bundle / NAME
        before = sums.read_bytes()
        sums.write_bytes(edit(before))
        assert sums.read_bytes() != before
        shop.resign()

    return change


def replaced(old: str, new: str) -> Change:
    return edited(lambda data: data.replace(old.encode(), new.encode(), 1))


def line(number: int) -> tuple[int, str, str]:
    """The answer for a line that is none."""
    return malformed(NAME, f"line {number} must be a SHA-256, two spaces and a plain name")


def with_line(text: str, place: int) -> Change:
    """One line more, as the list's line `place`."""

    def edit(data: bytes) -> bytes:
        lines = data.split(b"\n")
        return b"\n".join([*lines[: place - 1], text.encode(), *lines[place - 1 :]])

    return edited(edit)


def _names() -> dict[str, Attack]:
    """Names that are not plain, in the list's first line."""
    names = {
        "leads outside": "../payload.000.tar",
        "is absolute": "/etc/passwd",
        "has a folder": "sub/payload.000.tar",
        "has a backslash": "sub\\payload.000.tar",
        "is a drive": "C:payload.000.tar",
        "starts with a dot": ".hidden",
        "is a dot": ".",
        "is two dots": "..",
        "starts with a dash": "-rf",
        "starts with an underscore": "_x",
        "has a blank": "a b",
        "ends with a blank": "RELEASE ",
        "has a star before it": "*RELEASE",
        "has a quote": "a'b",
        "has a dollar": "$HOME",
        "is a pattern": "payload.*",
        "has a semicolon": "a;b",
        "has 101 characters": "x" * 101,
        "is empty": "",
        "is the list's own": "SHA256SUMS",
        "is a signature's": "SHA256SUMS.sig.0123456789abcdef",
        "is a root's": "root.1",
        "is a later root's": "root.2.sig.0123456789abcdef",
    }
    return {
        f"a listed name {how}": Attack(with_line(f"{ZEROS}  {name}", 1), *line(1))
        for how, name in names.items()
    }


def _lines() -> dict[str, Attack]:
    """Lines that have another form, as the list's second."""
    lines = {
        "one space": f"{ZEROS} x",
        "three spaces": f"{ZEROS}   x",
        "a hash in capitals": f"{'A' * 64}  x",
        "63 digits": f"{'0' * 63}  x",
        "65 digits": f"{'0' * 65}  x",
        "a SHA-1": f"{'0' * 40}  x",
        "a SHA-512": f"{'0' * 128}  x",
        "the mark of binary files": f"{ZEROS} *x",
        "the mark of escaped names": f"\\{ZEROS}  x",
        "BSD's form": f"SHA256 (x) = {ZEROS}",
        "a remark": "# all is well",
        "nothing in it": "",
        "a blank before it": f" {ZEROS}  x",
        "a blank after it": f"{ZEROS}  x ",
    }
    return {
        f"a line of the list has {how}": Attack(with_line(text, 2), *line(2)) for how, text in lines.items()
    }


def _bytes() -> dict[str, Attack]:
    """Bytes that are no text."""
    texts: dict[str, Callable[[bytes], bytes]] = {
        "Windows line ends": lambda data: data.replace(b"\n", b"\r\n"),
        "old Macintosh line ends": lambda data: data.replace(b"\n", b"\r"),
        "a byte order mark": lambda data: b"\xef\xbb\xbf" + data,
        "UTF-16": lambda data: data.decode().encode("utf-16"),
        "a tab": lambda data: data.replace(b"  RELEASE", b"\t RELEASE"),
        "a NUL": lambda data: data.replace(b"RELEASE\n", b"RELEASE\0\n"),
        "a NUL at its end": lambda data: data + b"\0",
        "a form feed": lambda data: data.replace(b"RELEASE\n", b"RELEASE\f\n"),
        "an escape": lambda data: data.replace(b"RELEASE\n", b"\x1b[1ARELEASE\n"),
        "a DEL": lambda data: data.replace(b"RELEASE\n", b"RELEAS\x7fE\n"),
        "an umlaut": lambda data: data.replace(b"RELEASE\n", "RELEASÉ\n".encode()),
        "a byte that is no UTF-8": lambda data: data.replace(b"RELEASE\n", b"RELEASE\xff\n"),
    }
    return {
        f"the list has {how}": Attack(edited(edit), *malformed(NAME, NO_TEXT)) for how, edit in texts.items()
    }


def _required() -> dict[str, Attack]:
    names = ("install.sh", "RELEASE", "contents.json", "runtime.tar.gz")
    return {
        f"the list does not have {name}": Attack(
            replaced(f"  {name}\n", f"  not-{name}\n"), *malformed(NAME, f"it does not list {name}")
        )
        for name in names
    }


ATTACKS = {
    **_names(),
    **_lines(),
    **_bytes(),
    **_required(),
    "the list does not have the appliance": Attack(
        replaced(f"  {WHEEL}\n", "  islet-0.1.0.zip\n"), *malformed(NAME, "it must list one wheel of islet")
    ),
    "the list has two appliances": Attack(
        with_line(f"{ZEROS}  islet-9.9-py3-none-any.whl", 1),
        *malformed(NAME, "it must list one wheel of islet"),
    ),
    "the list has a name twice": Attack(
        with_line(f"{ZEROS}  RELEASE", 1), *malformed(NAME, "a name stands in it twice")
    ),
    "the list has a line twice": Attack(
        edited(lambda data: data + data.splitlines(keepends=True)[0]),
        *malformed(NAME, "a name stands in it twice"),
    ),
    "the list has a name twice by case": Attack(
        with_line(f"{ZEROS}  PAYLOAD.000.tar", 1), *malformed(NAME, "a name stands in it twice")
    ),
    "the list has a name twice by a Turkish case": Attack(
        edited(lambda data: data + f"{ZEROS}  install.SH\n".encode()),
        *malformed(NAME, "a name stands in it twice"),
        environment={"LANG": "tr_TR.UTF-8"},
    ),
    "the list has no last line end": Attack(edited(lambda data: data[:-1]), *malformed(NAME, CUT_OFF)),
    "the list is empty and signed": Attack(edited(lambda data: b""), *malformed(NAME, CUT_OFF)),
    "the list is one line end": Attack(edited(lambda data: b"\n"), *line(1)),
    "the list is longer than its cap": Attack(
        edited(lambda data: data + b"x" * 1_000_000), *malformed(NAME, "it is longer than 1000000 bytes")
    ),
    "the list has a line of 900,000 bytes": Attack(
        edited(lambda data: data + b"0" * 64 + b"  " + b"x" * 900_000 + b"\n"), *line(8)
    ),
    "the list has 10,000 files that are not there": Attack(
        edited(lambda data: data + b"".join(b"%064d  a%05d\n" % (0, i) for i in range(10_000))),
        *missing("a00000"),
    ),
    "the list names a file that is a link": Attack(
        lambda shop: ((shop.bundle / "x").symlink_to("RELEASE"), with_line(f"{ZEROS}  x", 1)(shop)),
        *not_plain("x"),
    ),
    "the list names a file that is not there": Attack(with_line(f"{ZEROS}  x", 1), *missing("x")),
}
