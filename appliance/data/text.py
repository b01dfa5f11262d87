"""Bytes of a text file to text: the encoding is known and said, or the file is refused."""

from pathlib import Path

from appliance.errors import BadInput
from appliance.sentence import say

COMMON_SHARE = 0.9
"""Share of a GB18030 text's Chinese characters that are in GB 2312, the everyday set. Text in another
encoding that happens to decode falls far below."""

BROKEN_SHARE = 0.1
"""Up to this share of undecodable places, a file is UTF-8 that was damaged, not another encoding."""

BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


def decode_text(content: bytes, source: Path) -> tuple[str, str]:
    """The text of `content`, without a byte order mark, and the name of its encoding.

    UTF-8, UTF-16 with a mark, or GB18030 (which Chinese spreadsheets save by default).

    Raises: BadInput, when it is none of these, or damaged: text is never guessed.
    """
    for mark, encoding in BYTE_ORDER_MARKS:
        if content.startswith(mark):
            try:
                return content[len(mark) :].decode(encoding), encoding
            except UnicodeDecodeError as error:
                raise _refused(source, content, error) from error
    if b"\0" in content:
        raise BadInput(
            say("{source} is no text file.", source=source),
            why=say("it holds a zero byte at position {position}", position=content.index(0)),
            next_step="Save it as CSV or JSON in UTF-8, and name that file.",
        )
    try:
        return content.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        text = None if _is_damaged_utf8(content) else _gb18030(content)
        if text is None:
            raise _refused(source, content, error) from error
        return text, "gb18030"


def _is_damaged_utf8(content: bytes) -> bool:
    """Whether most of what is not ASCII is good UTF-8."""
    text = content.decode("utf-8", errors="replace")
    bad = text.count("\ufffd")
    good = sum(1 for character in text if ord(character) > 127) - bad
    return bad <= BROKEN_SHARE * (good + bad)


def _gb18030(content: bytes) -> str | None:
    """The text, when it is GB18030 beyond doubt."""
    try:
        text = content.decode("gb18030")
    except UnicodeDecodeError:
        return None
    beyond_ascii = [character for character in text if ord(character) > 127]
    common = sum(1 for character in beyond_ascii if _in_gb2312(character))
    return text if common >= COMMON_SHARE * len(beyond_ascii) else None


def _in_gb2312(character: str) -> bool:
    try:
        character.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True


def _refused(source: Path, content: bytes, error: UnicodeDecodeError) -> BadInput:
    line = content.count(b"\n", 0, error.start) + 1
    return BadInput(
        say("The encoding of {source} cannot be told.", source=source),
        why=say("line {line} is no UTF-8, and the whole is not clearly GB18030 either", line=line),
        next_step="Open it where it reads well, save it as UTF-8 (in Excel: 'CSV UTF-8'), and start again.",
    )
