"""Exceptions from the policy: one rule, one file, said aloud; none from what makes a bundle safe to load."""

import json
import re
from pathlib import Path

import pytest

from appliance.errors import BadInput
from appliance.progress import Silent
from bundler.accept_notes import CHINESE, ENGLISH, from_sbom, properties, section
from bundler.inspection import inspect_bundle
from bundler.manifest import read_manifest
from bundler.policy import check_content, check_names
from bundler.rules import ACCEPTABLE, MEANING, Accept, Exceptions, accept_problems
from bundler.sign import read_unsigned
from bundler.wheel_policy import check_wheel
from bundler.wrapping import cells
from tests.bundles import make_workshop
from tests.wheel_maker import write_wheel

WHY = "looked at by two of us"
WHEEL = "wheels/x-1.0-py3-none-any.whl"


def accepting(rule: str, file: str) -> Exceptions:
    return Exceptions([Accept(rule, file, WHY)])


def test_an_exception_lets_one_file_break_one_rule(tmp_path: Path) -> None:
    exceptions = accepting("file-kind", "models/o/m/photo.png")
    check_names("o/m", ["a.safetensors", "photo.png"], exceptions)
    exceptions.check_needed()
    for other in ("photo2.png", "sub/photo.png"):
        with pytest.raises(BadInput, match=other):
            check_names("o/m", ["a.safetensors", other], accepting("file-kind", "models/o/m/photo.png"))
    wheel = write_wheel(tmp_path, {"a.pth": b"import a\n", "b.pth": b"import b\n"})
    with pytest.raises(BadInput) as caught:
        check_wheel(wheel, accepting("start-code", f"{WHEEL}/a.pth"))
    assert "b.pth" in caught.value.why
    check_wheel(wheel, Exceptions([Accept("start-code", f"{WHEEL}/{name}.pth", WHY) for name in "ab"]))


def test_a_refusal_says_how_to_except_it(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, {"x/a.py": b"1"}, unlisted=("x/a.py",))
    with pytest.raises(BadInput) as caught:
        check_wheel(wheel)
    said = re.search(r'rule = "([^"]+)", file = "([^"]+)"', str(caught.value.next_step))
    assert said is not None
    check_wheel(wheel, accepting(said[1], said[2]))


def test_an_accepted_wheel_is_looked_at_again_each_time(tmp_path: Path) -> None:
    wheel, mark = write_wheel(tmp_path, {"a.pth": b"import a\n"}), tmp_path / "judged" / "wheel-0"
    check_wheel(wheel, accepting("start-code", f"{WHEEL}/a.pth"), mark=mark)
    assert not mark.exists()
    with pytest.raises(BadInput):
        check_wheel(wheel, mark=mark)


