"""Calls of many functions over days, to simulate with: made from a seed, or read from the traces that Azure has published.

The generator follows what is published of the 2019 trace: rates over many orders of magnitude (45 % of functions are called once an
hour at most, 81 % once a minute at most), the shares of triggers, durations ~ lognormal, memory ~ Burr. Rates are cut at
`most_per_h`: what is called more often is never cold whatever the policy, and would only cost time.
"""

import bisect
import csv
import math
import random
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HOUR_S, DAY_S = 3600.0, 86_400.0
TRIGGERS = {"http": 0.55, "timer": 0.16, "queue": 0.15, "orchestration": 0.07, "other": 0.05, "event": 0.02}
_RATES_PER_H = ((0.0, 0.01), (0.45, 1.0), (0.81, 60.0), (0.95, 3600.0), (1.0, 360_000.0))
_PERIODS_S = (60, 300, 600, 900, 1800, 3600, 3600, 6 * 3600, 24 * 3600)
_DEFAULT_MB, _DEFAULT_S = 170, 1.0


@dataclass
class Function:
    """Its calls in order: `arrivals` in seconds since the start of the trace, `durations` in seconds."""

    name: str
    memory_mb: int = _DEFAULT_MB
    cold_ms: float = 500.0
    trigger: str = ""
    arrivals: "array[float]" = field(default_factory=lambda: array("d"))
    durations: "array[float]" = field(default_factory=lambda: array("f"))

    def sort(self) -> None:
        order = sorted(range(len(self.arrivals)), key=self.arrivals.__getitem__)
        self.arrivals = array("d", (self.arrivals[at] for at in order))
        self.durations = array("f", (self.durations[at] for at in order))


def generate(seed: int, functions: int, days: float, most_per_h: float = 240.0) -> list[Function]:
    """The same for the same seed."""
    dice = random.Random(seed)
    return [_made(dice, number, days * DAY_S, most_per_h) for number in range(functions)]


def _made(dice: random.Random, number: int, end_s: float, most_per_h: float) -> Function:
    trigger = dice.choices(list(TRIGGERS), list(TRIGGERS.values()))[0]
    memory_mb = 107.083 * ((1 - dice.random()) ** (-1 / 0.221) - 1) ** (1 / 11.652)
    made = Function(f"f{number}", max(32, min(1500, round(memory_mb))), dice.lognormvariate(math.log(400), 1.0), trigger)
    mean_s = min(60.0, dice.lognormvariate(-0.38, 2.36))
    rate_per_h = min(most_per_h, _rate_per_h(dice.random()))
    arrivals = _timer(dice, end_s, rate_per_h) if trigger == "timer" else _arrivals(dice, trigger, end_s, rate_per_h)
    for arrival_s in arrivals:
        made.arrivals.append(arrival_s)
        made.durations.append(min(900.0, mean_s * dice.lognormvariate(-0.125, 0.5)))
    made.sort()
    return made


def _rate_per_h(share: float) -> float:
    """So large a share of functions is called less often; between the points that are known, along a line of logarithms."""
    at = max(1, bisect.bisect_left(_RATES_PER_H, (share, 0.0)))
    (low, low_rate), (high, high_rate) = _RATES_PER_H[at - 1], _RATES_PER_H[at]
    return low_rate * (high_rate / low_rate) ** ((share - low) / (high - low))


def _timer(dice: random.Random, end_s: float, rate_per_h: float) -> Iterator[float]:
    """At the period nearest to the rate, to the second."""
    period_s = min(_PERIODS_S, key=lambda period_s: abs(math.log(period_s * rate_per_h / HOUR_S)))
    at_s = dice.uniform(0, period_s)
    while at_s < end_s:
        yield at_s + dice.uniform(0, 1)
        at_s += period_s


def _arrivals(dice: random.Random, trigger: str, end_s: float, rate_per_h: float) -> Iterator[float]:
    """At random, more by day than by night; what comes from queues and events comes in bursts."""
    burst = 8.0 if trigger in ("queue", "event", "orchestration") else 1.5
    peak_s, at_s = dice.uniform(0, DAY_S), 0.0
    swing = dice.uniform(0.2, 0.9)
    while True:
        at_s += dice.expovariate(rate_per_h / burst / HOUR_S)
        if at_s >= end_s:
            return
        if dice.random() < (1 + swing * math.cos((at_s - peak_s) / DAY_S * math.tau)) / (1 + swing):
            later_s = at_s
            for _ in range(1 + int(dice.expovariate(1 / max(0.1, burst - 1)))):
                if later_s < end_s:
                    yield later_s
                later_s += dice.expovariate(1 / 2.0)


def read_2019(folder: Path, most_functions: int = 5000) -> list[Function]:
    """Azure Functions trace 2019: `invocations_per_function*.csv` (a file a day, a column a minute), and, where they are there,
    `function_durations*.csv` (milliseconds) and `app_memory*.csv`. Calls within a minute are spread evenly over it."""
    found: dict[str, Function] = {}
    durations_s = {row["HashFunction"]: float(row["Average"]) / 1000 for row in _rows(folder, "function_durations")}
    memory_mb = {row["HashApp"]: float(row["AverageAllocatedMb"]) for row in _rows(folder, "app_memory")}
    for day, path in enumerate(sorted(folder.glob("invocations_per_function*.csv"))):
        for row in _rows_of(path):
            name = row["HashFunction"]
            if name not in found:
                if len(found) >= most_functions:
                    continue
                size_mb = memory_mb.get(row["HashApp"], _DEFAULT_MB)
                found[name] = Function(name, max(1, round(size_mb)), trigger=row["Trigger"])
            for minute in range(1440):
                count = int(row[str(minute + 1)] or 0)
                for number in range(count):
                    found[name].arrivals.append(day * DAY_S + (minute + (number + 0.5) / count) * 60)
                    found[name].durations.append(durations_s.get(name, _DEFAULT_S))
    return [each for each in found.values() if each.arrivals]


def read_2021(path: Path, most_functions: int = 5000) -> list[Function]:
    """Azure Functions invocation trace 2021: one row a call, `app,func,end_timestamp,duration` in seconds."""
    found: dict[str, Function] = {}
    for row in _rows_of(path):
        name = f"{row['app']}/{row['func']}"
        if name not in found:
            if len(found) >= most_functions:
                continue
            found[name] = Function(name)
        duration_s = float(row["duration"])
        found[name].arrivals.append(max(0.0, float(row["end_timestamp"]) - duration_s))
        found[name].durations.append(duration_s)
    for each in found.values():
        each.sort()
    return list(found.values())


def read(path: Path, most_functions: int = 5000) -> list[Function]:
    """A folder in the form of 2019, or a file in that of 2021."""
    return read_2019(path, most_functions) if path.is_dir() else read_2021(path, most_functions)


def _rows(folder: Path, start: str) -> Iterator[dict[str, str]]:
    for path in sorted(folder.glob(f"{start}*.csv")):
        yield from _rows_of(path)


def _rows_of(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="") as file:
        yield from csv.DictReader(file)
