"""Claims about keep-alive as a rule: what is learned of idle times, and what follows from it."""

import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cumulet.invoke.keep_alive import Fixed, History, Hybrid, Plan, keep_alive_of
from cumulet.invoke.timetable import Timetable

MINUTE, HOUR = 60.0, 3600.0


def called(history, idle_times, takes_s=1.0, now_s=0.0):
    """Calls of a function, one after the other, with these idle times between; the time after them."""
    for idle_s in (0.0, *idle_times):
        now_s += idle_s
        history.begin(now_s)
        now_s += takes_s
        history.end(now_s)
    return now_s


def plan_of(idle_times, **settings):
    policy = Hybrid(**settings)
    history = policy.history_of(("f", "1"))
    called(history, idle_times)
    return policy.plan(history)


def test_fixed_is_the_same_for_all():
    policy = Fixed(123)
    history = policy.history_of(("f", "1"))
    called(history, [HOUR] * 50)
    assert policy.plan(history) == Plan(123)


@pytest.mark.parametrize("many", [0, 3, 9])
def test_until_enough_is_known_hybrid_is_fixed(many):
    assert plan_of([30 * MINUTE] * many, fallback_s=600) == Plan(600)


def test_a_function_called_every_half_hour_goes_and_is_back_before_the_call():
    plan = plan_of([30 * MINUTE + 5] * 20)
    assert plan.unload_s < MINUTE
    assert 25 * MINUTE < plan.prewarm_s < 30 * MINUTE
    assert 31 * MINUTE <= plan.until_s < 36 * MINUTE


def test_a_busy_function_stays_no_shorter_than_others_and_as_long_as_its_longest_pauses():
    assert plan_of([1, 5, 20, 50] * 30, fallback_s=600) == Plan(600)
    assert plan_of(([1] * 10 + [40 * MINUTE]) * 20, fallback_s=600) == Plan(pytest.approx(41 * MINUTE * 1.1))


def test_pauses_that_vary_keep_it_loaded_from_the_shortest_to_the_longest():
    dice = random.Random(1)
    plan = plan_of([dice.uniform(10, 14) * MINUTE for _ in range(200)])
    assert 8 * MINUTE < plan.prewarm_s < 10 * MINUTE and 14 * MINUTE < plan.until_s < 17 * MINUTE


def test_calls_at_any_time_say_nothing():
    dice = random.Random(1)
    assert plan_of([dice.uniform(0, 240) * MINUTE for _ in range(900)], fallback_s=600) == Plan(600)


def test_a_daily_call_is_foreseen_though_no_histogram_holds_it():
    plan = plan_of([24 * HOUR] * 3)
    assert plan.prewarm_s == pytest.approx(0.85 * 24 * HOUR) and plan.until_s > 24 * HOUR


def test_rare_calls_without_a_rule_are_not_foreseen():
    assert plan_of([5 * HOUR, 50 * HOUR, 9 * HOUR, 120 * HOUR], fallback_s=600) == Plan(600)


def test_a_change_of_habit_is_learned():
    plan = plan_of([30 * MINUTE] * 300 + [5 * MINUTE] * 4000)
    assert plan.until_s or plan.unload_s <= 40 * MINUTE
    assert (plan.prewarm_s or 0) < 6 * MINUTE


def test_calls_that_overlap_are_one_busy_time():
    policy = Hybrid()
    history = policy.history_of(("f", "1"))
    for turn in range(20):
        start = turn * 20 * MINUTE
        for offset in (0, 1, 2):
            history.begin(start + offset)
        for offset in (60, 61, 62):
            history.end(start + offset)
    assert policy.plan(history).prewarm_s > 15 * MINUTE
    assert history.busy == 0 and history.idle_since_s == 19 * 20 * MINUTE + 62


def test_what_is_remembered_is_bounded():
    policy = Hybrid(most_functions=100)
    first = policy.history_of(("0", "1"))
    for number in range(1000):
        policy.history_of((str(number), "1"))
        policy.history_of(("0", "1"))
    assert len(policy) == 100 and policy.history_of(("0", "1")) is first
    history = History()
    called(history, [dice * 7.0 for dice in range(3000)])
    size = sum(sys.getsizeof(getattr(history, name, 0)) for name in History.__slots__) + sys.getsizeof(history)
    assert size < 1500


@given(st.lists(st.floats(0, 30 * HOUR), max_size=300))
def test_any_past_gives_a_plan_that_can_be_followed(idle_times):
    plan = plan_of(idle_times)
    assert plan.unload_s > 0
    assert plan.prewarm_s is None or plan.unload_s <= plan.prewarm_s < plan.until_s


@pytest.mark.parametrize(
    "text", ["", "fixed", "fixed:", "fixed:-1", "fixed:1.5", "hybrid:", "hybrid:4", "fixed:12345678", "fixed:٣"]
)
def test_what_is_no_keep_alive_is_refused(text):
    with pytest.raises(ValueError, match="keep-alive"):
        keep_alive_of(text)


def test_how_they_are_written():
    assert isinstance(keep_alive_of("hybrid"), Hybrid)
    assert keep_alive_of("fixed:5").plan(History()) == Plan(5)


def test_a_timetable_gives_each_key_once_in_time():
    table = Timetable()
    for number in range(1000):
        table.set(number % 10, number)
    table.drop(3)
    assert len(table) == 9 and len(table._heap) < 100
    assert [table.pop_due(995) for _ in range(7)] == [0, 1, 2, 4, 5, None, None]
    assert 7 in table and table.pop_due(2000) == 6
