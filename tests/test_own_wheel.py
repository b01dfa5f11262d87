"""The wheel that a site gets: the appliance, all of it, and nothing of the connected side."""

import base64
import csv
import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from appliance.errors import BadInput
from bundler.own_wheel import build_own_wheel
from bundler.wheel_policy import check_wheel

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build_own_wheel(ROOT, folder, folder / "work")
    return next(folder.glob("*.whl"))


def test_holds_every_module_of_the_appliance_and_none_of_the_bundler(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"appliance"}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "appliance/bundle").glob("*.py")}
    assert modules <= names


def test_its_record_names_every_file_with_its_hash(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        record = next(name for name in archive.namelist() if name.endswith(".dist-info/RECORD"))
        rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(archive.read(record).decode()))}
        assert rows.keys() == set(archive.namelist())
        for name, (digest, size) in rows.items():
            body = archive.read(name)
            encoded = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()
            assert name == record or (digest, size) == (f"sha256={encoded}", str(len(body)))


def test_it_keeps_the_policy_that_every_other_wheel_is_judged_by(wheel: Path) -> None:
    check_wheel(wheel)


def test_a_site_gets_one_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        entry_points = next(name for name in archive.namelist() if name.endswith("/entry_points.txt"))
        assert archive.read(entry_points).decode() == "[console_scripts]\nislet = appliance.cli:main\n"


def test_what_is_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="own wheel cannot be built"):
        build_own_wheel(tmp_path, tmp_path, tmp_path / "work")
