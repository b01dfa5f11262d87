"""`make campaign`: the hard tests in their long form, counted. Takes the better part of an hour.

Every named attack against every judge; random bit flips over a whole bundle; truncation at every byte of
the control files; then the tests that kill an installation and a worker, with more kills than `make test`;
then every variant of the wizard's journeys; then a model of some gigabytes over a line that breaks.
Exit code 0 only when nothing was accepted that must not be, and every kill was survived.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.site.layout import Site
from tests.bundles import Workshop, make_workshop
from tests.large import carry, words
from tests.real import scratch
from tests.test_attacks import (
    ATTACKS,
    DEEP_ATTACKS,
    SHELLS,
    damage,
    judge_by_python,
    judge_by_shell,
)
from tests.test_large_model import PEAK_BYTES

FLIPS = 2_000
SHELL_EVERY = 20
"""Of the flips, how many are shown to `install.sh` too: one in so many."""
KILLS = "20"
LARGE_BYTES = 3_000_000_000


def main() -> int:
    """Run every part; print what was tried and what was accepted."""
    with tempfile.TemporaryDirectory(prefix="islet-campaign-") as folder:
        honest = make_workshop(Path(folder) / "honest")
        wrong = attacks(honest, Path(folder)) + flips(honest) + truncations(honest)
    environment = os.environ | {"ISLET_KILLS": KILLS, "ISLET_CAMPAIGN": "1", "OMP_NUM_THREADS": "1"}
    kills = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "slow", "-k", "kill or SIGKILL", "tests"],
        env=environment,
    )
    journeys = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "slow", "tests/test_wizard_journey.py"], env=environment
    )
    carried = large_model()
    survived = "survived" if kills.returncode == 0 else "NOT SURVIVED"
    print(f"accepted or answered wrongly: {wrong}; kills: {survived}")
    print(f"the wizard, every front, language, size and end: exit code {journeys.returncode}")
    return 0 if wrong == kills.returncode == journeys.returncode == 0 and carried else 1


def large_model() -> bool:
    """Lock and build a model of LARGE_BYTES over a bad line; whether it came, in constant memory."""
    try:
        with scratch("large") as folder:
            passage = carry(folder, LARGE_BYTES)
    except AssertionError as error:
        print(f"{LARGE_BYTES / 1e9:.1f} GB model over a bad line: NOT CARRIED: {error}")
        return False
    print(words(passage))
    return passage.peak_bytes <= PEAK_BYTES


def attacks(honest: Workshop, folder: Path) -> int:
    """Every named attack against Python and the three shells; how many answers were wrong."""
    judged = wrong = 0
    for number, attack in enumerate([*ATTACKS.values(), *DEEP_ATTACKS.values()]):
        shop, site, anchor = damage(honest, folder / f"attack-{number}", attack)
        error = judge_by_python(shop, site, anchor)
        right = [error is not None and error.exit_code == attack.exit_code]
        if attack in ATTACKS.values():
            for shell in SHELLS.values():
                result = judge_by_shell(shell, shop, site, anchor)
                right.append((result.returncode, result.stderr) == (attack.exit_code, f"islet: {error}\n"))
        judged += len(right)
        wrong += right.count(False)
        shutil.rmtree(shop.root)
    names = f"{len(ATTACKS)} attacks on both judges, {len(DEEP_ATTACKS)} on what lies inside"
    print(f"{names}: {judged} verdicts, {wrong} wrong")
    return wrong


def flips(honest: Workshop) -> int:
    """Random bit flips over every file of the bundle; how many were accepted."""
    rng, accepted, shown = random.Random(20261121), 0, 0
    files = sorted(honest.bundle.iterdir())
    weights = [path.stat().st_size for path in files]
    for number in range(FLIPS):
        # Half by size, half by file: else the volumes would take nearly all.
        path = rng.choices(files, weights)[0] if number % 2 else rng.choice(files)
        bit = rng.randrange(path.stat().st_size * 8)
        with flipped(path, bit):
            site = Site(honest.root / "prefix", honest.root / "state")
            accepted += judge_by_python(honest, site, honest.anchor()) is None
            if number % SHELL_EVERY == 0:
                shown += 1
                accepted += judge_by_shell(SHELLS["dash"], honest, site, honest.anchor()).returncode == 0
    print(f"{FLIPS} random bit flips, {shown} of them shown to install.sh too: {accepted} accepted")
    return accepted


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


def truncations(honest: Workshop) -> int:
    """Every control file cut at every byte; how many were accepted."""
    cut = accepted = 0
    site = Site(honest.root / "prefix", honest.root / "state")
    for path in sorted(honest.bundle.iterdir()):
        if path.name not in ("RELEASE", "SHA256SUMS") and not path.name.startswith(
            ("root.", "SHA256SUMS.sig.")
        ):
            continue
        data = path.read_bytes()
        for length in range(len(data)):
            path.write_bytes(data[:length])
            cut += 1
            accepted += judge_by_python(honest, site, honest.anchor()) is None
        path.write_bytes(data)
    print(f"{cut} truncations of control files: {accepted} accepted")
    return accepted


if __name__ == "__main__":
    sys.exit(main())
