"""Names in European letters by the words around them."""

import re
from collections.abc import Iterator

from appliance.data.privacy.alternatives import any_case, any_of
from appliance.data.privacy.kinds import Found, Kind
from appliance.data.privacy.words import GIVEN_ENGLISH, NAMED_AFTER, NOT_ENGLISH_NAMES

_UP = "A-ZÀ-ÖØ-ÞŁŚŠŽŻČĆĐŐ"
_LOW = "a-zß-öø-ÿ\u0101-\u017f"
_WORD = rf"[{_UP}](?:['’][{_UP}])?[{_LOW}]+(?:[{_UP}][{_LOW}]+)?(?:['’-](?!s\b)[{_UP}]?[{_LOW}]+)*"
_PARTICLE = r"(?:(?:de|la|las|los|van|von|der|den|bin|ibn|al|el|da|dos|di|le|du|ter|ten|y) ){1,2}"
_NEXT = rf" (?:{_PARTICLE})?{_WORD}"
_INITIAL = r"(?: [A-Z](?:\.|(?![A-Za-z])))?"
_FULL = rf"(?:(?:[A-Z]\. ?){{1,3}}|{_PARTICLE})?{_WORD}(?:{_INITIAL}{_NEXT}){{0,3}}"
_CAPS = rf"[{_UP}](?:['’]?[{_UP}])+(?:-[{_UP}]{{2,}})?"
_CAPS_FULL = rf"(?:{_CAPS}, {_CAPS}(?: {_CAPS})?|{_CAPS} (?:[A-Z]\.? )?{_CAPS})(?: [A-Z](?![A-Za-z])\.?)?"

_LEAD = re.compile(r"(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Doctor|MR|MRS|MS|DR)\.? ?")
_LABEL = re.compile(
    any_case(
        (
            "patient",
            "patient's name",
            "patient name",
            "full name",
            "name",
            "pt",
            "next of kin",
            "emergency contact",
            "contact",
            "contact person",
            "guardian",
            "attending",
            "attending physician",
            "assistant",
            "physician",
            "surgeon",
            "anesthesia",
            "anesthesiologist",
            "consultant",
            "nurse",
            "provider",
            "dictated by",
            "signed",
            "signed by",
            "reported by",
            "reviewed by",
            "seen by",
            "referred by",
            "referring doctor",
            "referring physician",
            "cc",
            "re",
            "author",
            "witness",
        )
    )  # fmt: skip
    + rf"(?: is|[\"'*| ]{{0,3}}[:|][\"'*| ]{{0,3}}) ?(?P<name>(?:{_WORD}, )?{_FULL}|{_CAPS_FULL})"
)
_TITLED = re.compile(
    r"(?:(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Doctor|Nurse|Sir|Dame|Rev)\.?|RN|LPN|NP) "
    rf"(?P<name>{_FULL})"
)
_KIN = (
    "wife", "husband", "son", "daughter", "mother", "father", "brother", "sister", "mom", "dad", "partner",
    "friend", "aunt", "uncle", "niece", "nephew", "cousin", "grandson", "granddaughter", "neighbor",
    "neighbour",
)  # fmt: skip
_NEAR = re.compile(
    any_case(
        (
            "patient",
            "pt",
            *_KIN,
            "spouse",
            "partner",
            "friend",
            "neighbor",
            "neighbour",
            "caregiver",
            "named",
            "called",
            "by",
            "with",
            "referring",
        )
    )  # fmt: skip
    + rf"(?:,| is)? (?P<name>{_WORD}{_INITIAL}(?:{_NEXT}){{1,2}})"
)
_STAFF = (
    "pharmacist", "interpreter", "therapist", "caregiver", "roommate", "student", "resident", "scribe",
    "message from", "call from", "Dear",
)  # fmt: skip
_KIN_FIRST = re.compile(
    any_of(word.capitalize() for word in _KIN)
    + rf" (?P<name>{_WORD})(?= (?:at|is|was|has|had|in|reports|states|called))"
)
_BY_AGE = re.compile(
    rf"[0-9](?<![0-9A-Za-z].)[0-9]?[MF] (?P<name>{_FULL})(?= (?:s/p|with|who|h/o|p/w|presents|admitted))"
)
_KIN_ALONE = re.compile(
    any_of([*_KIN, *_STAFF, *(f"{word.capitalize()}(?=, {_WORD},)" for word in _KIN)])
    + rf"(?:,? | ?\()(?P<name>{_WORD})(?![A-Za-z'’-])"
)
_RUN = re.compile(
    rf"[{_UP}](?<![A-Za-z'’.-].)(?:['’][{_UP}])?[{_LOW}]+(?:[{_UP}][{_LOW}]+)?(?:['’-](?!s\b)[{_UP}]?[{_LOW}]+)*"
    rf"(?:{_INITIAL}{_NEXT}){{1,3}}"
)
_DESCRIBED = re.compile(
    r" (?:presents|presented|is here|was admitted|complains|denies) "
    r"| \((?:wife|husband|son|daughter|mother|father|brother|sister|partner)\)"
    r"| (?:is|was) an? [0-9]{1,3}[- ]?(?:y|month|week)"
    r"|, [0-9]{1,3}[- ]?(?:y|M\b|F\b)|, an? [0-9]{1,3}[- ]year"
)
_LAST_FIRST = re.compile(
    rf"[{_UP}](?<![A-Za-z'’-].)(?:['’]?[{_UP}]+(?:-[{_UP}]{{2,}})?, (?P<first>[A-Z]{{2,12}})"
    rf"|(?:['’][{_UP}])?[{_LOW}]+(?:[-'’]?[{_UP}][{_LOW}]+)*, (?P<given>[A-Z][a-z]{{2,11}}))"
    r"(?: [A-Z]\b\.?)?(?![A-Za-z'’-])"
)
_CREDENTIAL = re.compile(r",? (?:MD|DO|RN|LPN|NP|FNP|PA-C|PA|PhD|PharmD|DNP|MBBS|PGY)\b")
_ONE_DESCRIBED = re.compile(
    rf"[{_UP}](?<![A-Za-z'’.-].)[{_LOW}]{{2,}}(?= (?:is|was) an? [0-9]{{1,3}}[- ]?(?:y|month|week|day))"
)
_CELL = re.compile(rf"(?:(?:^|\n|\| ?)(?=[^|\n]*\|)|NAME )(?P<name>{_CAPS}, {_CAPS}(?: [A-Z](?![A-Za-z]))?)")
_WORDS = re.compile(rf"[{_UP}{_LOW}'’.-]+")
_NOT_PEOPLE = re.compile(r"(?:Ann Arbor|Austin Moore)(?![A-Za-z])")
"""Places and people that only methods are called after, though they begin with a first name."""

