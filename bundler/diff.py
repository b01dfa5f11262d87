"""What is new, changed or gone between two releases, in words, for who approves the second."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from bundler.listing import Listed, Listing

Change = Literal["new", "changed", "removed"]
ORDER = ("appliance", "runtime", "conda", "model", "wheel", "tool", "tool source", "dataset", "extra")


@dataclass(frozen=True)
class Row:
    """One component that is not the same on both sides."""

    change: Change
    kind: str
    name: str
    words: str
    """What about it: versions from and to, files changed, the licence."""
    size: int
    """Bytes of it that the old side has nowhere; of a removed one, its bytes."""


@dataclass(frozen=True)
class Difference:
    """Everything between two listings."""

    old: str
    new: str
    rows: tuple[Row, ...]
    same: int
    """Components that are alike."""
    carry_bytes: int
    """What the new side has and the old one has not, each file once: the payload of a delta."""
    total_bytes: int
    """All of the new side, each file once."""
    removed_bytes: int
    """What only the old side has."""
    not_compared: tuple[str, ...]
    """Kinds that only one of the two sources can tell."""

    def count(self, change: str) -> int:
        """How many components are `new`, `changed` or `removed`."""
        return sum(row.change == change for row in self.rows)


def difference(old: Listing, new: Listing) -> Difference:
    """What has to be known to go from `old` to `new`, component by component."""
    common = old.kinds & new.kinds
    before, after = _components(old.files, common), _components(new.files, common)
    had = {**{f.sha256: f.size for files in before.values() for f in files}, **old.held}
    has = {f.sha256: f.size for files in after.values() for f in files}
    rows = []
    for key in sorted(before.keys() | after.keys(), key=lambda key: (ORDER.index(key[0]), key[1].lower())):
        row = _row(key, before.get(key, []), after.get(key, []), had)
        if row is not None:
            rows.append(row)
    gone = {f.sha256: f.size for files in before.values() for f in files if f.sha256 not in has}
    return Difference(
        old=old.title,
        new=new.title,
        rows=tuple(rows),
        same=len(after) - sum(row.change != "removed" for row in rows),
        carry_bytes=sum(size for sha256, size in has.items() if sha256 not in had),
        total_bytes=sum(has.values()),
        removed_bytes=sum(gone.values()),
        not_compared=tuple(kind for kind in ORDER if kind in old.kinds ^ new.kinds),
    )


def as_document(found: Difference) -> dict[str, Any]:
    """`found` for a script."""
    return {
        "format": "islet-diff-1",
        "old": found.old,
        "new": found.new,
        "components": [
            {"change": r.change, "kind": r.kind, "name": r.name, "words": r.words, "bytes": r.size}
            for r in found.rows
        ],
        "same": found.same,
        "carry-bytes": found.carry_bytes,
        "total-bytes": found.total_bytes,
        "removed-bytes": found.removed_bytes,
        "not-compared": list(found.not_compared),
    }


def _components(files: Iterable[Listed], kinds: frozenset[str]) -> dict[tuple[str, str], list[Listed]]:
    found: dict[tuple[str, str], list[Listed]] = {}
    for file in files:
        if file.kind in kinds:
            found.setdefault((file.kind, file.name), []).append(file)
    return found


def _row(key: tuple[str, str], old: list[Listed], new: list[Listed], had: dict[str, int]) -> Row | None:
    """The row of one component; None when it is the same on both sides."""
    kind, name = key
    size = sum({f.sha256: f.size for f in new if f.sha256 not in had}.values())
    if not old:
        return Row("new", kind, name, _described(new), size)
    if not new:
        return Row("removed", kind, name, _described(old), sum(f.size for f in old))
    words = _changes(old, new)
    return Row("changed", kind, name, words, size) if words else None


def _described(files: list[Listed]) -> str:
    """Version, number of files and licence of a component."""
    count = f"{len(files)} files" if len(files) > 1 else ""
    return ", ".join(
        part for part in (files[0].version, count, files[0].licence or "licence not stated") if part
    )


def _changes(old: list[Listed], new: list[Listed]) -> str:
    """What differs, in words; empty when nothing does."""
    words = []
    versions = [", ".join(sorted({f.version for f in files if f.version})) for files in (old, new)]
    if all(versions) and versions[0] != versions[1]:
        words.append(f"{versions[0]} → {versions[1]}")
    before, after = ({f.path: f.sha256 for f in files} for files in (old, new))
    changed = sum(before[path] != after[path] for path in before.keys() & after.keys())
    counts = [
        (changed, "changed"),
        (len(after.keys() - before.keys()), "new"),
        (len(before.keys() - after.keys()), "gone"),
    ]
    if before != after and (len(old) > 1 or len(new) > 1 or not words):
        words.append("files: " + ", ".join(f"{count} {what}" for count, what in counts if count))
    licences = [", ".join(sorted({f.licence or "not stated" for f in files})) for files in (old, new)]
    if licences[0] != licences[1]:
        words.append(f"licence {licences[0]} → {licences[1]}")
    return "; ".join(words)
