"""PartiQL statements: what they say, how they reach items, and the service's words for those that are wrong."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cumulet.services.tables.errors import ValidationFault
from cumulet.services.tables.expressions import Clause, KeyCondition, conditions, updates
from cumulet.services.tables.partiql import Bindings, Delete, Exists, Insert, Select, Statement, Update, parse
from cumulet.services.tables.partiql.access import Access, access_of, check_key_types, key_of

ITEM: dict[str, Any] = {
    "id": {"S": "a"},
    "r": {"N": "1"},
    "n": {"N": "10"},
    "s": {"S": "it's"},
    "l": {"L": [{"N": "1"}, {"S": "x"}, {"M": {"k": {"N": "5"}}}]},
    "m": {"M": {"a": {"N": "1"}, "b c": {"S": "z"}}},
    "ss": {"SS": ["a", "b"]},
    "nul": {"NULL": True},
    "t": {"BOOL": True},
}
HASHES, RANGES = {"id": "S"}, {"r": "N"}
KEYS = HASHES | RANGES


def bound(text: str, parameters: list[Any] | None = None) -> tuple[Any, Bindings]:
    statement = parse(text)
    return statement, Bindings(statement.literals, statement.parameters, parameters)


def matches(where: str, parameters: list[Any] | None = None) -> bool:
    select, bindings = bound(f"SELECT * FROM t WHERE {where}", parameters)
    assert isinstance(select, Select) and select.where is not None
    return conditions.bind(select.where, bindings).matches(ITEM)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("n = 10", True),
        ("n = 1e1 AND n = 10.0 AND n <> -10 AND n != 11", True),
        ("10 = n AND 9 < n", True),
        ("n BETWEEN 10 AND 20", True),
        ("n NOT BETWEEN 10 AND 20", False),
        ("n IN [1, 10] AND n IN (10) AND n IN <<10, 20>>", True),
        ("n NOT IN (10, 20)", False),
        ("NOT n = 1 AND (n = 1 OR n = 10)", True),
        ("s = 'it''s'", True),
        ("\"s\" = 's'", False),
        ("begins_with(s, 'it') AND contains(ss, 'a') AND contains(l, 'x')", True),
        ("attribute_type(s, 'S') AND size(l) = 3", True),
        ("attribute_exists(n) AND attribute_not_exists(zz)", True),
        ("zz IS MISSING AND n IS NOT MISSING", True),
        ("nul IS NULL AND nul = NULL AND n IS NOT NULL", True),
        ("zz IS NULL", False),
        ("s IS STRING AND l IS LIST AND m IS STRUCT AND t IS BOOL", True),
        ("t = true AND t <> FALSE", True),
        ("ss = <<'b', 'a'>>", True),
        ("l = [1, 'x', {'k': 5}] AND m = {'a': 1, 'b c': 'z'}", True),
        ("l[2].k = 5 AND m.\"b c\" = 'z' AND m.a = l[0]", True),
        ("n = 10 -- a comment", True),
        ("/* a comment */ n = 10 /* and * another */", True),
        ("n = 10;", True),
    ],
)
def test_what_a_where_clause_means(where: str, expected: bool):
    assert matches(where) is expected


def test_parameters_stand_for_values_in_their_order():
    assert matches("n = ? AND s = ?", [{"N": "10.0"}, {"S": "it's"}])
    assert matches("n IN [?, ?] AND l[1] = ?", [{"N": "1"}, {"N": "10"}, {"S": "x"}])
    assert matches("l = [?, 'x', {'k': ?}] AND ss = <<?, 'a'>>", [{"N": "1"}, {"N": "5.0"}, {"S": "b"}])
    with pytest.raises(ValidationFault, match=r"^Number of parameters in request and statement don't match\.$"):
        matches("n = ? AND s = ?", [{"N": "10"}])


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ("n", {"n": {"N": "10"}}),
        ("n, zz, m.a", {"n": {"N": "10"}, "a": {"N": "1"}}),
        ('l[0], l[2].k, m."b c"', {"l[0]": {"N": "1"}, "k": {"N": "5"}, "b c": {"S": "z"}}),
    ],
)
def test_what_is_selected_is_named_by_the_end_of_its_path(paths: str, expected: dict[str, Any]):
    projection = parse(f"SELECT {paths} FROM t").projection()  # type: ignore[union-attr]
    assert projection is not None and projection.apply(ITEM) == expected


def test_sources_and_orders():
    select = parse('select * from "my-table"."by-x" where id = \'a\' order by id, r desc')
    assert isinstance(select, Select)
    assert (select.table, select.index, select.projection(), select.order) == (
        "my-table",
        "by-x",
        None,
        (("id", False), ("r", True)),
    )
    assert parse("SELECT * FROM t.i").index == "i"  # type: ignore[union-attr]


def accessed(where: str, order: str = "", hashes: dict[str, str] = HASHES, ranges: dict[str, str] = RANGES) -> Access:
    select, bindings = bound(f"SELECT * FROM t WHERE {where} {order}")
    return access_of(select, hashes, ranges, bindings)


A, B, ONE, TWO = {"S": "a"}, {"S": "b"}, {"N": "1"}, {"N": "2"}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("id = 'a'", [KeyCondition({"id": A})]),
        ("'a' = id AND 1 < r", [KeyCondition({"id": A}, {}, Clause("r", ">", (ONE,)))]),
        ("r BETWEEN 1 AND 2 AND id = 'a'", [KeyCondition({"id": A}, {}, Clause("r", "BETWEEN", (ONE, TWO)))]),
        ("id IN ['a', 'b', 'a']", [KeyCondition({"id": A}), KeyCondition({"id": B})]),
        (
            "id IN ('a', 'b') AND r IN [1, 2]",
            [KeyCondition({"id": key}, {}, Clause("r", "=", (number,))) for key in (A, B) for number in (ONE, TWO)],
        ),
    ],
)
def test_key_conditions_are_found_in_a_where_clause(where: str, expected: list[KeyCondition]):
    assert accessed(where) == Access(tuple(expected), None)
    access = accessed(f"n > 5 AND ({where})")
    assert access.conditions == tuple(expected) and access.rest is not None


@pytest.mark.parametrize(
    "where", ["r = 1", "id > 'a'", "id = 'a' OR id = 'b'", "NOT id = 'a'", "id = n", "id <> 'a'", "id.x = 'a'"]
)
def test_what_no_key_answers_is_scanned(where: str):
    access = accessed(where)
    assert access.conditions is None and access.rest is not None


def test_what_the_key_does_not_answer_is_left_to_filter():
    access = accessed("id = 'a' AND id = 'b' AND r > 1 AND r < 5")
    assert access.conditions == (KeyCondition({"id": A}, {}, Clause("r", ">", (ONE,))),)
    assert access.rest is not None
    assert not conditions.bind(access.rest, bound("SELECT * FROM t WHERE id = 'a' AND id = 'b' AND r > 1 AND r < 5")[1]).matches(
        ITEM
    )


def test_lists_of_keys_are_at_most_a_hundred_queries():
    keys, numbers = ", ".join(f"'{number}'" for number in range(20)), ", ".join(map(str, range(10)))
    access = accessed(f"id IN ({keys}) AND r IN ({numbers})")
    assert access.conditions == tuple(KeyCondition({"id": {"S": str(number)}}) for number in range(20))
    assert access.rest is not None
    assert accessed(f"id IN ({keys})", hashes={"id": "S", "x": "S"}).conditions is None


def test_several_attributes_a_key():
    hashes, ranges = {"h1": "S", "h2": "N"}, {"r1": "S", "r2": "N"}
    access = accessed("h1 = 'a' AND h2 = 1 AND r1 = 'b' AND r2 > 2", hashes=hashes, ranges=ranges)
    assert access.conditions == (KeyCondition({"h1": A, "h2": ONE}, {"r1": B}, Clause("r2", ">", (TWO,))),)
    assert access.rest is None
    access = accessed("h1 = 'a' AND h2 = 1 AND r2 > 2", hashes=hashes, ranges=ranges)
    assert access.conditions == (KeyCondition({"h1": A, "h2": ONE}),)
    assert access.rest is not None
    assert accessed("h1 = 'a'", hashes=hashes, ranges=ranges).conditions is None


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("id = 1", "Key attribute's data type should match its data type in table's schema: Key id"),
        ("n = 1 AND r > 'x'", "Key attribute's data type should match its data type in table's schema: Key r"),
        (
            "id IN ['a', 1]",
            "One or more parameter values were invalid: Condition parameter type does not match schema type",
        ),
    ],
)
def test_a_key_attribute_has_its_type(where: str, message: str):
    with pytest.raises(ValidationFault) as fault:
        accessed(where)
    assert fault.value.message == message


def test_orders_turn_the_reading():
    assert accessed("id = 'a'", "ORDER BY r DESC").is_reverse
    assert not accessed("id = 'a'", "ORDER BY id, r ASC").is_reverse
    backward = accessed("id IN ('a', 'b')", "ORDER BY id DESC, r").conditions
    assert backward == (KeyCondition({"id": B}), KeyCondition({"id": A}))
    for where, order, message in (
        ("id = 'a'", "ORDER BY n", "Variable reference n in ORDER BY clause must be part of the primary key"),
        (
            "n = 1",
            "ORDER BY r",
            "Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause.",
        ),
    ):
        with pytest.raises(ValidationFault) as fault:
            accessed(where, order)
        assert fault.value.message == message


def test_inserts():
    insert, bindings = bound(
        "INSERT INTO t VALUE {'id': ?, 'x': <<1, 2.0>>, 'y': [1, null, ?], 'z': {'a': true}}", [{"S": "p"}, {"SS": ["q"]}]
    )
    assert isinstance(insert, Insert)
    assert bindings.value_of(insert.item) == {
        "M": {
            "id": {"S": "p"},
            "x": {"NS": ["1", "2"]},
            "y": {"L": [{"N": "1"}, {"NULL": True}, {"SS": ["q"]}]},
            "z": {"M": {"a": {"BOOL": True}}},
        }
    }
    with pytest.raises(ValidationFault, match=r"^Key attribute should be present in the item: Key r$"):
        check_key_types({"id": {"S": "p"}}, KEYS)
    with pytest.raises(ValidationFault, match=r"^Key attribute's data type should match its data type in table's schema: Key r$"):
        check_key_types({"id": {"S": "p"}, "r": {"S": "p"}}, KEYS)


@pytest.mark.parametrize(
    ("actions", "name", "expected"),
    [
        ("SET a = 1, b = 2", "b", {"N": "2"}),
        ("SET a = 1 SET b = 2 REMOVE n", "n", None),
        ("REMOVE n REMOVE l[0]", "l", {"L": [{"S": "x"}, {"M": {"k": {"N": "5"}}}]}),
        ("SET n = 1 + n - 2", "n", {"N": "9"}),
        ("SET a = (n + 1)", "a", {"N": "11"}),
        ("SET m.a = -1.50", "m", {"M": {"a": {"N": "-1.5"}, "b c": {"S": "z"}}}),
        ("SET l = list_append(l, [2])", "l", {"L": [{"N": "1"}, {"S": "x"}, {"M": {"k": {"N": "5"}}}, {"N": "2"}]}),
        ("SET a = if_not_exists(a, 'new')", "a", {"S": "new"}),
        ("SET ss = set_add(ss, <<'c'>>)", "ss", {"SS": ["a", "b", "c"]}),
        ("SET zz = SET_ADD(zz, <<1>>)", "zz", {"NS": ["1"]}),
        ("SET ss = set_delete(ss, <<'a'>>)", "ss", {"SS": ["b"]}),
        ("SET a = NULL, b = {}", "a", {"NULL": True}),
    ],
)
def test_updates(actions: str, name: str, expected: Any):
    update, bindings = bound(f"UPDATE t {actions} WHERE id = 'a' AND r = 1")
    assert isinstance(update, Update)
    assert updates.bind(update.actions, bindings).apply(ITEM).get(name) == expected


def test_writes_name_one_item_by_its_whole_key():
    update, bindings = bound("UPDATE t SET x = 1 WHERE id = 'a' AND (1 = r AND n > 5) RETURNING MODIFIED NEW *")
    key, rest = key_of(update.where, KEYS, bindings)
    assert (key, update.returns) == ({"id": A, "r": ONE}, "UPDATED_NEW")
    assert rest is not None and conditions.bind(rest, bindings).matches(ITEM)
    delete, bindings = bound("DELETE FROM t WHERE r = 1 AND id = 'a' RETURNING ALL OLD *")
    assert isinstance(delete, Delete) and delete.returns == "ALL_OLD"
    assert key_of(delete.where, KEYS, bindings) == ({"id": A, "r": ONE}, None)
    exists, bindings = bound("EXISTS(SELECT * FROM t WHERE id = 'a' AND r = 1 AND n = 10)")
    assert isinstance(exists, Exists)
    assert key_of(exists.where, KEYS, bindings)[0] == {"id": A, "r": ONE}


@pytest.mark.parametrize("where", ["", "id = 'a'", "id = 'a' AND r > 1", "id = 'a' AND r = 1 OR n = 2", "id = 'a' AND r IN [1]"])
def test_a_write_without_a_whole_key_is_refused(where: str):
    delete, bindings = bound("DELETE FROM t" + (f" WHERE {where}" if where else ""))
    with pytest.raises(ValidationFault) as fault:
        key_of(delete.where, KEYS, bindings)
    assert fault.value.message == "Where clause does not contain a mandatory equality on all key attributes"


def test_a_write_names_one_key():
    delete, bindings = bound("DELETE FROM t WHERE id = 'a' AND r = 1 AND r = 1.0")
    assert key_of(delete.where, KEYS, bindings) == ({"id": A, "r": ONE}, None)
    delete, bindings = bound("DELETE FROM t WHERE id = 'a' AND r = 1 AND id = 'b'")
    with pytest.raises(ValidationFault) as fault:
        key_of(delete.where, KEYS, bindings)
    assert fault.value.message == "Multiple conditions on same key id. Only single item Update/Insert/Delete are supported"


def test_a_key_of_another_type_is_refused():
    delete, bindings = bound("DELETE FROM t WHERE id = 'a' AND r = 'x'")
    with pytest.raises(ValidationFault) as fault:
        key_of(delete.where, KEYS, bindings)
    assert fault.value.message == "Key attribute's data type should match its data type in table's schema: Key r"


MALFORMED = [
    "SELECT",
    "SELECT n FROM",
    "SELECT n FROM t WHERE",
    "SELECT n FROM t WHERE n == 10",
    "SELECT n FROM t WHERE n = 10 AND",
    "SELECT n FROM t WHERE n = 'x",
    "SELECT n FROM t WHERE n IS 'x'",
    "SELECT *, n FROM t",
    "UPDATE t",
    "UPDATE t SET",
    "UPDATE t WHERE id = 'a'",
    "UPDATE t REMOVE n, m WHERE id = 'a'",
    "UPDATE t ADD n 5 WHERE id = 'a'",
    "UPDATE t SET a = 1 WHERE id = 'a' RETURNING FOO",
    "UPDATE t SET a = 1 WHERE id = 'a' RETURNING ALL OLD",
    "DELETE t WHERE id = 'a'",
    "INSERT INTO t VALUES {'id': 'q'}",
    "INSERT INTO t VALUE {'id': 'q'} ON CONFLICT DO NOTHING",
    "EXISTS(SELECT n FROM t)",
    "DROP TABLE t",
    "SELECT * FROM t; SELECT * FROM t",
    "SELECT * FROM t WHERE n = " + "[" * 1000,
    "SELECT * FROM t /* never closed",
    "SELECT * FROM t WHERE " + "(" * 1000,
    "SELECT * FROM t WHERE n = 1" + " " * 8192,
]


@pytest.mark.parametrize("text", MALFORMED)
def test_malformed_statements_are_quoted(text: str):
    with pytest.raises(ValidationFault) as fault:
        parse(text)
    assert fault.value.message == f"Statement wasn't well formed, can't be processed: {text}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT n AS x FROM t", "Aliasing is not supported"),
        ("SELECT i.n FROM t i", "Aliasing is not supported"),
        ("SELECT VALUE n FROM t", "Select projection doesn't support value or pivot keywords"),
        ("SELECT DISTINCT n FROM t", "Unsupported token in expression: DISTINCT"),
        ("SELECT COUNT(*) FROM t", "Unexpected path component at 1:8:5"),
        ("SELECT n, n FROM t", "Duplicate identifiers in select clause: n"),
        ("SELECT n FROM t, u", "Only select from a single table or index is supported."),
        ("SELECT n FROM ?", "Unexpected from source"),
        ("SELECT n FROM t LIMIT 1", "Unsupported clause: LIMIT at 1:23:1"),
        ("SELECT n FROM t GROUP BY n", "Unsupported clause: GROUP BY"),
        ("SELECT n FROM t ORDER BY r", "Must have WHERE clause in the statement when using ORDER BY clause."),
        ("SELECT n FROM t WHERE n", "WHERE clause must contain an expression that resolves to a boolean"),
        ("SELECT n FROM t WHERE n + 1 = 11", "Unsupported operator in Condition Expression. Operator: +"),
        ("SELECT n FROM t WHERE s LIKE 'x'", "Unsupported operator in Condition Expression. Operator: like"),
        ("SELECT n FROM t WHERE foo(n)", "Unrecognized function: foo"),
        (
            "SELECT n FROM t WHERE n IN 10",
            "IN operator must have a left hand argument of type Variable Reference "
            "and right hand argument of type Seq with at least one member",
        ),
        ("SELECT n FROM t WHERE\n  EXISTS(SELECT * FROM t)", "Unsupported token in expression: SELECT at 2:10:6"),
        ("SELECT n FROM t WHERE n = MISSING", "MISSING must be compared using IS operator"),
        ("UPDATE t SET a = <<>>", "Empty bags are not supported at 1:18:2"),
        (
            "UPDATE t SET a = <<1, 'x'>>",
            "Unsupported data type in Bag. DynamoDB only supports either numbers or strings in bags",
        ),
        ("UPDATE t SET a = <<1, 1>>", "Input collection contains duplicates"),
        ("UPDATE t SET a = `x`", "Ion Literals are not supported at 1:18:3"),
        ("UPDATE t SET a = foo(l)", "Unrecognized function: foo"),
        ("UPDATE t SET a = size(l)", "The function is not allowed in an update expression; function: size"),
        ("UPDATE t SET a = set_add(b, <<1>>)", "The first argument to SET_ADD must equal the assignment value"),
        ("UPDATE t.i SET a = 1", "This operation is not supported on an index"),
        (
            "UPDATE t SET a = 1e400",
            "Number overflow. Attempting to store a number with magnitude larger than supported range",
        ),
        (
            "UPDATE t SET a = 1 RETURNING ALL OLD a",
            "Expected '*' after ( MODIFIED | ALL ) ( NEW | OLD ) in RETURNING clause",
        ),
        (
            "UPDATE t SET a = 1 RETURNING ALL OLD *, ALL NEW *",
            "Invalid syntax with multiple returning elements in RETURNING clause",
        ),
        (
            "DELETE FROM t RETURNING ALL NEW *",
            "Invalid returning clause: RETURNING ALL NEW *. Only RETURNING ALL OLD * is allowed in DELETE statements.",
        ),
        ("INSERT INTO t VALUE {'a': 1} RETURNING ALL OLD *", "RETURNING is not supported in INSERT"),
        ("INSERT INTO t VALUE {'a': 1, 'a': 2}", "Duplicate keys in tuple. Key: a at 1:30:3"),
        ("INSERT INTO t VALUE {'': 1}", "Path component cannot be an empty string"),
        (
            "INSERT INTO t VALUE 1",
            "Unsupported format in item expression. "
            "Please use struct format {...} to express item values for insert statement. at 1:21:1",
        ),
        (
            "INSERT INTO t.i VALUE {'a': 1}",
            "FROM clause may only contain a single table name in data manipulation statements",
        ),
    ],
)
def test_what_is_wrong_is_told_in_the_services_words(text: str, message: str):
    with pytest.raises(ValidationFault) as fault:
        parse(text)
    assert fault.value.message == message


WORDS = (
    "SELECT * FROM t \"t\" WHERE id n l m r = <> < > AND OR NOT IN BETWEEN IS MISSING NULL ( ) [ ] { } << >> , . : ' 'x' 1 -1 2.5 "
    "? UPDATE SET REMOVE INSERT INTO VALUE DELETE RETURNING ALL OLD EXISTS ORDER BY DESC size contains list_append set_add "
    "[0] + ; -- ` é"
)
starts = st.sampled_from(
    ["", "SELECT * FROM t WHERE ", "UPDATE t SET a = ", "INSERT INTO t VALUE {'id': ", "DELETE FROM t WHERE id = "]
)


def use(statement: Statement, bindings: Bindings) -> None:
    """All that may be asked of a statement."""
    if isinstance(statement, Select):
        access = access_of(statement, HASHES, RANGES, bindings)
        if access.rest is not None:
            conditions.bind(access.rest, bindings).matches(ITEM)
    elif isinstance(statement, Insert):
        check_key_types(bindings.value_of(statement.item)["M"], KEYS)
    else:
        if isinstance(statement, Update):
            updates.bind(statement.actions, bindings).apply(ITEM)
        key_of(statement.where, KEYS, bindings)


@given(starts, st.one_of(st.text(max_size=30), st.lists(st.sampled_from(WORDS.split()), max_size=20).map(" ".join)))
@settings(max_examples=400)
def test_every_text_is_a_statement_or_a_fault(start: str, text: str):
    try:
        statement = parse(start + text)
        use(statement, Bindings(statement.literals, statement.parameters, [{"S": "x"}] * statement.parameters))
    except (ValidationFault, conditions.Invalid) as error:
        assert str(error)


@pytest.mark.parametrize("piece", ["(", "NOT ", "(NOT ", "size(", "[", "{'a':", "<<", "a.", "a[0]", "-", "a = 1 AND ", "/* ", "*/"])
def test_repeated_pieces_end_in_a_fault(piece: str):
    for start in ("SELECT * FROM t WHERE ", "SELECT * FROM t WHERE n = ", "UPDATE t SET a = ", "INSERT INTO t VALUE {'a': "):
        with pytest.raises(ValidationFault):
            parse((start + piece * 9000)[:8192])
