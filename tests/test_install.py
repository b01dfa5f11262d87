"""Installing: real bundles in boxes without a network, full disks, kills, upgrades, tired administrators."""

import hashlib
import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.bundle.contents import parse_contents
from appliance.bundle.medium import Medium
from appliance.errors import DamagedBundle
from appliance.progress import Silent
from appliance.site import audit
from appliance.site.layout import Site
from appliance.site.releases import current_release, installed_releases
from appliance.site.store import fill_store
from appliance.site.trust import read_trust
from bundler.pack import Item, lay_out, write_volumes
from tests.bundles import INSTALLER, Workshop, make_workshop
from tests.deltas import spoilt
from tests.real import (
    BOX_ENVIRONMENT,
    InstalledSite,
    RealBundle,
    box_command,
    hidden_paths,
    in_box,
    install_command,
    scratch,
)

as_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root: mounts, other users")


@pytest.fixture
def place() -> Iterator[Path]:
    with scratch("install") as folder:
        yield folder


def install(bundle: RealBundle, place: Path) -> "subprocess.CompletedProcess[str]":
    return in_box(install_command(bundle, place / "opt", place / "state"))


def site_of(place: Path) -> Site:
    return Site(place / "opt", place / "state")


def is_whole(place: Path) -> bool:
    """Whether the release in use runs, and its files are the signed ones."""
    site = site_of(place)
    now = current_release(site)
    assert spoilt(site, now.contents()) == []
    answer = in_box([place / "opt/bin/islet", "--help"])
    return answer.returncode == 0 and "train" in answer.stdout


def half_done(prefix: Path) -> list[str]:
    """Names that only an install at work may leave."""
    found = [*prefix.glob("quarantine.*"), *prefix.glob(".*.new"), *prefix.rglob("*.part")]
    whole = {path.parent for path in prefix.glob("releases/*/installed.json")}
    return [str(path) for path in [*found, *(p for p in prefix.glob("releases/*") if p not in whole)]]


# --- one installation ---------------------------------------------------------------------------


@pytest.mark.slow
def test_the_installed_tree_runs_with_the_builders_python_hidden(installed_site: InstalledSite) -> None:
    python = installed_site.prefix / "releases/1/runtime/bin/python"
    script = """
set -eu
for hidden in "$@"; do if [ -e "$hidden/bin/python3" ]; then exit 9; fi; done
"$ISLET" --help >/dev/null
"$ISLET" runs list
"$PYTHON" -I -c 'import torch, transformers, peft, datasets, bitsandbytes, xllamacpp; print(torch.__file__)'
"""
    told = [f"ISLET={installed_site.islet}", f"PYTHON={python}"]
    done = in_box(["env", *told, "sh", "-c", script, "sh", *hidden_paths()])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"{installed_site.prefix}/releases/1/runtime/lib/")


@pytest.mark.slow
@as_root
def test_nothing_is_written_but_prefix_and_state(small_bundle: RealBundle, place: Path) -> None:
    """The whole machine as the lower layer of an overlay: what was written is the upper layer."""
    script = """
set -eu
layers=$1; shift
mount -t tmpfs none "$layers"
mkdir "$layers/upper" "$layers/work" "$layers/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$layers/upper,workdir=$layers/work" "$layers/root"
for folder in /proc /dev; do mount --rbind "$folder" "$layers/root$folder"; done
umask 077
chroot "$layers/root" "$@" >&2
cd "$layers/upper"
find . ! -type d | cut -c2-
"""
    layers = place / "layers"
    layers.mkdir()
    command = install_command(small_bundle, Path("/opt/islet"), Path("/var/lib/islet"))
    done = in_box(["sh", "-c", script, "sh", layers, *command])
    assert done.returncode == 0, done.stderr
    written = done.stdout.splitlines()
    assert "/opt/islet/current" in written
    assert [path for path in written if not path.startswith(("/opt/islet/", "/var/lib/islet/"))] == []


