"""The tables of attacks: every one is refused by `install.sh` and by the Python verifier, alike.

One honest bundle, one defect each (`tests/attacks/`). Both judges must give the same exit code and the same
three lines. Here all go through the Python verifier and one in eight through a shell, in turn; `make
campaign` shows everything to dash, bash and busybox.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks import (
    accepted,
    archives,
    case,
    contents,
    documents,
    files,
    folder,
    mixing,
    release,
    root_texts,
    roots,
    signatures,
    signers,
    sums,
    volumes,
    wrapping,
)
from tests.attacks.case import SHELLS, Attack, attacked, busybox_tools, judge_by_python, judge_by_shell
from tests.attacks.earnest import in_earnest
from tests.bundles import Workshop, make_workshop
from tests.crash import memory_folder

ROOT = Path(__file__).parents[1]
FAMILIES = (files, folder, sums, release, roots, root_texts, signers, mixing)
NAMED = {name: attack for family in FAMILIES for name, attack in family.ATTACKS.items()}
"""Attacks on what both judges see."""
INSIDE = contents.ATTACKS | documents.ATTACKS | volumes.ATTACKS
"""Attacks on what lies inside: the shell never opens contents.json; the appliance, to which it hands over,
does."""
ARCHIVES = archives.ATTACKS | wrapping.ATTACKS
"""Attacks on runtime.tar.gz, which both judges see through."""
HONEST = accepted.ACCEPTED | signatures.ACCEPTED
EVERY = 8
"""One in so many is shown to a shell here."""
HEAVY = (
    "of a million files",
    "of 100 MB of blanks",
    "of 200,000 parts",
    "of 50,000 files that a delta leaves out",
)
"""Documents that take a second each; the first of them is judged here too."""


def shell_of(name: str, table: dict[str, Attack], every: int = EVERY) -> str | None:
    """The shell that judges an attack of a table here, if one does."""
    place = list(table).index(name)
    return list(SHELLS)[place // every % len(SHELLS)] if place % every == 0 else None


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return make_workshop(tmp_path_factory.mktemp("bundle") / "shop")


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory, and gone at once: else a thousand copies of the bundle would be written to the disk."""
    with memory_folder("attack") as folder:
        yield folder


def check(honest: Workshop, folder: Path, attack: Attack, shell: str | None) -> None:
    """Both judges must give the attack's answer."""
    shop, site, anchor = attacked(honest, folder, attack)
    lines = attack.lines(shop) if attack.exit_code else ""
    error = judge_by_python(shop, site, anchor)
    assert ((error.exit_code, f"islet: {error}\n") if error else (0, "")) == (attack.exit_code, lines)
    if shell:
        done = judge_by_shell(SHELLS[shell], shop, site, anchor, environment=attack.environment)
        assert (done.returncode, done.stderr) == (attack.exit_code, lines), shell


def test_there_are_as_many_as_the_campaign_says() -> None:
    assert len(NAMED) == sum(len(family.ATTACKS) for family in FAMILIES) >= 200
    assert len(signatures.ATTACKS) >= 100
    assert len(INSIDE) + len(ARCHIVES) >= 250


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMED)
def test_both_judges_refuse_alike(name: str, honest: Workshop, tmp_path: Path) -> None:
    check(honest, tmp_path, NAMED[name], shell_of(name, NAMED))


@pytest.mark.slow
@pytest.mark.parametrize("name", signatures.ATTACKS)
def test_both_judges_refuse_a_signature_alike(name: str, honest: Workshop, tmp_path: Path) -> None:
    check(honest, tmp_path, signatures.ATTACKS[name], shell_of(name, signatures.ATTACKS, 11))


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHIVES)
def test_both_judges_refuse_an_archive_alike(name: str, honest: Workshop, tmp_path: Path) -> None:
    check(honest, tmp_path, ARCHIVES[name], shell_of(name, ARCHIVES, 17))


@pytest.mark.parametrize("name", wrapping.CORNERED)
def test_the_appliance_refuses_what_no_tar_reads(name: str, honest: Workshop, tmp_path: Path) -> None:
    check(honest, tmp_path, wrapping.CORNERED[name], None)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*list(ARCHIVES)[::20], *list(wrapping.CORNERED)[::4]])
def test_no_archive_writes_outside_the_prefix(name: str, honest: Workshop, tmp_path: Path) -> None:
    attack = (ARCHIVES | wrapping.CORNERED)[name]
    outcome = in_earnest(honest, tmp_path, attack, SHELLS["dash"])
    assert outcome.written == ()
    if name in ARCHIVES:
        assert (outcome.code, outcome.started) == (attack.exit_code, ())


