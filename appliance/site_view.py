"""What the commands of the site print before they do something: plans, in the language of the environment."""

from collections.abc import Sequence

from appliance.locale import language_of
from appliance.locale.voice import Voice
from appliance.progress import amount_text
from appliance.site.upgrade import Change, Upgrade

SHOWN = 20


def voice() -> Voice:
    """Says sentences in the language that the environment asks for."""
    return Voice(language_of())


def print_upgrade(plan: Upgrade) -> None:
    """What installing a medium would do."""
    say = voice()
    print(
        say(
            "{product}: release {was} is in use, release {now} of {created} comes.",
            product=plan.release.product,
            was=plan.installed,
            now=plan.release.number,
            created=plan.release.created[:10],
        )
    )
    if plan.is_here:
        print(say("  This release is here already, whole: only the switch is made."))
    for change in plan.changes[:SHOWN]:
        print(_change_line(change, say))
    if len(plan.changes) > SHOWN:
        print(say("  … and {count} more", count=len(plan.changes) - SHOWN))
    if not plan.changes:
        print(say("  No version changes."))
    print(say("  read from the medium: {amount}", amount=amount_text(plan.read_bytes, "B")))
    room = {"needed": amount_text(plan.room_bytes, "B"), "free": amount_text(plan.free_bytes, "B")}
    print(say("  room needed: {needed} of {free} that are free", **room))
    print(say("  data, runs, exports and the audit log stay as they are"))
    if plan.kept:
        print(say("  releases that stay, for going back: {numbers}", numbers=_numbers(plan.kept)))


def _change_line(change: Change, say: Voice) -> str:
    facts = {"name": change.name, "was": change.was, "now": change.now}
    if change.what == "new":
        return say("  new: {name} {now}", **facts).rstrip()
    if change.what == "gone":
        return say("  gone: {name} {was}", **facts).rstrip()
    if change.was == change.now:
        return say("  changed: {name}, other files", **facts)
    return say("  changed: {name} {was} → {now}", **facts)


def _numbers(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
