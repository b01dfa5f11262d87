"""Pictures of every page: the real wizard on an installed site, driven by keys in a terminal of 80 x 24.

    python -m demo.pictures PREFIX [--out docs/pictures] [--language zh_CN] [--islet PATH]

PREFIX: an installed site that has a model; it is only read. Each language begins with an empty state of its
own. The wizard runs in namespaces without a network, where the site stands at /opt/islet and /var/lib/islet,
so that a picture shows no path of the machine it was made on. Needs the right to mount: root, or user
namespaces.

The journey is data: what to wait for, what the picture is called, which keys lead on. Texts stand there in
English as the code says them and are looked up in the catalogue, so it survives another wording of either
language.
"""

import argparse
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.locale import LANGUAGES, OWN_NAMES, Catalogue, Language, catalogue
from appliance.wizard.draw import mark
from appliance.wizard.titles import TITLES
from demo.clinic import write_clinic
from demo.svg import to_svg, to_text
from tests.screen import Screen

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "pictures"
PREFIX, STATE = Path("/opt/islet"), Path("/var/lib/islet")
"""Where the pictures' site stands."""

ENTER = f"""
set -eu
mount -t tmpfs none /mnt
mkdir /mnt/prefix /mnt/state
mount --bind "$1" /mnt/prefix
mount --bind "$2" /mnt/state
shift 2
for place in {PREFIX.parent} {STATE.parent}; do mount -t tmpfs none "$place"; mkdir "$place/islet"; done
mount --bind /mnt/prefix {PREFIX}
mount --bind /mnt/state {STATE}
ip link set lo up
cd {STATE}
exec "$@"
"""
"""sh ENTER PREFIX STATE COMMAND...: in new namespaces, the site at its usual place."""

PAGE_S = 60.0
"""Longest wait for a page that does no work of its own."""
WORK_S = 900.0
"""Longest wait for training, comparison, export."""


@dataclass(frozen=True)
class Shot:
    """One picture, and the way on from it."""

    name: str
    """Of the file; empty: no picture is taken here."""
    page: str = ""
    """The page whose title must stand in the first line."""
    shows: str = ""
    """English text that must be on the screen, in the language of the pictures."""
    busy: bool = False
    """Taken while the page is at work; otherwise when it is done."""
    first: float = 0
    """Seconds to let pass before: for a curve to have a shape."""
    keys: tuple[str, ...] = ()
    """Pressed afterwards: names of keys, `[Label]` a button by what it says, `#2` an option, `@x` a file,
    `Label=x` a line that is filled in."""


FIRST_TIME = (
    Shot("language", "language", keys=("LANGUAGE", "[Next]")),
    Shot("home", "home", keys=("f1",)),
    Shot("help", shows="Close", keys=("esc",)),
    Shot("", "home", keys=("[Next]",)),
    Shot("health", "health", keys=("[Next]",)),
    Shot("model", "model", keys=("#1", "[Next]")),
    Shot("data", "data", keys=("@facts.json", "@rehearsal.csv")),
    Shot("data-chosen", "data", keys=("[Next]",)),
    Shot("check", "check", keys=("f7",)),
    Shot("columns", "columns", keys=("[Next]",)),
    Shot("", "check", keys=("f3",)),
    Shot("check-rows", "check", keys=("[Next]",)),
    Shot("plan", "plan", keys=("#4", "[Next]")),
    Shot("values", "values", keys=("Passes over the rows=20", "Learning rate=0.008", "[Next]")),
    Shot("result", "result", keys=("[Next]",)),
    Shot("review", "review", keys=("[Start training]",)),
    Shot("training", "training", busy=True, first=15, keys=("f6",)),
    Shot("stop", shows="Stop training?", keys=("enter",)),
    Shot("trained", "training", keys=("[Next]",)),
    Shot("compare", "compare", keys=("f5",)),
    Shot("comparing", "compare", busy=True, first=3),
    Shot("compared", "compare", keys=("f3",)),
    Shot("answers", "compare", keys=("[Next]",)),
    Shot("export", "export", keys=("f5",)),
    Shot("exporting", "export", busy=True, first=3),
    Shot("exported", "export", keys=("[Next]",)),
    Shot("done", "done", keys=("[Home]",)),
    Shot("home-again", "home", keys=("f9",)),
)
ASCII = (Shot("plain", "home", keys=("f9",)),)
LINES = (Shot("lines", shows="Home", keys=("q", "enter")),)
SCENES: tuple[tuple[tuple[str, ...], tuple[Shot, ...]], ...] = (
    ((), FIRST_TIME),
    (("--ui", "plain"), ASCII),
    (("--ui", "line"), LINES),
)
"""What islet is started with, one after another on the same state, and what is seen then."""


