"""`make campaign`: the hard tests in their long form, counted. Takes the better part of an hour.

Every table of attacks against every judge, every bit and byte of the control files, random bit flips over the
payload (`tests/attacks/campaign.py`); downloads from servers that do anything; every system call of an
installation killed, failed and without power (`tests/crash_campaign.py`); then the tests that kill an
installation and a worker, with more kills than `make test`; then every variant of the wizard's journeys; then
clean systems and every shell; then a model of some gigabytes over a line that breaks.
Exit code 0 only when nothing was accepted that must not be, and every kill was survived.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.attacks.campaign import assault
from tests.crash_campaign import main as crashes
from tests.large import carry, words
from tests.real import scratch
from tests.test_download import survives_chaos
from tests.test_large_model import PEAK_BYTES

KILLS = "20"
SERVERS = 3_000
CRASH_S = 120
"""How long one kind of disturbance of one scenario may take; what is tried is spread over all its calls."""
LARGE_BYTES = 3_000_000_000


def main() -> int:
    """Run every part; print what was tried and what was accepted."""
    with tempfile.TemporaryDirectory(prefix="islet-campaign-") as folder:
        wrong = assault(Path(folder))
    wrong += servers()
    lost = crashes([], float(os.environ.get("ISLET_CRASH_S", CRASH_S)))
    environment = os.environ | {"ISLET_KILLS": KILLS, "ISLET_CAMPAIGN": "1", "OMP_NUM_THREADS": "1"}
    kills = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "slow", "-k", "kill or SIGKILL", "tests"],
        env=environment,
    )
    journeys = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "slow", "tests/test_wizard_journey.py"], env=environment
    )
    platforms = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "slow", "tests/test_platforms.py"], env=environment
    )
    carried = large_model()
    survived = "survived" if kills.returncode == 0 else "NOT SURVIVED"
    print(f"accepted or answered wrongly: {wrong}; kills: {survived}; boxes lost in crashes: {lost}")
    print(f"the wizard, every front, language, size and end: exit code {journeys.returncode}")
    print(f"clean systems, every shell the whole way: exit code {platforms.returncode}")
    failed = wrong or lost or kills.returncode or journeys.returncode or platforms.returncode
    return 0 if not failed and carried else 1


def servers() -> int:
    """Servers that do what comes to them; how many downloads ended in anything but a file or a refusal."""
    lost = 0
    with tempfile.TemporaryDirectory(prefix="islet-campaign-") as folder:
        for seed in range(SERVERS):
            lost += not survives_chaos(seed, Path(folder))
    print(f"{SERVERS} hostile servers: {lost} downloads lost or wrong")
    return lost


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


if __name__ == "__main__":
    sys.exit(main())
