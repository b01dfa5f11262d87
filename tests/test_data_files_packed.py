"""Folders, zip archives and gzip files to sources: sorted, bounded, nothing left out unseen."""

import gzip
import zipfile
from pathlib import Path

import pytest

from appliance.data.files import open_sources
from appliance.errors import BadInput

LINE = '{"a": "门诊"}\n'


def put(folder: Path, *names: str, content: str = LINE) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def pack(path: Path, **members: str | bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_folder_is_its_data_files_by_name_and_what_only_tells_about_them_is_noted(tmp_path: Path) -> None:
    folder = put(tmp_path / "rows", "b.jsonl", "a/2.jsonl", "a/1.jsonl", "README.md", "dataset_info.json")
    put(folder, ".DS_Store", "~$b.xlsx", "__MACOSX/b.jsonl", "Thumbs.db", ".git/config")
    sources = open_sources(folder)
    assert [source.name for source in sources] == ["rows/a/1.jsonl", "rows/a/2.jsonl", "rows/b.jsonl"]
    assert [source.path for source in sources] == [
        folder / "a/1.jsonl",
        folder / "a/2.jsonl",
        folder / "b.jsonl",
    ]
    assert all(list(source.items()) == [(1, {"a": "门诊"})] for source in sources)
    assert sources[0].notes == ("not read, because they hold no rows: README.md, dataset_info.json",)
    assert sources[1].notes == ()


@pytest.mark.parametrize("name", ["scan.pdf", "old.xls", "rows.jsonl.zip", "rows", "model.safetensors"])
def test_a_folder_with_a_file_of_an_unknown_kind_is_not_read_in_part(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="files of an unknown kind") as refused:
        open_sources(put(tmp_path, "a.jsonl", name))
    assert refused.value.why == f"no data is read from {name}"


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no data"):
        open_sources(put(tmp_path, "README.md", ".hidden.jsonl"))


@pytest.mark.parametrize("target", ["outside.jsonl", "rows/a.jsonl", "outside", "nothing"])
def test_a_link_in_a_folder_is_never_followed(tmp_path: Path, target: str) -> None:
    folder = put(tmp_path / "rows", "a.jsonl")
    put(tmp_path, "outside.jsonl", "outside/b.jsonl")
    (folder / "link.jsonl").symlink_to(tmp_path / target)
    with pytest.raises(BadInput, match="link.jsonl is a link"):
        open_sources(folder)


def test_a_folder_of_very_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.data.files.gathered.FILE_LIMIT", 3)
    assert len(open_sources(put(tmp_path, "1.txt", "2.txt", "3.txt"))) == 3
    with pytest.raises(BadInput, match="too many files"):
        open_sources(put(tmp_path, "4.txt"))


def test_a_zip_archive_is_its_data_files_by_name(tmp_path: Path) -> None:
    path = pack(
        tmp_path / "rows.zip",
        **{"b.csv": "a,b\n1,2\n", "folder/a.jsonl": LINE, "LICENSE": "MIT", "folder/.DS_Store": "x"},
    )
    table, lines = open_sources(path)
    assert (table.name, table.path, table.container) == ("rows.zip/b.csv", path, "csv")
    assert list(table.items()) == list(table.items()) == [(2, {"a": "1", "b": "2"})]
    assert lines.name == "rows.zip/folder/a.jsonl"
    assert list(lines.items()) == [(1, {"a": "门诊"})]
    assert table.notes == ("not read, because they hold no rows: LICENSE",)
    assert lines.size == len(LINE.encode())


def test_names_that_a_chinese_program_wrote_in_its_own_code_page_are_read_as_they_were_meant(
    tmp_path: Path,
) -> None:
    path = pack(tmp_path / "rows.zip", **{"\u2593\u2593.jsonl": LINE})
    raw = path.read_bytes().replace("\u2593\u2593".encode(), b"\xce\xca\xb4\xf0  ")  # GB18030 for 问答
    flags = bytearray(raw)
    for at in (raw.index(b"PK\x03\x04") + 7, raw.index(b"PK\x01\x02") + 9):
        flags[at] &= ~0x08 & 0xFF  # no longer said to be UTF-8
    path.write_bytes(flags)
    (source,) = open_sources(path)
    assert source.name == "rows.zip/问答  .jsonl"
    assert source.sample(1) == [{"a": "门诊"}]


def test_a_workbook_and_a_parquet_file_in_an_archive_are_read_in_memory_up_to_a_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow
    import pyarrow.parquet

    from tests.workbooks import row, sheet, workbook

    book = workbook(tmp_path / "a.xlsx", {"s": sheet(row(1, "q", "a"), row(2, "1", "2"))})
    pyarrow.parquet.write_table(pyarrow.table({"q": ["3"]}), tmp_path / "b.parquet")
    members = {"a.xlsx": book.read_bytes(), "b.parquet": (tmp_path / "b.parquet").read_bytes()}
    path = pack(tmp_path / "rows.zip", **members)
    sources = open_sources(path)
    assert [list(source.items()) for source in sources] == [[(2, {"q": "1", "a": "2"})], [(1, {"q": "3"})]]
    monkeypatch.setattr("appliance.data.files.packed.HELD_LIMIT_BYTES", 100)
    with pytest.raises(BadInput, match="must be unpacked first"):
        open_sources(path)


def test_a_gzip_file_is_what_is_packed_in_it(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress("提问,回答\n一,二\n".encode("gb18030")))
    (source,) = open_sources(path)
    assert (source.name, source.container, source.encoding) == ("rows.csv.gz", "csv", "gb18030")
    assert source.size == path.stat().st_size
    assert list(source.items()) == list(source.items()) == [(2, {"提问": "一", "回答": "二"})]


def encrypted(content: bytes) -> bytes:
    """The same archive, its members marked as encrypted."""
    changed = bytearray(content)
    changed[content.index(b"PK\x03\x04") + 6] |= 1
    changed[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(changed)


def test_refuses_an_archive_that_is_damaged_locked_packed_twice_or_leads_elsewhere(tmp_path: Path) -> None:
    good = pack(tmp_path / "good.zip", **{"a.jsonl": LINE * 100}).read_bytes()
    cases = {
        "cut.zip": (good[:-30], "is damaged"),
        "flipped.zip": (good[:45] + b"\xff\xff\xff" + good[48:], "is damaged"),
        "locked.zip": (encrypted(good), "is encrypted"),
        "twice.jsonl.gz": (gzip.compress(gzip.compress(LINE.encode())), "is packed twice"),
        "book.gz": (gzip.compress(good), "is packed twice"),
        "cut.jsonl.gz": (gzip.compress(LINE.encode() * 1000)[:-20], "is damaged"),
        "flipped.jsonl.gz": (gzip.compress(LINE.encode())[:-6] + b"xxxxxx", "is damaged"),
    }
    for name, (content, what) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadInput, match=what):
            [list(source.items()) for source in open_sources(tmp_path / name)]
    nested = pack(tmp_path / "nested.zip", **{"a.csv": good})
    with pytest.raises(BadInput, match="is packed twice"):
        open_sources(nested)
    put(tmp_path / "folder", "a\x1b[2J.jsonl")
    with pytest.raises(BadInput, match="whose name is not accepted"):
        open_sources(tmp_path / "folder")
    for name in ("../a.jsonl", "/a.jsonl", "a\\b.jsonl", "a\x1b[2J.jsonl"):
        path = pack(tmp_path / "odd.zip", **{name: LINE})
        with pytest.raises(BadInput, match="whose name is not accepted"):
            open_sources(path)


def test_an_error_in_a_member_names_the_member(tmp_path: Path) -> None:
    path = pack(tmp_path / "rows.zip", **{"a.jsonl": LINE, "b/c.json": "[{]"})
    sources = open_sources(path)
    assert [source.place for source in sources] == [path / "a.jsonl", path / "b/c.json"]
    with pytest.raises(BadInput, match="rows.zip/b/c.json is no JSON"):
        list(sources[1].items())


def test_refuses_two_members_of_one_name(tmp_path: Path) -> None:
    path = pack(tmp_path / "rows.zip", **{"a.jsonl": LINE, "b.jsonl": LINE})
    path.write_bytes(path.read_bytes().replace(b"b.jsonl", b"a.jsonl"))
    with pytest.raises(BadInput, match="is damaged") as refused:
        open_sources(path)
    assert "one name" in refused.value.why


def test_refuses_what_unpacks_without_end(tmp_path: Path) -> None:
    flood = b'{"a": "' + b"b" * 100_000_000 + b'"}'
    (tmp_path / "bomb.jsonl.gz").write_bytes(gzip.compress(flood))
    for path in (tmp_path / "bomb.jsonl.gz", pack(tmp_path / "bomb.zip", **{"a.jsonl": flood})):
        with pytest.raises(BadInput, match="far more than it should"):
            open_sources(path)
