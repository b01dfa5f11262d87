"""What `islet audit` prints: the entries, and what was judged of them."""

import json

from appliance.locale import language_of
from appliance.locale.voice import Voice
from appliance.site.audit import Checked

_ALWAYS = ("time", "event", "uid", "user", "login", "before", "key", "release", "release_sums")
"""Fields of an entry that are no facts of its own."""


def print_audit(log: Checked, *, as_json: bool) -> None:
    """The entries, and the head of the chain."""
    if as_json:
        print(json.dumps(_document(log) | {"entries": log.entries}, ensure_ascii=False, indent=1))
        return
    for entry in log.entries:
        facts = (f"{name}={value}" for name, value in entry.items() if name not in _ALWAYS)
        person = entry.get("user") or entry.get("uid", "?")
        login = f" ({entry['login']})" if entry.get("login") else ""
        print(entry.get("time", "?"), f"{person}{login}", entry.get("event", "?"), *facts)
    print_judged_audit(log, as_json=False)


def print_judged_audit(log: Checked, *, as_json: bool) -> None:
    """That it holds, and what to write down of it."""
    if as_json:
        print(json.dumps(_document(log) | {"entries": len(log.entries)}, indent=1))
        return
    say, facts = Voice(language_of()), {"count": len(log.entries), "head": log.head}
    if log.torn:
        print(
            say(
                "{count} entries, the chain holds, {torn} torn by a power cut; head {head}",
                torn=log.torn,
                **facts,
            )
        )
    else:
        print(say("{count} entries, the chain holds; head {head}", **facts))
    if log.key:
        print(say("signed by the key {key}", key=log.key))


def _document(log: Checked) -> dict[str, object]:
    return {"torn": log.torn, "unsigned": log.unsigned, "head": log.head, "key": log.key}
