"""The main job through boto3: functions from creation to deletion."""

import base64
import io
import json
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

PYTHON = f"python3.{sys.version_info.minor}"
ROLE = "arn:aws:iam::000000000000:role/any"


def _zip(text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("index.py"), text)
    return buffer.getvalue()


ECHO = "def handler(event, context):\n    print('told', event)\n    return {'echo': event, 'version': context.function_version}\n"


def _create(lambdas, name, text=ECHO, **more):
    return lambdas.create_function(
        FunctionName=name, Runtime=PYTHON, Handler="index.handler", Role=ROLE, Code={"ZipFile": _zip(text)}, **more
    )


def _payload(answer):
    return json.loads(answer["Payload"].read())


def _eventually(read, wanted, wait_s=15.0):
    """The first result of `read` for which `wanted` holds."""
    deadline = time.monotonic() + wait_s
    while not wanted(found := read()):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def test_create_invoke_update_delete(node, name):
    lambdas = node.client("lambda")
    made = _create(lambdas, name, Description="first")
    assert made["FunctionArn"] == f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    lambdas.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    answer = lambdas.invoke(FunctionName=name, Payload=b'{"a": 1}', LogType="Tail")
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    log = base64.b64decode(answer["LogResult"]).decode()
    assert _payload(answer) == {"echo": {"a": 1}, "version": "$LATEST"}
    assert "told {'a': 1}" in log
    assert "START RequestId: " in log
    assert "Init Duration: " in log
    warm = base64.b64decode(lambdas.invoke(FunctionName=name, LogType="Tail")["LogResult"]).decode()
    assert "Init Duration" not in warm

    lambdas.update_function_code(FunctionName=name, ZipFile=_zip("def handler(e, c):\n    return 'second'\n"))
    lambdas.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    assert _payload(lambdas.invoke(FunctionName=name)) == "second"
    lambdas.delete_function(FunctionName=name)
    with pytest.raises(lambdas.exceptions.ResourceNotFoundException):
        lambdas.invoke(FunctionName=name)


def test_the_code_can_be_downloaded_as_it_was_given(node, name):
    lambdas = node.client("lambda")
    _create(lambdas, name)
    location = lambdas.get_function(FunctionName=name)["Code"]["Location"]
    with urllib.request.urlopen(location, timeout=10) as answer:
        assert answer.read() == _zip(ECHO)


def test_versions_and_a_weighted_alias(node, name):
    lambdas = node.client("lambda")
    _create(lambdas, name, "def handler(e, c):\n    return 'one'\n")
    first = lambdas.publish_version(FunctionName=name)["Version"]
    lambdas.update_function_code(FunctionName=name, ZipFile=_zip("def handler(e, c):\n    return 'two'\n"))
    second = lambdas.publish_version(FunctionName=name)["Version"]
    assert (first, second) == ("1", "2")
    lambdas.create_alias(
        FunctionName=name, Name="live", FunctionVersion="1", RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}}
    )
    answers = [lambdas.invoke(FunctionName=name, Qualifier="live") for _ in range(40)]
    said = {(answer["ExecutedVersion"], _payload(answer)) for answer in answers}
    assert said == {("1", "one"), ("2", "two")}
    lambdas.update_alias(FunctionName=name, Name="live", RoutingConfig={"AdditionalVersionWeights": {}})
    assert {_payload(lambdas.invoke(FunctionName=f"{name}:live")) for _ in range(10)} == {"one"}


def test_a_layer_is_there_at_import(node, name):
    lambdas = node.client("lambda")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("python/words.py", "GREETING = 'from the layer'\n")
    layer = lambdas.publish_layer_version(LayerName=name, Content={"ZipFile": buffer.getvalue()})
    _create(lambdas, name, "import words\ndef handler(e, c):\n    return words.GREETING\n", Layers=[layer["LayerVersionArn"]])
    assert _payload(lambdas.invoke(FunctionName=name)) == "from the layer"


