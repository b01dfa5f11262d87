"""The contract's documents and volumes: what is written is read back; what is bent is refused."""

import hashlib
import random
import tarfile
from pathlib import Path

import pytest

from appliance.bundle import archive
from appliance.bundle.contents import Contents, Entry, Part, Volume, format_contents, parse_contents
from appliance.bundle.medium import Medium
from appliance.bundle.release import Release, format_release, parse_release
from appliance.bundle.root import PublicKey, Root, format_root, parse_root
from appliance.bundle.verify import Trust, verify
from appliance.errors import ApplianceError, BadInput, UntrustedBundle
from appliance.progress import Silent
from bundler.pack import Item, lay_out, write_volumes
from tests.bundles import Workshop, make_workshop

RELEASE = Release("islet-x", 999_999_999, "2026-11-21T08:00:00Z", "2027-01-01T00:00:00Z", 12, 0)
SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + b"\x04" + bytes(64)


def test_release_is_read_back_as_written() -> None:
    assert parse_release(format_release(RELEASE)) == RELEASE


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("number: 999999999", "number: 0", "line 3"),
        ("number: 999999999", "number: 01", "line 3"),
        ("number: 999999999", "number: 9999999999", "line 3"),
        ("product: islet-x", "product: Islet", "line 2"),
        ("2026-11-21T08:00:00Z", "2026-11-21 08:00:00", "line 4"),
        ("disk-bytes: 0\n", "disk-bytes: 0", "cut off"),
        ("format: islet-release-1", "format: islet-release-2", "line 1"),
        ("format: islet-release-1\n", "", "line 1"),
        ("islet-x", "islet-x\r", "other than plain text"),
    ],
)
def test_release_that_breaks_the_grammar_is_refused(old: str, new: str, why: str) -> None:
    data = format_release(RELEASE).replace(old.encode(), new.encode())
    with pytest.raises(UntrustedBundle, match=why):
        parse_release(data)


def test_root_is_read_back_as_written() -> None:
    root = Root(3, "2030-01-01T00:00:00Z", 1, 1, (PublicKey(SPKI),), (PublicKey(SPKI[:-1] + b"\1"),))
    assert parse_root("root.3", format_root(root)) == root


def test_root_with_one_key_in_two_roles_is_refused() -> None:
    root = Root(1, "2030-01-01T00:00:00Z", 1, 1, (PublicKey(SPKI),), (PublicKey(SPKI),))
    with pytest.raises(UntrustedBundle, match="twice"):
        parse_root("root.1", format_root(root))


def test_root_that_asks_for_more_keys_than_it_has_is_refused() -> None:
    root = Root(1, "2030-01-01T00:00:00Z", 1, 2, (PublicKey(SPKI),), (PublicKey(SPKI[:-1] + b"\1"),))
    with pytest.raises(UntrustedBundle, match="threshold"):
        parse_root("root.1", format_root(root))


def make_item(folder: Path, path: str, size: int, kind: str = "model") -> Item:
    source = folder / hashlib.sha256(path.encode()).hexdigest()[:12]
    source.write_bytes(random.Random(path).randbytes(size))
    return Item(path, kind, "c", "MIT", source, hashlib.sha256(source.read_bytes()).hexdigest(), size, 0o755)


@pytest.mark.parametrize("sizes", [[0], [1, 511, 512, 513], [5_000_000], [1_900_000, 3_000_000, 0, 7]])
def test_volumes_hold_every_byte_and_tar_reads_them(tmp_path: Path, sizes: list[int]) -> None:
    items = [make_item(tmp_path, f"models/o/n/{i}", size) for i, size in enumerate(sizes)]
    contents = lay_out(items, 2 * 1024 * 1024)
    out = tmp_path / "out"
    out.mkdir()
    hashes = write_volumes(contents, items, out, Silent())
    assert parse_contents(format_contents(contents)) == contents
    got: dict[str, bytes] = {}
    for volume in contents.volumes:
        path = out / volume.name
        assert path.stat().st_size == volume.size <= 2 * 1024 * 1024
        assert hashlib.sha256(path.read_bytes()).hexdigest() == hashes[volume.name]
        with tarfile.open(path) as tar:
            for member in tar:
                assert (member.mode, member.uid, member.mtime) == (0o755, 0, 0)
                data = tar.extractfile(member)
                assert data is not None
                name = member.name.split(".part")[0]
                got[name] = got.get(name, b"") + data.read()
    assert got == {item.path: item.source.read_bytes() for item in items}


