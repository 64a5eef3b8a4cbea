"""The platform's own log lines: START, END and REPORT, in text or JSON as Lambda writes them. Pure."""

import functools
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import NamedTuple

import orjson

from cumulet.runtimes.contract import FunctionSpec

_LEVELS = {"DEBUG": 0, "INFO": 1, "WARN": 2}


class Report(NamedTuple):
    """What one invocation used. `init_ms` None for a warm start; `status` as Lambda's: success, error, timeout."""

    request_id: str
    duration_ms: float
    memory_mb: int
    max_memory_mb: int
    init_ms: float | None = None
    status: str = "success"
    error_type: str | None = None
    trace_id: str | None = None
    phases: Mapping[str, float] = MappingProxyType({})

    @property
    def billed_ms(self) -> int:
        """Whole milliseconds, the init phase included, as Lambda bills since August 2025."""
        return math.ceil(self.duration_ms + (self.init_ms or 0.0)) or 1


def start_line(spec: FunctionSpec, request_id: str, now_ms: int) -> str | None:
    if spec.log_format == "JSON":
        record = {"requestId": request_id, "version": spec.version}
        return _json_line(spec, "INFO", "platform.start", record, now_ms)
    return f"START RequestId: {request_id} Version: {spec.version}\n"


def lines_of(spec: FunctionSpec, report: Report, now_ms: int, last_words: str | None = None) -> tuple[str | None, ...]:
    """What a call's log ends with: `last_words` say why the code did not end by itself, where it didn't."""
    if spec.log_format == "JSON":
        end, told = None, _json_report(spec, report, now_ms)  # which says both
    else:
        end, told = f"END RequestId: {report.request_id}\n", _text_report(report)
    if last_words is None:
        return end, told
    return (end, told, last_words) if report.status == "timeout" else (end, last_words, told)


def _json_report(spec: FunctionSpec, report: Report, now_ms: int) -> str | None:
    metrics: dict[str, float] = {
        "durationMs": round(report.duration_ms, 3),
        "billedDurationMs": report.billed_ms,
        "memorySizeMB": report.memory_mb,
        "maxMemoryUsedMB": report.max_memory_mb,
    }
    if report.init_ms is not None:
        metrics["initDurationMs"] = round(report.init_ms, 3)
    record: dict[str, object] = {"requestId": report.request_id, "metrics": metrics, "status": report.status}
    record["phases"] = {name: round(value, 3) for name, value in report.phases.items()}
    if report.error_type:
        record["errorType"] = report.error_type
    level = "INFO" if report.status == "success" else "WARN"
    return _json_line(spec, level, "platform.report", record, now_ms)


def _text_report(report: Report) -> str:
    request_id, duration_ms, memory_mb, max_memory_mb, init_ms, status, error_type, trace_id, phases = report
    text = (
        f"REPORT RequestId: {request_id}\tDuration: {duration_ms:.2f} ms\tBilled Duration: {report.billed_ms} ms"
        f"\tMemory Size: {memory_mb} MB\tMax Memory Used: {max_memory_mb} MB\t"
    )
    if init_ms is not None:
        if "restore" in phases:
            text += f"Restore Duration: {init_ms:.2f} ms\tBilled Restore Duration: {math.ceil(init_ms)} ms\t"
        else:
            text += f"Init Duration: {init_ms:.2f} ms\t"
    if status != "success":
        text += f"Status: {status}\t"
        if error_type:
            text += f"Error Type: {error_type}\t"
    between = "Phases: "
    for name, took_ms in phases.items():
        text += f"{between}{name} {took_ms:.2f} ms"
        between = ", "
    if trace_id:
        text += f"\tXRAY TraceId: {trace_id}"
    return text + "\t\n"


def timeout_line(request_id: str, after_s: float, now_ms: int) -> str:
    return f"{timestamp(now_ms)} {request_id} Task timed out after {after_s:.2f} seconds\n\n"


def exit_line(request_id: str, words: str) -> str:
    return f"RequestId: {request_id} Error: Runtime exited with error: {words}\nRuntime.ExitError\n"


def timestamp(now_ms: int) -> str:
    return f"{_to_the_second(now_ms // 1000)}{now_ms % 1000:03d}Z"


@functools.lru_cache(maxsize=8)
def _to_the_second(now_s: int) -> str:
    return datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.")


def _json_line(spec: FunctionSpec, level: str, kind: str, record: object, now_ms: int) -> str | None:
    if _LEVELS[level] < _LEVELS.get(spec.system_log_level, 1):
        return None
    return orjson.dumps({"time": timestamp(now_ms), "type": kind, "record": record}).decode() + "\n"
