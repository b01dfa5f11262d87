"""Findings as lines of text, in one language; without any toolkit, because it runs before there is one."""

import unicodedata
from collections.abc import Iterable, Iterator

from appliance.locale.voice import Voice
from appliance.site.health.finding import Finding


def finding_lines(findings: Iterable[Finding], say: Voice) -> Iterator[str]:
    """A line for each finding; what is wrong has its why and next below."""
    words = {True: say("good"), False: say("WRONG")}
    width = max(map(_cells, words.values()))
    for finding in findings:
        word = words[finding.good]
        text = say("{name}: {text}", name=say.again(finding.name), text=say.again(finding.what))
        yield f"{word}{' ' * (width - _cells(word))}  {text}"
        if not finding.good:
            for name, told in ((say("why"), finding.why), (say("next"), finding.next_step)):
                yield f"{' ' * width}  {say('{name}: {text}', name=name, text=say.again(told))}"


def _cells(text: str) -> int:
    """How many cells of a terminal `text` takes."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
