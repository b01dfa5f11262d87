"""What a wheel may hold: each refusal names the wheel, the rule and what to do."""

import zipfile
from pathlib import Path

import pytest

from appliance.errors import BadInput
from bundler.wheel_policy import check_wheel
from tests.wheel_maker import write_wheel


def test_an_ordinary_wheel_passes(tmp_path: Path) -> None:
    check_wheel(
        write_wheel(
            tmp_path,
            {"distutils-precedence.pth": b"import os\n", "paths.pth": b"x/more\n", "x/a.pth": b"import x\n"},
        )
    )


@pytest.mark.parametrize(
    ("files", "options", "rule"),
    [
        ({"evil.pth": b"import os; os.system('id')\n"}, {}, "evil.pth runs code"),
        ({"evil.pth": b"\xef\xbb\xbfimport os\n"}, {}, "evil.pth runs code"),
        ({"x-1.0.data/purelib/evil.pth": b"import\tos\n"}, {}, "runs code"),
        ({"sitecustomize.py": b""}, {}, "sitecustomize.py: it would run at every start"),
        ({"x-1.0.data/platlib/usercustomize.py": b""}, {}, "it would run at every start"),
        ({"sitecustomize/__init__.py": b""}, {}, "it would run at every start"),
        ({"usercustomize.pyc": b""}, {}, "it would run at every start"),
        ({"sitecustomize.abi3.so": b""}, {}, "it would run at every start"),
        ({"x-1.0.data/purelib/sitecustomize/__init__.pyc": b""}, {}, "it would run at every start"),
        ({"x-1.0.data/data/lib/python3.12/site-packages/a.pth": b"import os\n"}, {}, "runs code"),
        ({"x-1.0.data/data/lib/python3.12/sitecustomize.py": b""}, {}, "it would run at every start"),
        ({"x-1.0.data/data/lib/python3.12/os.py": b""}, {}, "it would replace a part of Python"),
        ({"x-1.0.data/scripts/python3": b""}, {}, "it would replace a part of Python"),
        ({"x-1.0.data/data/bin/python3.12": b""}, {}, "(rule start-code)"),
        ({"x/a.py": b"1"}, {"unlisted": ("x/a.py",)}, "x/a.py is not in its RECORD"),
        ({}, {"invented": ("x/b.py",)}, "x/b.py, which is not there"),
        ({"x/a.py": b"1"}, {"wrong": ("x/a.py",)}, "x/a.py is not what its RECORD says"),
        ({"../x.py": b""}, {}, "leads outside"),
        ({"/x.py": b""}, {}, "leads outside"),
        ({"y-1.0.dist-info/RECORD": b""}, {}, "2 RECORD files"),
        ({"x/data.bin": b"1"}, {"wrong": ("x/data.bin",)}, "x/data.bin is not what its RECORD says"),
        ({"x/lib.so": b"1"}, {}, "it says to be for any platform, and holds x/lib.so"),
        ({"x/lib.so.1.2": b"1"}, {}, "(rule wheel-tag)"),
        (
            {"x-1.0.dist-info/WHEEL": b"Tag: cp312-cp312-linux_x86_64\n"},
            {},
            "it is for cp312-cp312-linux_x86_64",
        ),
        ({"x-1.0.dist-info/WHEEL": b""}, {}, "it is for nothing"),
        ({"x-1.0.dist-info/METADATA": b"Name: y\nVersion: 1.0\n"}, {}, "METADATA says that it is y 1.0"),
        ({"x-1.0.dist-info/METADATA": b"Name: x\nVersion: 2\n"}, {}, "(rule wheel-name)"),
        ({"x-1.0.dist-info/METADATA": "Name: é\nVersion: 1.0\n".encode()}, {}, "says that it is é 1.0"),
        ({}, {"needs": ("y @ https://u:Tr0ub4dor@example.org/y.whl",)}, "(rule credential)"),
        ({}, {"needs": ("y @ HTTPS://u:Tr0ub4dor@example.org/y.whl",)}, "(rule credential)"),
        ({}, {"invented": ("a" * 200_000,)}, "a line of its RECORD is too long"),
    ],
)
def test_refuses_a_wheel_that_breaks_a_rule(
    tmp_path: Path, files: dict[str, bytes], options: dict[str, tuple[str, ...]], rule: str
) -> None:
    with pytest.raises(BadInput) as caught:
        check_wheel(write_wheel(tmp_path, files, **options))
    assert "x-1.0-py3-none-any.whl" in caught.value.what
    assert rule in caught.value.why


