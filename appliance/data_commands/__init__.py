"""`islet data`: what is in files of rows, and what is made of them; a module for each command or two."""

import signal

import click

from appliance.commands import Commands
from appliance.data_commands.check import check
from appliance.data_commands.clean import clean
from appliance.data_commands.convert import convert
from appliance.data_commands.mix import mix
from appliance.data_commands.privacy import measure, privacy
from appliance.data_commands.registry import add, keep, list_datasets, remove
from appliance.data_commands.show import show
from appliance.data_commands.split import split
from appliance.process import unwinds_on


@click.group(cls=Commands)
@click.pass_context
def data(context: click.Context) -> None:
    """Look at files of rows, clean, mix and split them, keep them as data sets.

    The usual way: check FILES, mend or clean what is wrong, take out patients' data with privacy, look with
    show, keep the rows with add. A plan and every command here then know them as dataset:NAME@VERSION.
    """
    # What is half written holds rows: it must not stay where the terminal is closed or the box goes down.
    context.with_resource(unwinds_on(signal.SIGTERM, signal.SIGHUP))


for _command in (check, show, clean, privacy, add, list_datasets, split, mix, convert, keep, remove, measure):
    data.add_command(_command)
