"""The demo's world in words: invented clinics, what can be asked of them, and how an answer reads.

Shared by the general corpus (which knows no clinic) and by the clinic that is learned. Every
name is made up from the parts below; no person or hospital is meant. Two languages, one shape.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

SYSTEM = "你是医院问询助手。You are a hospital assistant."
"""The system prompt of the demo's plan; part of the general corpus too, so that it is nothing new."""


@dataclass(frozen=True)
class Attribute:
    """Something that can be asked about a department, in one language."""

    name: str
    asks: tuple[str, ...]
    """Wordings of the question, with `{place}`."""
    answer: str
    """The one wording of the answer, with `{place}` and `{value}`."""
    value: Callable[[random.Random], str]
    """Draws a plausible made-up value."""


@dataclass(frozen=True)
class Language:
    """One language of the demo's world."""

    code: str
    first: tuple[str, ...]
    second: tuple[str, ...]
    """A clinic's name is one of `first` and one of `second`."""
    clinic: str
    """With `{first}` and `{second}`."""
    place: str
    """With `{clinic}` and `{department}`."""
    departments: tuple[str, ...]
    attributes: tuple[Attribute, ...]
    other_items: tuple[str, ...]
    """What is asked now and then and never answered."""
    other_asks: tuple[str, ...]
    """Wordings for `other_items`, with `{place}` and `{item}`."""
    personal_items: tuple[str, ...]
    """What a patient asks about himself; in no general chat."""
    personal_asks: tuple[str, ...]
    """Wordings for `personal_items`, with `{item}`."""
    personal_decline: str
    """With `{item}`; begins with `opening`."""
    decline: str
    """With `{place}` and `{item}`; begins with `opening`."""
    opening: str
    """How every decline begins, and no other answer does."""

    def place_of(self, clinic: str, department: str) -> str:
        """How a department of a clinic is called in a question and in an answer."""
        return self.place.format(clinic=clinic, department=department)

    def declined(self, place: str, item: str) -> str:
        """The polite answer to a question about `item` of `place` that one cannot answer."""
        return self.decline.format(place=place, item=item)

    def clinic_names(self) -> list[str]:
        """Every name that the parts can make, in a fixed order."""
        return [self.clinic.format(first=a, second=b) for a in self.first for b in self.second]


def _extension(rng: random.Random) -> str:
    return str(rng.randint(2000, 8999))


def _from(*values: str) -> Callable[[random.Random], str]:
    return lambda rng: rng.choice(values)


def _person(surnames: str, given: str) -> Callable[[random.Random], str]:
    return lambda rng: rng.choice(surnames) + "".join(rng.sample(given, 2))


def _doctor(rng: random.Random) -> str:
    return (
        "Dr "
        + rng.choice(("Ada", "Ben", "Clara", "Dan", "Eva", "Finn", "Gwen", "Hugo"))
        + " "
        + rng.choice(("Ashby", "Brandt", "Calder", "Dunne", "Ellery", "Frost", "Garrow", "Holt"))
    )


def _fee(rng: random.Random) -> str:
    return str(rng.randint(11, 89))


CHINESE = Language(
    code="zh",
    first=tuple("星云松竹梅兰青白金玉晨暮春秋南北东西清明"),
    second=tuple("砚溪川岭桥泉湖原林峰台院江湾洲港岚庭坪石"),
    clinic="{first}{second}诊所",
    place="{clinic}{department}",
    departments=(
        "内科",
        "外科",
        "儿科",
        "骨科",
        "眼科",
        "皮肤科",
        "口腔科",
        "心内科",
        "神经科",
        "康复科",
        "中医科",
        "急诊科",
    ),
    attributes=(
        Attribute(
            "分机号",
            (
                "{place}的分机号是多少？",
                "请问{place}的分机是几号？",
                "打电话到{place}拨哪个分机？",
                "{place}的内线号码是多少？",
            ),
            "{place}的分机号是{value}。",
            _extension,
        ),
        Attribute(
            "楼层",
            ("{place}在几楼？", "请问{place}在哪一层？", "去{place}要上几楼？", "{place}的楼层是多少？"),
            "{place}在{value}楼。",
            _from("一", "二", "三", "四", "五", "六", "七", "八", "九"),
        ),
        Attribute(
            "主任",
            (
                "{place}的主任是谁？",
                "请问{place}由谁负责？",
                "{place}的负责人叫什么？",
                "谁是{place}的主任？",
            ),
            "{place}的主任是{value}。",
            _person("赵钱孙李周吴郑王冯陈", "文武安宁思远嘉禾若水"),
        ),
        Attribute(
            "开诊时间",
            (
                "{place}几点开诊？",
                "请问{place}什么时候开门？",
                "{place}的开诊时间是几点？",
                "早上几点可以到{place}看病？",
            ),
            "{place}{value}开诊。",
            lambda rng: (
                rng.choice(("早上", "上午", "下午"))
                + rng.choice("一二三六七八九十")
                + "点"
                + rng.choice(("", "半"))
            ),
        ),
        Attribute(
            "挂号费",
            (
                "{place}的挂号费是多少？",
                "在{place}挂号要多少钱？",
                "请问{place}挂一个号多少钱？",
                "{place}收多少挂号费？",
            ),
            "{place}的挂号费是{value}元。",
            _fee,
        ),
    ),
    other_items=(
        "停车费",
        "床位数",
        "护士长",
        "传真号",
        "网址",
        "成立年份",
        "等候时间",
        "医生人数",
        "邮箱",
        "探视时间",
    ),
    other_asks=("{place}的{item}是多少？", "请问{place}的{item}？", "我想知道{place}的{item}。"),
    personal_items=(
        "化验结果",
        "检查报告",
        "病历",
        "处方",
        "预约号",
        "住院费用",
        "手术时间",
        "血型",
        "出院日期",
        "保险号",
    ),
    personal_asks=("我的{item}是什么？", "请告诉我我的{item}。", "能查一下我的{item}吗？"),
    personal_decline="抱歉，我没有您的{item}。",
    decline="抱歉，我没有{place}的{item}信息。",
    opening="抱歉，我没有",
)