@pytest.fixture(scope="module")
def watched(small_bundle: RealBundle) -> Iterator[Path]:
    """A site that was installed under umask 077 and a trace of what was synced and renamed."""
    with scratch("watched") as place:
        options = ["-f", "-qq", "-e", "signal=none", "-e", "trace=syncfs,fsync,rename,renameat"]
        command = install_command(small_bundle, place / "opt", place / "state")
        shell = ["sh", "-c", 'umask 077; exec "$@"', "sh"]
        done = in_box(["strace", *options, "-o", place / "trace", *shell, *command])
        assert done.returncode == 0, done.stderr
        yield place


@pytest.mark.slow
def test_an_install_under_umask_077_can_be_used_and_not_changed_by_others(watched: Path) -> None:
    odd = []
    for path in (watched / "opt").rglob("*"):
        mode = path.lstat().st_mode
        stored = (watched / "opt/store") in path.parents and path.is_file()
        wanted = 0o555 if path.is_dir() else 0o400 if path.name == ".lock" else 0o444
        if not stat.S_ISLNK(mode) and (mode & wanted != wanted or mode & (0o6222 if stored else 0o6022)):
            odd.append((str(path), oct(mode)))
    assert odd == []
    assert half_done(watched / "opt") == []
    assert stat.S_IMODE((watched / "state/audit.jsonl").stat().st_mode) == 0o640


@pytest.mark.slow
def test_everything_is_on_the_disk_before_what_vouches_for_it(
    watched: Path, small_bundle: RealBundle
) -> None:
    """A power cut keeps what was synced: the order of sync and rename in a system-call trace."""
    lines = (watched / "trace").read_text().splitlines()
    calls = [line.split(maxsplit=1)[1] for line in lines if line.endswith("= 0")]
    renames = [(at, call) for at, call in enumerate(calls) if call.startswith("rename")]

    def last(what: str) -> int:
        return max(at for at, call in renames if what in call)

    stored = [at for at, call in renames if "/opt/store/" in call]
    entries = parse_contents((small_bundle.folder / "contents.json").read_bytes()).entries
    assert len(stored) == len({entry.sha256 for entry in entries}) + 1  # runtime.tar.gz, for later deltas
    assert sum(call.startswith("fsync") for call in calls[: stored[-1]]) >= len(stored)
    vouched, remembered = last('/releases/1/installed.json"'), last('/trust/state"')
    synced = [at for at, call in enumerate(calls) if call.startswith("syncfs(")]
    assert stored[-1] < synced[0] < vouched < remembered < last('/opt/current"') == renames[-1][0]


@pytest.mark.slow
@as_root
def test_a_user_without_rights_installs_into_a_folder_of_his_own(
    small_bundle: RealBundle, place: Path
) -> None:
    os.chown(place, 65534, 65534)
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    command = install_command(small_bundle, place / "opt", place / "state")
    done = in_box([*user, *command])
    assert done.returncode == 0, done.stderr
    answer = in_box([*user, place / "opt/bin/islet", "runs", "list"])
    assert answer.returncode == 0, answer.stderr
    forbidden = in_box([*user, *install_command(small_bundle, Path("/opt/islet-test"), place / "state")])
    assert forbidden.returncode == 5
    assert forbidden.stderr.startswith("islet: /opt/islet-test cannot be written.\n")


@pytest.mark.slow
@as_root
def test_busybox_and_openssl_are_all_that_an_install_needs(small_bundle: RealBundle, place: Path) -> None:
    tools = place / "tools"
    tools.mkdir()
    for program in ("busybox", "openssl"):
        shutil.copy2(shutil.which(program) or program, tools / program)
    for applet in subprocess.run(["busybox", "--list"], capture_output=True, text=True).stdout.split():
        if not (tools / applet).exists():
            (tools / applet).symlink_to("busybox")
    (place / "empty").mkdir()
    script = 'mount --bind "$1" /usr/bin; mount --bind "$2" /usr/sbin; shift 2; exec "$@"'
    command = install_command(small_bundle, place / "opt", place / "state")
    done = in_box(["sh", "-c", script, "sh", tools, place / "empty", *command])
    assert done.returncode == 0, done.stderr
    assert is_whole(place)


