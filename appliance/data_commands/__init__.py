"""`islet data`: what is in files of rows, and what is made of them; a module for each command or two."""

import click

from appliance.data_commands.check import check
from appliance.data_commands.privacy import measure, privacy
from appliance.data_commands.registry import add, keep, list_datasets, remove


@click.group()
def data() -> None:
    """Look at data FILES; take out what names a patient."""


data.add_command(check)
data.add_command(privacy)
data.add_command(measure)
for _command in (add, list_datasets, keep, remove):
    data.add_command(_command)
