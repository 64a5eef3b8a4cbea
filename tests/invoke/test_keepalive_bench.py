"""Claims about the simulator of keep-alive policies: its traces, and that what it runs is the node's own pool."""

import importlib.util
import sys
from array import array
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture(scope="module")
def bench():
    """The two modules of the benchmark."""
    sys.path.insert(0, str(BENCH))
    try:
        loaded = []
        for name in ("keepalive_traces", "keepalive"):
            spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            spec.loader.exec_module(module)
            loaded.append(module)
        yield loaded
    finally:
        sys.path.remove(str(BENCH))
        for name in ("keepalive_traces", "keepalive", "http_client"):
            sys.modules.pop(name, None)


def test_a_seed_makes_one_trace(bench):
    traces, _ = bench
    first, again, other = traces.generate(5, 50, 0.5), traces.generate(5, 50, 0.5), traces.generate(6, 50, 0.5)
    assert [each.arrivals for each in first] == [each.arrivals for each in again]
    assert [each.arrivals for each in first] != [each.arrivals for each in other]
    for each in first:
        assert list(each.arrivals) == sorted(each.arrivals) and len(each.arrivals) == len(each.durations)


def test_rates_are_spread_as_published(bench):
    traces, _ = bench
    rates = [traces._rate_per_h(at / 10_000) for at in range(10_000)]
    assert sum(rate <= 1 for rate in rates) / 10_000 == pytest.approx(0.45, abs=0.001)
    assert sum(rate <= 60 for rate in rates) / 10_000 == pytest.approx(0.81, abs=0.001)
    assert max(rates) / min(rates) > 1e6


def test_the_trace_of_2019_is_read(bench, tmp_path):
    traces, _ = bench
    minutes = ",".join(str(minute) for minute in range(1, 1441))
    for day, counts in (("01", {3: 2, 1440: 1}), ("02", {1: 1})):
        row = ",".join(str(counts.get(minute, 0)) for minute in range(1, 1441))
        text = f"HashOwner,HashApp,HashFunction,Trigger,{minutes}\no,a,f,http,{row}\no,a,silent,timer,{','.join(['0'] * 1440)}\n"
        (tmp_path / f"invocations_per_function_md.anon.d{day}.csv").write_text(text)
    (tmp_path / "function_durations_percentiles.anon.d01.csv").write_text(
        "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum\no,a,f,2500,4,1,9\n"
    )
    (tmp_path / "app_memory_percentiles.anon.d01.csv").write_text("HashOwner,HashApp,SampleCount,AverageAllocatedMb\no,a,9,200.4\n")
    (only,) = traces.read(tmp_path)
    assert (only.name, only.memory_mb, only.trigger) == ("f", 200, "http")
    assert list(only.arrivals) == [135.0, 165.0, 1439 * 60 + 30, 86_400 + 30]
    assert set(only.durations) == {2.5}


def test_the_trace_of_2021_is_read(bench, tmp_path):
    traces, _ = bench
    path = tmp_path / "trace.txt"
    path.write_text("app,func,end_timestamp,duration\na,f,20.0,1.5\na,g,7.5,0.5\na,f,10.0,10.0\n")
    first, second = traces.read(path)
    assert (first.name, list(first.arrivals), list(first.durations)) == ("a/f", [0.0, 18.5], [10.0, 1.5])
    assert (second.name, list(second.arrivals)) == ("a/g", [7.0])


def simulated(bench, policy, gap_s, many=60, **settings):
    traces, keepalive = bench
    function = traces.Function(
        "f", 100, arrivals=array("d", (at * gap_s for at in range(many))), durations=array("f", [1.0] * many)
    )
    simulation = keepalive.Simulation([function], policy, **settings)
    simulation.run()
    return simulation


def test_calls_within_the_keep_alive_are_warm_and_their_wait_is_counted(bench):
    simulation = simulated(bench, "fixed:600", 300)
    assert simulation.cold == [1]
    assert simulation.idle_mb_s == pytest.approx(59 * 299 * 100, rel=0.01)


def test_calls_beyond_it_are_cold(bench):
    assert simulated(bench, "fixed:600", 1800).cold == [60]


def test_what_is_learned_makes_regular_calls_warm_for_less_memory(bench):
    hybrid, fixed = simulated(bench, "hybrid", 1800), simulated(bench, "fixed:3600", 1800)
    assert hybrid.cold[0] <= 12 and fixed.cold == [1]
    assert hybrid.prewarmed >= 45 and hybrid.idle_mb_s < 0.5 * fixed.idle_mb_s


def test_a_call_without_room_is_refused(bench):
    assert simulated(bench, "hybrid", 300, budget_mb=50).refused == 60
