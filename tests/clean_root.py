"""A clean Debian 12 as a box: its own root file system and namespaces, no network, a read-only medium.

Root only. The root file system is made once, by scripts/debian-root.sh, below build/; what is written goes to
a layer over it that is thrown away.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bundles import INSTALLER

ROOT = Path(__file__).parents[1]
DEBIAN = ROOT / "build" / "rootfs" / "debian12"
MAKE_PATIENCE_S = 600

ENTER = """
set -eu
root=$1 layers=$2 medium=$3 installer=$4 busybox=$5; shift 5
mount --make-rprivate /
mount -t tmpfs none "$layers"
mkdir "$layers/upper" "$layers/work" "$layers/root"
mount -t overlay overlay -o "lowerdir=$root,upperdir=$layers/upper,workdir=$layers/work" "$layers/root"
cd "$layers/root"
mount -t proc none proc
mount -t tmpfs -o noexec,nosuid,nodev,mode=1777 none tmp
mount -t tmpfs -o mode=755 none dev
for device in null zero urandom; do : >"dev/$device"; mount --bind "/dev/$device" "dev/$device"; done
mkdir media/disk
mount --bind "$medium" media/disk
mount -o remount,bind,ro,noexec,nosuid,nodev media/disk
if [ -n "$2" ]; then
    mkdir media/disk-2
    mount --bind "$2" media/disk-2
    mount -o remount,bind,ro,noexec,nosuid,nodev media/disk-2
fi
cp "$installer" media/disk/root.1 root/
chmod 755 root
if [ -n "$busybox" ]; then
    cp usr/bin/openssl "$layers/openssl"
    mount -t tmpfs -o mode=755 none usr/bin
    mount -t tmpfs -o mode=755 none usr/sbin
    cp "$layers/openssl" usr/bin/openssl
    cp "$busybox" usr/bin/busybox
    for tool in $("$busybox" --list); do [ -e "usr/bin/$tool" ] || ln -s busybox "usr/bin/$tool"; done
fi
ip link set lo up
exec chroot "$layers/root" /bin/sh -c "$1"
"""
"""sh ENTER ROOT LAYERS MEDIUM INSTALLER BUSYBOX SCRIPT SECOND

BUSYBOX: empty, or the only program that stays. SECOND: empty, or another medium, at /media/disk-2.
"""
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "TERM": "dumb"}


@dataclass(frozen=True)
class CleanBox:
    """Where a script is run; every run begins with the same clean system."""

    root: Path
    layers: Path
    """An empty folder, where the layer is mounted while a script runs."""
    medium: Path

    def run(self, script: str, *, busybox: bool = False) -> "subprocess.CompletedProcess[str]":
        """Run `script` as root: the medium is /media/disk, install.sh and root.1 lie in /root."""
        return subprocess.run(
            self.command(script, busybox=busybox),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env=ENVIRONMENT,
        )

    def command(self, script: str, *, busybox: bool = False, second: Path | None = None) -> list[str | Path]:
        """What runs `script` there; `second`: another medium, at /media/disk-2."""
        tools = shutil.which("busybox") or "" if busybox else ""
        unshare: list[str | Path] = ["unshare", "--net", "--mount", "--pid", "--fork", "--ipc", "--uts"]
        enter = [self.root, self.layers, self.medium, INSTALLER, tools, script, second or ""]
        return [*unshare, "sh", "-c", ENTER, "enter", *enter]


def debian_root() -> Path:
    """The clean root file system, made where it is not there yet; skips the test where it cannot be."""
    if os.getuid() != 0:
        pytest.skip("needs root: a root file system of its own")
    if not (DEBIAN / ".whole").is_file():
        script = ["sh", ROOT / "scripts" / "debian-root.sh", DEBIAN]
        try:
            made = subprocess.run(script, capture_output=True, text=True, timeout=MAKE_PATIENCE_S)
        except subprocess.TimeoutExpired:
            pytest.skip(f"no clean Debian came in {MAKE_PATIENCE_S} s")
        if made.returncode != 0:
            pytest.skip(f"a clean Debian cannot be made here: {made.stderr.strip()[-300:]}")
    return DEBIAN
