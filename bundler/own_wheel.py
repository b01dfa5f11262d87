"""The appliance's own wheel as it travels: what a site runs, without the bundler, of no use there."""

import base64
import csv
import hashlib
import io
import os
import sys
import zipfile
from pathlib import Path

from appliance.errors import BadInput
from appliance.process import run

ELSEWHERE = "bundler"
"""The package that stays on the connected side."""


def build_own_wheel(source: Path, folder: Path, work: Path) -> None:
    """Put the wheel of the checkout `source` into `folder`; the same tree gives the same bytes.

    work: an empty folder.

    Raises: BadInput, when `source` is no checkout; StepFailed, when hatchling fails.
    """
    if not (source / "pyproject.toml").is_file():
        raise BadInput(
            "The appliance's own wheel cannot be built.",
            why=f"{source} is not a checkout of Islet",
            next_step="Run islet-bundle from a checkout: pip install -e '.[bundle]'.",
        )
    run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", work],
        cwd=source,
        next_step="Read the lines above; the checkout must be whole.",
        # It would take its files' time from SOURCE_DATE_EPOCH, and else takes one that is always the same.
        env={name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"},
    )
    for wheel in work.glob("*.whl"):
        write_site_wheel(wheel, folder / wheel.name)


def write_site_wheel(wheel: Path, out: Path) -> None:
    """Write `wheel` to `out` without the bundler's modules and command; RECORD says what is left."""
    with zipfile.ZipFile(wheel) as whole, zipfile.ZipFile(out, "w") as kept:
        changed: dict[str, bytes] = {}
        for info in whole.infolist():
            if info.filename.split("/")[0] == ELSEWHERE:
                continue
            body = whole.read(info)
            if info.filename.endswith(".dist-info/entry_points.txt"):
                body = changed[info.filename] = _without_command(body)
            elif info.filename.endswith(".dist-info/RECORD"):  # the last of a wheel, by its specification
                body = _record(body, changed)
            kept.writestr(info, body)


def _without_command(entry_points: bytes) -> bytes:
    lines = entry_points.decode().splitlines(keepends=True)
    return "".join(line for line in lines if f"= {ELSEWHERE}." not in line).encode()


def _record(record: bytes, changed: dict[str, bytes]) -> bytes:
    """RECORD without what was left out, and with the hashes of what was changed."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for path, digest, size in csv.reader(io.StringIO(record.decode())):
        if path in changed:
            encoded = base64.urlsafe_b64encode(hashlib.sha256(changed[path]).digest()).rstrip(b"=")
            writer.writerow((path, f"sha256={encoded.decode()}", len(changed[path])))
        elif path.split("/")[0] != ELSEWHERE:
            writer.writerow((path, digest, size))
    return out.getvalue().encode()
