"""Access logs: a line for each request of a stage, in the log group that it names."""

import json
import time

FORMAT = (
    '{"id":"$context.requestId","path":"$context.path","status":$context.status,"ip":"$context.identity.sourceIp",'
    '"agent":"$context.identity.userAgent","nothing":"$context.authorizer.principalId","bytes":"$context.responseLength"}'
)


def lines_of(node, group, count):
    logs = node.client("logs")
    until = time.monotonic() + 20
    while time.monotonic() < until:
        found = logs.filter_log_events(logGroupName=group)["events"]
        if len(found) >= count:
            return [json.loads(event["message"]) for event in found]
        time.sleep(0.05)
    raise AssertionError("the lines did not come")


def log_to(api, group, form=FORMAT):
    arn = f"arn:aws:logs:us-east-1:000000000000:log-group:{group}"
    operations = [
        {"op": "replace", "path": "/accessLogSettings/destinationArn", "value": arn},
        {"op": "replace", "path": "/accessLogSettings/format", "value": form},
    ]
    api.gateway.update_stage(restApiId=api.id, stageName="prod", patchOperations=operations)


def test_each_request_is_a_line(node, api, name):
    group = f"/access/{name}"
    node.client("logs").create_log_group(logGroupName=group)
    api.mock("GET", "/a")
    api.deploy()
    log_to(api, group)
    assert api.call("GET", "/a", headers={"User-Agent": 'quo"ted\\'}).status_code == 200
    assert api.call("GET", "/missing").status_code == 403
    first, second = lines_of(node, group, 2)
    assert (first["path"], first["status"], first["agent"], first["nothing"]) == ("/prod/a", 200, 'quo"ted\\', "-")
    assert first["ip"] == "127.0.0.1"
    assert (second["path"], second["status"]) == ("/prod/missing", 403)


def test_a_stage_without_a_format_writes_nothing(node, api, name):
    group = f"/access/{name}"
    node.client("logs").create_log_group(logGroupName=group)
    api.mock("GET", "/a")
    api.deploy()
    log_to(api, group, form="")
    api.call("GET", "/a")
    log_to(api, group)
    api.call("GET", "/a")
    assert len(lines_of(node, group, 1)) == 1