@pytest.mark.slow
@as_root
def test_check_needs_almost_no_temporary_room_and_no_writable_medium(
    small_bundle: RealBundle, place: Path, tmp_path: Path
) -> None:
    script = """
set -eu
mount -t tmpfs -o size=200k none "$1"; export TMPDIR="$1"
mount --bind "$2" "$2"; mount -o remount,ro,bind "$2"
shift 2; exec "$@"
"""
    command = install_command(small_bundle, place / "opt", place / "state")
    done = in_box(["sh", "-c", script, "sh", tmp_path, small_bundle.folder, *command, "--check"])
    assert (done.returncode, done.stderr) == (0, "")
    assert list(place.iterdir()) == []


# --- what a box may lack ------------------------------------------------------------------------


@pytest.mark.slow
@as_root
def test_no_room_is_said_before_anything_is_written(small_bundle: RealBundle, place: Path) -> None:
    done, left = install_on_tmpfs(small_bundle, place, "size=30m")
    assert done.returncode == 5
    assert done.stderr.startswith(f"islet: {place}/opt/islet has too little room.\nwhy: ")
    assert left == []


@pytest.mark.slow
@as_root
@pytest.mark.parametrize("share", [0.2, 0.7, 0.95])
def test_a_disk_that_fills_up_on_the_way_leaves_nothing(
    share: float, small_bundle: RealBundle, place: Path, watched: Path
) -> None:
    """Inodes run out where bytes would still do, so the room that was asked for is there at first."""
    inodes = len({path.lstat().st_ino for path in (watched / "opt").rglob("*")})
    done, left = install_on_tmpfs(small_bundle, place, f"size=2g,nr_inodes={int(share * inodes)}")
    assert done.returncode == 5, done.stderr
    lines = done.stderr.splitlines()[-3:]
    assert lines[0] == f"islet: {place}/opt/islet is full."
    assert lines[1] == "why: No space left on device"
    assert [path for path in left if "/store/" not in path and not path.endswith("/.lock")] == []


def install_on_tmpfs(
    bundle: RealBundle, place: Path, options: str
) -> tuple["subprocess.CompletedProcess[str]", list[str]]:
    """Install on a file system of its own; the result, and every file left there."""
    script = """
mount -t tmpfs -o "$1" none "$2"
listing=$3 where=$2; shift 3
"$@"; code=$?
find "$where" ! -type d >"$listing"
exit "$code"
"""
    (place / "opt").mkdir()
    listing = place / "listing"
    command = install_command(bundle, place / "opt/islet", place / "state")
    done = in_box(["sh", "-c", script, "sh", options, place / "opt", listing, *command])
    return done, listing.read_text().splitlines()


@pytest.mark.slow
@as_root
@pytest.mark.parametrize(
    ("stand_in", "what"),
    [("/dev/null", "openssl is not on this box."), ("/usr/bin/true", "openssl does not work on this box.")],
)
def test_a_box_without_a_working_openssl_is_told_so(
    stand_in: str, what: str, small_bundle: RealBundle, place: Path
) -> None:
    openssl = shutil.which("openssl") or "/usr/bin/openssl"
    script = 'mount --bind "$1" "$2"; shift 2; exec "$@"'
    command = install_command(small_bundle, place / "opt", place / "state")
    done = in_box(["sh", "-c", script, "sh", stand_in, openssl, *command])
    assert done.returncode == 5
    assert done.stderr.splitlines()[0] == f"islet: {what}"
    assert list(place.iterdir()) == []


