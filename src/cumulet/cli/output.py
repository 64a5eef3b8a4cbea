"""How verbs speak: plain text for people, one JSON document with `--json`, colour only on a terminal, and exit codes."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import click

EXIT_FAILED = 1
"""The thing asked for was done and failed: a function raised, a check did not hold."""
EXIT_UNREACHABLE = 3
"""No node answers at the address."""
EXIT_REFUSED = 4
"""The node answered with an error: not found, invalid, denied, throttled."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")


def show(document: Any, as_json: bool, as_text: Callable[[], None]) -> None:
    """Print `document` as JSON, or call `as_text`."""
    if as_json:
        click.echo(json.dumps(document, indent=2, default=str))
    else:
        as_text()


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as their widest cell."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(headings), *cells]) for i in range(len(headings))]
    click.secho("  ".join(name.ljust(width) for name, width in zip(headings, widths, strict=True)).rstrip(), bold=True)
    for row in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def fail(message: str, code: int) -> NoReturn:
    """Say what is wrong on stderr and exit."""
    click.secho(f"cumulet: {message}", err=True, fg="red" if sys.stderr.isatty() else None)
    sys.exit(code)
