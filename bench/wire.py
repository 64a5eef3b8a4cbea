"""What one small call costs on the wire: decoding its request plus encoding its answer, beside orjson's share of it.

    python bench/wire.py [--calls 20000]

Prints JSON lines; microseconds a call, the best of five rounds.
"""

import argparse
import json
import time
from collections.abc import Callable

import orjson

from cumulet.core.http import Request
from cumulet.wire.service import load_service

CASES = [
    (
        "json",
        "logs",
        Request(
            "POST",
            "/",
            "",
            [("x-amz-target", "Logs_20140328.PutLogEvents"), ("content-type", "application/x-amz-json-1.1")],
            b'{"logGroupName":"g","logStreamName":"s","logEvents":[{"timestamp":1700000000000,"message":"hello"}]}',
        ),
        {"nextSequenceToken": "1"},
    ),
    (
        "query",
        "sts",
        Request(
            "POST", "/", "", [("content-type", "application/x-www-form-urlencoded")], b"Action=GetCallerIdentity&Version=2011-06-15"
        ),
        {"UserId": "AIDA", "Account": "000000000000", "Arn": "arn:aws:iam::000000000000:root"},
    ),
    (
        "rest-json",
        "lambda",
        Request("POST", "/2015-03-31/functions/hello/invocations", "Qualifier=live", [("x-amz-log-type", "None")], b"{}"),
        {"StatusCode": 200, "Payload": b'"hello"', "ExecutedVersion": "1"},
    ),
    (
        "rest-json, a structure",
        "lambda",
        Request("GET", "/2015-03-31/functions/hello/aliases/live", "", []),
        {"AliasArn": "arn:aws:lambda:us-east-1:000000000000:function:hello:live", "Name": "live", "FunctionVersion": "1"},
    ),
]


def best_us(call: Callable[[], object], calls: int) -> float:
    rounds = []
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(calls):
            call()
        rounds.append((time.perf_counter() - started) / calls * 1e6)
    return round(min(rounds), 2)


def main(calls: int) -> None:
    for protocol, name, request, answer in CASES:
        service = load_service(name)

        def both(service=service, request=request, answer=answer) -> None:
            operation = service.match(request)
            operation.decode(request)
            operation.encode(answer, "11111111-2222-4333-8444-555555555555")

        took_us = best_us(both, calls)
        parsed = orjson.loads(request.body) if request.body[:1] == b"{" else {}
        bare_us = best_us(
            lambda body=request.body, parsed=parsed: (orjson.loads(body) if parsed else None, orjson.dumps(parsed)), calls
        )
        told = {"protocol": protocol, "operation": service.match(request).name, "decode_encode_us": took_us, "orjson_us": bare_us}
        print(json.dumps({"what": "wire", **told}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000)
    main(parser.parse_args().calls)
