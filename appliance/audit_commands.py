"""`islet audit`: what was done on this box, and whether the record of it is whole."""

import re
from pathlib import Path

import click

from appliance.commands import Commands
from appliance.errors import UntrustedRecord
from appliance.sentence import say
from appliance.site_commands import json_option, log_of, site_of

_HASH = re.compile(r"[0-9a-f]{64}")


def _hash(context: click.Context, option: click.Parameter, value: str | tuple[str, ...] | None) -> object:
    """SHA-256 as people type them: capitals and spaces between groups allowed."""
    if isinstance(value, tuple):
        return tuple(_hash(context, option, each) for each in value)
    if value is None:
        return ""
    plain = value.replace(" ", "").lower()
    if not _HASH.fullmatch(plain):
        raise click.BadParameter("must be 64 hexadecimal digits")
    return plain


@click.group(cls=Commands)
def audit() -> None:
    """What was done on this box, by whom: show, verify and export the signed log."""


@audit.command()
@json_option
@click.pass_context
def show(context: click.Context, as_json: bool) -> None:
    """The entries of the log, once it is judged to be whole."""
    from appliance.audit_view import print_audit
    from appliance.site.audit import check

    log = log_of(site_of(context))
    print_audit(check(log), as_json=as_json)


@audit.command()
@click.option("--head", "heads", multiple=True, callback=_hash, help="A head that was printed once; several.")
@click.option("--key", callback=_hash, help="SHA-256 of the key, as the installation printed it.")
@json_option
@click.pass_context
def verify(context: click.Context, heads: tuple[str, ...], key: str, as_json: bool) -> None:
    """Judge the log by chain, signature, what is installed, and what you know from paper; 3 when it fails."""
    from appliance.audit_view import print_judged_audit
    from appliance.site.audit import check
    from appliance.site.audit_installs import check_installs

    site = site_of(context)
    checked = check(log_of(site), heads=heads, key=key)
    check_installs(site, checked.entries)
    if checked.unsigned:
        raise UntrustedRecord(
            say("The last {count} lines of the audit log are not signed.", count=checked.unsigned),
            why=say("somebody without the key wrote them, or the power went before they were signed"),
            next_step="Compare them with what was done; the next entry will say that they were not signed.",
        )
    print_judged_audit(checked, as_json=as_json)


@audit.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.pass_context
def export(context: click.Context, target: Path) -> None:
    """Copy the log to TARGET, a folder or a .tar, with its key, signature and how to check them by hand."""
    from appliance.site.audit_export import export_log

    log = log_of(site_of(context))
    checked = export_log(log, target)
    click.echo(f"{target}\n{checked.head}")
