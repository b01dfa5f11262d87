"""Known vulnerabilities: which versions an advisory means, and what is said where nothing was compared."""

import json
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from appliance.errors import BadInput
from appliance.progress import Silent
from bundler.advisories import NOT_GIVEN, Advisories, Finding, compare
from bundler.advisory_table import from_sbom, print_advisories
from bundler.cli import main as bundler
from bundler.inspection import inspect_bundle
from bundler.lock import read_lock
from bundler.notes import bundle_notes
from bundler.sbom import format_sbom
from bundler.sources.download import Patience
from bundler.wrapping import cells
from tests.bundles import make_workshop
from tests.deltas import RELEASES, repack
from tests.hostile import good, hostile, status
from tests.papers import Papers, make_papers
from tests.test_conda import HERE, write_channel

QUICK = Patience(attempts=2, first_wait_s=0.001)
MANIFEST = f"""
[bundle]
product = "islet-test"
[target]
python = "{HERE}"
[runtime]
channels = ["./channel"]
[tools]
converter = false
"""
PACKAGES = {"Some_Lib": "2.0+cu128", "tiny": "1.0"}


def advisory(number: int = 1, name: str = "tiny", **fields: Any) -> dict[str, Any]:
    """An advisory on every version of `name`, but for what `fields` say."""
    affected = {
        "package": {"ecosystem": fields.pop("ecosystem", "PyPI"), "name": name},
        "ranges": [{"type": "ECOSYSTEM", "events": fields.pop("events", [{"introduced": "0"}])}],
        "versions": fields.pop("versions", []),
    }
    return {
        "schema_version": "1.7.0",
        "id": f"TEST-2026-{number}",
        "modified": f"2026-11-{number:02d}T00:00:00Z",
        "summary": "It breaks.",
        "affected": [affected],
    } | fields


def compared(tmp_path: Path, *advisories: Any, packages: dict[str, str] | None = None) -> Advisories:
    folder = tmp_path / "osv"
    folder.mkdir(exist_ok=True)
    for number, each in enumerate(advisories):
        (folder / f"{number}.json").write_text(each if isinstance(each, str) else json.dumps(each))
    return compare(packages or PACKAGES, str(folder), cache=tmp_path / "cache", progress=Silent())


def test_finds_a_package_by_its_name_and_version(tmp_path: Path) -> None:
    found = compared(
        tmp_path,
        advisory(
            1,
            "some-lib",
            events=[{"introduced": "1.5"}, {"fixed": "2.1"}],
            aliases=["CVE-2026-0001"],
            database_specific={"severity": "MODERATE"},
        ),
        advisory(2, "another"),
    )
    assert found.found == (
        Finding("some-lib", "2.0+cu128", "TEST-2026-1", ("CVE-2026-0001",), "medium", "It breaks.", ("2.1",)),
    )
    assert (found.read, found.unread, found.compared) == (2, 0, 2)
    assert found.newest == "2026-11-02T00:00:00Z"
    assert found.source == "osv"
    assert found.not_checked == ""


RANGES: list[tuple[str, list[dict[str, str]], bool]] = [
    ("1.0", [{"introduced": "0"}], True),
    ("1.0", [{"introduced": "1.0"}], True),
    ("1.0", [{"introduced": "1.0.1"}], False),
    ("1.0", [{"introduced": "0"}, {"fixed": "1.0"}], False),
    ("1.0", [{"introduced": "0"}, {"fixed": "1.0.post1"}], True),
    ("1.0", [{"introduced": "0"}, {"last_affected": "1.0"}], True),
    ("1.0.1", [{"introduced": "0"}, {"last_affected": "1.0"}], False),
    ("1.10", [{"introduced": "0"}, {"fixed": "1.9"}], False),
    ("1.0rc1", [{"introduced": "0"}, {"fixed": "1.0"}], True),
    ("2.0", [{"fixed": "1.0"}, {"introduced": "0"}, {"introduced": "2.0"}, {"fixed": "2.1"}], True),
    ("1.5", [{"introduced": "0"}, {"fixed": "1.0"}, {"introduced": "2.0"}, {"fixed": "2.1"}], False),
    ("2.1+cu128", [{"introduced": "0"}, {"fixed": "2.1"}], False),
    ("1.0", [{"introduced": "0"}, {"limit": "*"}], True),
    ("1.0", [{"introduced": "0"}, {"limit": "1.0"}], False),
    ("1.0", [], False),
]


