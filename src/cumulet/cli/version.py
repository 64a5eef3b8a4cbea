"""`cumulet version`."""

import click

import cumulet
from cumulet.cli.output import json_option, show


@click.command("version")
@json_option
def command(as_json: bool) -> None:
    """Print the version."""
    show({"version": cumulet.__version__}, as_json, lambda: click.echo(f"cumulet {cumulet.__version__}"))
