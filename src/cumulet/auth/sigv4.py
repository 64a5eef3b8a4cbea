"""AWS Signature Version 4: whose request this is, and that nobody changed what was signed.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import functools
import hashlib
import hmac
import re
from calendar import timegm
from time import strptime
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote

from cumulet.auth.credentials import Credential, FindCredential
from cumulet.auth.faults import ExpiredToken, IncompleteSignature, InvalidSignature, MissingAuthentication, UnknownKey
from cumulet.core.http import Request

ALGORITHM = "AWS4-HMAC-SHA256"
MAX_SKEW_MS = 5 * 60 * 1000
MAX_SKEW_S3_MS = 15 * 60 * 1000
MAX_PRESIGNED_S = 7 * 24 * 3600

_AUTHORIZATION = re.compile(rf"{ALGORITHM}\s+Credential=([^,\s]+)\s*,\s*SignedHeaders=([^,\s]+)\s*,\s*Signature=([0-9a-f]+)\s*\Z")
_UNSIGNED = "UNSIGNED-PAYLOAD"
_EMPTY_HASH = hashlib.sha256(b"").hexdigest()
_UNRESERVED = "-_.~"


class Signature(NamedTuple):
    """A signature that holds. `seed` and `key` are what the chunks of a streamed body are signed with."""

    credential: Credential
    region: str
    service: str
    date: str
    seed: str
    key: bytes


class _Claim(NamedTuple):
    """What a request says of its own signature. `expires_s` is None for a signed header."""

    access_key_id: str
    day: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    date: str
    session_token: str | None
    expires_s: int | None


def verify(request: Request, find: FindCredential, now_ms: int) -> Signature:
    """The signature of a request, by header or presigned URL. Raises the faults of `auth.faults`."""
    authorization = [value for name, value in request.headers if name == "authorization"]
    if len(authorization) > 1:
        raise IncompleteSignature("The request has more than one Authorization header.")
    if authorization:
        claim = _claim_of_header(request, authorization[0])
    elif "X-Amz-Signature=" in request.query:
        claim = _claim_of_query(request)
    else:
        raise MissingAuthentication("Missing Authentication Token")
    credential = find(claim.access_key_id, claim.session_token)
    if credential is None:
        raise UnknownKey("The security token included in the request is invalid.")
    _check_time(claim, now_ms)
    key = signing_key(credential.secret_key, claim.day, claim.region, claim.service)
    canonical = canonical_request(request, claim.service, claim.signed_headers, _payload_hash(request, claim))
    expected = signature_of(canonical, claim.date, f"{claim.day}/{claim.region}/{claim.service}/aws4_request", key)
    if not hmac.compare_digest(expected, claim.signature):
        raise InvalidSignature(
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
        )
    if credential.expires_at_ms is not None and credential.expires_at_ms <= now_ms:
        raise ExpiredToken("The security token included in the request is expired")
    return Signature(credential, claim.region, claim.service, claim.date, claim.signature, key)


def signature_of(canonical: str, date: str, scope: str, key: bytes) -> str:
    """Of a canonical request; `date` as `YYYYMMDDTHHMMSSZ`, `scope` as `day/region/service/aws4_request`."""
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    return hmac.digest(key, f"{ALGORITHM}\n{date}\n{scope}\n{digest}".encode(), "sha256").hex()


@functools.lru_cache(maxsize=4096)
def signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    """The key of one day, region and service."""
    key = b"AWS4" + secret.encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _claim_of_header(request: Request, authorization: str) -> _Claim:
    match = _AUTHORIZATION.match(authorization)
    if match is None:
        raise IncompleteSignature(
            f"Authorization header must have the form '{ALGORITHM} Credential=…, SignedHeaders=…, Signature=…'."
        )
    date = request.header("x-amz-date")
    if not date:
        raise IncompleteSignature("Authorization header requires existence of an 'X-Amz-Date' header.")
    key_id, day, region, service = _scope_of(match[1])
    token = request.header("x-amz-security-token") or None
    return _Claim(key_id, day, region, service, _signed_headers(match[2]), match[3], date, token, None)


def _claim_of_query(request: Request) -> _Claim:
    pairs = parse_qsl(request.query, keep_blank_values=True)
    given = dict(pairs)
    if len({name for name, _ in pairs if name.startswith("X-Amz-")}) != sum(name.startswith("X-Amz-") for name, _ in pairs):
        raise IncompleteSignature("The query string repeats a parameter of its signature.")
    try:
        if given["X-Amz-Algorithm"] != ALGORITHM:
            raise IncompleteSignature(f"X-Amz-Algorithm must be {ALGORITHM}.")
        key_id, day, region, service = _scope_of(given["X-Amz-Credential"])
        expires_s = int(given.get("X-Amz-Expires") or MAX_SKEW_MS // 1000)
        if not 0 < expires_s <= MAX_PRESIGNED_S:
            raise IncompleteSignature(f"X-Amz-Expires must be between 1 and {MAX_PRESIGNED_S} seconds.")
        return _Claim(
            key_id,
            day,
            region,
            service,
            _signed_headers(given["X-Amz-SignedHeaders"]),
            given["X-Amz-Signature"],
            given["X-Amz-Date"],
            given.get("X-Amz-Security-Token"),
            expires_s,
        )
    except KeyError as error:
        raise IncompleteSignature(f"The query string lacks {error.args[0]}.") from None
    except ValueError:
        raise IncompleteSignature("X-Amz-Expires must be a number of seconds.") from None


@functools.lru_cache(maxsize=4096)
def _scope_of(credential: str) -> tuple[str, str, str, str]:
    parts = credential.split("/")
    if len(parts) != 5 or parts[4] != "aws4_request" or not all(parts):
        raise IncompleteSignature("Credential must have the form 'KEY/YYYYMMDD/REGION/SERVICE/aws4_request'.")
    return parts[0], parts[1], parts[2], parts[3]


@functools.lru_cache(maxsize=4096)
def _signed_headers(text: str) -> tuple[str, ...]:
    names = tuple(text.split(";"))
    if "host" not in names:
        raise IncompleteSignature("The host header must be signed.")
    if list(names) != sorted(names) or text != text.lower():
        raise IncompleteSignature("SignedHeaders must be in lower case and in order.")
    return names


def _check_time(claim: _Claim, now_ms: int) -> None:
    try:
        signed_ms = _milliseconds_of(claim.date)
    except ValueError:
        raise IncompleteSignature(f"Date must be in ISO-8601 'basic format'. Got '{claim.date}'.") from None
    if not claim.date.startswith(claim.day):
        raise InvalidSignature(
            f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date: {claim.day} is not of {claim.date}"
        )
    skew_ms = MAX_SKEW_S3_MS if claim.service == "s3" else MAX_SKEW_MS
    if signed_ms > now_ms + skew_ms:
        raise InvalidSignature(f"Signature not yet current: {claim.date} is still later than now.")
    if claim.expires_s is not None:
        if now_ms > signed_ms + claim.expires_s * 1000:
            raise ExpiredToken("The presigned URL has expired.")
    elif now_ms > signed_ms + skew_ms:
        raise InvalidSignature(f"Signature expired: {claim.date} is now earlier than now less {skew_ms // 60000} min.")


@functools.lru_cache(maxsize=4096)
def _milliseconds_of(date: str) -> int:
    """Unix milliseconds. Clients that ask often sign many requests with one second's date."""
    return timegm(strptime(date, "%Y%m%dT%H%M%SZ")) * 1000


