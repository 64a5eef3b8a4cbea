"""Bodies in AWS's chunks through the node's door: read after their chunks hold, refused when one does not."""

import hashlib
import hmac
import io
import json

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.httpchecksum import AwsChunkedWrapper, Sha256Checksum
from botocore.httpsession import URLLib3Session

SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
UNSIGNED = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def send(node, kind, data, chunks_of, **more):
    """Sign the head of a CreateLogGroup, then let `chunks_of(signature, date)` write its body."""
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "Content-Encoding": "aws-chunked",
        "X-Amz-Target": "Logs_20140328.CreateLogGroup",
        "X-Amz-Content-SHA256": kind,
        "X-Amz-Decoded-Content-Length": str(len(data)),
    }
    request = AWSRequest("POST", node.url + "/", headers | more, b"")
    secret = node.environment["AWS_SECRET_ACCESS_KEY"]
    SigV4Auth(Credentials(node.environment["AWS_ACCESS_KEY_ID"], secret), "logs", "us-east-1").add_auth(request)
    request.data = chunks_of(request.headers["Authorization"].rpartition("Signature=")[2], request.headers["X-Amz-Date"])
    response = URLLib3Session().send(request.prepare())
    return response.status_code, json.loads(response.content or b"{}").get("__type", "")


def signed_chunks(node, data, size=7):
    def write(before, date):
        scope, key = f"{date[:8]}/us-east-1/logs/aws4_request", b"AWS4" + node.environment["AWS_SECRET_ACCESS_KEY"].encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        out = b""
        for at in [*range(0, len(data), size), len(data)]:
            piece = data[at : at + size]
            sums = [hashlib.sha256(each).hexdigest() for each in (b"", piece)]
            text = "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", date, scope, before, *sums])
            before = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
            out += b"%x;chunk-signature=%s\r\n%s\r\n" % (len(piece), before.encode(), piece)
        return out

    return write


def groups(node, name):
    return [group["logGroupName"] for group in node.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]]


def test_signed_chunks_are_the_body_and_a_changed_one_is_refused(node, name):
    data = json.dumps({"logGroupName": name}).encode()
    write = signed_chunks(node, data)

    def tampered(before, date):
        return write(before, date).replace(name[-4:-2].encode(), b"__", 1)

    status, code = send(node, SIGNED, data, tampered)
    assert (status, code.rpartition("#")[2]) == (403, "SignatureDoesNotMatch")
    assert groups(node, name) == []
    assert send(node, SIGNED, data, write)[0] == 200
    assert groups(node, name) == [name]


@pytest.mark.parametrize("is_right", [True, False])
def test_a_trailing_checksum_is_verified(node, name, is_right):
    data = json.dumps({"logGroupName": name}).encode()

    def wrapped(_signature, _date):
        header = "x-amz-checksum-sha256"
        body = AwsChunkedWrapper(io.BytesIO(data), checksum_cls=Sha256Checksum, checksum_name=header, chunk_size=10).read()
        return body if is_right else body.replace(name[-2:].encode(), b"__", 1)

    status, code = send(node, UNSIGNED, data, wrapped, **{"X-Amz-Trailer": "x-amz-checksum-sha256"})
    assert (status, code.rpartition("#")[2]) == ((200, "") if is_right else (400, "BadDigest"))
    assert groups(node, name) == ([name] if is_right else [])


def test_a_kind_of_streaming_that_is_not_known_is_said(node):
    status, code = send(node, "STREAMING-AWS4-HMAC-SHA256-EVENTS", b"", lambda *_: b"")
    assert (status, code.rpartition("#")[2]) == (501, "NotImplemented")
