"""`islet install`, `rollback`, `inventory`: the commands that change or show what is installed.

Each shows what it would do, asks, and does it. Where nobody can be asked, `--yes` is the answer.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.errors import HostNotReady
from appliance.sentence import reason
from appliance.site.layout import Site, this_site

if TYPE_CHECKING:
    from appliance.run.folder import RunFolder

ACCEPTABLE = ("expired", "older")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
yes_option = click.option("--yes", is_flag=True, help="Do it without asking.")


def site_of(context: click.Context) -> Site:
    """The site that the command is for. Raises: HostNotReady, when this is none and none was given."""
    given: Site | None = context.find_root().obj
    return given or this_site()


def run_of_site(site: Site, run: str) -> "RunFolder":
    """One of the site's runs, by its name. Raises: BadInput; HostNotReady."""
    from appliance.run.folder import open_run

    if "/" in run or run.startswith("."):
        raise click.UsageError("Name a run as `islet runs list` does, not by a path.")
    return open_run(site.runs / run)


def log_of(site: Site) -> Path:
    """The audit log, which this account may read. Raises: HostNotReady."""
    try:
        with site.audit.open("rb"):
            return site.audit
    except FileNotFoundError as error:
        raise HostNotReady(
            "There is no audit log here.",
            why=reason(error),
            next_step="Give --state, if the state folder is elsewhere; the installation begins the log.",
        ) from error
    except PermissionError as error:
        raise HostNotReady(
            "You may not read the audit log.",
            why=reason(error),
            next_step="Ask somebody of the group islet-review, or an administrator.",
        ) from error


def agreed(question: str, yes: bool) -> bool:
    """Whether the person wants what was shown; a no is said.

    question: said already, in the person's language; answered by y or n

    Raises: click.UsageError, when nobody can be asked.
    """
    from appliance.site_view import voice

    if yes:
        return True
    if not sys.stdin.isatty():
        raise click.UsageError("Nobody can be asked here: look at what is shown, then give --yes.")
    if click.confirm(question, prompt_suffix=" "):
        return True
    click.echo(voice()("Nothing was changed."))
    return False


@click.command()
@click.argument("medium", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--check", "check_only", is_flag=True, help="Verify all of it and show the plan; change nothing."
)
@click.option(
    "--accept", type=click.Choice(ACCEPTABLE), multiple=True, help="Install it although it is this."
)
@click.option("--reason", default="", help="Why, for the audit log; --accept needs it.")
@yes_option
@click.pass_context
def install(
    context: click.Context, medium: Path, check_only: bool, accept: tuple[str, ...], reason: str, yes: bool
) -> None:
    """Upgrade from MEDIUM: verify it with what is installed here, show what changes, install it.

    The release in use stays for `islet rollback`; data and runs are not touched.
    """
    from appliance.bundle.medium import Medium
    from appliance.bundle.verify import verify
    from appliance.site.trust import read_trust
    from appliance.site.upgrade import judge_lists, plan_upgrade, resident_installer, run_installer
    from appliance.site_view import print_upgrade, voice
    from appliance.spoken_progress import spoken

    if bool(accept) != bool(reason.strip()):
        raise click.UsageError("--accept and --reason go together.")
    site, source = site_of(context), Medium(medium)
    resident_installer(site)
    trust = read_trust(site, accept=frozenset(accept))  # type: ignore[arg-type]  # click.Choice gave them
    judged = verify(source, trust, spoken()) if check_only else judge_lists(source, trust)
    plan = plan_upgrade(site, source, judged, spoken())
    print_upgrade(plan)
    if check_only:
        click.echo(
            voice()("The bundle is whole and signed, and this box has room for it. Nothing was changed.")
        )
    elif agreed(voice()("Install it?"), yes):
        run_installer(site, medium.absolute(), judged.sums_sha256, accept, reason)  # type: ignore[arg-type]


