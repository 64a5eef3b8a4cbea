"""Signatures against botocore's own signer."""

import time
from calendar import timegm
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from cumulet.auth import faults
from cumulet.auth.credentials import Credential
from cumulet.auth.signing import signed_headers
from cumulet.auth.sigv4 import verify
from cumulet.core.context import Principal
from cumulet.core.http import Request

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def find(access_key_id, token):
    if access_key_id != "AKIDEXAMPLE":
        return None
    return Credential(access_key_id, SECRET, Principal("0", "arn", "id", access_key_id), 1 if token == "expired" else None)


def signed(
    url="http://127.0.0.1:4566/", method="POST", body=b"", headers=None, service="lambda", signer=SigV4Auth, token=None, **more
):
    request = AWSRequest(method, url, dict(headers or {}), body)
    request.headers["Host"] = urlsplit(url).netloc
    signer(Credentials("AKIDEXAMPLE", SECRET, token), service, "eu-north-1", **more).add_auth(request)
    prepared = request.prepare()
    parts = urlsplit(prepared.url)
    pairs = [(name.lower(), value.decode() if isinstance(value, bytes) else value) for name, value in prepared.headers.items()]
    return Request(prepared.method, parts.path or "/", parts.query, pairs, body)


def now_ms():
    return int(time.time() * 1000)


@pytest.mark.parametrize("path", ["/", "/a/b/", "/with%20space", "/a%2Fb", "/arn%3Aaws%3Alambda"])
@pytest.mark.parametrize("query", ["", "b=2&a=1&a=0", "x=%20%2B%2F&y="])
@pytest.mark.parametrize("token", [None, "session"])
@pytest.mark.parametrize(("service", "signer"), [("lambda", SigV4Auth), ("s3", S3SigV4Auth)])
def test_the_node_signs_as_botocore_does(path, query, token, service, signer):
    url = f"http://127.0.0.1:4566{path}{'?' + query if query else ''}"
    theirs = signed(url, body=b"{}", headers={"X-Custom": " a  b ", "Expect": "x"}, service=service, signer=signer, token=token)
    unsigned = Request(
        theirs.method,
        theirs.path,
        theirs.query,
        [("x-custom", " a  b "), ("expect", "x"), ("host", "127.0.0.1:4566"), ("authorization", "an older one")],
        theirs.body,
    )
    moment = timegm(time.strptime(theirs.header("x-amz-date"), "%Y%m%dT%H%M%SZ"))
    ours = signed_headers(unsigned, service, "eu-north-1", ("AKIDEXAMPLE", SECRET, token or ""), moment * 1000)
    assert [value for name, value in ours if name == "authorization"] == [theirs.header("authorization")]


def changed(request, **headers):
    return Request(
        request.method,
        request.path,
        request.query,
        [(name, headers.get(name.replace("-", "_"), value)) for name, value in request.headers],
        request.body,
    )


@pytest.mark.parametrize("path", ["/", "/a/b/", "/with%20space", "/a%2Fb", "/%C3%A4/~-._", "/arn%3Aaws%3Alambda", "/a//b"])
@pytest.mark.parametrize("query", ["", "b=2&a=1&a=0", "x=%20%2B%2F&y", "%C3%A4=%E2%82%AC&A=1&a=2"])
@pytest.mark.parametrize(
    ("service", "signer"), [("lambda", SigV4Auth), ("lambda", SigV4QueryAuth), ("s3", S3SigV4Auth), ("s3", S3SigV4QueryAuth)]
)
def test_what_botocore_signs_holds(path, query, service, signer):
    if path == "/a//b" and service == "lambda":
        pytest.skip("botocore itself does not send such a path to services that normalise it")
    request = signed(
        "http://127.0.0.1:4566" + path + ("?" + query if query else ""),
        body=b"" if "Query" in signer.__name__ else b"{}",
        service=service,
        signer=signer,
    )
    signature = verify(request, find, now_ms())
    assert (signature.region, signature.service) == ("eu-north-1", service)


@given(
    st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=8),
    st.dictionaries(st.text("abcäß€ +/&=%~*", min_size=1, max_size=5), st.text("xyzäß€ +/&=%~*", max_size=5), max_size=3),
    st.binary(max_size=20),
)
def test_odd_paths_queries_and_bodies_hold(segment, query, body):
    from urllib.parse import quote, urlencode

    url = "http://127.0.0.1:1/p/" + quote(segment, safe="~") + ("?" + urlencode(query, quote_via=quote, safe="~") if query else "")
    if segment in (".", ".."):
        return
    verify(signed(url, body=body, headers={"X-Amz-Thing": "  many   spaces ", "Content-Type": "text/plain"}), find, now_ms())


def test_every_kind_of_wrong_has_its_fault():
    good = signed(body=b"{}", headers={"X-Amz-Thing": "1"})
    now = now_ms()
    verify(good, find, now)
    with pytest.raises(faults.InvalidSignature):
        verify(changed(good, x_amz_thing="2"), find, now)
    with pytest.raises(faults.InvalidSignature):
        verify(Request("POST", "/other", "", good.headers, good.body), find, now)
    with pytest.raises(faults.InvalidSignature):
        verify(Request("POST", "/", "", good.headers, b"other"), find, now)
    with pytest.raises(faults.InvalidSignature):
        verify(Request("POST", "/", "", [h for h in good.headers if h[0] != "x-amz-thing"], good.body), find, now)
    with pytest.raises(faults.InvalidSignature, match="expired"):
        verify(good, find, now + 6 * 60 * 1000)
    with pytest.raises(faults.InvalidSignature, match="not yet current"):
        verify(good, find, now - 6 * 60 * 1000)
    with pytest.raises(faults.UnknownKey):
        verify(good, lambda key, token: None, now)
    with pytest.raises(faults.MissingAuthentication):
        verify(Request("POST", "/", "", []), find, now)
    with pytest.raises(faults.IncompleteSignature):
        verify(Request("POST", "/", "", [*good.headers, good.headers[-1]]), find, now) if good.headers[-1][
            0
        ] == "authorization" else verify(changed(good, authorization="AWS4-HMAC-SHA256 Credential=x"), find, now)
    for bad in ("", "AWS4-HMAC-SHA256", "Bearer abc", "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=00"):
        with pytest.raises(faults.IncompleteSignature):
            verify(changed(good, authorization=bad), find, now)
    with pytest.raises(faults.ExpiredToken):
        verify(signed(token="expired"), find, now)


def test_presigned_urls_expire():
    request = signed(method="GET", signer=SigV4QueryAuth, expires=60)
    verify(request, find, now_ms() + 55_000)
    with pytest.raises(faults.ExpiredToken):
        verify(request, find, now_ms() + 70_000)
