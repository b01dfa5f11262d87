"""What the packed conda environment may hold: no code at every start and no credentials."""

import io
import tarfile
from pathlib import Path

import pytest

from appliance.errors import BadInput
from bundler.rules import Accept, Exceptions
from bundler.sources.conda import write_canonical

PATH_CODE = "lib/python3.12/site-packages/evil.pth"
SECRET = "https://conda:Tr0ub4dor@channel.example.org/main"


def packed(folder: Path, files: dict[str, str]) -> Path:
    """A tar as conda-pack makes it."""
    path = folder / "env.tar"
    with tarfile.open(path, "w") as archive:
        for name, text in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


def canonical(folder: Path, files: dict[str, str], *accepts: Accept) -> list[str]:
    """The names of what travels."""
    out, exceptions = folder / "runtime.tar.gz", Exceptions(accepts)
    write_canonical(
        packed(folder, files),
        out,
        forbidden=b"/build/folder",
        advance=lambda amount: None,
        exceptions=exceptions,
    )
    exceptions.check_needed()
    with tarfile.open(out) as archive:
        return archive.getnames()


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        (".condarc", f"channels: [{SECRET}]\n", "credential"),
        ("etc/pip.conf", f"[global]\nindex-url = {SECRET}\n", "credential"),
        ("share/about.json", f'{{"channels": ["{SECRET}"]}}', "credential"),
        ("share/x.json", '{"url": "https://channel.example.org/t/ab-1234567/main/x.conda"}', "credential"),
        ("etc/tool.yaml", "token: hf_" + "aB3" * 11, "credential"),
        ("etc/pip.conf", f"index-url = {SECRET.replace('https', 'HTTPS')}\n", "credential"),
        (".netrc", "machine a.example.org login li password Tr0ub4dor\n", "credential"),
        ("etc/.pypirc", "[a]\nusername = li\npassword: Tr0ub4dor\n", "credential"),
        (PATH_CODE, "import os\n", "start-code"),
        (PATH_CODE, "\ufeffimport os\n", "start-code"),
        (PATH_CODE, "#\x0cimport os\n", "start-code"),
        ("lib/python3.12/site-packages/sitecustomize/__init__.py", "", "start-code"),
        ("lib/python3.12/usercustomize.cpython-312-x86_64-linux-gnu.so", "", "start-code"),
        ("lib/python3.12/site-packages/sitecustomize.py", "", "start-code"),
    ],
)
def test_refuses_a_file_that_breaks_a_rule(tmp_path: Path, name: str, text: str, rule: str) -> None:
    with pytest.raises(BadInput) as caught:
        canonical(tmp_path, {"bin/python": "", name: text})
    assert name in caught.value.why
    assert f"(rule {rule})" in caught.value.why
    assert "Tr0ub4dor" not in str(caught.value)


def test_a_channels_metadata_does_not_travel(tmp_path: Path) -> None:
    files = {"bin/python": "", "conda-meta/x-1.0-0.json": SECRET, "conda-meta/history": SECRET}
    assert canonical(tmp_path, files) == ["bin/python"]


def test_an_exception_names_the_file_below_the_runtime(tmp_path: Path) -> None:
    accept = Accept("start-code", f"runtime/{PATH_CODE}", "sets a path; read by two of us")
    assert canonical(tmp_path, {PATH_CODE: "import os\n"}, accept) == [PATH_CODE]
    with pytest.raises(BadInput):
        canonical(tmp_path, {PATH_CODE.replace("evil", "other"): "import os\n"}, accept)


def test_what_a_standard_library_brings_passes(tmp_path: Path) -> None:
    files = {
        "lib/python3.12/urllib/request.py": "# ftp://user:Tr0ub4dor@example.org is an example\n",
        "lib/python3.12/site-packages/distutils-precedence.pth": "import os\n",
        "lib/python3.12/site-packages/more.pth": "./more\n",
        "share/x.json": '{"home": "https://www.example.org/t/"}',
        ".netrc": "machine a.example.org login anonymous\n",
    }
    assert canonical(tmp_path, files) == sorted(files)
