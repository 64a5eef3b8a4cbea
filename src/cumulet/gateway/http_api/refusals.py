"""What API Gateway itself answers when a request to an HTTP API does not get through."""

import orjson

from cumulet.core.http import Response

JSON = ("Content-Type", "application/json")


class Refusal(Exception):
    """A request ends here. `why` is for the access log; `headers` are added to the answer."""

    def __init__(self, status: int, message: str, why: str = "", headers: list[tuple[str, str]] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.why = why or message
        self.headers = headers or []


def not_found() -> Refusal:
    return Refusal(404, "Not Found")


def unauthorized(why: str = "", challenge: str = "") -> Refusal:
    return Refusal(401, "Unauthorized", why, [("www-authenticate", challenge)] if challenge else None)


def forbidden(why: str = "", challenge: str = "") -> Refusal:
    return Refusal(403, "Forbidden", why, [("www-authenticate", challenge)] if challenge else None)


def server_error(why: str) -> Refusal:
    """What an integration or authorizer that misbehaves is told as."""
    return Refusal(500, "Internal Server Error", why)


def no_integration() -> Refusal:
    return server_error("The route has no integration")


def unavailable(why: str) -> Refusal:
    return Refusal(503, "Service Unavailable", why)


def rendered(refusal: Refusal) -> Response:
    return Response(refusal.status, [JSON, *refusal.headers], orjson.dumps({"message": refusal.message}))
