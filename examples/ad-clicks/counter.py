"""Counts clicks per ad: called with batches of what was added to the table of clicks, in order.

A batch may come twice. So each count says up to which record it counts, and only later ones are added.
"""

import os
from collections import defaultdict

import boto3

counts = boto3.resource("dynamodb").Table(os.environ["COUNTS_TABLE"])


def handler(event, context):
    by_ad = defaultdict(list)
    for record in event["Records"]:
        if record["eventName"] == "INSERT":
            change = record["dynamodb"]
            by_ad[change["NewImage"]["ad"]["S"]].append(int(change["SequenceNumber"]))
    for ad, sequences in by_ad.items():
        add(ad, sequences)


def add(ad, sequences):
    counted_to = counts.get_item(Key={"ad": ad}, ConsistentRead=True).get("Item", {}).get("counted_to", 0)
    new = [sequence for sequence in sequences if sequence > counted_to]
    if new:
        counts.update_item(
            Key={"ad": ad},
            UpdateExpression="ADD clicks :new SET counted_to = :last",
            ConditionExpression="attribute_not_exists(counted_to) OR counted_to = :counted_to",
            ExpressionAttributeValues={":new": len(new), ":last": max(new), ":counted_to": counted_to},
        )