@click.command()
@click.option("--to", "number", type=int, help="The release to go back to; by default the one before.")
@yes_option
@click.pass_context
def rollback(context: click.Context, number: int | None, yes: bool) -> None:
    """Use an earlier release that is still whole here, from now on. Data and runs stay as they are."""
    from appliance.site.releases import current_release, plan_rollback, roll_back
    from appliance.site_view import print_rollback, voice

    site = site_of(context)
    target = plan_rollback(site, number)
    print_rollback(current_release(site), target)
    if agreed(voice()("Go back?"), yes):
        roll_back(site, target.number)
        done = "{product} release {number} is in use."
        click.echo(voice()(done, product=target.product, number=target.number))


@click.command()
@click.option(
    "--keep", type=click.IntRange(0), default=1, show_default=True, help="Releases kept to go back to."
)
@yes_option
@click.pass_context
def gc(context: click.Context, keep: int, yes: bool) -> None:
    """Free the room of releases and files that nothing needs any more; show them first."""
    from appliance.site.collect import collect, plan_collection, tidy
    from appliance.site_view import print_collection, voice
    from appliance.spoken_progress import spoken

    site = site_of(context)
    plan = plan_collection(site, keep)
    print_collection(plan)
    if plan.is_empty:
        tidy(site)
    elif agreed(voice()("Remove it?"), yes):
        collect(site, plan, keep, spoken())


@click.command()
@click.option("--with-data", is_flag=True, help="Remove data, runs and exports too; asks for it on its own.")
@yes_option
@click.pass_context
def uninstall(context: click.Context, with_data: bool, yes: bool) -> None:
    """Remove the software from this box; data, runs, exports and the audit log stay."""
    from appliance.site.uninstall import plan_removal
    from appliance.site.uninstall import uninstall as remove
    from appliance.site_view import print_removal, voice
    from appliance.spoken_progress import spoken

    site, say = site_of(context), voice()
    plan = plan_removal(site, with_data=with_data)
    print_removal(site, plan)
    if not agreed(say("Remove Islet from this box?"), yes):
        return
    if with_data and not agreed(say("Remove data, runs and exports for ever?"), yes):
        return
    remove(site, plan, spoken())
    click.echo(say("Islet was removed. The audit log is in {folder}.", folder=site.state))


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.pass_context
def backup(context: click.Context, folder: Path) -> None:
    """Save data, runs, exports and the audit log in FOLDER, which must be new; a run at work is left out."""
    from appliance.site.backup import make_backup
    from appliance.site_view import print_backup
    from appliance.spoken_progress import spoken

    print_backup(make_backup(site_of(context), folder.absolute(), spoken()))


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--check", "check_only", is_flag=True, help="Judge the backup and compare; change nothing.")
@yes_option
@click.pass_context
def restore(context: click.Context, folder: Path, check_only: bool, yes: bool) -> None:
    """Put the backup in FOLDER back; what is here is never overwritten."""
    from appliance.site.restore import plan_restoration
    from appliance.site.restore import restore as put_back
    from appliance.site_view import print_restoration, voice
    from appliance.spoken_progress import spoken

    site, say = site_of(context), voice()
    plan = plan_restoration(site, folder, spoken())
    print_restoration(site, plan)
    if check_only:
        click.echo(say("Nothing was changed."))
    elif agreed(say("Restore it?"), yes):
        put_back(site, folder, plan, spoken())
        click.echo(say("It was restored."))


@click.command()
@json_option
@click.pass_context
def inventory(context: click.Context, as_json: bool) -> None:
    """What this site holds: releases, and with --json every file with its hash."""
    from appliance.show import print_inventory
    from appliance.site.inventory import inventory as take

    print_inventory(take(site_of(context)), as_json=as_json)


SITE_COMMANDS: tuple[click.Command, ...] = (install, rollback, gc, uninstall, backup, restore, inventory)
"""In the order in which `islet --help` names them."""
