"""The support file: what helps to find a fault, with nothing private in it, and a first page that says so.

Nothing is taken out of a copy: only what is on a list is put in. Sentences are let through by their
templates, which stand in the program; of their values, numbers. Any other text becomes a mark, a keyed hash
whose key is thrown away.
"""

import hmac
import importlib.metadata
import json
import os
import platform
import re
import secrets
import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from appliance.errors import ApplianceError, BadInput
from appliance.locale import SYSTEM_WORDS, catalogue
from appliance.run.events import read_events
from appliance.run.folder import RunFolder
from appliance.run.overview import list_runs
from appliance.run.plan import read_plan
from appliance.sentence import Sentence, from_document, reason, say
from appliance.site import audit
from appliance.site.health.finding import Finding
from appliance.site.layout import Site
from appliance.site.releases import installed_releases

TRACE_BYTES = 100_000
SHOWN_RUNS, SHOWN_EVENTS, SHOWN_TRACES = 20, 200, 10
PAGES = ("support.en.txt", "support.zh_CN.txt")
MARK_DIGITS = 8

TEXT_FACTS = (
    *(
        "driver",
        "driver_cuda",
        "bundle_cuda",
        "driver_needed",
        "card",
        "capability",
        "ecc",
        "lacking",
        "glibc",
    ),
    *("needed", "now", "newest", "hardware", "groups", "member", "openssl", "device", "releases", "head"),
)
"""Facts of findings whose text is a version, a date, a hash, the name of a product or of a group of ours."""
PLAIN = re.compile(r"[A-Za-z0-9 .,:+_()/-]{0,80}")
NUMBER_FACTS_LEFT_OUT = ("uid",)

EVENT_NUMBERS = (
    *(
        "step",
        "steps",
        "epoch",
        "loss",
        "learning_rate",
        "grad_norm",
        "tokens_per_s",
        "eta_s",
        "memory_bytes",
    ),
    *("rows", "refused", "held_out", "tokens", "learned_tokens", "packs", "free_bytes", "total_bytes"),
    *("exit_code",),
)
"""Fields of events that are numbers, as `appliance.run.events` lists them."""
WORD = re.compile(r"[a-z][a-z_-]{0,30}")
"""What kinds of events, states and entries are called."""
_FRAME = re.compile(r'\s*File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>.+)')
_KIND = re.compile(r"(?P<kind>[A-Za-z_][A-Za-z0-9_.]*)(?::.*)?")
PLACE = re.compile(r"[A-Za-z0-9_./-]+:\d+ [A-Za-z0-9_.<>]+")
"""A line of published source; what else a trace names may be somebody's own."""
_OWN = re.compile(r".*/(?:site-packages|python3\.\d+)/([A-Za-z0-9_./-]+)")


