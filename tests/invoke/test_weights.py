"""Claims about shares of the processor: even between accounts, by memory size within one, and seldom changed."""

import random
from dataclasses import dataclass

import pytest

from cumulet.invoke.weights import ACCOUNT_SHARE, Weights


@dataclass(eq=False)
class Member:
    size_mb: int = 128
    scale: int = 0
    share: float = 0.0


class World:
    def __init__(self, weight_of=lambda account: 1.0):
        self.weights, self.changes = Weights(weight_of), 0

    def begin(self, account, *members):
        for member in members:
            for changed, share in self.weights.begin(account, member):
                changed.share = share
                self.changes += 1

    def end(self, account, *members):
        for member in members:
            self.weights.end(account, member)


def total(members):
    return sum(member.share for member in members)


@pytest.mark.parametrize("many", [1, 3, 10, 128, 1000])
def test_many_weigh_no_more_than_one(many):
    world, hog, victim = World(), [Member() for _ in range(many)], Member(size_mb=10_240)
    world.begin("hog", *hog)
    world.begin("victim", victim)
    assert ACCOUNT_SHARE / 2 < total(hog) <= ACCOUNT_SHARE
    assert ACCOUNT_SHARE / 2 < victim.share <= ACCOUNT_SHARE


def test_within_an_account_the_memory_size_decides():
    world, small, large = World(), Member(128), Member(1792)
    world.begin("a", small, large)
    assert large.share == pytest.approx(14 * small.share)


def test_an_account_of_more_weight_has_more():
    world, members = World({"a": 4.0, "b": 1.0}.__getitem__), [Member(), Member()]
    world.begin("a", members[0])
    world.begin("b", members[1])
    assert members[0].share == pytest.approx(4 * members[1].share)


def test_calls_one_after_the_other_change_nothing():
    world, member = World(), Member()
    for _ in range(100):
        world.begin("a", member)
        world.end("a", member)
    assert world.changes == 1


def test_what_starts_counts_and_is_given_its_share_at_once():
    world, members = World(), [Member() for _ in range(64)]
    world.begin("a", *members)
    share = world.weights.begin_start("a", 128)
    assert share.cores < ACCOUNT_SHARE / 32
    world.weights.end_start("a", 128)
    started = Member(scale=share.scale)
    before = world.changes
    world.begin("a", started)
    assert world.changes - before <= 65


def test_starts_lower_the_shares_of_what_is_at_work():
    world, members = World(), []
    for _ in range(32):
        world.weights.begin_start("a", 128)
    for _ in range(32):
        world.weights.end_start("a", 128)
        member = Member(scale=128)
        member.share = ACCOUNT_SHARE
        world.begin("a", member)
        members.append(member)
    assert ACCOUNT_SHARE / 2 < total(members) <= ACCOUNT_SHARE


def test_however_it_goes_shares_stay_even_and_changes_are_few():
    dice, world = random.Random(7), World()
    members, busy, begun = [Member(dice.choice([128, 512, 1769])) for _ in range(500)], set(), 0
    for step in range(20_000):
        wanted = abs(step % 2000 - 1000) // 2  # up to 500 at once, and down again
        if len(busy) < wanted:
            member = dice.choice(members)
            if member not in busy:
                world.begin("a", member)
                busy.add(member)
                begun += 1
                assert ACCOUNT_SHARE / 5 <= total(busy) <= ACCOUNT_SHARE * 1.0001
        elif busy:
            member = dice.choice(sorted(busy, key=id))
            world.end("a", member)
            busy.discard(member)
    assert world.changes <= 3 * begun


def test_accounts_at_rest_are_forgotten():
    world = World()
    for number in range(20_000):
        member = Member()
        world.begin(str(number), member)
        world.end(str(number), member)
    assert len(world.weights._accounts) <= 5000