_FOLLOWS = re.compile(r" ?(?:['’]s )?([a-z]+)")


def english_names(text: str) -> Iterator[Found]:
    """Names in a normalised text that has European letters."""
    for match in _matches(_LABEL, text):
        yield from _name(text, *match.span("name"), 0.9)
    for match in _matches(_TITLED, text):
        yield from _name(text, *match.span("name"), 0.9)
    for match in _matches(_NEAR, text):
        yield from _name(text, *match.span("name"), 0.65, least_words=2)
    for match in _matches(_KIN_ALONE, text):
        yield from _name(text, *match.span("name"), 0.6)
    for pattern in (_KIN_FIRST, _BY_AGE):
        for match in pattern.finditer(text):
            yield from _name(text, *match.span("name"), 0.6)
    for match in _RUN.finditer(text):
        if _DESCRIBED.match(text, match.end()) or _CREDENTIAL.match(text, match.end()):
            yield from _name(text, *match.span(), 0.85, least_words=2)
        elif match.group().split(" ", 1)[0].lower() in GIVEN_ENGLISH:
            yield from _name(text, *match.span(), 0.7)
    for match in _ONE_DESCRIBED.finditer(text):
        yield from _name(text, *match.span(), 0.7)
    if "|" in text or "NAME" in text:
        for match in _CELL.finditer(text):
            yield from _name(text, *match.span("name"), 0.6, least_words=2)
    if ", " in text:
        for match in _LAST_FIRST.finditer(text):
            if (match["first"] or match["given"]).lower() in GIVEN_ENGLISH:
                yield from _name(text, *match.span(), 0.6, least_words=2)


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Matches that do not begin inside a word."""
    for match in pattern.finditer(text):
        start = match.start()
        if not (start and text[start - 1].isascii() and text[start - 1].isalpha()):
            yield match


def last_names(name: str, text: str) -> tuple[str, ...]:
    """The family name of a full English name, where `text` does not also have that word in lower case."""
    words = name.replace(",", "").split()
    last = words[0] if "," in name else words[-1]
    if len(words) < 2 or len(last) < 4 or last.lower() in NOT_ENGLISH_NAMES or last.lower() in text:
        return ()
    return (last,)


def _name(text: str, start: int, end: int, confidence: float, *, least_words: int = 1) -> Iterator[Found]:
    """The words from `start` that can be of a name: it ends before the first that cannot."""
    lead = _LEAD.match(text, start, end)
    start = lead.end() if lead else start
    words = 0
    for word in _WORDS.finditer(text, start, end):
        if len(word.group()) > 2 and word.group().strip(".").lower() in NOT_ENGLISH_NAMES:
            end = word.start()
            break
        words += 1
    while end > start and text[end - 1] in " ,":
        end -= 1
    follows = _FOLLOWS.match(text, end)
    named_after = follows is not None and follows.group(1) in NAMED_AFTER
    if _NOT_PEOPLE.match(text, start):
        return
    if words >= least_words and end - start >= 2 and not named_after:
        yield Found(Kind.NAME, start, end, confidence)
