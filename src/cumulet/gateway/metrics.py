"""Counters and histograms of the node, and their text for Prometheus: numbers in dictionaries, cheap to add to."""

from bisect import bisect_left
from collections.abc import Callable, Mapping

Labels = tuple[str, ...]

DURATION_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 900.0)


class Counter:
    """A sum by labels that only grows."""

    kind = "counter"

    def __init__(self, name: str, help_text: str, labels: Labels) -> None:
        self.name, self.help_text, self.labels = name, help_text, labels
        self._values: dict[Labels, float] = {}

    def add(self, *labels: str, by: float = 1) -> None:
        self._values[labels] = self._values.get(labels, 0) + by

    def lines(self) -> list[str]:
        return [f"{self.name}{_braces(self.labels, key)} {_number(value)}" for key, value in sorted(self._values.items())]


class Histogram:
    """Durations in seconds, by labels, in fixed buckets."""

    kind = "histogram"

    def __init__(self, name: str, help_text: str, labels: Labels, buckets: tuple[float, ...] = DURATION_BUCKETS_S) -> None:
        self.name, self.help_text, self.labels, self.buckets = name, help_text, labels, buckets
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}

    def observe(self, value_s: float, *labels: str) -> None:
        counts = self._counts.get(labels)
        if counts is None:
            counts = self._counts[labels] = [0] * (len(self.buckets) + 1)
            self._sums[labels] = 0.0
        counts[bisect_left(self.buckets, value_s)] += 1
        self._sums[labels] += value_s

    def lines(self) -> list[str]:
        found = []
        names = (*self.labels, "le")
        for key, counts in sorted(self._counts.items()):
            total = 0
            for bound, count in zip((*map(_number, self.buckets), "+Inf"), counts, strict=True):
                total += count
                found.append(f"{self.name}_bucket{_braces(names, (*key, bound))} {total}")
            found.append(f"{self.name}_sum{_braces(self.labels, key)} {self._sums[key]:.6f}")
            found.append(f"{self.name}_count{_braces(self.labels, key)} {total}")
        return found


class Gauge:
    """Numbers that are asked for when the page is: {labels: value}."""

    kind = "gauge"

    def __init__(self, name: str, help_text: str, labels: Labels, read: Callable[[], Mapping[Labels, float]]) -> None:
        self.name, self.help_text, self.labels, self._read = name, help_text, labels, read

    def lines(self) -> list[str]:
        return [f"{self.name}{_braces(self.labels, key)} {_number(value)}" for key, value in sorted(self._read().items())]


class Metrics:
    """All of the node's. Names of functions and accounts are no labels: their number has no bound."""

    def __init__(self) -> None:
        self.requests = Counter("cumulet_requests_total", "Requests answered.", ("service", "operation", "status"))
        self.request_seconds = Histogram("cumulet_request_seconds", "From a whole request to its answer.", ("service",))
        self.invocations = Counter(
            "cumulet_invocations_total", "Invocations that ran.", ("runtime", "cold_start", "function_error")
        )
        self.invocation_seconds = Histogram(
            "cumulet_invocation_seconds", "From the invoker's door to its answer.", ("runtime", "cold_start")
        )
        self.phase_seconds = Histogram("cumulet_cold_start_phase_seconds", "Phases of cold starts.", ("runtime", "phase"))
        self.throttles = Counter("cumulet_throttles_total", "Invocations refused for want of concurrency.", ("reason",))
        self.gauges: list[Gauge] = []

    def text(self) -> str:
        """The page, in Prometheus' text format 0.0.4."""
        found: list[str] = []
        metrics: list[Counter | Histogram | Gauge] = [
            self.requests,
            self.request_seconds,
            self.invocations,
            self.invocation_seconds,
            self.phase_seconds,
            self.throttles,
            *self.gauges,
        ]
        for metric in metrics:
            found += [f"# HELP {metric.name} {metric.help_text}", f"# TYPE {metric.name} {metric.kind}", *metric.lines()]
        return "\n".join(found) + "\n"


def _braces(names: Labels, values: Labels) -> str:
    if not names:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True)) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return f"{value:g}" if value != int(value) else str(int(value))
