"""Which door a request is for."""

import pytest

from cumulet.core.http import Request
from cumulet.gateway.routing import find_function_url, find_service

SCOPE = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-west-1/logs/aws4_request, SignedHeaders=host, Signature=00"


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        ("abc123.lambda-url.us-east-1.localhost:4566", "/a/b", ("abc123", "/a/b")),
        ("abc123.lambda-url.us-east-1.on.aws", "/", ("abc123", "/")),
        ("localhost:4566", "/_aws/lambda-url/abc123/a/b", ("abc123", "/a/b")),
        ("localhost:4566", "/_aws/lambda-url/abc123", ("abc123", "/")),
        ("localhost:4566", "/a", None),
        ("evil.lambda-url.", "/a", None),
    ],
)
def test_function_urls_by_host_and_by_path(host, path, expected):
    assert find_function_url(Request("GET", path, "", []), host) == expected


@pytest.mark.parametrize(
    ("request_", "host", "service"),
    [
        (Request("POST", "/", "", [("authorization", SCOPE), ("x-amz-target", "Other.X")]), "lambda.localhost", "logs"),
        (Request("GET", "/", "X-Amz-Credential=AKIA%2F20260101%2Fus-east-1%2Fsts%2Faws4_request&b=c", []), "x", "sts"),
        (Request("POST", "/", "", [("x-amz-target", "Logs_20140328.PutLogEvents")]), "127.0.0.1:1", "logs"),
        (Request("GET", "/", "", []), "lambda.us-east-1.amazonaws.com", "lambda"),
        (Request("GET", "/", "", []), "iam.amazonaws.com", "iam"),
        (
            Request(
                "POST",
                "/",
                "",
                [("content-type", "application/x-www-form-urlencoded; charset=utf-8")],
                b"Action=GetCallerIdentity&Version=2011-06-15",
            ),
            "127.0.0.1:1",
            "sts",
        ),
        (Request("GET", "/", "Action=ListUsers&Version=2010-05-08", []), "127.0.0.1:1", "iam"),
        (Request("GET", "/2015-03-31/functions", "", []), "127.0.0.1:1", "lambda"),
        (Request("GET", "/", "", []), "127.0.0.1:1", None),
        (Request("GET", "/", "", [("authorization", "Basic abc")]), "127.0.0.1:1", None),
    ],
)
def test_services_by_scope_target_host_action_and_path(request_, host, service):
    assert find_service(request_, host) == service
