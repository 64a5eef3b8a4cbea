"""A chat as its functions: one a route, and a room that remembers who is there. Deployed by the tests, run by the node."""

import json
import os

import boto3
from botocore.config import Config

IDS = []


def room(event, context):
    """The only one of its kind (reserved concurrency 1), so that its memory is the room's."""
    if event["op"] == "add":
        IDS.append(event["id"])
    elif event["op"] == "remove" and event["id"] in IDS:
        IDS.remove(event["id"])
    return IDS


def ask_room(op, id=None):
    client = boto3.client("lambda", config=Config(retries={"max_attempts": 4, "mode": "standard"}))
    answer = client.invoke(FunctionName=os.environ["ROOM"], Payload=json.dumps({"op": op, "id": id}))
    return json.load(answer["Payload"])


def connect(event, context):
    if (event.get("queryStringParameters") or {}).get("password") == "wrong":
        return {"statusCode": 401}
    ask_room("add", event["requestContext"]["connectionId"])
    return {"statusCode": 200}


def disconnect(event, context):
    ask_room("remove", event["requestContext"]["connectionId"])
    return {"statusCode": 200}


def default(event, context):
    return {"statusCode": 200, "body": json.dumps({"usage": "sendmessage", "you": event["requestContext"]["connectionId"]})}


def sendmessage(event, context):
    place = event["requestContext"]
    connections = boto3.client("apigatewaymanagementapi", endpoint_url=f"http://{place['domainName']}/{place['stage']}")
    told = json.dumps({"from": place["connectionId"], "text": json.loads(event["body"])["text"]})
    for id in ask_room("list"):
        try:
            connections.post_to_connection(ConnectionId=id, Data=told.encode())
        except connections.exceptions.GoneException:
            ask_room("remove", id)
    return {"statusCode": 200}
