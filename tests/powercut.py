"""What a disk may hold after a power cut, computed from the system calls that were made before it.

The model is the least that POSIX promises, less than any journalling file system gives:

- `fsync` of a file keeps its bytes and its mode, not its name; `fsync` of a folder keeps the names in it, not
  what they lead to; `sync` and `syncfs` keep everything;
- of what was not kept, each name and each file's bytes survive or are lost by themselves, in any combination
  and out of order: a later rename may survive an earlier one, a name may survive its bytes;
- bytes that were not kept are as at the last `fsync`, empty, or half there with zeros behind;
- one rename, seen at its target, is whole: the old file or the new one; its source may survive too.

`Recorder` notes the calls of a real run, `Disk` repeats them in memory, `Disk.states` gives what may be left.
"""

import os
import random
import shutil
import stat
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import GO, Answer
from tests.system_calls import FICLONE, Call

Left = dict[str, tuple[str, int, bytes]]
"""Path to kind, mode and bytes (of a link: its target)."""


@dataclass(eq=False)
class Node:
    """A file, folder or link: what it is now, and what of it a power cut cannot take."""

    kind: str
    mode: int
    data: bytes = b""
    names: "dict[str, Node]" = field(default_factory=dict)
    kept_mode: int | None = None
    kept_data: bytes = b""
    kept_names: "dict[str, Node]" = field(default_factory=dict)

    def keep(self) -> None:
        """What `fsync` does."""
        self.kept_mode, self.kept_data, self.kept_names = self.mode, self.data, dict(self.names)


@dataclass(frozen=True)
class Step:
    """One call that changes something, with all that is needed to do it again."""

    name: str
    paths: tuple[str, ...]
    data: bytes = b""
    offset: int = -1
    """Where the bytes go; -1: at the end."""
    number: int = 0
    """Flags of an opening, mode, or length."""
    target: str = ""
    """Where a symbolic link leads."""

    def __str__(self) -> str:
        return f"{self.name} {' '.join(self.paths)}"


