"""A node answers before all of it is imported: whatever is asked first is answered as if all had been there."""

import io
import json
import subprocess
import sys
import threading
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::000000000000:role/any"
FOR_SOME_REQUESTS = {
    "boto3", "botocore", "urllib3", "urllib.request", "jsonschema", "jwt", "cryptography", "yaml", "wsproto", "h2", "tomllib",
    "importlib.metadata", "email.message", "xml.etree.ElementTree", "statistics", "cumulet.services.tables.api",
    "cumulet.services.rest_apis.api", "cumulet.services.http_apis.api", "cumulet.gateway.rest_api", "cumulet.gateway.http_api",
}  # fmt: skip
FIRST_CALLS = [
    ("dynamodb", "list_tables", "TableNames"),
    ("dynamodbstreams", "list_streams", "Streams"),
    ("apigateway", "get_rest_apis", "items"),
    ("apigatewayv2", "get_apis", "Items"),
    ("iam", "list_roles", "Roles"),
    ("sts", "get_caller_identity", "Account"),
    ("logs", "describe_log_groups", "logGroups"),
    ("lambda", "list_functions", "Functions"),
]


def _archive(code):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("index.py"), code)
    return buffer.getvalue()


def _function(node, name, code):
    return node.client("lambda").create_function(
        FunctionName=name, Runtime="python3.12", Handler="index.handler", Role=ROLE, Code={"ZipFile": _archive(code)}
    )["FunctionArn"]


def test_a_start_imports_no_library_that_only_some_requests_need():
    listing = "import cumulet.cli.up, cumulet.server, sys; print(*sys.modules)"
    imported = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True).stdout.split()
    assert not FOR_SOME_REQUESTS & set(imported)


def test_every_service_answers_the_first_requests_after_a_start(start_node):
    for service, *_ in FIRST_CALLS:  # the clients' own models are read ahead, so that the calls come at once
        boto3.client(service, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    node = start_node("--durability", "os")
    together = threading.Barrier(len(FIRST_CALLS))

    def ask(service, call, member):
        client = node.client(service)
        together.wait()
        return member in getattr(client, call)()

    with ThreadPoolExecutor(len(FIRST_CALLS)) as callers:
        assert all(callers.map(ask, *zip(*FIRST_CALLS, strict=True)))


def test_what_a_late_service_does_not_have_is_refused_by_name(start_node):
    boto3.client("iam", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    node = start_node("--durability", "os")
    try:
        node.client("iam").get_credential_report()
    except ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 501
        assert "GetCredentialReport" in error.response["Error"]["Message"]
    else:
        raise AssertionError("the call was answered")


def test_apis_and_their_domain_names_answer_first_after_a_restart(start_node):
    node = start_node("--durability", "os")
    arn = _function(node, "hello", "def handler(event, context):\n    return 'hello'\n")
    gateway = node.client("apigatewayv2")
    api = gateway.create_api(Name="first", ProtocolType="HTTP", Target=arn)["ApiId"]
    gateway.create_domain_name(DomainName="first.example.com")
    gateway.create_api_mapping(ApiId=api, DomainName="first.example.com", Stage="$default")
    for url, host in ((f"/_aws/execute-api/{api}/", None), ("/", "first.example.com")):
        node.stop()
        node.start()
        request = urllib.request.Request(node.url + url, headers={"Host": host} if host else {})
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert json.loads(answer.read()) == "hello"


def test_streams_are_read_on_after_a_restart_without_any_request_of_tables(start_node):
    node = start_node("--durability", "os")
    told = "def handler(event, context):\n    print('GOT', *(each['dynamodb']['Keys']['pk']['S'] for each in event['Records']))\n"
    arn = _function(node, "reader", told)
    tables = node.client("dynamodb")
    made = tables.create_table(
        TableName="things",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
    )
    stream = made["TableDescription"]["LatestStreamArn"]
    node.client("lambda").put_function_concurrency(FunctionName=arn, ReservedConcurrentExecutions=0)  # nothing is read before
    node.client("lambda").create_event_source_mapping(EventSourceArn=stream, FunctionName=arn, StartingPosition="TRIM_HORIZON")
    tables.put_item(TableName="things", Item={"pk": {"S": "before"}})
    node.kill()
    node.start()
    node.client("lambda").delete_function_concurrency(FunctionName=arn)
    logs = node.client("logs")
    for _ in range(600):
        try:
            events = logs.filter_log_events(logGroupName="/aws/lambda/reader", filterPattern="GOT")["events"]
        except logs.exceptions.ResourceNotFoundException:
            events = []
        if events:
            break
        threading.Event().wait(0.05)
    assert [event["message"].split() for event in events] == [["GOT", "before"]]
