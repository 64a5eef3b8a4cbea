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
    command = [str(Path(sys.executable).parent / "aws"), "apigatewayv2", *arguments, "--output", "json"]
    done = subprocess.run(command, env=os.environ | node.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else None


def test_the_aws_cli_makes_an_api(node, name, echo_arn):
    api = _aws(
        node, "create-api", "--name", name, "--protocol-type", "HTTP", "--cors-configuration", "AllowOrigins=https://a.example"
    )
    place = ["--api-id", api["ApiId"]]
    proxy = ["--integration-type", "AWS_PROXY", "--integration-uri", echo_arn, "--payload-format-version", "2.0"]
    integration = _aws(node, "create-integration", *place, *proxy)["IntegrationId"]
    _aws(node, "create-route", *place, "--route-key", "ANY /pets/{id}", "--target", f"integrations/{integration}")
    _aws(node, "create-stage", *place, "--stage-name", "dev", "--auto-deploy", "--stage-variables", "a=b")
    event = httpx.get(f"{node.url}/_aws/execute-api/{api['ApiId']}/dev/pets/7?z=1").json()
    assert (event["rawPath"], event["stageVariables"], event["queryStringParameters"]) == ("/dev/pets/7", {"a": "b"}, {"z": "1"})
    _aws(
        node,
        "update-stage",
        *place,
        "--stage-name",
        "dev",
        "--default-route-settings",
        "ThrottlingRateLimit=0,ThrottlingBurstLimit=0",
    )
    assert httpx.get(f"{node.url}/_aws/execute-api/{api['ApiId']}/dev/pets/7").status_code == 429
    quick = _aws(node, "create-api", "--name", name, "--protocol-type", "HTTP", "--target", echo_arn)
    assert httpx.get(f"{node.url}/_aws/execute-api/{quick['ApiId']}/any").json()["routeKey"] == "$default"
    for each in (api, quick):
        _aws(node, "delete-api", "--api-id", each["ApiId"])


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which("terraform") or not (MIRROR / "registry.terraform.io/hashicorp/aws").is_dir(),
    reason="no terraform with a local mirror of the aws provider (TERRAFORM_PLUGIN_MIRROR)",
)
def test_terraform_applies_plans_clean_changes_and_destroys(node, name, echo_arn, tmp_path):
    shutil.copy(HERE / "main.tf", tmp_path)
    config = tmp_path / "terraform.rc"
    config.write_text(f'provider_installation {{\n  filesystem_mirror {{ path = "{MIRROR}" }}\n}}\n')
    environment = os.environ | node.environment
    environment |= {"TF_CLI_CONFIG_FILE": str(config), "CHECKPOINT_DISABLE": "1", "TF_VAR_name": name, "TF_VAR_function": echo_arn}

    def terraform(*arguments):
        command = ["terraform", *arguments, "-no-color"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    terraform("init")
    terraform("apply", "-auto-approve")
    made = json.loads(terraform("output", "-json"))
    url = f"{node.url}/_aws/execute-api/{made['http']['value']}"
    event = httpx.get(f"{url}/v1/pets/7").json()
    assert (event["routeKey"], event["stageVariables"]) == ("GET /pets/{id}", {"a": "1", "b": "2"})
    assert (httpx.get(f"{url}/v1/admin").status_code, httpx.get(f"{url}/v1/limited").status_code) == (401, 429)
    assert httpx.get(f"{node.url}/shop/pets/7", headers={"Host": f"{name}.example.com"}).json()["rawPath"] == "/shop/pets/7"
    terraform("plan", "-detailed-exitcode")
    environment["TF_VAR_is_changed"] = "true"
    terraform("apply", "-auto-approve")
    terraform("plan", "-detailed-exitcode")
    assert httpx.get(f"{url}/v1/pets/7").json()["stageVariables"] == {"a": "changed"}
    terraform("destroy", "-auto-approve")
    assert name not in [api["Name"] for api in node.client("apigatewayv2").get_apis(MaxResults="500")["Items"]]
