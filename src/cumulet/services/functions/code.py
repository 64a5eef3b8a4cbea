"""Links that download a function's archive, as GetFunction gives them: signed, and good for ten minutes."""

import hashlib
import hmac
import re

from cumulet.core.clock import Clock
from cumulet.core.http import Request, Response
from cumulet.store.contract import Blobs

PATH = "/_aws/lambda-code/"
_LIFETIME_MS = 600_000
_LINK = re.compile(re.escape(PATH) + r"([0-9a-f]{64})\Z")
_TOKEN = re.compile(r"expires=(\d{1,15})&token=([0-9a-f]{64})\Z")


class CodeLinks:
    """Makes links and serves them. `secret` is the node's."""

    def __init__(self, secret: bytes, blobs: Blobs, clock: Clock) -> None:
        self._secret = secret
        self._blobs = blobs
        self._clock = clock

    def link(self, endpoint: str, blob: str) -> str:
        expires_ms = self._clock.now_ms() + _LIFETIME_MS
        return f"{endpoint}{PATH}{blob}?expires={expires_ms}&token={self._token(blob, expires_ms)}"

    async def serve(self, request: Request) -> Response:
        """The archive, or 403 for a link that is not ours or is too old."""
        path, token = _LINK.match(request.path), _TOKEN.match(request.query)
        if path is None or token is None:
            return Response(403, [("Content-Type", "text/plain")], b"Forbidden\n")
        is_ours = hmac.compare_digest(self._token(path[1], int(token[1])), token[2])
        if not is_ours or int(token[1]) < self._clock.now_ms():
            return Response(403, [("Content-Type", "text/plain")], b"Forbidden\n")
        try:
            return Response(200, [("Content-Type", "application/zip")], await self._blobs.get(path[1]))
        except KeyError:
            return Response(404, [("Content-Type", "text/plain")], b"Not found\n")

    def _token(self, blob: str, expires_ms: int) -> str:
        return hmac.new(self._secret, f"code\x00{blob}\x00{expires_ms}".encode(), hashlib.sha256).hexdigest()
