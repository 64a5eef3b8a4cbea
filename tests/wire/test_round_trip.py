"""Every operation of every service: what botocore writes we read, and what we write botocore reads, to the same values."""

import base64
import random
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from botocore.awsrequest import HeadersDict
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from botocore.session import get_session

from cumulet.core.errors import Fault
from cumulet.core.http import Request
from cumulet.wire.dialects import dialect_of
from cumulet.wire.service import load_service

SERVICES = (
    "lambda",
    "iam",
    "sts",
    "logs",
    "dynamodb",
    "dynamodbstreams",
    "sqs",
    "sns",
    "s3",
    "events",
    "apigateway",
    "apigatewayv2",
    "cloudformation",
)
LETTERS = "abcXYZ019-_ äß€/+=&?%\"'<>"


def example(shape, chance, depth=0, location=None):
    """A random value of a shape. Values in paths and headers keep to what those can carry."""
    kind = shape.type_name
    if kind == "structure":
        if getattr(shape, "is_document_type", False):
            return {"any": [1, "thing"]}
        names = [name for name in shape.members if name in shape.required_members or (depth < 4 and chance.random() < 0.6)]
        if getattr(shape, "is_tagged_union", False):
            names = [chance.choice(list(shape.members))] if depth < 6 else []
        return {
            name: example(shape.members[name], chance, depth + 1, shape.members[name].serialization.get("location"))
            for name in names
            if not shape.members[name].serialization.get("eventstream")
        }
    if kind == "list":
        return [example(shape.member, chance, depth + 1, location) for _ in range(1 if depth > 3 else chance.randint(1, 2))]
    if kind == "map":
        return {
            example(shape.key, chance, depth + 1, "header"): example(shape.value, chance, depth + 1, location) for _ in range(2)
        }
    if kind == "timestamp":
        return datetime.fromtimestamp(chance.randint(10**9, 2 * 10**9), UTC)
    if kind == "blob":
        # Unstreamed payloads are decoded as text by botocore's parser.
        return bytes(chance.choices(b"abc\x00\x7f" if location is None else b"abc", k=chance.randint(1, 9)))
    if kind in ("integer", "long"):
        return chance.randint(1, 99)
    if kind in ("float", "double"):
        return chance.randint(1, 99) / 4
    if kind == "boolean":
        return chance.random() < 0.5
    if enum := shape.metadata.get("enum"):
        return chance.choice(enum)
    letters = "abcxyz019" if location in ("header", "headers", "uri", "querystring") else LETTERS
    return "".join(chance.choice(letters) for _ in range(chance.randint(1, 12)))


def request_of(serialized):
    url = urlsplit(serialized["url_path"])
    query = serialized.get("query_string") or ""
    if isinstance(query, dict):
        from botocore.compat import urlencode

        pairs = [(key, each) for key, value in query.items() for each in (value if isinstance(value, (list, tuple)) else [value])]
        query = urlencode(pairs)
    query = "&".join(part for part in (url.query, query) if part)
    body = serialized["body"]
    if isinstance(body, dict):
        from botocore.compat import urlencode

        body = urlencode(body).encode()
    headers = [(key.lower(), value) for key, value in serialized["headers"].items()]
    return Request(serialized["method"], url.path, query, headers, body.encode() if isinstance(body, str) else bytes(body or b""))


def protocols_of(model):
    return [name for name in model.metadata.get("protocols", [model.metadata["protocol"]]) if name != "ec2"]


def with_plain_json(shape, value, opaque, is_inside=False):
    """A value as services see it: in shapes that pass as plain JSON, binary is base64 text."""
    is_inside = is_inside or shape.name in opaque
    if shape.type_name == "structure":
        return {name: with_plain_json(shape.members[name], item, opaque, is_inside) for name, item in value.items()}
    if shape.type_name == "list":
        return [with_plain_json(shape.member, item, opaque, is_inside) for item in value]
    if shape.type_name == "map":
        return {key: with_plain_json(shape.value, item, opaque, is_inside) for key, item in value.items()}
    return base64.b64encode(value).decode() if is_inside and shape.type_name == "blob" else value