def canonical_request(request: Request, service: str, signed_headers: tuple[str, ...], payload_hash: str) -> str:
    """What of a request is signed, in the one order. Raises InvalidSignature when it lacks a header that is."""
    values: dict[str, str] = {}
    for name, value in request.headers:
        if name in signed_headers:
            value = " ".join(value.split())
            values[name] = f"{values[name]},{value}" if name in values else value
    if len(values) < len(set(signed_headers)):
        missing = next(name for name in signed_headers if name not in values)
        raise InvalidSignature(f"The signed header {missing!r} is not in the request.")
    headers = "".join([f"{name}:{values[name]}\n" for name in signed_headers])
    return "\n".join(
        (
            request.method,
            _canonical_path(request.path, service),
            _canonical_query(request.query),
            headers,
            ";".join(signed_headers),
            payload_hash,
        )
    )


@functools.lru_cache(maxsize=1024)
def _canonical_path(path: str, service: str) -> str:
    """S3 signs the path as it is sent; all others normalise it and encode it once more."""
    if path == "/":
        return path
    if service == "s3":
        return path or "/"
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    normal = "/" + "/".join(parts) + ("/" if parts and path.endswith("/") else "")
    return quote(normal, safe="/" + _UNRESERVED)


def _canonical_query(query: str) -> str:
    if not query:
        return ""
    pairs = []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name != "X-Amz-Signature" and part:
            pairs.append((_encoded_once(name), _encoded_once(value)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _encoded_once(text: str) -> str:
    return quote(unquote(text.replace("+", "%20"), errors="surrogateescape").encode("utf-8", "surrogateescape"), safe=_UNRESERVED)


def _payload_hash(request: Request, claim: _Claim) -> str:
    """What the client says that the body's hash is, after checking it."""
    declared = request.header("x-amz-content-sha256")
    if declared.startswith("STREAMING-") or (declared == _UNSIGNED and claim.service == "s3"):
        return declared
    if claim.expires_s is not None and claim.service == "s3":
        return declared or _UNSIGNED
    actual = hashlib.sha256(request.body).hexdigest() if request.body else _EMPTY_HASH
    if declared and declared not in (actual, _UNSIGNED):
        raise InvalidSignature("The provided 'x-amz-content-sha256' header does not match what was computed.")
    return declared or actual
