"""Text in cells of a terminal: what is wide counts two, nothing acts on the terminal, lines fit.

Cells are counted as rich does, which draws the tables. Knows no block and no language.
"""

import unicodedata

from rich.cells import cell_len as rich_cells

HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
"""Unicode categories that draw nothing by themselves or act on the terminal: control characters, direction
overrides, halves of a character, unassigned ones, line separators. Unicode 16, section 4.5."""

JOINING = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0), range(0x1F1E6, 0x1F200), range(0x1F3FB, 0x1F400))
"""Variation selectors, flag letters and skin tones: terminals disagree whether they are drawn together with
their neighbour, and so on how wide the line is. Unicode 16, chapter 23.4; UTS 51."""

NOT_FIRST = frozenset("，。、；：？！）」』》】〉〕％,.;:?!)]}%")
"""No line begins with these. W3C, Requirements for Chinese Text Layout, section 3.1.3."""

NOT_LAST = frozenset("（「『《【〈〔([{")
"""No line ends with these."""


def cells_of(text: str) -> int:
    """Cells that `text` takes at most. Vowel signs beside their letter (category Mc) are one cell on some
    terminals and none by rich's table.
    """
    if text.isascii():
        return len(text)
    return rich_cells(text) + sum(unicodedata.category(each) == "Mc" for each in text)


def visible(text: str, *, keep: str = "\n") -> str:
    """`text` with what would not be seen written out as `<U+202E>`, but for `keep`; tabs as spaces."""
    return "".join(_shown(each, keep) for each in text.replace("\r\n", "\n"))


def _shown(character: str, keep: str) -> str:
    if character in keep or character == " ":
        return character
    if character == "\t":
        return "    "
    if character < "\x7f" and character >= " ":
        return character
    code = ord(character)
    hidden = unicodedata.category(character) in HIDDEN or any(code in each for each in JOINING)
    return f"<U+{code:04X}>" if hidden else character


def one_line(text: str) -> str:
    """`text` with nothing hidden and no line breaks."""
    return visible(" ".join(text.split("\n")), keep="")


def pad(text: str, cells: int, *, right: bool = False) -> str:
    """`text` with spaces up to `cells`; as it is where it is longer."""
    spaces = " " * max(0, cells - cells_of(text))
    return spaces + text if right else text + spaces


def fold(text: str, cells: int) -> list[str]:
    """`text` cut into lines of at most `cells`, wherever it must be; one line at least. cells: 2 or more."""
    lines, line, used = [], "", 0
    for cluster in _clusters(text):
        size = cells_of(cluster)
        if used + size > cells and line:
            lines.append(line)
            line, used = "", 0
        line, used = line + cluster, used + size
    return [*lines, line]


def shorten(text: str, cells: int) -> str:
    """`text` in at most `cells`, its middle left out as `...` where it is longer."""
    if cells_of(text) <= cells:
        return text
    room = max(cells - 3, 0)
    head = fold(text, max(2, room - room // 2))[0] if room >= 4 else ""
    tail = fold(text[::-1], max(2, room // 2))[0][::-1] if room >= 4 else ""
    return head + "..."[:cells] + tail


def wrap(text: str, cells: int) -> list[str]:
    """`text` as lines of at most `cells`: broken at spaces, beside wide characters and at line breaks."""
    return [line for paragraph in text.split("\n") for line in _wrapped(paragraph, max(cells, 2))]


def _wrapped(text: str, cells: int) -> list[str]:
    lines, line = [], ""
    for word in _words(text):
        if cells_of(line) + cells_of(word.rstrip(" ")) <= cells:
            line += word
            continue
        if line.strip(" "):
            lines.append(line.rstrip(" "))
        *full, line = fold(word, cells) if cells_of(word.rstrip(" ")) > cells else [word]
        lines += full
    return [*lines, line.rstrip(" ")]


def _words(text: str) -> list[str]:
    """`text` cut at every place where a line may end."""
    words: list[str] = []
    word = ""
    for cluster in _clusters(text):
        if word and _may_break(word[-1], cluster[0]):
            words.append(word)
            word = ""
        word += cluster
    return [*words, word] if word else words


def _may_break(before: str, after: str) -> bool:
    if after in NOT_FIRST or before in NOT_LAST or after == " ":
        return False
    return before == " " or cells_of(before) == 2 or cells_of(after) == 2


def _clusters(text: str) -> list[str]:
    """Characters with what is drawn on top of them."""
    clusters: list[str] = []
    for character in text:
        if clusters and rich_cells(character) == 0:
            clusters[-1] += character
        else:
            clusters.append(character)
    return clusters
