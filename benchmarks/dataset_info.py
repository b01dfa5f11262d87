"""Whether a `dataset_info.json` means the same to Islet and LLaMA-Factory: text, and what is learned of it.

    python -m benchmarks.dataset_info

LLaMA-Factory is installed into an environment of its own (`environments.py`). Both sides read the same
entries (`entries.py`) with the same tokenizer; theirs writes them with its own templates `qwen3_nothink` and
`qwen3`, Islet with a chat template that says the same (`qwen.jinja`). Both templates of theirs also teach the
line end behind the token that ends an answer, which no engine ever comes to: it is left out before comparing.

Prints a table, and exits 1 when a row differs that `entries.py` does not list under a trap that Islet mends.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from appliance.data.dataset_info import FILE_NAME
from appliance.data.read import stream
from appliance.errors import ApplianceError
from appliance.run.plan import DataFile
from appliance.run.rows import Problem, Row
from appliance.training.encode import Encoder, Example
from benchmarks.entries import ENTRIES, Entry, write_entries
from benchmarks.environments import LLAMA_FACTORY, make_environment
from benchmarks.job import make_tokenizer

HERE = Path(__file__).parent
BUILD = Path("build/benchmarks")
SETTINGS = {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
LIMIT_S = 900
END = "<|im_end|>"

Pieces = list[tuple[str, bool]]
"""A text, cut where what is learned begins and ends; each piece with whether it is learned."""


@dataclass(frozen=True)
class Outcome:
    """What one side made of a row."""

    texts: dict[str, Any]
    """`answer` and, of a preference, `worse`: pieces; `good`: a label. Empty where the row is not trained."""
    said: str = ""
    """What was said of a row that is not trained."""


def main() -> None:
    """Run both sides, print the table, judge it."""
    python = make_environment(LLAMA_FACTORY, BUILD / "environments")
    with tempfile.TemporaryDirectory(prefix="islet-rows-") as place:
        folder = Path(place)
        for template in ("qwen3_nothink", "qwen3"):
            make_base(folder / template, thinks=template == "qwen3")
        write_entries(folder / "data", ENTRIES)
        theirs = run_theirs(python, folder)
        ours = {entry.name: run_ours(entry, folder) for entry in ENTRIES}
    print("| entry | row | LLaMA-Factory 0.9.5 | Islet | |\n|---|---|---|---|---|")
    verdicts: Counter[str] = Counter()
    for entry in ENTRIES:
        for line, verdict in compare(entry, theirs[entry.name], ours[entry.name]):
            verdicts[verdict] += 1
            print(line)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    print(f"\n{len(ENTRIES)} entries, {verdicts.total()} rows: {counts}")
    sys.exit(1 if verdicts["DIFFERS"] else 0)


def make_base(folder: Path, *, thinks: bool) -> None:
    """Write a tokenizer with Qwen's chat template; one that thinks writes empty thoughts."""
    folder.mkdir()
    first = f"{{%- set thinks = {str(thinks).lower()} %}}\n"
    make_tokenizer(folder, first + (HERE / "qwen.jinja").read_text(encoding="utf-8"))


def run_theirs(python: Path, folder: Path) -> dict[str, list[Outcome]]:
    """What LLaMA-Factory makes of every row of every entry; of a file that ends its run, one outcome."""
    job, result = folder / "job.json", folder / "result.json"
    entries = [
        {
            "name": entry.name,
            "base": str(folder / entry.template),
            "stage": entry.stage,
            "template": entry.template,
            "thinking": entry.thinking,
            "mask_history": entry.mask_history,
        }
        for entry in ENTRIES
    ]
    document = {"folder": str(folder / "data"), "scratch": str(folder / "cache"), "result": str(result)}
    job.write_text(json.dumps({**document, "entries": entries}), encoding="utf-8")
    done = subprocess.run(
        [str(python), str(HERE / "peers" / "llamafactory_rows.py"), str(job)],
        env={**os.environ, **SETTINGS},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"LLaMA-Factory ended with {done.returncode}:\n{done.stderr[-2000:]}")
    found = json.loads(result.read_text(encoding="utf-8"))
    return {name: [_their_outcome(row) for row in rows] for name, rows in found.items()}


