"""Building real bundles: the same bytes anywhere, whole or not at all, only what was locked."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from appliance.bundle.contents import parse_contents
from tests.real import RealBundle

pytestmark = pytest.mark.slow


def unsigned(folder: Path) -> dict[str, bytes]:
    """Every file of a bundle but signatures and roots."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if not path.name.startswith(("SHA256SUMS.sig.", "root."))
    }


def test_one_lock_gives_the_same_bytes_in_another_folder_and_session(
    real_bundle: RealBundle, tmp_path: Path
) -> None:
    folder = real_bundle.manifest.parent.with_name("elsewhere")
    folder.mkdir()
    for path in (real_bundle.manifest, real_bundle.manifest.with_suffix(".lock")):
        shutil.copyfile(path, folder / path.name)
    moved = RealBundle(
        folder / "out", folder / "bundle.toml", real_bundle.roots, real_bundle.key, real_bundle.hub
    )
    session = {"HOME": tmp_path / "home", "TMPDIR": tmp_path / "tmp"}
    for place in session.values():
        place.mkdir()
    odd = {name: str(place) for name, place in session.items()} | {"LC_ALL": "C", "TZ": "Asia/Shanghai"}
    command = ["sh", "-c", 'umask 077; exec "$@"', "sh", *moved.build_command(moved.folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, **odd})
    assert done.returncode == 0, done.stderr
    first, second = unsigned(real_bundle.folder), unsigned(moved.folder)
    assert sorted(first) == sorted(second)
    assert [name for name in first if first[name] != second[name]] == []


def test_stock_tar_lists_what_contents_json_says(real_bundle: RealBundle) -> None:
    contents = parse_contents((real_bundle.folder / "contents.json").read_bytes())
    listed = subprocess.run(
        ["tar", "-tf", real_bundle.folder / "payload.000.tar"], capture_output=True, text=True, check=True
    )
    assert listed.stdout.splitlines() == [entry.path for entry in contents.entries]
    kinds = {entry.kind for entry in contents.entries}
    assert kinds == {"model", "tool", "wheel"}


@pytest.mark.parametrize("wait_s", [1.0, 3.0])
def test_a_killed_build_leaves_nothing_under_the_final_name(
    wait_s: float, small_bundle: RealBundle, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    child = subprocess.Popen(
        small_bundle.build_command(out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(wait_s)
    os.killpg(child.pid, signal.SIGKILL)
    killed = child.wait() != 0
    assert killed or wait_s > 1
    if killed:
        assert not out.exists()
        small_bundle.build(out)
    assert (out / "SHA256SUMS").read_bytes() == (small_bundle.folder / "SHA256SUMS").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


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
