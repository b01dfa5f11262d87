"""Names of people: a list that the site gives, else words around them, never a dictionary alone.

Chinese writes names without a boundary. A candidate is a surname and one or two characters that names are
made of; a word before it (`患者`, `联系人：`), behind it (`先生`, `，男，`) or both make it a name.
"""

import re
from collections.abc import Iterable, Iterator

from appliance.data.privacy.kinds import Found, Kind
from appliance.data.privacy.normal import normal
from appliance.data.privacy.words import (
    AMBIGUOUS_SURNAMES,
    DOUBLE_SURNAMES,
    GIVEN,
    GIVEN_ENGLISH,
    NAMED_AFTER,
    NOT_ENGLISH_NAMES,
    NOT_GIVEN,
    NOT_NAMES,
    SURNAMES,
)

_HAN = "\u4e00-\u9fff"
_SURNAME = f"(?:{'|'.join(sorted(DOUBLE_SURNAMES))}|[{''.join(sorted(SURNAMES))}])"

_ANY_HAN = re.compile(rf"[{_HAN}]")
_ANY_ENGLISH = re.compile(r"[A-Z][a-z]")

_LABEL = re.compile(
    r"(?:姓名|开户人|持卡人|户名|患者名|患儿名|曾用名|联系人|监护人|陪护人|陪同人|紧急联系人|户主|申请人|委托人|代理人|签名"
    r"|签字|签署人|签收人|记录者|记录人|审核者?|审核人|"
    r"审核医师|报告者|报告人|报告医[师生]|检查医[师生]|申请医[师生]|主刀|术者|一助|二助|手术者|手术医[师生]"
    r"|麻醉师|麻醉医[师生]|麻醉者|主管医[师生]|经治医[师生]|"
    r"主治医[师生]|住院医[师生]|上级医[师生]|接诊医[师生]|门诊医[师生]|管床医[师生]|责任护士|主管护士"
    r"|巡回护士|器械护士|值班医[师生]|医[师生]签名|护士签名|供史者|"
    r"病史陈述者|陈述者|家属姓名|收件人|寄件人)(?:姓名|签名|签字)?(?:是|为|叫)?[ ]{0,2}[:：]?[ ]{0,3}"
)
"""Words of forms: what stands behind them is a name, or the field is empty."""

_NEAR = re.compile(
    r"(?:患者|病人|患儿|病员|产妇|孕妇|家属|[其之][子女妻夫父母弟妹兄姐]|"
    r"儿子|女儿|妻子|丈夫|母亲|父亲|配偶|爱人|弟弟|妹妹|哥哥|姐姐|儿媳|女婿|孙子|孙女|外甥|侄子|侄女|老伴|"
    r"由|请|经|与|和|及|找|联系|告知|通知|询问|护送者|同事|邻居|朋友|我叫|名叫|叫做|本人|医[师生]|医生是"
    r"|大夫|护士|主任|教授|查房[:：]|示[:：]|"
    r"老年人|男性|女性|老师)(?:为|是|叫)?[ ]?[:：(（]?"
)
"""Words that a name often follows, and often something else."""

_TITLE = (
    r"(?:先生|女士|小姐|太太|夫人|老师|同志|医生|医师|大夫|护士长|护士|主任医师|副主任医师|主治医师"
    r"|住院医师|副主任|主任|副教授|教授|院长|科长|"
    r"阿姨|奶奶|爷爷|大爷|大妈|大叔|叔叔|伯伯|婆婆|师傅|患者|病人|患儿|家属)"
)
_DETAIL = r"(?:男|女)性?[ ]{0,2}(?:[,，、;；)）。/ ]|[0-9]|$)|[0-9]{1,3} ?(?:岁|月龄|个月)"
"""What notes say of a person behind the name: sex or age."""

_BETWEEN = r"[ ]{0,2}[,，、;；(（/]? ?"
_END = re.compile(
    rf"$|[\s,，。；;：:、？?！!（）()\[\]【】《》\"'“”…/\-0-9A-Za-z]|{_TITLE}|{_BETWEEN}(?:{_DETAIL})"
)
_TITLES = re.compile(_TITLE)
_BEFORE_TITLE = re.compile(
    rf"(?:^|[^{_HAN}]|[由请经与和及找是为叫对向给随被让呼家者师生士员属])(?P<name>{_SURNAME}[{_HAN}]{{0,2}})$"
)
_DETAILS = re.compile(rf"(?=[男女0-9])(?:{_DETAIL})")
_BEFORE_DETAIL = re.compile(rf"(?:^|[^{_HAN}]|[者为是人儿叫])(?P<name>{_SURNAME}[{_HAN}]{{1,3}}){_BETWEEN}$")
_REACH = 9
"""Characters before a title or a detail in which a name and what it stands behind have room."""

