"""Claims about eviction as a rule."""

import random
from dataclasses import dataclass

from cumulet.invoke.greedy_dual import GreedyDual


@dataclass(eq=False)
class Item:
    worth: float = 1.0
    is_evictable: bool = True
    account: str = "a"
    priority: float = 0.0


def used(ranking, *items):
    for item in items:
        ranking.used(item, item.worth)


def test_the_least_worth_goes_first_and_then_the_older():
    ranking, items = GreedyDual(), [Item(3), Item(1), Item(2), Item(1)]
    used(ranking, *items)
    assert [ranking.pop_least() for _ in range(5)] == [items[1], items[3], items[2], items[0], None]


def test_what_is_in_use_or_gone_is_passed():
    ranking, items = GreedyDual(), [Item(1), Item(2)]
    used(ranking, *items)
    items[0].is_evictable = False
    assert ranking.pop_least() is items[1]
    assert ranking.pop_least() is None
    items[0].is_evictable = True
    used(ranking, items[0])
    assert ranking.pop_least() is items[0]


def test_what_is_not_used_grows_old():
    ranking, dear = GreedyDual(), Item(5)
    used(ranking, dear)
    evicted = []
    for _ in range(10):
        used(ranking, Item(1))
        evicted.append(ranking.pop_least())
    assert dear in evicted


def test_uses_do_not_make_it_grow():
    ranking, items = GreedyDual(), [Item(random.Random(1).random()) for _ in range(10)]
    for _ in range(1000):
        used(ranking, *items)
    assert len(ranking) == 10


def test_of_some_accounts_only():
    ranking, mine, other = GreedyDual(), Item(5, account="mine"), Item(1, account="other")
    used(ranking, mine, other)
    assert ranking.pop_least(("mine", "nobody")) is mine
    mine.is_evictable = False
    assert ranking.pop_least(("mine",)) is None
    assert ranking.pop_least() is other


def test_what_is_gone_is_tidied_away():
    ranking, items = GreedyDual(), [Item() for _ in range(1000)]
    used(ranking, *items)
    for item in items[1:]:
        item.is_evictable = False
    ranking.tidy()
    assert len(ranking) == 1 and ranking.pop_least() is items[0]
