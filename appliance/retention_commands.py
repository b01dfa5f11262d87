"""`islet runs keep` and `remove`: until when a run may be kept, and its end, with a record."""

import hashlib
from pathlib import Path

import click

from appliance.site_commands import run_of_site, site_of, yes_option


@click.command()
@click.argument("run")
@click.option("--until", required=True, help="The last day on which it may be kept, like 2031-12-31.")
@click.pass_context
def keep(context: click.Context, run: str, until: str) -> None:
    """Set the last day on which RUN may be kept; after it, `islet runs list` says that it is overdue."""
    from appliance.data_view import print_kept
    from appliance.errors import HostNotReady
    from appliance.run.retention import read_day, write_retention
    from appliance.sentence import reason, say
    from appliance.site.audit import myself
    from appliance.supervisor.record import record

    site, day = site_of(context), read_day(until)
    folder = run_of_site(site, run).root
    try:
        write_retention(folder, day, by=myself().user)
    except OSError as error:
        raise HostNotReady(
            say("The run {run} cannot be changed.", run=folder.name),
            why=reason(error),
            next_step="Ask who made it, or an administrator.",
        ) from error
    record(site, "retention", run=folder.name, until=day.isoformat())
    print_kept(folder.name, day)


@click.command()
@click.argument("run")
@click.option("--reason", "why", required=True, help="Why, for the audit log.")
@yes_option
@click.pass_context
def remove(context: click.Context, run: str, why: str, yes: bool) -> None:
    """Show what removing RUN would do and what it does not reach, and remove it: rows, model and all."""
    from appliance.data.registry.record import check_words
    from appliance.data_view import print_gone, print_run_removal, voice
    from appliance.errors import HostNotReady
    from appliance.run.lock import worker_lock
    from appliance.run.removal import folder_bytes, remove_folder
    from appliance.sentence import reason, say
    from appliance.site.reach import find_reach
    from appliance.site_commands import agreed
    from appliance.supervisor.record import record

    site, words = site_of(context), check_words(why)
    if not words:
        raise click.UsageError("--reason must not be empty.")
    opened = run_of_site(site, run)
    folder = opened.root
    _check_idle(context, folder)
    print_run_removal(folder.name, folder_bytes(folder), find_reach(site.runs))
    if not agreed(voice()("Remove it for good?"), yes):
        return
    try:
        with worker_lock(opened.lock):  # nobody starts it meanwhile
            plan = hashlib.sha256(opened.plan.read_bytes()).hexdigest()
            record(site, "removal", run=folder.name, plan_sha256=plan, reason=words)
            remove_folder(folder)
    except OSError as error:
        raise HostNotReady(
            say("The run {run} cannot be removed.", run=folder.name),
            why=reason(error),
            next_step="Ask who made it, or an administrator; run it again where it was cut off.",
        ) from error
    print_gone(folder.name)


def _check_idle(context: click.Context, folder: Path) -> None:
    """Pass if nothing is at work on the run, or waits to be. Raises: HostNotReady."""
    from appliance.run.lock import in_use
    from appliance.site.use import active_runs
    from appliance.supervisor import client

    site = site_of(context)
    waiting = client.status(site.state) if client.is_supervised(site.state) else ()
    if folder.name in active_runs(site) or any(line.run == folder.name for line in waiting):
        raise in_use(folder)
