"""`cumulet demo`: a sample function, deployed and called on the running node as any user would."""

import io
import json
import sys
import time
import zipfile

import click

from cumulet.cli.client import client, told_plainly
from cumulet.cli.functions import put_function, put_url
from cumulet.cli.output import EXIT_FAILED, fail, json_option, show

NAME = "demo"
RUNTIME = f"python3.{sys.version_info.minor}"
CODE = """\
import json, os, platform, time

STARTED = time.time()


def handler(event, context):
    print("called with", json.dumps(event)[:200])
    who = (event.get("queryStringParameters") or {}).get("name") or event.get("name") or "world"
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": json.dumps({
            "message": "Hello, %s!" % who,
            "python": platform.python_version(),
            "environment_age_s": round(time.time() - STARTED, 3),
            "request_id": context.aws_request_id,
        }),
    }
"""


@click.command("demo")
@json_option
def command(as_json: bool) -> None:
    """Deploy a sample function to the running node and call it, cold and warm."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("demo.py"), CODE)
    with told_plainly():
        lambda_client = client("lambda")
        put_function(lambda_client, NAME, buffer.getvalue(), {"Runtime": RUNTIME, "Handler": "demo.handler", "Timeout": 10})
        url = put_url(lambda_client, NAME)
        calls = [_timed_call(lambda_client) for _ in range(2)]
    cold, warm = calls
    document = {"function": NAME, "url": url, "cold_ms": cold[0], "warm_ms": warm[0], "answer": warm[1]}

    def as_text() -> None:
        click.echo(f"# demo: function {NAME!r} answered {warm[1]['message']!r}: first call {cold[0]} ms, next {warm[0]} ms")
        click.echo(f"# demo: try it: curl '{url}?name=you'")

    show(document, as_json, as_text)


def _timed_call(lambda_client: object) -> tuple[float, dict[str, object]]:
    start = time.perf_counter()
    answer = lambda_client.invoke(FunctionName=NAME, Payload=b'{"name": "Cumulet"}')  # type: ignore[attr-defined]
    took_ms = round((time.perf_counter() - start) * 1000, 1)
    payload = answer["Payload"].read()
    if "FunctionError" in answer:
        fail(f"the demo function failed: {payload.decode()}", EXIT_FAILED)
    return took_ms, json.loads(json.loads(payload)["body"])
