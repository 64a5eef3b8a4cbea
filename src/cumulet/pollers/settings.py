"""How a stream mapping batches, retries and filters: the wire's members as one value. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import orjson

from cumulet.core.event_patterns import Pattern, compile_pattern

StartingPosition = Literal["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"]


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """None is "no limit" for `maximum_retries` and `maximum_age_ms`, and "no windows" for `tumbling_ms`."""

    batch_size: int = 100
    batching_window_ms: int = 0
    parallelisation: int = 1
    starts_at: StartingPosition = "TRIM_HORIZON"
    starts_at_ms: int = 0
    is_bisected: bool = False
    maximum_retries: int | None = None
    maximum_age_ms: int | None = None
    reports_item_failures: bool = False
    tumbling_ms: int | None = None
    on_failure: str | None = None
    filters: tuple[str, ...] = ()

    def wants(self, body: Mapping[str, Any]) -> bool:
        """Whether a record gets through the filters: one that fits is enough, none at all let everything through."""
        return not self.filters or any(_compiled(text).matches(body) for text in self.filters)


def settings_of(members: Mapping[str, Any]) -> StreamSettings:
    """The settings that a mapping's members on the wire say."""
    retries, age_s = members.get("MaximumRetryAttempts", -1), members.get("MaximumRecordAgeInSeconds", -1)
    filters = (members.get("FilterCriteria") or {}).get("Filters") or ()
    on_failure = ((members.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination")
    return StreamSettings(
        batch_size=members.get("BatchSize") or 100,
        batching_window_ms=(members.get("MaximumBatchingWindowInSeconds") or 0) * 1000,
        parallelisation=members.get("ParallelizationFactor") or 1,
        starts_at=members.get("StartingPosition") or "TRIM_HORIZON",
        starts_at_ms=int((members.get("StartingPositionTimestamp") or 0) * 1000),
        is_bisected=bool(members.get("BisectBatchOnFunctionError")),
        maximum_retries=None if retries is None or retries < 0 else retries,
        maximum_age_ms=None if age_s is None or age_s < 0 else age_s * 1000,
        reports_item_failures="ReportBatchItemFailures" in (members.get("FunctionResponseTypes") or ()),
        tumbling_ms=(members.get("TumblingWindowInSeconds") or 0) * 1000 or None,
        on_failure=on_failure or None,
        filters=tuple(each.get("Pattern") or "{}" for each in filters),
    )


@lru_cache(maxsize=1024)
def _compiled(text: str) -> Pattern:
    """A filter was judged when it was set; `{}` lets everything through, which patterns elsewhere may not."""
    return compile_pattern(text) if orjson.loads(text) else _Everything()


class _Everything(Pattern):
    def __init__(self) -> None:
        pass

    def matches(self, event: Any) -> bool:
        return True
