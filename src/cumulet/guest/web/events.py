"""HTTP events (payload formats 1.0 and 2.0) as the requests that they were, and responses in the form that each format wants.

Pure: no I/O. A request's `path` is the whole one that the client asked for below the host, the stage included, percent-encoded;
`root` is the part of it that belongs to the gateway (a stage), "" or "/name".
"""

import base64
import json
from typing import Any, Dict, List, Optional, Tuple
from urllib.parse import quote, unquote, urlencode

Headers = List[Tuple[str, str]]
_NOT_THE_APPLICATIONS = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "cookie")
)
_NOT_THE_CLIENTS = frozenset(("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"))
_IN_A_PATH = "/:@!$&'()*+,;=~%"
_TEXT_TYPES = frozenset(
    ("application/json", "application/javascript", "application/xml", "application/x-javascript", "application/graphql")
)


class HttpRequest:
    """One request. `headers` have lower-case names, each pair once; `client` is an address, `server` (name, port)."""

    __slots__ = ("body", "client", "event", "headers", "method", "path", "query", "root", "scheme", "server", "version")

    def __init__(self, event: Dict[str, Any], version: str) -> None:
        self.event = event
        self.version = version
        context = event.get("requestContext") or {}
        read = _read_2 if version == "2.0" else _read_1
        self.method, self.path, self.root, self.query, self.client, headers = read(event, context)
        self.body = _body_of(event)
        self.headers = [(name, value) for name, value in headers if name not in _NOT_THE_APPLICATIONS]
        cookies = [value for name, value in headers if name == "cookie"]
        if cookies:
            self.headers.append(("cookie", "; ".join(cookies)))
        if self.body or self.method in ("POST", "PUT", "PATCH"):
            self.headers.append(("content-length", str(len(self.body))))
        self.scheme = self.header("x-forwarded-proto") or "https"
        self.server = _server_of(self, context)

    def header(self, name: str) -> str:
        """The first value, or ""."""
        return next((value for key, value in self.headers if key == name), "")

    @property
    def path_below_root(self) -> str:
        return self.path[len(self.root) :] or "/"

    @property
    def target(self) -> str:
        """Path and query as they stand in a request line, without the gateway's part."""
        return self.path_below_root + ("?" + self.query if self.query else "")


def read(event: Any) -> Optional[HttpRequest]:
    """The request that an event stands for; None for an event that is no HTTP request's."""
    if not isinstance(event, dict) or not isinstance(event.get("requestContext"), dict):
        return None
    if isinstance(event["requestContext"].get("http"), dict):
        return HttpRequest(event, "2.0")
    if isinstance(event.get("httpMethod"), str) and isinstance(event.get("path"), str):
        return HttpRequest(event, "1.0")
    return None


def _read_2(event: Dict[str, Any], context: Dict[str, Any]) -> Tuple[str, str, str, str, str, Headers]:
    http = context["http"]
    path = _encoded(str(event.get("rawPath") or http.get("path") or "/"))
    stage = str(context.get("stage") or "$default")
    headers = [(str(name).lower(), str(value)) for name, value in (event.get("headers") or {}).items()]
    headers += [("cookie", str(cookie)) for cookie in event.get("cookies") or ()]
    root = _root_of(path, stage) if stage != "$default" else ""
    return (
        str(http.get("method", "GET")),
        path,
        root,
        str(event.get("rawQueryString") or ""),
        str(http.get("sourceIp", "")),
        headers,
    )


def _read_1(event: Dict[str, Any], context: Dict[str, Any]) -> Tuple[str, str, str, str, str, Headers]:
    path = _encoded(event["path"] or "/")
    full = _encoded(str(context.get("path") or path))
    if full != path and full.endswith(path):  # a REST API's: the event's path is what follows the stage
        root = full[: -len(path)]
        path = full
    elif path == "/" and full != "/":
        root = path = full
    else:
        root = _root_of(path, str(context.get("stage") or "")) if event.get("version") == "1.0" else ""
    query = [
        (name, value)
        for name, values in _lists(event, "multiValueQueryStringParameters", "queryStringParameters")
        for value in values
    ]
    headers = [(name.lower(), value) for name, values in _lists(event, "multiValueHeaders", "headers") for value in values]
    client = str((context.get("identity") or {}).get("sourceIp") or "")
    return event["httpMethod"], path, root.rstrip("/"), urlencode(query), client, headers