@pytest.mark.parametrize(("version", "events", "affected"), RANGES)
def test_reads_a_range_as_its_format_says(
    tmp_path: Path, version: str, events: list[dict[str, str]], affected: bool
) -> None:
    found = compared(tmp_path, advisory(events=events), packages={"tiny": version})
    assert bool(found.found) is affected


def test_finds_a_version_that_is_listed_by_name(tmp_path: Path) -> None:
    listed = advisory(events=[], versions=["0.9-final-really", "1.0.0"])
    assert len(compared(tmp_path, listed).found) == 1


def test_a_range_of_commits_names_no_version(tmp_path: Path) -> None:
    document = advisory()
    document["affected"][0]["ranges"][0]["type"] = "GIT"
    assert compared(tmp_path, document).found == ()


def test_what_was_withdrawn_or_is_of_another_ecosystem_does_not_count(tmp_path: Path) -> None:
    withdrawn = advisory(1, withdrawn="2026-11-03T00:00:00Z")
    found = compared(tmp_path, withdrawn, advisory(2, ecosystem="npm"))
    assert found.found == ()
    assert found.read == 1


def test_one_vulnerability_in_two_databases_is_told_once_and_the_worst_comes_first(tmp_path: Path) -> None:
    found = compared(
        tmp_path,
        advisory(1, aliases=["CVE-2026-0001"], events=[{"introduced": "0"}, {"fixed": "1.1"}]),
        advisory(2, aliases=["CVE-2026-0001"], database_specific={"severity": "HIGH"}),
        advisory(3, aliases=["CVE-2026-0003"], database_specific={"severity": "CRITICAL"}),
        advisory(4, "some-lib"),
    )
    assert [(each.id, each.severity) for each in found.found] == [
        ("TEST-2026-3", "critical"),
        ("TEST-2026-1", "high"),
        ("TEST-2026-4", ""),
    ]
    assert found.found[1].aliases == ("CVE-2026-0001", "TEST-2026-2")
    assert found.found[1].fixed == ("1.1",)


def test_what_cannot_be_read_is_counted(tmp_path: Path) -> None:
    broken = advisory(2, events=[{"introduced": "0"}, {"fixed": "no version"}])
    found = compared(tmp_path, advisory(1), "{", '{"id": 3}', broken)
    assert (found.read, found.unread, len(found.found)) == (1, 3, 1)


def test_words_of_others_become_one_short_line(tmp_path: Path) -> None:
    long = advisory(summary="a\n\x1b[31mb\u202e " + "c" * 300)
    [finding] = compared(tmp_path, long).found
    assert finding.summary.startswith("a [31mb ccc")
    assert len(finding.summary) == 160
    assert finding.summary.isprintable()


def test_a_zip_says_the_same_as_a_folder(tmp_path: Path) -> None:
    one = compared(tmp_path, advisory(1), advisory(2, "some-lib"))
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in (tmp_path / "osv").iterdir():
            archive.write(file, f"osv/{file.name}")
    two = compare(PACKAGES, str(path), cache=tmp_path, progress=Silent())
    assert two.found == one.found
    assert two.source == "all.zip"
    with hostile() as server:
        url = server.url("/all.zip", good(path.read_bytes())) + "?key=planted"
        three = compare(PACKAGES, url, cache=tmp_path, progress=Silent(), patience=QUICK)
    assert three.found == one.found
    assert three.source == server.address + "/all.zip"
    assert three.sha256 == two.sha256


