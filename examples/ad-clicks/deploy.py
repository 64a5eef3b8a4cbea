"""Makes the two tables, the function and the mapping between them, with boto3 alone. Running it again changes nothing.

Needs the environment that `cumulet env` prints; `--suffix` keeps several apart.
"""

import argparse
import io
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import boto3

CODE = Path(__file__).with_name("counter.py")


def main(suffix=""):
    tables, functions = boto3.client("dynamodb"), boto3.client("lambda")
    clicks, counts, counter = f"clicks{suffix}", f"counts{suffix}", f"counter{suffix}"
    create_table(tables, clicks, "click", StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"})
    create_table(tables, counts, "ad")
    create_function(functions, counter, counts)
    stream = tables.describe_table(TableName=clicks)["Table"]["LatestStreamArn"]
    connect(functions, counter, stream)
    print(f"every item of {clicks} is now counted in {counts}")


def create_table(tables, name, key, **more):
    with suppress(tables.exceptions.ResourceInUseException):
        tables.create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
            **more,
        )
    tables.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})


def create_function(functions, name, counts):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.write(CODE, CODE.name)
    with suppress(functions.exceptions.ResourceConflictException):
        functions.create_function(
            FunctionName=name,
            Runtime=f"python3.{sys.version_info.minor}",
            Handler="counter.handler",
            Role="arn:aws:iam::000000000000:role/counter",
            Code={"ZipFile": archive.getvalue()},
            Environment={"Variables": {"COUNTS_TABLE": counts}},
            Timeout=30,
            MemorySize=256,
        )
    functions.get_waiter("function_active_v2").wait(FunctionName=name)


def connect(functions, name, stream):
    if functions.list_event_source_mappings(FunctionName=name, EventSourceArn=stream)["EventSourceMappings"]:
        return
    functions.create_event_source_mapping(
        FunctionName=name, EventSourceArn=stream, StartingPosition="TRIM_HORIZON", BatchSize=100, BisectBatchOnFunctionError=True
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suffix", default="")
    main(parser.parse_args().suffix)
