"""Bodies in AWS's own chunks: `Content-Encoding: aws-chunked`, with signed chunks, trailing checksums, or both. Pure.

Not HTTP's chunked transfer coding, which is gone before this is seen. Each signed chunk's signature covers that of the one
before, and the first one's the request's, so that no chunk can be changed, left out or moved.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

from cumulet.core.errors import Fault, NotImplementedFault
from cumulet.wire.checksums import ALGORITHMS, HEADER_PREFIX, checksum

SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_WITH_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_WITH_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

_EMPTY_HASH = hashlib.sha256(b"").hexdigest()
_SIZE = re.compile(rb"[0-9a-fA-F]{1,16}\Z")
_SIGNATURE = re.compile(rb"chunk-signature=([0-9a-f]{64})\Z")
_MAX_LINE_BYTES = 256
_MAX_TRAILER_BYTES = 16 * 1024
_TRAILER_SIGNATURE = "x-amz-trailer-signature"


class IncompleteBody(Fault):
    code = "IncompleteBody"
    status = 400


class MalformedTrailer(Fault):
    code = "MalformedTrailerError"
    status = 400


class MissingContentLength(Fault):
    code = "MissingContentLength"
    status = 411


class SignatureDoesNotMatch(Fault):
    """A chunk or trailer is not what was signed."""

    code = "SignatureDoesNotMatch"
    status = 403


class BadDigest(Fault):
    code = "BadDigest"
    status = 400


class InvalidRequest(Fault):
    code = "InvalidRequest"
    status = 400


@dataclass(frozen=True, slots=True)
class ChunkSigner:
    """What chunks are signed with: the request's own signature (`seed`) and key, its date and scope (`day/region/service`)."""

    seed: str
    key: bytes
    date: str
    scope: str

    def of_chunk(self, before: str, data: bytes) -> str:
        return self._sign("AWS4-HMAC-SHA256-PAYLOAD", before, _EMPTY_HASH, hashlib.sha256(data).hexdigest())

    def of_trailer(self, before: str, lines: bytes) -> str:
        return self._sign("AWS4-HMAC-SHA256-TRAILER", before, hashlib.sha256(lines).hexdigest())

    def _sign(self, kind: str, *parts: str) -> str:
        text = "\n".join((kind, self.date, f"{self.scope}/aws4_request", *parts))
        return hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()


def is_chunked(payload_hash: str) -> bool:
    """Whether the value of `x-amz-content-sha256` says that the body comes in chunks. Raises NotImplementedFault for kinds
    that this node cannot verify: such a body is signed by nothing else."""
    if not payload_hash.startswith("STREAMING-"):
        return False
    if payload_hash not in (SIGNED, SIGNED_WITH_TRAILER, UNSIGNED_WITH_TRAILER):
        raise NotImplementedFault(f"This node does not implement payloads of the kind {payload_hash}")
    return True


def decode(body: bytes, payload_hash: str, signer: ChunkSigner, headers: Mapping[str, str]) -> bytes:
    """The body itself, after everything that was promised about it is verified. `headers` have lower-case names."""
    wanted = _decoded_length(headers)
    reader = _Reader(body)
    data, last = _chunks(reader, signer if payload_hash != UNSIGNED_WITH_TRAILER else None, wanted)
    trailer: dict[str, str] = {}
    if payload_hash == SIGNED:
        reader.expect_end()
    else:
        trailer = _trailer(reader, signer if payload_hash == SIGNED_WITH_TRAILER else None, last)
        _check_announced(trailer, headers.get("x-amz-trailer", ""))
    if len(data) != wanted:
        raise IncompleteBody("You did not provide the number of bytes specified by the x-amz-decoded-content-length HTTP header")
    _check_sums(data, trailer)
    return data