def test_the_result_does_not_depend_on_where_the_folder_lies(tmp_path: Path) -> None:
    found = [
        compared(tmp_path / name, advisory(1), advisory(2)) for name in ("a", "b") if mkdir(tmp_path / name)
    ]
    assert found[0] == found[1]
    assert msgspec.json.decode(msgspec.json.encode(found[0]), type=Advisories) == found[0]


def mkdir(path: Path) -> bool:
    path.mkdir()
    return True


def test_without_advisories_it_says_that_nothing_was_compared(tmp_path: Path) -> None:
    found = compare(PACKAGES, None, cache=tmp_path, progress=Silent())
    assert found == Advisories(not_checked=NOT_GIVEN)


def test_an_address_that_does_not_answer_is_said_and_stops_nothing(tmp_path: Path) -> None:
    with hostile() as server:
        url = server.url("/all.zip", status(503))
        found = compare(PACKAGES, url, cache=tmp_path, progress=Silent(), patience=QUICK)
    assert found.not_checked == (
        f"{url} could not be read: {url}: the server answers 503 Service Unavailable"
    )
    assert found.found == ()


@pytest.mark.parametrize("body", [b"", b"no zip", b"{}"])
def test_refuses_what_holds_no_advisories(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "file").write_bytes(body)
    for where in ("file", "nothing"):
        with pytest.raises(BadInput):
            compare(PACKAGES, str(tmp_path / where), cache=tmp_path, progress=Silent())


def test_refuses_a_zip_whose_compressed_data_are_garbage(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", "{}" * 1000)
    data = bytearray(path.read_bytes())
    data[30 + len("a.json")] = 0xFF  # a block type that deflate does not have
    path.write_bytes(data)
    with pytest.raises(BadInput, match="no whole zip"):
        compare({"x": "1.0"}, str(path), cache=tmp_path, progress=Silent())


def test_refuses_a_zip_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.json", json.dumps(advisory()))
    body = bytearray(path.read_bytes())
    body[50] ^= 1
    path.write_bytes(body)
    with pytest.raises(BadInput, match="no whole zip"):
        compare(PACKAGES, str(path), cache=tmp_path, progress=Silent())


FOUND = Advisories(
    source="osv.zip",
    sha256="5" * 64,
    newest="2026-11-20T00:00:00Z",
    read=17_000,
    unread=3,
    compared=3,
    found=(
        Finding("some-lib", "2.0+cpu", "TEST-1", ("CVE-2026-1",), "critical", "It *breaks*.", ("2.1", "3.0")),
        Finding("python", "3.12.1", "TEST-2", (), "", "It leaks.", ()),
    ),
)


def sbom_of(papers: Papers) -> dict[str, Any]:
    body = format_sbom(papers.lock, papers.release, papers.contents, papers.sources, papers.folder)
    document: dict[str, Any] = json.loads(body)
    return document


def test_the_sbom_has_them_and_is_read_back_the_same(tmp_path: Path) -> None:
    document = sbom_of(make_papers(tmp_path, advisories=FOUND))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document)) is None
    first, second = document["vulnerabilities"]
    assert first["affects"] == [
        {"ref": "wheel:some-lib", "versions": [{"version": "2.0+cpu", "status": "affected"}]}
    ]
    assert first["ratings"] == [{"severity": "critical"}]
    assert first["recommendation"] == "Fixed in 2.1, 3.0."
    assert second["affects"][0]["ref"] == "conda:python"
    assert from_sbom(document) == FOUND


def test_an_sbom_that_says_nothing_of_it_is_none(tmp_path: Path) -> None:
    not_given = Advisories(not_checked=NOT_GIVEN)
    assert from_sbom(sbom_of(make_papers(tmp_path))) == not_given
    assert from_sbom({}) is None
    assert from_sbom({"metadata": {"properties": []}}) is None
    assert from_sbom({"metadata": {"properties": [{"name": "islet:advisories:read", "value": "x"}]}}) is None


