"""Checkpoints: whole or not there, the newest that verifies wins, and a damaged one is said."""

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import HostNotReady
from appliance.sentence import from_document
from appliance.training.checkpoint import REQUIRED, find_damage, newest_checkpoint, save_checkpoint
from tests.runs import events_of, losses_of, make_run
from tests.test_training import train_here, weights


def fill(folder: Path) -> None:
    for name in REQUIRED:
        (folder / name).write_bytes(f"{name} of {folder.name}".encode())


def two_checkpoints(folder: Path) -> Path:
    """Checkpoints of steps 10 and 20; the newer one."""
    save_checkpoint(folder, 10, fill, keep=5)
    return save_checkpoint(folder, 20, fill, keep=5).folder


def test_the_newest_is_found_and_older_ones_are_deleted(tmp_path: Path) -> None:
    for step in (5, 10, 100):
        save_checkpoint(tmp_path, step, fill, keep=2)
    found, damaged = newest_checkpoint(tmp_path)
    assert found is not None
    assert (found.step, damaged) == (100, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000010", "step-00000100"]


def test_no_checkpoint_is_no_damage(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "nothing") == (None, [])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    f"{name} {how}": (lambda place, name=name, act=act: act(place / name), f"{name} is {said}")
    for name in REQUIRED
    for how, act, said in (
        ("lost", Path.unlink, "missing"),
        ("flipped", flip, "damaged"),
        ("cut", lambda path: path.write_bytes(path.read_bytes()[:-1]), "damaged"),
    )
} | {
    "manifest lost": (lambda place: (place / "manifest.json").unlink(), "manifest.json is missing"),
    "manifest cut": (lambda place: (place / "manifest.json").write_bytes(b"{"), "manifest.json is damaged"),
    "manifest of another": (
        lambda place: (place / "manifest.json").write_bytes(
            (place.parent / "step-00000010" / "manifest.json").read_bytes()
        ),
        "manifest.json belongs to step 10",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path, damage: str) -> None:
    change, why = DAMAGES[damage]
    newer = two_checkpoints(tmp_path)
    change(newer)
    found, damaged = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 10
    assert [(each.folder, each.why) for each in damaged] == [(newer, why)]


def test_a_full_disk_leaves_the_checkpoint_before_and_nothing_half_written(tmp_path: Path) -> None:
    two_checkpoints(tmp_path)

    def fill_the_disk(folder: Path) -> None:
        fill(folder)
        Path("/dev/full").write_bytes(b"x")  # the kernel's own full disk

    with pytest.raises(HostNotReady, match="step 30 could not be written") as refused:
        save_checkpoint(tmp_path, 30, fill_the_disk, keep=1)
    assert "No space left on device" in refused.value.why
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000010", "step-00000020"]
    assert find_damage(tmp_path / "step-00000020") is None


def test_a_damaged_checkpoint_in_the_way_is_replaced(tmp_path: Path) -> None:
    newer = two_checkpoints(tmp_path)
    flip(newer / "optimizer.pt")
    save_checkpoint(tmp_path, 20, fill, keep=5)
    assert find_damage(newer) is None


def test_a_damaged_newer_one_takes_the_place_of_none_that_is_kept(tmp_path: Path) -> None:
    flip(two_checkpoints(tmp_path) / "optimizer.pt")
    save_checkpoint(tmp_path, 15, fill, keep=1)
    found, _ = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 15
    assert not (tmp_path / "step-00000010").exists()


def test_a_file_that_the_disk_does_not_give_back_is_damage(tmp_path: Path) -> None:
    newer = two_checkpoints(tmp_path)
    lost = newer / "optimizer.pt"
    manifest = newer / "manifest.json"
    size = lost.stat().st_size
    lost.unlink()
    lost.symlink_to("/proc/self/mem")  # a plain file of no bytes, whose reading is an EIO
    manifest.write_text(manifest.read_text().replace(f'"size": {size}', '"size": 0'))
    found, damaged = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 10
    assert [each.why for each in damaged] == ["optimizer.pt is damaged"]


@pytest.mark.slow
def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one_and_says_so(tmp_path: Path) -> None:
    settings = {"steps": 9, "dropout": 0.1, "checkpoint_every_steps": 3, "keep_checkpoints": 3}
    whole = make_run(tmp_path / "whole", **settings)
    assert train_here(whole)
    again = make_run(tmp_path / "again", **settings)
    assert train_here(again)
    for path in again.adapter.iterdir():
        path.unlink()
    again.adapter.rmdir()
    (again.checkpoints / "step-00000009" / "optimizer.pt").unlink()
    flip(again.checkpoints / "step-00000006" / "adapter_model.safetensors")
    assert train_here(again)
    assert [
        (from_document(each["what"]), from_document(each["why"])) for each in events_of(again, "warning")
    ] == [
        ("The checkpoint step-00000009 was passed over.", "optimizer.pt is missing"),
        ("The checkpoint step-00000006 was passed over.", "adapter_model.safetensors is damaged"),
    ]
    assert [each["step"] for each in events_of(again, "resumed")] == [3]
    assert weights(again) == weights(whole)
    assert losses_of(again) == losses_of(whole)