class _Reader:
    """A body and how far it was read."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def line(self, most: int = _MAX_LINE_BYTES) -> bytes:
        """Up to a line end, which is read too."""
        end = self._body.find(b"\r\n", self._at, self._at + most)
        if end < 0:
            raise IncompleteBody("The request body terminated unexpectedly")
        line, self._at = self._body[self._at : end], end + 2
        return line

    def take(self, count: int) -> bytes:
        """`count` bytes and the line end behind them."""
        end = self._at + count
        if self._body[end : end + 2] != b"\r\n":
            raise IncompleteBody("The request body terminated unexpectedly")
        data, self._at = self._body[self._at : end], end + 2
        return data

    def expect_end(self) -> None:
        """One empty line, and nothing behind it."""
        if self._body[self._at :] != b"\r\n":
            raise IncompleteBody("The request body terminated unexpectedly")

    def trailer_lines(self) -> list[bytes]:
        """All lines that are left. An empty one closes the trailer; some clients close the headers before its signature too."""
        rest = self._body[self._at :]
        if len(rest) > _MAX_TRAILER_BYTES or not rest.endswith(b"\r\n"):
            raise _malformed_trailer()
        lines = rest.rstrip(b"\r\n").split(b"\r\n")
        is_signature_last = lines[-1].startswith(_TRAILER_SIGNATURE.encode())
        found = [line for line in lines if line]
        if not found or (len(found) < len(lines) and not is_signature_last):
            raise _malformed_trailer()
        return found


def _decoded_length(headers: Mapping[str, str]) -> int:
    text = headers.get("x-amz-decoded-content-length", "")
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise MissingContentLength("You must provide the Content-Length HTTP header.")
    return int(text)


def _chunks(reader: _Reader, signer: ChunkSigner | None, most: int) -> tuple[bytes, str]:
    """The data of all chunks, and the last signature."""
    found: list[bytes] = []
    size, before = 0, signer.seed if signer is not None else ""
    while True:
        head, semicolon, extension = reader.line().partition(b";")
        if not _SIZE.match(head) or bool(semicolon) != (signer is not None):
            raise IncompleteBody("The request body terminated unexpectedly")
        count = int(head, 16)
        size += count
        if size > most:
            raise IncompleteBody("The request body is longer than the x-amz-decoded-content-length HTTP header says")
        data = reader.take(count) if count else b""
        if signer is not None:
            before = _verified(signer.of_chunk(before, data), _SIGNATURE.match(extension))
        if not count:
            return b"".join(found), before
        found.append(data)


def _trailer(reader: _Reader, signer: ChunkSigner | None, before: str) -> dict[str, str]:
    """The trailing headers."""
    found: dict[str, str] = {}
    lines = reader.trailer_lines()
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        name = name.strip().lower()
        if not colon or not name or name in found:
            raise _malformed_trailer()
        found[name] = value.strip()
    signature = found.pop(_TRAILER_SIGNATURE, None)
    if (signature is None) != (signer is None):
        raise _malformed_trailer()
    if signer is not None:
        canonical = "".join(f"{name}:{value}\n" for name, value in sorted(found.items()))
        match = re.fullmatch(rb"([0-9a-f]{64})", (signature or "").encode())
        _verified(signer.of_trailer(before, canonical.encode("latin-1")), match)
    return found


def _verified(expected: str, match: re.Match[bytes] | None) -> str:
    if match is None or not hmac.compare_digest(expected, match[1].decode()):
        raise SignatureDoesNotMatch(
            "The request signature we calculated does not match the signature you provided. Check your key and signing method."
        )
    return expected


def _check_announced(trailer: Mapping[str, str], announced: str) -> None:
    """The trailer holds what the header x-amz-trailer says, neither more nor less."""
    if sorted(trailer) != sorted(name.strip().lower() for name in announced.split(",") if name.strip()):
        raise _malformed_trailer()


def _check_sums(data: bytes, trailer: Mapping[str, str]) -> None:
    for name, value in trailer.items():
        if not name.startswith(HEADER_PREFIX):
            continue
        algorithm = name.removeprefix(HEADER_PREFIX)
        if algorithm not in ALGORITHMS:
            raise InvalidRequest("The algorithm type you specified in x-amz-checksum- header is invalid.")
        expected = checksum(algorithm, data)
        if len(value) != len(expected):
            raise InvalidRequest(f"Value for {name} trailing header is invalid.")
        if value != expected:
            raise BadDigest(f"The {algorithm.upper()} you specified did not match the calculated checksum.")


def _malformed_trailer() -> MalformedTrailer:
    return MalformedTrailer(
        "The request contained trailing data that was not well-formed or did not conform to our published schema."
    )