_DOTTED = re.compile(rf"[{_HAN}]{{2,7}}(?:·[{_HAN}]{{1,7}}){{1,3}}")
_CALLED = re.compile(rf"(?<![{_HAN}])(?P<name>[小老][{''.join(sorted(SURNAMES))}])(?=[说讲诉来去,，。])")
_SPEAKER = re.compile(rf"(?:^|\n)[ ]*(?P<name>{_SURNAME}[{_HAN}]{{1,2}})(?=[ ]?[::])")

_WORD = r"(?:[A-Z]['’])?[A-Z][a-z]+(?:[A-Z][a-z]+)?(?:['’-][A-Z]?[a-z]+)*"
_NEXT = rf" (?:(?:de|la|van|von|der|den|bin|al|el|da|dos|di|le|du) )?{_WORD}"
_INITIAL = r"(?: [A-Z](?:\.|(?![A-Za-z])))?"
_FULL = rf"{_WORD}(?:{_INITIAL}{_NEXT}){{0,3}}"
_ENGLISH_LEAD = re.compile(r"(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Doctor)\.? ?")
_ENGLISH_LABEL = re.compile(
    r"(?=[PpFfNnEeCcGgAaSsDdRrWw])(?<![A-Za-z])(?i:(?:patient(?:'s)?(?: name)?|full name|name|pt"
    r"|next of kin|emergency contact|contact(?: person)?|guardian|"
    r"attending(?: physician)?|physician|surgeon|anesthesi(?:a|ologist)|consultant|nurse|provider"
    r"|dictated by|signed(?: by)?|"
    r"reported by|reviewed by|seen by|referred by|referring (?:doctor|physician)|cc|author|witness))(?: is"
    r"|:|：) ?"
    rf"(?P<name>(?:{_WORD}, )?{_FULL})"
)
_ENGLISH_TITLE = re.compile(
    rf"(?=[MDPNSR])(?<![A-Za-z])(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Doctor|Nurse|Sir|Dame|Rev)\.? "
    rf"(?P<name>{_FULL})"
)
_ENGLISH_NEAR = re.compile(
    rf"(?=[PpWwHhSsDdMmFfBbNnCc])(?<![A-Za-z])(?i:(?:patient|pt|wife|husband|son|daughter|mother|father"
    rf"|brother|sister|spouse|partner|friend|neighbou?r|"
    rf"caregiver|named|called|by|with))(?:,| is)? "
    rf"(?P<name>{_WORD}{_INITIAL}(?:{_NEXT}){{1,2}})"
)
_CAPITALISED = re.compile(
    rf"(?=[A-Z])(?<![A-Za-z'’])(?P<name>(?P<first>[A-Z][a-z]{{2,11}}(?:-[A-Za-z]+)?){_INITIAL}"
    rf"(?:{_NEXT}){{1,2}})"
)


class Names:
    """Finds names; `listed` are exact ones that the site knows, of any language."""

    def __init__(self, listed: Iterable[str] = ()) -> None:
        wanted = {_lower(normal(name.strip())) for name in listed if len(name.strip()) >= 2}
        self._by_start: dict[str, list[str]] = {}
        for name in sorted(wanted, key=len, reverse=True):
            self._by_start.setdefault(name[:2], []).append(name)
        firsts = "".join(re.escape(character) for character in sorted({start[0] for start in self._by_start}))
        self._firsts = re.compile(f"[{firsts}]") if firsts else None

    def find(self, text: str) -> Iterator[Found]:
        """Names in a normalised text."""
        yield from self._listed(text)
        if _ANY_HAN.search(text):
            yield from _chinese(text)
        if _ANY_ENGLISH.search(text):
            yield from _english(text)

    def _listed(self, text: str) -> Iterator[Found]:
        if self._firsts is None:
            return
        lower = _lower(text)
        for match in self._firsts.finditer(lower):
            at = match.start()
            for name in self._by_start.get(lower[at : at + 2], ()):
                if lower.startswith(name, at) and _stands_alone(lower, at, at + len(name)):
                    yield Found(Kind.NAME, at, at + len(name), 0.99)
                    break


def _lower(text: str) -> str:
    """`text` in lower case, one character for each of its characters: a few would become two."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(each if len(each.lower()) > 1 else each.lower() for each in text)


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether an English name does not begin or end inside a word; Chinese has no such boundary."""
    inside_before = (
        start > 0 and text[start].isascii() and text[start - 1].isascii() and text[start - 1].isalpha()
    )
    inside_after = end < len(text) and text[end - 1].isascii() and text[end].isascii() and text[end].isalpha()
    return not (inside_before or inside_after)


