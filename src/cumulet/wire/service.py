"""A service on the wire: finds the operation that a request means, reads it, and writes its answer or its error.

Everything is compiled from the model when it is first needed, once per operation and protocol.
"""

import functools
from typing import Any

import orjson

from cumulet.core.errors import Fault
from cumulet.core.http import Request, Response
from cumulet.wire import protocols, xml
from cumulet.wire.constraints import BadRequestFault, Constraints, ValidationFault
from cumulet.wire.dialects import dialect_of
from cumulet.wire.forms import parse_form
from cumulet.wire.models import OperationModel, ServiceModel, Shape, load_model
from cumulet.wire.rest import Routes, compile_route
from cumulet.wire.trees import TreeCodec
from cumulet.wire.xml import escape


class UnknownOperation(Fault):
    """The model of the service has no such operation."""

    code = "UnknownOperationException"
    status = 404


class InvalidAction(Fault):
    """The same, in the query protocol's words."""

    code = "InvalidAction"
    status = 400


class OperationWire:
    """One operation in the protocol that a request chose."""

    def __init__(self, service: "ServiceWire", model: OperationModel, protocol: str) -> None:
        self.name: str = model.name
        self.protocol = protocol
        self.has_payload_blob = _has_payload_blob(model.input_shape)
        self._service = service
        self._input = model.input_shape
        self._implementation = service._implementation(model, protocol)

    def decode(self, request: Request) -> dict[str, Any]:
        """The input by the model's member names. Raises Faults for what is no such input."""
        decoded = self._implementation.decode(request)
        if self._input is not None:
            self._service.constraints.check(self._input, decoded)
        return decoded

    def encode(self, result: dict[str, Any], request_id: str) -> Response:
        return self._implementation.encode(result, request_id)

    def encode_fault(self, fault: Fault, request_id: str) -> Response:
        return self._service.render(fault, self.protocol, request_id)


class ServiceWire:
    """See the module's text. Made by `load_service`."""

    def __init__(self, model: ServiceModel) -> None:
        self.name: str = model.service_name
        is_bad_request = model.has_shape("BadRequestException") and not model.has_shape("ValidationException")
        self._dialect = dialect_of(self.name)
        self.constraints = Constraints(self._dialect.opaque, BadRequestFault if is_bad_request else ValidationFault)
        self._model = model
        self._protocols: list[str] = list(model.metadata.get("protocols") or [model.metadata["protocol"]])
        self._json = TreeCodec(is_binary=False, opaque=self._dialect.opaque)
        self._cbor = TreeCodec(is_binary=True)
        self._operations: dict[tuple[str, str], OperationWire] = {}
        self._names = frozenset(model.operation_names)
        self._routes: Routes | None = None

    def match(self, request: Request) -> OperationWire:
        """The operation that the request means. Raises UnknownOperation or InvalidAction."""
        protocol = self._protocol_of(request)
        name = self._operation_of(request, protocol)
        known = self._operations.get((name, protocol))
        if known is None:
            known = self._operations[name, protocol] = OperationWire(self, self._model.operation_model(name), protocol)
        return known

    def operation(self, name: str, protocol: str | None = None) -> OperationWire:
        """An operation by its name, in the service's first protocol or another."""
        protocol = protocol or self._model.metadata["protocol"]
        return OperationWire(self, self._model.operation_model(name), protocol)

    def encode_fault(self, request: Request, fault: Fault, request_id: str) -> Response:
        """An error of a request whose operation is not known."""
        return self.render(fault, self._protocol_of(request), request_id)

    def render(self, fault: Fault, protocol: str, request_id: str) -> Response:
        """An error in the protocol's own shape and with its headers."""
        shape = self._error_shape(fault.code)
        trait = shape.metadata.get("error", {}) if shape is not None else {}
        status = trait.get("httpStatusCode", fault.status)
        headers = list(fault.headers.items())
        code = _query_code(trait, fault) if protocol in ("query", "ec2", "rest-xml") or self._is_query_compatible else fault.code
        if protocol in ("query", "ec2", "rest-xml"):
            return _xml_error(self._model, protocol, code, status, fault, request_id, headers)
        headers.append(("x-amzn-RequestId", request_id))
        if self._is_query_compatible:
            headers.append(("x-amzn-query-error", f"{code};{'Sender' if status < 500 else 'Receiver'}"))
        fields = protocols.error_fields(shape, fault)
        if protocol == "rest-json":
            fields = _bound_to_headers(shape, fields, headers)
            headers += [("x-amzn-ErrorType", fault.code), ("Content-Type", "application/json")]
            return Response(status, headers, orjson.dumps(fields))
        fields["__type"] = self._dialect.error_type(fault.code)
        if protocol == "smithy-rpc-v2-cbor":
            headers += [("Content-Type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")]
            return Response(status, headers, protocols.dump_cbor(fields))
        headers.append(("Content-Type", self._json_type))
        body = orjson.dumps(fields)
        return Response(status, headers + self._dialect.headers_of(body), body)

    @property
    def _is_query_compatible(self) -> bool:
        return "awsQueryCompatible" in self._model.metadata

    @property
    def _json_type(self) -> str:
        return f"application/x-amz-json-{self._model.metadata.get('jsonVersion', '1.0')}"

    def _protocol_of(self, request: Request) -> str:
        """The protocol that the request's headers tell, else the model's first."""
        if len(self._protocols) > 1:
            told = "smithy-rpc-v2-cbor" if request.header("smithy-protocol") == "rpc-v2-cbor" else ""
            told = told or ("json" if request.header("x-amz-target") else "")
            told = told or ("query" if "x-www-form-urlencoded" in request.header("content-type") else "")
            if told in self._protocols:
                return told
        return str(self._model.metadata["protocol"])

    def _operation_of(self, request: Request, protocol: str) -> str:
        if protocol == "json":
            name = request.header("x-amz-target").rpartition(".")[2]
        elif protocol == "smithy-rpc-v2-cbor":
            name = request.path.rpartition("/operation/")[2]
        elif protocol in ("query", "ec2"):
            name = str(parse_form(protocols.form_of(request)).get("Action", {}).get("", ""))
            if name not in self._names:
                raise InvalidAction(f"Could not find operation {name} for version {self._model.metadata['apiVersion']}")
        else:
            if self._routes is None:
                models = (self._model.operation_model(name) for name in self._names)
                self._routes = Routes(compile_route(model) for model in models)
            name = self._routes.match(request) or ""
        if name not in self._names:
            raise UnknownOperation(f"{self.name} has no operation {name or f'at {request.method} {request.path}'}")
        return name

    def _implementation(self, model: OperationModel, protocol: str) -> protocols.OperationProtocol:
        match protocol:
            case "json":
                return protocols.JsonOperation(model, self._json, self._json_type, self._dialect)
            case "smithy-rpc-v2-cbor":
                return protocols.CborOperation(model, self._cbor)
            case "query":
                return protocols.QueryOperation(model)
            case "rest-json":
                return protocols.RestOperation(model, self._json)
            case "rest-xml":
                return protocols.RestOperation(model, None)
        raise NotImplementedError(f"the protocol {protocol} of {self.name}")

    def _error_shape(self, code: str) -> Shape | None:
        return self._error_shapes.get(code)

    @functools.cached_property
    def _error_shapes(self) -> dict[str, Shape]:
        """Error shapes by their names and by the codes that the model gives them."""
        found: dict[str, Shape] = {}
        for shape in self._model.error_shapes:
            found[shape.name] = shape
            found.setdefault(shape.metadata.get("error", {}).get("code", shape.name), shape)
        return found


