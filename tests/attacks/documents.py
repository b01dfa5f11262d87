"""contents.json as a whole: no JSON, JSON that readers take differently, too much, contradictions in it."""

from typing import Any

from tests.attacks.case import Attack, Change, malformed
from tests.attacks.contents import NAME, Forge, edited, not_valid, on_file, raw


def on_document(**values: Any) -> Change:
    """Fields of the whole document are told otherwise."""
    return edited(lambda document: document.update(values))


def volumes(*told: Any) -> Change:
    """The list of volumes is another one."""
    return on_document(volumes=list(told))


def volume(name: str = "payload.000.tar", size: Any = 2_097_152) -> dict[str, Any]:
    return {"name": name, "size": size}


def second_path(path: str) -> Change:
    """The second file has a path that meets the first one's."""
    return edited(lambda document: document["files"][1].update(path=path))


def many(count: int, line: str) -> Forge:
    """As many files, each a line, in what would be the honest document."""

    def forge(data: bytes) -> bytes:
        head, _, tail = data.partition(b'"files": [')
        return head + b'"files": [' + ",".join(line % i for i in range(count)).encode() + b"," + tail

    return forge


SHORT_FILE = (
    '{"path":"models/%d","kind":"model","component":"","licence":"","size":0,"sha256":"'
    + "0" * 64
    + '","mode":"0644",'
    '"parts":[]}'
)
ZEROS = "0" * 64
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""SHA-256 of nothing (FIPS 180-4)."""
NO_JSON = "it is not JSON: "

TEXTS: dict[str, tuple[Forge, str]] = {
    "empty": (lambda data: b"", NO_JSON + "…"),
    "cut off": (lambda data: data[:-20], NO_JSON + "…"),
    "two documents": (lambda data: data + data, NO_JSON + "…"),
    "followed by more": (lambda data: data + b"x", NO_JSON + "…"),
    "followed by a NUL": (lambda data: data + b"\0", NO_JSON + "…"),
    "with a remark": (lambda data: b"// ours\n" + data, NO_JSON + "…"),
    "with single quotes": (lambda data: data.replace(b'"', b"'"), NO_JSON + "…"),
    "with a comma too many": (lambda data: data.replace(b"]}\n", b"],}\n"), NO_JSON + "…"),
    "with a number that starts with 0": (
        lambda data: data.replace(b'"size": 700', b'"size": 0700'),
        NO_JSON + "…",
    ),
    "with a hexadecimal number": (lambda data: data.replace(b'"size": 700', b'"size": 0x2bc'), NO_JSON + "…"),
    "with a number of 5,000 digits": (
        lambda data: data.replace(b'"size": 700', b'"size": 7' + b"0" * 5_000),
        NO_JSON + "…",
    ),
    "with a byte order mark": (lambda data: b"\xef\xbb\xbf" + data, NO_JSON + "…"),
    "in UTF-16": (lambda data: data.decode().encode("utf-16"), NO_JSON + "…"),
    "with a letter that is not ASCII": (
        lambda data: data.replace(b'"test"', '"tést"'.encode(), 1),
        NO_JSON + "…",
    ),
    "with bytes that are no UTF-8": (lambda data: data.replace(b'"test"', b'"t\xffst"', 1), NO_JSON + "…"),
    "with overlong UTF-8": (lambda data: data.replace(b'"test"', b'"\xc0\xaf"', 1), NO_JSON + "…"),
    "with a bare line end in a text": (lambda data: data.replace(b'"test"', b'"te\nst"', 1), NO_JSON + "…"),
    "with a key twice": (
        lambda data: data.replace(b'"format"', b'"format": "islet-contents-1", "format"', 1),
        NO_JSON + "'format' stands twice",
    ),
    "with a file's key twice": (
        lambda data: data.replace(b'"path": "models', b'"path": "models/x", "path": "models', 1),
        NO_JSON + "'path' stands twice",
    ),
    "with a key twice, once escaped": (
        lambda data: data.replace(b'"path": "models', b'"p\\u0061th": "models/x", "path": "models', 1),
        NO_JSON + "'path' stands twice",
    ),
    "nested 100,000 deep": (lambda data: b"[" * 100_000 + b"]" * 100_000, NO_JSON + "…"),
    "nested 100,000 deep in a field": (
        lambda data: data.replace(
            b'"requires": []', b'"requires": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000
        ),
        NO_JSON + "…",
    ),
    "a list": (lambda data: b"[]", "the document is not valid"),
    "a number": (lambda data: b"1", "the document is not valid"),
    "a text": (lambda data: b'"islet-contents-1"', "the document is not valid"),
    "null": (lambda data: b"null", "the document is not valid"),
    "NaN": (lambda data: b"NaN", "the document is not valid"),
    "an empty object": (lambda data: b"{}", "format is not valid"),
    "of another format": (lambda data: data.replace(b"contents-1", b"contents-2"), "format is not valid"),
    "with a size that is NaN": (
        lambda data: data.replace(b'"size": 700', b'"size": NaN'),
        "files[0].size is not valid",
    ),
    "with a size that is infinite": (
        lambda data: data.replace(b'"size": 700', b'"size": -Infinity'),
        "files[0].size is not valid",
    ),
    "with a size of 7e2": (
        lambda data: data.replace(b'"size": 700', b'"size": 7e2'),
        "files[0].size is not valid",
    ),
    "with a size of 1e999": (
        lambda data: data.replace(b'"size": 700', b'"size": 1e999'),
        "files[0].size is not valid",
    ),
    "with a lone surrogate": (
        lambda data: data.replace(b'"models/islet/tiny/config.json"', b'"models/\\ud800"'),
        "files[0].path is not valid",
    ),
    "with an escaped NUL": (
        lambda data: data.replace(b"tiny/config.json", b"tiny/config.json\\u0000"),
        "files[0].path is not valid",
    ),
    "with an escaped slash that leads out": (
        lambda data: data.replace(b"tiny/config.json", b"tiny\\/..\\/..\\/..\\/x"),
        "files[0].path is not valid",
    ),
    "of a million files": (many(1_000_000, SHORT_FILE), "it is longer than 16000000 bytes"),
    "of 100 MB of blanks": (lambda data: data + b" " * 100_000_000, "it is longer than 16000000 bytes"),
    "of 50,000 files that a delta leaves out": (many(50_000, SHORT_FILE), "requires is not valid"),
    "of 200,000 parts": (
        lambda data: data.replace(
            b'"parts": [{"length": 700, "offset": 512, "volume": "payload.000.tar"}]',
            b'"parts": ['
            + b'{"length":0,"offset":512,"volume":"payload.000.tar"},' * 200_000
            + b'{"length":700,"offset":512,"volume":"payload.000.tar"}]',
        ),
        "files: the place of models/islet/tiny/config.json.part001 is not valid",
    ),
}

DOCUMENTS: dict[str, tuple[Change, str]] = {
    "an unknown field": (on_document(run="x"), "run"),
    "a field of other tools": (on_document(__proto__={}), "__proto__"),
    "no requires": (edited(lambda document: document.pop("requires")), "requires"),
    "no volumes": (edited(lambda document: document.pop("volumes")), "volumes"),
    "no files": (edited(lambda document: document.pop("files")), "files"),
    "files that are an object": (on_document(files={}), "files"),
    "a file that is text": (on_document(files=["models/a"]), "files[0]"),
    "a file that is nothing": (on_document(files=[None]), "files[0]"),
    "a file with an unknown field": (on_file("run", "x"), "files[0].run"),
    "a file with a link": (on_file("link", "/etc/passwd"), "files[0].link"),
    "a file with an owner": (on_file("owner", "root"), "files[0].owner"),
    "a file without a size": (edited(lambda document: document["files"][0].pop("size")), "files[0].size"),
    "a file without parts": (edited(lambda document: document["files"][0].pop("parts")), "files[0].parts"),
    "volumes that are an object": (on_document(volumes={}), "volumes"),
    "a volume that is text": (volumes("payload.000.tar"), "volumes[0]"),
    "a volume with a path": (volumes(volume("../payload.000.tar")), "volumes[0].name"),
    "a volume that is the list": (volumes(volume("SHA256SUMS")), "volumes[0].name"),
    "a volume with a line end": (volumes(volume("payload.000.tar\n")), "volumes[0].name"),
    "a volume with Arabic digits": (volumes(volume("payload.\u0660\u0660\u0660.tar")), "volumes[0].name"),
    "a volume of -1 bytes": (volumes(volume(size=-1)), "volumes[0].size"),
    "a volume without an end": (volumes(volume(size=0)), "volumes[0].size"),
    "a volume of half a byte": (volumes(volume(size=0.5)), "volumes[0].size"),
    "a volume of true bytes": (volumes(volume(size=True)), "volumes[0].size"),
    "a volume with an unknown field": (volumes(volume() | {"url": "x"}), "volumes[0].url"),
    "volumes that start at 1": (volumes(volume("payload.001.tar"), volume("payload.002.tar")), "volumes"),
    "volumes in another order": (volumes(volume("payload.001.tar"), volume()), "volumes"),
    "a volume twice": (volumes(volume(), volume()), "volumes"),
    "no volume for its files": (
        volumes(),
        "files: models/islet/tiny/config.json, whose volume is not listed,",
    ),
    "a volume that is longer than its members": (
        edited(lambda document: document["volumes"][0].update(size=document["volumes"][0]["size"] + 512)),
        "volumes: the size of payload.000.tar",
    ),
    "a volume of 2^64 bytes more": (
        edited(lambda document: document["volumes"][0].update(size=document["volumes"][0]["size"] + 2**64)),
        "volumes: the size of payload.000.tar",
    ),
    "a path twice": (second_path("models/islet/tiny/config.json"), "files: a path that stands twice"),
    "a path twice by case": (second_path("models/islet/tiny/CONFIG.json"), "files: a path that stands twice"),
    "a path twice by a folder's case": (
        second_path("models/ISLET/tiny/config.json"),
        "files: a path that stands twice",
    ),
    "a file below a file": (
        second_path("models/islet/tiny/config.json/x"),
        "files: models/islet/tiny/config.json/x, which needs a folder where a file stands,",
    ),
    "a file where a folder must be": (
        second_path("models/islet"),
        "files: models/islet/tiny/config.json, which needs a folder where a file stands,",
    ),
    "a file where a folder must be, by case": (
        second_path("models/Islet/TINY"),
        "files: models/islet/tiny/config.json, which needs a folder where a file stands,",
    ),
    "two files in one place": (
        edited(
            lambda document: (
                document["files"][1].update(parts=[], size=0)
                or document["files"].append(document["files"][0] | {"path": "models/z"})
            )
        ),
        "files: the place of models/z",
    ),
    "requires that is no hash": (on_document(requires=["x"]), "requires[0]"),
    "requires that is a path": (on_document(requires=["../" + "0" * 61]), "requires[0]"),
    "requires that is a number": (on_document(requires=[0]), "requires[0]"),
    "requires that is carried": (
        edited(lambda document: document.update(requires=[document["files"][0]["sha256"]])),
        "files: models/islet/tiny/config.json, which is both carried and required,",
    ),
    "a file left out that nothing requires": (
        edited(
            lambda document: document["files"].append(
                document["files"][0] | {"path": "models/z", "sha256": ZEROS, "parts": []}
            )
        ),
        "requires",
    ),
    "one hash of two sizes": (
        edited(
            lambda document: (
                document.update(requires=[ZEROS]),
                document["files"].append(
                    document["files"][0] | {"path": "models/y", "sha256": ZEROS, "parts": []}
                ),
                document["files"].append(
                    document["files"][0] | {"path": "models/z", "sha256": ZEROS, "parts": [], "size": 1}
                ),
            )
        ),
        "files: the size of models/y",
    ),
}
"""What the whole may not say, and the field that is named."""

OTHERS: dict[str, Attack] = {
    "another hash for an empty file": Attack(
        raw(lambda data: data.replace(EMPTY.encode(), ZEROS.encode())),
        *malformed(NAME, "the SHA-256 of wheels/empty-1.0-py3-none-any.whl is not that of its bytes"),
    ),
    "another hash for a file": Attack(
        on_file("sha256", ZEROS),
        *malformed(NAME, "the SHA-256 of models/islet/tiny/config.json is not that of its bytes"),
    ),
    "one volume where the list has two": Attack(
        edited(
            lambda document: document.update(
                volumes=[{"name": "payload.000.tar", "size": 512 + 1024 + 1024}],
                files=[document["files"][0]],
            )
        ),
        *malformed(NAME, "its volumes are not those of SHA256SUMS"),
    ),
    "requires without a file, in the lines of no delta": Attack(
        on_document(requires=[ZEROS]),
        *malformed(NAME, "a delta's must be written line by line, as islet-bundle does"),
    ),
    "a delta's lines in another form": Attack(
        edited(
            lambda document: (
                document.update(requires=[ZEROS]),
                document["files"].append(
                    document["files"][0] | {"path": "models/z", "sha256": ZEROS, "parts": []}
                ),
            )
        ),
        *malformed(NAME, "a delta's must be written line by line, as islet-bundle does"),
    ),
    "a mode that the header does not have": Attack(
        on_file("mode", "0755"),
        3,
        "payload.000.tar and contents.json contradict each other.",
        "a tar header is not the one listed",
    ),
    "a name that the header does not have": Attack(
        on_file("path", "models/islet/tiny/other.json"),
        3,
        "payload.000.tar and contents.json contradict each other.",
        "a tar header is not the one listed",
    ),
}


def _all() -> dict[str, Attack]:
    found = {
        f"contents with {how}": Attack(change, *not_valid(where))
        for how, (change, where) in DOCUMENTS.items()
    }
    for how, (forge, why) in TEXTS.items():
        found[f"contents.json is {how}"] = Attack(raw(forge), *malformed(NAME, why))
    return found


ATTACKS = _all() | OTHERS
