"""The protocols: how a request of one operation is read, and how its answer and its errors are written.

One class per family, one object per operation, all that the model says compiled when it is made.
"""

from collections.abc import AsyncIterator
from typing import Any, Protocol

import cbor2
import orjson

from cumulet.core.errors import Fault
from cumulet.core.http import Request, Response
from cumulet.wire import eventstream, xml
from cumulet.wire.dialects import Dialect
from cumulet.wire.forms import decode_form, parse_form
from cumulet.wire.models import OperationModel, Shape
from cumulet.wire.rest import RequestBindings, ResponseBindings
from cumulet.wire.trees import TreeCodec
from cumulet.wire.values import SerializationFault

_EVENT_STREAM_TYPE = "application/vnd.amazon.eventstream"


class OperationProtocol(Protocol):
    """One operation in one protocol."""

    def decode(self, request: Request) -> dict[str, Any]: ...

    def encode(self, result: dict[str, Any], request_id: str) -> Response: ...


class JsonOperation:
    """json 1.0 and 1.1: everything in the body."""

    def __init__(self, operation: OperationModel, codec: TreeCodec, content_type: str, dialect: Dialect) -> None:
        self._dialect = dialect
        self._decode = codec.decoder(operation.input_shape) if operation.input_shape is not None else None
        self._output = operation.output_shape
        self._encode = codec.encoder(operation.output_shape) if operation.output_shape is not None else None
        self._codec = codec
        self._headers = [("Content-Type", content_type)]
        self._stream = _event_stream_member(operation.output_shape)

    def decode(self, request: Request) -> dict[str, Any]:
        if self._decode is None:
            return {}
        decoded: dict[str, Any] = self._decode(load_json(request.body) if request.body else {}, "")
        return decoded

    def encode(self, result: dict[str, Any], request_id: str) -> Response:
        if self._stream and self._output is not None:
            body = _initial_then_events(self._output, self._codec, self._stream, result)
            return Response(200, [("Content-Type", _EVENT_STREAM_TYPE), ("x-amzn-RequestId", request_id)], body)
        body_bytes = orjson.dumps(self._encode(result)) if self._encode is not None else b"{}"
        headers = [*self._headers, ("x-amzn-RequestId", request_id), *self._dialect.headers_of(body_bytes)]
        return Response(200, headers, body_bytes)


class CborOperation:
    """smithy-rpc-v2-cbor: everything in the body, in CBOR."""

    def __init__(self, operation: OperationModel, codec: TreeCodec) -> None:
        self._decode = codec.decoder(operation.input_shape) if operation.input_shape is not None else None
        self._encode = codec.encoder(operation.output_shape) if operation.output_shape is not None else None

    def decode(self, request: Request) -> dict[str, Any]:
        if self._decode is None or not request.body:
            return {}
        try:
            tree = cbor2.loads(request.body)
        except Exception as error:  # the library raises many kinds for what is not CBOR
            raise SerializationFault(f"the body is not CBOR: {error}") from None
        decoded: dict[str, Any] = self._decode(tree, "")
        return decoded

    def encode(self, result: dict[str, Any], request_id: str) -> Response:
        headers = [("Content-Type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor"), ("x-amzn-RequestId", request_id)]
        return Response(200, headers, dump_cbor(self._encode(result) if self._encode is not None else {}))


class QueryOperation:
    """query: a form in, XML out."""

    def __init__(self, operation: OperationModel) -> None:
        self._operation = operation
        output = operation.output_shape
        self._wrapper = output.serialization.get("resultWrapper") if output is not None else None
        self._namespace = operation.metadata.get(
            "xmlNamespace", f"https://{operation.metadata['endpointPrefix']}.amazonaws.com/doc/"
        )

    def decode(self, request: Request) -> dict[str, Any]:
        if self._operation.input_shape is None:
            return {}
        decoded: dict[str, Any] = decode_form(self._operation.input_shape, parse_form(form_of(request)))
        return decoded

    def encode(self, result: dict[str, Any], request_id: str) -> Response:
        output, name = self._operation.output_shape, self._operation.name
        content = xml.encode_members(output, result) if output is not None else ""
        if self._wrapper:
            content = f"<{self._wrapper}>{content}</{self._wrapper}>"
        metadata = f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
        text = f'{xml.HEAD}<{name}Response xmlns="{self._namespace}">{content}{metadata}</{name}Response>'
        return Response(200, [("Content-Type", "text/xml"), ("x-amzn-RequestId", request_id)], text.encode())


