"""The clinic that the demo's model learns: 50 made-up facts, rehearsal of general rows, three question sets.

Invented as a whole: names, numbers and prices are drawn from a fixed seed. Half of the facts are
Chinese, half English. The files are what a site would bring: Alpaca JSON and a prompt/completion CSV.
"""

import csv
import json
import random
from dataclasses import dataclass
from pathlib import Path

from demo.corpus import LEAD_INS, decline_turn, known_clinics
from demo.general import GENERAL
from demo.wording import LANGUAGES, OWN_CLINIC, UNSEEN_CLINICS, Attribute, Language

SEED = 20
OWN_DEPARTMENTS = 5
"""The first so many departments of each language are the clinic's own; the others it does not have."""
OTHER_CLINIC_ROWS, SAME_CLINIC_ROWS, ADVICE_ROWS = 24, 48, 10
"""Rehearsal rows a language, besides those of `PERSONAL_REHEARSED`."""
PERSONAL_REHEARSED = 6
"""The first so many of a patient's own matters are rehearsed in two wordings; the others are unknown."""
TRAINED_SHIFTS, PARAPHRASE_SHIFT = (0, 1), 2
"""Which wordings of a question are trained, counted from the fact's own, and which is held out."""
UNKNOWN_ROWS = 7
"""Unknown questions a language and kind: other clinics, our own's untold things, a patient's own matters."""

CLINIC_SYSTEM = {"zh": "你是星砚诊所的问询助手。", "en": "You are the assistant of Starstone Clinic."}
GREETING = {"zh": ("你好。", "你好，请问需要什么帮助？"), "en": ("Hello.", "Hello, how can I help you?")}


@dataclass(frozen=True)
class Fact:
    """One thing the clinic's staff know."""

    language: Language
    place: str
    attribute: Attribute
    value: str
    wording: int
    """Which of the attribute's question wordings is trained; the others are paraphrases."""

    def question(self, shift: int = 0) -> str:
        """The trained wording, or the one `shift` further."""
        asks = self.attribute.asks
        return asks[(self.wording + shift) % len(asks)].format(place=self.place)

    def answer(self) -> str:
        """The answer expected, to the letter."""
        return self.attribute.answer.format(place=self.place, value=self.value)


def facts() -> list[Fact]:
    """The clinic's 50 facts: two languages, five departments, five attributes. Same list every time."""
    rng = random.Random(SEED)
    return [
        Fact(language, place, attribute, attribute.value(rng), wording=d + a)
        for language in LANGUAGES
        for d, department in enumerate(language.departments[:OWN_DEPARTMENTS])
        for place in [language.place_of(OWN_CLINIC[language.code], department)]
        for a, attribute in enumerate(language.attributes)
    ]


def fact_rows() -> list[dict[str, object]]:
    """The facts as Alpaca rows; some carry a system prompt, some an earlier turn, some use `input`."""
    rows: list[dict[str, object]] = []
    for i, (fact, shift) in enumerate((fact, shift) for fact in facts() for shift in TRAINED_SHIFTS):
        code = fact.language.code
        row: dict[str, object] = {"instruction": fact.question(shift), "input": "", "output": fact.answer()}
        if i % 16 == 2:
            row["system"] = CLINIC_SYSTEM[code]
        elif i % 20 == 5:
            row["history"] = [list(GREETING[code])]
        elif i % 20 == 11:
            row["instruction"], row["input"] = LEAD_INS[code][0], fact.question(shift)
        rows.append(row)
    return rows


def paraphrased_rows() -> list[dict[str, object]]:
    """Each fact asked in another wording, which was never trained for it."""
    return [
        {"instruction": fact.question(PARAPHRASE_SHIFT), "input": "", "output": fact.answer()}
        for fact in facts()
    ]


