"""Signed requests to the node without an SDK: a tenth of the time that importing one takes."""

import json
import time
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from cumulet.auth.signing import signed_headers
from cumulet.cli.client import find_address
from cumulet.cli.output import EXIT_REFUSED, EXIT_UNREACHABLE, fail
from cumulet.core.http import Request

_CONNECT_S, _ANSWER_S = 5, 930
"""A function may take a quarter of an hour."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` by their names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def ask(
    service: str, method: str, path: str, body: bytes = b"", *, query: str = "", headers: list[tuple[str, str]] | None = None
) -> Answer:
    """What the node answers; exits when there is none, or it refuses."""
    address = find_address()
    place = urlsplit(address.endpoint)
    given = [("content-type", "application/json"), *(headers or []), ("host", place.netloc)]
    request = Request(method, path, query, given, body)
    keys = address.access_key_id, address.secret_access_key, ""
    signed = signed_headers(request, service, address.region, keys, int(time.time() * 1000))
    connection = _connect(place.scheme, place.netloc)
    try:
        connection.connect()
        connection.sock.settimeout(_ANSWER_S)
        connection.request(method, f"{path}?{query}" if query else path, body, dict(signed))
        response = connection.getresponse()
        answer = Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    except (OSError, HTTPException) as error:
        fail(f"no node answers at {address.endpoint}: {error}", EXIT_UNREACHABLE)
    finally:
        connection.close()
    if answer.status >= 400:
        fail(_refusal(answer), EXIT_REFUSED)
    return answer


def ask_json(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Call the node's own admin paths (`/_cumulet/…`), signed like any request, with service scope `cumulet`."""
    path, _, query = path.partition("?")
    answer = ask("cumulet", method, path, json.dumps(body).encode() if body is not None else b"", query=query)
    return json.loads(answer.body or b"{}")


def _connect(scheme: str, netloc: str) -> HTTPConnection:
    if scheme != "https":
        return HTTPConnection(netloc, timeout=_CONNECT_S)
    import os
    import ssl

    trusted = os.environ.get("AWS_CA_BUNDLE") or None  # as SDKs do
    return HTTPSConnection(netloc, timeout=_CONNECT_S, context=ssl.create_default_context(cafile=trusted))


def _refusal(answer: Answer) -> str:
    try:
        document = json.loads(answer.body)
    except ValueError:
        document = {}
    code = answer.headers.get("x-amzn-errortype", "").partition(":")[0] or document.get("__type", "")
    message = document.get("message") or document.get("Message") or f"the node answered {answer.status}"
    return f"{code}: {message}" if code else str(message)