def test_the_page_says_how_many_in_both_languages_and_lists_each_once(tmp_path: Path) -> None:
    papers = make_papers(tmp_path, advisories=FOUND)
    page = bundle_notes(papers.lock, papers.release, papers.contents, papers.folder)
    flat = " ".join(page.split())
    assert "2 known vulnerabilities (1 critical, 1 not rated), listed at the end of this page" in flat
    assert "有 2 个已知漏洞（1 严重, 1 未评级）" in page.replace("\n", "")
    assert (
        "- **critical** some-lib 2.0+cpu: It breaks. (TEST-1, CVE-2026-1; fixed in 2.1, 3.0) "
        "- **not rated** python 3.12.1: It leaks. (TEST-2)"
    ) in flat
    assert "3 files could not be read as advisories." in flat
    assert [line for line in page.split("## Licences 许可证")[0].splitlines() if cells(line) > 80] == []


def test_the_page_says_why_nothing_was_compared(tmp_path: Path) -> None:
    for reason, chinese in ((NOT_GIVEN, "锁定时没有给出漏洞通告"), ("it is down", "原因：it is down")):
        papers = make_papers(tmp_path / chinese, advisories=Advisories(not_checked=reason))
        page = bundle_notes(papers.lock, papers.release, papers.contents, papers.folder)
        assert f"Not checked against known vulnerabilities, because {reason}." in " ".join(page.split())
        assert chinese in page.replace("\n", "")
        assert "## Known vulnerabilities 已知漏洞" not in page


def test_the_table_shows_them(capsys: pytest.CaptureFixture[str]) -> None:
    print_advisories(FOUND)
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        "3 packages compared with 17000 advisories of osv.zip, the newest of 2026-11-20T00:00:00Z: 2 found"
        in (shown)
    )
    assert "critical" in shown
    assert "no version yet" in shown
    print_advisories(Advisories(not_checked=NOT_GIVEN))
    assert f"not checked, because {NOT_GIVEN}" in " ".join(capsys.readouterr().out.split())


def test_lock_records_what_was_found_and_says_it(tmp_path: Path) -> None:
    write_channel(tmp_path / "channel")
    (tmp_path / "osv").mkdir()
    (tmp_path / "osv" / "1.json").write_text(json.dumps(advisory()))
    manifest = tmp_path / "bundle.toml"
    manifest.write_text(MANIFEST)
    command = ["lock", str(manifest), "--cache", str(tmp_path / "cache")]
    done = CliRunner().invoke(bundler, [*command, "--advisories", str(tmp_path / "osv")])
    assert done.exit_code == 0, done.output
    assert "compared with 1 advisories of osv, the newest of 2026-11-01T00:00:00Z: 0 found" in done.output
    assert read_lock(tmp_path / "bundle.lock").advisories.read == 1
    done = CliRunner().invoke(bundler, command)
    assert "not checked, because no advisories were given" in " ".join(done.output.split())
    done = CliRunner().invoke(bundler, [*command, "--advisories", str(tmp_path / "none")])
    assert done.exit_code == 6


def test_inspect_compares_a_finished_bundle_with_what_is_known_now(tmp_path: Path) -> None:
    shop = make_workshop(tmp_path / "shop")
    repack(shop, 4, RELEASES[4], [])
    (tmp_path / "1.json").write_text(json.dumps(advisory(1, "a", events=[{"introduced": "1.1"}])))
    found = inspect_bundle(shop.bundle, shop.anchor(), Silent(), advisories=str(tmp_path / "1.json"))
    assert found.advisories is not None
    assert [(each.package, each.version) for each in found.advisories.found] == [("a", "1.1")]
    assert inspect_bundle(shop.bundle, shop.anchor(), Silent()).advisories is None
