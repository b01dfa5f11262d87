"""`islet data add`, `list`, `keep` and `remove`: the data sets of the site."""

from typing import TYPE_CHECKING

import click

from appliance.data_commands.files import How, how_options
from appliance.data_commands.incoming import bad_share_option, group_option, inputs_argument
from appliance.site_commands import json_option, site_of, yes_option

if TYPE_CHECKING:
    from appliance.data.registry.record import Maker

UNTIL = "The last day on which it may be kept, like 2031-12-31."


@click.command()
@click.argument("name")
@inputs_argument
@how_options
@group_option
@click.option("--note", default="", help="What it is, in a line; never a patient's name.")
@click.option("--keep-until", "until", help=UNTIL)
@bad_share_option
@json_option
@click.pass_context
def add(
    context: click.Context,
    name: str,
    files: tuple[str, ...],
    how: How,
    group: str | None,
    note: str,
    until: str | None,
    max_bad_share: float,
    as_json: bool,
) -> None:
    """Keep the rows of FILES as a new version of the data set NAME. FILES stay as they are.

    A plan names it as dataset:NAME@VERSION; so does every command here that takes files.
    """
    from appliance.data.registry.add import Wish
    from appliance.data.registry.add import add as put
    from appliance.data.registry.record import check_name, check_words
    from appliance.data_commands.incoming import check_trainer, choose, shown_name, stream_all
    from appliance.data_view import print_added
    from appliance.run.removal import remove_folder
    from appliance.run.retention import read_day
    from appliance.supervisor.record import record

    site = site_of(context)
    check_trainer(site)
    check_name(name)
    day = read_day(until) if until else None
    chosen = choose(context, files, how)
    made_from = tuple(shown_name(file) for file in chosen)
    wish = Wish(name, _myself(), made_from, check_words(note), day, max_bad_share)
    version, tally = put(site.datasets, wish, stream_all(chosen, group))
    kept = version.record
    try:
        record(site, "dataset", dataset=kept.reference, sha256=kept.sha256, rows=kept.rows)
    except BaseException:  # what the log does not tell of is not here
        remove_folder(version.folder)
        raise
    print_added(version, tally, as_json=as_json)


@click.command("list")
@click.option("--removed", is_flag=True, help="Also what was removed, by whom and why.")
@json_option
@click.pass_context
def list_datasets(context: click.Context, removed: bool, as_json: bool) -> None:
    """All data sets of this site: versions, rows, hashes, until when they may be kept."""
    from appliance.data.registry.store import list_all
    from appliance.data_view import print_datasets

    print_datasets(list_all(site_of(context).datasets), removed=removed, as_json=as_json)


@click.command()
@click.argument("reference", metavar="NAME@VERSION")
@click.option("--until", required=True, help=UNTIL)
@click.pass_context
def keep(context: click.Context, reference: str, until: str) -> None:
    """Set the last day on which a version may be kept; after it, `list` says that it is overdue."""
    from appliance.data.registry.reference import read_reference
    from appliance.data.registry.store import find, keep_until
    from appliance.data_view import print_kept
    from appliance.run.retention import read_day
    from appliance.supervisor.record import record

    site, day = site_of(context), read_day(until)
    version = keep_until(find(site.datasets, *read_reference(reference)), day, by=_myself().user)
    record(site, "retention", dataset=version.record.reference, until=day.isoformat())
    print_kept(version.record.reference, day)


@click.command()
@click.argument("reference", metavar="NAME@VERSION")
@click.option("--reason", required=True, help="Why, for the audit log and the note that stays.")
@yes_option
@click.pass_context
def remove(context: click.Context, reference: str, reason: str, yes: bool) -> None:
    """Show what removing a version would do and what it does not reach, and remove it for good."""
    from appliance.data.registry.record import check_words
    from appliance.data.registry.reference import read_reference
    from appliance.data.registry.removal import plan_removal
    from appliance.data.registry.removal import remove as take_away
    from appliance.data.registry.store import find
    from appliance.data_view import print_gone, print_removal, voice
    from appliance.site.reach import find_reach
    from appliance.site_commands import agreed
    from appliance.supervisor.record import record

    site, why = site_of(context), check_words(reason)
    name, number = read_reference(reference)
    if number is None:
        raise click.UsageError("Name the version too, like cardiology@3: what is removed is gone.")
    if not why:
        raise click.UsageError("--reason must not be empty.")
    plan = plan_removal(find(site.datasets, name, number), site.runs)
    print_removal(plan, find_reach(site.datasets))
    if agreed(voice()("Remove it for good?"), yes):
        # First: a kill may leave an entry of what was then removed by a second try, never the other way.
        gone = plan.version.record
        record(site, "removal", dataset=gone.reference, sha256=gone.sha256, rows=gone.rows, reason=why)
        take_away(plan, by=_myself(), why=why)
        print_gone(gone.reference)


def _myself() -> "Maker":
    from appliance.data.registry.record import Maker
    from appliance.site.audit import myself

    me = myself()
    return Maker(me.uid, me.user, me.login)