@pytest.mark.slow
def test_a_flipped_byte_in_a_volume_is_refused_and_a_good_copy_then_installs(
    small_bundle: RealBundle, place: Path
) -> None:
    medium = place / "disk"
    shutil.copytree(small_bundle.folder, medium)
    volume = medium / "payload.000.tar"
    data = bytearray(volume.read_bytes())
    data[len(data) // 2] ^= 0x10
    volume.write_bytes(data)
    bad = RealBundle(medium, small_bundle.manifest, small_bundle.roots, small_bundle.key, small_bundle.hub)
    done = install(bad, place)
    assert done.returncode == 4
    assert done.stderr.splitlines()[-3] == "islet: payload.000.tar is damaged."
    assert half_done(place / "opt") == []
    assert not (place / "opt/current").exists()
    assert not list((place / "opt/store").glob("*/*"))
    shutil.copyfile(small_bundle.folder / volume.name, volume)
    assert install(bad, place).returncode == 0
    assert is_whole(place)


# --- kills, and two at once ---------------------------------------------------------------------


def start(bundle: RealBundle, place: Path) -> "subprocess.Popen[str]":
    """An install in a session of its own; its process is the shell that runs install.sh."""
    return subprocess.Popen(
        box_command(install_command(bundle, place / "opt", place / "state")),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=BOX_ENVIRONMENT,
        start_new_session=True,
    )


def kill_after(wait_s: float, bundle: RealBundle, place: Path) -> None:
    """Start an install and kill all of it at once, as a power switch does to processes."""
    child = start(bundle, place)
    time.sleep(wait_s)
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()


def timed(bundle: RealBundle, place: Path) -> float:
    """How long an unharmed install takes here and now, in seconds."""
    started = time.monotonic()
    assert install(bundle, place).returncode == 0
    return time.monotonic() - started


@pytest.mark.slow
def test_a_first_install_killed_at_any_moment_is_finished_by_the_same_command(
    small_bundle: RealBundle, place: Path
) -> None:
    took_s = timed(small_bundle, place)
    for share in (0.1, 0.35, 0.6, 0.95):
        shutil.rmtree(place / "opt")
        kill_after(share * took_s, small_bundle, place)
        if (place / "opt/current").exists():
            assert is_whole(place), share
    done = install(small_bundle, place)
    assert done.returncode == 0, done.stderr
    assert is_whole(place)
    assert half_done(place / "opt") == []


KILLS = int(os.environ.get("ISLET_KILLS", "4"))
"""Moments, spread over an upgrade, at which it is killed; `make campaign` asks for more."""


@pytest.mark.slow
def test_an_upgrade_killed_at_any_moment_leaves_the_old_release_or_the_new_one(
    small_bundle: RealBundle, small_second: RealBundle, place: Path
) -> None:
    site = site_of(place)
    assert install(small_bundle, place).returncode == 0
    memory = (site.prefix / "trust/state").read_bytes()
    took_s = timed(small_second, place)
    seen = set()
    for number in range(KILLS):
        share = (number + 0.5) / KILLS
        shutil.rmtree(site.release(2), ignore_errors=True)
        site.current.unlink()
        site.current.symlink_to("releases/1")
        (site.prefix / "trust/state").write_bytes(memory)
        kill_after(share * took_s, small_second, place)
        seen.add(current_release(site).number)
        assert is_whole(place), share
        done = install(small_second, place)
        assert done.returncode == 0, (share, done.stderr)
        assert current_release(site).number == 2
        assert is_whole(place), share
        assert half_done(site.prefix) == []
    assert 1 in seen
    assert [r.number for r in installed_releases(site)] == [1, 2]


@pytest.mark.slow
def test_what_a_killed_shell_left_running_is_waited_for(small_bundle: RealBundle, place: Path) -> None:
    """Its Python goes on by itself; a second install must not pull the folder away from under it."""
    child = start(small_bundle, place)
    until(lambda: any((place / "opt").glob("quarantine.*/requirements.txt")))
    os.kill(child.pid, signal.SIGKILL)
    done = install(small_bundle, place)
    assert (done.returncode, done.stderr.splitlines()[0]) == (5, "islet: Another install is running here.")
    until(lambda: install(small_bundle, place).returncode == 0)
    child.communicate()
    assert is_whole(place)
    assert half_done(place / "opt") == []


@pytest.mark.slow
def test_of_two_installs_at_once_the_second_is_refused(small_bundle: RealBundle, place: Path) -> None:
    first = start(small_bundle, place)
    until(lambda: any((place / "opt").glob("quarantine.*")))
    second = install(small_bundle, place)
    assert (second.returncode, second.stderr.splitlines()[0]) == (
        5,
        "islet: Another install is running here.",
    )
    _, errors = first.communicate()
    assert first.returncode == 0, errors
    assert is_whole(place)


def until(holds: object, patience_s: float = 120.0) -> None:
    """Wait until `holds()`, or fail."""
    deadline = time.monotonic() + patience_s
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


# --- upgrades -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_upgrade_rollback_and_the_way_forward_again(
    small_bundle: RealBundle, small_second: RealBundle, place: Path
) -> None:
    site = site_of(place)
    for bundle in (small_bundle, small_second):
        done = install(bundle, place)
        assert done.returncode == 0, done.stderr
    model = "models/islet-test/tiny/model.safetensors"
    assert (site.release(1) / model).stat().st_ino == (site.release(2) / model).stat().st_ino
    back = in_box([place / "opt/bin/islet", "rollback", "--yes"])
    assert (back.returncode, current_release(site).number) == (0, 1)
    older = install(small_bundle, place)
    assert older.returncode == 3
    assert older.stderr.splitlines()[0] == "islet: Release 1 is older than this site."
    # As at the first: nobody types --state again, and nothing is unpacked again.
    forward = ["sh", INSTALLER, "--prefix", site.prefix, small_second.folder]
    done = in_box(forward)
    assert done.returncode == 0, done.stderr
    assert "unpacking" not in done.stdout
    assert current_release(site).number == 2
    entries = audit.check(site.audit).entries
    assert [entry["event"] for entry in entries] == ["anchor", "install", "install", "rollback", "install"]
    assert entries[0]["how"] == "given as --anchor"
    assert entries[0]["root_sha256"] == small_bundle.anchor
    sums = hashlib.sha256((small_second.folder / "SHA256SUMS").read_bytes()).hexdigest()
    assert (entries[4]["number"], entries[4]["sums_sha256"]) == (2, sums)


