"""The checksums that clients send beside a body: `x-amz-checksum-NAME`, base64 of the big-endian digest. Pure."""

import base64
import functools
import hashlib
import zlib
from collections.abc import Callable
from typing import Any

HEADER_PREFIX = "x-amz-checksum-"

_DIGESTS: dict[str, Callable[[bytes], bytes]] = {
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "crc32c": lambda data: _crc("CRC32C", data).to_bytes(4, "big"),
    "crc64nvme": lambda data: _crc("CRC64-NVME", data).to_bytes(8, "big"),
    "sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
}
ALGORITHMS = tuple(_DIGESTS)


def checksum(algorithm: str, data: bytes) -> str:
    """As a header spells it. Raises KeyError for an algorithm that is not one of `ALGORITHMS`."""
    return base64.b64encode(_DIGESTS[algorithm](data)).decode()


def _crc(name: str, data: bytes) -> int:
    return int(_model(name).calc(data))


@functools.cache
def _model(name: str) -> Any:
    import anycrc  # few clients send these

    return anycrc.Model(name)
