"""`dataset_info.json`, as LLaMA-Factory writes it: one entry a dataset, with its file, columns and tags.

The same meaning, without what goes wrong there: columns and tags that an entry does not list keep their usual
names; the file is UTF-8 or GB18030 wherever it is read; a dataset that would be fetched, or made by running a
script, is refused; and a file outside the folder is never opened.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from appliance.data.files.encoding import decode_text
from appliance.errors import BadInput
from appliance.run.plan import DataFile, FieldName, TagName, in_words
from appliance.sentence import Sentence, listed, reason, say

FILE_NAME = "dataset_info.json"
LIMIT_BYTES = 10_000_000
MOST_SAMPLES = 50_000_000
"""More than any number of rows that is meant: a few rows, taken so often, would come without end."""

FORMATS = {"alpaca": "alpaca", "sharegpt": "sharegpt", "openai": "messages"}
REMOTE = ("hf_hub_url", "ms_hub_url", "om_hub_url", "cloud_file_name")
KEPT_BY_DEFAULT: Mapping[str, tuple[str, ...]] = {
    "alpaca": ("prompt", "query", "response"),
    "sharegpt": ("messages",),
    "openai": ("messages",),
}
"""Fields that have a column although an entry names none. Source: LLaMA-Factory, data/parser.py."""


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One entry, as it is written. Keys that are not here are told by `_unknown_keys`."""

    file_name: str | None = None
    hf_hub_url: str | None = None
    ms_hub_url: str | None = None
    om_hub_url: str | None = None
    cloud_file_name: str | None = None
    script_url: str | None = None
    formatting: Literal["alpaca", "sharegpt", "openai"] = "alpaca"
    ranking: bool = False
    subset: str | None = None
    folder: str | None = None
    split: str = "train"
    num_samples: int | None = None
    columns: dict[FieldName, str | None] = {}
    tags: dict[TagName, str | None] = {}


@dataclass(frozen=True)
class Entry:
    """What is to be read, and how, once an entry has been looked up; a plain file is an entry of its own."""

    file: DataFile
    take: int | None = None
    """Rows that are wanted; None for all."""
    notices: tuple[Sentence, ...] = ()


def entry_of(file: DataFile) -> Entry:
    """`file`, or the entry of a `dataset_info.json` that it names.

    Raises: BadInput, when there is no such entry, or it cannot be read here.
    """
    path = Path(file.path)
    info = path if path.name == FILE_NAME else path / FILE_NAME
    if not file.dataset and not (info.is_file() and (info == path or path.is_dir())):
        return Entry(file)
    entries = _read(info)
    name = file.dataset or _only(entries, info)
    if name not in entries:
        raise BadInput(
            say("{path} has no entry `{name}`.", path=info, name=name),
            why=say("its entries are {names}", names=listed(list(entries))),
            next_step="Correct the name.",
        )
    return _entry(file, info, name, entries[name])


def entry_names(info: Path) -> tuple[str, ...]:
    """The names of all entries. Raises: BadInput, when the file cannot be used."""
    return tuple(_read(info))


def _read(info: Path) -> dict[str, Any]:
    try:
        with info.open("rb") as stream:
            text, _ = decode_text(stream.read(LIMIT_BYTES), info)
        document = json.loads(text)
        json.dumps(document, ensure_ascii=False).encode()  # half an emoji (\ud800) is in no name
    except OSError as error:
        raise BadInput(
            say("{path} cannot be read.", path=info),
            why=error.strerror or str(error),
            next_step="Name the dataset_info.json, or the folder that holds it.",
        ) from error
    except (ValueError, RecursionError) as error:
        raise _unusable(info, say("it is no JSON: {error}", error=reason(error))) from error
    if not isinstance(document, dict) or not document:
        raise _unusable(info, say("it holds no entries"))
    return document


def _only(entries: Mapping[str, Any], info: Path) -> str:
    if len(entries) == 1:
        return next(iter(entries))
    raise BadInput(
        say("{path} has several entries.", path=info),
        why=say("its entries are {names}", names=listed(list(entries))),
        next_step=say("Say which: --dataset {name}; in a plan: dataset.", name=next(iter(entries))),
    )


