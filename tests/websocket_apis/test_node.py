"""WebSocket APIs on a whole node: made with boto3, talked to with the `websockets` library."""

import importlib.util
import json
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

_SPEC = importlib.util.spec_from_file_location("deploying", Path(__file__).with_name("deploying.py"))
assert _SPEC is not None and _SPEC.loader is not None
deploying = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(deploying)

KEY, SECRET = "AKIATESTTESTTESTTEST", "test-secret-test-secret-test-secret-test"
ECHO = """\
import json
def handler(event, context):
    return {"statusCode": 200, "body": json.dumps(event)}
"""

GOOD_BYE = """\
import boto3
def handler(event, context):
    who = boto3.client("sts").get_caller_identity()["Account"]  # the node still answers
    print("bye", who, event["requestContext"]["disconnectStatusCode"])
    return {"statusCode": 200}
"""


def say(client, message):
    client.send(message if isinstance(message, str) else json.dumps(message))


def heard(client, wait_s=30):
    return json.loads(client.recv(timeout=wait_s))


@pytest.fixture(scope="module")
def chat(node):
    return deploying.deploy_chat(node)


@pytest.fixture
def api(node, name):
    """An API whose `$default` route echoes its event."""
    made = deploying.WebSocketApi(node)
    made.proxy("$default", deploying.put_function(node, name, ECHO, "handler"), is_two_way=True)
    return made


def code_of(error):
    return error.value.response["Error"]["Code"], error.value.response["ResponseMetadata"]["HTTPStatusCode"]


def test_two_clients_chat(chat):
    with connect(chat.url) as alice, connect(chat.url) as bob:
        say(alice, "who am I?")
        me = heard(alice)
        assert me["usage"] == "sendmessage"
        say(alice, {"action": "sendmessage", "text": "hello, wörld"})
        assert heard(alice) == heard(bob) == {"from": me["you"], "text": "hello, wörld"}
        alice.close()
        say(bob, {"action": "sendmessage", "text": "alone?"})
        assert heard(bob)["text"] == "alone?"
    with pytest.raises(InvalidStatus) as refused:
        connect(chat.url + "?password=wrong")
    assert refused.value.response.status_code == 401


def test_connections_are_managed_at_the_stages_address_and_at_the_nodes(node, api):
    with connect(api.url, user_agent_header="tester/1") as client:
        say(client, "x")
        id = heard(client)["requestContext"]["connectionId"]
        for management in (api.connections(), node.client("apigatewaymanagementapi")):
            management.post_to_connection(ConnectionId=id, Data=b"from outside")
            assert client.recv(timeout=30) == "from outside"
            told = management.get_connection(ConnectionId=id)
            assert told["Identity"] == {"SourceIp": "127.0.0.1", "UserAgent": "tester/1"}
            assert told["ConnectedAt"] <= told["LastActiveAt"]
        management.post_to_connection(ConnectionId=id, Data=b"x" * 131_072)
        assert len(client.recv(timeout=30)) == 131_072
        for management in (api.connections(), node.client("apigatewaymanagementapi")):
            with pytest.raises(ClientError) as error:
                management.post_to_connection(ConnectionId=id, Data=b"x" * 131_073)
            assert code_of(error) == ("PayloadTooLargeException", 413)
        management.delete_connection(ConnectionId=id)
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=30)
        for management in (api.connections(), node.client("apigatewaymanagementapi")):
            for call in (management.get_connection, management.delete_connection):
                with pytest.raises(management.exceptions.GoneException) as error:
                    call(ConnectionId=id)
                assert code_of(error) == ("GoneException", 410)
            with pytest.raises(management.exceptions.GoneException):
                management.post_to_connection(ConnectionId="L0SM9cOFvHcCIhw=", Data=b"x")


def test_what_is_not_the_callers_is_gone_or_forbidden(node, api, name):
    other = deploying.WebSocketApi(node)
    other_account = json.loads(_create_account(node, name))
    keys = {"key": other_account["access_key_id"], "secret": other_account["secret_access_key"]}
    with connect(api.url) as client:
        say(client, "x")
        id = heard(client)["requestContext"]["connectionId"]
        with pytest.raises(ClientError) as error:  # the right account, but another API's address
            other.connections().post_to_connection(ConnectionId=id, Data=b"x")
        assert code_of(error) == ("GoneException", 410)
        with pytest.raises(ClientError) as error:
            api.connections(**keys).get_connection(ConnectionId=id)
        assert code_of(error) == ("ForbiddenException", 403)
        with pytest.raises(ClientError) as error:
            node.client("apigatewaymanagementapi", **keys).delete_connection(ConnectionId=id)
        assert code_of(error) == ("GoneException", 410)
        with pytest.raises(ClientError) as error:
            api.connections(secret="wrong").get_connection(ConnectionId=id)
        assert code_of(error)[1] == 403
        at = f"{node.url}{api.path}/@connections/{quote(id)}"
        for url in (at, f"{node.url}/@connections/{quote(id)}"):
            unsigned = httpx.get(url)
            assert unsigned.status_code == 403 and "x-amzn-errortype" in unsigned.headers
        request = AWSRequest("GET", at, headers={})
        SigV4Auth(Credentials(KEY, SECRET), "lambda", "us-east-1").add_auth(request)
        assert httpx.get(at, headers=dict(request.headers)).status_code == 403
        say(client, "still here")
        assert heard(client)["body"] == "still here"