@functools.cache
def load_service(name: str) -> ServiceWire:
    """The wire side of a service, by botocore's name for it."""
    return ServiceWire(load_model(name))


def _query_code(trait: dict[str, Any], fault: Fault) -> str:
    return str(trait.get("code") or fault.query_code or fault.code)


def _bound_to_headers(shape: Shape | None, fields: dict[str, Any], headers: list[tuple[str, str]]) -> dict[str, Any]:
    """The body's fields; those that the model puts into headers go there."""
    body = {}
    for name, value in fields.items():
        member = shape.members.get(name) if shape is not None else None
        if member is not None and member.serialization.get("location") == "header":
            headers.append((member.serialization["name"], str(value)))
        else:
            body[name] = value
    return body


def _xml_error(
    model: ServiceModel, protocol: str, code: str, status: int, fault: Fault, request_id: str, headers: list[tuple[str, str]]
) -> Response:
    kind = "Sender" if status < 500 else "Receiver"
    fields = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in fault.fields.items())
    error = f"<Type>{kind}</Type><Code>{escape(code)}</Code><Message>{escape(fault.message)}</Message>{fields}"
    if protocol == "rest-xml" and model.service_name == "s3":
        inner = f"<Code>{escape(code)}</Code><Message>{escape(fault.message)}</Message>{fields}<RequestId>{request_id}</RequestId>"
        text = f"{xml.HEAD}<Error>{inner}</Error>"
        headers += [("x-amz-request-id", request_id), ("Content-Type", "application/xml")]
        return Response(status, headers, text.encode())
    namespace = model.metadata.get("xmlNamespace", "")
    text = f'{xml.HEAD}<ErrorResponse xmlns="{namespace}"><Error>{error}</Error><RequestId>{request_id}</RequestId></ErrorResponse>'
    headers += [("x-amzn-RequestId", request_id), ("Content-Type", "text/xml")]
    return Response(status, headers, text.encode())


def _has_payload_blob(shape: Shape | None) -> bool:
    payload = shape.serialization.get("payload") if shape is not None else None
    return payload is not None and shape is not None and shape.members[payload].type_name == "blob"
