"""Whatever clients, functions, issuers and documents say: an answer or a refusal, never a bug."""

import contextlib
import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cumulet.core.errors import NotImplementedFault
from cumulet.core.http import Request
from cumulet.core.place import Place
from cumulet.gateway.access_log import LogFormat
from cumulet.gateway.function_urls import InvalidFunctionResponse
from cumulet.gateway.http_api.call import Call, decoded
from cumulet.gateway.http_api.compiled import CompiledApi
from cumulet.gateway.http_api.events import authorizer_event_of, event_of, response_of
from cumulet.gateway.http_api.mappings import Mappings
from cumulet.gateway.http_api.reading import request_reader
from cumulet.gateway.http_api.tokens import TokenError, check_claims, key_id_of, keys_of, scopes_of, shown_claims
from cumulet.services.http_apis.errors import BadRequest
from cumulet.services.http_apis.live import LiveApi, LiveStage, Snapshot
from cumulet.services.http_apis.openapi_import import read_openapi

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def members(*optional, **required):
    """Objects with these members; those that are only named may be missing and are any JSON."""
    return st.fixed_dictionaries(required, optional=dict.fromkeys(optional, JSON))


def maybe(**optional):
    return st.fixed_dictionaries({}, optional=optional)


STAGE = {"StageName": "$default", "AutoDeploy": True, "StageVariables": {"v": "1"}, "DefaultRouteSettings": {}, "RouteSettings": {}}
ROUTES = [{"RouteKey": key, "RouteId": key} for key in ("$default", "GET /{a}/{b+}", "ANY /x")]
API = LiveApi(Place("000000000000", "us-east-1"), {"ApiId": "abc"}, {"$default": LiveStage(STAGE, Snapshot(ROUTES))})
TARGET = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#?"), max_size=20).map(
    lambda text: "/" + text
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["host", "cookie", "content-type", "x-a", "x-forwarded-for", "x-amzn-trace-id", "via", "te"]),
        st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=20),
    ),
    max_size=6,
)


def call_of(method, path, query, headers, body):
    stage = CompiledApi(API).find_stage("$default")
    route, variables = stage.routes.match(path, method)
    request = Request(method, path, query, headers, body, names=[name.encode() for name, _ in headers])
    return Call(request, "id-1", "h:80", 0, stage, route, decoded(path), decoded(path), variables)


def _without_repeats(pairs):
    found = dict(pairs)
    assert len(found) == len(pairs)
    return found


@given(st.sampled_from(["GET", "POST", "X"]), TARGET, TARGET, HEADERS, st.binary(max_size=20), st.sampled_from(["1.0", "2.0"]))
def test_events_are_json(method, path, query, headers, body, version):
    call = call_of(method, path, query[1:], headers, body)
    for text in (event_of(call, version), orjson.dumps(authorizer_event_of(call, version, ["a"]))):
        event = json.loads(text, object_pairs_hook=_without_repeats)
        told = {name.lower(): value for name, value in event["headers"].items()}
        assert told["x-amzn-trace-id"] == (call.request.header("x-amzn-trace-id") or "Root=1-00000000-id1")
        assert told["x-forwarded-proto"] == "http" and "te" not in told and event["rawPath" if version == "2.0" else "path"]


ANSWER = members("headers", "multiValueHeaders", "body", "isBase64Encoded", "cookies", statusCode=JSON)


@given(JSON | ANSWER, st.sampled_from(["1.0", "2.0"]))
def test_answers_of_functions_are_responses_or_refused(answer, version):
    try:
        response = response_of(json.dumps(answer).encode(), version)
    except InvalidFunctionResponse:
        return
    assert 200 <= response.status <= 599 and isinstance(response.body, bytes)
    assert all(isinstance(name, str) and isinstance(value, str) for name, value in response.headers)