def _their_outcome(row: dict[str, Any]) -> Outcome:
    if "said" in row:
        return Outcome({}, row["said"])
    texts = {key: value if key == "good" else _without_line_ends(value) for key, value in row.items()}
    return Outcome(texts)


def _without_line_ends(pieces: list[Any]) -> Pieces:
    """The same, with no line end learned behind an end token, and nothing after the last one."""
    kept: Pieces = []
    for text, learned in pieces:
        ends = learned and text.endswith(f"{END}\n")
        kept.append((text[:-1] if ends else text, learned))
        if ends:
            kept.append(("\n", False))
    while kept and not kept[-1][1]:
        kept.pop()
    return _joined(kept)


def _joined(pieces: Pieces) -> Pieces:
    """The same, neighbours alike put together."""
    joined: Pieces = []
    for text, learned in pieces:
        if joined and joined[-1][1] == learned:
            text = joined.pop()[0] + text
        joined.append((text, learned))
    return joined


def run_ours(entry: Entry, folder: Path) -> list[Outcome]:
    """What Islet makes of every row of an entry; of a file that it refuses, one outcome."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / entry.template)
    file = DataFile(str(folder / "data" / FILE_NAME), dataset=entry.name)
    try:
        return [_our_outcome(each, entry, tokenizer) for each in stream(file)]
    except ApplianceError as error:
        return [Outcome({}, f"refused: {error.what}")]


def _our_outcome(row: Row | Problem, entry: Entry, tokenizer: Any) -> Outcome:
    if isinstance(row, Problem):
        return Outcome({}, f"{row.field} {row.what}")
    if row.kind == "text":
        return Outcome({"answer": [(row.text + END, True)]})
    last_only = row.kind != "chat" or entry.mask_history
    before = tuple(replace(turn, learned=turn.learned and not last_only) for turn in row.question)
    answers = {"answer": row.messages[-1]} | ({"worse": row.rejected} if row.rejected else {})
    texts: dict[str, Any] = {}
    for name, answer in answers.items():
        plain = replace(row, messages=(*before, answer), rejected=None, label=None)
        found = Encoder(tokenizer, max_tokens=1_000_000).examples(plain)
        if isinstance(found, Problem):
            return Outcome({}, f"{found.field} {found.what}")
        texts[name] = [piece for example in found for piece in _pieces(example, tokenizer)]
    return Outcome(texts if row.label is None else {**texts, "good": row.label})


def _pieces(example: Example, tokenizer: Any) -> Pieces:
    marked = zip(example.ids, example.learned, strict=True)
    return [
        (tokenizer.decode([token for token, _ in run], skip_special_tokens=False), learned)
        for learned, run in groupby(marked, key=lambda pair: pair[1])
    ]


def compare(entry: Entry, theirs: list[Outcome], ours: list[Outcome]) -> Iterator[tuple[str, str]]:
    """A line of the table and a verdict for every row: `same`, `mended`, `DIFFERS`."""
    rows = len(entry.rows) if isinstance(entry.rows, list) else 1
    for number in range(rows):
        one = theirs[number] if len(theirs) > number else theirs[-1]
        other = ours[number] if len(ours) > number else ours[-1]
        trap = entry.mended.get(number + 1, "")
        same = one.texts == other.texts and bool(one.texts)
        verdict = "same" if same and not trap else "mended" if trap and not same else "DIFFERS"
        cells = [
            entry.name,
            str(number + 1),
            _cell(one),
            _cell(other),
            f"{verdict}: {trap}" if trap else verdict,
        ]
        yield f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |", verdict


def _cell(outcome: Outcome) -> str:
    if not outcome.texts:
        return outcome.said
    learned = sum(len(text) for text, is_learned in outcome.texts["answer"] if is_learned)
    return f"trained, {learned} characters learned"


if __name__ == "__main__":
    main()
