"""Screens as they were: texts in tests/golden/, where what differs from day to day stands as a word.

After a change of words that is meant, write them anew, then read what git shows:

    ISLET_GOLDEN=write .venv/bin/python -m pytest tests/test_site_screens.py tests/test_site_journey.py
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"
WRITE = os.environ.get("ISLET_GOLDEN") == "write"

WRONG = r"(?:^(?:WRONG|异常) .*\n(?: +(?:why|next|原因|处理办法|下一步)[:：].*\n)*)"
"""A finding that is not good, with its lines below."""
NORMAL = (
    (r"\b[0-9a-f]{64}\b|(?:\b[0-9a-f]{8} ){7}[0-9a-f]{8}\b", "SHA256"),
    (r"\b[0-9a-f]{16}\b", "KEYID"),
    (r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", "TIME"),
    (r"\d{4}-\d{2}-\d{2}", "DATE"),
    (r"\b\d+(\.\d+)? (B|kB|MB|GB|TB)\b", "N bytes"),
    (r"\b\d+(\.\d+)? s\b", "N s"),
    (r"\b\d+ (files|wheels|stored files|entries)\b", r"N \1"),
    (r"\d+ 个", "N 个"),
    (r"(TIME) +\d+ ", r"\1  N "),
    (r"(?m)^TIME \S+", "TIME WHO"),
    (r"(?<=\S) {2,}", "  "),
    (rf"(?m){WRONG}*^(good|正常) .*\n({WRONG}|^(good|正常) .*\n)*", "WHAT WAS FOUND ON THE BOX\n"),
    (rf"(?m){WRONG}", ""),  # an installation tells what is wrong with this machine, and nothing else of it
)
"""What differs from machine to machine and from day to day, and the word that stands for it."""


def normal(seen: str, places: Mapping[Path, str]) -> str:
    """What is seen, with words for paths (`places`), numbers, hashes and dates."""
    for path, word in places.items():
        seen = seen.replace(str(path), word)
    for pattern, word in NORMAL:
        seen = re.sub(pattern, word, seen)
    return seen


def differences(name: str, seen: str, places: Mapping[Path, str]) -> list[str]:
    """What is seen, where it is not what it was; nothing where it is, or is written anew.

    name: of the file, without its ending
    """
    found, path = normal(seen, places), GOLDEN / f"{name}.txt"
    if WRITE:
        path.parent.mkdir(exist_ok=True)
        path.write_text(found, encoding="utf-8")
    elif not path.is_file() or path.read_text(encoding="utf-8") != found:
        return [f"{path.name}:\n{found}"]
    return []
