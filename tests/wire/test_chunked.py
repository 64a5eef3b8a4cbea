"""Chunked bodies: AWS's documented examples, botocore's own wrapper, and everything that must be refused."""

import base64
import hashlib
import hmac
import io

import pytest
from botocore.httpchecksum import AwsChunkedWrapper, Crc32Checksum, Sha1Checksum, Sha256Checksum
from hypothesis import given
from hypothesis import strategies as st

from cumulet.core.errors import Fault, NotImplementedFault
from cumulet.wire import chunked
from cumulet.wire.checksums import ALGORITHMS, checksum
from cumulet.wire.chunked import SIGNED, SIGNED_WITH_TRAILER, UNSIGNED_WITH_TRAILER, ChunkSigner

DATE, SCOPE = "20130524T000000Z", "20130524/us-east-1/s3"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
DOCUMENTED = b"a" * 66560


def signing_key():
    key = b"AWS4" + SECRET.encode()
    for part in (*SCOPE.split("/"), "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def signer(seed):
    return ChunkSigner(seed, signing_key(), DATE, SCOPE)


def written(data, size, seed, trailer=None, is_signed=True):
    """A client's side, written apart from ours: chunks of `size`, chained signatures, a trailer."""
    key, before, out = signing_key(), seed, b""
    for at in [*range(0, len(data), size), len(data)]:
        piece = data[at : at + size]
        head = b"%x" % len(piece)
        if is_signed:
            text = ["AWS4-HMAC-SHA256-PAYLOAD", DATE, SCOPE + "/aws4_request", before]
            text += [hashlib.sha256(b"").hexdigest(), hashlib.sha256(piece).hexdigest()]
            before = hmac.new(key, "\n".join(text).encode(), hashlib.sha256).hexdigest()
            head += b";chunk-signature=" + before.encode()
        out += head + b"\r\n" + (piece + b"\r\n" if piece else b"")
    if trailer is None:
        return out + b"\r\n"
    lines = "".join(f"{name}:{value}\n" for name, value in trailer)
    out += lines.replace("\n", "\r\n").encode()
    if is_signed:
        text = ["AWS4-HMAC-SHA256-TRAILER", DATE, SCOPE + "/aws4_request", before, hashlib.sha256(lines.encode()).hexdigest()]
        out += b"x-amz-trailer-signature:" + hmac.new(key, "\n".join(text).encode(), hashlib.sha256).hexdigest().encode() + b"\r\n"
    return out + b"\r\n"


def headers(data, trailer=""):
    return {"x-amz-decoded-content-length": str(len(data)), "x-amz-trailer": trailer}


def test_the_documented_example_of_signed_chunks():
    body = b"".join(
        (
            b"10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n",
            b"a" * 65536 + b"\r\n",
            b"400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n",
            b"a" * 1024 + b"\r\n",
            b"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n",
        )
    )
    assert len(body) == 66824, "the documented Content-Length"
    seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    assert chunked.decode(body, SIGNED, signer(seed), headers(DOCUMENTED)) == DOCUMENTED
    assert written(DOCUMENTED, 65536, seed) == body


def test_the_documented_example_with_a_signed_trailer():
    body = b"".join(
        (
            b"10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n",
            b"a" * 65536 + b"\r\n",
            b"400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n",
            b"a" * 1024 + b"\r\n",
            b"0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n",
            b"x-amz-checksum-crc32c:sOO8/Q==\r\n",
            b"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n",
        )
    )
    seed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
    given_headers = headers(DOCUMENTED, "x-amz-checksum-crc32c")
    assert chunked.decode(body, SIGNED_WITH_TRAILER, signer(seed), given_headers) == DOCUMENTED


@given(st.binary(max_size=300), st.integers(1, 100), st.sampled_from(ALGORITHMS), st.booleans())
def test_what_a_client_writes_is_read(data, size, algorithm, is_signed):
    name = f"x-amz-checksum-{algorithm}"
    body = written(data, size, "5" * 64, [(name, checksum(algorithm, data))], is_signed)
    kind = SIGNED_WITH_TRAILER if is_signed else UNSIGNED_WITH_TRAILER
    assert chunked.decode(body, kind, signer("5" * 64), headers(data, name)) == data
    assert chunked.decode(written(data, size, "5" * 64), SIGNED, signer("5" * 64), headers(data)) == data


def test_checksums_have_their_published_check_values():
    """The CRC catalogue's values for "123456789"."""
    assert base64.b64decode(checksum("crc32c", b"123456789")).hex() == "e3069283"
    assert base64.b64decode(checksum("crc64nvme", b"123456789")).hex() == "ae8b14860a799888"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("crc32", Crc32Checksum), ("sha1", Sha1Checksum), ("sha256", Sha256Checksum)],
)
@given(st.binary(max_size=200), st.integers(1, 80))
def test_what_botocore_wraps_is_read(name, kind, data, size):
    header = f"x-amz-checksum-{name}"
    body = AwsChunkedWrapper(io.BytesIO(data), checksum_cls=kind, checksum_name=header, chunk_size=size).read()
    assert chunked.decode(body, UNSIGNED_WITH_TRAILER, signer(""), headers(data, header)) == data


