"""What others wrote stands in the bundler's tables as text: no markup, and nothing to move a terminal."""

import json
from pathlib import Path

import msgspec
import pytest

from appliance.progress import Silent
from bundler.accept_notes import lines
from bundler.diff import difference
from bundler.diff_table import print_difference
from bundler.inspection import inspect_bundle
from bundler.inspection_table import print_inspection
from bundler.keeping import NO_LOCK
from bundler.licence import shown
from bundler.listing import read_listing
from bundler.rules import Accept
from bundler.show import print_table
from bundler.sources.wheels import LockedWheel
from tests.bundles import make_workshop

HOSTILE = "Own [/terms] [red]\x1b[2J\x1b]0;x\x07\u202e :warning:"
HARMLESS = "Own [/terms] [red]?[2J?]0;x?? :warning:"


def test_a_licence_stands_in_the_table_of_a_lock_as_it_was_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    wheel = LockedWheel("a", "1.0", "a-1.0-py3-none-any.whl", "0" * 64, 1, HOSTILE, "")
    lock = msgspec.structs.replace(NO_LOCK, lacks=(), created="2026-11-21T08:00:00Z", wheels=(wheel,))
    print_table(lock, 4_000_000_000)
    printed = capsys.readouterr().out
    assert all(word in printed.split() for word in HARMLESS.split())  # in a column of its own
    assert printed.isascii() and "\x1b" not in printed


def test_what_a_bundle_says_of_itself_does_nothing_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = make_workshop(tmp_path / "shop")
    contents = shop.bundle / "contents.json"
    hostile = contents.read_text().replace('"CC0-1.0"', json.dumps(HOSTILE))
    contents.write_text(hostile.replace('"component": "test"', f'"component": {json.dumps(HOSTILE)}'))
    accept = json.dumps({"rule": "record", "file": HOSTILE, "reason": HOSTILE})
    properties = [
        {"name": "islet:accepted:000", "value": accept},
        {"name": "islet:target:python", "value": HOSTILE},
        {"name": "islet:advisories:not_checked", "value": HOSTILE},
    ]
    (shop.bundle / "sbom.cdx.json").write_text(json.dumps({"metadata": {"properties": properties}}))
    shop.list_and_sign()
    print_inspection(inspect_bundle(shop.bundle, None, Silent()))
    print_difference(difference(read_listing(shop.bundle), read_listing(contents)))
    other = tmp_path / "other.json"
    other.write_text(contents.read_text().replace("[red]", "[blue]"))
    print_difference(difference(read_listing(contents), read_listing(other)))
    printed = capsys.readouterr().out
    assert printed.count(HARMLESS) > 3
    assert not {"\x1b", "\x07", "\u202e"} & set(printed)


def test_an_exception_is_shown_to_a_signer_without_what_would_hide_it() -> None:
    assert lines([Accept("record", "wheels/a.whl", "\x1b[1A\x1b[2Khidden, 藏")]) == [
        "record: wheels/a.whl",
        "  because: ?[1A?[2Khidden, 藏",
    ]


def test_a_licence_is_shown_in_its_own_words_and_signs() -> None:
    assert shown("Lizenz für\tä\n藏书", "none") == "Lizenz für ä 藏书"
    assert shown("A\x1b[2J", "none") == "A?[2J"
