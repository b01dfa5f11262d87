"""Several files at once: a folder, or a zip archive. Which of what lies there is data, and in which order.

Nothing is left out unseen: files that only tell about data are named in a note, anything else that is no data
stops the reading, so that no table is missed for its name.
"""

import os
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from appliance.data.files.content import Content, FileContent, file_content, unreadable
from appliance.data.files.packed import MemberContent, damaged_archive
from appliance.errors import BadInput
from appliance.sentence import Sentence, listed, say

DATA_NAMES = (
    ".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".tab", ".txt", ".xlsx", ".xlsm", ".parquet", ".arrow",
)  # fmt: skip
ABOUT_NAMES = (".md", ".rst", ".py", ".yaml", ".yml", ".toml")
ABOUT_STEMS = ("readme", "license", "licence", "notice", "changelog")
LISTS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
"""What LLaMA-Factory and the datasets library write beside data."""

FILE_LIMIT = 1000
SHOWN = 5

ZIP_ENCRYPTED, ZIP_UTF8 = 0x1, 0x800
"""General purpose bits of a member. Source: PKWARE's APPNOTE, 4.4.4."""


def folder_contents(folder: Path) -> tuple[list[Content], list[Sentence]]:
    """The data files below `folder`, sorted by name, and what the reader should know.

    Raises: BadInput, when there are none, too many, links, or files of an unknown kind.
    """
    found: list[str] = []
    try:
        for place, folders, files in os.walk(folder, onerror=_raise):
            folders[:] = sorted(each for each in folders if not _is_junk(each))
            for name in sorted(folders + files):
                path = Path(place) / name
                if path.is_symlink() and not _is_junk(name):
                    raise BadInput(
                        say("{path} is a link.", path=path),
                        why="a link may lead anywhere, and to the same file twice",
                        next_step="Put the file itself into the folder.",
                    )
            found += [Path(place, name).relative_to(folder).as_posix() for name in files]
            if len(found) > FILE_LIMIT:
                raise _too_many(folder)
    except OSError as error:
        raise unreadable(folder, error) from error
    chosen, notes = _chosen(found, folder)
    return [file_content(folder / name, f"{folder.resolve().name}/{name}") for name in chosen], notes


def archive_contents(archive: FileContent) -> tuple[list[Content], list[Sentence]]:
    """The data files in a zip archive, sorted by name, and what the reader should know.

    Raises: BadInput, as `folder_contents`, and when the archive is damaged or encrypted.
    """
    try:
        with archive.open() as stream, zipfile.ZipFile(stream) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise damaged_archive(archive.path, error) from None
    if len(members) > FILE_LIMIT:
        raise _too_many(archive.path)
    names = {_member_name(member): member for member in members}
    if len(names) < len(members):
        raise BadInput(
            say("{source} is damaged.", source=archive.path),
            why="two of its files have one name",
            next_step="Pack it again.",
        )
    chosen, notes = _chosen(names, archive.path)
    for name in chosen:
        _check_open(archive.path, name, names[name])
    return [
        MemberContent(
            archive,
            names[name].filename,
            f"{archive.name}/{name}",
            archive.path / name,
            names[name].compress_size,
        )
        for name in chosen
    ], notes


def _chosen(names: Iterable[str], place: Path) -> tuple[list[str], list[Sentence]]:
    """Those that are data, sorted, and a note on those that are not."""
    wanted: list[str] = []
    about: list[str] = []
    odd: list[str] = []
    for name in sorted(names):
        _check_name(place, name)
        path = PurePosixPath(name)
        if any(_is_junk(part) for part in path.parts):
            continue
        suffix = PurePosixPath(path.name.lower().removesuffix(".gz")).suffix
        if path.name.lower() in LISTS or suffix in ABOUT_NAMES or path.stem.lower() in ABOUT_STEMS:
            about.append(name)
        else:
            (wanted if suffix in DATA_NAMES else odd).append(name)
    if odd:
        raise BadInput(
            say("{place} holds files of an unknown kind.", place=place),
            why=say("no data is read from {names}", names=_shown(odd)),
            next_step="Take them out, or name only the files to read. Save tables as .xlsx or .csv.",
        )
    if not wanted:
        raise BadInput(
            say("{place} holds no data.", place=place),
            why="no file in it is JSON, a table, a workbook, Parquet or text",
            next_step="Name the folder or the archive that holds the data.",
        )
    return wanted, [say("not read, because they hold no rows: {names}", names=_shown(about))] if about else []


def _check_name(place: Path, name: str) -> None:
    parts = name.split("/")
    if not name.isprintable() or "\\" in name or ".." in parts or "" in parts:
        raise BadInput(
            say("{path} holds a file whose name is not accepted.", path=place),
            why="the name leads out of it, or cannot be shown",
            next_step="Ask whoever sent it what it is; name the file otherwise, and start again.",
        )


def _check_open(archive: Path, name: str, member: zipfile.ZipInfo) -> None:
    if member.flag_bits & ZIP_ENCRYPTED:
        raise BadInput(
            say("{path} is encrypted.", path=archive),
            why=say("{name} in it opens with a password only", name=name),
            next_step="Unpack it with its password, and name the unpacked files.",
        )


def _member_name(member: zipfile.ZipInfo) -> str:
    """The name as it was meant: Chinese programs write GB18030 where zip knows only an old code page."""
    if member.flag_bits & ZIP_UTF8 or member.filename.isascii():
        return member.filename
    try:
        return member.filename.encode("cp437").decode("gb18030")
    except UnicodeError:
        return member.filename


def _is_junk(name: str) -> bool:
    """What programs leave beside files: hidden names, a spreadsheet's lock, a desktop's thumbnails."""
    return name.startswith((".", "~$")) or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def _too_many(place: Path) -> BadInput:
    return BadInput(
        say("{place} holds too many files.", place=place),
        why=say("more than {limit} are not read at once", limit=FILE_LIMIT),
        next_step="Put the rows into fewer files.",
    )


def _shown(names: list[str]) -> Sentence:
    shown: list[str] = [repr(name)[1:-1] for name in names[:SHOWN]]
    if len(names) > SHOWN:
        shown.append(say("and {count} more", count=len(names) - SHOWN))
    return listed(shown)


def _raise(error: OSError) -> None:
    raise error