class Recorder:
    """A judge that lets everything be and notes it."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def __call__(self, call: Call) -> Answer:
        """Note one call. Raises: NotImplementedError, for one that the model does not know."""
        self.steps.append(_step(call))
        return GO


def _step(call: Call) -> Step:
    given = call.arguments
    if call.name in ("write", "writev"):
        offset, appends = call.offset(given[0])
        return Step("write", call.paths, call.data(), -1 if appends else offset)
    if call.name in ("pwrite64", "pwritev"):
        return Step("write", call.paths, call.data(), given[3])
    if call.name == "copy_file_range":
        start = call.offset(given[2])[0]
        if given[3]:
            start = struct.unpack("=q", call.memory(given[3], 8))[0]
        return Step("write", call.paths, call.data(), start)
    if call.name == "sendfile":
        return Step("write", call.paths, call.data(), call.offset(given[0])[0])
    if call.name in ("open", "openat", "creat"):
        at = {"open": 1, "openat": 2, "creat": -1}[call.name]
        flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY if at < 0 else given[at]
        return Step("open", call.paths, str(given[at + 1]).encode(), number=flags)
    if call.name in ("symlink", "symlinkat"):
        return Step("symlink", call.paths, target=os.fsdecode(call.text(0)))
    if call.name in ("mkdir", "mkdirat", "chmod", "fchmod", "fchmodat", "fchmodat2"):
        at = {"mkdir": 1, "chmod": 1, "fchmod": 1}.get(call.name, 2)
        return Step(call.name[:5] if "mkdir" in call.name else "chmod", call.paths, number=given[at] & 0o7777)
    if call.name in ("ftruncate", "truncate"):
        return Step("truncate", call.paths, number=given[1])
    if call.name in ("unlink", "unlinkat", "rmdir"):
        return Step("unlink", call.paths)
    if call.name.startswith(("rename", "link")):
        return Step(call.name.rstrip("at2"), call.paths)
    if call.name in ("fsync", "fdatasync"):
        return Step("fsync", call.paths)
    if call.name in ("sync", "syncfs"):
        return Step("sync", ())
    if call.name.endswith("chown") or (call.name == "ioctl" and given[1] == FICLONE):
        return Step("nothing", call.paths)  # FICLONE is refused where the trees lie on different disks
    raise NotImplementedError(str(call))


class Disk:
    """A folder and all below it, and which of it would survive."""

    def __init__(self, top: Path) -> None:
        """Everything that is there now has long been on the disk."""
        self._top = os.path.realpath(top)
        self.root = self._load(Path(self._top))
        self.newest: tuple[Node, str] | None = None
        """Folder and name that the last call changed."""

    def _load(self, path: Path, seen: dict[int, Node] | None = None) -> Node:
        seen = {} if seen is None else seen
        facts = path.lstat()
        if facts.st_ino in seen:
            return seen[facts.st_ino]
        node = Node("folder", stat.S_IMODE(facts.st_mode))
        if stat.S_ISLNK(facts.st_mode):
            node = Node("link", 0, os.fsencode(path.readlink()))
        elif stat.S_ISREG(facts.st_mode):
            node = Node("file", stat.S_IMODE(facts.st_mode), path.read_bytes())
        else:
            node.names = {child.name: self._load(child, seen) for child in path.iterdir()}
        seen[facts.st_ino] = node
        node.keep()
        return node

    def _find(self, path: str) -> tuple[Node | None, str]:
        """The folder that holds `path`, and its name there."""
        if not path.startswith(f"{self._top}/"):
            return None, ""
        *folders, name = path[len(self._top) + 1 :].split("/")
        node = self.root
        for folder in folders:
            if folder not in node.names:
                return None, name
            node = node.names[folder]
        return node, name

    def at(self, path: str) -> Node | None:
        """What lies at an absolute path now."""
        if path == self._top:
            return self.root
        folder, name = self._find(path)
        return folder.names.get(name) if folder else None

    def do(self, step: Step) -> None:
        """Repeat one call; one that failed then fails here too, and changes nothing."""
        if step.name == "sync":
            for node in self._all(self.root, set()):
                node.keep()
        elif step.name in ("symlink", "mkdir", "open"):
            self._make(step)
        elif step.name == "unlink":
            folder, name = self._find(step.paths[0])
            if folder and name in folder.names and not folder.names[name].names:
                self._name(folder, name, None)
        elif step.name in ("rename", "link"):
            self._move(step)
        elif step.name != "nothing":
            self._change(step)

    def _change(self, step: Step) -> None:
        """A call about one file that is there."""
        node = self.at(step.paths[0])
        if node is None:
            return
        if step.name == "write":
            at = len(node.data) if step.offset < 0 else step.offset
            before = node.data[:at].ljust(at, b"\0")
            node.data = before + step.data + node.data[at + len(step.data) :]
        elif step.name == "truncate":
            node.data = node.data[: step.number].ljust(step.number, b"\0")
        elif step.name == "chmod":
            node.mode = step.number
        elif step.name == "fsync":
            node.keep()

    def _make(self, step: Step) -> None:
        folder, name = self._find(step.paths[0])
        if folder is None:
            return
        there = folder.names.get(name)
        if step.name == "open":
            if there is None and step.number & os.O_CREAT:
                self._name(folder, name, Node("file", int(step.data) & 0o7777 & ~0o022))
            elif there is not None and step.number & os.O_TRUNC and not step.number & os.O_EXCL:
                there.data = b""
        elif there is None:
            link = step.name == "symlink"
            made = Node("link", 0, os.fsencode(step.target)) if link else Node("folder", step.number & ~0o022)
            made.keep()
            self._name(folder, name, made)

    def _move(self, step: Step) -> None:
        (source, old), (target, new) = self._find(step.paths[0]), self._find(step.paths[1])
        if source is None or target is None or old not in source.names:
            return
        if step.name == "link" and new in target.names:
            return
        self._name(target, new, source.names[old])
        if step.name == "rename":
            del source.names[old]

    def _name(self, folder: Node, name: str, node: Node | None) -> None:
        if node is None:
            del folder.names[name]
        else:
            folder.names[name] = node
        self.newest = (folder, name)

    def _all(self, node: Node, seen: set[int]) -> Iterator[Node]:
        if id(node) not in seen:
            seen.add(id(node))
            yield node
            for child in [*node.names.values(), *node.kept_names.values()]:
                yield from self._all(child, seen)

    def live(self) -> Left:
        """What is there without a power cut."""
        return self._walk(lambda folder, name: True, lambda node: node.data, lambda node: node.mode)

    def states(self, seed: int) -> Iterator[tuple[str, Left]]:
        """What may be left if the power goes now; the first is that nothing was lost."""
        chance = random.Random(seed)

        def never(folder: Node, name: str) -> bool:
            return False

        def always(folder: Node, name: str) -> bool:
            return True

        def kept(node: Node) -> bytes:
            return node.kept_data

        def torn(node: Node) -> bytes:
            if node.data == node.kept_data:
                return node.data
            safe = (
                len(node.kept_data) if node.data.startswith(node.kept_data) else 0
            )  # appended to, or rewritten
            half = safe + (len(node.data) - safe) // 2
            return node.data[:half].ljust(len(node.data), b"\0")

        coins: dict[tuple[int, str], bool] = {}

        def coin(folder: Node, name: str) -> bool:
            return coins.setdefault((id(folder), name), chance.random() < 0.5)

        def any_data(node: Node) -> bytes:
            return chance.choice((node.data, node.kept_data, torn(node)))

        yield "nothing lost", self.live()
        yield "all that was not synced is lost", self._walk(never, kept)
        yield "names kept, bytes lost", self._walk(always, kept)
        yield "names kept, bytes torn", self._walk(always, torn)
        yield "bytes kept, names lost", self._walk(never, lambda node: node.data)
        yield "by chance", self._walk(coin, any_data)
        pending = [
            (folder, name)
            for folder in self._all(self.root, set())
            for name in sorted(folder.names.keys() | folder.kept_names.keys())
            if folder.names.get(name) is not folder.kept_names.get(name)
        ]
        shown = pending if len(pending) <= 12 else pending[-6:] + chance.sample(pending[:-6], 6)
        for one in shown:
            yield f"only the name {one[1]} kept", self._walk(lambda *at, one=one: at == one, kept)  # type: ignore[misc]
            yield f"only the name {one[1]} lost", self._walk(lambda *at, one=one: at != one, kept)  # type: ignore[misc]

    def _walk(
        self,
        survives: Callable[[Node, str], bool],
        data: Callable[[Node], bytes],
        mode: Callable[[Node], int] = lambda node: node.mode if node.kept_mode is None else node.kept_mode,
    ) -> Left:
        """The tree, with what is decided of each change that was not synced."""
        left: Left = {}

        def descend(folder: Node, path: str) -> None:
            for name in sorted(folder.names.keys() | folder.kept_names.keys()):
                now, before = folder.names.get(name), folder.kept_names.get(name)
                node = now if now is before or survives(folder, name) else before
                if node is None:
                    continue
                below = f"{path}/{name}" if path else name
                left[below] = (node.kind, mode(node), b"" if node.kind == "folder" else data(node))
                if node.kind == "folder":
                    descend(node, below)

        descend(self.root, "")
        return left


def put_down(left: Left, top: Path, before: Left | None = None) -> None:
    """Make `top` hold exactly this. Hard links become copies, as they may after a repair.

    before: what was put down there last and not changed since: what is the same in both stays
    """
    if before is None:
        shutil.rmtree(top, ignore_errors=True)
        top.mkdir(parents=True)
        before = {}
    for path in sorted(before, reverse=True):
        if path not in left or (left[path] != before[path] and before[path][0] != "folder"):
            place = top / path
            place.rmdir() if before[path][0] == "folder" else place.unlink()
    for path, facts in left.items():
        kind, _, data = facts
        place = top / path
        if kind == "folder":
            place.mkdir(exist_ok=True)
        elif before.get(path) != facts and kind == "link":
            place.symlink_to(os.fsdecode(data))
        elif before.get(path) != facts:
            place.write_bytes(data)
    for path, (kind, mode, _) in reversed(left.items()):
        if kind != "link":
            (top / path).chmod(mode)
