"""Content codings: what a client asks for and takes, and bodies coded and decoded. Large ones are worked on in a thread: the event
loop has others to answer.
"""

import asyncio
import gzip
import re
import zlib
from collections.abc import Sequence

import brotli

from cumulet.core.http import Request, Response

LEAST_BYTES = 1024
_THREAD_BYTES = 65_536
_COMPRESSIBLE = re.compile(
    r"(?:text/(?!event-stream)[\w.+-]+|[\w.+-]+/[\w.+-]+\+(?:json|xml)|image/(?:bmp|x-icon|vnd\.microsoft\.icon)|font/(?:ttf|otf)|"
    r"application/(?:json|javascript|ecmascript|xml|wasm|x-ndjson|x-javascript|manifest|graphql|x-www-form-urlencoded|yaml))\s*(?:;|\Z)",
    re.ASCII | re.IGNORECASE,
)
_LEAVES_ALONE = frozenset(("content-encoding", "content-range", "content-md5", "digest", "content-digest"))


class UnknownCoding(ValueError):
    """A content coding that is not spoken here, or a body that is not coded as it says."""


class TooLarge(ValueError):
    """What was packed is more than is taken."""


def choose(accept_encoding: str, offered: Sequence[str], *, is_strict: bool = False) -> str | None:
    """The coding that the client likes best among `offered` (which are in our order); None when it would rather have none, or
    names none of them itself. `is_strict`: also when it likes one better that we don't have."""
    wanted = _weights(accept_encoding)
    least = max((weight for coding, weight in wanted.items() if is_strict or coding == "identity"), default=0.0)
    liked = [coding for coding in offered if (weight := wanted.get(coding, 0.0)) > 0 and weight >= least]
    return max(liked, key=lambda coding: wanted[coding], default=None)


async def compressed(request: Request, response: Response, coding: str | None) -> None:
    """Code the response's body, which must be whole, and say so in its headers. A client that named no coding we have gets it as
    it is, and caches between learn that this depends on what was asked."""
    headers = response.headers
    _vary(headers)
    if coding is None or request.method == "HEAD":
        return
    body = response.body
    assert isinstance(body, bytes)
    response.body = await asyncio.to_thread(_CODERS[coding], body) if len(body) > _THREAD_BYTES else _CODERS[coding](body)
    response.headers = [(name, _weak(value) if name.lower() == "etag" else value) for name, value in headers]
    response.headers.append(("Content-Encoding", coding))


def may_be_compressed(response: Response) -> bool:
    """Whether `compress_for_web` would look at it: a whole body of some size."""
    return isinstance(response.body, bytes) and len(response.body) >= LEAST_BYTES


async def compress_for_web(request: Request, response: Response) -> None:
    """What a web server does: text of some size, for clients that ask; Brotli before gzip. Ranges, streams, what is coded already
    and what its author wants untouched (`Cache-Control: no-transform`) stay as they are."""
    if not may_be_compressed(response) or response.status < 200 or response.status in (204, 206, 304):
        return
    kind = ""
    for name, value in response.headers:
        lower = name.lower()
        if lower in _LEAVES_ALONE or (lower == "cache-control" and "no-transform" in value.lower()):
            return
        if lower == "content-type":
            kind = value
    if _COMPRESSIBLE.match(kind):
        await compressed(request, response, choose(request.header("accept-encoding"), ("br", "gzip")))


async def decoded(body: bytes, content_encoding: str, most_bytes: int) -> bytes:
    """A request's body without its gzip or deflate coding. Raises UnknownCoding, TooLarge."""
    coding = content_encoding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise UnknownCoding(coding)
    return await asyncio.to_thread(_inflate, body, coding, most_bytes) if len(body) > 1024 else _inflate(body, coding, most_bytes)


def _inflate(body: bytes, coding: str, most_bytes: int) -> bytes:
    unpacking = zlib.decompressobj(16 + zlib.MAX_WBITS if coding != "deflate" else zlib.MAX_WBITS)
    try:
        found = unpacking.decompress(body, most_bytes + 1)
    except zlib.error as error:
        raise UnknownCoding(coding) from error
    if len(found) > most_bytes:
        raise TooLarge(coding)
    if not unpacking.eof or unpacking.unused_data:
        raise UnknownCoding(coding)
    return found


def _weights(accept_encoding: str) -> dict[str, float]:
    """{coding: quality}; a quality that is no number counts as none."""
    found: dict[str, float] = {}
    for part in accept_encoding.split(",")[:32]:
        coding, _, parameters = part.strip().lower().partition(";")
        if not coding:
            continue
        quality = 1.0
        name, _, value = parameters.strip().partition("=")
        if name.strip() == "q":
            match = re.fullmatch(r"(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", value.strip())
            quality = float(value) if match else 0.0
        found.setdefault(coding.strip(), quality)
    return found


def _vary(headers: list[tuple[str, str]]) -> None:
    for at, (name, value) in enumerate(headers):
        if name.lower() == "vary":
            if "*" not in value and "accept-encoding" not in value.lower():
                headers[at] = (name, f"{value}, Accept-Encoding")
            return
    headers.append(("Vary", "Accept-Encoding"))


def _weak(etag: str) -> str:
    """A strong tag promises the very bytes, which are others now."""
    return etag if etag.startswith("W/") else f"W/{etag}"


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, 6, mtime=0)


def _deflate(body: bytes) -> bytes:
    return zlib.compress(body, 6)


def _brotli(body: bytes) -> bytes:
    return bytes(brotli.compress(body, quality=4))


_CODERS = {"gzip": _gzip, "deflate": _deflate, "br": _brotli}
