"""Installs where hospitals are: a clean Debian, busybox and openssl alone, other shells, odd mounts.

What was checked, and how, stands in docs/platforms.md.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundles import INSTALLER, Workshop, make_workshop
from tests.clean_root import CleanBox, debian_root
from tests.pocket import make_pocket
from tests.real import in_box, scratch

pytestmark = pytest.mark.xdist_group("clean systems")  # one clean Debian, made once
CAMPAIGN = os.environ.get("ISLET_CAMPAIGN") == "1"

RARE: dict[str, list[str]] = {
    "ksh93": ["ksh93"],
    "yash": ["yash", "-o", "posixly-correct"],
    "posh": ["posh"],
}
"""What a box may have as sh beside those that every attack is tried on. A test that lacks one says so."""
SHELLS = {"bash": ["bash", "--posix"], "dash": ["dash"], "busybox": ["busybox", "sh"], **RARE}
WHOLE_WAY = tuple(SHELLS) if CAMPAIGN else ("ksh93",)
"""With which of them everything is installed; dash and busybox are, on a clean Debian, in every run."""


@pytest.fixture(scope="module")
def pocket() -> Iterator[Workshop]:
    """A bundle that installs in seconds."""
    with scratch("platforms") as folder:
        yield make_pocket(folder / "pocket")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return make_workshop(tmp_path_factory.mktemp("platforms") / "shop")


def need(command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed here")


# --- shells -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", RARE)
def test_every_shell_checks_an_honest_bundle_alike(name: str, shop: Workshop, tmp_path: Path) -> None:
    need(SHELLS[name])
    options = [
        "--check",
        "--anchor",
        shop.anchor(),
        "--prefix",
        tmp_path / "软件 opt",
        "--state",
        tmp_path / "s",
    ]
    done = subprocess.run([*SHELLS[name], INSTALLER, *options, shop.bundle], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout.splitlines()[-1].startswith("The bundle is whole and signed, and this box has room")
    assert not (tmp_path / "软件 opt").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", RARE)
def test_every_shell_refuses_a_changed_list_alike(name: str, shop: Workshop, tmp_path: Path) -> None:
    need(SHELLS[name])
    bundle = tmp_path / "bundle"
    shutil.copytree(shop.bundle, bundle)
    sums = bundle / "SHA256SUMS"
    sums.write_bytes(sums.read_bytes().replace(b"a", b"b", 1))
    options = ["--check", "--anchor", shop.anchor(), "--prefix", tmp_path / "opt", "--state", tmp_path / "s"]
    done = subprocess.run([*SHELLS[name], INSTALLER, *options, bundle], capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stderr.splitlines()[0].endswith(" does not verify.")


def test_a_shell_that_counts_to_two_thousand_million_only_is_told_so(shop: Workshop, tmp_path: Path) -> None:
    need(["mksh"])
    options = ["--check", "--prefix", tmp_path / "opt", "--state", tmp_path / "s"]
    done = subprocess.run(["mksh", INSTALLER, *options, shop.bundle], capture_output=True, text=True)
    assert done.returncode == 5
    assert done.stderr.splitlines() == [
        "islet: This shell cannot count far enough.",
        "why: sizes and dates here have more than 32 bits",
        "next: Run it with another shell: bash, dash, busybox sh or ksh.",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE_WAY)
def test_the_whole_way_under_another_shell(name: str, pocket: Workshop) -> None:
    need(SHELLS[name])
    with scratch("shell") as place:
        where = ["--prefix", place / "opt", "--state", place / "state", "--anchor", pocket.anchor()]
        done = in_box([*SHELLS[name], INSTALLER, *where, pocket.bundle])
        assert done.returncode == 0, done.stderr
        assert in_box([place / "opt/bin/islet", "--help"]).returncode == 0


# --- a clean Debian -----------------------------------------------------------------------------


@pytest.fixture
def box(pocket: Workshop, tmp_path: Path) -> CleanBox:
    """The medium's files look as FAT and exFAT show them: all 0755, times of whole two seconds."""
    layers, medium = tmp_path / "layers", tmp_path / "medium"
    layers.mkdir()
    shutil.copytree(pocket.bundle, medium, copy_function=shutil.copyfile)
    for path in medium.iterdir():
        path.chmod(0o755)
        os.utime(path, (1_793_491_200, 1_793_491_200))
    return CleanBox(debian_root(), layers, medium)


AS_ROOT = """
set -eu
umask 077
if command -v python3 || command -v perl6; then exit 9; fi
cd /root
sh install.sh --check --anchor "{anchor}" /media/disk
[ ! -e /opt/islet ]
sh install.sh --anchor "{anchor}" /media/disk
cd /
/opt/islet/bin/islet inventory
/opt/islet/bin/islet doctor --quick --json >/root/findings || [ $? -eq 5 ]
sh /root/install.sh /media/disk
/opt/islet/bin/islet --help >/dev/null
set -- '/opt/islet/*' ! -path '/var/lib/islet/*' ! -path '/root/*' ! -path '/proc/*'
echo outside: $(find / -xdev -newer /root/install.sh -type f ! -path "$@")
"""