def test_environment_context_and_credentials_inside(node, name):
    lambdas = node.client("lambda")
    text = (
        "import os\n"
        "def handler(e, c):\n"
        "    return {'var': os.environ['WORD'], 'arn': c.invoked_function_arn, 'mb': c.memory_limit_in_mb,\n"
        "            'left': c.get_remaining_time_in_millis(), 'client': c.client_context.custom['k'],\n"
        "            'endpoint': os.environ['AWS_ENDPOINT_URL'], 'region': os.environ['AWS_REGION'],\n"
        "            'key': os.environ['AWS_ACCESS_KEY_ID']}\n"
    )
    _create(lambdas, name, text, Environment={"Variables": {"WORD": "wörd"}}, MemorySize=256, Timeout=7)
    client_context = base64.b64encode(b'{"custom": {"k": "v"}}').decode()
    said = _payload(lambdas.invoke(FunctionName=name, ClientContext=client_context))
    assert (said["var"], said["mb"], said["client"], said["region"]) == ("wörd", "256", "v", "us-east-1")
    assert said["arn"].endswith(":function:" + name)
    assert 5000 < said["left"] <= 7000
    assert said["endpoint"] == node.url
    assert said["key"].startswith("ASIA")


def test_dry_run_runs_nothing_and_event_is_accepted_at_once(node, name):
    lambdas = node.client("lambda")
    _create(lambdas, name, "import time\ndef handler(e, c):\n    time.sleep(1)\n    print('ran', e)\n")
    assert lambdas.invoke(FunctionName=name, InvocationType="DryRun")["StatusCode"] == 204
    started = time.monotonic()
    answer = lambdas.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"n": 1}')
    assert answer["StatusCode"] == 202
    assert time.monotonic() - started < 0.9
    _eventually(lambda: _messages(node, name), lambda found: any("ran {'n': 1}" in message for message in found))


def _messages(node, name):
    logs = node.client("logs")
    try:
        return [event["message"] for event in logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]]
    except logs.exceptions.ResourceNotFoundException:
        return []


def test_an_events_outcome_reaches_its_destination(node, name):
    lambdas = node.client("lambda")
    target = _create(lambdas, name + "-target", "import json\ndef handler(e, c):\n    print('got ' + json.dumps(e))\n")
    _create(lambdas, name, "def handler(e, c):\n    raise ValueError('no luck')\n")
    lambdas.put_function_event_invoke_config(
        FunctionName=name, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": target["FunctionArn"]}}
    )
    lambdas.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"n": 2}')
    found = _eventually(lambda: _messages(node, name + "-target"), lambda found: any(m.startswith("got ") for m in found))
    record = json.loads(next(m for m in found if m.startswith("got "))[4:])
    assert record["requestPayload"] == {"n": 2}
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["responsePayload"]["errorMessage"] == "no luck"


def test_reserved_concurrency_throttles_with_its_reason(node, name):
    lambdas = node.client("lambda")
    _create(lambdas, name, "import time\ndef handler(e, c):\n    time.sleep(1.5)\n", Timeout=10)
    lambdas.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    holding = threading.Thread(target=lambda: lambdas.invoke(FunctionName=name))
    holding.start()
    time.sleep(0.7)
    with pytest.raises(ClientError) as refused:
        node.client("lambda").invoke(FunctionName=name)
    holding.join()
    assert refused.value.response["Error"]["Code"] == "TooManyRequestsException"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert refused.value.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"


