"""What a node's start reads of functions: what must be known before the first call, however many there are."""

from typing import Any

from cumulet.store.memory import MemoryStore


class CountingReader:
    """Counts the values that are read through it."""

    def __init__(self, reader: Any, store: "CountingStore") -> None:
        self._reader = reader
        self._store = store

    def get(self, key: bytes) -> bytes | None:
        self._store.values += 1
        return self._reader.get(key)

    def scan(self, *args: Any, **more: Any) -> Any:
        for pair in self._reader.scan(*args, **more):
            self._store.values += 1
            yield pair


class CountingStore(MemoryStore):
    values = 0

    async def read(self, shard: str, body: Any) -> Any:
        return await super().read(shard, lambda reader: body(CountingReader(reader, self)))


async def test_a_start_does_not_read_every_function(make_world, archive_of):
    store = CountingStore()
    world = make_world(store)
    await world.service.open()
    archive = archive_of(app="def handler(event, context): return event")
    for number in range(60):
        await world.create(f"f-{number}", archive=archive)
    await world("PutFunctionConcurrency", FunctionName="f-7", ReservedConcurrentExecutions=5)
    await world("PutFunctionConcurrency", FunctionName="f-8", ReservedConcurrentExecutions=6)
    await world("DeleteFunctionConcurrency", FunctionName="f-8")
    await make_world(store).service.open()  # the first start that finds this account

    again = make_world(store)
    store.values = 0
    await again.service.open()
    assert list(again.invoker.reserved.values()) == [5]
    assert await again.service.event_source_mappings() == []
    assert store.values < 10


async def test_reservations_of_deleted_functions_are_forgotten(make_world):
    store = MemoryStore()
    world = make_world(store)
    await world.create("gone")
    await world("PutFunctionConcurrency", FunctionName="gone", ReservedConcurrentExecutions=5)
    await world("DeleteFunction", FunctionName="gone")
    again = make_world(store)
    await again.service.open()
    assert again.invoker.reserved == {}
    assert (await again("GetAccountSettings"))["AccountLimit"]["UnreservedConcurrentExecutions"] == 1000
