"""Every command that changes a box, as a scenario of `tests.crash`: what it starts from and may leave."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from appliance.progress import Silent
from appliance.site import audit
from appliance.site.backup_list import LIST, read_list
from appliance.site.layout import Site
from appliance.site.restore import plan_restoration
from appliance.site.state_format import read_format
from tests.bundles import Workshop
from tests.crash import DATA, Box, Lost, Scenario, Tree, data_of
from tests.pocket import MOVED, make_pocket, next_release

RUNS = ("2026-11-01-heart-0a1b", "2026-11-02-ward-7c2d")
RARE = 1 / 8
"""The share of calls of scenarios that install as another one does, but for the box they start from."""


def add_data(site: Site, release: int) -> None:
    """Two runs on a model of `release`, rows in Chinese, an export; with rights that count."""
    for name in RUNS:
        run = site.runs / name
        (run / "checkpoints/10").mkdir(parents=True)
        (run / "checkpoints/10/adapter.safetensors").write_bytes(name.encode() * 700)
        (run / "empty").mkdir()
        (run / "plan.toml").write_text(f'name = "{name}"\n')
        (run / "base").write_text(f"{site.release(release)}/models/islet/tiny\n")
        run.chmod(0o750)
    (site.state / "datasets/护理 问答.jsonl").write_text('{"question": "头孢过敏?"}\n')
    (site.state / "datasets/护理 问答.jsonl").chmod(0o640)
    (site.state / "exports/run.sh").write_text("#!/bin/sh\n")
    (site.state / "exports/run.sh").chmod(0o755)


@dataclass
class Keeping(Scenario):
    """gc: beside the release in use, others stay whole, because a run was made on a model of theirs."""

    kept: tuple[int, ...] = ()

    def check(self) -> int | None:
        """As of every scenario; and what runs need is there."""
        number = super().check()
        for each in self.kept:
            self.check_release(each)
        return number


@dataclass
class Removal(Scenario):
    """uninstall: the release in use is whole until the command itself is what removes the rest."""

    with_data: bool = False

    def check(self) -> int | None:
        """Data as they were, unless they were to go; the log; the command, while there is anything."""
        site = self.box.site
        if not self.with_data:
            self.check_data()
        entries = audit.check(site.audit).entries
        command = site.prefix / "bin/islet"
        if command.is_symlink():
            number = self.box.in_use()
            if number != self.old:
                raise Lost(f"release {number} is in use, and the command is whole")
            tree = self.box.tree(f"opt/releases/{number}")
            if tree != self.whole[number]:
                raise Lost("the release in use is not whole, and the command is")
            return number
        if entries[-1]["event"] != "uninstall":
            raise Lost("the log does not tell that Islet was removed")
        if not command.exists() and (
            left := [p for p, facts in self.box.tree("opt").items() if facts[0] != "folder"]
        ):
            raise Lost(f"the command is gone, and this is left: {left[:5]}")
        return None

    def check_finishes(self) -> bool:
        """The same command removes the rest; where it is gone, nothing but empty folders may be left."""
        if (self.box.site.prefix / "bin/islet").exists():
            return super().check_finishes()
        return False

    def check_done(self) -> None:
        """The prefix is gone, or holds empty folders. Raises: Lost."""
        if self.check() is not None:
            raise Lost("the command ended well, and Islet is still here")


@dataclass
class Saving(Scenario):
    """backup: there is none, or a whole one."""

    disk: Path = field(default_factory=Path)

    def check(self) -> int | None:
        """As of every scenario; and a backup that has a list holds all of it."""
        number = super().check()
        if (self.disk / LIST).exists():
            saved = {f"state/{each.path}": each for each in read_list(self.disk)[0].saved}
            for path, (kind, mode, sha256) in self.data.items():
                each = saved.get(path)
                if each is None or (each.mode, each.sha256) != (mode, sha256 if kind == "file" else ""):
                    raise Lost(f"the backup holds {each} of {path}")
            with tempfile.TemporaryDirectory() as empty:
                plan_restoration(Site(self.box.site.prefix, Path(empty)), self.disk, Silent())
        return number

    def check_finishes(self) -> bool:
        """A whole backup is not made anew."""
        return False if (self.disk / LIST).exists() else super().check_finishes()

    def check_done(self) -> None:
        """The list is there, and so is what it lists. Raises: Lost."""
        super().check_done()
        if not (self.disk / LIST).exists():
            raise Lost("the command ended well, and there is no backup")

    def compared(self) -> Tree:
        """A backup holds the audit log, whose bytes are others each time: it is judged by its list."""
        return {path: facts for path, facts in super().compared().items() if not path.startswith("disk/")}


@dataclass
class Restoring(Scenario):
    """restore: what comes is whole as soon as it has its name."""

    def check_done(self) -> None:
        """All that was lost is back. Raises: Lost."""
        super().check_done()
        found = data_of({p: facts for part in DATA for p, facts in self.box.tree(f"state/{part}").items()})
        if found != data_of(self.wanted):
            raise Lost("the command ended well, and not all is back")


@dataclass
class Migrating(Scenario):
    """An upgrade that changes the form of the state: what the note says was done is there, whole."""

    def check(self) -> int | None:
        """As of every scenario; and the steps that the note tells of were made."""
        number = super().check()
        site = self.box.site
        form = read_format(site.state)
        for name in RUNS:
            told = [(site.runs / name / moved).read_text() for moved in MOVED[: form - 1]]
            if told != [f"{name}\n"] * (form - 1):
                raise Lost(f"the state is in form {form}, and {name} holds {told}")
        if number == self.new and form != 1 + len(MOVED):
            raise Lost(f"release {number} is in use with a state of form {form}")
        return number


@dataclass
class Shelf:
    """Bundles, a box, and the saved boxes that scenarios start from, made when first asked for."""

    folder: Path
    bundles: dict[str, Workshop] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.box = Box(self.folder / "box")

    def bundle(self, name: str) -> Workshop:
        """`1`; `2`, `3` as wholes; `2d`, `3d` as deltas; `2m`, whose state has another form."""
        if name not in self.bundles:
            if name == "1":
                self.bundles[name] = make_pocket(self.folder / "shop")
            else:
                number, how = int(name[0]), name[1:]
                first = self.bundle("1")
                self.bundles[name] = next_release(first, number, delta=how == "d", migrates=how == "m")
        return self.bundles[name]

    def start(self, *names: str, runs_on: int, prepare: Callable[[Box], object] | None = None) -> str:
        """A box on which these bundles were installed, with data; the name under which it is saved."""
        saved = f"{'-'.join(names)}-{runs_on}{f'-{prepare.__name__}' if prepare else ''}"
        if saved not in self.made:
            self.box.restore(None)
            for name in names:
                done = self.box.run(self.box.install_command(self.bundle(name)))
                if done.returncode:
                    raise Lost(f"the box cannot be made: {done.stderr}")
            (self.box.place / "disk").mkdir()
            add_data(self.box.site, runs_on)
            if prepare:
                prepare(self.box)
            self.box.save(saved)
            self.made.add(saved)
        return saved

    def islet(self, *words: str | Path) -> list[str | Path]:
        """A command of the release in use."""
        return [self.box.site.prefix / "bin/islet", *words]

    @property
    def disk(self) -> Path:
        """Where backups go."""
        return self.box.place / "disk/backup"

    def scenarios(self) -> dict[str, Callable[[], Scenario]]:
        """What is disturbed: name to what makes it ready."""
        box, yes, one, two = self.box, "--yes", {"runs_on": 1}, {"runs_on": 2}

        def at(name: str) -> Path:
            return self.bundle(name).bundle

        def first() -> Scenario:
            return Scenario("first", box, None, box.install_command(self.bundle("1")), None, 1, share=1 / 3)

        def upgrade() -> Scenario:
            command = box.install_command(self.bundle("2"))
            return Scenario("upgrade", box, self.start("1", **one), command, 1, 2, share=RARE)

        def delta() -> Scenario:
            command = box.install_command(self.bundle("2d"))
            return Scenario("delta", box, self.start("1", **one), command, 1, 2, share=RARE)

        def resident() -> Scenario:
            command = self.islet("install", at("2"), yes)
            return Scenario("resident", box, self.start("1", **one), command, 1, 2, share=RARE)

        def resident_delta() -> Scenario:
            command = self.islet("install", at("2d"), yes)
            return Scenario("resident-delta", box, self.start("1", **one), command, 1, 2, share=1 / 2)

        def migration() -> Scenario:
            command = self.islet("install", at("2m"), yes)
            return Migrating("migration", box, self.start("1", **one), command, 1, 2, share=RARE)

        def rollback() -> Scenario:
            command, start = self.islet("rollback", "--to", "1", yes), self.start("1", "2", **two)
            return Scenario("rollback", box, start, command, 2, 1, once=True, errors=4)

        def gc() -> Scenario:
            command, start = self.islet("gc", "--keep", "0", yes), self.start("1", "2", **two)
            return Scenario("gc", box, start, command, 2, 2, errors=2)

        def gc_runs() -> Scenario:
            command, start = self.islet("gc", "--keep", "0", yes), self.start("1", "2", "3d", **one)
            return Keeping("gc-runs", box, start, command, 3, 3, kept=(1,), errors=2)

        def uninstall() -> Scenario:
            command, start = self.islet("uninstall", yes), self.start("1", **one)
            return Removal("uninstall", box, start, command, 1, None)

        def uninstall_data() -> Scenario:
            command, start = self.islet("uninstall", "--with-data", yes), self.start("1", **one)
            return Removal("uninstall-data", box, start, command, 1, None, with_data=True)

        def backup() -> Scenario:
            command, start = self.islet("backup", self.disk), self.start("1", **one)
            return Saving("backup", box, start, command, 1, 1, errors=2, disk=self.disk)

        def restore() -> Scenario:
            command = self.islet("restore", self.disk, yes)
            start = self.start("1", **one, prepare=_lose_data)
            return Restoring("restore", box, start, command, 1, 1, errors=2)

        made = (
            first,
            resident_delta,
            upgrade,
            delta,
            resident,
            migration,
            rollback,
            gc,
            gc_runs,
            uninstall,
            uninstall_data,
            backup,
            restore,
        )
        return {make.__name__.replace("_", "-"): lambda make=make: _ready(make()) for make in made}  # type: ignore[misc]


def _ready(scenario: Scenario) -> Scenario:
    scenario.learn()
    return scenario


def _lose_data(box: Box) -> None:
    """Back up, then lose a run, a part of another, and rows."""
    done = box.run([box.site.prefix / "bin/islet", "backup", box.place / "disk/backup"])
    if done.returncode:
        raise Lost(f"no backup can be made: {done.stderr}")
    shutil.rmtree(box.site.runs / RUNS[0])
    shutil.rmtree(box.site.runs / RUNS[1] / "checkpoints")
    for rows in (box.site.state / "datasets").iterdir():
        rows.unlink()