def without_empty(value):
    """A value as it is on the wire, where empty lists, maps and structures of the query and XML protocols do not show."""
    if isinstance(value, dict):
        return {key: kept for key, item in value.items() if (kept := without_empty(item)) not in ({}, [], b"")}
    if isinstance(value, list):
        return [kept for item in value if (kept := without_empty(item)) != {}]
    return value.encode() if isinstance(value, str) else value


# Several operations of S3 share a method and a path and are told apart by a required member in the query: its own service's affair.
@pytest.mark.parametrize("service", [service for service in SERVICES if service != "s3"])
def test_we_read_what_botocore_writes(service):
    model = get_session().get_service_model(service)
    wire = load_service(service)
    for protocol in protocols_of(model):
        serializer = create_serializer(protocol, include_validation=False)
        for name in model.operation_names:
            operation = model.operation_model(name)
            chance = random.Random(f"{service}.{name}")
            for _ in range(3):
                shape = operation.input_shape
                given = example(shape, chance) if shape is not None else {}
                request = request_of(serializer.serialize_to_request(given, operation))
                assert wire.match(request).name == name, (protocol, name, request.path)
                seen = wire.operation(name, protocol)._implementation.decode(request)
                expected = with_plain_json(shape, given, dialect_of(service).opaque) if shape is not None else {}
                assert without_empty(seen) == without_empty(expected), (protocol, name)


@pytest.mark.parametrize("service", SERVICES)
def test_botocore_reads_what_we_write(service):
    model = get_session().get_service_model(service)
    wire = load_service(service)
    for protocol in protocols_of(model):
        parser = create_parser(protocol)
        for name in model.operation_names:
            operation = model.operation_model(name)
            if operation.has_event_stream_output or operation.deprecated:
                continue
            chance = random.Random(f"{service}.{name}")
            for _ in range(3):
                given = example(operation.output_shape, chance) if operation.output_shape is not None else {}
                answer = with_plain_json(operation.output_shape, given, dialect_of(service).opaque) if given else {}
                response = wire.operation(name, protocol).encode(answer, "the-id")
                raw = {"status_code": response.status, "headers": HeadersDict(response.headers), "body": response.body}
                parsed = parser.parse(raw, operation.output_shape)
                metadata = parsed.pop("ResponseMetadata")
                assert "the-id" in (metadata.get("RequestId"), metadata["HTTPHeaders"].get("x-amz-request-id"))
                status_member = next(
                    (
                        n
                        for n, m in (operation.output_shape.members.items() if operation.output_shape else ())
                        if m.serialization.get("location") == "statusCode"
                    ),
                    None,
                )
                parsed = {key: value for key, value in parsed.items() if key != status_member}
                expected = {key: value for key, value in given.items() if key != status_member}
                parsed = {key: value for key, value in parsed.items() if key in expected or key.lower() != "contenttype"}
                assert without_empty(parsed) == without_empty(expected), (protocol, name)


@pytest.mark.parametrize("service", SERVICES)
def test_botocore_reads_our_errors(service):
    model = get_session().get_service_model(service)
    wire = load_service(service)
    for protocol in protocols_of(model):
        parser = create_parser(protocol)
        operation = model.operation_model(next(iter(model.operation_names)))
        for shape in model.error_shapes:
            fault_class = type("Some", (Fault,), {"code": shape.name, "status": 400})
            response = wire.render(fault_class("what <is> wrong & why"), protocol, "the-id")
            raw = {"status_code": response.status, "headers": HeadersDict(response.headers), "body": response.body}
            error = parser.parse(raw, operation.output_shape)["Error"]
            assert error["Code"] in (shape.name, shape.metadata.get("error", {}).get("code")), (protocol, shape.name)
            assert error["Message"] == "what <is> wrong & why", (protocol, shape.name)
