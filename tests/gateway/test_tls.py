"""TLS at the front door: what is shown to whom, what is refused, and what functions are told of it."""

import asyncio
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.parse

import boto3
import httpx
import pytest
from cryptography import x509

from cumulet.core.http import Upgrade
from cumulet.gateway.http import HttpLimits
from cumulet.gateway.local_authority import LocalAuthority, names_of
from cumulet.gateway.tls import Certificates, TlsRefused

from .test_front_door import make_rest_api

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def authority(tmp_path):
    return LocalAuthority(tmp_path / "tls")


def trusting(path, *alpn: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=path)
    context.set_alpn_protocols(list(alpn))
    return context


async def shown(served, authority, name) -> set[str]:
    """The DNS names in the certificate that a client gets who asks for `name`, which must be good for it."""
    _reader, writer = await served.connect(ssl=trusting(authority.ca_path), server_hostname=name)
    found = writer.get_extra_info("peercert")["subjectAltName"]
    return {value for kind, value in found if kind == "DNS"}


async def test_requests_come_in_and_say_that_they_were_secure(serving, authority):
    served = await serving(tls=Certificates(None, authority=authority).context)
    reader, writer = await served.connect(ssl=trusting(authority.ca_path), server_hostname="localhost")
    writer.write(GET * 3)
    for _ in range(3):
        assert (await reader.readuntil(b"GET ")).startswith(b"HTTP/1.1 200 OK\r\n")
    assert [request.scheme for request in served.requests] == ["https"] * 3
    assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"


async def test_a_large_body_and_a_large_answer_go_through(serving, authority):
    served = await serving(tls=Certificates(None, authority=authority).context)
    body = os.urandom(3_000_000)
    reader, writer = await served.connect(ssl=trusting(authority.ca_path), server_hostname="localhost")
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n" + body)
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"Content-Length: 3000005\r\n" in head
    assert await reader.readexactly(3_000_005) == b"POST " + body


async def test_a_refused_body_does_not_take_the_answer_away(serving, authority):
    served = await serving(HttpLimits(body_bytes=1000), tls=Certificates(None, authority=authority).context)
    reader, writer = await served.connect(ssl=trusting(authority.ca_path), server_hostname="localhost")
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n" + bytes(20_000_000))
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413 ")


async def test_the_name_asked_for_chooses_the_certificate(serving, authority, tmp_path):
    folder = tmp_path / "certs"
    (folder / "shop").mkdir(parents=True)
    (folder / "shop" / "fullchain.pem").write_bytes(pem := authority.issue(["shop.example.com", "*.shop.example.com"]))
    (folder / "shop" / "privkey.pem").write_bytes(pem)
    (folder / "blog.crt").write_bytes(pem := authority.issue(["blog.example.com"]))
    (folder / "blog.key").write_bytes(pem)
    default = tmp_path / "default.pem"
    default.write_bytes(authority.issue(["default.example.com"]))
    served = await serving(tls=Certificates((default, default), folder=folder).context)
    assert await shown(served, authority, "shop.example.com") == {"shop.example.com", "*.shop.example.com"}
    assert await shown(served, authority, "a.shop.example.com") == {"shop.example.com", "*.shop.example.com"}
    assert await shown(served, authority, "BLOG.example.com") == {"blog.example.com"}
    assert await shown(served, authority, "default.example.com") == {"default.example.com"}
    with pytest.raises(ssl.SSLCertVerificationError):
        await shown(served, authority, "a.b.shop.example.com")


async def test_the_node_makes_what_it_lacks_for_its_own_names_alone(serving, authority):
    certificates = Certificates(None, authority=authority, is_ours=lambda name: name == "api.example.test")
    served = await serving(tls=certificates.context)
    assert "localhost" in await shown(served, authority, "localhost")
    assert await shown(served, authority, "abc.execute-api.eu-west-1.localhost") == {"*.execute-api.eu-west-1.localhost"}
    assert await shown(served, authority, "def.execute-api.eu-west-1.localhost") == {"*.execute-api.eu-west-1.localhost"}
    assert await shown(served, authority, "abc.lambda-url.us-gov-west-1.localhost") == {"*.lambda-url.us-gov-west-1.localhost"}
    assert await shown(served, authority, "my-app.localhost") == {"my-app.localhost"}
    assert await shown(served, authority, "api.example.test") == {"api.example.test"}
    with pytest.raises(ssl.SSLCertVerificationError):
        await shown(served, authority, "bank.example.com")


def test_what_is_made_at_need_is_bounded(authority):
    certificates = Certificates(None, authority=authority)
    first = certificates.find("n0.localhost")
    assert certificates.find("n0.localhost") is first
    for n in range(1, 300):
        certificates.find(f"n{n}.localhost")
    assert len(certificates._issued) <= 256
    assert certificates.find("n0.localhost") is not first


