"""Operations that try what is not deployed."""

from collections.abc import Mapping
from typing import Any, Protocol

from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.rest_apis import storage
from cumulet.services.rest_apis.finding import get, get_api, integration_of
from cumulet.services.rest_apis.live import snapshot_of
from cumulet.services.rest_apis.model import Document, Place, place_of
from cumulet.store.contract import Reader, Store


class Trials(Protocol):
    """Runs a method or an authorizer of a snapshot."""

    async def invoke_method(
        self, place: Place, snapshot: Document, path: str, method: str, given: Mapping[str, Any]
    ) -> Document: ...

    async def invoke_authorizer(
        self, place: Place, snapshot: Document, authorizer: Document, given: Mapping[str, Any]
    ) -> Document: ...


class TestOperations:
    __test__ = False

    def __init__(self, store: Store, trials: Trials) -> None:
        self._store = store
        self._trials = trials

    @operation("TestInvokeMethod")
    async def test_invoke_method(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader) -> tuple[Document, Document]:
            get_api(reader, place_of(ctx), req["restApiId"])
            resource = get(reader, "resource", req["restApiId"], req["resourceId"])
            integration_of(resource, req["httpMethod"])
            return resource, snapshot_of(reader, req["restApiId"])

        resource, snapshot = await self._store.read(storage.shard_of(place_of(ctx)), read)
        return await self._trials.invoke_method(place_of(ctx), snapshot, resource["path"], req["httpMethod"], req)

    @operation("TestInvokeAuthorizer")
    async def test_invoke_authorizer(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader) -> tuple[Document, Document]:
            get_api(reader, place_of(ctx), req["restApiId"])
            return get(reader, "authorizer", req["restApiId"], req["authorizerId"]), snapshot_of(reader, req["restApiId"])

        authorizer, snapshot = await self._store.read(storage.shard_of(place_of(ctx)), read)
        return await self._trials.invoke_authorizer(place_of(ctx), snapshot, authorizer, req)
