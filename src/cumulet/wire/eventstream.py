"""Event streams: the framed messages of streaming answers. Pure.

A message is: total length, headers' length, CRC-32 of both; headers; payload; CRC-32 of all before it.
"""

import struct
import zlib
from collections.abc import AsyncIterator
from typing import Any

import orjson

from cumulet.core.errors import Fault
from cumulet.wire.models import Shape
from cumulet.wire.trees import TreeCodec

_STRING = 7


def encode_message(headers: dict[str, str], payload: bytes) -> bytes:
    """One message whose headers are all strings."""
    packed = b"".join(
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", _STRING, len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", 16 + len(packed) + len(payload), len(packed))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + packed + payload
    return message + struct.pack(">I", zlib.crc32(message))


async def encode_events(shape: Shape, codec: TreeCodec, events: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    """`{member: value}` events as messages; a Fault on the way becomes an exception message and the end."""
    try:
        async for event in events:
            for name, value in event.items():
                yield _encode_event(shape.members[name], codec, name, value)
    except Fault as fault:
        payload = orjson.dumps({"message": fault.message})
        yield encode_message(
            {":message-type": "exception", ":exception-type": fault.code, ":content-type": "application/json"}, payload
        )


def _encode_event(shape: Shape, codec: TreeCodec, name: str, value: dict[str, Any]) -> bytes:
    headers = {":message-type": "event", ":event-type": name}
    for member_name, member in shape.members.items():
        if member.serialization.get("eventpayload"):
            payload = value.get(member_name, b"")
            if member.type_name == "blob":
                return encode_message(headers | {":content-type": "application/octet-stream"}, payload)
            if member.type_name == "string":
                return encode_message(headers | {":content-type": "text/plain"}, payload.encode())
            return encode_message(headers | {":content-type": "application/json"}, orjson.dumps(codec.encoder(member)(payload)))
    return encode_message(headers | {":content-type": "application/json"}, orjson.dumps(codec.encoder(shape)(value)))
