"""The audit log from any account: through the supervisor where the site has one, else by one's own hand."""

from appliance.errors import HostNotReady
from appliance.sentence import reason, say
from appliance.site import audit
from appliance.site.layout import Site
from appliance.supervisor import client


def record(site: Site, event: str, **facts: str | int) -> None:
    """Add an entry about what this account has done.

    Raises: HostNotReady, when this account may not, or the log cannot be written.
    """
    if client.is_supervised(site.state):
        client.record(site.state, event, facts)
        return
    try:
        audit.append(site.audit, event, by=None, **facts)
    except PermissionError as error:
        raise HostNotReady(
            "The audit log of this box cannot be written from your account.",
            why=say(
                "{reason}; the supervisor, which does that for you, is not at work", reason=reason(error)
            ),
            next_step="Ask an administrator to run: systemctl start islet.",
        ) from error
