"""Update expressions: against a small model, and the service's words for what does not fit."""

import copy
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cumulet.services.tables import values
from cumulet.services.tables.errors import ValidationFault
from cumulet.services.tables.expressions import Placeholders, parse_projection, parse_update

VALUES: dict[str, Any] = {
    ":s": {"S": "x"},
    ":n": {"N": "1"},
    ":w": {"N": "7"},
    ":ss": {"SS": ["a"]},
    ":ns": {"NS": ["1"]},
    ":l": {"L": [{"N": "7"}]},
    ":m": {"M": {"q": {"N": "1"}}},
    ":null": {"NULL": True},
    ":bool": {"BOOL": True},
    ":most": {"N": "9" * 38},
}
ITEM: dict[str, Any] = {
    "id": {"S": "a"},
    "n": {"N": "1"},
    "s": {"S": "x"},
    "l": {"L": [{"N": "1"}, {"N": "2"}, {"N": "3"}]},
    "m": {"M": {"a": {"N": "1"}, "deep": {"L": [{"M": {"x": {"N": "1"}}}]}}},
    "ss": {"SS": ["a", "b"]},
    "ns": {"NS": ["1"]},
}


def parsed(text: str) -> Any:
    used = {word: VALUES[word] for word in re.findall(r":\w+", text) if word in VALUES}
    return parse_update(text, Placeholders({"#n": "n"} if "#n" in text else None, used or None))


def changes(text: str) -> dict[str, Any]:
    """What is other in the new item; None: gone. The old one is left as it was."""
    before = copy.deepcopy(ITEM)
    after = parsed(text).apply(ITEM)
    assert before == ITEM
    return {name: after.get(name) for name in ITEM | after if ITEM.get(name) != after.get(name)}


def ints(*numbers: int) -> dict[str, Any]:
    return {"L": [{"N": str(number)} for number in numbers]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SET a = n", {"a": {"N": "1"}}),
        ("set #n = n + :w", {"n": {"N": "8"}}),
        ("SET n = n - :w REMOVE s", {"n": {"N": "-6"}, "s": None}),
        ("SET a = s, s = n, n = l[1]", {"a": {"S": "x"}, "s": {"N": "1"}, "n": {"N": "2"}}),
        ("SET a = (n + :n)", {"a": {"N": "2"}}),
        ("SET a = (n) + (:n)", {"a": {"N": "2"}}),
        ("SET a = if_not_exists(b, :s), c = if_not_exists(n, :s)", {"a": {"S": "x"}, "c": {"N": "1"}}),
        ("SET a = if_not_exists(a, :n) + :n", {"a": {"N": "2"}}),
        ("SET a = if_not_exists(a, if_not_exists(b, :s))", {"a": {"S": "x"}}),
        ("SET l = list_append(l, :l)", {"l": ints(1, 2, 3, 7)}),
        ("SET l = list_append(:l, l)", {"l": ints(7, 1, 2, 3)}),
        ("SET a = list_append(if_not_exists(a, :l), :l)", {"a": ints(7, 7)}),
        ("SET l[0] = :w", {"l": ints(7, 2, 3)}),
        ("SET l[3] = :w", {"l": ints(1, 2, 3, 7)}),
        ("SET l[9] = :w, l[7] = :n", {"l": ints(1, 2, 3, 1, 7)}),
        ("SET l[1] = :w REMOVE l[0]", {"l": ints(7, 3)}),
        ("SET l[7] = :w REMOVE l[0], l[5]", {"l": ints(2, 3, 7)}),
        ("REMOVE l[2], l[0]", {"l": ints(2)}),
        ("REMOVE l[9]", {}),
        ("REMOVE zz, m.zz", {}),
        ("REMOVE m.deep[0].x", {"m": {"M": {"a": {"N": "1"}, "deep": {"L": [{"M": {}}]}}}}),
        ("SET m.b = :s, m.deep[0].y = n", {
            "m": {"M": {"a": {"N": "1"}, "b": {"S": "x"}, "deep": {"L": [{"M": {"x": {"N": "1"}, "y": {"N": "1"}}}]}}}
        }),
        ("SET a = m.deep, m.deep[0].x = :w", {
            "a": {"L": [{"M": {"x": {"N": "1"}}}]},
            "m": {"M": {"a": {"N": "1"}, "deep": {"L": [{"M": {"x": {"N": "7"}}}]}}},
        }),
        ("ADD n :w, zz :w", {"n": {"N": "8"}, "zz": {"N": "7"}}),
        ("ADD ss :ss, zz :ss", {"zz": {"SS": ["a"]}}),
        ("ADD m.a :w, l[0] :w, l[9] :n", {
            "m": {"M": {"a": {"N": "8"}, "deep": {"L": [{"M": {"x": {"N": "1"}}}]}}}, "l": ints(8, 2, 3, 1)
        }),
        ("DELETE ss :ss, ns :ns, zz :ss", {"ss": {"SS": ["b"]}, "ns": None}),
        ("SET a = :s REMOVE s ADD n :n DELETE ss :ss", {"a": {"S": "x"}, "s": None, "n": {"N": "2"}, "ss": {"SS": ["b"]}}),
        ("SET if_not_exists = :s", {"if_not_exists": {"S": "x"}}),
    ],
)  # fmt: skip
def test_what_an_update_does(text: str, expected: dict[str, Any]):
    assert changes(text) == expected


