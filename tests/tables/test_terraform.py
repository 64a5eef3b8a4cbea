"""Terraform's tables: applied, planned clean, changed, planned clean again, destroyed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.test_terraform import MIRROR, Terraform

from .conftest import Node

HERE = Path(__file__).parent / "terraform"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which("terraform") or not (MIRROR / "registry.terraform.io/hashicorp/aws").is_dir(),
        reason="no terraform with a local mirror of the aws provider (TERRAFORM_PLUGIN_MIRROR)",
    ),
]


def run(terraform: Terraform, *arguments: str) -> str:
    done = terraform.run(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_tables_are_applied_changed_and_destroyed(node: Node, name: str, tmp_path: Path) -> None:
    shutil.copy(HERE / "main.tf", tmp_path)
    terraform = Terraform(tmp_path, node.environment | {"TF_VAR_name": name})
    dynamodb = node.client("dynamodb", region="eu-west-1")

    def table() -> dict[str, Any]:
        found: dict[str, Any] = dynamodb.describe_table(TableName=name)["Table"]
        return found

    run(terraform, "init")
    run(terraform, "apply", "-auto-approve")
    run(terraform, "plan", "-detailed-exitcode")  # 2 would say that something is to be changed
    first = table()
    told = json.loads(run(terraform, "output", "-json"))
    assert told["stream"]["value"] == first["LatestStreamArn"] and told["seen"]["value"] == first["TableArn"]
    assert dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]["TimeToLiveStatus"] == "ENABLED"

    spread = f"{name}-spread"
    dynamodb.put_item(TableName=spread, Item={"pk": {"S": "everywhere"}})

    change = ("-var", "stage=second")
    run(terraform, "apply", "-auto-approve", *change)
    run(terraform, "plan", "-detailed-exitcode", *change)
    second = table()
    assert second["TableId"] == first["TableId"]  # it was changed, and not made anew
    assert [index["IndexName"] for index in second["GlobalSecondaryIndexes"]] == ["by-owner", "by-state"]
    assert second["StreamSpecification"]["StreamViewType"] == "KEYS_ONLY"
    item = dynamodb.get_item(TableName=name, Key={"pk": {"S": "welcome"}, "sk": {"N": "1"}})["Item"]
    assert item["owner"] == {"S": "second"}
    assert dynamodb.list_tags_of_resource(ResourceArn=second["TableArn"])["Tags"] == [{"Key": "stage", "Value": "second"}]
    assert dynamodb.describe_table(TableName=f"{name}-counts")["Table"]["ProvisionedThroughput"]["ReadCapacityUnits"] == 7
    replicas = dynamodb.describe_table(TableName=spread)["Table"]["Replicas"]
    assert sorted(each["RegionName"] for each in replicas) == ["ap-south-1", "eu-central-1"]
    new = node.client("dynamodb", region="ap-south-1")
    assert new.scan(TableName=spread)["Items"] == [{"pk": {"S": "everywhere"}}]

    old = node.client("dynamodb", region="eu-central-1")
    arn = old.describe_table(TableName=spread)["Table"]["TableArn"]
    assert old.list_tags_of_resource(ResourceArn=arn)["Tags"] == [{"Key": "stage", "Value": "second"}]

    run(terraform, "destroy", "-auto-approve", *change)
    assert [each for each in dynamodb.list_tables()["TableNames"] if each.startswith(name)] == []
    assert spread not in new.list_tables()["TableNames"]
