"""What both command lines share: errors become three lines and an exit code, in one place."""

import sys
from typing import Any

import click

from appliance.errors import ApplianceError


class Commands(click.Group):
    """A group whose commands raise ApplianceError instead of printing and exiting."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a failure that an operator can meet is shown and sets the exit code."""
        try:
            return super().invoke(ctx)
        except ApplianceError as error:
            click.echo(f"islet: {error}", err=True)
            sys.exit(error.exit_code)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the journey, not of the alphabet."""
        return list(self.commands)
