"""What single services do on the wire beyond their protocol: data, asked by name."""

import zlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Dialect:
    """`opaque` names shapes that pass as plain JSON both ways, as do the maps and lists of them: the service judges them itself.
    `error_prefixes` is what stands before an error's name in `__type`, by name; "" is for all others. `has_crc32`: answers carry
    the checksum of their bodies.
    """

    opaque: frozenset[str] = frozenset()
    error_prefixes: dict[str, str] = field(default_factory=dict)
    has_crc32: bool = False

    def error_type(self, code: str) -> str:
        return self.error_prefixes.get(code, self.error_prefixes.get("", "")) + code

    def headers_of(self, body: bytes) -> list[tuple[str, str]]:
        return [("x-amz-crc32", str(zlib.crc32(body)))] if self.has_crc32 else []


_PLAIN = Dialect()
_SERVICE_PREFIX = "com.amazon.coral.service#"
_TABLE_ERRORS = {
    "": "com.amazonaws.dynamodb.v20120810#",
    "ValidationException": "com.amazon.coral.validate#",
    "SerializationException": _SERVICE_PREFIX,
    "UnknownOperationException": _SERVICE_PREFIX,
    "UnrecognizedClientException": _SERVICE_PREFIX,
    "InvalidSignatureException": _SERVICE_PREFIX,
    "IncompleteSignatureException": _SERVICE_PREFIX,
    "MissingAuthenticationTokenException": _SERVICE_PREFIX,
    "ExpiredTokenException": _SERVICE_PREFIX,
    "AccessDeniedException": _SERVICE_PREFIX,
}
_DIALECTS = {
    "apigatewaymanagementapi": Dialect(frozenset({"Data"})),  # what is too long has a fault of its own
    "dynamodb": Dialect(frozenset({"AttributeValue", "WriteRequest"}), _TABLE_ERRORS, has_crc32=True),
    "dynamodbstreams": Dialect(frozenset({"AttributeValue", "Record"}), _TABLE_ERRORS, has_crc32=True),
}


def dialect_of(service: str) -> Dialect:
    return _DIALECTS.get(service, _PLAIN)