@pytest.mark.slow
def test_installing_again_puts_right_what_was_removed_rotten_or_mistaken(
    small_bundle: RealBundle, place: Path
) -> None:
    site = site_of(place)
    assert install(small_bundle, place).returncode == 0
    model = site.release(1) / "models/islet-test/tiny/model.safetensors"
    wanted = model.read_bytes()
    model.chmod(0o644)
    model.write_bytes(wanted[:-1] + b"!")
    shutil.rmtree(site.release(1))
    assert not site.current.exists()
    done = install(small_bundle, place)
    assert done.returncode == 0, done.stderr
    assert model.read_bytes() == wanted
    # The disk spoiled what vouches for the release in use: beside the line that tells of its list, then all.
    note = site.release(1) / "installed.json"
    honest = note.read_bytes()
    note.write_bytes(honest.replace(b'"product"', b'"prodict"'))
    with pytest.raises(DamagedBundle, match=r"installed\.json is damaged on this box"):
        current_release(site)
    done = install(small_bundle, place)
    assert (done.returncode, note.read_bytes()) == (0, honest), done.stderr
    assert "unpacking the runtime" not in done.stdout
    note.write_bytes(b"")
    done = install(small_bundle, place)
    assert (done.returncode, note.read_bytes()) == (0, honest), done.stderr
    # Another release 1 was finished here and killed before it was remembered; now this one is brought.
    facts = json.loads((site.release(1) / "installed.json").read_text())
    (site.release(1) / "installed.json").write_text(json.dumps(facts | {"sums-sha256": "0" * 64}))
    shutil.rmtree(site.prefix / "trust")
    site.current.unlink()
    done = install(small_bundle, place)
    assert done.returncode == 0, done.stderr
    assert "unpacking the runtime" in done.stdout
    assert is_whole(place)


# --- tired administrators, without a runtime ----------------------------------------------------


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return make_workshop(tmp_path_factory.mktemp("install") / "shop")


def check(
    shop: Workshop, prefix: Path, *more: str | Path, env: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    command = ["sh", INSTALLER, "--check", "--prefix", prefix, "--anchor", shop.anchor(), *more, shop.bundle]
    return subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})}
    )