def test_header_is_the_one_that_python_s_tarfile_writes() -> None:
    for path in ("models/a/b", "wheels/" + "x" * 93, "models/" + "d" * 60 + "/" + "f" * 90):
        info = tarfile.TarInfo(path)
        info.size, info.mode = 12345, 0o644
        theirs = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
        ours = archive.header(path, 12345, 0o644)
        # tarfile writes NULs for device numbers' padding and the checksum alike; names must agree.
        assert tarfile.TarInfo.frombuf(ours, "ascii", "strict").name == path
        assert bytes(theirs[:100]) == ours[:100]


def test_a_file_that_changed_since_it_was_locked_is_not_packed(tmp_path: Path) -> None:
    item = make_item(tmp_path, "models/o/n/f", 100)
    contents = lay_out([item], 4_000_000)
    item.source.write_bytes(bytes(100))
    with pytest.raises(ApplianceError, match="not what was locked"):
        write_volumes(contents, [item], tmp_path, Silent())


def test_a_path_that_no_tar_header_holds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="too long"):
        lay_out([make_item(tmp_path, "models/" + "x" * 120, 1)], 4_000_000)


def entry(path: str = "models/o/n/f", **changes: object) -> Entry:
    fields = {"kind": "model", "component": "c", "licence": "", "size": 0, "sha256": "0" * 64, "mode": 0o644}
    parts = (Part("payload.000.tar", 512, 0),)
    return Entry(path=path, parts=parts, **(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "path",
    [
        "/models/f",
        "models/../f",
        "models//f",
        "models/./f",
        "models/a\\b",
        "models/.hidden",
        "models/f.",
        "models",
        "wheels/f",
        "models/a b",
        "models/a\u00e9",
        "models/" + "x" * 251,
    ],
)
def test_contents_with_a_path_that_is_not_plain_are_refused(path: str) -> None:
    contents = Contents((Volume("payload.000.tar", 1536),), (entry(path),), ())
    with pytest.raises(UntrustedBundle, match=r"contents\.json"):
        parse_contents(format_contents(contents))


def test_contents_with_a_file_where_another_needs_a_folder_are_refused() -> None:
    first, second = entry("models/a"), entry("models/A/b")
    second = Entry(**{**second.__dict__, "parts": (Part("payload.000.tar", 1024, 0),)})
    contents = Contents((Volume("payload.000.tar", 2048),), (first, second), ())
    with pytest.raises(UntrustedBundle, match="needs a folder"):
        parse_contents(format_contents(contents))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return make_workshop(tmp_path_factory.mktemp("flips") / "shop")


def is_accepted(shop: Workshop, anchor: str) -> bool:
    try:
        verify(Medium(shop.bundle), Trust(anchor=anchor))
    except ApplianceError:
        return False
    return True


CONTROL = ("RELEASE", "SHA256SUMS", "root.1", "SHA256SUMS.sig.*", "root.1.sig.*", "contents.json")


@pytest.mark.parametrize("name", CONTROL)
@pytest.mark.slow
def test_every_flipped_bit_of_a_control_file_is_refused(shop: Workshop, name: str) -> None:
    anchor = shop.anchor()
    path = next(shop.bundle.glob(name))
    data = path.read_bytes()
    accepted = []
    # The campaign flips every bit of contents.json too, which is long.
    for bit in range(0, len(data) * 8, 17 if name == "contents.json" else 1):
        bent = bytearray(data)
        bent[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bent)
        if is_accepted(shop, anchor):
            accepted.append(bit)
    path.write_bytes(data)
    assert accepted == []
    assert is_accepted(shop, anchor)


@pytest.mark.parametrize("name", CONTROL)
def test_a_control_file_that_is_cut_is_refused(shop: Workshop, name: str) -> None:
    anchor = shop.anchor()
    path = next(shop.bundle.glob(name))
    data = path.read_bytes()
    accepted = []
    for length in (*range(0, len(data), 13), len(data) - 1):  # the campaign cuts at every byte
        path.write_bytes(data[:length])
        if is_accepted(shop, anchor):
            accepted.append(length)
    path.write_bytes(data)
    assert accepted == []


def test_random_flips_over_the_payload_are_refused(shop: Workshop) -> None:
    anchor, rng = shop.anchor(), random.Random(7)
    names = [p for p in sorted(shop.bundle.iterdir()) if not p.name.startswith(("SHA256SUMS", "root."))]
    for _ in range(60):
        path = rng.choice(names)
        data = path.read_bytes()
        bent = bytearray(data)
        bit = rng.randrange(len(data) * 8)
        bent[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bent)
        assert not is_accepted(shop, anchor), (path.name, bit)
        path.write_bytes(data)


def test_a_medium_leaves_no_handle_open(shop: Workshop) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        assert is_accepted(shop, shop.anchor())
    assert len(list(Path("/proc/self/fd").iterdir())) == before
