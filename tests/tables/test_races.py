"""Many clients at once on a real node: what they see of an item is linearizable; money is neither made nor lost, nor by kill -9."""

import math
import random
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from real_node import ACCESS_KEY, SECRET

from .conftest import Node, schema
from .linearizability import Operation, is_linearizable

CLIENTS = 32
DIED = (BotoCoreError, ConnectionError)


def client_of(node: Node) -> Any:
    """One client for many threads."""
    return boto3.client(
        "dynamodb",
        endpoint_url=node.url,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET,
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=CLIENTS + 4, read_timeout=30),
    )


def create(dynamodb: Any, name: str) -> None:
    dynamodb.create_table(TableName=name, **schema())
    dynamodb.get_waiter("table_exists").wait(TableName=name)


# The checker


def test_the_checker_accepts_what_one_order_explains() -> None:
    assert is_linearizable([])
    overlapping = [Operation(0, 10, "write", 1), Operation(1, 3, "read", result=None), Operation(4, 9, "read", result=1)]
    assert is_linearizable(overlapping)
    lost_answer = [Operation(0, math.inf, "write", 1), Operation(5, 6, "read", result=1)]
    assert is_linearizable(lost_answer) and is_linearizable([*lost_answer[:1], Operation(5, 6, "read", result=None)])


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([Operation(0, 1, "write", 1), Operation(2, 3, "read", result=None)], id="a stale read"),
        pytest.param(
            [Operation(0, 9, "write", 1), Operation(1, 2, "read", result=1), Operation(3, 4, "read", result=None)],
            id="a read that goes back in time",
        ),
        pytest.param([Operation(0, 5, "cas", (None, 1), True), Operation(0, 5, "cas", (None, 2), True)], id="a race that both win"),
        pytest.param(
            [Operation(0, 1, "write", 1), Operation(2, 3, "cas", (1, 2), False), Operation(4, 5, "read", result=1)],
            id="a condition that fails though it holds",
        ),
        pytest.param(
            [Operation(0, 1, "cas", (None, 1), True), Operation(2, 3, "cas", (1, 2), True), Operation(4, 5, "read", result=1)],
            id="a lost update",
        ),
        pytest.param(
            [Operation(0, 1, "cas", (3, 4), False), Operation(2, 3, "read", result=4)], id="a refused write that happened"
        ),
    ],
)
def test_the_checker_finds_what_no_order_explains(history: list[Operation]) -> None:
    assert not is_linearizable(history)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.randoms(use_true_random=False), st.booleans())
def test_the_checker_knows_a_true_register_from_one_with_a_bug(chance: random.Random, is_broken: bool) -> None:
    """Histories of a simulated register, whose operations take effect somewhere within their time; the broken one answers a read
    at the end with what the write just before has replaced."""
    moments = sorted(chance.random() * 100 for _ in range(25))
    state, history = None, []
    for new, moment in enumerate(moments):
        called, returned = moment - chance.random() * 6, moment + chance.random() * 6
        match chance.choice(["read", "write", "cas"]):
            case "read":
                history.append(Operation(called, returned, "read", result=state))
            case "write":
                state = new
                history.append(Operation(called, returned, "write", new))
            case _:
                expected = state if chance.random() < 0.6 else -1
                history.append(Operation(called, returned, "cas", (expected, new), expected == state))
                state = new if expected == state else state
    history.append(Operation(150, 151, "write", 999))
    history.append(Operation(200, 201, "read", result=state if is_broken else 999))
    assert is_linearizable(history) != is_broken


# The node


def test_what_many_clients_see_of_an_item_is_linearizable(node: Node, name: str) -> None:
    dynamodb = client_of(node)
    create(dynamodb, name)
    keys = ["a", "b", "c", "d"]
    histories: dict[str, list[Operation]] = {key: [] for key in keys}
    lock = threading.Lock()
    start = threading.Barrier(CLIENTS)

    def work(number: int) -> None:
        chance = random.Random(number)
        seen: dict[str, Any] = dict.fromkeys(keys)
        start.wait()
        for step in range(12):
            key = chance.choice(keys)
            action = chance.choice(["read", "write", "cas", "cas"])
            value = number * 1000 + step
            argument = value if action == "write" else (seen[key], value) if action == "cas" else None
            called = time.monotonic()
            result = _act(dynamodb, name, key, action, argument)
            returned = time.monotonic()
            if action == "read" or (action == "cas" and result):
                seen[key] = result if action == "read" else value
            with lock:
                histories[key].append(Operation(called, returned, action, argument, result))

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(work, range(CLIENTS)))
    assert sum(map(len, histories.values())) == CLIENTS * 12
    assert any(each.action == "cas" and each.result for each in histories["a"])
    for key, history in histories.items():
        assert is_linearizable(history), (key, history)