@given(st.text(max_size=60), st.sampled_from(["", "{"]), HEADERS)
def test_log_lines_are_one_line(text, start, headers):
    call = call_of("GET", "/x", "", headers, b"")
    given_format = (
        start + text.replace("\n", "").replace("\r", "") + " $context.identity.userAgent $context.path.$context.requestId"
    )
    line = LogFormat("arn:aws:logs:us-east-1:000000000000:log-group:g", given_format).line(call.context)
    assert "\n" not in line and "\r" not in line and "id-1" in line


@given(
    st.text(max_size=40) | st.from_regex(r"\A\$\{?(request|context|stageVariables)\.[a-z.\[\]*$@]{0,12}\}?\Z"),
    st.binary(max_size=30),
)
def test_mappings_say_text_or_nothing(text, body):
    call = call_of("POST", "/x", "a=1", [("x-a", "1")], body)
    assert all(isinstance(value, str) for value in Mappings({"a": text}).parameters(request_reader(call)).values())


KEY = members("kid", "n", "e", "crv", "x", "y", "k", "alg", "use", kty=st.sampled_from(["RSA", "EC", "oct", 1]))


@given(JSON | members(keys=st.lists(JSON | KEY, max_size=3)))
def test_key_sets(document):
    assert isinstance(keys_of(document), dict)


@given(st.dictionaries(st.sampled_from(["exp", "nbf", "iat", "iss", "aud", "client_id", "scope", "scp"]), JSON))
def test_claims(claims):
    assert all(isinstance(value, str) for value in shown_claims(claims).values())
    assert scopes_of(claims) is None or all(isinstance(scope, str) for scope in scopes_of(claims))
    with pytest.raises(TokenError):
        check_claims(claims, issuer="https://nobody.example", audience=frozenset({"a"}), now_s=0)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda data: data.decode("latin-1")))
def test_tokens(token):
    with contextlib.suppress(TokenError):
        assert isinstance(key_id_of(token), str)


INTEGRATION = members(
    "uri", "httpMethod", "timeoutInMillis", "requestParameters", "responseParameters", "payloadFormatVersion", "integrationSubtype",
    "credentials", "tlsConfig", "connectionType", type=st.sampled_from(["aws_proxy", "http_proxy", "HTTP", 1]),
)  # fmt: skip
AUTHORIZER = members(
    "identitySource", "jwtConfiguration", "authorizerUri", "authorizerPayloadFormatVersion", "authorizerResultTtlInSeconds",
    type=st.sampled_from(["jwt", "request"]),
)  # fmt: skip
OPERATION = maybe(
    security=JSON | st.just([{"s": []}]), operationId=JSON, **{
        "x-amazon-apigateway-auth": JSON, "x-amazon-apigateway-integration": JSON | INTEGRATION,
    },
)  # fmt: skip
ITEM = st.dictionaries(
    st.sampled_from(["get", "post", "x-amazon-apigateway-any-method", "parameters"]), JSON | OPERATION, max_size=2
)
PATHS = st.dictionaries(st.sampled_from(["/a", "/{b}", "/$default", "x-c"]), JSON | ITEM, max_size=2)
SCHEME = members(**{"x-amazon-apigateway-authorizer": JSON | AUTHORIZER})
DOCUMENT = maybe(
    info=JSON, servers=JSON, tags=JSON, security=JSON, paths=JSON | PATHS,
    components=JSON | members(securitySchemes=members(s=JSON | SCHEME)),
    **{"x-amazon-apigateway-cors": JSON | maybe(allowOrigins=JSON, allowMethods=JSON, maxAge=JSON, allowCredentials=JSON)},
)  # fmt: skip


@settings(max_examples=300)
@given(DOCUMENT, st.sampled_from(["ignore", "prepend", "split"]))
def test_documents_are_read_or_refused(document, basepath):
    with contextlib.suppress(BadRequest, NotImplementedFault):
        read_openapi(json.dumps({"openapi": "3.0.1", **document}), basepath)
