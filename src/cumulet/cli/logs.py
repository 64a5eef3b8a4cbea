"""`cumulet logs`: what a function printed, and what the node says of its invocations."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from cumulet.cli.client import client, told_plainly
from cumulet.cli.output import json_option

_POLL_S = 0.5


@click.command("logs")
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on printing until Ctrl-C.")
@click.option("--since-s", type=float, default=600, show_default=True, help="How far back to begin, in seconds.")
@click.option("--filter", "pattern", default="", help="A CloudWatch Logs filter pattern.")
@json_option
def command(name: str, follow: bool, since_s: float, pattern: str, as_json: bool) -> None:
    """Print the log of the function NAME (or of a log group, when it has a slash). With --json, one event a line."""
    group = name if "/" in name else f"/aws/lambda/{name}"
    start_ms = int((time.time() - since_s) * 1000)
    with told_plainly():
        try:
            for event in _events(client("logs"), group, start_ms, pattern, follow):
                click.echo(json.dumps(event) if as_json else _line(event))
        except KeyboardInterrupt:
            return


def _events(logs: Any, group: str, start_ms: int, pattern: str, follow: bool) -> Iterator[dict[str, Any]]:
    """Each event once, oldest first; the group may appear later when following."""
    seen: dict[str, int] = {}
    while True:
        try:
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=start_ms, filterPattern=pattern)
            for event in (event for page in pages for event in page["events"]):
                if event["eventId"] not in seen:
                    seen[event["eventId"]] = event["timestamp"]
                    yield event
        except logs.exceptions.ResourceNotFoundException:
            if not follow:
                raise
        if not follow:
            return
        # Events may arrive a little out of order: the window looks back, and forgets what it has passed.
        start_ms = max(start_ms, max(seen.values(), default=start_ms) - 10_000)
        seen = {event_id: at_ms for event_id, at_ms in seen.items() if at_ms >= start_ms}
        time.sleep(_POLL_S)


def _line(event: dict[str, Any]) -> str:
    at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
    return f"{click.style(at, dim=True)} {event['message'].rstrip()}"
