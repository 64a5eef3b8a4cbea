"""`cumulet doctor`: what this machine gives, without a node."""

import sys
from dataclasses import asdict

import click

from cumulet.cli.output import EXIT_FAILED, json_option, show

_MARKS = {"ok": ("ok     ", "green"), "weak": ("weak   ", "yellow"), "missing": ("missing", "red")}


@click.command("doctor")
@json_option
def command(as_json: bool) -> None:
    """Say what this machine gives: the wall's parts and the runtimes. Exits with 1 when a wall is missing."""
    from cumulet.runtimes.discovery import survey_runtimes
    from cumulet.sandbox.host import survey

    walls, runtimes = survey(), survey_runtimes()

    def as_text() -> None:
        click.secho("The wall", bold=True)
        for finding in walls:
            mark, colour = _MARKS[finding.level]
            click.echo(f"  {click.style(mark, fg=colour)}  {finding.name}: {finding.text}")
        click.secho("Runtimes", bold=True)
        for status in runtimes:
            mark, colour = _MARKS["missing" if not status.is_available else "weak" if status.notes else "ok"]
            told = f"{status.actual_version or ''} {status.executable or ''}".strip()
            click.echo(f"  {click.style(mark, fg=colour)}  {status.runtime}: {'; '.join([told, *status.notes]).strip('; ')}")

    show({"wall": [asdict(f) for f in walls], "runtimes": [asdict(s) for s in runtimes]}, as_json, as_text)
    if any(finding.level == "missing" for finding in walls):
        sys.exit(EXIT_FAILED)
