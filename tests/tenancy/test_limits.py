"""Claims about rates of accounts: requests, and what their functions print."""

import heapq
from collections import Counter

import pytest

from cumulet.core.clock import ManualClock
from cumulet.tenancy.limits import HoldBack, LogRate, RateExceeded, RequestRate
from cumulet.tenancy.quotas import Quota, Quotas


def allowed(rate, account, many):
    found = 0
    for _ in range(many):
        try:
            rate.take(account)
        except RateExceeded:
            continue
        found += 1
    return found


def test_a_burst_then_the_rate():
    clock = ManualClock()
    rate = RequestRate(clock, Quotas(Quota(requests_per_s=10, request_burst=50)))
    assert allowed(rate, "a", 100) == 50
    clock.advance(seconds=2)
    assert allowed(rate, "a", 100) == 20
    assert rate.refused == 130


def test_each_account_has_its_own():
    quotas = Quotas(Quota(requests_per_s=1, request_burst=5), {"b": Quota(requests_per_s=1, request_burst=20)})
    rate = RequestRate(ManualClock(), quotas)
    assert [allowed(rate, account, 100) for account in ("a", "b", "c")] == [5, 20, 5]


def test_accounts_that_may_ask_for_all_again_are_forgotten():
    clock = ManualClock()
    rate = RequestRate(clock, Quotas(Quota(requests_per_s=10, request_burst=10)))
    for number in range(25_000):
        rate.take(f"a-{number}")
        clock.advance(seconds=1)
    assert len(rate._buckets) <= 10_001


def test_printing_within_the_rate_waits_for_nothing():
    clock = ManualClock()
    rate = LogRate(clock, Quotas(Quota(log_bytes_per_s=1_000_000)))
    for _ in range(100):
        assert rate.take("a", 100_000, 10) == 0
        clock.advance(seconds=0.2)


def test_who_prints_too_fast_waits_then_is_cut_and_is_heard_again_later():
    clock = ManualClock()
    rate = LogRate(clock, Quotas(Quota(log_bytes_per_s=1_000_000)))
    pauses = [rate.take("a", 100_000, 0) for _ in range(40)]
    assert pauses[5] == 0 and pauses[15] > 0 and pauses[39] is None
    assert rate.take("b", 100_000, 0) == 0
    clock.advance(seconds=5)
    assert rate.take("a", 100_000, 0) == 0


def test_lines_count_even_when_they_are_empty():
    rate = LogRate(ManualClock(), Quotas(Quota(log_bytes_per_s=1_000_000)))
    assert rate.take("a", 64, 64_000) > 0


@pytest.mark.parametrize("size", [1 << 40, 1])
def test_no_pause_is_longer_than_a_second(size):
    rate = LogRate(ManualClock(), Quotas(Quota(log_bytes_per_s=1)))
    assert rate.take("a", size, 1_000_000) == 1.0


def test_the_first_refusals_are_told_at_once_and_many_are_held_back_for_a_while():
    clock = ManualClock()
    hold_back = HoldBack(clock)
    delays = [hold_back.delay_s("a") for _ in range(1000)]
    assert delays[50] == 0 and 0 < delays[150] < 1 and min(delays[250:]) >= 0.5 and max(delays) <= 1.5
    assert hold_back.delay_s("b") == 0
    clock.advance(seconds=5)
    assert hold_back.delay_s("a") == 0


def test_a_crowd_that_is_refused_together_does_not_come_back_together():
    clock = ManualClock(now_ms=0)
    hold_back, comes_ms, seen = HoldBack(clock), [0] * 360, Counter()
    while comes_ms[0] < 10_000:
        now_ms = heapq.heappop(comes_ms)
        clock.advance(seconds=(now_ms - clock.now_ms() + 0.5) / 1000)
        heapq.heappush(comes_ms, now_ms + 5 + round(hold_back.delay_s("a") * 1000))
        seen[now_ms // 10] += 1
    late = [seen[at] for at in range(500, 1000)]
    assert max(late) <= 20 and sum(late) <= 5 * 400, "in ten milliseconds, and in five seconds"
