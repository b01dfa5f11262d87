"""sbom.cdx.json: valid by CycloneDX's own schema, true to the lock, the same bytes for everybody."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from license_expression import get_spdx_licensing
from packageurl import PackageURL
from packaging.licenses import _spdx

from appliance.bundle.contents import parse_contents
from bundler.licence import spdx
from bundler.lock import read_lock
from bundler.sbom import format_sbom, purl
from tests.papers import COMMIT, CONDA_SHA256, Papers, make_papers, sha256
from tests.real import RealBundle
from tests.wheel_maker import write_wheel

Json = dict[str, Any]


def problems(document: bytes) -> list[str]:
    """What the official schema of version 1.6 says against `document`."""
    found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(document.decode("ascii"), all_errors=True)
    return [str(each.data.message) for each in found or ()]


def written(papers: Papers) -> bytes:
    return format_sbom(papers.lock, papers.release, papers.contents, papers.sources, papers.folder)


def components(document: Json) -> Iterator[Json]:
    """All of them, at every depth."""
    waiting = list(document["components"])
    while waiting:
        one = waiting.pop()
        waiting += one.get("components", [])
        yield one


def by_ref(document: Json) -> dict[str, Json]:
    found = {each["bom-ref"]: each for each in components(document)}
    assert len(found) == len(list(components(document)))
    return found


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return make_papers(tmp_path)


@pytest.fixture
def document(papers: Papers) -> Json:
    return json.loads(written(papers))  # type: ignore[no-any-return]


def test_is_valid_by_the_official_schema(papers: Papers) -> None:
    assert problems(written(papers)) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.update(unknown=1),
        lambda d: d.update(serialNumber="urn:uuid:1"),
        lambda d: d["components"][0].pop("type"),
        lambda d: d["components"][0]["hashes"][0].update(content="00"),
        lambda d: d["components"][0].update(licenses=[{"license": {"id": "Apache"}}]),
    ],
)
def test_the_schema_would_find_a_mistake(document: Json, damage: Any) -> None:
    damage(document)
    assert problems(json.dumps(document).encode()) != []


def test_is_the_same_bytes_in_another_folder_and_process(papers: Papers, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    code = (
        "import sys, pathlib; from tests.papers import make_papers; from tests.test_sbom import written;"
        "sys.stdout.buffer.write(written(make_papers(pathlib.Path(sys.argv[1]))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, elsewhere],
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[1],
        env={"PYTHONHASHSEED": "7", "TZ": "Asia/Shanghai", "LC_ALL": "C"},
    )
    assert done.stdout == written(papers)


def test_another_release_has_another_serial_number(papers: Papers, tmp_path: Path) -> None:
    (papers.folder / "install.sh").write_text("another")
    other, first = json.loads(written(papers)), json.loads(written(make_papers(tmp_path / "again")))
    assert other["serialNumber"] != first["serialNumber"]


def test_a_delta_has_the_same_one_as_the_full_bundle(papers: Papers, tmp_path: Path) -> None:
    delta = make_papers(tmp_path / "delta", left_out=("models/org/carded/m.safetensors",))
    assert delta.contents.requires != ()
    assert written(delta) == written(papers)


def test_says_what_it_is_about_and_when(document: Json) -> None:
    about = document["metadata"]
    assert (about["component"]["name"], about["component"]["version"]) == ("hospital-a", "7")
    assert datetime.fromisoformat(about["timestamp"]) == datetime.fromisoformat("2026-11-21T08:00:00+00:00")
    stated = {each["name"]: each["value"] for each in about["properties"]}
    assert stated["islet:target:python"] == "3.12"
    assert stated["islet:target:glibc"] == "2.28"


def test_a_model_has_commit_licence_card_and_every_file(document: Json, papers: Papers) -> None:
    model = by_ref(document)["model:org/carded"]
    assert (model["type"], model["version"]) == ("machine-learning-model", COMMIT)
    assert PackageURL.from_string(model["purl"]).to_dict() == {
        "type": "huggingface",
        "namespace": "org",
        "name": "carded",
        "version": COMMIT,
        "qualifiers": None,
        "subpath": None,
    }
    assert model["licenses"] == [{"license": {"id": "Apache-2.0", "acknowledgement": "declared"}}]
    assert model["modelCard"]["modelParameters"]["architectureFamily"] == "qwen3"
    assert model["modelCard"]["modelParameters"]["modelArchitecture"] == "Qwen3ForCausalLM"
    assert [(each["type"], each["url"]) for each in model["externalReferences"]] == [
        ("model-card", "models/org/carded/README.md"),
        ("license", "models/org/carded/LICENSE-MODEL"),
    ]
    hashes = {each["name"]: each["hashes"][0]["content"] for each in model["components"]}
    carried = {e.path: e.sha256 for e in papers.contents.entries if e.component == "org/carded"}
    assert len(carried) == 4
    assert hashes == carried


def test_a_licence_that_nobody_states_is_not_made_up(document: Json) -> None:
    assert by_ref(document)["model:org/bare"]["licenses"] == []


def test_packages_have_addresses_that_scanners_read(document: Json, papers: Papers) -> None:
    found = by_ref(document)
    wheel = PackageURL.from_string(found["wheel:some-lib"]["purl"])
    assert (wheel.type, wheel.name, wheel.version) == ("pypi", "some-lib", "2.0+cpu")
    conda = PackageURL.from_string(found["conda:python"]["purl"])
    assert (conda.type, conda.name, conda.version) == ("conda", "python", "3.12.1")
    assert conda.qualifiers == {"build": "h1_0", "subdir": "linux-64", "type": "conda"}
    assert found["conda:python"]["hashes"] == [{"alg": "SHA-256", "content": CONDA_SHA256}]
    assert found["wheel:some-lib"]["hashes"][0]["content"] == papers.lock.wheels[0].sha256
    for each in found.values():
        if "purl" in each:
            assert PackageURL.from_string(each["purl"]).to_string() == each["purl"]


def test_licences_are_spdx_where_they_are_and_words_where_not(document: Json) -> None:
    found = by_ref(document)
    assert found["wheel:tiny"]["licenses"][0]["expression"] == "MIT OR 0BSD"
    assert found["wheel:some-lib"]["licenses"][0]["license"]["name"] == "BSD License"
    assert found["conda:python"]["licenses"][0]["license"]["id"] == "PSF-2.0"


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("apache-2.0", "Apache-2.0"),
        ("MIT License", "MIT"),
        ("Apache 2.0", "Apache-2.0"),
        ("bsd-3-clause and 0bsd", "BSD-3-Clause AND 0BSD"),
        ("Apache", None),
        ("BSD License", None),
        ("gemma", None),
        ("unknown", None),
        ("", None),
        ("MIT AND", None),
    ],
)
def test_tells_an_spdx_licence_from_other_text(text: str, expression: str | None) -> None:
    assert spdx(text) == expression
    if expression is not None:
        assert get_spdx_licensing().validate(expression).errors == []


def test_every_licence_that_passes_for_spdx_is_one_by_the_schema() -> None:
    ids = [each["id"] for each in _spdx.LICENSES.values()]
    assert len(ids) > 500
    component = {"type": "library", "name": "x", "licenses": [{"license": {"id": one}} for one in ids]}
    document = {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [component]}
    assert problems(json.dumps(document).encode()) == []


def test_the_graph_has_what_wheels_declare_for_the_target(document: Json) -> None:
    graph = {each["ref"]: each["dependsOn"] for each in document["dependencies"]}
    assert graph["islet"] == ["wheel:some-lib"]
    assert graph["wheel:some-lib"] == ["wheel:tiny"]
    assert graph["wheel:tiny"] == []
    assert "conda:python" not in graph
    assert "model:org/carded" in graph["release"]
    known = set(by_ref(document)) | {"release"}
    assert set(graph) | {ref for on in graph.values() for ref in on} <= known


@pytest.mark.parametrize("need", ["a b c", "x; python_version <", "x; nothing == '1'"])
def test_a_wheel_whose_requirements_cannot_be_read_is_left_out_of_the_graph(
    need: str, papers: Papers, tmp_path: Path
) -> None:
    odd = write_wheel(tmp_path, name="tiny", version="1.0", needs=(need,))
    path = f"wheels/{papers.lock.wheels[1].filename}"
    document = json.loads(written(replace(papers, sources=papers.sources | {path: odd})))
    assert "wheel:tiny" not in {each["ref"] for each in document["dependencies"]}
    assert "wheel:tiny" in by_ref(document)


@pytest.mark.parametrize("config", [b"[]", b"{}", b'{"architectures": [["\\ud800"]], "vocab_size": "many"}'])
def test_a_model_whose_config_says_little_has_a_short_card(
    config: bytes, papers: Papers, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_bytes(config)
    sources = papers.sources | {"models/org/carded/config.json": tmp_path / "config.json"}
    body = written(replace(papers, sources=sources))
    assert problems(body) == []
    assert "task" not in by_ref(json.loads(body))["model:org/carded"]["modelCard"].get("modelParameters", {})


def test_the_appliance_and_the_installer_are_in_it(document: Json, papers: Papers) -> None:
    found = by_ref(document)
    own = next(papers.folder.glob("*.whl"))
    assert found["islet"]["hashes"][0]["content"] == sha256(own)
    assert found["file:install.sh"]["hashes"][0]["content"] == sha256(papers.folder / "install.sh")
    source = found["tool:llama.cpp converter"]["pedigree"]["ancestors"][0]
    assert (source["name"], source["version"]) == ("llama-cpp-python", "0.3.36")


def test_quotes_what_an_address_may_not_hold() -> None:
    address = purl("pypi", "a", "1.0+cu 1/2", file_name="a&b=c.whl")
    assert PackageURL.from_string(address).version == "1.0+cu 1/2"
    assert PackageURL.from_string(address).qualifiers == {"file_name": "a&b=c.whl"}


@pytest.mark.slow
def test_that_of_a_real_bundle_is_valid_and_names_all_that_is_inside(real_bundle: RealBundle) -> None:
    body = (real_bundle.folder / "sbom.cdx.json").read_bytes()
    assert problems(body) == []
    found = by_ref(json.loads(body))
    contents = parse_contents((real_bundle.folder / "contents.json").read_bytes())
    listed = {each["hashes"][0]["content"] for each in found.values() if "hashes" in each}
    assert {entry.sha256 for entry in contents.entries} <= listed
    lock = read_lock(real_bundle.manifest.with_suffix(".lock"))
    assert {package.sha256 for package in lock.runtime.packages} <= listed
    graph = {each["ref"]: each["dependsOn"] for each in json.loads(body)["dependencies"]}
    assert {"wheel:numpy", "wheel:torch", "wheel:tokenizers"} <= set(
        graph["wheel:peft"] + graph["wheel:transformers"]
    )
    assert {"wheel:click", "wheel:msgspec"} <= set(graph["islet"])
