"""The checksums that clients send beside a body: `x-amz-checksum-NAME`, base64 of the big-endian digest. Pure."""

import base64
import hashlib
import zlib
from collections.abc import Callable

import anycrc

HEADER_PREFIX = "x-amz-checksum-"

_CRC32C, _CRC64NVME = anycrc.Model("CRC32C"), anycrc.Model("CRC64-NVME")
_DIGESTS: dict[str, Callable[[bytes], bytes]] = {
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "crc32c": lambda data: int(_CRC32C.calc(data)).to_bytes(4, "big"),
    "crc64nvme": lambda data: int(_CRC64NVME.calc(data)).to_bytes(8, "big"),
    "sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
}
ALGORITHMS = tuple(_DIGESTS)


def checksum(algorithm: str, data: bytes) -> str:
    """As a header spells it. Raises KeyError for an algorithm that is not one of `ALGORITHMS`."""
    return base64.b64encode(_DIGESTS[algorithm](data)).decode()
