"""The tables service: its operations, one class a group of nouns, over one storage; and its loops."""

import asyncio
from collections.abc import Mapping

from cumulet.core.clock import Clock
from cumulet.core.operations import Handler, operations_of
from cumulet.services.tables import storage
from cumulet.services.tables.api_backups import BackupOperations
from cumulet.services.tables.api_batches import BatchOperations
from cumulet.services.tables.api_items import ItemOperations
from cumulet.services.tables.api_partiql import StatementOperations
from cumulet.services.tables.api_queries import QueryOperations
from cumulet.services.tables.api_settings import SettingOperations
from cumulet.services.tables.api_tables import TableOperations
from cumulet.services.tables.api_transactions import TransactionOperations
from cumulet.services.tables.catalogue import Catalogue
from cumulet.services.tables.census import Census
from cumulet.services.tables.changes import Changes
from cumulet.services.tables.copies import Copies
from cumulet.services.tables.data import Data
from cumulet.services.tables.item_keys import keys_of
from cumulet.services.tables.jobs import Jobs
from cumulet.services.tables.replication import Replication
from cumulet.services.tables.streams import Streams
from cumulet.services.tables.throughput import Buckets
from cumulet.services.tables.ttl import Expiries
from cumulet.services.tables.upkeep import Upkeep
from cumulet.store.contract import Store


class TablesService:
    """DynamoDB's API. `open` before the first request, `run` beside them, `close` at the end."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._catalogues: dict[str, Catalogue] = {}
        self.streams = Streams(store, clock)
        census = self._census = Census(store, clock)
        changes = Changes(self.streams, lambda shard, expires_s: self._expiries.noticed(shard, expires_s))
        upkeep = Upkeep(
            clock,
            self._catalogue_of,
            keys_of,
            changes,
            census,
            lambda shard, expires_s: self._expiries.noticed(shard, expires_s),
        )
        self._expiries = Expiries(store, clock, upkeep.delete_due, self.streams.added)
        copies = self._copies = Copies(store, clock, self._catalogue_of, keys_of, changes)
        jobs = self._jobs = Jobs(store, {**upkeep.steps, **copies.steps})
        replication = self._replication = Replication(store, clock, self._catalogue_of, keys_of, changes, self.streams, jobs)
        self.streams.find_needed = replication.find_needed
        data = self.data = Data(store, clock, self._catalogue_of, changes, self.streams, Buckets(clock))
        self.handlers: Mapping[str, Handler] = operations_of(
            TableOperations(store, clock, self._catalogue_of, jobs, census, self.streams, replication.noticed),
            SettingOperations(store, clock, self._catalogue_of, jobs, replication.noticed),
            BackupOperations(store, clock, self._catalogue_of, jobs, census, copies.seen),
            ItemOperations(data),
            BatchOperations(data),
            QueryOperations(data),
            TransactionOperations(data),
            StatementOperations(data),
        )

    async def open(self) -> None:
        """Take up what an earlier run of the node left: once, before the first request."""
        for shard in await self._store.list_shards():
            if storage.find_place(shard) is not None:
                await self._jobs.recover(shard)
                self.streams.recover(shard)
                self._copies.seen(shard)
                self._expiries.recover(shard)
                await self._replication.recover(shard)

    async def run(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as loops:
            for loop in (self._jobs, self.streams, self._expiries, self._copies, self._replication):
                loops.create_task(loop.run(stop))
        await self._census.close()

    def _catalogue_of(self, shard: str) -> Catalogue:
        found = self._catalogues.get(shard)
        if found is None:
            found = self._catalogues[shard] = Catalogue()
        return found