def test_the_authority_is_made_once_and_for_the_nodes_user_alone(authority, tmp_path):
    again = LocalAuthority(tmp_path / "tls")
    assert again.ca_path.read_bytes() == authority.ca_path.read_bytes()
    first = again.kept(tmp_path / "tls" / "node.pem", ["localhost"]).read_bytes()
    assert authority.kept(tmp_path / "tls" / "node.pem", ["localhost"]).read_bytes() == first
    assert names_of(authority.kept(tmp_path / "tls" / "node.pem", ["localhost", "other"]).read_bytes()) == ["localhost", "other"]
    for path in (tmp_path / "tls").iterdir():
        assert path.stat().st_mode & 0o077 == 0
    ca = x509.load_pem_x509_certificate(authority.ca_path.read_bytes())
    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(ca=True, path_length=0)


@pytest.mark.parametrize("broken", ["missing", "not a certificate", "another key"])
def test_certificates_that_cannot_be_used_are_refused_and_the_old_stay(authority, tmp_path, broken):
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    for path in (chain, key):
        path.write_bytes(authority.issue(["one.example.com"]))
    shutil.copy(chain, key)
    certificates = Certificates((chain, key))
    before = certificates.find("one.example.com")
    if broken == "missing":
        chain.unlink()
    else:
        key.write_bytes(b"no" if broken != "another key" else authority.issue(["two.example.com"]))
    with pytest.raises(TlsRefused, match="cannot be used"):
        certificates.reload()
    assert certificates.find("one.example.com") is before


async def test_old_versions_of_tls_are_refused(serving, authority):
    served = await serving(tls=Certificates(None, authority=authority).context)
    old = trusting(authority.ca_path)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await served.connect(ssl=old, server_hostname="localhost")
    weak = trusting(authority.ca_path)
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("AES128-SHA:AES256-GCM-SHA384")  # no forward secrecy
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await served.connect(ssl=weak, server_hostname="localhost")
    good = trusting(authority.ca_path)
    good.maximum_version = ssl.TLSVersion.TLSv1_2
    _reader, writer = await served.connect(ssl=good, server_hostname="localhost")
    assert writer.get_extra_info("cipher")[0].startswith("ECDHE-")


async def test_clients_that_never_finish_their_handshake_are_counted_and_let_go(serving, authority):
    served = await serving(HttpLimits(connections=3, head_s=0.3), tls=Certificates(None, authority=authority).context)
    silent = [await served.connect() for _ in range(3)]
    await asyncio.sleep(0.05)
    reader, _writer = await served.connect()
    assert await asyncio.wait_for(reader.read(), 0.2) == b""  # no room: told at once, without TLS
    for reader, _writer in silent:
        await asyncio.wait_for(reader.read(), 2)
    assert "localhost" in await shown(served, authority, "localhost")


@pytest.mark.parametrize("data", [GET, b"\x16\x03\x01\x00\x05hello", b"\0" * 100_000])
async def test_what_is_no_tls_is_hung_up_on(serving, authority, data):
    served = await serving(tls=Certificates(None, authority=authority).context)
    reader, writer = await served.connect()
    writer.write(data)
    try:
        answer = await asyncio.wait_for(reader.read(), 2)
    except ConnectionError:
        answer = b""
    assert b"HTTP" not in answer
    assert served.requests == []


def tls_of(node) -> tuple[str, str]:
    """(address, path of the authority's certificate) as the node printed them."""
    line = next(line for line in node.lines if line.startswith("# tls "))
    address, _, rest = line.removeprefix("# tls ").partition(", signed by ")
    return address, rest


def test_a_node_with_a_certificate_of_its_own_making(start_node, name, make_url):
    node = start_node("--in-memory", "--tls-port", "0", "--url-style", "host")
    address, ca = tls_of(node)
    url_id = make_url(node, name).split("/")[2].split(".")[0]
    event = httpx.get(f"{address}/_aws/lambda-url/{url_id}/", verify=trusting(ca)).json()
    assert event["headers"]["x-forwarded-proto"] == "https"
    assert event["headers"]["x-forwarded-port"] == address.rpartition(":")[2]
    event = httpx.get(f"{node.url}/_aws/lambda-url/{url_id}/").json()
    assert event["headers"]["x-forwarded-proto"] == "http"
    keys = node.environment
    client = boto3.client(
        "lambda",
        "us-east-1",
        endpoint_url=address,
        verify=ca,
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
    )
    assert client.get_function(FunctionName=name)["Code"]["Location"].startswith(address)
    host = f"{url_id}.lambda-url.us-east-1.localhost"
    command = f"openssl s_client -connect {urllib.parse.urlsplit(address).netloc} -servername {host} -verify_hostname {host}"
    command += f" -CAfile {ca} -verify_return_error -alpn h2,http/1.1"
    said = subprocess.run(
        command.split(),
        input=b"",
        capture_output=True,
        timeout=20,
        check=True,
    ).stdout.decode()
    assert "Verify return code: 0 (ok)" in said
    assert "TLSv1.3" in said


