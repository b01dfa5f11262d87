"""`islet data convert`: rows of any file as canonical Parquet, or as JSON lines for other tools."""

from pathlib import Path

import click

from appliance.data_commands.files import How, how_options
from appliance.data_commands.incoming import bad_share_option, group_option, inputs_argument, out_option
from appliance.site_commands import json_option


@click.command()
@inputs_argument
@how_options
@out_option
@group_option
@bad_share_option
@json_option
@click.pass_context
def convert(
    context: click.Context,
    files: tuple[str, ...],
    how: How,
    out: Path,
    group: str | None,
    max_bad_share: float,
    as_json: bool,
) -> None:
    """Write the rows of FILES to --out: .parquet, with where each came from, or .jsonl in OpenAI's style.

    Either is read back as the same rows; FILES stay as they are.
    """
    from appliance.data.tally import Tally
    from appliance.data.written import check_free, write
    from appliance.data_commands.incoming import choose, stream_all
    from appliance.data_view import print_converted

    check_free(out)
    chosen, tally = choose(context, files, how), Tally()
    write(out, tally.checked(stream_all(chosen, group), max_bad_share))
    print_converted(out, tally, as_json=as_json)