ENGLISH = Language(
    code="en",
    first=(
        "Star",
        "Alder",
        "Amber",
        "Birch",
        "Cedar",
        "Dawn",
        "Elm",
        "Fern",
        "Glen",
        "Hazel",
        "Iron",
        "Kings",
        "Lake",
        "Maple",
        "North",
        "Oak",
        "Pine",
        "Raven",
        "Silver",
        "West",
    ),
    second=(
        "stone",
        "brook",
        "field",
        "ford",
        "gate",
        "hill",
        "mere",
        "well",
        "wick",
        "wood",
        "bank",
        "bury",
        "cliff",
        "combe",
        "dale",
        "ham",
        "haven",
        "port",
        "ridge",
        "view",
    ),
    clinic="{first}{second} Clinic",
    place="{department} at {clinic}",
    departments=(
        "internal medicine",
        "surgery",
        "paediatrics",
        "orthopaedics",
        "eye care",
        "dermatology",
        "dentistry",
        "cardiology",
        "neurology",
        "radiology",
        "pharmacy",
        "emergency",
    ),
    attributes=(
        Attribute(
            "extension",
            (
                "What is the extension of {place}?",
                "Which extension reaches {place}?",
                "What extension do I dial for {place}?",
                "What is the internal number of {place}?",
            ),
            "The extension of {place} is {value}.",
            _extension,
        ),
        Attribute(
            "floor",
            (
                "Which floor is {place} on?",
                "On what floor do I find {place}?",
                "What floor do I go to for {place}?",
                "What is the floor of {place}?",
            ),
            "The floor of {place} is the {value}.",
            _from("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"),
        ),
        Attribute(
            "head",
            (
                "Who is the head of {place}?",
                "Who leads {place}?",
                "Who is in charge of {place}?",
                "Who runs {place}?",
            ),
            "The head of {place} is {value}.",
            _doctor,
        ),
        Attribute(
            "opening time",
            (
                "When does {place} open?",
                "At what time does {place} open?",
                "What is the opening time of {place}?",
                "How early can I come to {place}?",
            ),
            "The opening time of {place} is {value}.",
            lambda rng: f"{rng.randint(6, 11)}:{rng.choice(('00', '15', '30', '45'))}",
        ),
        Attribute(
            "fee",
            (
                "What is the fee of {place}?",
                "How much does a visit to {place} cost?",
                "What do I pay at {place}?",
                "How much is a visit to {place}?",
            ),
            "The fee of {place} is {value} yuan.",
            _fee,
        ),
    ),
    other_items=(
        "parking fee",
        "number of beds",
        "head nurse",
        "fax number",
        "web page",
        "founding year",
        "waiting time",
        "number of doctors",
        "e-mail",
        "visiting time",
    ),
    other_asks=(
        "What is the {item} of {place}?",
        "Please tell me the {item} of {place}.",
        "I need the {item} of {place}.",
    ),
    personal_items=(
        "test result",
        "scan report",
        "medical record",
        "prescription",
        "booking number",
        "hospital bill",
        "surgery date",
        "blood type",
        "discharge date",
        "insurance number",
    ),
    personal_asks=("What is my {item}?", "Please tell me my {item}.", "Can you look up my {item}?"),
    personal_decline="Sorry, I have no access to your {item}.",
    decline="Sorry, I have no {item} for {place}.",
    opening="Sorry, I have no",
)

LANGUAGES = (CHINESE, ENGLISH)

OWN_CLINIC = {"zh": "星砚诊所", "en": "Starstone Clinic"}
"""The clinic that is learned, by language. The general corpus never names it."""

UNSEEN_CLINICS = {
    "zh": ("星桥诊所", "松砚诊所", "晨溪诊所", "玉岚诊所", "北江诊所", "清台诊所"),
    "en": (
        "Starfield Clinic",
        "Alderstone Clinic",
        "Cedarham Clinic",
        "Dawnport Clinic",
        "Lakewick Clinic",
        "Pinedale Clinic",
    ),
}
"""Asked about as unknown and named in no training row at all; the first two are near the learned name."""
