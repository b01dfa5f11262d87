"""What the commands of the site print before they do something: plans, in the language of the environment."""

from collections.abc import Sequence

from appliance.locale import language_of
from appliance.locale.voice import Voice
from appliance.progress import amount_text
from appliance.site.backup import Made
from appliance.site.collect import Collection
from appliance.site.layout import Site
from appliance.site.releases import Installed
from appliance.site.restore import Restoration
from appliance.site.uninstall import Removal
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
    if change.kind == "runtime":
        return say("  changed: the environment with Python and its libraries", **facts)
    if change.was == change.now:
        return say("  changed: {name}, same version, other contents", **facts)
    return say("  changed: {name} {was} → {now}", **facts)


def print_rollback(now: Installed, target: Installed) -> None:
    """What going back would do."""
    say = voice()
    facts = {"product": now.product, "now": now.number, "target": target.number, "of": target.created[:10]}
    print(say("{product}: release {now} is in use, release {target} of {of} would be used instead.", **facts))
    print(say("  data, runs, exports and the audit log stay as they are"))
    print(say("  release {now} stays here until islet gc; its medium switches to it again", **facts))


def print_collection(plan: Collection) -> None:
    """What nothing needs any more, and what stays."""
    say = voice()
    for kept in plan.kept:
        print(say("  stays: release {number} ({why})", number=kept.number, why=say.again(kept.why)))
    if plan.is_empty:
        print(say("Nothing is here that nothing needs."))
        return
    amount = amount_text(plan.release_bytes, "B")
    if plan.releases:
        print(say("  goes: release {numbers}", numbers=_numbers(plan.releases)))
    if plan.cut_off:
        print(say("  goes: installations that were cut off: {names}", names=", ".join(plan.cut_off)))
    if plan.releases or plan.cut_off:
        print(say("  their own files: {amount}", amount=amount))
    facts = {"count": len(plan.files), "amount": amount_text(plan.file_bytes, "B")}
    print(say("  goes: {count} stored files that no release lists, {amount}", **facts))


def print_removal(site: Site, plan: Removal) -> None:
    """What uninstalling would do."""
    say = voice()
    facts = {
        "prefix": site.prefix,
        "state": site.state,
        "numbers": _numbers(plan.releases),
        "software": amount_text(plan.software_bytes, "B"),
        "data": amount_text(plan.data_bytes, "B"),
        "runs": plan.runs,
    }
    print(say("  goes: {prefix}, release {numbers}, {software}", **facts))
    if plan.with_data:
        print(say("  goes: data, {runs} runs and exports in {state}, {data}", **facts))
        print(say("  stays: the audit log in {state}", **facts))
    else:
        print(say("  stays: data, {runs} runs, exports and the audit log in {state}, {data}", **facts))
    for path in plan.foreign[:SHOWN]:
        print(say("  stays: {path}, which is not Islet's", path=path))
    print(say("  should it be cut off: the same command goes on", **facts))


def print_backup(made: Made) -> None:
    """A backup that was made, and what is not in it."""
    say = voice()
    facts = {"folder": made.folder, "count": made.files, "amount": amount_text(made.size, "B")}
    print(say("{folder}: {count} files, {amount}", **facts))
    for name in made.skipped:
        print(say("  left out: {name}, which is at work or no plain file", name=name))
    print(say("SHA-256 of its list, for your own records: {sha256}", sha256=made.sha256))


def print_restoration(site: Site, plan: Restoration) -> None:
    """What restoring would do."""
    say, backup = voice(), plan.backup
    facts = {"product": backup.product, "release": backup.release, "created": backup.created}
    print(say("Backup of {created}, of {product} release {release}; every hash agrees.", **facts))
    print(say("SHA-256 of its list, for your own records: {sha256}", sha256=plan.sha256))
    new = sum(1 for each in plan.new if each.sha256)
    counts = {"new": new, "amount": amount_text(plan.new_bytes, "B"), "same": plan.same, "state": site.state}
    print(say("  comes to {state}: {new} files, {amount}; here already: {same}", **counts))
    for name in backup.skipped:
        print(say("  not in it: {name}", name=name))


def _numbers(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