class RestOperation:
    """rest-json and rest-xml: spread over path, query, headers and body."""

    def __init__(self, operation: OperationModel, codec: TreeCodec | None) -> None:
        self._codec = codec
        self._input, self._output = operation.input_shape, operation.output_shape
        self._request = RequestBindings(operation, self._input)
        self._response = ResponseBindings(self._output)
        self._status = int(operation.http.get("responseCode", 200))
        self._stream = _event_stream_member(self._output)
        self._id_header = "x-amzn-RequestId" if codec is not None else "x-amz-request-id"
        self._body_decoder = (
            codec.members(self._input, self._request.body_members) if codec is not None and self._input is not None else None
        )

    def decode(self, request: Request) -> dict[str, Any]:
        if self._input is None:
            return {}
        result = self._request.decode(request)
        payload = self._request.payload
        if payload is not None:
            self._decode_payload(payload, request.body, result)
        elif self._request.body_members and request.body:
            result.update(self._decode_body(request.body))
        return result

    def _decode_payload(self, name: str, body: bytes, result: dict[str, Any]) -> None:
        assert self._input is not None
        shape = self._input.members[name]
        if shape.type_name == "blob":
            result[name] = body
        elif shape.type_name == "string":
            result[name] = body.decode("utf-8", "replace")
        elif body:
            if self._codec is not None:
                result[name] = self._codec.decoder(shape)(load_json(body), name)
            else:
                result[name] = xml.decode_xml(shape, xml.parse_xml(body), name)

    def _decode_body(self, body: bytes) -> dict[str, Any]:
        if self._body_decoder is not None:
            decoded: dict[str, Any] = self._body_decoder(load_json(body), "")
            return decoded
        assert self._input is not None
        return xml.decode_members(self._input, xml.parse_xml(body), self._request.body_members)

    def encode(self, result: dict[str, Any], request_id: str) -> Response:
        status, headers = self._response.encode(result)
        headers.append((self._id_header, request_id))
        if self._stream and self._codec is not None and self._output is not None:
            events = eventstream.encode_events(self._output.members[self._stream], self._codec, result[self._stream])
            return Response(status or self._status, [*headers, ("Content-Type", _EVENT_STREAM_TYPE)], events)
        content_type, body = self._encode_body(result)
        if content_type and not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(("Content-Type", content_type))
        return Response(status or self._status, headers, body)

    def _encode_body(self, result: dict[str, Any]) -> tuple[str, bytes | AsyncIterator[bytes]]:
        if self._output is None:
            return "", b""
        payload = self._response.payload
        if payload is None:
            if self._status == 204:
                return "", b""
            if self._codec is not None:
                names = set(self._response.body_members)
                tree = self._codec.encoder(self._output)({key: value for key, value in result.items() if key in names})
                return "application/json", orjson.dumps(tree)
            content = xml.encode_members(self._output, result, self._response.body_members)
            return (
                ("application/xml", f"{xml.HEAD}<{self._output.name}>{content}</{self._output.name}>".encode())
                if content
                else ("", b"")
            )
        value, shape = result.get(payload), self._output.members[payload]
        if value is None:
            return "", b""
        if shape.type_name == "blob":
            return "application/octet-stream", value.encode() if isinstance(value, str) else value
        if shape.type_name == "string":
            return "text/plain", value.encode()
        if self._codec is not None:
            return "application/json", orjson.dumps(self._codec.encoder(shape)(value))
        return "application/xml", (xml.HEAD + xml.encode_xml(shape, value, shape.serialization.get("name", payload))).encode()


def load_json(body: bytes) -> Any:
    """Raises SerializationFault for what is not JSON, or nested too deeply."""
    try:
        return orjson.loads(body)
    except (ValueError, RecursionError) as error:
        raise SerializationFault(f"the body is not JSON: {error}") from None


def dump_cbor(tree: Any) -> bytes:
    return cbor2.dumps(tree, datetime_as_timestamp=True)


def form_of(request: Request) -> str:
    """A query-protocol request's pairs, wherever they stand."""
    if not request.body:
        return request.query
    try:
        body = request.body.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise SerializationFault("the form is not UTF-8") from None
    return f"{request.query}&{body}" if request.query else body


def _event_stream_member(shape: Shape | None) -> str | None:
    for name, member in shape.members.items() if shape is not None else ():
        if member.serialization.get("eventstream"):
            return str(name)
    return None


async def _initial_then_events(shape: Shape, codec: TreeCodec, stream: str, result: dict[str, Any]) -> AsyncIterator[bytes]:
    """The RPC protocols put the other members of the answer in a first message."""
    headers = {":message-type": "event", ":event-type": "initial-response", ":content-type": "application/json"}
    others = {name: value for name, value in result.items() if name != stream}
    yield eventstream.encode_message(headers, orjson.dumps(codec.encoder(shape)(others)))
    async for message in eventstream.encode_events(shape.members[stream], codec, result[stream]):
        yield message


def error_fields(shape: Shape | None, fault: Fault) -> dict[str, Any]:
    """The members of an error's body: its message under the name that the model gives it, and its own fields."""
    name = "message"
    if shape is not None:
        name = next((member for member in shape.members if member.lower() == "message"), "message")
    return {name: fault.message, **fault.fields}
