"""What stands before `make demo` and `make test`."""

import subprocess

import pytest

from tests.real import ROOT


@pytest.mark.parametrize(("gigabytes", "code"), [("0", 0), ("1000000", 5)])
def test_where_the_disk_has_too_little_room_it_is_said_before_anything_is_made(
    gigabytes: str, code: int
) -> None:
    done = subprocess.run(
        ["sh", ROOT / "scripts" / "room.sh", gigabytes], capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    told = [line.split(" ")[0] for line in done.stderr.splitlines()]
    assert told == (["islet:", "why:", "next:"] if code else [])
