"""Signing the node's own requests, as a client would. Pure."""

import hashlib
from time import gmtime, strftime

from cumulet.auth.sigv4 import ALGORITHM, canonical_request, signature_of, signing_key
from cumulet.core.http import Request

_UNSIGNED_HEADERS = frozenset({"connection", "expect", "transfer-encoding", "user-agent", "x-amzn-trace-id"})
"""What is changed on the way by those who pass requests on; clients leave them unsigned too."""


def signed_headers(
    request: Request, service: str, region: str, credentials: tuple[str, str, str], now_ms: int
) -> list[tuple[str, str]]:
    """The request's headers and those of its signature. It must have a `host`; names are in lower case.

    `credentials` are key id, secret, and session token or "". Signatures that the request already has are left away.
    """
    key_id, secret, token = credentials
    date = strftime("%Y%m%dT%H%M%SZ", gmtime(now_ms // 1000))
    payload_hash = hashlib.sha256(request.body).hexdigest()
    own = [("x-amz-date", date)]
    if token:
        own.append(("x-amz-security-token", token))
    if service == "s3":
        own.append(("x-amz-content-sha256", payload_hash))
    replaced = {"authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"}
    headers = [pair for pair in request.headers if pair[0] not in replaced] + own
    names = tuple(sorted({name for name, _ in headers} - _UNSIGNED_HEADERS))
    outgoing = Request(request.method, request.path, request.query, headers, request.body)
    scope = f"{date[:8]}/{region}/{service}/aws4_request"
    canonical = canonical_request(outgoing, service, names, payload_hash)
    signature = signature_of(canonical, date, scope, signing_key(secret, date[:8], region, service))
    told = f"{ALGORITHM} Credential={key_id}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
    return [*headers, ("authorization", told)]