class Photographer:
    """Takes the pictures of one language."""

    def __init__(self, language: Language, out: Path) -> None:
        self.language, self.out = language, out / language
        self.catalogue: Catalogue = catalogue(language)
        self.taken: list[str] = []
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir(parents=True)

    def follow(self, screen: Screen, shots: Sequence[Shot]) -> None:
        """Go the way of `shots`, taking each picture on it."""
        for shot in shots:
            self.wait(screen, shot)
            if shot.name:
                self.take(screen, shot.name)
            for key in shot.keys:
                self.press(screen, key)
        screen.wait(PAGE_S)

    def wait(self, screen: Screen, shot: Shot) -> None:
        """Come back when the screen shows what the picture is about."""
        if shot.page:
            title = self.catalogue.say(TITLES[shot.page])
            screen.wait_until(lambda: title in screen.text()[0], PAGE_S, f"the page {shot.page}")
        if shot.shows:
            screen.wait_for(self.catalogue.say(shot.shows), PAGE_S)
        screen.settle(0.5 + shot.first if shot.busy else 0.5, 0.5 + shot.first if shot.busy else 5)
        if shot.page and not shot.busy:
            at_work = mark("busy", self.catalogue)
            screen.wait_until(
                lambda: not screen.shows(at_work), WORK_S, f"the end of the work of {shot.page}"
            )
            screen.settle(0.5, 5)

    def take(self, screen: Screen, name: str) -> None:
        """Write the screen as a picture and as text."""
        file = f"{len(self.taken) + 1:02}-{name}"
        title = f"islet, {OWN_NAMES[self.language]}: {name}"
        with screen.frozen() as emulator:
            (self.out / f"{file}.svg").write_text(to_svg(emulator, title), encoding="utf-8")
            (self.out / f"{file}.txt").write_text(to_text(emulator), encoding="utf-8")
        self.taken.append(file)
        print(f"{self.language}/{file}", flush=True)

    def press(self, screen: Screen, key: str) -> None:
        """A key, a button by its label, an option by its number, or the language."""
        if key.startswith("["):
            self.push(screen, key[1:-1])
        elif key.startswith("#"):
            self.choose(screen, int(key[1:]))
        elif key.startswith("@"):
            self.open(screen, key[1:])
        elif "=" in key:
            self.fill(screen, *key.split("="))
        elif key == "LANGUAGE":
            self.choose(screen, LANGUAGES.index(self.language) + 1)
        else:
            screen.press(key)
        screen.settle(0.25, 3)

    def push(self, screen: Screen, label: str) -> None:
        """Move to the button that says `label` and press it."""
        self.move(screen, "tab", rf">\[ (< )?{re.escape(self.catalogue.say(label))}")
        screen.press("enter")

    def choose(self, screen: Screen, number: int) -> None:
        """Choose an option of the page's first question."""
        self.move(screen, "tab", r"^>\([*-]?\s?\)")
        screen.press("home", *["down"] * (number - 1), "space")

    def open(self, screen: Screen, name: str) -> None:
        """Take a file in the list of files."""
        self.move(screen, "tab", r"^> \[")
        screen.press("home")
        self.move(screen, "down", rf"^> \[.*{re.escape(name)}")
        screen.press("enter")

    def fill(self, screen: Screen, label: str, value: str) -> None:
        """Type `value` into the line called `label`."""
        self.move(screen, "tab", rf"^>{re.escape(self.catalogue.say(label))} +\[")
        screen.press("end", "ctrl+u")
        screen.settle(0.15, 2)  # faster than any hand, Textual would empty the line after what is typed next
        screen.press(value)

    def move(self, screen: Screen, key: str, focused: str) -> None:
        """Press `key` until what has the focus looks as `focused` says."""
        for _ in range(60):
            if any(re.search(focused, row) for row in screen.text()):
                return
            screen.press(key)
            screen.settle(0.15, 2)
        raise AssertionError(f"{key} leads to nothing like {focused}\n{screen}")


def main() -> None:
    """Make the pictures and the page that shows them."""
    parser = argparse.ArgumentParser(prog="python -m demo.pictures", description="Pictures of every page.")
    parser.add_argument("prefix", type=Path, help="an installed site that has a model")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures")
    parser.add_argument("--language", choices=LANGUAGES, action="append", help="only these")
    parser.add_argument("--islet", type=Path, help="the command to run; by default the site's")
    arguments = parser.parse_args()
    taken: list[str] = []
    for language in arguments.language or LANGUAGES:
        taken = photograph(language, arguments.prefix.absolute(), arguments.out, arguments.islet)
    write_page(taken, arguments.out)


def photograph(language: Language, prefix: Path, out: Path, islet: Path | None) -> list[str]:
    """All pictures of one language; their names."""
    state = WORK / language / "state"
    shutil.rmtree(state.parent, ignore_errors=True)
    for folder in ("datasets", "runs", "exports"):
        (state / folder).mkdir(parents=True)
    write_clinic(state.parent / "clinic")
    for name in ("facts.json", "rehearsal.csv"):
        shutil.copyfile(state.parent / "clinic" / name, state / "datasets" / name)
    spaces = ["unshare", "-n", "-m"] if os.getuid() == 0 else ["unshare", "-r", "-n", "-m"]
    command = [*spaces, "sh", "-c", ENTER, "enter", prefix, state, islet or PREFIX / "bin" / "islet"]
    photographer = Photographer(language, out)
    for options, shots in SCENES:
        told = ["--prefix", PREFIX, "--state", STATE, *options]
        with Screen([*command, *told], 80, 24, environment(), cwd=ROOT) as screen:
            photographer.follow(screen, shots)
            if screen.exit_code != 0:
                sys.exit(f"islet ended with {screen.exit_code}\n{screen}")
    return photographer.taken


def environment() -> dict[str, str]:
    """What a person has who logged in over SSH; nothing of this machine's."""
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/nonexistent",
        "LOGNAME": "li.na",
        "USER": "li.na",
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
    }


def write_page(taken: Sequence[str], out: Path) -> None:
    """The page with all pictures side by side."""
    lines = [
        "# Every page of the wizard",
        "",
        "Made by `make pictures`: the real program on an installed site without a network, at 80 x 24,",
        "driven by keys. Beside each picture lies the same screen as text.",
        "",
        "| | " + " | ".join(OWN_NAMES[language] for language in LANGUAGES) + " |",
        "|---" * (len(LANGUAGES) + 1) + "|",
    ]
    for file in taken:
        cells = [f"![{file} in {OWN_NAMES[each]}]({each}/{file}.svg)" for each in LANGUAGES]
        lines.append("| " + " | ".join([f"[{file}](en/{file}.txt)", *cells]) + " |")
    (out / "README.md").write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
