"""Choosing files: a folder's entries, what is chosen, and a line to type a path into.

Folders are listed in a thread of their own: a stick or a share that does not answer must not hold the screen.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Input

from appliance.errors import ApplianceError
from appliance.locale import Catalogue
from appliance.progress import amount_text
from appliance.sentence import say
from appliance.wizard.cells import one_line, pad, shorten
from appliance.wizard.files import Entry as FileEntry
from appliance.wizard.files import expanded, file_problem, is_file, is_folder, list_folder
from appliance.wizard.full.fields import Entry, FieldView, ProblemLines
from appliance.wizard.full.lane import Lane
from appliance.wizard.full.rows import FOCUSED, Rows, Said, Taken, indented, said
from appliance.wizard.page import Field

MOST_NAME = 60
LEAST_ROWS, MOST_ROWS, OTHER_ROWS = 7, 20, 17
"""Entries seen at once: what the window leaves beside the rest of a page with another field."""

DIR, FILE, CHOSEN = say("[dir ]"), say("[file]"), say("[ x  ]")
"""Six cells in every language."""

TYPE_PATH = say("or type a path")
NONE_CHOSEN = say("Nothing is chosen yet.")
READING = say("The folder is being read.")
EMPTY = say("There is nothing in this folder.")
NO_FILE = say("there is no such file or folder")


class FileList(Rows, can_focus=True):
    """The entries of a folder, a part of them at a time."""

    def __init__(self, view: "FilesField") -> None:
        super().__init__()
        self.view = view
        self.cursor = 0
        self._top = 0

    def lines(self, width: int) -> Sequence[RenderableType]:
        view, catalogue = self.view, self.view.catalogue
        entries = view.entries
        lines = [self._line(i, width) for i in range(self._top, min(self._top + self.seen, len(entries)))]
        if not view.entries:
            lines = [Text("  " + said(READING if view.reading else EMPTY, catalogue), style="dim")]
        lines += [Text("")] * (self.seen - len(lines))
        below = len(entries) - self._top - self.seen
        more = said(say("{above} above, {below} below", above=self._top, below=max(below, 0)), catalogue)
        lines.append(Text("  " + more if self._top or below > 0 else "", style="dim"))
        return lines

    def _line(self, index: int, width: int) -> Text:
        entry, catalogue = self.view.entries[index], self.view.catalogue
        here = self.has_focus and index == self.cursor
        chosen = str(entry.path) in self.view.paths
        kind = DIR if entry.is_folder else CHOSEN if chosen else FILE
        about = ""
        if not entry.is_folder:
            when = f"{entry.modified:%Y-%m-%d %H:%M}" if entry.modified else ""
            about = f"{amount_text(entry.size, 'B'):>9}   {said(entry.problem, catalogue) or when}"
        room = min(max(width - 9 - 32, 12), MOST_NAME)
        name = entry.name + ("/" if entry.is_folder else "")
        line = Text(f"{'>' if here else ' '} {said(kind, catalogue)} ", style="dim" if entry.problem else "")
        line.append(
            pad(shorten(name, room), room) if about else shorten(name, width - 10), FOCUSED if here else ""
        )
        return line.append(shorten(about, 31))

    @property
    def seen(self) -> int:
        """How many entries are seen at once."""
        return max(LEAST_ROWS, min(self.app.size.height - OTHER_ROWS, MOST_ROWS))

    def begin(self, cursor: int = 0) -> None:
        """Another folder: from its top."""
        self.cursor, self._top = 0, 0
        self._go(cursor)

    def take_key(self, key: str) -> Taken:
        """Arrows move, Enter and Space open or take, Backspace goes up."""
        last = len(self.view.entries) - 1
        match key:
            case "up" if self.cursor > 0:
                self._go(self.cursor - 1)
            case "down" if self.cursor < last:
                self._go(self.cursor + 1)
            case "home":
                self._go(0)
            case "end":
                self._go(last)
            case "pageup" if self.cursor > 0:
                self._go(self.cursor - self.seen)
            case "pagedown" if self.cursor < last:
                self._go(self.cursor + self.seen)
            case "enter" | "space":
                self._take()
            case "backspace" | "left":
                self.view.open(self.view.folder.parent, leaving=self.view.folder)
            case _:
                return ""
        return "taken"

    def on_click(self, event: events.Click) -> None:
        """A click moves and takes."""
        if self._top + event.y < len(self.view.entries) and event.y < self.seen:
            self._go(self._top + event.y)
            self._take()

    def _go(self, cursor: int) -> None:
        self.cursor = max(0, min(cursor, len(self.view.entries) - 1))
        self._top = max(min(self._top, self.cursor), self.cursor - self.seen + 1, 0)
        self.renew()

    def _take(self) -> None:
        if self.cursor >= len(self.view.entries):
            return
        entry = self.view.entries[self.cursor]
        if entry.is_folder:
            up = entry.path == self.view.folder.parent
            self.view.open(entry.path, leaving=self.view.folder if up else None)
        else:
            self.view.toggle(entry)


class ChosenLines(Rows):
    """What is chosen, and what is wrong with it."""

    def __init__(self, view: "FilesField") -> None:
        super().__init__()
        self.view = view

    def lines(self, width: int) -> Sequence[RenderableType]:
        view = self.view
        if not view.paths:
            return [Text("  " + said(NONE_CHOSEN, view.catalogue), style="dim")]
        names = ", ".join(Path(path).name for path in view.paths)
        text = say("Chosen: {count}  {names}", count=len(view.paths), names=names)
        return indented(said(text, view.catalogue), 2, width, "bold")


class FilesField(Vertical, FieldView):
    """Files, chosen one by one."""

    DEFAULT_CSS = """
    FilesField { height: auto; }
    FilesField > Horizontal { height: 1; }
    FilesField .label { width: 20; }
    FilesField .edge { width: 1; height: 1; }
    FilesField .typed { width: 1fr; max-width: 62; height: 1; }
    """

    def __init__(self, field: Field, catalogue: Catalogue) -> None:
        super().__init__()
        self.field, self.catalogue, self.told = field, catalogue, field.value
        self.folder = Path(field.folder or "/")
        self.entries: tuple[FileEntry, ...] = ()
        self.reading = True
        self.entry = Entry("", enter_leaves=False)
        self.list = FileList(self)
        self._head, self._label = Said(), Said(classes="label")
        self._chosen, self._problem = ChosenLines(self), ProblemLines(self)
        self._problem.indent = 2
        self._lane = Lane("folders")
        self._tasks: set[asyncio.Task[None]] = set()
        self._refused = ""
        """The typed path that could not be taken."""

    def compose(self) -> ComposeResult:
        """Folder, entries, a path to type, what is chosen, what is wrong."""
        opening, closing = Said(classes="edge"), Said(classes="edge")
        opening.tell(Text("["))
        closing.tell(Text("]"))
        yield self._head
        yield self.list
        with Horizontal():
            yield self._label
            with Horizontal(classes="typed"):
                yield opening
                yield self.entry
                yield closing
        yield self._chosen
        yield self._problem

    def on_mount(self) -> None:
        """Read the folder."""
        self._tell()
        self.watch(self.entry, "has_focus", self._entered_or_left, init=False)
        self.open(self.folder)

    def widget(self) -> Widget:
        return self.list

    def set_label_width(self, cells: int) -> None:
        self._label.styles.width = cells

    def label_cells(self) -> int:
        return Text(said(TYPE_PATH, self.catalogue)).cell_len + 4

    @property
    def paths(self) -> list[str]:
        """What is chosen."""
        return [line for line in self.told.splitlines() if line]

    def show(self, field: Field, catalogue: Catalogue) -> None:
        self.field, self.catalogue = field, catalogue
        if not self.waits:
            self.told = field.value
        self._tell()

    def open(self, folder: Path, *, leaving: Path | None = None) -> None:
        """List `folder`; the cursor on the folder that is left, where it was one in this."""
        task = asyncio.create_task(self._open(folder, leaving))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, folder: Path, leaving: Path | None) -> None:
        self.reading, self.wrong = True, ""
        try:
            entries = await self._lane.call(list_folder, folder)
        except ApplianceError as error:
            self.wrong = say(
                "{what} {why}", what=self.catalogue.say(error.what), why=self.catalogue.say(error.why)
            )
        else:
            up = FileEntry(folder.parent, "..", True, 0, None)
            self.folder = folder
            self.entries = entries if folder.parent == folder else (up, *entries)
        self.reading = False
        if not self.is_attached:
            return
        paths = [entry.path for entry in self.entries]
        if not self.wrong:
            self.list.begin(paths.index(leaving) if leaving in paths else 0)
        self._tell()

    def toggle(self, entry: FileEntry) -> None:
        """Take a file, or leave it out again."""
        if entry.problem and str(entry.path) not in self.paths:
            self.wrong = say("{name}: {problem}", name=entry.name, problem=self.catalogue.say(entry.problem))
            self._tell()
            return
        self._toggle(str(entry.path))

    def _toggle(self, path: str) -> None:
        self.post_message(self.tell(self._toggled(path)))
        self._tell()

    def _toggled(self, path: str) -> str:
        """The answer with `path` taken, or left out."""
        paths = self.paths
        return "\n".join([each for each in paths if each != path] if path in paths else [*paths, path])

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """A typed path: a folder is opened, a file is taken, or left out again."""
        event.stop()
        self._submit()

    def on_input_changed(self, event: Input.Changed) -> None:
        """What was wrong with another path need not be wrong with this one."""
        event.stop()
        if self.wrong and self.entry.value != self._refused:
            self.wrong = ""
            self._problem.renew()

    def _entered_or_left(self, has_focus: bool) -> None:
        self._tell()
        if not has_focus:  # whoever leaves the line has answered
            self._submit()

    def _submit(self) -> None:
        task = asyncio.create_task(self._answer_typed())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer_typed(self) -> None:
        wanted = await self._take_typed()
        if wanted is not None and self.is_attached:
            self.post_message(self.tell(wanted))
            self._tell()

    async def unsaid(self) -> str | None:
        await self.entry.arrived()
        return await self._take_typed()

    async def _take_typed(self) -> str | None:
        """The answer with the typed file taken, or left out again; None where nothing is typed, or a folder,
        which is opened, or what cannot be taken, which stays in the line to be mended.
        """
        text = self.entry.value.strip()
        self.entry.value = ""  # it is answered once, whoever asks next
        if not text:
            return None
        path = self.folder / expanded(text)
        if await self._lane.call(is_folder, path):
            self.open(path)
            return None
        if str(path) in self.paths or not (problem := await self._lane.call(_problem_of, path)):
            return self._toggled(str(path))
        self.wrong = say("{name}: {problem}", name=path.name, problem=self.catalogue.say(problem))
        if not self.entry.value:
            self.entry.value = self._refused = text
            self.entry.cursor_position = len(text)
        self._tell()
        return None

    def _tell(self) -> None:
        catalogue = self.catalogue
        head = Text(" " + said(self.field.label, catalogue), style="bold")
        folder = say("Folder {folder}", folder=one_line(str(self.folder)))
        self._head.tell(head, Text(shorten("   " + said(folder, catalogue), max(self.size.width, 40) - 1)))
        self._label.tell(Text(f"{'>' if self.entry.has_focus else ' '} {said(TYPE_PATH, catalogue)}"))
        for part in (self.list, self._chosen, self._problem):
            part.renew()


def _problem_of(path: Path) -> str:
    """Why the file at a typed path cannot be taken; empty when it can."""
    return file_problem(path) if is_file(path) else NO_FILE
