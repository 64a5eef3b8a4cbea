"""`cumulet invoke`: one call of a function."""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import click

from cumulet.cli.client import client, told_plainly
from cumulet.cli.output import EXIT_FAILED, json_option, show


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
    request: dict[str, Any] = {
        "FunctionName": name,
        "Payload": _payload(payload),
        "InvocationType": "Event" if is_async else "RequestResponse",
    }
    if qualifier:
        request["Qualifier"] = qualifier
    if (phases or with_log or as_json) and not is_async:
        request["LogType"] = "Tail"
    with told_plainly():
        answer = client("lambda").invoke(**request)
    body = answer["Payload"].read().decode()
    log = base64.b64decode(answer.get("LogResult", "")).decode("utf-8", "replace")
    document = {
        "status": answer["StatusCode"],
        "function_error": answer.get("FunctionError"),
        "version": answer.get("ExecutedVersion"),
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
    if answer.get("FunctionError"):
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
