"""`islet data`: what is in files of rows, and what is made of them; a module for each command or two."""

import click

from appliance.data_commands.check import check
from appliance.data_commands.clean import clean
from appliance.data_commands.convert import convert
from appliance.data_commands.mix import mix
from appliance.data_commands.privacy import measure, privacy
from appliance.data_commands.registry import add, keep, list_datasets, remove
from appliance.data_commands.show import show
from appliance.data_commands.split import split


@click.group()
def data() -> None:
    """Look at files of rows, clean, mix and split them, keep them as data sets."""


data.add_command(check)
data.add_command(clean)
data.add_command(privacy)
data.add_command(measure)
for _command in (show, convert, mix, split, add, list_datasets, keep, remove):
    data.add_command(_command)
