"""The service over a memory store and a manual clock. Functions "run" as Python callables, by the hash of their archive: a second
implementation of the invoker's contract. Every answer is held against the model's output shape."""

import contextlib
import io
import json
import random
import zipfile
from collections.abc import Callable
from typing import Any

import botocore.session
import pytest

from cumulet.core.clock import ManualClock
from cumulet.core.context import Context, Principal
from cumulet.delivery.targets import Targets
from cumulet.invoke.asynchronous import DurableAsyncInvoker
from cumulet.invoke.contract import Invocation, InvocationResult
from cumulet.runtimes.contract import FunctionSpec
from cumulet.services.functions.api import FunctionsService
from cumulet.services.functions.model import Limits
from cumulet.store.memory import MemoryStore

ROLE = "arn:aws:iam::000000000000:role/lambda"
MODEL = botocore.session.get_session().get_service_model("lambda")


def zip_of(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.py"), text, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


class CallableInvoker:
    """Runs `behaviour(spec, event)`; an exception is the function's own error. Also keeps provisioned counts, as asked."""

    def __init__(self) -> None:
        self.behaviour: Callable[[FunctionSpec, Any], Any] = lambda spec, event: event
        self.invocations: list[tuple[FunctionSpec, Invocation]] = []
        self.provisioned: dict[tuple[str, str, str], int] = {}
        self.started = 0
        self.reserved: dict[str, int | None] = {}
        self.retired: list[tuple[str, Any]] = []

    async def invoke(self, spec: FunctionSpec, invocation: Invocation) -> InvocationResult:
        self.invocations.append((spec, invocation))
        log = f"START RequestId: {invocation.request_id} Version: {spec.version}\n".encode()
        try:
            payload = json.dumps(self.behaviour(spec, json.loads(invocation.payload))).encode()
        except Exception as error:
            document = {"errorMessage": str(error), "errorType": type(error).__name__}
            return InvocationResult(json.dumps(document).encode(), spec.version, "Unhandled", log)
        return InvocationResult(payload, spec.version, None, log)

    def set_provisioned(self, spec: FunctionSpec, count: int) -> None:
        self.provisioned[spec.pool_key] = count

    def ready_provisioned(self, spec: FunctionSpec) -> int:
        return min(self.started, self.provisioned.get(spec.pool_key, 0))

    def set_reserved(self, account: str, function_id: str, reserved: int | None) -> None:
        self.reserved[function_id] = reserved

    def retire(self, function_id: str, keep: Any) -> None:
        self.retired.append((function_id, keep))


class CountingStore(MemoryStore):
    reads = 0

    async def read(self, shard: str, body: Callable[[Any], Any]) -> Any:
        self.reads += 1
        return await super().read(shard, body)


class World:
    """One node's functions service and what it stands on."""

    def __init__(self, store: CountingStore | None = None, limits: Limits | None = None, objects: Any = None) -> None:
        self.store = store or CountingStore()
        self.clock = ManualClock(1_767_225_600_000)
        self.invoker = CallableInvoker()
        self.asynchronous = DurableAsyncInvoker(
            self.store, self.clock, self.invoker, lambda *place: self.service.resolve(*place), Targets()
        )
        self.objects: dict[tuple[str, str], bytes] = objects if objects is not None else {}
        self.service = FunctionsService(
            self.store,
            self.clock,
            self.invoker,
            self.asynchronous,
            url_of=lambda url_id, region: f"http://127.0.0.1:4566/_aws/lambda-url/{url_id}/",
            fetch_object=self._fetch,
            set_reserved=self.invoker.set_reserved,
            retire=self.invoker.retire,
            warm=self.invoker,
            limits=limits,
            dice=random.Random(7),
        )
        self._operations = self.service.operations()

    async def _fetch(self, bucket: str, key: str, version: str | None) -> bytes:
        return self.objects[bucket, key]

    async def __call__(self, name: str, *, account: str = "000000000000", region: str = "us-east-1", **req: Any) -> dict[str, Any]:
        arn = f"arn:aws:iam::{account}:root"
        ctx = Context(account, region, "req-1", Principal(account, arn, account, "AKIA"), "http://127.0.0.1:4566")
        result = await self._operations[name](ctx, req)
        shape = MODEL.operation_model(name).output_shape
        if shape is not None:
            check_shape(shape, result, name)
        else:
            assert result == {}
        return result

    async def create(self, name: str = "hello", **more: Any) -> dict[str, Any]:
        archive = more.pop("archive", zip_of(app="def handler(event, context): return event"))
        settings = {"Runtime": "python3.12", "Handler": "app.handler", "Role": ROLE, "Code": {"ZipFile": archive}}
        return await self("CreateFunction", FunctionName=name, **(settings | more))


def check_shape(shape: Any, value: Any, path: str) -> None:
    """Every member is one that the model knows, of the type that it says."""
    kind = shape.type_name
    if kind == "structure":
        assert set(value) <= set(shape.members), f"{path}: {set(value) - set(shape.members)}"
        for name, item in value.items():
            check_shape(shape.members[name], item, f"{path}.{name}")
        missing = set(shape.required_members) - set(value)
        assert not missing or path == "GetFunctionCodeSigningConfig", f"{path} lacks {missing}"
    elif kind == "list":
        for item in value:
            check_shape(shape.member, item, f"{path}[]")
    elif kind == "map":
        for item in value.values():
            check_shape(shape.value, item, f"{path}{{}}")
    elif kind == "string":
        assert isinstance(value, str), path
        enum = shape.metadata.get("enum")
        assert not enum or value in enum, f"{path}: {value}"
    elif kind in ("integer", "long"):
        assert type(value) is int, path
    elif kind == "boolean":
        assert type(value) is bool, path
    elif kind == "timestamp":
        assert isinstance(value, int | float), path
    elif kind == "blob":
        assert isinstance(value, bytes), path


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def make_world() -> type[World]:
    return World


@pytest.fixture
def archive_of() -> Callable[..., bytes]:
    return zip_of


@pytest.fixture
def refused() -> Callable[..., Any]:
    """`async with refused("ResourceNotFoundException") as fault:` the block must end in that fault."""

    @contextlib.asynccontextmanager
    async def expect(code: str) -> Any:
        found: dict[str, Any] = {}
        try:
            yield found
        except Exception as error:
            assert getattr(error, "code", None) == code, f"{type(error).__name__}: {error}"
            found["message"] = str(error)
            found["status"] = error.status  # type: ignore[attr-defined]
            found["fields"] = error.fields  # type: ignore[attr-defined]
        else:
            pytest.fail(f"{code} was not raised")

    return expect
