"""Everything in the tables against every judge, and bits and bytes by the hundred thousand, counted.

Wrong is what was accepted and must not be, and an answer that is another one than the table's.
"""

import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from appliance.bundle.release import Release
from appliance.site.layout import Site
from appliance.site.trust import record_trust
from tests import test_attacks as tables
from tests.attacks import signatures, wrapping
from tests.attacks.case import (
    SHELLS,
    Attack,
    attacked,
    busybox_tools,
    judge_by_python,
    judge_by_shell,
    newest_on_medium,
)
from tests.attacks.chain import rotated
from tests.attacks.earnest import in_earnest
from tests.bundles import PAST, Workshop, make_workshop

FLIPS = 100_000
SHELL_EVERY = 1_000
"""Of the payload's flips, how many are shown to `install.sh` too: one in so many."""


Tried = tuple[str, int, int]
"""What, how many, how many wrong."""


def tables_part(folder: Path) -> Iterator[Tried]:
    """The tables, against every judge that sees what they change."""
    honest = make_workshop(folder / "honest")
    shells = SHELLS | {"busybox's tools": busybox_tools(folder / "tools")}
    yield judge(honest, folder, "attacks", tables.NAMED, SHELLS)
    yield judge(honest, folder, "signatures", signatures.ATTACKS, SHELLS)
    yield judge(honest, folder, "contents and volumes", tables.INSIDE, {})
    yield judge(honest, folder, "bundles in order", tables.HONEST, shells)


def archives_part(folder: Path) -> Iterator[Tried]:
    """Every hostile archive judged, and unpacked in earnest."""
    honest = make_workshop(folder / "honest")
    shells = SHELLS | {"busybox's tools": busybox_tools(folder / "tools")}
    yield judge(honest, folder, "archives", tables.ARCHIVES, shells)
    yield judge(honest, folder, "archives", wrapping.CORNERED, {})
    yield unpacked(honest, folder, {name: shells[name] for name in ("dash", "busybox's tools")})


def control_part(folder: Path) -> Iterator[Tried]:
    """Every bit of the control files flipped, and the files cut at every byte."""
    small = make_workshop(folder / "small", model_bytes=20_000)
    yield control_flips(folder, small)
    yield truncations(folder, small)


def payload_part(folder: Path) -> Iterator[Tried]:
    """Random bits of everything."""
    yield payload_flips(make_workshop(folder / "small", model_bytes=20_000))


PARTS: Mapping[str, Callable[[Path], Iterator[Tried]]] = {
    "archives": archives_part,
    "control": control_part,
    "payload": payload_part,
    "tables": tables_part,
}
"""What can be done apart from the rest; what takes longest first."""


def judge(
    honest: Workshop, folder: Path, what: str, table: Mapping[str, Attack], shells: Mapping[str, list[str]]
) -> Tried:
    """Every attack of a table against Python and these shells."""
    verdicts = accepted = wrong = 0
    for number, (name, attack) in enumerate(table.items()):
        shop, site, anchor = attacked(honest, folder / f"attack-{number}", attack)
        error = judge_by_python(shop, site, anchor)
        answers = [("python", error.exit_code if error else 0, f"islet: {error}\n" if error else "")]
        for shell, command in shells.items():
            done = judge_by_shell(command, shop, site, anchor, environment=attack.environment)
            answers.append((shell, done.returncode, done.stderr))
        for judged_by, code, said in answers:
            right = code == attack.exit_code and (said == "" if code == 0 else attack.answers(shop, said))
            accepted += code == 0
            wrong += not right
            if not right:
                print(f"  WRONG by {judged_by}: {name}: exit code {code}\n{said}")
        verdicts += len(answers)
        shutil.rmtree(folder / f"attack-{number}")
    print(f"{what}: {len(table)}, {verdicts} verdicts: {accepted} accepted, {wrong} wrong", flush=True)
    return what, len(table), wrong


