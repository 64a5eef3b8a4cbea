"""From nothing to many executions at once: a function that sleeps for a second, called by as many connections in the same moment.

    python bench/burst.py [--calls 1000] [--sleep-s 1]

Prints JSON lines: how long until all were answered, how many failed, how many environments were started, and how many a second
until the last call began. Environments whose call is over serve others: where the sleep is longer than the burst, each call has its
own.
"""

import argparse
import asyncio
import base64
import io
import resource
import tempfile
import time
import zipfile
from collections import Counter

from functions import KEY, RUNTIME, Lambda
from http_client import Node, call_once, emit, percentile, run

CODE = "import time\ndef handler(event, context):\n    time.sleep(%s)\n    return context.log_stream_name\n"


async def main(options) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("index.py", CODE % options.sleep_s)
    key = f"{KEY.access_key_id}:{KEY.secret}"
    settings = ["--port", "0", "--root-key", key, "--durability", "os", "--quiet", *options.node]
    with tempfile.TemporaryDirectory() as folder, Node("-m", "cumulet.cli", "up", "--data", folder, *settings) as node:
        api = Lambda(node.url)
        document = {
            "FunctionName": "sleeper",
            "Runtime": RUNTIME,
            "Handler": "index.handler",
            "Role": "arn:aws:iam::000000000000:role/bench",
            "Code": {"ZipFile": base64.b64encode(buffer.getvalue()).decode()},
            "Timeout": 60,
        }
        await api.call("POST", "/2015-03-31/functions", document)
        await asyncio.sleep(0.3)
        request = api.invoke("sleeper")
        started = time.perf_counter()
        answers = await asyncio.gather(*(call_once(api.url, request) for _ in range(options.calls)), return_exceptions=True)
        wall_s = time.perf_counter() - started
    for each in answers:
        if not isinstance(each, BaseException) and each[0] != 200:
            print(each[1][:300])
            break
    outcomes = Counter(type(each).__name__ if isinstance(each, BaseException) else str(each[0]) for each in answers)
    took_s = [each[2] for each in answers if not isinstance(each, BaseException) and each[0] == 200]
    emit(what="burst", calls=options.calls, wall_s=round(wall_s, 2), outcomes=dict(outcomes), p50_ms=percentile(took_s, 50))
    environments = len({each[1] for each in answers if not isinstance(each, BaseException) and each[0] == 200})
    used = resource.getrusage(resource.RUSAGE_CHILDREN)  # the node and all that it started: they have ended
    emit(
        what="environments started",
        environments=environments,
        per_s=round(environments / max(0.001, max(took_s) - options.sleep_s)),
        user_ms_each=round(used.ru_utime * 1000 / options.calls, 2),
        system_ms_each=round(used.ru_stime * 1000 / options.calls, 2),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--sleep-s", type=float, default=1.0)
    parser.add_argument("node", nargs="*", help="more options of cumulet up, after --")
    run(main(parser.parse_args()))
