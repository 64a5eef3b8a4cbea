"""Code archives: judged and kept when they come in, and handed out again through links that cannot be guessed and expire."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from cumulet.core.clock import Clock
from cumulet.core.errors import Fault, NotImplementedFault
from cumulet.core.http import Request, Response
from cumulet.runtimes.packages import PackageError, PackageTooLarge, inspect_zip
from cumulet.services.functions.errors import InvalidParameterValue, RequestEntityTooLarge
from cumulet.services.functions.model import Code, Limits
from cumulet.store.contract import Blobs

FetchObject = Callable[[str, str, str | None], Awaitable[bytes]]
"""(bucket, key, version) -> the object's bytes; raises KeyError or a Fault when there is none for the caller."""

LINK_PATH = "/_aws/lambda-code/"
LINK_LIFETIME_S = 600


class CodeStore:
    """The archives of functions and layers, on their way in."""

    def __init__(self, blobs: Blobs, limits: Limits, fetch_object: FetchObject | None) -> None:
        self._blobs = blobs
        self._limits = limits
        self._fetch_object = fetch_object

    async def keep(self, source: Mapping[str, Any], operation: str) -> Code:
        """Judge and keep the archive that a request names (ZipFile or S3Bucket and S3Key). Raises the Faults of a bad one."""
        data = await self._fetched(source, operation)
        if not data:
            raise InvalidParameterValue("Uploaded file must be a non-empty zip")
        try:
            facts = await asyncio.to_thread(inspect_zip, data, self._limits.unzipped_bytes)
        except PackageTooLarge:
            raise InvalidParameterValue(f"Unzipped size must be smaller than {self._limits.unzipped_bytes} bytes") from None
        except PackageError as error:
            raise InvalidParameterValue(
                f"Could not unzip uploaded file. Please check your file, then try to upload again. ({error})"
            ) from None
        sha256 = await self._blobs.put(data)
        return Code(sha256, len(data), facts.unzipped_bytes)

    async def _fetched(self, source: Mapping[str, Any], operation: str) -> bytes:
        if source.get("ImageUri"):
            raise NotImplementedFault("ImageUri is not supported by this node: functions are deployed as zip archives")
        archive = source.get("ZipFile")
        bucket, key = source.get("S3Bucket"), source.get("S3Key")
        if archive is not None and (bucket or key):
            raise InvalidParameterValue("Please do not provide other FunctionCode parameters when providing a ZipFile.")
        if archive is not None:
            if len(archive) > self._limits.zipped_bytes:
                raise RequestEntityTooLarge(
                    f"Request must be smaller than {self._limits.zipped_bytes * 4 // 3} bytes for the {operation} operation"
                )
            return bytes(archive)
        if not bucket or not key:
            raise InvalidParameterValue("Please provide a source for function code.")
        if self._fetch_object is None:
            raise NotImplementedFault("Code from S3Bucket is not supported by this node: it has no object service")
        try:
            return await self._fetch_object(bucket, key, source.get("S3ObjectVersion"))
        except KeyError:
            detail = "S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist."
        except Fault as fault:
            detail = f"S3 Error Code: {fault.code}. S3 Error Message: {fault.message}"
        raise InvalidParameterValue(f"Error occurred while GetObject. {detail}")


def sign_link(secret: bytes, sha256: str, expires: int) -> str:
    return hmac.new(secret, f"{sha256}|{expires}".encode(), "sha256").hexdigest()


def is_link_valid(secret: bytes, sha256: str, expires: str, token: str, now_s: int) -> bool:
    """Whether `token` was signed for this archive and time, and the time has not passed."""
    if not (expires.isascii() and expires.isdigit() and len(expires) <= 12 and sha256.isascii() and token.isascii()):
        return False
    return hmac.compare_digest(sign_link(secret, sha256, int(expires)), token) and now_s <= int(expires)


class CodeLinks:
    """Makes links to archives and answers them. Nodes that answer each other's links must share `secret`."""

    def __init__(self, secret: bytes, blobs: Blobs, clock: Clock) -> None:
        self._secret = secret
        self._blobs = blobs
        self._clock = clock

    def link(self, endpoint: str, sha256: str) -> str:
        """A URL from which anyone who has it can download the archive, for ten minutes."""
        expires = self._clock.now_ms() // 1000 + LINK_LIFETIME_S
        token = sign_link(self._secret, sha256, expires)
        return f"{endpoint}{LINK_PATH}{sha256}?expires={expires}&token={token}"

    async def code_archive(self, request: Request) -> Response:
        """Answer such a URL: 200 with the zip, 403 when the link does not hold, 404 when the archive is gone."""
        sha256 = request.path.removeprefix(LINK_PATH)
        query = parse_qs(request.query)
        expires, token = query.get("expires", [""])[0], query.get("token", [""])[0]
        if not is_link_valid(self._secret, sha256, expires, token, self._clock.now_ms() // 1000):
            return Response(403, [("Content-Type", "text/plain")], b"This link does not hold, or no longer.\n")
        if request.method not in ("GET", "HEAD"):
            return Response(405, [("Allow", "GET, HEAD")], b"")
        try:
            archive = await self._blobs.get(sha256)
        except KeyError:
            return Response(404, [("Content-Type", "text/plain")], b"The archive is gone.\n")
        return Response(200, [("Content-Type", "application/zip")], archive)