def _chinese(text: str) -> Iterator[Found]:
    for match in _LABEL.finditer(text):
        yield from _candidate(text, match.end(), 0.95, sure=True)
    for match in _NEAR.finditer(text):
        yield from _candidate(text, match.end(), 0.75, sure=False)
    yield from _before(text, _TITLES, _BEFORE_TITLE)
    yield from _before(text, _DETAILS, _BEFORE_DETAIL)
    for match in _CALLED.finditer(text):
        yield Found(Kind.NAME, *match.span("name"), 0.6)
    for match in _SPEAKER.finditer(text):
        if _is_usual(match["name"]):
            yield Found(Kind.NAME, *match.span("name"), 0.7)
    if "·" in text:
        for match in _DOTTED.finditer(text):
            if not any(word in match.group() for word in NOT_NAMES):
                yield Found(Kind.NAME, *match.span(), 0.8)


def _before(text: str, anchor: re.Pattern[str], name: re.Pattern[str]) -> Iterator[Found]:
    """Names that stand right before `anchor`; found from there, because anchors are rarer than surnames."""
    for there in anchor.finditer(text):
        start = max(0, there.start() - _REACH)
        match = name.search(text[start : there.start()])
        if match and (start == 0 or match.start("name") > 0) and _may_be_name(match["name"]):
            yield Found(Kind.NAME, start + match.start("name"), start + match.end("name"), 0.85)
            continue
        for length in (4, 3, 2):
            if there.start() >= length and _is_usual(text[there.start() - length : there.start()]):
                yield Found(Kind.NAME, there.start() - length, there.start(), 0.7)
                break


def _candidate(text: str, start: int, confidence: float, *, sure: bool) -> Iterator[Found]:
    """A name that begins at `start`, if one does.

    sure: the word before asks for a name; then a surname is enough, and any end. Otherwise the name has a
    clear end, or is made of characters that names are made of.
    """
    surname = next((text[start : start + n] for n in (2, 1) if _is_surname(text[start : start + n])), "")
    if not surname:
        return
    given_from = start + len(surname)
    ends = [
        end
        for end in (given_from + 2, given_from + 1)
        if _are_han(text[given_from:end], end - given_from) and _may_be_name(text[start:end])
    ]
    for end in ends:
        given = text[given_from:end]
        if _END.match(text, end) and (sure or not NOT_GIVEN & set(given)):
            yield Found(Kind.NAME, start, end, confidence)
            return
    for end in ends:
        given = text[given_from:end]
        if (
            sure
            and not NOT_GIVEN & set(given)
            or surname not in AMBIGUOUS_SURNAMES
            and GIVEN.issuperset(given)
        ):
            yield Found(Kind.NAME, start, end, confidence - 0.15)
            return


def _are_han(text: str, length: int) -> bool:
    return len(text) == length and all("\u4e00" <= character <= "\u9fff" for character in text)


def _is_surname(text: str) -> bool:
    return text in DOUBLE_SURNAMES or text in SURNAMES


def _is_usual(text: str) -> bool:
    """Whether `text` is a surname and characters that given names are usually made of."""
    cut = 2 if text[:2] in DOUBLE_SURNAMES else 1
    return (
        _is_surname(text[:cut])
        and 0 < len(text) - cut <= 2
        and GIVEN.issuperset(text[cut:])
        and _may_be_name(text)
    )


def _may_be_name(text: str) -> bool:
    """Whether no word that is no name begins `text`."""
    return not any(
        text.startswith(word) or word.startswith(text) and len(text) > 1 for word in _WORDS.get(text[:1], ())
    )


_WORDS: dict[str, list[str]] = {}
for _word in sorted(NOT_NAMES):
    _WORDS.setdefault(_word[0], []).append(_word)


def _english(text: str) -> Iterator[Found]:
    for pattern, confidence in ((_ENGLISH_LABEL, 0.9), (_ENGLISH_TITLE, 0.9), (_ENGLISH_NEAR, 0.65)):
        for match in pattern.finditer(text):
            yield from _english_name(text, *match.span("name"), confidence)
    for match in _CAPITALISED.finditer(text):
        if match["first"].lower() in GIVEN_ENGLISH:
            yield from _english_name(text, *match.span("name"), 0.7)


def _english_name(text: str, start: int, end: int, confidence: float) -> Iterator[Found]:
    """The words from `start` that can be of a name: it ends before the first that cannot."""
    lead = _ENGLISH_LEAD.match(text, start, end)
    start = lead.end() if lead else start
    for word in re.finditer(r"[A-Za-z'’.-]+", text[start:end]):
        if len(word.group()) > 2 and word.group().strip(".").lower() in NOT_ENGLISH_NAMES:
            end = start + word.start()
            break
    while end > start and text[end - 1] in " ,":
        end -= 1
    follows = re.match(r" ?(?:['’]s )?([a-z]+)", text[end:])
    named_after = follows is not None and follows.group(1) in NAMED_AFTER
    if end - start >= 2 and not named_after:
        yield Found(Kind.NAME, start, end, confidence)
