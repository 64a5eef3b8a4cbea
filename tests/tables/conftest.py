"""Tables two ways: on a real node, spoken to with boto3; and in this process on the store in memory, behind the same wire."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.awsrequest import HeadersDict
from botocore.exceptions import ClientError
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from botocore.session import get_session

from cumulet.core.clock import ManualClock
from cumulet.core.context import Context, Principal
from cumulet.core.errors import Fault
from cumulet.core.http import Request
from cumulet.services.tables.api import TablesService
from cumulet.services.tables.api_streams import TableStreamsService
from cumulet.store.contract import Store
from cumulet.store.memory import MemoryStore
from cumulet.wire.service import load_service
from real_node import Node, name, node, start_node  # noqa: F401  (fixtures)

ACCOUNT, REGION = "000000000000", "eu-west-1"
_MODEL, _STREAMS_MODEL = (get_session().get_service_model(api) for api in ("dynamodb", "dynamodbstreams"))


class InProcess:
    """The service with its loops, a step of them at every call. `call("PutItem", TableName=…)` as a boto3 client has it: requests
    are written and answers read by botocore, so that they pass the whole wire."""

    def __init__(self, store: Store | None = None, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.store = store or MemoryStore()
        self.loop = asyncio.new_event_loop()
        self.stop = asyncio.Event()
        self.service = TablesService(self.store, self.clock)
        self.handlers = {**self.service.handlers, **TableStreamsService(self.store, self.clock, self.service.streams).handlers}
        self.loop.run_until_complete(self.service.open())
        self.running = self.loop.create_task(self.service.run(self.stop))
        self._wire = load_service("dynamodb")
        self._serializer = create_serializer("json", include_validation=False)
        self._parser = create_parser("json")
        self.loop.run_until_complete(asyncio.sleep(0))  # the loops begin

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        return self.loop.run_until_complete(self.answer(operation, request))

    def call_in(self, region: str, operation: str, **request: Any) -> dict[str, Any]:
        return self.loop.run_until_complete(self.answer(operation, request, region))

    async def answer(self, operation: str, request: dict[str, Any], region: str = REGION) -> dict[str, Any]:
        model = _MODEL.operation_model(operation)
        serialized = self._serializer.serialize_to_request(request, model)
        return await self.answer_raw(operation, bytes(serialized["body"]), region)

    async def answer_raw(self, operation: str, body: bytes, region: str = REGION) -> dict[str, Any]:
        """A request's body as it is sent. Raises ClientError; any other exception is a bug."""
        is_stream = operation not in self.service.handlers
        wire = (load_service("dynamodbstreams") if is_stream else self._wire).operation(operation)
        principal = Principal(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT, "AKIATEST")
        context = Context(ACCOUNT, region, "the-id", principal, "http://127.0.0.1:4566")
        headers = [("x-amz-target", f"DynamoDB_20120810.{operation}")]
        try:
            decoded = wire.decode(Request("POST", "/", "", headers, body))
            response = wire.encode(await self.handlers[operation](context, decoded), "the-id")
        except Fault as fault:
            response = wire.encode_fault(fault, "the-id")
        assert isinstance(response.body, bytes)
        raw = {"status_code": response.status, "headers": HeadersDict(response.headers), "body": response.body}
        model = _STREAMS_MODEL if is_stream else _MODEL
        parsed: dict[str, Any] = self._parser.parse(raw, model.operation_model(operation).output_shape)
        if response.status >= 300:
            shape = model.shape_for_error_code(parsed["Error"]["Code"])
            parsed.update(self._parser.parse(raw, shape) if shape is not None else {})
            raise ClientError(parsed, operation)
        del parsed["ResponseMetadata"]
        return parsed

    def settle(self) -> None:
        """Let the loops do what is due."""

        async def turn() -> None:
            for _ in range(20):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turn())

    def close(self) -> None:
        self.stop.set()
        self.loop.run_until_complete(self.running)
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


@pytest.fixture
def tables() -> Iterator[InProcess]:
    running = InProcess()
    yield running
    running.close()


def schema(hash_type: str = "S", range_type: str | None = None) -> dict[str, Any]:
    """The key `pk`, and `sk` where it has a type, of a table on demand."""
    names = [("pk", hash_type, "HASH")] + ([("sk", range_type, "RANGE")] if range_type else [])
    return {
        "AttributeDefinitions": [{"AttributeName": each, "AttributeType": kind} for each, kind, _ in names],
        "KeySchema": [{"AttributeName": each, "KeyType": kind} for each, _, kind in names],
        "BillingMode": "PAY_PER_REQUEST",
    }


def index(title: str, hash_name: str, range_name: str | None = None, projection: str = "ALL", *attributes: str) -> dict[str, Any]:
    keys = [{"AttributeName": hash_name, "KeyType": "HASH"}]
    if range_name:
        keys.append({"AttributeName": range_name, "KeyType": "RANGE"})
    projected: dict[str, Any] = {"ProjectionType": projection}
    if attributes:
        projected["NonKeyAttributes"] = list(attributes)
    return {"IndexName": title, "KeySchema": keys, "Projection": projected}


def refusal(call: Any) -> tuple[str, str]:
    """(code, message) of the error that a call raises."""
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]