@pytest.mark.slow
def test_a_clean_debian_with_openssl_installs_as_root(box: CleanBox, pocket: Workshop) -> None:
    """Umask 077; the medium read only, noexec, nosuid, nodev; /tmp noexec; no Python, no network."""
    done = box.run(AS_ROOT.format(anchor=pocket.anchor()))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "islet-test release 1 is installed. Start it with: /opt/islet/bin/islet" in done.stdout
    assert (
        "this box was not looked at in full: /tmp has no room for the runtime, or may not run it"
        in done.stdout
    )
    assert done.stdout.rstrip().splitlines()[-1] == "outside:"


AS_USER = """
set -eu
echo 'li na:x:70001:70001::/home/li:/bin/sh' | tr -d ' ' >>/etc/passwd
echo 'lina:x:70001:' >>/etc/group
mkdir -p '/home/li/李 软件'
chown -R 70001:70001 /home/li
cat >/root/as-user <<'END'
set -eu
umask 022
cd '/home/li/李 软件'
home=$PWD
mkdir run
set -- --anchor "{anchor}" --prefix "$home/opt" --state "$home/数据" /media/disk
TMPDIR=$home/run bash --posix /root/install.sh --check "$@"
bash --posix /root/install.sh "$@"
"$home/opt/bin/islet" inventory
"$home/opt/bin/islet" runs list
if sh /root/install.sh --anchor "{anchor}" /media/disk; then exit 9; fi
rmdir run
END
chroot --userspec=70001:70001 / /bin/sh /root/as-user
"""


@pytest.mark.slow
def test_a_clean_debian_installs_as_a_user_into_a_folder_with_chinese(
    box: CleanBox, pocket: Workshop
) -> None:
    done = box.run(AS_USER.format(anchor=pocket.anchor()))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "good   mounts: programs may run from the software's folder" in done.stdout
    assert "islet: /opt/islet cannot be written.\nwhy: you are " in done.stderr


@pytest.mark.slow
def test_busybox_and_openssl_alone_install_on_a_clean_system(box: CleanBox, pocket: Workshop) -> None:
    need(["busybox"])
    script = """
set -eu
[ -L /bin/tar ] && [ "$(readlink /bin/tar)" = busybox ] && [ ! -e /bin/bash ]
sh /root/install.sh --anchor "{anchor}" /media/disk
/opt/islet/bin/islet inventory
"""
    done = box.run(script.format(anchor=pocket.anchor()), busybox=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n 1 (in use) " in done.stdout


@pytest.mark.slow
def test_a_prefix_that_may_not_run_programs_is_told(box: CleanBox, pocket: Workshop) -> None:
    script = """
mkdir /opt/islet; mount -t tmpfs -o noexec,mode=755 none /opt/islet
mkdir /srv/run; TMPDIR=/srv/run sh /root/install.sh --check --anchor "{anchor}" /media/disk; echo "check: $?"
sh /root/install.sh --anchor "{anchor}" /media/disk; echo "install: $?"
"""
    done = box.run(script.format(anchor=pocket.anchor()))
    assert "WRONG  mounts: /opt/islet lies on a disk that is mounted noexec" in done.stdout
    assert "check: 5\n" in done.stdout and "install: 5\n" in done.stdout
    assert "islet: This box is not ready.\n" in done.stderr
    assert "islet: The runtime does not start on this box.\n" in done.stderr


# --- FAT32 --------------------------------------------------------------------------------------

FAT = """
set -eu
truncate -s 64M "$1/disk.img"
mkfs.vfat -F 32 "$1/disk.img" >/dev/null
mkdir "$1/fat"
mount -o loop,umask=022,shortname=mixed "$1/disk.img" "$1/fat"
cp "$2"/* "$1/fat/"
mount -o remount,ro,noexec,nosuid,nodev "$1/fat"
shift 2
"$@"
"""


@pytest.mark.slow
def test_a_medium_of_fat32_installs(pocket: Workshop) -> None:
    """Names without case, times of two seconds, every file 0755."""
    if os.getuid() != 0:
        pytest.skip("needs root: a loop mount")
    need(["mkfs.vfat"])
    with scratch("fat") as place:
        where = ["--prefix", place / "opt", "--state", place / "state", "--anchor", pocket.anchor()]
        command = ["sh", "-c", FAT, "fat", place, pocket.bundle, "sh", INSTALLER, *where, place / "fat"]
        done = in_box(command)
        if "failed to setup loop device" in done.stderr or "unknown filesystem" in done.stderr:
            pytest.skip("FAT32 images cannot be mounted here")
        assert done.returncode == 0, done.stderr
        assert in_box([place / "opt/bin/islet", "--help"]).returncode == 0
