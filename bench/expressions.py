"""What values, expressions and statements cost on one core: microseconds a call, the best of five rounds. JSON lines.

python bench/expressions.py [--calls N]
"""

import argparse
import json
import timeit
from collections.abc import Callable
from typing import Any

import orjson

from cumulet.services.tables import keys, legacy, partiql, sizes, values
from cumulet.services.tables.expressions import (
    Placeholders,
    parse_condition,
    parse_key_condition,
    parse_projection,
    parse_update,
)

SMALL: dict[str, Any] = {
    "id": {"S": "user#00012345"},
    "n": {"N": "12345"},
    "name": {"S": "x" * 50},
    "at": {"N": "1700000000"},
}
LARGE: dict[str, Any] = SMALL | {
    "doc": {"M": {f"key{number}": {"S": "v" * 20} for number in range(20)}},
    "numbers": {"L": [{"N": str(number)} for number in range(50)]},
}
NAMES, VALUES = {"#n": "n"}, {":s": {"S": "x"}, ":n": {"N": "1"}}


def cases() -> dict[str, Callable[[], Any]]:
    held = Placeholders(NAMES, VALUES)
    condition = parse_condition("attribute_not_exists(id) OR (#n > :n AND begins_with(id, :s))", held)
    update = parse_update("SET #n = #n + :n, a = :s", held)
    nested = parse_update("SET doc.key1 = :s, numbers[3] = :n REMOVE numbers[7]", held)
    projection = parse_projection("id, doc.key1, numbers[3]", held)
    stored = orjson.dumps(SMALL)
    statement = "SELECT n FROM t WHERE id = ? AND n > 5"
    return {
        "orjson.loads of the small item, to compare": lambda: orjson.loads(stored),
        "normalise_item, 4 attributes, 77 bytes": lambda: values.normalise_item(SMALL),
        "normalise_item, 76 values, 900 bytes": lambda: values.normalise_item(LARGE),
        "item_size, 4 attributes": lambda: sizes.item_size(SMALL),
        "keys.encode of a string": lambda: keys.encode(SMALL["id"]),
        "keys.encode of a number": lambda: keys.encode(SMALL["n"]),
        "Placeholders of 1 name, 2 values": lambda: Placeholders(NAMES, VALUES),
        "parse_condition of a known text, 3 tests": lambda: parse_condition(
            "attribute_not_exists(id) OR (#n > :n AND begins_with(id, :s))", held
        ),
        "parse_condition of a new text, 150 tests": lambda: parse_condition(" AND ".join(["abc = :s"] * 150), held),
        "matches, 3 tests": lambda: condition.matches(SMALL),
        "parse_update of a known text, 2 actions": lambda: parse_update("SET #n = #n + :n, a = :s", held),
        "apply, 2 attributes": lambda: update.apply(SMALL),
        "apply, in a map and a list of 20 and 50": lambda: nested.apply(LARGE),
        "parse_projection of a known text": lambda: parse_projection("id, doc.key1, numbers[3]", held),
        "project 3 paths": lambda: projection.apply(LARGE),
        "parse_key_condition of a known text": lambda: parse_key_condition("id = :s AND #n > :n", held, {"id": "S"}, {"n": "N"}),
        "legacy condition": lambda: legacy.condition_of({"id": {"Exists": False}}),
        "partiql.parse of a known text": lambda: partiql.parse(statement),
        "partiql.parse of a new text": lambda: partiql.parse(statement + " " * 1024),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--calls", type=int, default=10_000, help="a round of cheap calls; dear ones are called less")
    calls = arguments.parse_args().calls
    for name, call in cases().items():
        once = min(timeit.repeat(call, number=1, repeat=5))
        number = max(1, min(calls, int(0.1 / max(once, 1e-7))))
        best = min(timeit.repeat(call, number=number, repeat=5)) / number
        print(json.dumps({"what": name, "us": round(best * 1e6, 2)}), flush=True)


if __name__ == "__main__":
    main()