WRONG_PATH = "The document path provided in the update expression is invalid for update"
WRONG_TYPE = "An operand in the update expression has an incorrect data type"
MISSING = "The provided expression refers to an attribute that does not exist in the item"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SET a = b", MISSING),
        ("SET a = b.c", MISSING),
        ("SET a = l[9]", MISSING),
        ("SET a = zz + :n", MISSING),
        ("SET a = list_append(zz, :l)", MISSING),
        ("SET a = if_not_exists(n, l[9])", MISSING),
        ("SET a = s + :n", WRONG_TYPE),
        ("SET a = list_append(n, :l)", WRONG_TYPE),
        ("ADD ss :ns", WRONG_TYPE),
        ("ADD s :ss", WRONG_TYPE),
        ("DELETE n :ss", WRONG_TYPE),
        ("DELETE ss :ns", WRONG_TYPE),
        ("SET q.b = :s", WRONG_PATH),
        ("SET q[0] = :s", WRONG_PATH),
        ("SET n.b = :s", WRONG_PATH),
        ("SET m[0] = :s", WRONG_PATH),
        ("SET l.b = :s", WRONG_PATH),
        ("SET m.a.b = :s", WRONG_PATH),
        ("SET q.r = q.s", WRONG_PATH),
        ("REMOVE q.r", WRONG_PATH),
        ("REMOVE m[0]", WRONG_PATH),
        ("ADD q.r :n", WRONG_PATH),
        ("DELETE q.r :ss", WRONG_PATH),
        ("SET a = :most + :most", "Attempting to store more than 38 significant digits in a Number"),
    ],
)
def test_what_does_not_fit_the_item_is_refused(text: str, message: str):
    with pytest.raises(ValidationFault) as fault:
        parsed(text).apply(ITEM)
    assert fault.value.message == message


OPERAND = "Incorrect operand type for operator or function; "
OVERLAP = "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: "
MISUSED = "The function is not allowed to be used this way in an expression; function: "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The expression can not be empty;"),
        ("SET", 'Syntax error; token: "<EOF>", near: "SET"'),
        ("SET a = :s,", 'Syntax error; token: "<EOF>", near: ","'),
        ("a = :s", 'Syntax error; token: "a", near: "a ="'),
        ("SET n = n + :n + :n", 'Syntax error; token: "+", near: ":n + :n"'),
        ("SET a = (n - :n) + :n", 'Syntax error; token: "+", near: ") + :n"'),
        ("SET a += :n", 'Syntax error; token: "+", near: "a +="'),
        ("SET a = -:n", 'Syntax error; token: "-", near: "= -:n"'),
        ("REMOVE a b", 'Syntax error; token: "b", near: "a b"'),
        ("ADD n n", 'Syntax error; token: "n", near: "n n"'),
        ("ADD n", 'Syntax error; token: "<EOF>", near: "n"'),
        ("SET a = ((n))", "The expression has redundant parentheses;"),
        ("SET a = :s SET b = :s", 'The "SET" section can only be used once in an update expression;'),
        ("SET name = :s", "Attribute name is a reserved keyword; reserved keyword: name"),
        ("SET a = size(l)", "The function is not allowed in an update expression; function: size"),
        ("SET a = foo(l)", "Invalid function name; function: foo"),
        ("SET a = if_not_exists(list_append(l, :l), :l)", MISUSED + "list_append"),
        ("SET a = list_append(l, :l) + :n", MISUSED + "list_append"),
        (
            "SET a = if_not_exists(b)",
            "Incorrect number of operands for operator or function; operator or function: if_not_exists, number of operands: 1",
        ),
        (
            "SET a = if_not_exists(:s, b)",
            "Operator or function requires a document path; operator or function: if_not_exists",
        ),
        ("SET a = :s + :n", OPERAND + "operator or function: +, operand type: S"),
        ("SET a = list_append(l, :s)", OPERAND + "operator or function: list_append, operand type: S"),
        ("ADD n :s", OPERAND + "operator: ADD, operand type: STRING, typeSet: ALLOWED_FOR_ADD_OPERAND"),
        ("ADD l :l", OPERAND + "operator: ADD, operand type: LIST, typeSet: ALLOWED_FOR_ADD_OPERAND"),
        ("DELETE ss :n", OPERAND + "operator: DELETE, operand type: NUMBER, typeSet: ALLOWED_FOR_DELETE_OPERAND"),
        ("SET a = :s, a = :n", OVERLAP + "[a], path two: [a]"),
        ("SET a = :s REMOVE a[0].b", OVERLAP + "[a], path two: [a, [0], b]"),
        ("REMOVE l[0], l", OVERLAP + "[l, [0]], path two: [l]"),
        ("SET #n = :s ADD n :n", OVERLAP + "[n], path two: [n]"),
        (
            "SET a[0] = :s, a.b = :n",
            "Two document paths conflict with each other; must remove or rewrite one of these paths; "
            "path one: [a, [0]], path two: [a, b]",
        ),
        ("SET a = :zz", "An expression attribute value used in expression is not defined; attribute value: :zz"),
        ("SET #zz = :s", "An expression attribute name used in the document path is not defined; attribute name: #zz"),
        ("REMOVE " + "a" * 4096, "Expression size has exceeded the maximum allowed size;"),
    ],
)
def test_what_is_wrong_is_told_in_the_services_words(text: str, message: str):
    with pytest.raises(ValidationFault) as fault:
        parsed(text)
    assert fault.value.message == f"Invalid UpdateExpression: {message}"