@pytest.mark.parametrize("shell", ["dash", "busybox's tools"])
def test_an_environment_with_odd_names_is_unpacked_whole(
    shell: str, honest: Workshop, tmp_path: Path
) -> None:
    command = SHELLS.get(shell) or busybox_tools(tmp_path / "tools")
    outcome = in_earnest(honest, tmp_path / "case", Attack(wrapping.WHOLE, 0, "", ""), command)
    assert (outcome.code, outcome.said, outcome.written) == (0, "", ())
    assert outcome.started == (
        "./bin/python",
        "./lib/--checkpoint=1 $(id);'&#~.txt",
        "./lib/A.TXT",
        "./lib/a.txt",
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ARCHIVES)[7::40])
def test_busybox_tools_refuse_an_archive_alike(name: str, honest: Workshop, tmp_path: Path) -> None:
    attack = ARCHIVES[name]
    outcome = in_earnest(honest, tmp_path / "case", attack, busybox_tools(tmp_path / "tools"))
    assert (outcome.code, outcome.written, outcome.started) == (attack.exit_code, (), ())


@pytest.mark.slow
@pytest.mark.parametrize("name", HONEST)
def test_both_judges_accept_what_is_in_order(name: str, honest: Workshop, tmp_path: Path) -> None:
    check(honest, tmp_path, HONEST[name], shell_of(name, HONEST))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in INSIDE if not name.endswith(HEAVY[1:])])
def test_the_appliance_refuses_what_lies_inside(name: str, honest: Workshop, tmp_path: Path) -> None:
    attack = INSIDE[name]
    shop, site, anchor = attacked(honest, tmp_path, attack)
    error = judge_by_python(shop, site, anchor)
    assert error is not None
    assert error.exit_code == attack.exit_code
    assert attack.answers(shop, f"islet: {error}\n")


@pytest.mark.parametrize(
    "name", ["{} is missing", "a bit of {} is flipped", "{} is a link to the same bytes"]
)
def test_a_volume_that_is_not_the_signed_one_is_refused(name: str, honest: Workshop, tmp_path: Path) -> None:
    check(honest, tmp_path, files.ATTACKS[name.format("payload.000.tar")], None)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_honest_bundle_is_accepted(shell: str, honest: Workshop, tmp_path: Path) -> None:
    check(honest, tmp_path, accepted.ACCEPTED["the honest bundle"], shell)
    assert not (tmp_path / "prefix").exists()


def test_a_site_killed_before_it_remembered_its_root_still_knows_its_number(
    honest: Workshop, tmp_path: Path
) -> None:
    attack = release.ATTACKS["an older release"]
    shop, site, anchor = attacked(honest, tmp_path, attack)
    (site.prefix / "trust" / "root").unlink()
    error = judge_by_python(shop, site, anchor)
    assert f"islet: {error}\n" == attack.lines(shop)
    result = judge_by_shell(SHELLS["dash"], shop, site, anchor)
    assert (result.returncode, result.stderr) == (3, f"islet: {error}\n")


def test_stock_tools_accept_the_honest_bundle(honest: Workshop, tmp_path: Path) -> None:
    """The two commands that an auditor types, and tar, which reads the volumes."""
    listed, signed = honest.bundle / "SHA256SUMS", case.signature(honest)
    public = honest.public("release")
    command = ["openssl", "dgst", "-sha256", "-verify", public, "-signature", signed, listed]
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert (
        subprocess.run(["sha256sum", "-c", "--strict", "--quiet", listed], cwd=honest.bundle).returncode == 0
    )
    subprocess.run(["tar", "-xf", honest.bundle / "payload.000.tar", "-C", tmp_path], check=True)
    source = honest.root / "sources" / "models_islet_tiny_config.json"
    assert (tmp_path / "models/islet/tiny/config.json").read_bytes() == source.read_bytes()


def test_every_attack_that_the_threats_name_exists() -> None:
    text = (ROOT / "docs" / "threats.md").read_text(encoding="utf-8")
    cells = [line.split("|")[-2] for line in text.splitlines() if line.startswith("| ")]
    named = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    known = NAMED | signatures.ATTACKS | INSIDE | ARCHIVES | HONEST
    assert len(named) > 50
    assert [name for name in named if name not in known and not (ROOT / name).is_file()] == []