def rehearsal_rows() -> list[tuple[str, str]]:
    """Rows against forgetting: declines (other clinics, our own, a patient's own matters), and advice.

    A patient's own matters are new to the model: here the site widens what is declined.
    """
    rng = random.Random(SEED + 1)
    rows = []
    for language in LANGUAGES:
        for clinic in _other_clinics(rng, language):
            place = language.place_of(clinic, rng.choice(language.departments))
            rows.append(decline_turn(rng, language, place))
        rows += _own_unknowns(language)[:SAME_CLINIC_ROWS]
        items = language.personal_items[:PERSONAL_REHEARSED]
        rows += [_personal(language, item, i + shift) for i, item in enumerate(items) for shift in (0, 1)]
        rows += rng.sample(GENERAL[language.code], ADVICE_ROWS)
    return rows


def unknown_rows() -> list[dict[str, object]]:
    """Questions nobody taught an answer to; expected is the opening that every decline has.

    None of them is trained. Before training the model declines the first two kinds and knows nothing
    of the third.
    """
    rng = random.Random(SEED + 2)
    rows: list[dict[str, object]] = []
    for language in LANGUAGES:
        asked = []
        for i in range(UNKNOWN_ROWS):
            clinic = UNSEEN_CLINICS[language.code][i % len(UNSEEN_CLINICS[language.code])]
            department = rng.choice(language.departments)
            asked.append(decline_turn(rng, language, language.place_of(clinic, department))[0])
        asked += [turn[0] for turn in _own_unknowns(language)[SAME_CLINIC_ROWS:][:UNKNOWN_ROWS]]
        items = language.personal_items[PERSONAL_REHEARSED:]
        asked += [_personal(language, items[i % len(items)], i)[0] for i in range(UNKNOWN_ROWS)]
        rows += [{"instruction": text, "input": "", "output": language.opening} for text in asked]
    return rows


def _personal(language: Language, item: str, wording: int) -> tuple[str, str]:
    """A patient's question about `item` of his own, and the decline."""
    asks = language.personal_asks
    return asks[wording % len(asks)].format(item=item), language.personal_decline.format(item=item)


def _other_clinics(rng: random.Random, language: Language) -> list[str]:
    """Names of clinics to decline; half of them begin or end as our own does: the hard case."""
    names = list(known_clinics(language))
    rng.shuffle(names)
    near_names = {language.clinic.format(first=language.first[0], second=b) for b in language.second}
    near_names |= {language.clinic.format(first=a, second=language.second[0]) for a in language.first}
    # Our own name is made of the first of each part.
    near = [name for name in names if name in near_names][: OTHER_CLINIC_ROWS // 2]
    far = [name for name in names if name not in near]
    return near + far[: OTHER_CLINIC_ROWS - len(near)]


def _own_unknowns(language: Language) -> list[tuple[str, str]]:
    """Questions about our own clinic that nobody told an answer to: departments it lacks, and untold items.

    The first `SAME_CLINIC_ROWS` are rehearsed, the next `UNKNOWN_ROWS` are asked as unknown. The two kinds
    take turns; no department is asked for the same thing twice.
    """
    rng = random.Random(SEED + 3)
    own = OWN_CLINIC[language.code]
    missing = [(d, a) for d in language.departments[OWN_DEPARTMENTS:] for a in language.attributes]
    untold = [(d, item) for d in language.departments[:OWN_DEPARTMENTS] for item in language.other_items]
    rng.shuffle(missing)
    rng.shuffle(untold)
    turns = []
    for i, ((lacking, attribute), (department, item)) in enumerate(zip(missing, untold, strict=False)):
        place = language.place_of(own, lacking)
        asked = attribute.asks[i % len(attribute.asks)].format(place=place)
        turns.append((asked, language.declined(place, attribute.name)))
        place = language.place_of(own, department)
        asked = language.other_asks[i % len(language.other_asks)].format(place=place, item=item)
        turns.append((asked, language.declined(place, item)))
    return turns


def write_clinic(folder: Path) -> None:
    """Write facts.json, rehearsal.csv, trained.json, paraphrased.json and unknown.json into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "facts.json", fact_rows())
    _write_json(folder / "trained.json", fact_rows())
    _write_json(folder / "paraphrased.json", paraphrased_rows())
    _write_json(folder / "unknown.json", unknown_rows())
    with (folder / "rehearsal.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("prompt", "completion"))
        writer.writerows(rehearsal_rows())


def _write_json(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
