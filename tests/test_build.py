"""Building real bundles: the same bytes anywhere, whole or not at all, only what was locked."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from appliance.bundle.contents import parse_contents
from tests.real import BUNDLER, RealBundle

pytestmark = pytest.mark.slow


def unsigned(folder: Path) -> dict[str, bytes]:
    """Every file of a bundle but signatures and roots."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if not path.name.startswith(("SHA256SUMS.sig.", "root."))
    }


STRANGER = 65534
"""The user who builds again: owns nothing here, may read what root may."""
NO_TEMPORARY = (
    'for place in /tmp /var/tmp; do case $0 in "$place"/*) continue ;; esac; '  # where the checkout lies
    "mount -t tmpfs -o ro none $place || exit 99; done; "
    'cd "$0"; umask 077; exec "$@"'
)


def as_a_stranger(command: list[str | Path], folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run `command` in `folder`: another user, umask, locale, zone, home; no temporary folder is writable."""
    drop: list[str | Path] = []
    unshare = ["unshare", "-r", "-m"]
    if os.getuid() == 0:
        caps = [f"--{kind}-caps=+dac_read_search" for kind in ("inh", "ambient")]
        drop = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups", *caps]
        unshare = ["unshare", "-m"]
        os.chown(folder, STRANGER, STRANGER)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LC_ALL": "tr_TR.UTF-8",
        "LANG": "C",
        "TZ": "Asia/Shanghai",
        "PYTHONHASHSEED": "4711",
        "SOURCE_DATE_EPOCH": "1",
        "TMPDIR": "/nonexistent",
    }
    script = [*unshare, "sh", "-c", NO_TEMPORARY, folder, *drop, *command]
    return subprocess.run(script, capture_output=True, text=True, env=environment)


def test_another_user_elsewhere_locks_the_same_from_nothing_and_builds_the_same_bytes(
    small_bundle: RealBundle,
) -> None:
    folder = small_bundle.manifest.parent.with_name("elsewhere")
    folder.mkdir()
    for name in ("bundle.toml", "rows.jsonl"):
        shutil.copyfile(small_bundle.manifest.with_name(name), folder / name)
        os.utime(folder / name, (0, 0))
    cache: list[str | Path] = ["--cache", folder / "cache", "--hub", small_bundle.hub]
    done = as_a_stranger([BUNDLER, "lock", folder / "bundle.toml", *cache], folder)
    assert done.returncode == 0, done.stderr
    first, second = (
        json.loads(path.with_suffix(".lock").read_bytes())
        for path in (small_bundle.manifest, folder / "bundle.toml")
    )
    assert first | {"created": second["created"]} == second
    shutil.copyfile(small_bundle.manifest.with_suffix(".lock"), folder / "bundle.lock")
    moved = RealBundle(
        folder / "out", folder / "bundle.toml", small_bundle.roots, small_bundle.key, small_bundle.hub
    )
    done = as_a_stranger(moved.build_command(moved.folder, cache=folder / "cache"), folder)
    assert done.returncode == 0, done.stderr
    one, other = unsigned(small_bundle.folder), unsigned(moved.folder)
    assert sorted(one) == sorted(other)
    assert [name for name in one if one[name] != other[name]] == []
    left = {path.name for path in folder.iterdir()}
    assert left - {".cache", ".config", ".local"} == {
        "bundle.toml",
        "bundle.lock",
        "rows.jsonl",
        "cache",
        "out",
    }


def test_stock_tar_lists_what_contents_json_says(real_bundle: RealBundle) -> None:
    contents = parse_contents((real_bundle.folder / "contents.json").read_bytes())
    listed = subprocess.run(
        ["tar", "-tf", real_bundle.folder / "payload.000.tar"], capture_output=True, text=True, check=True
    )
    assert listed.stdout.splitlines() == [entry.path for entry in contents.entries]
    kinds = {entry.kind for entry in contents.entries}
    assert kinds == {"model", "tool", "wheel"}


KILLS = int(os.environ.get("ISLET_KILLS", "3"))
"""Builds that are cut off before one is left alone; `make campaign` has more."""


def test_builds_killed_at_any_moment_leave_nothing_under_the_final_name(
    small_bundle: RealBundle, tmp_path: Path
) -> None:
    out, rng = tmp_path / "bundle", random.Random(20261121)
    for count in range(KILLS):
        number = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[count % 3]
        before = {path.name for path in tmp_path.iterdir()}
        child = subprocess.Popen(
            small_bundle.build_command(out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(rng.uniform(0.5, 10))
        if number == signal.SIGKILL:
            os.killpg(child.pid, number)
        else:
            child.send_signal(number)
        if child.wait() == 0:
            shutil.rmtree(out)  # it was quicker
        left = {path.name for path in tmp_path.iterdir()} - before
        assert left <= ({"bundle.partial"} if number == signal.SIGKILL else set())
    small_bundle.build(out)
    assert unsigned(out) == unsigned(small_bundle.folder)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_small_disk_is_refused_before_anything_is_fetched_or_written(
    small_bundle: RealBundle, tmp_path: Path
) -> None:
    disk, cache = tmp_path / "disk", tmp_path / "cache"
    disk.mkdir()
    script = 'mount -t tmpfs -o size=20m small "$0" || exit 99; "$@"; code=$?; ls -A "$0"; exit $code'
    unshare = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-r", "-m"]
    command = small_bundle.build_command(disk / "bundle", cache=cache)
    done = subprocess.run([*unshare, "sh", "-c", script, disk, *command], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (5, ""), done.stderr
    assert f"{disk}: " in done.stderr
    assert "bytes for the bundle needed" in done.stderr
    assert not cache.exists()


def test_a_lock_whose_wheel_hash_was_changed_is_refused(small_bundle: RealBundle, tmp_path: Path) -> None:
    folder = small_bundle.manifest.parent.with_name("changed")
    folder.mkdir()
    shutil.copyfile(small_bundle.manifest, folder / "bundle.toml")
    shutil.copyfile(small_bundle.manifest.parent / "rows.jsonl", folder / "rows.jsonl")
    contents = parse_contents((small_bundle.folder / "contents.json").read_bytes())
    wheel = next(entry for entry in contents.entries if entry.component.startswith("click "))
    lock = small_bundle.manifest.with_suffix(".lock").read_text()
    assert lock.count(wheel.sha256) == 1
    (folder / "bundle.lock").write_text(lock.replace(wheel.sha256, "0" * 64))
    changed = RealBundle(
        tmp_path / "out", folder / "bundle.toml", small_bundle.roots, small_bundle.key, small_bundle.hub
    )
    done = changed.start_build(changed.folder, 1)
    assert done.returncode == 4
    assert wheel.path.removeprefix("wheels/") in done.stderr
    assert list(tmp_path.iterdir()) == []