@given(st.binary(min_size=1, max_size=60), st.integers(1, 20), st.data())
def test_any_change_of_a_signed_body_is_refused(data, size, choices):
    """Every byte counts: in data, sizes, signatures and trailer. Only how a hexadecimal size is spelled is free."""
    name = "x-amz-checksum-crc32"
    body = written(data, size, "5" * 64, [(name, checksum("crc32", data))])
    at = choices.draw(st.integers(0, len(body) - 1))
    other = choices.draw(st.integers(0, 255).filter(lambda byte: byte != body[at]))
    changed = body[:at] + bytes([other]) + body[at + 1 :]
    if changed.lower() == body.lower():
        return
    with pytest.raises(Fault) as refusal:
        chunked.decode(changed, SIGNED_WITH_TRAILER, signer("5" * 64), headers(data, name))
    assert 400 <= refusal.value.status < 500
    cut = choices.draw(st.integers(0, len(body) - 3))
    with pytest.raises(Fault):
        chunked.decode(body[:cut], SIGNED_WITH_TRAILER, signer("5" * 64), headers(data, name))


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(body):
    for kind in (SIGNED, SIGNED_WITH_TRAILER, UNSIGNED_WITH_TRAILER):
        with pytest.raises(Fault) as refusal:
            chunked.decode(body, kind, signer("5" * 64), headers(b"123", "x-amz-checksum-crc32"))
        assert 400 <= refusal.value.status < 500


def refused(body, data, code, kind=UNSIGNED_WITH_TRAILER, trailer="", **more):
    with pytest.raises(Fault) as refusal:
        chunked.decode(body, kind, signer("5" * 64), headers(data, trailer) | more)
    assert refusal.value.code == code


def test_each_kind_of_wrong_has_its_code():
    data, name = b"hello", "x-amz-checksum-crc32"
    good = base64.b64encode(b"\0\0\0\0").decode()
    refused(written(data, 9, "5" * 64, [(name, good)], False), data, "BadDigest", trailer=name)
    refused(written(data, 9, "5" * 64, [(name, "AAA=")], False), data, "InvalidRequest", trailer=name)
    refused(written(data, 9, "5" * 64, [("x-amz-checksum-md5", good)], False), data, "InvalidRequest", trailer="x-amz-checksum-md5")
    right = written(data, 9, "5" * 64, [(name, checksum("crc32", data))], False)
    refused(right, data, "MalformedTrailerError", trailer="")
    refused(right, data, "MalformedTrailerError", trailer="x-amz-checksum-sha1")
    refused(right, data + b"!", "IncompleteBody", trailer=name)
    refused(right, data[:-1], "IncompleteBody", trailer=name)
    refused(right, data, "MissingContentLength", trailer=name, **{"x-amz-decoded-content-length": ""})
    refused(right, data, "IncompleteBody", kind=SIGNED)
    refused(written(data, 9, "4" * 64), data, "SignatureDoesNotMatch", kind=SIGNED)
    pieces = written(b"abab", 2, "5" * 64).split(b"\r\n")
    swapped = b"\r\n".join([*pieces[2:4], *pieces[:2], *pieces[4:]])
    refused(swapped, b"abab", "SignatureDoesNotMatch", kind=SIGNED)
    assert not chunked.is_chunked("UNSIGNED-PAYLOAD") and chunked.is_chunked(SIGNED)
    with pytest.raises(NotImplementedFault):
        chunked.is_chunked("STREAMING-AWS4-HMAC-SHA256-EVENTS")
