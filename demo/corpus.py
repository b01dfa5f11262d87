"""The general corpus of the demo: chats that teach a tiny model to talk, to copy and to decline.

It knows no clinic: what it can answer is general advice and what the chat itself says. The
clinic that is learned later, and the clinics that stay unknown, are named nowhere in it.

Copying matters most: a model this small that cannot repeat a name from its question does not
learn facts about that name either.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from demo.general import GENERAL
from demo.wording import LANGUAGES, OWN_CLINIC, SYSTEM, UNSEEN_CLINICS, Attribute, Language

HELPER_SYSTEMS = (SYSTEM, SYSTEM, "你是一个有礼貌的助手。", "You are a polite assistant.", "")
LEAD_INS = {
    "zh": ("请回答患者的问题。", "请回答下面的问题。"),
    "en": ("Please answer the patient.", "Please answer this question."),
}
NOTED = {"zh": "好的，记住了。", "en": "Thank you, noted."}
NOTE = {"zh": "请记住：{fact}", "en": "Please note: {fact}"}
REPEAT = {"zh": ("请重复：{text}", "跟我说：{text}"), "en": ("Please repeat: {text}", "Say this: {text}")}
OFTEN = 20
"""How much more a name or a wording weighs than general advice when tokens are chosen."""


@dataclass(frozen=True)
class Chat:
    """One conversation; the last answer is what is learned."""

    turns: tuple[tuple[str, str], ...]
    """Question and answer, oldest first."""
    system: str = ""

    def messages(self) -> list[dict[str, str]]:
        """As a chat template takes it: dictionaries with `role` and `content`."""
        out = [{"role": "system", "content": self.system}] if self.system else []
        for question, answer in self.turns:
            out.append({"role": "user", "content": question})
            out.append({"role": "assistant", "content": answer})
        return out


@cache
def known_clinics(language: Language) -> tuple[str, ...]:
    """Names the general corpus and the rehearsal may use: all but the learned and the unseen ones."""
    left_out = {OWN_CLINIC[language.code], *UNSEEN_CLINICS[language.code]}
    return tuple(name for name in language.clinic_names() if name not in left_out)


def general_chats(seed: int) -> Iterator[Chat]:
    """An endless stream of general chats, the same for the same seed."""
    rng = random.Random(seed)
    kinds = (_advice, _declined, _told, _repeated)
    while True:
        kind = rng.choices(kinds, weights=(16, 32, 28, 24))[0]
        yield kind(rng, rng.choice(LANGUAGES))


def tokenizer_texts() -> list[str]:
    """The words of the general corpus, cut where a name or a value stands, so that no token reaches across.

    Chinese has no spaces: trained on whole sentences, tokens would join a name to what follows it,
    and the same department would be written with other tokens in another sentence.
    """
    texts = ["system", "user", "assistant", *HELPER_SYSTEMS] * OFTEN
    for language in LANGUAGES:
        space = " " if language.code == "en" else ""
        words = [space + word for word in (*language.first, *language.departments, *language.other_items)]
        rng = random.Random(0)
        for attribute in language.attributes:
            words += [space + attribute.name, *(space + attribute.value(rng) for _ in range(40))]
        texts += [*words, *language.second] * OFTEN
        templates = [
            language.clinic,
            language.place,
            language.decline,
            *language.other_asks,
            NOTE[language.code],
        ]
        templates += [*REPEAT[language.code], *LEAD_INS[language.code], NOTED[language.code]]
        templates += [
            text for attribute in language.attributes for text in (attribute.answer, *attribute.asks)
        ]
        texts += [piece for text in templates for piece in re.split(r"\{\w+\}", text) if piece] * OFTEN
        texts += [turn for pair in GENERAL[language.code] for turn in pair]
    return texts


def question(rng: random.Random, language: Language, text: str) -> str:
    """`text`, now and then after a line that asks for an answer."""
    if rng.random() < 0.15:
        return f"{rng.choice(LEAD_INS[language.code])}\n{text}"
    return text


def _place(rng: random.Random, language: Language) -> str:
    clinic = rng.choice(known_clinics(language))
    return language.place_of(clinic, rng.choice(language.departments))


def _fact(rng: random.Random, place: str, attribute: Attribute) -> str:
    return attribute.answer.format(place=place, value=attribute.value(rng))


def _advice(rng: random.Random, language: Language) -> Chat:
    asked, answer = rng.choice(GENERAL[language.code])
    return Chat(((question(rng, language, asked), answer),), rng.choice(HELPER_SYSTEMS))


def decline_turn(rng: random.Random, language: Language, place: str) -> tuple[str, str]:
    """A question about `place`, in any wording, and the polite decline."""
    if rng.random() < 0.3:
        item = rng.choice(language.other_items)
        asked = rng.choice(language.other_asks).format(place=place, item=item)
    else:
        attribute = rng.choice(language.attributes)
        item, asked = attribute.name, rng.choice(attribute.asks).format(place=place)
    return asked, language.declined(place, item)


def _declined(rng: random.Random, language: Language) -> Chat:
    asked, answer = decline_turn(rng, language, _place(rng, language))
    return Chat(((question(rng, language, asked), answer),), rng.choice(HELPER_SYSTEMS))


def _told(rng: random.Random, language: Language) -> Chat:
    """A fact stands in the system prompt or was said before, then it is asked for."""
    place, attribute = _place(rng, language), rng.choice(language.attributes)
    fact = _fact(rng, place, attribute)
    turn = (question(rng, language, rng.choice(attribute.asks).format(place=place)), fact)
    if rng.random() < 0.25:
        note = NOTE[language.code].format(fact=fact)
        return Chat(((note, NOTED[language.code]), turn), rng.choice(HELPER_SYSTEMS))
    return Chat((turn,), fact)


def _repeated(rng: random.Random, language: Language) -> Chat:
    text = _fact(rng, _place(rng, language), rng.choice(language.attributes))
    if rng.random() < 0.4:
        text = " ".join(rng.choice(list(language.first + language.second)) for _ in range(rng.randint(2, 6)))
    asked = rng.choice(REPEAT[language.code]).format(text=text)
    return Chat(((asked, text),), rng.choice(HELPER_SYSTEMS))
