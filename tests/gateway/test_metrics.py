"""The Prometheus page, and the node's log lines."""

import json
import logging
import os

from cumulet.gateway.metrics import Counter, Gauge, Histogram, Metrics
from cumulet.gateway.nodelog import JsonLines, LineWriter


def test_counters_keep_a_sum_by_labels():
    counter = Counter("c", "Help.", ("a", "b"))
    counter.add("x", "y")
    counter.add("x", "y", by=2)
    counter.add('q"\\', "l\nm")
    assert counter.lines() == ['c{a="q\\"\\\\",b="l\\nm"} 1', 'c{a="x",b="y"} 3']


def test_histogram_buckets_are_cumulative():
    histogram = Histogram("h", "Help.", ("a",), (0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value, "x")
    assert histogram.lines() == [
        'h_bucket{a="x",le="0.1"} 2',
        'h_bucket{a="x",le="1"} 3',
        'h_bucket{a="x",le="+Inf"} 4',
        'h_sum{a="x"} 7.650000',
        'h_count{a="x"} 4',
    ]


def test_the_page_names_every_metric_once():
    metrics = Metrics()
    metrics.gauges.append(Gauge("g", "Help.", ("state",), lambda: {("live",): 2.0}))
    metrics.requests.add("lambda", "Invoke", "200")
    text = metrics.text()
    assert '# TYPE g gauge\ng{state="live"} 2\n' in text
    assert 'cumulet_requests_total{service="lambda",operation="Invoke",status="200"} 1\n' in text
    types = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(types) == len(set(types))


def test_log_lines_are_json_with_extra_fields_and_tracebacks():
    reading, writing = os.pipe()
    writer = LineWriter(writing)
    logger = logging.Logger("some.part")
    logger.addHandler(JsonLines(writer))
    logger.warning("line\nbreak %s", 7, extra={"fields": {"request_id": "r-1"}})
    try:
        raise ValueError("inside")
    except ValueError:
        logger.exception("failed")
    writer.flush()
    first, second = (json.loads(line) for line in os.read(reading, 65_536).splitlines())
    assert (first["level"], first["logger"], first["message"], first["request_id"]) == (
        "WARNING",
        "some.part",
        "line\nbreak 7",
        "r-1",
    )
    assert "ValueError: inside" in second["traceback"]
    os.close(reading)
    writer.write({"nobody": "reads this"})
    writer.flush()
    os.close(writing)