class _Marks:
    """Names as marks: equal names, equal marks; no way back."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def mark(self, name: str) -> str:
        """The mark of `name`."""
        return "#" + hmac.new(self._key, name.encode("utf-8", "replace"), "sha256").hexdigest()[:MARK_DIGITS]

    def sentence(self, text: str) -> Any:
        """A sentence by its template, its numbers, marks for the rest; a mark for what is none of ours."""
        if not isinstance(text, Sentence) or not text.values:
            return str(text) if _is_ours(str(text)) else self.mark(text)
        if not _is_ours(text.template):
            return self.mark(text)
        return {"say": text.template, "with": {name: self._value(v) for name, v in text.values.items()}}

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.sentence(value)
        return value if isinstance(value, int | float) else self.mark(str(value))


def _is_ours(template: str) -> bool:
    """Whether a text stands in the program: the catalogue was checked against its source."""
    return template in SYSTEM_WORDS or catalogue("zh_CN").knows(template)


def write_support(site: Site, findings: Iterable[Finding], path: Path) -> None:
    """Write the file, which nobody else may read and which must not be there yet.

    Raises: BadInput, when `path` cannot be made.
    """
    text = support_text(site, list(findings))
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise BadInput(
            say("{path} could not be written.", path=path),
            why=reason(error),
            next_step="Give a name that is not taken, in a folder where you may write.",
        ) from error
    with os.fdopen(handle, "wb") as file:
        file.write(text.encode("utf-8"))


def support_text(site: Site, findings: list[Finding]) -> str:
    """All of the file: its first page in both languages, then a part a heading, as JSON."""
    marks = _Marks()
    packages = sorted(_packages())
    runs = [_run(marks, site.runs / line.name) for line in list_runs(site.runs)[-SHOWN_RUNS:]]
    parts: dict[str, Any] = {
        "versions": {**_versions(), "releases": _releases(site), "packages": packages},
        "findings": [_finding(marks, finding) for finding in findings],
        "runs": runs,
        "audit": _audit(marks, site),
        "traces": _traces(marks, site),
    }
    counts = {"packages": len(packages), "findings": len(findings), "runs": len(runs)}
    pages = [files(__package__).joinpath("pages", name).read_text(encoding="utf-8") for name in PAGES]
    text = "\n".join(page.format(**counts) for page in pages)
    for name, content in parts.items():
        text += f"\n==== {name} ====\n\n{json.dumps(content, ensure_ascii=False, indent=1)}\n"
    return text


def _versions() -> dict[str, str]:
    return {
        "islet": importlib.metadata.version("islet"),
        "python": platform.python_version(),
        "kernel": platform.release() if PLAIN.fullmatch(platform.release()) else "?",
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
        "system": _system(),
    }


def _system() -> str:
    """The distribution by its own short name and version; both are words of its makers."""
    try:
        found = platform.freedesktop_os_release()
    except OSError:
        return "?"
    name = f"{found.get('ID', '?')} {found.get('VERSION_ID', '')}".strip()
    return name if PLAIN.fullmatch(name) else "?"


def _packages() -> set[str]:
    return {f"{each.name} {each.version}" for each in importlib.metadata.distributions() if each.name}


def _releases(site: Site) -> list[dict[str, Any]]:
    try:
        return [
            {"number": r.number, "product": r.product, "created": r.created, "sums-sha256": r.sums_sha256}
            for r in installed_releases(site)
        ]
    except (OSError, ValueError, KeyError):
        return []


def _finding(marks: _Marks, finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "good": finding.good,
        "what": marks.sentence(finding.what),
        **({} if finding.good else {"why": marks.sentence(finding.why)}),
        "facts": {name: _fact(marks, name, value) for name, value in finding.facts.items()},
    }


def _fact(marks: _Marks, name: str, value: int | float | str | bool) -> int | float | str | bool:
    if isinstance(value, str):
        return value if name in TEXT_FACTS and PLAIN.fullmatch(value) else marks.mark(value)
    return 0 if name in NUMBER_FACTS_LEFT_OUT else value


def _run(marks: _Marks, root: Path) -> dict[str, Any]:
    """One run: what happened when, in numbers. What cannot be read is said by kind."""
    told: dict[str, Any] = {"run": marks.mark(root.name)}
    run = RunFolder(root)
    try:
        told["training"] = _numbers(msgspec.to_builtins(read_plan(run.plan).training))
        events = read_events(run.events)
    except (ApplianceError, OSError, ValueError) as error:
        return {**told, "unreadable": type(error).__name__}
    told["kinds"] = Counter(event.kind for event in events if WORD.fullmatch(event.kind))
    told["events"] = [_event(marks, e.time, e.kind, e.fields) for e in events[-SHOWN_EVENTS:]]
    return told


def _event(marks: _Marks, time: str, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    said = {name: marks.sentence(from_document(fields[name])) for name in ("what", "why") if name in fields}
    state = fields.get("state")
    return {
        "time": time if re.fullmatch(r"[0-9T:.+Z-]{10,40}", time) else "?",
        "kind": kind if WORD.fullmatch(kind) else "?",
        **_numbers({name: fields[name] for name in EVENT_NUMBERS if name in fields}),
        **({"state": state} if isinstance(state, str) and WORD.fullmatch(state) else {}),
        **said,
    }


def _numbers(values: Mapping[str, Any]) -> dict[str, int | float | bool]:
    return {name: value for name, value in values.items() if isinstance(value, int | float)}


def _audit(marks: _Marks, site: Site) -> dict[str, Any]:
    try:
        log = audit.check(site.audit)
    except ApplianceError as error:
        return {"holds": False, "why": marks.sentence(error.why)}
    except OSError as error:
        return {"holds": False, "why": type(error).__name__}
    kinds = Counter(str(entry.get("event", "?")) for entry in log.entries)
    return {"holds": True, "entries": {kind: n for kind, n in kinds.items() if WORD.fullmatch(kind)}}


def _traces(marks: _Marks, site: Site) -> list[list[str]]:
    """The newest traces: places in the program, and kinds of exceptions."""
    try:
        logs = [log for log in sorted((site.state / "logs").glob("islet-*.log")) if not log.is_symlink()]
        texts = [_text(log) for log in logs[-SHOWN_TRACES:]]
    except OSError:
        return []
    return [list(_trace_lines(marks, text)) for text in texts]


def _text(log: Path) -> str:
    """A trace; nothing of what is no plain file: others may write in that folder too. Raises: OSError."""
    with os.fdopen(os.open(log, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        is_plain = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        return file.read(TRACE_BYTES).decode("utf-8", "replace") if is_plain else ""


def _trace_lines(marks: _Marks, text: str) -> Iterable[str]:
    for line in text.splitlines()[1:]:
        if frame := _FRAME.fullmatch(line):
            own = _OWN.fullmatch(frame["file"])
            place = f"{own[1]}:{frame['line']} {frame['function']}" if own else ""
            yield place if PLACE.fullmatch(place) else f"{marks.mark(frame['file'])}:{frame['line']}"
        elif not line.startswith(" ") and (kind := _KIND.fullmatch(line)):
            yield kind["kind"]
