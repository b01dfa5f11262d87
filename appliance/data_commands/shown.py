"""A row on the terminal: a gutter says by a word and a sign what the model reads and what it learns to write.

What is in rows is data: nothing of it acts on the terminal, and no line is wider than it.
"""

import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import click

from appliance.locale.voice import Voice
from appliance.run.rows import Problem, Row
from appliance.sentence import Sentence, say
from appliance.wizard.cells import cells_of, one_line, pad, visible, wrap

if TYPE_CHECKING:
    from appliance.training.document import Document

WIDEST = 120
LEFT_OUT_CELLS = 4
"""Of the gutter beside its word: spaces and the sign."""

PARTS: dict[str, Sentence] = {
    "chosen": say("the better answer"),
    "rejected": say("the worse answer"),
    "text": say("a text"),
}


def width() -> int:
    """Cells that a line may take."""
    return min(shutil.get_terminal_size((80, 24)).columns, WIDEST)


def row_lines(
    row: Row, documents: "Sequence[Document]", tell: Voice, cells: int, specials: Sequence[str] = ()
) -> Iterator[str]:
    """The row under its name, each document with its gutter.

    specials: texts of the model's special tokens, which stand out where the terminal can show it
    """
    yield from _wrapped(tell("{file}, row {row}", file=row.file, row=row.row), cells)
    for document in documents:
        facts = []
        if document.part:
            facts.append(tell.again(PARTS[document.part]))
        if document.tokens:
            facts.append(
                tell("tokens: {tokens}, learned: {learned}", tokens=document.tokens, learned=document.learned)
            )
        if row.label is not None:
            facts.append(tell("marked as good") if row.label else tell("marked as bad"))
        if facts:
            yield from _wrapped("; ".join(facts), cells)
        yield from _gutter(document, tell, cells, specials)
    yield ""


def problem_lines(problem: Problem, tell: Voice, cells: int) -> Iterator[str]:
    """Why a row is none."""
    yield from _wrapped(tell.again(problem.sentence()), cells)
    yield ""


def legend(tell: Voice, cells: int) -> Iterator[str]:
    """What the gutter means."""
    yield from _wrapped(
        tell.again(say("What stands after > the model learns to write; the rest it only reads.")), cells
    )


def _wrapped(text: str, cells: int) -> list[str]:
    return wrap(one_line(text), cells)


def _gutter(document: "Document", tell: Voice, cells: int, specials: Sequence[str]) -> Iterator[str]:
    reads, learns = tell.again(say("reads")), tell.again(say("learns"))
    gutter = max(cells_of(reads), cells_of(learns))
    for learned, same in groupby(document.pieces, key=lambda piece: piece.learned):
        text = visible("".join(piece.text for piece in same)).strip("\n")
        word, sign = (learns, ">") if learned else (reads, "|")
        for number, line in enumerate(wrap(text, max(cells - gutter - LEFT_OUT_CELLS, 2)) if text else ()):
            yield f" {pad(word if number == 0 else '', gutter)} {sign} {_marked(line, specials)}".rstrip()


def _marked(line: str, specials: Sequence[str]) -> str:
    """The line with special tokens in reverse, on a terminal; they are there to be read in any case."""
    if not sys.stdout.isatty():
        return line
    for special in specials:
        line = line.replace(special, click.style(special, reverse=True))
    return line
