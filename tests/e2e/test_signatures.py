"""Who may not in, and how they are told: through real clients."""

import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import botocore.auth
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session


def _refused(call, **arguments):
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    response = refused.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"], response["Error"]["Message"]


def test_a_wrong_secret_is_told_in_each_protocols_words(node):
    wrong = {"secret": "not-the-secret"}
    assert _refused(node.client("lambda", **wrong).list_functions)[:2] == (403, "InvalidSignatureException")
    assert _refused(node.client("sts", **wrong).get_caller_identity)[:2] == (403, "SignatureDoesNotMatch")
    assert _refused(node.client("iam", **wrong).list_roles)[:2] == (403, "SignatureDoesNotMatch")
    assert _refused(node.client("logs", **wrong).describe_log_groups)[:2] == (403, "InvalidSignatureException")


def test_an_unknown_key_is_told_in_each_protocols_words(node):
    unknown = {"key": "AKIAUNKNOWNUNKNOWN00"}
    assert _refused(node.client("lambda", **unknown).list_functions)[:2] == (403, "UnrecognizedClientException")
    assert _refused(node.client("sts", **unknown).get_caller_identity)[:2] == (403, "InvalidClientTokenId")
    assert _refused(node.client("logs", **unknown).describe_log_groups)[:2] == (403, "UnrecognizedClientException")


def test_a_made_up_session_token_is_refused(node):
    assert _refused(node.client("sts", token="made-up").get_caller_identity)[:2] == (403, "InvalidClientTokenId")


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_clock_that_is_off_by_more_than_five_minutes_is_refused(node, monkeypatch, minutes):
    def shifted(*_args, **_kwargs):
        return datetime.now(UTC).replace(tzinfo=None) + timedelta(minutes=minutes)

    monkeypatch.setattr(botocore.auth, "get_current_datetime", shifted)
    status, code, message = _refused(node.client("lambda").list_functions)
    assert (status, code) == (403, "InvalidSignatureException")
    assert ("expired" if minutes < 0 else "not yet current") in message


def _send(node, *, service="lambda", method="GET", path="/2015-03-31/functions", body=b"", change=None):
    request = AWSRequest(method, node.url + path, {}, body)
    secret = node.environment["AWS_SECRET_ACCESS_KEY"]
    SigV4Auth(Credentials(node.environment["AWS_ACCESS_KEY_ID"], secret), service, "us-east-1").add_auth(request)
    if change:
        change(request)
    return URLLib3Session().send(request.prepare())


def test_what_was_changed_after_signing_is_refused(node):
    assert _send(node).status_code == 200

    def other_path(request):
        request.url += "?MaxItems=1"

    def other_body(request):
        request.data = b"{}"

    def other_service(request):
        request.headers["Authorization"] = request.headers["Authorization"].replace("/lambda/", "/logs/")

    for change in (other_path, other_body, other_service):
        assert _send(node, change=change).status_code in (400, 403, 404)


def test_a_request_without_a_signature_is_refused(node):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(node.url + "/2015-03-31/functions", timeout=10)
    with refused.value:
        assert refused.value.code == 403
        assert b"Missing Authentication Token" in refused.value.read()
        assert refused.value.headers["x-amzn-RequestId"]


def test_what_the_model_has_and_the_node_has_not_is_501_that_names_it(node):
    status, code, message = _refused(node.client("iam").list_virtual_mfa_devices)
    assert (status, code) == (501, "NotImplemented")
    assert "ListVirtualMFADevices" in message
    answer = _send(node, service="kinesis", method="POST", path="/")
    assert answer.status_code == 501
    assert b"kinesis" in answer.content


def test_what_no_model_has_is_404(node):
    assert _send(node, path="/2015-03-31/nothing-here").status_code == 404


def test_the_nodes_own_pages(node):
    for path in ("/healthz", "/readyz"):
        with urllib.request.urlopen(node.url + path, timeout=10) as answer:
            assert answer.status == 200
    with urllib.request.urlopen(node.url + "/metrics", timeout=10) as answer:
        text = answer.read().decode()
    assert "# TYPE cumulet_invocations_total counter" in text
    assert "cumulet_environments" in text
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(node.url + "/_cumulet/status", timeout=10)
    with refused.value:
        assert refused.value.code == 403
    assert _send(node, service="cumulet", path="/_cumulet/status").status_code == 200
    findings = _send(node, service="cumulet", path="/_cumulet/doctor")
    assert b'"wall"' in findings.content


def test_any_region_works_and_keeps_resources_apart(node, name):
    node.client("logs", region="mars-north-9").create_log_group(logGroupName=name)
    found = [
        [group["logGroupName"] for group in node.client("logs", region=region).describe_log_groups()["logGroups"]]
        for region in ("mars-north-9", "us-east-1")
    ]
    assert name in found[0]
    assert name not in found[1]


def test_a_node_answers_when_it_says_that_it_is_ready(start_node):
    node = start_node()
    with urllib.request.urlopen(node.url + "/readyz", timeout=10) as answer:
        assert answer.status == 200
    assert urlsplit(node.url).hostname == "127.0.0.1"
    assert [line for line in node.lines if line.startswith("ready ")] == [f"ready {node.url}"]
