"""`cumulet env`: for `eval "$(cumulet env)"`."""

from dataclasses import asdict

import click

from cumulet.cli.client import find_address
from cumulet.cli.output import json_option, show


@click.command("env")
@json_option
def command(as_json: bool) -> None:
    """Print the running node's address and keys as export lines: eval "$(cumulet env)"."""
    address = find_address()
    show(asdict(address), as_json, lambda: click.echo(address.export_lines()))