def _create_account(node, name):
    environment = node.environment | {"PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "cumulet.cli", "keys", "create", "--account", "111122223333", "--json"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_signed_handshakes(node, name):
    api = deploying.WebSocketApi(node)
    api.proxy("$connect", deploying.put_function(node, name, ECHO, "handler"), AuthorizationType="AWS_IAM")
    for address in (api.url, api.url + "?a=b"):
        with pytest.raises(InvalidStatus) as refused:
            connect(address)
        assert refused.value.response.status_code == 403
    http_url = node.url + api.path
    headers = AWSRequest("GET", http_url, headers={})
    SigV4Auth(Credentials(KEY, SECRET), "execute-api", "us-east-1").add_auth(headers)
    with connect(api.url, additional_headers=dict(headers.headers)):
        pass
    presigned = AWSRequest("GET", http_url, headers={})
    SigV4QueryAuth(Credentials(KEY, SECRET), "execute-api", "us-east-1", expires=60).add_auth(presigned)
    with connect(api.url + "?" + urlsplit(presigned.url).query):
        pass
    wrong = AWSRequest("GET", http_url, headers={})
    SigV4QueryAuth(Credentials(KEY, "wrong"), "execute-api", "us-east-1", expires=60).add_auth(wrong)
    with pytest.raises(InvalidStatus) as refused:
        connect(api.url + "?" + urlsplit(wrong.url).query)
    assert refused.value.response.status_code == 403


def test_a_custom_domain_leads_to_a_stage_and_its_connections(node, api, name):
    domain = f"{name}.example.com"
    api.v2.create_domain_name(DomainName=domain, DomainNameConfigurations=[{"CertificateArn": "arn:aws:acm:a:b:c"}])
    api.v2.create_api_mapping(DomainName=domain, ApiId=api.id, Stage="prod", ApiMappingKey="chat")
    at = urlsplit(node.url)
    with socket.create_connection((at.hostname, at.port)) as raw, connect(f"ws://{domain}:{at.port}/chat", sock=raw) as client:
        say(client, "x")
        context = heard(client)["requestContext"]
        assert context["domainName"] == f"{domain}:{at.port}"
        path = f"/chat/@connections/{quote(context['connectionId'])}"
        request = AWSRequest("POST", f"http://{domain}:{at.port}{path}", headers={}, data=b"by name")
        SigV4Auth(Credentials(KEY, SECRET), "execute-api", "us-east-1").add_auth(request)
        headers = {**dict(request.headers), "Host": f"{domain}:{at.port}"}
        assert httpx.post(node.url + path, headers=headers, content=b"by name").status_code == 200
        assert client.recv(timeout=30) == "by name"


def test_over_tls(start_node, name):
    node = start_node("--in-memory", "--tls-port", "0")
    said = next(line for line in node.lines if line.startswith("# tls "))
    endpoint, authority = said.split()[2].rstrip(","), said.partition("signed by ")[2]
    api = deploying.WebSocketApi(node)
    api.proxy("$default", deploying.put_function(node, name, ECHO, "handler"), is_two_way=True)
    address = "wss" + endpoint.removeprefix("https") + api.path
    with connect(address, ssl=ssl.create_default_context(cafile=authority)) as client:
        say(client, "x" * 30_000)
        assert len(heard(client)["body"]) == 30_000
        client.close(4000, "enough")
    assert client.close_code == 4000


def test_a_node_that_stops_says_so_and_tells_the_disconnect_route(start_node, name):
    node = start_node("--durability", "os")
    api = deploying.WebSocketApi(node)
    api.proxy("$disconnect", deploying.put_function(node, name, GOOD_BYE, "handler"))
    with connect(api.url) as client:
        node.process.terminate()
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=30)
        assert client.close_code == 1001
    assert node._ended(40) == 0
    node.start()
    events = node.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    assert any("bye 000000000000 1001" in event["message"] for event in events)
    with connect(api.url.replace(urlsplit(api.url).netloc, node.netloc)):
        pass  # the API survives, connections do not


def test_silent_clients_of_a_node_that_was_told_so(start_node):
    node = start_node("--durability", "os", "--websocket-idle", "1")
    api = deploying.WebSocketApi(node)
    with connect(api.url, ping_interval=None) as client, pytest.raises(ConnectionClosed):
        client.recv(timeout=30)
    assert client.close_code == 1001