def _act(dynamodb: Any, name: str, key: str, action: str, argument: Any) -> Any:
    if action == "read":
        item = dynamodb.get_item(TableName=name, Key={"pk": {"S": key}}, ConsistentRead=True).get("Item")
        return int(item["v"]["N"]) if item else None
    if action == "write":
        dynamodb.put_item(TableName=name, Item={"pk": {"S": key}, "v": {"N": str(argument)}})
        return None
    expected, new = argument
    condition = (
        {"ConditionExpression": "attribute_not_exists(pk)"}
        if expected is None
        else {"ConditionExpression": "v = :old", "ExpressionAttributeValues": {":old": {"N": str(expected)}}}
    )
    try:
        dynamodb.put_item(TableName=name, Item={"pk": {"S": key}, "v": {"N": str(new)}}, **condition)
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return False
    return True


class Bank:
    """Accounts whose sum never changes, and a line for every transfer, written with it."""

    def __init__(self, node: Node, name: str) -> None:
        self.name = name
        self.accounts = [f"account-{number}" for number in range(5)]
        self.connect(node)

    def connect(self, node: Node) -> None:
        self.dynamodb = client_of(node)

    def open(self) -> None:
        create(self.dynamodb, self.name)
        for account in self.accounts:
            self.dynamodb.put_item(TableName=self.name, Item={"pk": {"S": account}, "n": {"N": "100"}})

    def transfer(self, chance: random.Random) -> tuple[str, str, int] | None:
        """Move something; None: there was not enough."""
        source, target = chance.sample(self.accounts, 2)
        amount, line = chance.randint(1, 40), f"{source}>{target}>{uuid.uuid4().hex}"
        update = lambda account, sign, **more: {  # noqa: E731
            "Update": {"TableName": self.name, "Key": {"pk": {"S": account}}, "UpdateExpression": "SET n = n + :x"} | more
            | {"ExpressionAttributeValues": {":x": {"N": str(sign * amount)}, **({":least": {"N": str(amount)}} if more else {})}}
        }  # fmt: skip
        try:
            self.dynamodb.transact_write_items(
                TransactItems=[
                    update(source, -1, ConditionExpression="n >= :least"),
                    update(target, 1),
                    {"Put": {"TableName": self.name, "Item": {"pk": {"S": line}, "moved": {"N": str(amount)}}}},
                ],
                ClientRequestToken=uuid.uuid4().hex,
            )
        except self.dynamodb.exceptions.TransactionCanceledException:
            return None
        return line, source, amount

    def balances(self) -> dict[str, int]:
        gets = [{"Get": {"TableName": self.name, "Key": {"pk": {"S": account}}}} for account in self.accounts]
        answers = self.dynamodb.transact_get_items(TransactItems=gets)["Responses"]
        return {answer["Item"]["pk"]["S"]: int(answer["Item"]["n"]["N"]) for answer in answers}

    def lines(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for page in self.dynamodb.get_paginator("scan").paginate(TableName=self.name, FilterExpression="attribute_exists(moved)"):
            found |= {item["pk"]["S"]: int(item["moved"]["N"]) for item in page["Items"]}
        return found

    def check(self, acknowledged: set[str]) -> None:
        """Nothing acknowledged is lost, and the balances are what the lines make of the first ones."""
        lines = self.lines()
        assert acknowledged <= set(lines)
        expected = dict.fromkeys(self.accounts, 100)
        for line, amount in lines.items():
            source, target, _ = line.split(">")
            expected[source] -= amount
            expected[target] += amount
        assert self.balances() == expected
        assert min(expected.values()) >= 0 and sum(expected.values()) == 500


def test_money_is_neither_made_nor_lost(node: Node, name: str) -> None:
    bank = Bank(node, name)
    bank.open()
    done: set[str] = set()
    sums: set[int] = set()

    def work(number: int) -> None:
        chance = random.Random(number)
        for _ in range(15):
            moved = bank.transfer(chance)
            if moved is not None:
                done.add(moved[0])

    with ThreadPoolExecutor(17) as pool:
        working = [pool.submit(work, number) for number in range(16)]
        while not all(each.done() for each in working):
            sums.add(sum(bank.balances().values()))
        for each in working:
            each.result()
    assert sums == {500} and len(done) > 16
    bank.check(done)


def test_money_survives_kill_9(start_node: Callable[..., Node], name: str) -> None:
    node = start_node("--durability", "os")
    bank = Bank(node, name)
    bank.open()
    done: set[str] = set()
    for _ in range(3):
        dying = threading.Event()
        begun = len(done)

        def work(number: int, dying: threading.Event = dying) -> None:
            chance = random.Random(f"{number}{len(done)}")
            while not dying.is_set():
                try:
                    moved = bank.transfer(chance)
                except (*DIED, ClientError):
                    return
                if moved is not None:
                    done.add(moved[0])

        with ThreadPoolExecutor(8) as pool:
            working = [pool.submit(work, number) for number in range(8)]
            deadline = time.monotonic() + 30
            while len(done) < begun + 40 and time.monotonic() < deadline:
                dying.wait(0.01)
            node.kill()
            dying.set()
            for each in working:
                each.result()
        assert len(done) >= begun + 40
        node.start()
        bank.connect(node)
        bank.check(done)