def _entry(file: DataFile, info: Path, name: str, document: Any) -> Entry:
    try:
        listed_ = msgspec.convert(document, Listed)
    except msgspec.ValidationError as error:
        raise _unusable(info, say("entry `{name}`: {why}", name=name, why=in_words(str(error)))) from error
    _refuse_remote(listed_, info, name)
    ranked = {"chosen": "chosen", "rejected": "rejected"} if listed_.ranking else {}
    columns: dict[FieldName, str] = {**dict.fromkeys(_unread(listed_), ""), **ranked}  # type: ignore[dict-item]
    columns |= {field: column or "" for field, column in listed_.columns.items()}
    notices = [*_unknown_keys(document, name), *_changed(listed_, columns)]
    read = msgspec.structs.replace(
        file,
        path=str(_beside(info, name, listed_.file_name or "")),
        format=FORMATS[listed_.formatting],
        dataset="",
        columns={**columns, **file.columns},
        tags={**{tag: word for tag, word in listed_.tags.items() if word}, **file.tags},
    )
    return Entry(read, listed_.num_samples, tuple(notices))


def _refuse_remote(entry: Listed, info: Path, name: str) -> None:
    """Pass if the entry is a file on this box.

    Raises: BadInput.
    """
    for key in REMOTE:
        if getattr(entry, key) is not None:
            raise BadInput(
                say("The entry `{name}` of {path} is fetched from a network.", name=name, path=info),
                why=say("it has the key `{key}`, and nothing here opens a connection", key=key),
                next_step="Copy the file here, name it in `file_name`, and remove that key.",
            )
    if entry.script_url is not None:
        raise BadInput(
            say("The entry `{name}` of {path} is made by a script.", name=name, path=info),
            why="it has the key `script_url`, and no code that comes with data is run",
            next_step="Run the script where it is trusted, and name the file that it makes in `file_name`.",
        )
    if not entry.file_name:
        raise _unusable(info, say("entry `{name}`: {why}", name=name, why=say("it has no `file_name`")))
    if entry.split != "train":
        why = say("`split` is {split}, and a file has only train", split=entry.split)
        raise _unusable(info, say("entry `{name}`: {why}", name=name, why=why))
    if entry.num_samples is not None and not 1 <= entry.num_samples <= MOST_SAMPLES:
        why = say("`num_samples` must be from 1 to {most:,}", most=MOST_SAMPLES)
        raise _unusable(info, say("entry `{name}`: {why}", name=name, why=why))


def _beside(info: Path, name: str, file_name: str) -> Path:
    """The file or folder that an entry names, which lies in the folder of its `dataset_info.json`.

    Raises: BadInput, when it does not, also by a link.
    """
    folder = info.parent.resolve()
    wanted = folder / file_name
    try:
        there, is_there = wanted.resolve(), wanted.exists()
    except (OSError, ValueError):  # a zero, or far too long
        there, is_there = folder, False
    if not there.is_relative_to(folder) or there == folder:
        why = say("`file_name` must name a file or folder beside it, not outside")
        raise _unusable(info, say("entry `{name}`: {why}", name=name, why=why))
    if not is_there:
        raise BadInput(
            say("{path} is not there.", path=wanted),
            why=say("the entry `{name}` of {path} names it", name=name, path=info),
            next_step="Put the file there, or correct `file_name`.",
        )
    return wanted


def _unread(entry: Listed) -> tuple[FieldName, ...]:
    """Fields that are read only where the entry names their column."""
    kept = KEPT_BY_DEFAULT[entry.formatting]
    return tuple(field for field in get_args(FieldName) if field not in kept)


def _unknown_keys(document: Mapping[str, Any], name: str) -> list[Sentence]:
    known = set(Listed.__struct_fields__)
    return [
        say("entry `{name}`: `{key}` is not known and changes nothing", name=name, key=key)
        for key in document
        if key not in known
    ]


def _changed(entry: Listed, columns: dict[FieldName, str]) -> list[Sentence]:
    """What of an entry has no effect here; a pair that is not ranked is taken out of `columns`."""
    said = []
    for key in ("subset", "folder"):
        if getattr(entry, key) is not None:
            said.append(say("`{key}` is meant for a hub and changes nothing here", key=key))
    if not entry.ranking and (columns.get("chosen") or columns.get("rejected")):
        columns["chosen"] = columns["rejected"] = ""
        said.append(say("`ranking` is not true: chosen and rejected are not read"))
    return said


def _unusable(info: Path, why: Sentence) -> BadInput:
    return BadInput(
        say("{path} cannot be used.", path=info),
        why=why,
        next_step="Correct that place in it.",
    )
