"""install.sh in earnest, in a folder that is watched: whatever an archive holds, only the prefix changes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.attacks.case import Attack, attacked, judge_by_shell
from tests.attacks.tarballs import SEEN
from tests.bundles import Workshop

WATCHED = ("/opt/escape", "/escape", "/etc/passwd", "/etc/escape")
"""Where the hostile archives would write, beside the places that they reach from the prefix upward."""


@dataclass(frozen=True)
class Outcome:
    """What came of one run."""

    code: int
    said: str
    """stderr."""
    written: tuple[str, ...]
    """Paths outside the prefix that are not what they were."""
    started: tuple[str, ...]
    """What lay in the runtime when its interpreter ran; nothing, when it never did."""


def in_earnest(honest: Workshop, folder: Path, attack: Attack, command: Sequence[str]) -> Outcome:
    """Install the attacked bundle; compare everything around the prefix, and the medium, with what it was."""
    shop, site, anchor = attacked(honest, folder, attack)
    for decoy in ("lib", "bin", "opt", "tmp", "x"):
        (folder / decoy).mkdir()
        (folder / decoy / "python3").write_text("decoy")
    own = (site.prefix, site.state)
    before = _watched(folder, own)
    done = judge_by_shell(list(command), shop, site, anchor, check=False)
    after = _watched(folder, own)
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    strays = [path for path in site.prefix.rglob("*escape*") if "runtime" not in path.parts]
    seen = site.prefix / SEEN
    started = tuple(sorted(seen.read_text().splitlines())) if seen.exists() else ()
    return Outcome(done.returncode, done.stderr, (*changed, *map(str, strays)), started)


def _watched(folder: Path, own: tuple[Path, ...]) -> dict[str, tuple[object, ...]]:
    found = {}
    for path in [*folder.rglob("*"), *map(Path, WATCHED)]:
        if any(path.is_relative_to(mine) for mine in own):
            continue
        try:
            facts = path.lstat()
        except FileNotFoundError:
            continue
        body = str(path.readlink()) if path.is_symlink() else ""
        if path.is_file() and not path.is_symlink():
            body = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path)] = facts.st_mode, facts.st_nlink if path.is_file() else 0, body
    return found