@pytest.mark.parametrize(
    "tag", ["py2.py3-none-any", "cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64"]
)
def test_a_wheel_with_several_tags_passes(tmp_path: Path, tag: str) -> None:
    python, abi, platforms = tag.split("-")
    stated = "".join(f"Tag: {p}-{abi}-{on}\n" for p in python.split(".") for on in platforms.split("."))
    check_wheel(write_wheel(tmp_path, {"x-1.0.dist-info/WHEEL": stated.encode()}, tag=tag))


def test_a_local_version_passes(tmp_path: Path) -> None:
    check_wheel(write_wheel(tmp_path, version="2.13.0+cpu"))


def test_what_was_judged_once_is_not_hashed_again(tmp_path: Path) -> None:
    mark = tmp_path / "judged" / "wheel-0"
    with pytest.raises(BadInput):
        check_wheel(write_wheel(tmp_path, {"x/a.py": b"1"}, wrong=("x/a.py",)), mark=mark)
    assert not mark.exists()
    check_wheel(write_wheel(tmp_path, {"x/a.py": b"1"}), mark=mark)
    assert mark.exists()
    # Whoever gives a mark says that the bytes are those; RECORD itself is compared all the same.
    check_wheel(write_wheel(tmp_path, {"x/a.py": b"1"}, wrong=("x/a.py",)), mark=mark)
    with pytest.raises(BadInput):
        check_wheel(write_wheel(tmp_path, {"x/a.py": b"1"}, unlisted=("x/a.py",)), mark=mark)


def test_a_wheel_that_calls_its_pages_in_chinese_passes(tmp_path: Path) -> None:
    stated = "Metadata-Version: 2.4\nName: x\nVersion: 1.0\nProject-URL: 文档, https://example.org/zh\n"
    data = {"x-1.0.data/data/share/x/python3": b"", "x-1.0.data/scripts/x-python": b""}
    check_wheel(write_wheel(tmp_path, {"x-1.0.dist-info/METADATA": stated.encode(), **data}))


def test_refuses_a_wheel_whose_compressed_data_are_garbage(tmp_path: Path) -> None:
    sound = write_wheel(tmp_path)
    path = sound.rename(tmp_path / "sound").with_name(sound.name)
    with zipfile.ZipFile(tmp_path / "sound") as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        record = new.getinfo("x-1.0.dist-info/RECORD")
    data = bytearray(path.read_bytes())
    data[record.header_offset + 30 + len(record.filename)] = 0xFF  # a block type that deflate does not have
    path.write_bytes(data)
    with pytest.raises(BadInput) as caught:
        check_wheel(path)
    assert "not a readable zip" in caught.value.why


@pytest.mark.parametrize("name", ["x.whl", "x-1.0.tar.gz", "x-one-py3-none-any.whl"])
def test_what_is_not_called_as_a_wheel_is_none(tmp_path: Path, name: str) -> None:
    path = write_wheel(tmp_path).rename(tmp_path / name)
    with pytest.raises(BadInput) as caught:
        check_wheel(path)
    assert "(rule wheel-name)" in caught.value.why


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_refuses_a_wheel_that_holds_a_file_twice(tmp_path: Path) -> None:
    path = write_wheel(tmp_path, {})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x/__init__.py", b"evil")
    with pytest.raises(BadInput) as caught:
        check_wheel(path)
    assert "twice" in caught.value.why


def test_refuses_a_wheel_that_is_no_zip_file(tmp_path: Path) -> None:
    path = tmp_path / "x-1.0-py3-none-any.whl"
    path.write_bytes(b"not a zip")
    with pytest.raises(BadInput) as caught:
        check_wheel(path)
    assert "not a readable zip" in caught.value.why
