"""The tools that people make APIs with: the AWS CLI and Terraform."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

MIRROR = Path(os.environ.get("TERRAFORM_PLUGIN_MIRROR", "/opt/tf-plugins"))
HERE = Path(__file__).parent / "terraform"


def _aws(node, *arguments):
    command = [str(Path(sys.executable).parent / "aws"), "apigateway", *arguments, "--output", "json"]
    done = subprocess.run(command, env=os.environ | node.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else None


def test_the_aws_cli_makes_an_api(node, name, function):
    api = _aws(node, "create-rest-api", "--name", name)
    place = ["--rest-api-id", api["id"]]
    resource = _aws(node, "create-resource", *place, "--parent-id", api["rootResourceId"], "--path-part", "{proxy+}")["id"]
    method = [*place, "--resource-id", resource, "--http-method", "ANY"]
    _aws(node, "put-method", *method, "--authorization-type", "NONE")
    uri = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{function()}/invocations"
    _aws(node, "put-integration", *method, "--type", "AWS_PROXY", "--integration-http-method", "POST", "--uri", uri)
    _aws(node, "create-deployment", *place, "--stage-name", "dev")
    _aws(node, "update-stage", *place, "--stage-name", "dev", "--patch-operations", "op=replace,path=/variables/a,value=b")
    event = httpx.get(f"{node.url}/_aws/execute-api/{api['id']}/dev/x/y?z=1").json()
    assert (event["path"], event["stageVariables"], event["queryStringParameters"]) == ("/x/y", {"a": "b"}, {"z": "1"})
    _aws(node, "delete-rest-api", *place)


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which("terraform") or not (MIRROR / "registry.terraform.io/hashicorp/aws").is_dir(),
    reason="no terraform with a local mirror of the aws provider (TERRAFORM_PLUGIN_MIRROR)",
)
def test_terraform_applies_plans_clean_and_destroys(node, name, tmp_path):
    shutil.copy(HERE / "main.tf", tmp_path)
    config = tmp_path / "terraform.rc"
    config.write_text(f'provider_installation {{\n  filesystem_mirror {{ path = "{MIRROR}" }}\n}}\n')
    environment = (
        os.environ | node.environment | {"TF_CLI_CONFIG_FILE": str(config), "CHECKPOINT_DISABLE": "1", "TF_VAR_name": name}
    )

    def terraform(*arguments):
        command = ["terraform", *arguments, "-no-color"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    terraform("init")
    terraform("apply", "-auto-approve")
    made = json.loads(terraform("output", "-json"))
    url, key = f"{node.url}/_aws/execute-api/{made['api']['value']}/prod/7", {"x-api-key": made["key"]["value"]}
    answer = httpx.put(url, json={"name": "Rex"}, headers=key)
    assert (answer.status_code, answer.text, answer.headers["x-stage"]) == (200, "hello 7", "prod")
    assert httpx.put(url, json={}, headers=key).status_code == 400
    assert httpx.put(url, json={"name": "Rex"}, headers=key).status_code == 429
    assert httpx.get(url).status_code == 404
    terraform("plan", "-detailed-exitcode")
    terraform("destroy", "-auto-approve")
    assert name not in [api["name"] for api in node.client("apigateway").get_rest_apis(limit=500)["items"]]
