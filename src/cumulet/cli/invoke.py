"""`cumulet invoke`: one call of a function."""

import base64
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from cumulet.cli.output import EXIT_FAILED, json_option, show
from cumulet.cli.requests import ask


@click.command("invoke")
@click.argument("name")
@click.argument("payload", default="{}")
@click.option("--qualifier", help="A version or an alias.")
@click.option("--async", "is_async", is_flag=True, help="Queue the event and return at once.")
@click.option("--phases", is_flag=True, help="Show where the time went: queue, fork, jail, mount, init, invoke.")
@click.option("--log", "with_log", is_flag=True, help="Show the end of the invocation's log.")
@json_option
def command(name: str, payload: str, qualifier: str | None, is_async: bool, phases: bool, with_log: bool, as_json: bool) -> None:
    """Call the function NAME with PAYLOAD: a JSON text, @FILE, or - for standard input.

    Exits with 1 when the function fails.
    """
    headers = [("x-amz-invocation-type", "Event" if is_async else "RequestResponse")]
    if (phases or with_log or as_json) and not is_async:
        headers.append(("x-amz-log-type", "Tail"))
    path = f"/2015-03-31/functions/{quote(name, safe='')}/invocations"
    query = f"Qualifier={quote(qualifier, safe='')}" if qualifier else ""
    answer = ask("lambda", "POST", path, _payload(payload), query=query, headers=headers)
    body, function_error = answer.body.decode(), answer.headers.get("x-amz-function-error")
    log = base64.b64decode(answer.headers.get("x-amz-log-result", "")).decode("utf-8", "replace")
    document = {
        "status": answer.status,
        "function_error": function_error,
        "version": answer.headers.get("x-amz-executed-version"),
        "payload": _json_or_text(body),
        "phases": phases_of(log),
        "log": log.splitlines(),
    }

    def as_text() -> None:
        if body:
            click.echo(body)
        if phases:
            click.echo("  ".join(f"{name} {value:g} ms" for name, value in phases_of(log).items()), err=True)
        if with_log:
            click.echo(log, err=True)

    show(document, as_json, as_text)
    if function_error:
        sys.exit(EXIT_FAILED)


def phases_of(log: str) -> dict[str, float]:
    """Milliseconds by phase, from the REPORT line: `Phases: queue 0.1 ms, fork 0.9 ms, …`; empty without one."""
    for line in log.splitlines():
        _, found, rest = line.partition("Phases: ")
        if found:
            words = [part.split() for part in rest.split("\t")[0].split(",")]
            return {" ".join(word[:-2]): float(word[-2]) for word in words if len(word) >= 3}
    return {}


def _payload(text: str) -> bytes:
    if text == "-":
        return sys.stdin.buffer.read()
    return Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