def test_an_accepted_kind_of_file_is_still_no_pickle(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\x80\x02cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(BadInput, match="pickle"):
        check_content("o/m", "photo.png", tmp_path / "x", accepting("file-kind", "models/o/m/photo.png"))


@pytest.mark.parametrize(
    ("rule", "path", "body"),
    [
        ("pickle", "README.md", b"cos\nsystem\n(S'true'\ntR."),
        ("remote-code", "config.json", b'{"auto_map": {}}'),
        ("code", "README.md", b"\x7fELF"),
        ("credential", "config.json", b'{"a": "https://u:Tr0ub4dor@example.org"}'),
        ("weights", "a.safetensors", b""),
    ],
)
def test_what_makes_a_bundle_safe_cannot_be_excepted(
    tmp_path: Path, rule: str, path: str, body: bytes
) -> None:
    (tmp_path / "x").write_bytes(body)
    with pytest.raises(BadInput) as caught:
        check_content("o/m", path, tmp_path / "x", accepting(rule, f"models/o/m/{path}"))
    assert f"(rule {rule})" in caught.value.why
    assert "[[accept]]" not in caught.value.next_step
    assert accept_problems([Accept(rule, f"models/o/m/{path}", WHY)]) == [
        f"accept[0].rule: there is no exception from {rule!r}"
    ]


def test_an_exception_that_nothing_needs_is_refused() -> None:
    exceptions = accepting("file-kind", "models/o/m/photo.png")
    with pytest.raises(BadInput) as caught:
        exceptions.check_needed()
    assert "models/o/m/photo.png" in caught.value.why


@pytest.mark.parametrize(
    ("accept", "problem"),
    [
        (Accept("anything", "models/o/m/x.png", WHY), "accept[0].rule: 'anything' is not one of"),
        (Accept("file-kind", "models/o/m/*.png", WHY), "is a pattern"),
        (Accept("file-kind", "", WHY), "is not a file's path"),
        (Accept("file-kind", "/etc/x.png", WHY), "is not a file's path"),
        (Accept("file-kind", "models/o/m/x.png", "fine"), "accept[0].reason"),
        (Accept("file-kind", "models/o/m/x.png", "two\nlines of reason"), "accept[0].reason"),
    ],
)
def test_an_exception_is_exact_and_has_a_reason(accept: Accept, problem: str) -> None:
    assert any(problem in found for found in accept_problems([accept]))


def test_an_exception_stands_once() -> None:
    accept = Accept("file-kind", "models/o/m/x.png", WHY)
    assert accept_problems([accept]) == []
    assert accept_problems([accept, accept]) == ["accept[1]: it stands twice"]


def test_every_rule_has_words_and_the_dangerous_have_no_exception() -> None:
    assert MEANING.keys() > ACCEPTABLE
    assert not ACCEPTABLE & {"pickle", "code", "remote-code", "weights", "credential", "disguise", "path"}


ACCEPTS = (
    Accept("file-kind", "models/o/m/photo.png", "the card shows it"),
    Accept("start-code", f"{WHEEL}/a.pth", "read by two of us: it sets a path"),
)


def stated(accepts: tuple[Accept, ...]) -> dict[str, object]:
    """An SBOM as far as it tells of exceptions."""
    listed = [{"name": f"islet:{name}", "value": value} for name, value in properties(accepts).items()]
    return {"metadata": {"properties": [*listed, {"name": "islet:expires", "value": "never"}]}}


def test_the_sbom_says_every_exception() -> None:
    assert from_sbom(json.loads(json.dumps(stated(ACCEPTS)))) == ACCEPTS
    assert from_sbom(stated(())) == from_sbom({}) == ()
    odd = {"metadata": {"properties": [{"name": "islet:accepted:000", "value": "{"}]}}
    assert "cannot be read" in from_sbom(odd)[0].reason


def test_who_signs_and_who_inspects_is_shown_every_exception(tmp_path: Path) -> None:
    shop = make_workshop(tmp_path / "shop")
    (shop.bundle / "sbom.cdx.json").write_text(json.dumps(stated(ACCEPTS)))
    shop.list_and_sign()
    shown = "\n".join(read_unsigned(shop.bundle, shop.roots, Silent()).lines())
    found = inspect_bundle(shop.bundle, None, Silent())
    assert found.accepted == ACCEPTS
    for accept in ACCEPTS:
        assert f"{accept.rule}: {accept.file}" in shown
        assert f"because: {accept.reason}" in shown
    assert "EXCEPTIONS" in shown


def test_the_notes_list_every_exception_in_both_languages() -> None:
    for words in (ENGLISH, CHINESE):
        text = section(words, ACCEPTS)
        assert text.startswith(words[0])
        assert all(f"- `{accept.file}`" in text and accept.rule in text for accept in ACCEPTS)
        assert all(cells(line) <= 80 for line in text.splitlines() if not line.startswith("- `"))
        assert section(words, ()) == ""


def test_a_manifest_makes_exceptions_and_is_refused_a_wrong_one(tmp_path: Path) -> None:
    manifest = tmp_path / "m.toml"
    head = '[bundle]\nproduct = "a"\n[target]\npython = "3.12"\n[runtime]\nchannels = ["./c"]\n[[accept]]\n'
    manifest.write_text(head + f'rule = "file-kind"\nfile = "models/o/m/a.png"\nreason = "{WHY}"\n')
    assert read_manifest(manifest).accept == (Accept("file-kind", "models/o/m/a.png", WHY),)
    manifest.write_text(head + f'rule = "pickle"\nfile = "models/o/m/a.png"\nreason = "{WHY}"\n')
    with pytest.raises(BadInput) as caught:
        read_manifest(manifest)
    assert "there is no exception from 'pickle'" in caught.value.why
