"""Claims about fair queueing as a rule: whose turn is next, what that costs whom, and that nothing is kept for nobody."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cumulet.tenancy.fair_queue import FairQueue, QueueFull


def drain(queue, many=1 << 30):
    """(account, item) pairs in the order of their turns."""
    found = []
    while len(found) < many and (waiter := queue.first()) is not None:
        queue.take(waiter)
        found.append((waiter.account, waiter.item))
    return found


def test_a_single_one_waits_for_one_turn_of_a_thousand():
    queue = FairQueue()
    for number in range(1000):
        queue.push("hog", number)
    drain(queue, 300)
    queue.push("victim", 0)
    assert ("victim", 0) in drain(queue, 2)


def test_within_an_account_the_order_is_that_of_arrival():
    queue = FairQueue()
    for number in range(50):
        queue.push("a" if number % 3 else "b", number)
    order = drain(queue)
    assert [number for account, number in order if account == "a"] == [number for number in range(50) if number % 3]


@pytest.mark.parametrize(("weight", "of_forty"), [(1.0, 20), (3.0, 30), (1 / 3, 10)])
def test_turns_are_shared_by_weight(weight, of_forty):
    queue = FairQueue({"a": weight, "b": 1.0}.__getitem__)
    for number in range(100):
        queue.push("a", number)
        queue.push("b", number)
    assert abs(Counter(account for account, _ in drain(queue, 40))["a"] - of_forty) <= 1


def test_dear_turns_count_for_more():
    queue = FairQueue()
    for number in range(100):
        queue.push("large", number, cost=1000)
        queue.push("small", number, cost=100)
    turns = Counter(account for account, _ in drain(queue, 44))
    assert turns["small"] == 40 and turns["large"] == 4


def test_who_was_away_has_saved_up_nothing():
    queue = FairQueue()
    for number in range(1000):
        queue.push("steady", number)
    queue.push("away", 0)
    drain(queue, 500)
    for number in range(100):
        queue.push("away", number)
    assert Counter(account for account, _ in drain(queue, 40))["away"] <= 21


def test_who_waits_no_longer_is_charged_nothing():
    queue = FairQueue()
    waiters = [queue.push("a", number) for number in range(100)]
    queue.push("b", 0)
    queue.push("b", 1)
    for waiter in waiters[:99]:
        queue.discard(waiter)
    queue.discard(waiters[0])
    assert len(queue) == 3
    assert drain(queue, 1) == [("a", 99)] or drain(queue, 1) == [("a", 99)]


def test_a_full_queue_refuses_the_account_that_fills_it_and_nobody_else():
    queue = FairQueue(most=100)
    for number in range(100):
        queue.push("hog", number)
    with pytest.raises(QueueFull):
        queue.push("hog", 100)
    for number in range(50):
        queue.push("victim", number)
    with pytest.raises(QueueFull):
        queue.push("victim", 50)
    for number in range(1000):  # a thousand accounts of one caller do not make it grow without end
        try:
            queue.push(f"a-{number}", 0)
        except QueueFull:
            continue
    assert len(queue) <= 200


def test_a_blocked_account_is_passed_and_keeps_its_place():
    queue = FairQueue()
    for account in ("a", "b", "c"):
        queue.push(account, 0)
    blocked = queue.first(lambda waiter: waiter.account == "a")
    assert blocked is not None and blocked.account == "b"
    queue.take(blocked)
    assert queue.first().account == "a"
    assert queue.first(lambda waiter: True) is None
    assert [account for account, _ in drain(queue)] == ["a", "c"]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["push", "push", "take", "discard"])), max_size=300))
def test_nobody_is_lost_or_served_twice(steps):
    queue, waiting, served = FairQueue(most=1000), [], 0
    for number, (account, step) in enumerate(steps):
        if step == "push":
            waiting.append(queue.push(account, number, cost=1 + number % 7))
        elif step == "take" and (waiter := queue.first()) is not None:
            queue.take(waiter)
            waiting.remove(waiter)
            served += 1
        elif step == "discard" and waiting:
            queue.discard(waiting.pop(number % len(waiting)))
        assert len(queue) == len(waiting)
        assert sum(queue.waiting(each) for each in "abcdef") == len(waiting)
    assert sorted(item for _, item in drain(queue)) == sorted(waiter.item for waiter in waiting)


def test_backlogged_accounts_never_drift_apart():
    dice, queue = random.Random(1), FairQueue()
    got = Counter()
    for account in "abc":
        for number in range(400):
            queue.push(account, number, cost=dice.choice([1, 5, 20]))
    while all(queue.waiting(account) for account in "abc"):
        waiter = queue.first()
        queue.take(waiter)
        got[waiter.account] += waiter.cost
        assert max(got.values()) - min(got[account] for account in "abc") <= 2 * 20


def test_accounts_that_are_gone_are_forgotten():
    queue = FairQueue()
    queue.push("stays", 0, cost=1e12)
    queue.push("stays", 1)
    for number in range(20_000):
        queue.push(f"a-{number}", 0)
        queue.take(queue.first(lambda waiter: waiter.account == "stays"))
    assert len(queue._finished) < 5000 and len(queue._order) < 5000
