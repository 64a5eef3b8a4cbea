"""Tables by name, parsed once for each change of their documents.

What is in the store decides: every transaction reads the table's document, and only its meaning is remembered. So a write never
misses an index that was made a moment before, on whichever node.
"""

import orjson

from cumulet.services.tables import storage
from cumulet.services.tables.errors import ResourceNotFound
from cumulet.services.tables.model import Table
from cumulet.store.contract import Reader

_MOST_KNOWN = 20_000


class Catalogue:
    """The tables of one shard."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[bytes, bytes, Table]] = {}

    def find(self, reader: Reader, name: str) -> Table | None:
        known = self._known.get(name)
        key = known[0] if known is not None else storage.table_key(name)
        raw = reader.get(key)
        if raw is None:
            self._known.pop(name, None)
            return None
        if known is not None and known[1] == raw:
            return known[2]
        table = Table.from_document(orjson.loads(raw))
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[name] = (key, raw, table)
        return table

    def get(self, reader: Reader, name: str) -> Table:
        """Raises ResourceNotFound as operations on tables say it."""
        table = self.find(reader, name)
        if table is None:
            raise ResourceNotFound(f"Requested resource not found: Table: {name} not found")
        return table

    def get_usable(self, reader: Reader, name: str) -> Table:
        """A table that items can be read from and written to. Raises ResourceNotFound as operations on items say it."""
        table = self.find(reader, name)
        if table is None or not table.is_usable:
            raise ResourceNotFound("Requested resource not found")
        return table
