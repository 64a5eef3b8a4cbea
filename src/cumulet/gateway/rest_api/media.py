"""Which media types an API calls binary. Pure."""

from collections.abc import Iterable


class MediaTypes:
    """`*/*`, `image/*` and exact types."""

    def __init__(self, kinds: Iterable[str]) -> None:
        self._kinds = frozenset(kind.lower() for kind in kinds)

    def __contains__(self, kind: str) -> bool:
        """Whether a Content-Type, or the first of an Accept header, is binary."""
        if not self._kinds:
            return False
        if "*/*" in self._kinds:
            return True
        kind = kind.partition(",")[0].partition(";")[0].strip().lower()
        return kind in self._kinds or f"{kind.partition('/')[0]}/*" in self._kinds


def plain(content_type: str) -> str:
    """A Content-Type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()