def unpacked(honest: Workshop, folder: Path, shells: Mapping[str, list[str]]) -> Tried:
    """Every hostile archive given to install.sh in earnest: none may write outside the prefix, or go on."""
    table = tables.ARCHIVES | wrapping.CORNERED
    wrong = 0
    for shell, command in shells.items():
        for number, (name, attack) in enumerate(table.items()):
            answer = in_earnest(honest, folder / f"earnest-{number}", attack, command)
            must = name in tables.ARCHIVES
            if answer.written or (must and answer.code != attack.exit_code):
                wrong += 1
                print(f"  WRONG under {shell}: {name}: exit code {answer.code}, wrote {answer.written}")
            shutil.rmtree(folder / f"earnest-{number}")
    tried = len(table) * len(shells)
    print(f"archives unpacked in earnest: {tried}, {wrong} wrote outside or went on", flush=True)
    return "archives unpacked in earnest", tried, wrong


CONTROL = ("RELEASE", "SHA256SUMS", "SHA256SUMS.sig.*", "root.*", "contents.json")


def _chains(folder: Path, honest: Workshop) -> Iterator[tuple[str, Workshop, Site, str]]:
    """A first install from a sheet, and a site that follows a rotation, whose roots' signatures count."""
    fresh, anchor = Site(folder / "no-prefix", folder / "no-state"), honest.anchor()
    yield "a first install", honest, fresh, anchor
    shutil.copytree(honest.root, folder / "rotated", symlinks=True)
    shop = Workshop(folder / "rotated")
    believing = Site(folder / "prefix", folder / "state")
    believing.prefix.mkdir()
    had = Release("islet-test", 1, "2026-10-01T00:00:00Z", PAST, 1, 0)
    record_trust(believing, (shop.roots / "root.1").read_bytes(), had, "0" * 64)
    rotated()(shop)
    yield "a site that follows a rotation", shop, believing, newest_on_medium(shop)
    shutil.rmtree(shop.root)


def control_flips(folder: Path, honest: Workshop) -> Tried:
    """Every bit of every control file flipped in turn."""
    accepted = flips = 0
    for site_of, shop, site, anchor in _chains(folder / "flips", honest):
        for path in _control_files(shop):
            for bit in range(path.stat().st_size * 8):
                with flipped(path, bit):
                    flips += 1
                    accepted += judge_by_python(shop, site, anchor) is None
        print(f"every bit of control files, until {site_of}: {flips} flips: {accepted} accepted", flush=True)
    return "flips", flips, accepted


def truncations(folder: Path, honest: Workshop) -> Tried:
    """Every control file cut at every byte."""
    accepted = cut = 0
    for site_of, shop, site, anchor in _chains(folder / "cuts", honest):
        for path in _control_files(shop):
            data = path.read_bytes()
            for length in range(len(data)):
                path.write_bytes(data[:length])
                cut += 1
                accepted += judge_by_python(shop, site, anchor) is None
            path.write_bytes(data)
        print(f"truncations of control files, until {site_of}: {cut}: {accepted} accepted", flush=True)
    return "truncations", cut, accepted


def _control_files(shop: Workshop) -> list[Path]:
    return sorted(path for pattern in CONTROL for path in shop.bundle.glob(pattern))


def payload_flips(honest: Workshop) -> Tried:
    """Random bit flips over every listed file."""
    rng, accepted, shown = random.Random(20261121), 0, 0
    control = ("SHA256SUMS", "root.")
    files = sorted(path for path in honest.bundle.iterdir() if not path.name.startswith(control))
    weights = [path.stat().st_size for path in files]
    site, anchor = Site(honest.root / "prefix", honest.root / "state"), honest.anchor()
    for number in range(FLIPS):
        # Half by size, half by file: else the volumes would take nearly all.
        path = rng.choices(files, weights)[0] if number % 2 else rng.choice(files)
        with flipped(path, rng.randrange(path.stat().st_size * 8)):
            accepted += judge_by_python(honest, site, anchor) is None
            if number % SHELL_EVERY == 0:
                shown += 1
                accepted += judge_by_shell(SHELLS["dash"], honest, site, anchor).returncode == 0
    print(f"random bit flips: {FLIPS}, {shown} shown to install.sh too: {accepted} accepted", flush=True)
    return "flips", FLIPS, accepted


@contextmanager
def flipped(path: Path, bit: int) -> Iterator[None]:
    """One bit of a file is another while this lasts."""
    flip_bit(path, bit)
    try:
        yield
    finally:
        flip_bit(path, bit)


def flip_bit(path: Path, bit: int) -> None:
    """Change one bit of a file in place."""
    with path.open("r+b") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0]
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))