def _fetch(url, method="GET", data=None, headers=None):
    request = urllib.request.Request(url, method=method, data=data, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def test_function_url_by_path_and_by_host(node, name):
    lambdas = node.client("lambda")
    text = (
        "def handler(e, c):\n"
        "    return {'statusCode': 201, 'headers': {'X-Made': 'yes'}, 'cookies': ['a=1', 'b=2'],\n"
        "            'body': e['requestContext']['http']['method'] + ' ' + e['rawPath'] + ' ' + e.get('body', '')}\n"
    )
    _create(lambdas, name, text)
    url = lambdas.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"]
    status, headers, body = _fetch(node.reachable(url) + "a%20b?c=d", "POST", b"hi", {"Content-Type": "text/plain"})
    assert (status, headers["X-Made"], body) == (201, "yes", b"POST /a%20b hi")
    url_id = node.reachable(url).rstrip("/").rpartition("/")[2]
    status, _headers, body = _fetch(node.url + "/c", headers={"Host": f"{url_id}.lambda-url.us-east-1.localhost"})
    assert (status, body) == (201, b"GET /c ")
    lambdas.delete_function_url_config(FunctionName=name)
    assert _fetch(node.reachable(url))[0] == 404


def test_a_function_url_with_iam_wants_a_signature_of_its_own_account(node, name):
    lambdas = node.client("lambda")
    _create(lambdas, name, "def handler(e, c):\n    return e['requestContext']['authorizer']['iam']['userArn']\n")
    url = node.reachable(lambdas.create_function_url_config(FunctionName=name, AuthType="AWS_IAM")["FunctionUrl"])
    status, headers, body = _fetch(url)
    assert (status, headers["x-amzn-ErrorType"]) == (403, "AccessDeniedException") and b'"Message":"Forbidden. ' in body
    request = AWSRequest("GET", url)
    keys = Credentials(node.environment["AWS_ACCESS_KEY_ID"], node.environment["AWS_SECRET_ACCESS_KEY"])
    SigV4Auth(keys, "lambda", "us-east-1").add_auth(request)
    status, _headers, body = _fetch(url, headers=dict(request.headers.items()))
    assert (status, body) == (200, b'"arn:aws:iam::000000000000:root"')


def test_a_strict_node_wants_the_policy_that_aws_wants(start_node, name):
    node = start_node("--in-memory", "--strict-urls")
    lambdas = node.client("lambda")
    _create(lambdas, name, "def handler(e, c):\n    return 'in'\n")
    url = node.reachable(lambdas.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"])
    for statement in (
        {"StatementId": "url", "Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"},
        {"StatementId": "invoke", "Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True},
    ):
        status, headers, body = _fetch(url)
        assert (status, headers["x-amzn-ErrorType"]) == (403, "AccessDeniedException")
        assert json.loads(body)["Message"].startswith("Forbidden. For troubleshooting Function URL authorization issues, see: ")
        lambdas.add_permission(FunctionName=name, Principal="*", **statement)
    assert _fetch(url)[::2] == (200, b'"in"')
    lambdas.remove_permission(FunctionName=name, StatementId="invoke")
    assert _fetch(url)[0] == 403


def test_a_function_urls_errors_and_cors(node, name):
    lambdas = node.client("lambda")
    _create(lambdas, name, "def handler(e, c):\n    raise ValueError('secret detail')\n")
    cors = {"AllowOrigins": ["https://a.example"], "AllowMethods": ["PUT"], "MaxAge": 5}
    url = node.reachable(lambdas.create_function_url_config(FunctionName=name, AuthType="NONE", Cors=cors)["FunctionUrl"])
    status, headers, body = _fetch(url, headers={"Origin": "https://a.example"})
    assert (status, headers["Access-Control-Allow-Origin"]) == (502, "https://a.example")
    assert b"secret" not in body
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "PUT"}
    status, headers, _body = _fetch(url, "OPTIONS", headers=asked)
    assert (status, headers["Access-Control-Allow-Methods"], headers["Access-Control-Max-Age"]) == (200, "PUT", "5")


def test_accounts_do_not_see_each_other(node, name):
    secret = node.environment["AWS_SECRET_ACCESS_KEY"]
    request = AWSRequest("POST", node.url + "/_cumulet/keys", {"Content-Type": "application/json"}, b'{"account": "111122223333"}')
    SigV4Auth(Credentials(node.environment["AWS_ACCESS_KEY_ID"], secret), "cumulet", "us-east-1").add_auth(request)
    status, _headers, body = _fetch(node.url + "/_cumulet/keys", "POST", request.data, dict(request.headers.items()))
    assert status == 200, body
    made = json.loads(body)
    other = {"key": made["access_key_id"], "secret": made["secret_access_key"]}
    assert node.client("sts", **other).get_caller_identity()["Account"] == "111122223333"
    _create(node.client("lambda"), name)
    lambdas = node.client("lambda", **other)
    with pytest.raises(lambdas.exceptions.ResourceNotFoundException):
        lambdas.invoke(FunctionName=name)
    with pytest.raises(ClientError):
        lambdas.invoke(FunctionName=f"arn:aws:lambda:us-east-1:000000000000:function:{name}")
    assert name not in [function["FunctionName"] for function in lambdas.list_functions()["Functions"]]


def test_iam_and_sts_as_every_tutorial_begins(node, name):
    iam, sts = node.client("iam"), node.client("sts")
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    iam.attach_role_policy(RoleName=name, PolicyArn="arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole")
    assert iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"] == trust
    taken = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="me")["Credentials"]
    session = node.client(
        "sts", key=taken["AccessKeyId"], secret=taken["SecretAccessKey"], token=taken["SessionToken"]
    ).get_caller_identity()
    assert session["Arn"] == f"arn:aws:sts::000000000000:assumed-role/{name}/me"