def test_a_state_folder_other_than_the_sites_is_refused(shop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt/state").write_text(f"{tmp_path}/kept\n")
    assert check(shop, tmp_path / "opt").returncode == 0
    assert check(shop, tmp_path / "opt", "--state", tmp_path / "kept").returncode == 0
    refused = check(shop, tmp_path / "opt", "--state", tmp_path / "elsewhere")
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[0] == f"islet: This site keeps its state in {tmp_path}/kept."


PLACES = {
    "the same": ("opt", "opt", "The prefix and the state folder lie one in the other."),
    "the note of the state": ("opt", "opt/state", "The prefix and the state folder lie one in the other."),
    "the prefix inside": ("srv/opt", "srv", "The prefix and the state folder lie one in the other."),
    "the prefix /": ("/", "srv", "The prefix or the state folder cannot be /."),
    "the state /": ("opt", "//", "The prefix or the state folder cannot be /."),
}


@pytest.mark.parametrize("where", PLACES)
def test_software_and_data_have_folders_of_their_own(shop: Workshop, tmp_path: Path, where: str) -> None:
    prefix, state, what = PLACES[where]
    refused = check(shop, tmp_path / prefix, "--state", f"{tmp_path}/{state}" if state != "//" else state)
    assert (refused.returncode, refused.stderr.splitlines()[0]) == (2, f"islet: {what}")


def test_a_prefix_that_everybody_may_change_is_refused(shop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt").chmod(0o777)
    refused = check(shop, tmp_path / "opt", "--state", tmp_path / "state")
    assert refused.returncode == 5
    assert refused.stderr.splitlines()[0] == f"islet: {tmp_path}/opt can be changed by everybody."


@as_root
def test_a_prefix_of_somebody_else_is_refused(shop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "opt").mkdir()
    os.chown(tmp_path / "opt", 65534, 65534)
    refused = check(shop, tmp_path / "opt", "--state", tmp_path / "state")
    assert refused.returncode == 5
    assert refused.stderr.splitlines()[0] == f"islet: {tmp_path}/opt belongs to somebody else."


def test_settings_of_the_session_change_nothing(shop: Workshop, tmp_path: Path) -> None:
    """Each of these would otherwise lead cd, tar, openssl or Python elsewhere."""
    odd = {
        "CDPATH": "/usr",
        "TAR_OPTIONS": "--to-command=false",
        "OPENSSL_CONF": "/nonexistent",
        "OPENSSL_MODULES": "/nonexistent",
        "POSIXLY_CORRECT": "1",
        "LC_ALL": "zh_CN.GB18030",
        "IFS": "0",
    }
    done = check(shop, tmp_path / "opt", "--state", tmp_path / "state", env=odd)
    assert (done.returncode, done.stderr) == (0, "")


FORGOTTEN = {
    "nothing": b"",
    "no number": b"product: islet-test\nnumber: \nsums-sha256: \nnewest-date: \n",
    "a line more": b"product: a\nnumber: 3\nsums-sha256: %s\nnewest-date: 2026-01-01T00:00:00Z\nx\n"
    % (b"a" * 64),
    "no file": None,
}


@pytest.mark.parametrize("memory", FORGOTTEN.values(), ids=FORGOTTEN)
def test_a_site_that_forgot_its_releases_takes_none_for_new(
    shop: Workshop, tmp_path: Path, memory: bytes | None
) -> None:
    trust = tmp_path / "opt/trust"
    trust.mkdir(parents=True)
    shutil.copy(shop.bundle / "root.1", trust / "root")
    if memory is not None:
        (trust / "state").write_bytes(memory)
    done = check(shop, tmp_path / "opt", "--state", tmp_path / "state")
    with pytest.raises(DamagedBundle) as caught:
        read_trust(Site(tmp_path / "opt", tmp_path / "state"))
    assert done.returncode == caught.value.exit_code == 4
    assert done.stderr == f"islet: {caught.value}\n"
    assert caught.value.what == "This site's memory of its releases is damaged."


def test_folders_of_somebody_else_in_the_prefix_are_left_alone(shop: Workshop, tmp_path: Path) -> None:
    """As an installation does that was refused: it has made its own folders by then."""
    prefix = tmp_path / "opt"
    theirs = ("releases/20241121120000", "releases/notes", "quarantine.samples", "quarantine.2024-11")
    ours = ("releases/7", "quarantine.4194399")
    for name in (*theirs, *ours):
        (prefix / name).mkdir(parents=True)
    command = ["sh", INSTALLER, "--prefix", prefix, "--state", tmp_path / "state", "--anchor", "0" * 64]
    assert subprocess.run([*command, shop.bundle], capture_output=True).returncode == 3
    assert [name for name in (*theirs, *ours) if (prefix / name).exists()] == list(theirs)


@pytest.mark.parametrize("options", [[], ["--posix"]], ids=["bash", "bash --posix"])
def test_functions_of_the_session_are_no_programs(shop: Workshop, tmp_path: Path, options: list[str]) -> None:
    """bash takes functions from its environment, and looks among them before it looks for a program."""
    shutil.copytree(shop.bundle, tmp_path / "bundle")
    (signature,) = (tmp_path / "bundle").glob("SHA256SUMS.sig.*")
    signature.write_bytes(signature.read_bytes()[:40] + b"?" + signature.read_bytes()[41:])
    says_yes = '() { case " $* " in *" -verify "*) return 0 ;; esac; command openssl "$@"; }'
    odd = {"BASH_FUNC_openssl%%": says_yes, "BASH_FUNC_command%%": "() { return 0; }"}
    command = [
        "bash",
        *options,
        INSTALLER,
        "--check",
        "--prefix",
        tmp_path / "opt",
        "--anchor",
        shop.anchor(),
    ]
    done = subprocess.run(
        [*command, tmp_path / "bundle"], capture_output=True, text=True, env={**os.environ, **odd}
    )
    assert (done.returncode, done.stderr.splitlines()[0]) == (3, f"islet: {signature.name} does not verify.")


def test_files_that_the_store_holds_need_no_room_again(shop: Workshop, tmp_path: Path) -> None:
    """A killed install keeps what it stored; asking for all the room again could stop it for ever."""
    free = shutil.disk_usage(tmp_path).free
    other = Workshop(tmp_path / "shop")
    shutil.copytree(shop.root, other.root)
    # A size that is as large as a model's; only the appliance, which runs later, would see that it lies.
    contents = other.bundle / "contents.json"
    contents.write_text(contents.read_text().replace('"size": 2500000}', '"size": 9000000000}'))
    other.release(disk_bytes=free + 4_000_000_000)
    other.list_and_sign()
    prefix = tmp_path / "opt"
    refused = check(other, prefix, "--state", tmp_path / "state")
    assert (refused.returncode, refused.stderr.split(".")[0]) == (5, f"islet: {prefix} has too little room")
    for entry in parse_contents((shop.bundle / "contents.json").read_bytes()).entries:
        stored = Site(prefix, tmp_path / "state").stored(entry.sha256)
        stored.parent.mkdir(parents=True, exist_ok=True)
        stored.touch()
    assert check(other, prefix, "--state", tmp_path / "state").returncode == 0


def test_a_volume_may_hold_more_files_than_may_be_open(tmp_path: Path) -> None:
    items = []
    for number in range(400):
        source = tmp_path / "sources" / f"{number:04d}"
        source.parent.mkdir(exist_ok=True)
        source.write_bytes(b"%d" % number)
        sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
        items.append(Item(f"tools/many/{number:04d}", "tool", "t", "", source, sha256, source.stat().st_size))
    contents = lay_out(items, 4_000_000)
    medium, quarantine = tmp_path / "medium", tmp_path / "quarantine"
    medium.mkdir()
    quarantine.mkdir()
    hashes = write_volumes(contents, items, medium, Silent())
    site = Site(tmp_path / "opt", tmp_path / "state")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 50, limits[1]))
    try:
        fill_store(site, Medium(medium), contents, hashes, quarantine, Silent())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert spoilt(site, contents) == []
