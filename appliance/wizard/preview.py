"""A row as the model will see it, with what it learns told apart by a word and a rule, not by colour.

The text is shown as data: nothing in it acts on the terminal, and nothing is read as markup. Pure.
"""

from itertools import groupby

from appliance.locale import Catalogue
from appliance.sentence import say
from appliance.wizard.cells import cells_of, one_line, pad, visible, wrap
from appliance.wizard.page import Preview

MOST_LINES = 8
"""Of the row itself; the rest is left out of the middle of its longest parts."""

MOST_PARTS = 5

Part = tuple[bool, list[str]]
"""Whether it is learned, and its lines."""


def preview_lines(preview: Preview, catalogue: Catalogue, *, width: int) -> list[str]:
    """The label, the row with its gutter, and the line that explains the gutter; a text of which nothing is
    learned needs no explaining."""
    told = any(piece.learned for piece in preview.pieces)
    reads, learns = (catalogue.say(say("reads")), catalogue.say(say("learns"))) if told else ("", "")
    gutter = max(cells_of(reads), cells_of(learns)) + 4
    parts = [(learned, wrap(text, max(width - gutter, 2))) for learned, text in _parts(preview)]
    lines = wrap(one_line(catalogue.say(preview.label)), width) if preview.label else []
    for learned, shown in _shortened(parts, catalogue, width - gutter):
        word, rule = (learns, ">") if learned else (reads, "|")
        for number, line in enumerate(shown):
            lines.append(f" {pad(word if number == 0 else '', gutter - 4)} {rule} {line}".rstrip())
    if not told:
        return lines
    legend = say("What stands after > the model learns to write; the rest it only reads.")
    return [*lines, *(f" {line}" for line in wrap(catalogue.say(legend), width - 1))]


def _parts(preview: Preview) -> list[tuple[bool, str]]:
    """Neighbours that are learned alike as one; what is only white space is left out."""
    parts = []
    for learned, pieces in groupby(preview.pieces, key=lambda piece: piece.learned):
        text = visible("".join(piece.text for piece in pieces)).strip("\n")
        if text.strip():
            parts.append((learned, text))
    return parts


def _shortened(parts: list[Part], catalogue: Catalogue, cells: int) -> list[Part]:
    """At most MOST_LINES lines in all, each part with its beginning and its end."""
    if len(parts) > MOST_PARTS:
        left_out = len(parts) - MOST_PARTS + 1  # two at each end stay, and the note itself is one
        words = catalogue.say(say("... {count} parts left out ...", count=left_out))
        parts = [*parts[:2], (False, wrap(words, cells)[:1]), *parts[-2:]]
    room = _room([len(lines) for _, lines in parts])
    return [
        (learned, _cut(lines, most, catalogue, cells))
        for (learned, lines), most in zip(parts, room, strict=True)
    ]


def _room(sizes: list[int]) -> list[int]:
    """Lines for each part: a line goes to each in turn that still wants one."""
    room = [0] * len(sizes)
    left = MOST_LINES
    while left > 0 and room != sizes:
        for number, size in enumerate(sizes):
            if room[number] < size and left > 0:
                room[number] += 1
                left -= 1
    return room


def _cut(lines: list[str], most: int, catalogue: Catalogue, cells: int) -> list[str]:
    if len(lines) <= most:
        return lines
    if most < 3:
        return lines[:most]
    left_out = len(lines) - most + 1
    note = wrap(catalogue.say(say("... {count} lines left out ...", count=left_out)), cells)[0]
    head = most // 2
    return [*lines[:head], note, *lines[len(lines) - (most - 1 - head) :]]
