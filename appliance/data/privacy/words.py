"""The words that the rules know, from words.toml beside this file."""

import tomllib
from importlib.resources import files

_ALL = tomllib.loads(files(__package__).joinpath("words.toml").read_text(encoding="utf-8"))

SURNAMES = frozenset("".join(_ALL["surnames"].split()))
DOUBLE_SURNAMES = frozenset(_ALL["double_surnames"])
AMBIGUOUS_SURNAMES = frozenset("".join(_ALL["ambiguous_surnames"].split()))
GIVEN = frozenset("".join(_ALL["given"].split()))
NOT_GIVEN = frozenset("".join(_ALL["not_given"].split())) | frozenset("，。；：、？！（）()《》\"' ")
NOT_NAMES = frozenset(_ALL["not_names"])
NOT_FILLED = frozenset(_ALL["not_filled"])
FORM_FIELDS = tuple(_ALL["form_fields"].split())
ROLES = tuple(_ALL["roles"].split())
BEFORE_NAMES = tuple(_ALL["before_names"].split())
TITLES = tuple(_ALL["titles"].split())
RELATIONS = tuple(_ALL["relations"].split())
GIVEN_ENGLISH = frozenset(_ALL["given_english"])
NAMED_AFTER = frozenset(_ALL["named_after"])
NOT_ENGLISH_NAMES = frozenset(_ALL["not_english_names"]) | NAMED_AFTER
PROVINCES = tuple(_ALL["provinces"])