def test_with_tls_only_addresses_are_told_as_https(start_node, name, make_url):
    node = start_node("--in-memory", "--tls-port", "0", "--tls-only", "--url-style", "path")
    address, ca = tls_of(node)
    url = make_url(node, name)
    assert url.startswith(address + "/_aws/lambda-url/")
    assert httpx.get(url, verify=trusting(ca)).json()["rawPath"] == "/"


def test_certificates_are_read_again_on_sighup(start_node, authority, tmp_path):
    path = tmp_path / "served.pem"
    path.write_bytes(authority.issue(["one.example.com", "127.0.0.1"]))
    node = start_node("--in-memory", "--tls-port", "0", "--tls", f"{path}:{path}")
    address, _ = tls_of(node)
    host, port = urllib.parse.urlsplit(address).netloc.split(":")
    with httpx.Client(verify=trusting(authority.ca_path)) as kept:
        assert kept.get(f"{address}/healthz").text == "ok\n"
        path.write_bytes(authority.issue(["two.example.com", "127.0.0.1"]))
        node.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 10
        while names_of(ssl.get_server_certificate((host, int(port))).encode()) != ["two.example.com"]:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert kept.get(f"{address}/healthz").text == "ok\n"
    path.write_bytes(b"broken")
    node.process.send_signal(signal.SIGHUP)
    until = time.monotonic() + 10
    while not any("certificates stay as they were" in line for line in node.log):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert httpx.get(f"{address}/healthz", verify=trusting(authority.ca_path)).text == "ok\n"


@pytest.mark.parametrize(
    "options", [["--tls-only"], ["--tls", "a:b"], ["--tls-port", "0", "--tls", "nonsense"], ["--tls-port", "0", "--tls", "no:no"]]
)
def test_a_node_that_cannot_have_its_certificate_says_so(tmp_path, options):
    command = [sys.executable, "-m", "cumulet.cli", "up", "--port", "0", "--data", str(tmp_path), "--in-memory", *options]
    ended = subprocess.run(command, capture_output=True, timeout=30, text=True)
    assert ended.returncode != 0
    assert "--tls" in ended.stderr or "cannot be used" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_curl_finds_host_style_names_by_itself(start_node, name, make_url):
    node = start_node("--in-memory", "--tls-port", "0", "--tls-only", "--url-style", "host")
    _, ca = tls_of(node)
    url = make_url(node, name)
    assert url.startswith("https://")
    said = subprocess.run(["curl", "-sS", "--cacert", ca, url + "a"], capture_output=True, timeout=20, check=True).stdout
    assert b'"rawPath": "/a"' in said or b'"rawPath":"/a"' in said


async def test_a_connection_can_leave_http_over_tls(serving, authority):
    served = await serving(tls=Certificates(None, authority=authority).context)

    async def echo(stream):
        while data := await stream.read():
            await stream.write(data.upper())

    async def upgrade(_request):
        return Upgrade(101, [("Upgrade", "shout")], run=echo)

    served.answer = upgrade
    reader, writer = await served.connect(ssl=trusting(authority.ca_path), server_hostname="localhost")
    writer.write(b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\nahead ")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    assert await reader.readexactly(6) == b"AHEAD "
    writer.write(b"x" * 300_000)
    assert await reader.readexactly(300_000) == b"X" * 300_000
    writer.close()
    await asyncio.sleep(0.1)
    assert served.server.connections == set()


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_a_custom_domain_has_a_certificate_of_its_own(start_node, name, make_url):
    node = start_node("--in-memory", "--tls-port", "0")
    address, ca = tls_of(node)
    make_url(node, name)
    make_rest_api(node, name)
    gateway = node.client("apigateway")
    api_id = gateway.get_rest_apis()["items"][0]["id"]
    domain = f"{name}.example.test"
    gateway.create_domain_name(domainName=domain, regionalCertificateArn="arn:aws:acm:us-east-1:000000000000:certificate/x")
    gateway.create_base_path_mapping(domainName=domain, restApiId=api_id, stage="s")
    port = address.rpartition(":")[2]
    curl = ["curl", "-sS", "--cacert", ca, "--connect-to", f"::127.0.0.1:{port}"]
    said = subprocess.run([*curl, f"https://{domain}/some/path"], capture_output=True, timeout=20, text=True)
    assert '"/some/path"' in said.stdout, said.stderr
    said = subprocess.run([*curl, "https://other.example.test/"], capture_output=True, timeout=20, text=True)
    assert said.returncode == 60  # no certificate for a name that is nobody's