def _lists(event: Dict[str, Any], many: str, single: str) -> List[Tuple[str, List[str]]]:
    if event.get(many):
        return [(str(name), [str(value) for value in values or ()]) for name, values in event[many].items()]
    return [(str(name), [str(value)]) for name, value in (event.get(single) or {}).items()]


def _root_of(path: str, stage: str) -> str:
    root = "/" + stage
    return root if stage and (path == root or path.startswith(root + "/")) else ""


def _encoded(path: str) -> str:
    """What a client may send: some gateways hand over paths that they have decoded."""
    return quote(path if path.startswith("/") else "/" + path, safe=_IN_A_PATH)


def _body_of(event: Dict[str, Any]) -> bytes:
    body = event.get("body") or ""
    return base64.b64decode(body) if event.get("isBase64Encoded") else str(body).encode("utf-8", "surrogatepass")


def _server_of(request: HttpRequest, context: Dict[str, Any]) -> Tuple[str, int]:
    name, _, port = request.header("host").partition(":")
    port = port or request.header("x-forwarded-port")
    return name or str(context.get("domainName") or "localhost"), int(port) if port.isdigit() else 443


def decoded_path(path: str) -> bytes:
    """The bytes that a percent-encoded path stands for."""
    return unquote(path, encoding="latin-1").encode("latin-1", "replace")


def head_of(version: str, status: int, headers: Headers) -> Dict[str, Any]:
    """Status and headers of an answer, in the form of an event's format."""
    many: Dict[str, List[str]] = {}
    spelled: Dict[str, str] = {}
    for name, value in headers:
        lower = name.lower()
        if lower not in _NOT_THE_CLIENTS:
            many.setdefault(spelled.setdefault(lower, name), []).append(value)
    if version == "1.0":
        return {"statusCode": status, "multiValueHeaders": many}
    cookies = many.pop(spelled.get("set-cookie", ""), [])
    head: Dict[str, Any] = {"statusCode": status, "headers": {name: ", ".join(values) for name, values in many.items()}}
    if cookies:
        head["cookies"] = cookies
    return head


def answer_of(version: str, status: int, headers: Headers, body: bytes) -> Dict[str, Any]:
    """A whole answer: text where the body says that it is text, base64 else."""
    answer = head_of(version, status, [(name, value) for name, value in headers if name.lower() != "content-length"])
    text = _text_of(body, headers)
    answer["isBase64Encoded"] = text is None
    answer["body"] = base64.b64encode(body).decode("ascii") if text is None else text
    return answer


def _text_of(body: bytes, headers: Headers) -> Optional[str]:
    kind = encoding = ""
    for name, value in headers:
        if name.lower() == "content-type":
            kind = value.partition(";")[0].strip().lower()
        elif name.lower() == "content-encoding":
            encoding = value
    is_text = not kind or kind.startswith("text/") or kind in _TEXT_TYPES or kind.endswith(("+json", "+xml"))
    if encoding not in ("", "identity") or not is_text:
        return None
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return None


def as_posted(event: Any, path: str) -> HttpRequest:
    """An event that is no HTTP request's, as the POST by which an application is told of it."""
    request = HttpRequest(
        {
            "rawPath": path,
            "headers": {"content-type": "application/json", "host": "localhost", "x-forwarded-proto": "http"},
            "requestContext": {"http": {"method": "POST", "path": path, "sourceIp": "127.0.0.1"}},
            "body": json.dumps(event),
        },
        "2.0",
    )
    request.event = event
    return request


def value_of(body: bytes) -> Any:
    """What an application answered to such an event: a JSON value, or else its text."""
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body.decode("utf-8", "replace")
