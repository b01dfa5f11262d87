"""Chinese names by the words around them.

Chinese writes names without a boundary. A candidate is a surname and one or two characters that names are
made of; a word before it (`患者`, `联系人：`), behind it (`先生`, `，男，`, `自诉`) or both make it a name.
Where a form asks for a name (`姓名：`), whatever fills the field up to its end is one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from string import ascii_letters, digits

from appliance.data.privacy.alternatives import any_of, crossed
from appliance.data.privacy.codes import BETWEEN
from appliance.data.privacy.kinds import Found, Kind
from appliance.data.privacy.words import (
    AMBIGUOUS_SURNAMES,
    BEFORE_NAMES,
    DOUBLE_SURNAMES,
    FORM_FIELDS,
    GIVEN,
    NOT_ENGLISH_NAMES,
    NOT_FILLED,
    NOT_GIVEN,
    NOT_NAMES,
    RELATIONS,
    ROLES,
    SURNAMES,
    TITLES,
)

_HAN = "\u4e00-\u9fff"
_SURNAME = f"(?:{'|'.join(sorted(DOUBLE_SURNAMES))}|[{''.join(sorted(SURNAMES))}])"


@dataclass(frozen=True)
class _Opening:
    """What may stand at the start of a text, or behind one of a few words."""

    at_start: re.Pattern[str]
    behind: re.Pattern[str]

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """All its places."""
        first = self.at_start.match(text)
        if first:
            yield first
        yield from self.behind.finditer(text)


def _opening(leads: str, pattern: str) -> _Opening:
    """leads: patterns that begin with a plain character, divided by blanks."""
    return _Opening(re.compile(pattern), re.compile(any_of(leads.split(" ")) + pattern))


_LABEL = re.compile(
    any_of(
        ["姓 {0,4}名(?:拼音)?", "Name", "NAME", "Patient", *FORM_FIELDS, *crossed(ROLES, ("医师", "医生"))]
    )
    + rf"(?:姓名|签名|签字)?(?:是|为|叫)?(?P<between>{BETWEEN})"
)
"""Words of forms: what stands behind them is a name, or the field is empty."""

_NEAR = re.compile(
    any_of([*BEFORE_NAMES, *crossed(("其", "之"), RELATIONS)]) + r"(?:系(?!统)|为|是|叫)?[ ]?[:(]?[ ]?"
)
"""Words that a name often follows, and often something else."""

_TITLE = any_of([*TITLES, *crossed(("之", "的", r"\("), RELATIONS)])
_DETAIL = (
    r"(?:男|女)性?[ ]{0,2}(?:[,、;)。/ ]|[0-9]|$)|[0-9]{1,3} ?(?:岁|月龄|个月)|[一二三四五六七八九十]{2,3}岁"
)
"""What notes say of a person behind the name: sex or age."""

_VERB = (
    r"(?:来院|来我院|来诊|来办|前来|入院|入科|出院|转[院入出科]|就诊|复诊|复查|代诉|代述|自诉|自述|主诉|诉|因|于|之|在|既往|夜间"
    r"|今|昨|否认|要求|拒绝|同意|表示|签字|签署|签名|陪[同护伴]|护送|代签|代为|术[后前中]|沟通|交[代接]|告知|说|称|和|与|及|至|从|已|仍"
    r"|未|无|为|的|目前|突[发然]|出现|发现|发生|发热|反复|神志|意识|病情|精神|接听|查[房看]|会诊|复核|电话|手机|身份证|住院号"
    r"|[男女](?:[,、;)。/ ]|性))"
)
"""How sentences go on behind a name."""

_BETWEEN = r"[ ]{0,2}[,、;(/]? ?"
_CLOSERS = frozenset(" \t\r\n,。;:、?!()[]|【】《》\"'“”*…/-") | frozenset(ascii_letters + digits)
_SAYS_MORE = re.compile(rf"{_TITLE}|{_BETWEEN}(?:{_DETAIL})")
_GOES_ON = re.compile(_VERB)
_TITLES = re.compile(_TITLE)
_BEFORE_TITLE = re.compile(
    rf"(?:^|[^{_HAN}]|[由请经与和及找是为叫对向给随被让呼家者师生士员属科室])(?P<name>{_SURNAME}[{_HAN}]{{0,2}})$"
)
_DETAILS = re.compile(
    r"[男女0-9FM一二三四五六七八九](?:(?<=[男女])性?[ ]{0,2}(?:[,、;)。/ ]|[0-9]|$)"
    r"|(?<=[0-9])[0-9]{0,2} ?(?:岁|月龄|个月)"
    r"|(?<=[, ][FM])[, ]{1,2}[0-9]|(?<=[一二三四五六七八九])[一二三四五六七八九十]{1,2}岁)"
)
_BEFORE_DETAIL = re.compile(rf"(?:^|[^{_HAN}]|[者为是人儿叫])(?P<name>{_SURNAME}[{_HAN}]{{1,3}}){_BETWEEN}$")
_ADDRESSED = re.compile(rf"(?:^|[^{_HAN}])(?P<name>{_SURNAME}[{_HAN}]{{1,2}})(?=先生|女士|小姐|太太|同志)")
_REACH = 9
"""Characters before a title or a detail in which a name and what it stands behind have room."""

_CIVIL = re.compile(any_of(["先生", "女士", "小姐", "太太", "同志"]))
_DESCRIBED = _opening(
    r"\n 。 ;", rf"[ ]?(?P<name>[{_HAN}]{{2,12}})(?=, ?[男女]性?, ?(?:[0-9]|[{_HAN}]{{1,2}}族))"
)
"""Also names that begin with no known surname."""

_LONGEST_PART = 8
_DOTTED = re.compile(rf"[{_HAN}]{{2,{_LONGEST_PART}}}(?:·[{_HAN}]{{1,{_LONGEST_PART}}}){{1,3}}")
_LEADS_IN = re.compile(
    rf"^(?:[{_HAN}]族)?(?:患者|病人|患儿|死者|家属|牧民|农民|医生|医师|护士|[其之][子女妻夫父母]|[由请经与和及为是叫找])+"
)
_CALLED = re.compile(rf"(?P<name>[小老](?<![{_HAN}].)[{''.join(sorted(SURNAMES))}])(?=[说讲诉来去头,。])")
_LINE_START = _opening(
    r"\n 。 ; , 今日 今晨 今天 今晚 昨日 昨晚 上午 下午",
    rf"[ ]*(?P<name>{_SURNAME}[{_HAN}]{{1,2}})"
    r"(?=[ ]?:|于|因|来院|入院|出院|转院|转入|复诊|就诊|自诉|诉|否认|要求|拒绝|签字|既往)",
)
_ALONE = _opening(r"\n \t \x20 \| 、 ; ,", rf"(?P<name>{_SURNAME}[{_HAN}]{{2}})(?=[\s|、;,]|$)")
"""A name with nothing beside it, as in a list of shifts."""

_SURNAME_ALONE = re.compile(rf"姓(?P<name>{_SURNAME})(?=[,。;、) ]|$)")
_OF_A_PEOPLE = re.compile(
    rf"[{_HAN}]{{1,5}}族(?:[男女]性?)?(?:患者|病人|患儿|产妇|同胞|(?<=性)),?(?P<name>[{_HAN}]{{2,8}})(?=[,(。]|$)"
)
_WHO = re.compile(r"[者人员][:|] ?")
_SPACED = re.compile(rf"(?P<name>{_SURNAME} {{1,3}}(?P<given>[{_HAN}]{{1,2}}))(?=[ ,。;:)|\n]|$)")
_FILLED = re.compile(rf"[{_HAN}·]{{2,12}}(?=$|[\s,。;:、()\[\]|【】《》\"'“”*/0-9A-Za-z-])")
_NEXT = re.compile(r"[/、,]? ?|[和与及]")
_FOREIGN_WORD = "[A-ZÀ-Þ][a-zß-ÿ]+(?:['’-][A-Z]?[a-zß-ÿ]+)?"
_FOREIGN = re.compile(
    rf"(?:{_FOREIGN_WORD}(?:[ ,·]{{1,2}}(?:{_FOREIGN_WORD}|[A-Z](?![A-Za-z])\.?)){{0,3}}"
    r"|[A-Z]{2,}(?:[ ,]{1,2}[A-Z]{2,}){1,3})(?![A-Za-z])"
)
"""A name in European letters, as a Chinese form has it: `Zhang Wei`, `ZHANG, WEI`, `Smith`."""

_NAMES_SOMEBODY = re.compile("名|[^人]人|Name|NAME|Patient")
_FOREIGN_DETAIL = re.compile(
    rf"[A-ZÀ-Þ](?<![A-Za-z].)[a-zß-ÿ]+(?: {_FOREIGN_WORD}){{1,3}}(?=[ ,(]{{1,2}}[男女](?:性|[ ,;)。]|$))"
)


def chinese_names(text: str) -> Iterator[Found]:
    """Names in a normalised text that has Chinese characters."""
    for match in _LABEL.finditer(text):
        yield from _field(text, match)
    for match in _NEAR.finditer(text):
        start = match.end()
        if text[start : start + 1] in SURNAMES or text[start : start + 2] in DOUBLE_SURNAMES:
            yield from _candidate(text, start, 0.75, sure=False)
    yield from _before(text, _TITLES, _BEFORE_TITLE)
    yield from _before(text, _DETAILS, _BEFORE_DETAIL)
    if _CIVIL.search(text):
        for match in _ADDRESSED.finditer(text):
            if may_be_name(match["name"]):
                yield Found(Kind.NAME, *match.span("name"), 0.85)
    for match in _DESCRIBED.finditer(text):
        start = match.start("name") + _lead(match["name"])
        if match.end() - start >= 2 and not _is_no_filling(text[start : match.end()]):
            yield Found(Kind.NAME, start, match.end(), 0.75)
    if "男" in text or "女" in text:
        for match in _FOREIGN_DETAIL.finditer(text):
            if _is_foreign_name(match.group()):
                yield Found(Kind.NAME, *match.span(), 0.75)
    for match in _CALLED.finditer(text):
        yield Found(Kind.NAME, *match.span("name"), 0.6)
    for match in _LINE_START.finditer(text):
        if is_usual(match["name"]):
            yield Found(Kind.NAME, *match.span("name"), 0.7)
    for match in _ALONE.finditer(text):
        if is_usual(match["name"]) and match["name"][0] not in AMBIGUOUS_SURNAMES:
            yield Found(Kind.NAME, *match.span("name"), 0.55)
    for match in _WHO.finditer(text):
        yield from _candidate(text, match.end(), 0.75, sure=False)
    if "姓" in text:
        for match in _SURNAME_ALONE.finditer(text):
            yield Found(Kind.NAME, *match.span("name"), 0.6)
    if "族" in text:
        for match in _OF_A_PEOPLE.finditer(text):
            if not _is_no_filling(match["name"]):
                yield Found(Kind.NAME, *match.span("name"), 0.7)
    if "·" in text:
        yield from _dotted(text)


def _field(text: str, label: re.Match[str]) -> Iterator[Found]:
    """What fills a field that asks for a name, and the names listed behind it."""
    start, one = label.end(), None
    asks = any(mark in label["between"] for mark in ':|】"*=')
    spaced = _SPACED.match(text, start)
    if spaced and not NOT_GIVEN & set(spaced["given"]):
        yield Found(Kind.NAME, *spaced.span("name"), 0.9)
        return
    for one in _candidate(text, start, 0.95, sure=True):
        yield one
        beside = _FOREIGN.match(text, one.end + 1) if text[one.end : one.end + 1] in ("(", "/") else None
        if beside and _is_foreign_name(beside.group()):
            yield Found(Kind.NAME, *beside.span(), 0.8)
    filled = _FILLED.match(text, start) if asks else None
    if filled and (one is None or filled.end() > one.end) and not _is_no_filling(filled.group()):
        if one is None or "·" in filled.group():
            yield Found(Kind.NAME, *filled.span(), 0.8)
        return
    foreign = _FOREIGN.match(text, start) if asks and one is None else None
    if foreign and _NAMES_SOMEBODY.search(label.group()) and _is_foreign_name(foreign.group()):
        yield Found(Kind.NAME, *foreign.span(), 0.8)
        if text[foreign.end() : foreign.end() + 1] in ("(", "/"):
            yield from _candidate(text, foreign.end() + 1, 0.8, sure=True)
    while one is not None:
        between = _NEXT.match(text, one.end)
        more = list(_candidate(text, between.end(), 0.75, sure=False)) if between and between.group() else []
        one = more[0] if more and _ends(text, more[0].end) else None
        yield from more if one else ()


def _dotted(text: str) -> Iterator[Found]:
    place = text.find("·")
    while place >= 0:
        match = _DOTTED.search(text, max(0, place - _LONGEST_PART), place + 4 * _LONGEST_PART)
        place = text.find("·", max(place + 1, match.end() if match else 0))
        if match is None:
            continue
        start, last = match.start() + _lead(match.group()), match.group().rindex("·") + match.start() + 1
        ends = (at for at in range(last + 2, match.end()) if _GOES_ON.match(text, at))
        end = next(ends, match.end())
        if text[start] == "·":
            start = match.start()
        if may_be_name(text[start:end]):
            yield Found(Kind.NAME, start, end, 0.8)


def _lead(text: str) -> int:
    """How many characters say who somebody is before they name him."""
    lead = _LEADS_IN.match(text)
    return lead.end() if lead else 0


def _before(text: str, anchor: re.Pattern[str], name: re.Pattern[str]) -> Iterator[Found]:
    """Names that stand right before `anchor`; found from there, because anchors are rarer than surnames."""
    for there in anchor.finditer(text):
        if text.endswith(ROLES, 0, there.start()):  # 经管医生 is what he does; his name stands behind
            continue
        start = max(0, there.start() - _REACH)
        match = name.search(text[start : there.start()])
        if match and (start == 0 or match.start("name") > 0) and _is_possible(match["name"]):
            yield Found(Kind.NAME, start + match.start("name"), start + match.end("name"), 0.85)
            continue
        for length in (4, 3, 2):
            if there.start() >= length and is_usual(text[there.start() - length : there.start()]):
                yield Found(Kind.NAME, there.start() - length, there.start(), 0.7)
                break


def _candidate(text: str, start: int, confidence: float, *, sure: bool) -> Iterator[Found]:
    """A name that begins at `start`, if one does.

    sure: the word before asks for a name; then a surname is enough, and any end. Otherwise the name has a
    clear end, or is made of characters that names are made of.
    """
    surname = text[start : start + 2]
    if surname not in DOUBLE_SURNAMES:
        surname = text[start : start + 1]
        if surname not in SURNAMES:
            return
    given_from = start + len(surname)
    if not sure and text[given_from : given_from + 1] == " ":
        spaced = _SPACED.match(text, start)
        if spaced and GIVEN.issuperset(spaced["given"]):
            yield Found(Kind.NAME, *spaced.span("name"), confidence - 0.1)
        return
    ends = [
        end
        for end in (given_from + 2, given_from + 1)
        if _are_han(text[given_from:end], end - given_from) and may_be_name(text[start:end])
    ]
    for end in ends:
        given = text[given_from:end]
        if (sure or _is_likely(surname, given)) and _ends(text, end):
            yield Found(Kind.NAME, start, end, confidence)
            return
    for end in ends:
        given = text[given_from:end]
        likely = GIVEN.issuperset(given) and surname not in AMBIGUOUS_SURNAMES
        goes_on = _is_likely(surname, given) and _GOES_ON.match(text, end)
        if sure and not NOT_GIVEN & set(given) or likely or goes_on:
            yield Found(Kind.NAME, start, end, confidence - 0.15)
            return


def _ends(text: str, at: int) -> bool:
    """Whether a name can end before `at`."""
    return at == len(text) or text[at] in _CLOSERS or _SAYS_MORE.match(text, at) is not None


def _is_likely(surname: str, given: str) -> bool:
    """Whether `given` can be a given name; behind a surname that begins everyday words, whether it is one."""
    return GIVEN.issuperset(given) if surname in AMBIGUOUS_SURNAMES else not NOT_GIVEN & set(given)


def _is_possible(name: str) -> bool:
    """Whether what stands right before a title or an age can be a name."""
    cut = 2 if name[:2] in DOUBLE_SURNAMES else 1
    return may_be_name(name) and (name[:cut] not in AMBIGUOUS_SURNAMES or GIVEN.issuperset(name[cut:]))


def _are_han(text: str, length: int) -> bool:
    return len(text) == length and all("\u4e00" <= character <= "\u9fff" for character in text)


def _is_surname(text: str) -> bool:
    return text in DOUBLE_SURNAMES or text in SURNAMES


def is_usual(text: str) -> bool:
    """Whether `text` is a surname and characters that given names are usually made of."""
    cut = 2 if text[:2] in DOUBLE_SURNAMES else 1
    return (
        _is_surname(text[:cut])
        and 0 < len(text) - cut <= 2
        and GIVEN.issuperset(text[cut:])
        and may_be_name(text)
    )


def may_be_name(text: str) -> bool:
    """Whether no word that is no name begins `text`, nor `text` such a word."""
    return text not in _BEGINNINGS and not any(
        text[:length] in NOT_NAMES for length in range(1, len(text) + 1)
    )


def _is_foreign_name(text: str) -> bool:
    """Whether no English word that is no name is among those of `text`."""
    return NOT_ENGLISH_NAMES.isdisjoint(re.split("[ ,·]+", text.lower()))


def _is_no_filling(text: str) -> bool:
    """Whether a field was filled with a word that is no name, as `无` or `同上`."""
    return any(word in text for word in NOT_FILLED) or not may_be_name(text)


_BEGINNINGS = frozenset(word[:length] for word in NOT_NAMES for length in range(2, len(word) + 1))
