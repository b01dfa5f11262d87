"""contents.json: every file inside a bundle and where its bytes lie.

Read by strict code on the standard library, because it is read before any wheel is installed.
It is signed (through SHA256SUMS), and judged all the same: a signer's tool may be wrong.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from appliance.bundle import names
from appliance.bundle.archive import BLOCK, END, Part, has_header, padding, part_path
from appliance.bundle.refusal import malformed
from appliance.errors import UntrustedBundle
from appliance.sentence import reason, say

FORMAT = "islet-contents-1"
KINDS = ("dataset", "extra", "model", "tool", "wheel")
_FOLDER_OF = {
    "dataset": "datasets", "extra": "extras", "model": "models", "tool": "tools", "wheel": "wheels"
}  # fmt: skip
_STEP = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9._+@=-]{0,199}")


@dataclass(frozen=True)
class Entry:
    """One file."""

    path: str
    """Under the release folder, `/`-separated: `models/org/name/config.json`."""
    kind: str
    """One of KINDS; the first folder of the path is its plural."""
    component: str
    """What it belongs to: a model's name, a wheel's name and version, a tool."""
    licence: str
    """SPDX expression, or what the source says; empty when the source says nothing."""
    size: int
    """Bytes."""
    sha256: str
    mode: int
    """0o644 or 0o755."""
    parts: tuple[Part, ...]
    """In order; their lengths add up to `size`. None: a delta leaves the file out, the site has it."""


@dataclass(frozen=True)
class Volume:
    """One payload file."""

    name: str
    size: int
    """Bytes."""


@dataclass(frozen=True)
class Contents:
    """Everything inside one bundle."""

    volumes: tuple[Volume, ...]
    entries: tuple[Entry, ...]
    """Sorted by path."""
    requires: tuple[str, ...]
    """SHA-256 of the files without parts and, where it may be absent, of runtime.tar.gz; sorted; empty unless
    this is a delta."""

    @property
    def required(self) -> list[Entry]:
        """The files that a delta leaves out, because the site has them."""
        return [entry for entry in self.entries if not entry.parts]

    @property
    def requires_runtime(self) -> bool:
        """Whether the site must hold runtime.tar.gz, which the medium need not bring then."""
        return len(self.requires) > len({entry.sha256 for entry in self.required})

    def members(self, volume: str) -> list[tuple[Part, str, Entry]]:
        """The parts in one volume, by offset, each with its member name and its file."""
        return sorted(self._members.get(volume, ()), key=lambda member: member[0].offset)

    @cached_property
    def _members(self) -> dict[str, list[tuple[Part, str, Entry]]]:
        """The parts of every volume, sorted apart once: there may be a thousand volumes."""
        found: dict[str, list[tuple[Part, str, Entry]]] = {}
        for entry in self.entries:
            for index, part in enumerate(entry.parts):
                member = part, part_path(entry.path, index, len(entry.parts)), entry
                found.setdefault(part.volume, []).append(member)
        return found


def format_contents(contents: Contents) -> bytes:
    """contents.json as it is written: one file a line, sorted, ASCII."""
    lines = [json.dumps(_entry_json(entry), sort_keys=True) for entry in contents.entries]
    head = {
        "format": FORMAT,
        "requires": list(contents.requires),
        "volumes": [{"name": volume.name, "size": volume.size} for volume in contents.volumes],
    }
    return (json.dumps(head, sort_keys=True)[:-1] + ', "files": [\n' + ",\n".join(lines) + "\n]}\n").encode(
        "ascii"
    )


def parse_contents(data: bytes) -> Contents:
    """The contents that `data` states, judged.

    Raises: UntrustedBundle, naming the field: an unknown or missing field, a path that leaves the
    release folder or meets another, parts that overlap, leave gaps or do not add up.
    """
    try:
        document = json.loads(data.decode("ascii"), object_pairs_hook=_no_doubles)
    except (ValueError, RecursionError) as error:
        raise malformed(names.CONTENTS, say("it is not JSON: {error}", error=reason(error))) from None
    fields = _object(document, "", {"format": str, "requires": list, "volumes": list, "files": list})
    _expect(fields["format"] == FORMAT, "format")
    volumes = tuple(_volume(value, f"volumes[{i}]") for i, value in enumerate(fields["volumes"]))
    entries = tuple(_entry(value, f"files[{i}]") for i, value in enumerate(fields["files"]))
    for i, value in enumerate(fields["requires"]):
        _expect(isinstance(value, str) and names.SHA256.fullmatch(value) is not None, f"requires[{i}]")
    contents = Contents(volumes, entries, tuple(fields["requires"]))
    _check_paths(entries)
    _check_layout(contents)
    _check_left_out(contents, data)
    return contents


def _entry_json(entry: Entry) -> dict[str, Any]:
    return {
        "component": entry.component,
        "kind": entry.kind,
        "licence": entry.licence,
        "mode": f"{entry.mode:04o}",
        "parts": [{"length": p.length, "offset": p.offset, "volume": p.volume} for p in entry.parts],
        "path": entry.path,
        "sha256": entry.sha256,
        "size": entry.size,
    }


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        key = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(say("{name} stands twice", name=repr(key)))
    return found


def _expect(holds: bool, where: str) -> None:
    if not holds:
        raise _invalid(where)


def _invalid(where: str) -> UntrustedBundle:
    return malformed(names.CONTENTS, say("{where} is not valid", where=where))


def _object(value: Any, where: str, fields: dict[str, type]) -> dict[str, Any]:
    """`value`, which must have exactly these fields with exactly these types."""
    _expect(type(value) is dict, where or say("the document"))
    prefix = f"{where}." if where else ""
    for key in value:
        _expect(key in fields, f"{prefix}{key}")
    for key, kind in fields.items():
        _expect(key in value and type(value[key]) is kind, f"{prefix}{key}")
    return dict(value)


def _volume(value: Any, where: str) -> Volume:
    fields = _object(value, where, {"name": str, "size": int})
    _expect(names.VOLUME.fullmatch(fields["name"]) is not None, f"{where}.name")
    _expect(fields["size"] >= len(END), f"{where}.size")
    return Volume(fields["name"], fields["size"])


def _entry(value: Any, where: str) -> Entry:
    kinds = {
        "path": str,
        "kind": str,
        "component": str,
        "licence": str,
        "size": int,
        "sha256": str,
        "mode": str,
    }
    fields = _object(value, where, {**kinds, "parts": list})
    _expect(fields["kind"] in KINDS, f"{where}.kind")
    _expect(is_path(fields["path"], fields["kind"]), f"{where}.path")
    _expect(names.SHA256.fullmatch(fields["sha256"]) is not None, f"{where}.sha256")
    _expect(fields["mode"] in ("0644", "0755"), f"{where}.mode")
    parts = []
    for i, part in enumerate(fields["parts"]):
        at = f"{where}.parts[{i}]"
        got = _object(part, at, {"volume": str, "offset": int, "length": int})
        _expect(got["offset"] >= BLOCK and got["offset"] % BLOCK == 0, f"{at}.offset")
        _expect(0 <= got["length"] <= names.MEMBER_BYTES, f"{at}.length")
        _expect(has_header(part_path(fields["path"], i, len(fields["parts"]))), f"{where}.path")
        parts.append(Part(got["volume"], got["offset"], got["length"]))
    _expect(fields["size"] >= 0, f"{where}.size")
    if parts:
        _expect(sum(part.length for part in parts) == fields["size"], f"{where}.size")
    return Entry(
        path=fields["path"],
        kind=fields["kind"],
        component=fields["component"],
        licence=fields["licence"],
        size=fields["size"],
        sha256=fields["sha256"],
        mode=int(fields["mode"], 8),
        parts=tuple(parts),
    )


def is_path(path: str, kind: str) -> bool:
    """Whether `path` is a plain relative path in the folder of its kind."""
    steps = path.split("/")
    return (
        len(path) <= 250
        and len(steps) >= 2
        and steps[0] == _FOLDER_OF[kind]
        and all(_STEP.fullmatch(step) and not step.endswith(".") for step in steps)
    )


def _check_paths(entries: tuple[Entry, ...]) -> None:
    """No file twice, also by case; no file where another needs a folder."""
    seen = {entry.path.lower() for entry in entries}
    _expect(len(seen) == len(entries), say("files: a path that stands twice"))
    for entry in entries:
        for folder in _parents(entry.path.lower()):
            if folder in seen:
                raise _invalid(
                    say("files: {path}, which needs a folder where a file stands,", path=entry.path)
                )


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _check_layout(contents: Contents) -> None:
    """Every volume is exactly its members, one after the other, and the end blocks."""
    known = [volume.name for volume in contents.volumes]
    _expect(known == [f"payload.{i:03d}.tar" for i in range(len(known))], "volumes")
    for entry in contents.entries:
        for part in entry.parts:
            if part.volume not in known:
                raise _invalid(say("files: {path}, whose volume is not listed,", path=entry.path))
    for volume in contents.volumes:
        at = 0
        for part, path, _ in contents.members(volume.name):
            if part.offset != at + BLOCK:
                raise _invalid(say("files: the place of {path}", path=path))
            at = part.offset + part.length + padding(part.length)
        _expect(volume.size == at + len(END), say("volumes: the size of {volume}", volume=volume.name))


def _check_left_out(contents: Contents, data: bytes) -> None:
    """`requires` is what the files without parts are, and none of these is carried as well.

    One hash more can be that of runtime.tar.gz: whether it is, `verify.check_contents` knows.
    """
    required = set(contents.requires)
    for entry in contents.entries:
        if entry.parts and entry.sha256 in required:
            raise _invalid(say("files: {path}, which is both carried and required,", path=entry.path))
    sizes = {entry.sha256: entry.size for entry in contents.required}
    _expect(contents.requires == tuple(sorted(required)), "requires")
    _expect(required >= sizes.keys() and len(required) <= len(sizes) + 1, "requires")
    for entry in contents.required:
        if entry.size != sizes[entry.sha256]:
            raise _invalid(say("files: the size of {path}", path=entry.path))
    if contents.requires and data != format_contents(contents):
        # install.sh takes what a delta requires from the lines, without a reader of JSON.
        raise malformed(names.CONTENTS, "a delta's must be written line by line, as islet-bundle does")
