"""`islet approve`: approving what a run exported, and taking that back, with a record."""

import click

from appliance.errors import HostNotReady
from appliance.sentence import say
from appliance.site.layout import Site
from appliance.site_commands import agreed, log_of, run_of_site, site_of, yes_option


@click.command()
@click.argument("run")
@click.option("--note", default="", help="The use intended, conditions, remarks; for the audit log.")
@click.option("--withdraw", is_flag=True, help="Take the approval back; --note says why.")
@click.option(
    "--own-run", metavar="REASON", default="", help="On a box of one account: approve your own run."
)
@yes_option
@click.pass_context
def approve(context: click.Context, run: str, note: str, withdraw: bool, own_run: str, yes: bool) -> None:
    """Hash what RUN exported, show it, and approve it: for another person than who trained it."""
    from appliance.data.registry.record import check_words
    from appliance.site import roles
    from appliance.site.audit import myself

    site, words, why = site_of(context), check_words(note), check_words(own_run)
    roles.check_may(myself().uid, "approve", roles.owner_of(site))
    if not withdraw:
        _approve(site, run, words, why, yes=yes)
    elif words:
        _withdraw(site, run, words, yes=yes)
    else:
        raise click.UsageError("--withdraw needs --note: why the approval is taken back.")


def _approve(site: Site, run: str, note: str, own_reason: str, *, yes: bool) -> None:
    from appliance.approval_view import print_candidate, print_decision
    from appliance.data_view import voice
    from appliance.site.approval import judge_export, newest_decision
    from appliance.site.audit import check
    from appliance.spoken_progress import spoken
    from appliance.supervisor.record import record

    opened = run_of_site(site, run)
    is_own = _check_person(site, run, opened.root.stat().st_uid, own_reason)
    found = judge_export(opened.export, spoken())
    before = newest_decision(check(log_of(site)).entries, run, found.sums_sha256)
    print_candidate(opened, found, before)
    if before is not None and before.verdict == "approved":
        return
    if not agreed(voice()("Approve it?"), yes):
        return
    if is_own:
        record(site, "override", run=run, deed="approve", reason=own_reason)
    facts = {"note": note} if note else {}
    record(site, "approve", run=run, decision="approved", sums_sha256=found.sums_sha256, **facts)
    print_decision(run, "approved")


def _withdraw(site: Site, run: str, note: str, *, yes: bool) -> None:
    """By what the log says alone: files may be gone, or be others, that are in use elsewhere."""
    from appliance.approval_view import print_approved, print_decision
    from appliance.data_view import voice
    from appliance.site.approval import approved_exports
    from appliance.site.audit import check
    from appliance.supervisor.record import record

    approved = approved_exports(check(log_of(site)).entries, run)
    print_approved(run, approved)
    if not approved or not agreed(voice()("Take it back?"), yes):
        return
    for sums_sha256 in approved:
        record(site, "approve", run=run, decision="withdrawn", sums_sha256=sums_sha256, note=note)
    print_decision(run, "withdrawn")


def _check_person(site: Site, run: str, trainer: int, own_reason: str) -> bool:
    """Whether this is the person who trained the run, and may approve it all the same.

    Raises: HostNotReady, when not: on a box with roles, or where no reason is given.
    """
    from appliance.site import roles
    from appliance.site.approval import check_other_person, is_own
    from appliance.site.audit import myself

    if roles.hold(roles.owner_of(site)):
        check_other_person(run, trainer, myself())
        return False
    if not is_own(trainer, myself()):
        return False
    if not own_reason:
        raise HostNotReady(
            "Who trained a model does not approve it without a reason.",
            why=say("this box is of one account: nobody else can be asked to"),
            next_step='Give the reason, for the audit log: --own-run "…".',
        )
    return True