def test_an_update_tells_what_it_writes():
    update = parsed("SET a.b = :s, n = :n REMOVE l[1] ADD ss :ss")
    assert update.paths() == (("a", "b"), ("n",), ("l", 1), ("ss",))
    assert update.touches("a") and update.touches("l") and not update.touches("id")
    assert update.nested() == {"a", "l"}
    assert (update.kind_of("n"), update.kind_of("ss"), update.kind_of("a"), update.kind_of("l")) == ("N", "SS", None, None)
    update = parsed("SET m.b = :s, l[1] = :w REMOVE s")
    assert update.touched(ITEM) == {"l": ints(2), "s": {"S": "x"}}
    assert update.touched(update.apply(ITEM)) == {"m": {"M": {"b": {"S": "x"}}}, "l": ints(7)}


names = st.sampled_from(["a", "b", "c"])
numbers = st.integers(-5, 5)
model_values = st.one_of(
    numbers, st.text("xy", max_size=2), st.lists(numbers, max_size=3), st.frozensets(numbers, min_size=1, max_size=3)
)
models = st.dictionaries(names, st.one_of(model_values, st.dictionaries(names, model_values, max_size=3)), max_size=3)


def wire(value: Any) -> values.Value:
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, frozenset):
        return {"NS": [str(member) for member in value]}
    if isinstance(value, list):
        return {"L": [wire(member) for member in value]}
    return {"M": {name: wire(member) for name, member in value.items()}}


def plain(value: values.Value) -> Any:
    ((kind, inner),) = value.items()
    if kind == "N":
        return int(Decimal(inner))
    if kind == "NS":
        return frozenset(int(member) for member in inner)
    if kind == "L":
        return [plain(member) for member in inner]
    return {name: plain(member) for name, member in inner.items()} if kind == "M" else inner


class Refused(Exception):
    pass


class Model:
    """Python's own values, and one action after the other on a copy: only for actions that do not meet in one list."""

    def __init__(self, old: dict[str, Any]):
        self.old = old
        self.new = copy.deepcopy(old)

    def home(self, path: tuple[Any, ...], root: dict[str, Any]) -> Any:
        holder: Any = root
        for part in path[:-1]:
            holder = holder.get(part) if isinstance(holder, dict) else None
        if not isinstance(holder, list if isinstance(path[-1], int) else dict):
            raise Refused
        return holder

    def find(self, path: tuple[Any, ...]) -> Any:
        try:
            holder = self.home(path, self.old)
            return holder[path[-1]]
        except (Refused, KeyError, IndexError):
            return None

    def run(self, section: str, path: tuple[Any, ...], value: Any) -> None:
        self.home(path, self.old)
        old = self.find(path)
        if section == "REMOVE":
            value = None
        elif section != "SET" and old is not None:
            if type(old) is not type(value):
                raise Refused
            if section == "ADD":
                value = old | value if isinstance(value, frozenset) else old + value
            else:
                value = (old - value) or None
        elif section == "DELETE":
            value = None
        holder = self.home(path, self.new)
        if isinstance(holder, list):
            at = path[-1]
            if value is None:
                del holder[at : at + 1]
            elif at < len(holder):
                holder[at] = value
            else:
                holder.append(value)
        elif value is None:
            holder.pop(path[-1], None)
        else:
            holder[path[-1]] = value


