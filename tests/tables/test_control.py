"""Tables are made, described, changed and dropped, and what is against a rule is said in DynamoDB's words."""

from typing import Any

import pytest

from .conftest import ACCOUNT, REGION, InProcess, index, refusal, schema

PROVISIONED = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 3}
INVALID = "One or more parameter values were invalid: "


def attributes(**types: str) -> list[dict[str, str]]:
    return [{"AttributeName": name, "AttributeType": kind} for name, kind in types.items()]


def test_a_table_is_made_described_listed_and_dropped(tables: InProcess) -> None:
    made = tables.call("CreateTable", TableName="music", **schema("S", "N"))["TableDescription"]
    assert made["TableStatus"] == "CREATING"
    assert made["TableArn"] == f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/music"
    found = tables.call("DescribeTable", TableName=made["TableArn"])["Table"]
    assert found["TableStatus"] == "ACTIVE" and found["TableId"] == made["TableId"]
    assert found["KeySchema"] == [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
    assert found["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert found["ProvisionedThroughput"] == {"NumberOfDecreasesToday": 0, "ReadCapacityUnits": 0, "WriteCapacityUnits": 0}
    assert tables.call("ListTables")["TableNames"] == ["music"]
    assert tables.call("DeleteTable", TableName="music")["TableDescription"]["TableStatus"] == "DELETING"
    tables.settle()
    assert refusal(lambda: tables.call("DescribeTable", TableName="music")) == (
        "ResourceNotFoundException",
        "Requested resource not found: Table: music not found",
    )
    assert tables.call("ListTables")["TableNames"] == []


def test_names_come_in_pages(tables: InProcess) -> None:
    names = sorted(f"table-{number}" for number in range(7))
    for each in names:
        tables.call("CreateTable", TableName=each, **schema())
    first = tables.call("ListTables", Limit=3)
    assert first == {"TableNames": names[:3], "LastEvaluatedTableName": names[2]}
    rest = tables.call("ListTables", ExclusiveStartTableName=names[2])
    assert rest == {"TableNames": names[3:]}


def test_a_name_is_taken_once(tables: InProcess) -> None:
    tables.call("CreateTable", TableName="music", **schema())
    assert refusal(lambda: tables.call("CreateTable", TableName="music", **schema())) == (
        "ResourceInUseException",
        "Table already exists: music",
    )


def test_an_index_of_each_kind_is_described(tables: InProcess) -> None:
    definition = schema("S", "S") | {
        "AttributeDefinitions": attributes(pk="S", sk="S", at="N", owner="S"),
        "LocalSecondaryIndexes": [index("by-at", "pk", "at", "KEYS_ONLY")],
        "GlobalSecondaryIndexes": [index("by-owner", "owner", "at", "INCLUDE", "title")],
    }
    tables.call("CreateTable", TableName="music", **definition)
    found = tables.call("DescribeTable", TableName="music")["Table"]
    (local,), (globe,) = found["LocalSecondaryIndexes"], found["GlobalSecondaryIndexes"]
    assert local["IndexArn"].endswith("table/music/index/by-at") and local["Projection"] == {"ProjectionType": "KEYS_ONLY"}
    assert globe["IndexStatus"] == "ACTIVE"
    assert globe["Projection"] == {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["title"]}


ONE, TWO = attributes(pk="S"), attributes(pk="S", sk="S")
HASH, RANGE = {"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"TableName": "ab"}, "TableName must be at least 3 characters long and at most 255 characters long"),
        (
            {"TableName": "a;b;c"},
            "1 validation error detected: Value 'a;b;c' at 'tableName' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
        ),
        (
            {"BillingMode": "PROVISIONED"},
            f"{INVALID}ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        ),
        (
            {"ProvisionedThroughput": PROVISIONED},
            f"{INVALID}Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
        ),
        ({"KeySchema": [RANGE]}, "Invalid KeySchema: The first KeySchemaElement is not a HASH key type"),
        ({"KeySchema": [HASH, HASH]}, "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type"),
        (
            {"KeySchema": [HASH, {"AttributeName": "pk", "KeyType": "RANGE"}]},
            "Both the Hash Key and the Range Key element in the KeySchema have the same name",
        ),
        ({"KeySchema": [HASH, RANGE]}, "Invalid KeySchema: Some index key attribute have no definition"),
        (
            {"AttributeDefinitions": TWO},
            f"{INVALID}Number of attributes in KeySchema does not exactly match number of attributes defined in "
            "AttributeDefinitions",
        ),
        (
            {"AttributeDefinitions": TWO, "GlobalSecondaryIndexes": [index("idx", "pk")]},
            f"{INVALID}Some AttributeDefinitions are not used. AttributeDefinitions: [pk, sk], keys used: [pk]",
        ),
        (
            {"GlobalSecondaryIndexes": [index("idx", "other")]},
            f"{INVALID}Some index key attributes are not defined in AttributeDefinitions. "
            "Keys: [other], AttributeDefinitions: [pk]",
        ),
        ({"GlobalSecondaryIndexes": []}, f"{INVALID}List of GlobalSecondaryIndexes is empty"),
        (
            {"LocalSecondaryIndexes": [index("idx", "pk", "sk")]},
            f"{INVALID}Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex",
        ),
        (
            {"GlobalSecondaryIndexes": [index("idx", "pk"), index("idx", "pk")]},
            f"{INVALID}Duplicate index name: idx",
        ),
        (
            {"GlobalSecondaryIndexes": [index("idx", "pk", None, "INCLUDE")]},
            f"{INVALID}ProjectionType is INCLUDE, but NonKeyAttributes is not specified",
        ),
        (
            {"GlobalSecondaryIndexes": [index("idx", "pk", None, "ALL", "more")]},
            f"{INVALID}ProjectionType is ALL, but NonKeyAttributes is specified",
        ),
        (
            {"GlobalSecondaryIndexes": [index(f"idx{number}", "pk") for number in range(21)]},
            f"{INVALID}GlobalSecondaryIndex count exceeds the per-table limit of 20",
        ),
        (
            {"AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "X"}]},
            "1 validation error detected: Value 'X' at 'attributeDefinitions.1.member.attributeType' failed to satisfy constraint: "
            "Member must satisfy enum value set: [S, N, B]",
        ),
    ],
)
def test_what_no_table_can_be(tables: InProcess, changes: dict[str, Any], message: str) -> None:
    request = {"TableName": "music"} | schema() | changes
    assert refusal(lambda: tables.call("CreateTable", **request)) == ("ValidationException", message)


def test_what_is_against_the_model_is_said_all_at_once(tables: InProcess) -> None:
    code, message = refusal(lambda: tables.call("CreateTable", TableName="music", AttributeDefinitions=[{}], KeySchema=[]))
    assert code == "ValidationException" and message.startswith("3 validation errors detected: ")


def test_capacity_changes_and_says_when(tables: InProcess) -> None:
    definition = schema() | {"BillingMode": "PROVISIONED", "ProvisionedThroughput": PROVISIONED}
    tables.call("CreateTable", TableName="music", **definition)
    code, message = refusal(lambda: tables.call("UpdateTable", TableName="music", ProvisionedThroughput=PROVISIONED))
    assert code == "ValidationException" and message.startswith("The provisioned throughput for the table will not change.")
    tables.clock.advance(seconds=5)
    more = {"ReadCapacityUnits": 10, "WriteCapacityUnits": 3}
    assert (
        tables.call("UpdateTable", TableName="music", ProvisionedThroughput=more)["TableDescription"]["TableStatus"] == "UPDATING"
    )
    found = tables.call("DescribeTable", TableName="music")["Table"]
    assert found["TableStatus"] == "ACTIVE"
    assert found["ProvisionedThroughput"]["ReadCapacityUnits"] == 10
    assert found["ProvisionedThroughput"]["LastIncreaseDateTime"].timestamp() * 1000 == tables.clock.now_ms()
    tables.call("UpdateTable", TableName="music", BillingMode="PAY_PER_REQUEST")
    assert tables.call("DescribeTable", TableName="music")["Table"]["ProvisionedThroughput"]["ReadCapacityUnits"] == 0


def test_a_protected_table_stays(tables: InProcess) -> None:
    tables.call("CreateTable", TableName="music", DeletionProtectionEnabled=True, **schema())
    assert refusal(lambda: tables.call("DeleteTable", TableName="music")) == (
        "ValidationException",
        "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.",
    )
    tables.call("UpdateTable", TableName="music", DeletionProtectionEnabled=False)
    tables.call("DeleteTable", TableName="music")


def test_an_update_must_change_something(tables: InProcess) -> None:
    tables.call("CreateTable", TableName="music", **schema())
    code, message = refusal(lambda: tables.call("UpdateTable", TableName="music"))
    assert code == "ValidationException" and message.startswith("At least one of ProvisionedThroughput, BillingMode")


def test_a_stream_is_switched_on_and_off(tables: InProcess) -> None:
    tables.call("CreateTable", TableName="music", **schema())
    on = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    made = tables.call("UpdateTable", TableName="music", StreamSpecification=on)["TableDescription"]
    assert made["StreamSpecification"] == on
    assert made["LatestStreamArn"] == f"{made['TableArn']}/stream/{made['LatestStreamLabel']}"
    assert refusal(lambda: tables.call("UpdateTable", TableName="music", StreamSpecification=on)) == (
        "ValidationException",
        "Table already has an enabled stream: TableName: music",
    )
    tables.call("UpdateTable", TableName="music", StreamSpecification={"StreamEnabled": False})
    assert "LatestStreamArn" not in tables.call("DescribeTable", TableName="music")["Table"]


def test_time_to_live_is_switched(tables: InProcess) -> None:
    tables.call("CreateTable", TableName="music", **schema())
    describe = lambda: tables.call("DescribeTimeToLive", TableName="music")["TimeToLiveDescription"]  # noqa: E731
    assert describe() == {"TimeToLiveStatus": "DISABLED"}
    on = {"Enabled": True, "AttributeName": "ends"}
    assert tables.call("UpdateTimeToLive", TableName="music", TimeToLiveSpecification=on) == {"TimeToLiveSpecification": on}
    assert describe() == {"TimeToLiveStatus": "ENABLED", "AttributeName": "ends"}
    again = lambda **more: tables.call("UpdateTimeToLive", TableName="music", TimeToLiveSpecification=on | more)  # noqa: E731
    assert refusal(again) == ("ValidationException", "TimeToLive is already enabled")
    assert refusal(lambda: again(AttributeName="other"))[1].startswith("TimeToLive is active on a different AttributeName")
    again(Enabled=False)
    assert describe() == {"TimeToLiveStatus": "DISABLED"}


def test_tags_and_a_policy_go_with_a_table(tables: InProcess) -> None:
    arn = tables.call("CreateTable", TableName="music", Tags=[{"Key": "a", "Value": "1"}], **schema())["TableDescription"][
        "TableArn"
    ]
    tables.call("TagResource", ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}])
    tables.call("UntagResource", ResourceArn=arn, TagKeys=["a"])
    assert tables.call("ListTagsOfResource", ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
    assert refusal(lambda: tables.call("GetResourcePolicy", ResourceArn=arn))[0] == "PolicyNotFoundException"
    policy = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"dynamodb:*","Resource":"*"}]}'
    revision = tables.call("PutResourcePolicy", ResourceArn=arn, Policy=policy)["RevisionId"]
    assert tables.call("GetResourcePolicy", ResourceArn=arn) == {"Policy": policy, "RevisionId": revision}
    tables.call("DeleteResourcePolicy", ResourceArn=arn, ExpectedRevisionId=revision)
    missing = arn.replace("music", "other")
    assert refusal(lambda: tables.call("ListTagsOfResource", ResourceArn=missing)) == (
        "ResourceNotFoundException",
        f"Requested resource not found: ResourcArn: {missing} not found",
    )


def test_limits_and_endpoints(tables: InProcess) -> None:
    assert tables.call("DescribeLimits")["AccountMaxReadCapacityUnits"] == 80_000
    assert tables.call("DescribeEndpoints")["Endpoints"] == [{"Address": "127.0.0.1:4566", "CachePeriodInMinutes": 1440}]
