"""`islet roles`: who may do what on this box, and making it so."""

import os

import click

from appliance.commands import Commands
from appliance.locale import language_of
from appliance.locale.voice import Voice
from appliance.site_commands import site_of, yes_option


@click.group(cls=Commands)
def roles() -> None:
    """Who may do what on this box: three groups, and a supervisor that keeps to them."""


@roles.command()
@click.pass_context
def show(context: click.Context) -> None:
    """What this account may do here."""
    from appliance.site.roles import NAMES, are_there, may, owner_of

    site, say = site_of(context), Voice(language_of())
    owner, uid = owner_of(site), os.getuid()
    if not are_there():
        click.echo(
            say("This box has no groups: all is the account's that owns the site, number {uid}.", uid=owner)
        )
    for deed, name in NAMES.items():
        click.echo(f"{say.again(name)}: {say('yes') if may(uid, deed, owner) else say('no')}")


@roles.command()
@yes_option
@click.pass_context
def create(context: click.Context, yes: bool) -> None:
    """As root: make the groups, share the state folder, and start the supervisor where systemd runs."""
    from appliance.site import audit, service
    from appliance.site.roles import GROUPS, group_id, share
    from appliance.site_commands import agreed

    site, say = site_of(context), Voice(language_of())
    missing = [name for name in GROUPS if group_id(name) is None]
    if missing:
        click.echo(say("New groups: {names}", names=", ".join(missing)))
    click.echo(say("The folders in {state} will belong to root and these groups.", state=site.state))
    if not agreed(say("Go on?"), yes):
        return
    for name in missing:
        service.make_group(name)
    share(site)
    audit.append(site.audit, "roles", groups=", ".join(GROUPS))
    share(site)  # the log too, where that entry was its first
    if service.is_systemd_here():
        click.echo(service.write_unit(site))
        service.start_service()
    else:
        click.echo(say("systemd does not run this box: start the supervisor as docs/roles.md says."))
    click.echo(say("Add people with: usermod -aG islet-train ACCOUNT"))