paths = st.one_of(
    st.tuples(names),
    st.tuples(names, names),
    st.tuples(names, st.integers(0, 3)),
    st.tuples(names, names, st.integers(0, 3)),
)


@st.composite
def actions(draw: st.DrawFn) -> tuple[str, tuple[Any, ...], Any]:
    section = draw(st.sampled_from(["SET", "REMOVE", "ADD", "DELETE"]))
    if section == "SET":
        return section, draw(paths), draw(model_values)
    if section == "REMOVE":
        return section, draw(paths), None
    sets = st.frozensets(numbers, min_size=1, max_size=3)
    return section, draw(paths), draw(sets if section == "DELETE" else st.one_of(numbers, sets))


def spelled(path: tuple[Any, ...]) -> str:
    return path[0] + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path[1:])


@given(models, st.lists(actions(), min_size=1, max_size=3))
def test_updates_do_what_the_model_does(old: dict[str, Any], chosen: list[tuple[str, tuple[Any, ...], Any]]):
    """One action an attribute, so that none overlaps with another."""
    chosen = list({action[1][0]: action for action in chosen}.values())
    model = Model(old)
    try:
        for action in chosen:
            model.run(*action)
        expected: Any = model.new
    except Refused:
        expected = None
    bound = {f":v{at}": wire(value) for at, (_, _, value) in enumerate(chosen) if value is not None}
    sections: dict[str, list[str]] = {}
    for at, (section, path, _) in enumerate(chosen):
        link = {"SET": f" = :v{at}", "REMOVE": ""}.get(section, f" :v{at}")
        sections.setdefault(section, []).append(spelled(path) + link)
    text = " ".join(f"{section} {', '.join(members)}" for section, members in sections.items())
    item = {name: wire(value) for name, value in old.items()}
    try:
        got: Any = {name: plain(value) for name, value in parse_update(text, Placeholders(None, bound or None)).apply(item).items()}
    except ValidationFault:
        got = None
    assert got == expected
    assert {name: plain(value) for name, value in item.items()} == old


DOCUMENT: dict[str, Any] = {
    "n": {"N": "1"},
    "l": {"L": [{"N": "1"}, {"M": {"x": {"N": "2"}, "y": {"N": "3"}}}, {"L": [{"N": "4"}, {"N": "5"}]}]},
    "m": {"M": {"a": {"N": "1"}, "b": {"N": "2"}}},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n", {"n": {"N": "1"}}),
        ("zz, n", {"n": {"N": "1"}}),
        ("m.a, m.b", {"m": {"M": {"a": {"N": "1"}, "b": {"N": "2"}}}}),
        ("m.zz", {}),
        ("l[2], l[0]", {"l": {"L": [{"N": "1"}, {"L": [{"N": "4"}, {"N": "5"}]}]}}),
        ("l[1].x, l[1].y", {"l": {"L": [{"M": {"x": {"N": "2"}, "y": {"N": "3"}}}]}}),
        ("l[2][1], l[1].y", {"l": {"L": [{"M": {"y": {"N": "3"}}}, {"L": [{"N": "5"}]}]}}),
        ("l[9]", {}),
        ("n.a, m[0], l.a", {}),
    ],
)
def test_projections(text: str, expected: dict[str, Any]):
    assert parse_projection(text, Placeholders()).apply(DOCUMENT) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The expression can not be empty;"),
        ("n,", 'Syntax error; token: "<EOF>", near: ","'),
        ("(n)", 'Syntax error; token: "(", near: "(n"'),
        ("size(n)", 'Syntax error; token: "(", near: "size(n"'),
        ("name", "Attribute name is a reserved keyword; reserved keyword: name"),
        ("n, n", OVERLAP + "[n], path two: [n]"),
        ("m, m.a", OVERLAP + "[m], path two: [m, a]"),
    ],
)
def test_projections_that_are_wrong(text: str, message: str):
    with pytest.raises(ValidationFault) as fault:
        parse_projection(text, Placeholders())
    assert fault.value.message == f"Invalid ProjectionExpression: {message}"
