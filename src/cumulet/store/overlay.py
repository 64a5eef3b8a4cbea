"""Changes on top of a view: what a transaction sees of itself before it is committed."""

from collections.abc import Iterator, Sequence

from cumulet.store.contract import Reader


class Overlay:
    """A Txn over any Reader. `changes` holds the new values by key, None for a deletion."""

    def __init__(self, base: Reader) -> None:
        self._base = base
        self.changes: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        if key in self.changes:
            return self.changes[key]
        return self._base.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.get(key) for key in keys] if self.changes else self._base.get_many(keys)

    def put(self, key: bytes, value: bytes) -> None:
        self.changes[key] = value

    def delete(self, key: bytes) -> None:
        self.changes[key] = None

    def scan(
        self, start: bytes, end: bytes | None = None, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        if not self.changes:
            return self._base.scan(start, end, reverse=reverse, limit=limit)
        return self._merged(start, end, reverse, limit)

    def _merged(self, start: bytes, end: bytes | None, reverse: bool, limit: int | None) -> Iterator[tuple[bytes, bytes]]:
        """The base's pairs and the changed ones, in order; a changed key hides the base's."""
        changed = sorted(
            ((key, value) for key, value in self.changes.items() if start <= key and (end is None or key < end)), reverse=reverse
        )
        base = self._base.scan(start, end, reverse=reverse)
        given, at = 0, 0
        pair = next(base, None)
        while (limit is None or given < limit) and (pair is not None or at < len(changed)):
            if pair is not None and (at == len(changed) or (pair[0] > changed[at][0] if reverse else pair[0] < changed[at][0])):
                yield pair
                given += 1
                pair = next(base, None)
                continue
            key, value = changed[at]
            at += 1
            if pair is not None and pair[0] == key:
                pair = next(base, None)
            if value is not None:
                yield key, value
                given += 1
