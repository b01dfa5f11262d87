"""`islet data check`."""

from pathlib import Path

import click

from appliance.data_commands.files import files_argument, format_option
from appliance.site_commands import json_option


@click.command()
@files_argument
@format_option
@json_option
def check(files: tuple[Path, ...], file_format: str, as_json: bool) -> None:
    """What is in FILES, and every row that cannot be used."""
    from appliance.data.read import read_files
    from appliance.run.plan import DataFile
    from appliance.show import print_reading

    choices = [DataFile(str(file.absolute()), file_format) for file in files]  # type: ignore[arg-type]
    print_reading(read_files(choices), as_json=as_json)
