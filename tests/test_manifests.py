"""The manifests that are committed, and the locks beside them: complete, documented, fit for their target."""

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bundler.lock import read_lock
from bundler.manifest import Manifest, read_manifest
from bundler.sources.tags import best_wheel

FOLDER = Path(__file__).parents[1] / "manifests"
FILES = sorted(FOLDER.glob("*.toml"))
LOCKED = sorted(FOLDER.glob("*.lock"))
COMES_ALONG = {"pyarrow", "jinja2", "numpy"}
"""With transformers and datasets, which are named."""


def named(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", FILES, ids=named)
def test_carries_all_that_the_appliance_depends_on(path: Path) -> None:
    project = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["train"]]
    carried = {canonicalize_name(Requirement(r).name) for r in read_manifest(path).wheels.requirements}
    assert {canonicalize_name(Requirement(r).name) for r in wanted} - carried - COMES_ALONG == set()


def test_every_model_that_is_promised_has_a_manifest_that_names_its_commands() -> None:
    stems = [
        "deepseek-r1-distill-qwen-7b",
        "demo",
        "gemma-3-4b",
        "glm-4-9b",
        "llama-3.1-8b",
        "qwen3-8b",
        "starter",
    ]
    assert [path.stem for path in FILES] == stems
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        if path.stem != "demo":
            assert f"islet-bundle lock --keep manifests/{path.name}" in text
            assert all(f"\n# {word}  " in text for word in ("Licence", "Weights", "GPU", "Driver", "Disk"))


@pytest.mark.parametrize("path", LOCKED, ids=named)
def test_a_committed_lock_is_of_its_manifest_and_its_wheels_are_for_the_target(path: Path) -> None:
    manifest = read_manifest(path.with_suffix(".toml"))
    lock = read_lock(path, path.with_suffix(".toml"))
    assert lock.lacks == ("models", "runtime")
    assert lock.converter is not None
    versions = {wheel.name: wheel.version for wheel in lock.wheels}
    for text in manifest.wheels.requirements:
        requirement = Requirement(text)
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)])
    for wheel in lock.wheels:
        assert best_wheel([wheel.filename], wheel.version, lock.target) == wheel.filename
    # The libraries of the CUDA that the target has, as their own names and versions say.
    assert versions["nvidia-cuda-runtime-cu12"].startswith(lock.target.cuda + ".")
    assert not [name for name in versions if name.startswith("nvidia-") and name.endswith("-cu13")]
    assert sum(wheel.size for wheel in lock.wheels) > 4_000_000_000


@pytest.mark.parametrize("path", LOCKED, ids=named)
def test_every_exception_is_for_a_wheel_that_is_locked(path: Path) -> None:
    lock = read_lock(path)
    carried = {wheel.filename for wheel in lock.wheels}
    assert lock.accept == read_manifest(path.with_suffix(".toml")).accept
    assert [each.file.split("/")[1] for each in lock.accept if each.file.split("/")[1] not in carried] == []


@pytest.mark.parametrize("path", LOCKED, ids=named)
def test_a_committed_lock_names_no_address_and_no_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"/(?:home|root|tmp|work)/", text)


def fields(kind: Any, prefix: str = "") -> list[str]:
    """Every field of the manifest, as the page names it."""
    found = []
    for field in msgspec.structs.fields(kind):
        name = f"{prefix}{field.name}"
        inner = [each for each in (field.type, *getattr(field.type, "__args__", ())) if _is_struct(each)]
        found += fields(inner[0], f"{name}.") if inner else [name]
    return found


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def test_every_field_is_documented() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    documented = {
        name
        for line in page.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`([a-z_.0-9]+)`", line.split("|")[1])
    }
    assert set(fields(Manifest)) - documented == set()
    assert "wheels.index.packages" in documented


def test_the_examples_of_the_page_are_valid(tmp_path: Path) -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    whole, *parts = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "example.toml").write_text("\n".join([whole, *parts]), encoding="utf-8")
    manifest = read_manifest(tmp_path / "example.toml")
    assert [index.name for index in manifest.wheels.index] == ["torch-cu128", "own"]
    assert manifest.extras[0].file_name.startswith("NVIDIA-Linux")
