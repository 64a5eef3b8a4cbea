"""Condition expressions: what they mean, and how the service refuses those that are wrong."""

import re
from typing import Any

import pytest

from cumulet.services.tables.errors import ValidationFault
from cumulet.services.tables.expressions import Placeholders, parse_condition

VALUES: dict[str, Any] = {
    ":s": {"S": "x"},
    ":a": {"S": "a"},
    ":n": {"N": "1"},
    ":five": {"N": "5.0"},
    ":ss": {"SS": ["a"]},
    ":bool": {"BOOL": True},
    ":null": {"NULL": True},
    ":l": {"L": [{"N": "7"}]},
    ":b": {"B": "Yg=="},
    ":type": {"S": "N"},
}
NAMES = {"#n": "n", "#m": "m", "#size": "size"}
ITEM: dict[str, Any] = {
    "id": {"S": "a"},
    "n": {"N": "1"},
    "big": {"N": "12345678901234567890123456789012345678"},
    "s": {"S": "xyz"},
    "emoji": {"S": "é😀"},
    "b": {"B": "YWJj"},
    "l": {"L": [{"N": "1"}, {"S": "x"}, {"M": {"deep": {"N": "5"}}}]},
    "m": {"M": {"a": {"N": "1"}, "b": {"S": "xy"}}},
    "ss": {"SS": ["a", "b"]},
    "ns": {"NS": ["1", "5"]},
    "nothing": {"NULL": True},
    "size": {"N": "5"},
}


def placeholders_of(text: str) -> Placeholders:
    used = set(re.findall(r"[#:]\w+", text))
    names = {name: NAMES[name] for name in used if name in NAMES}
    values = {name: VALUES[name] for name in used if name in VALUES}
    return Placeholders(names or None, values or None)


def refused(text: str, kind: str = "ConditionExpression") -> str:
    with pytest.raises(ValidationFault) as fault:
        parse_condition(text, placeholders_of(text), kind)
    assert fault.value.message.startswith(f"Invalid {kind}: ")
    return fault.value.message.removeprefix(f"Invalid {kind}: ")


TRUE = """
    n = :n
    n <> :s
    n < :five
    n <= :n
    :five > n
    big > :five
    s >= :s
    zz <> :s
    zz <> yy
    size(n) <> :n
    n BETWEEN :n AND :five
    n between zz and :n or n = :n
    n IN (:s, :n)
    l[2].deep = :five
    l[ 2 ] . deep = #size
    m.b > :s
    #m.a = #n
    attribute_exists(m.a) AND attribute_exists(l[0])
    attribute_not_exists(m.c) AND attribute_not_exists(l[3]) AND attribute_not_exists(m[0]) AND attribute_not_exists(n.x)
    attribute_type(n, :type)
    begins_with(s, :s) AND NOT begins_with(n, :s)
    contains(s, :s) AND contains(l, :s) AND contains(ss, :a) AND contains(ns, :n) AND contains(b, :b)
    size(s) > size(l[1]) AND size(l) = size(emoji) AND size(ss) = size(ns)
    NOT n = :s AND NOT NOT n = :n
    n = :s OR n = :n AND s <> :s
    (n = :s OR n = :n) AND s <> :s
    not(n = :s)
    (s) = (s1) or (n) = (:n)
    nothing = :null
    l[0]=n AND m.a=n
""".strip().splitlines()

FALSE = """
    n = :s
    zz = yy
    zz < :n
    zz BETWEEN :n AND :five
    n BETWEEN zz AND :five
    zz IN (:n)
    zz = :null
    size(n) = :n
    size(zz) < :five
    size(zz) IN (:n)
    attribute_exists(zz)
    attribute_exists(n.a)
    attribute_type(zz, :type)
    attribute_type(s, :type)
    begins_with(zz, :s)
    contains(n, :n)
    contains(ns, :s)
    contains(ss, :s)
    contains(zz, :s)
    NOT n = :n
    n = :s AND n = :n OR s = :s
    n > :s
    l = :l
""".strip().splitlines()


@pytest.mark.parametrize(("text", "expected"), [(text, True) for text in TRUE] + [(text, False) for text in FALSE])
def test_what_a_condition_means(text: str, expected: bool):
    text = text.strip()
    placeholders = placeholders_of(text)
    condition = parse_condition(text, placeholders)
    placeholders.check_all_used()
    assert condition.matches(ITEM) is expected


def test_an_absent_item_has_no_attributes():
    assert parse_condition("attribute_not_exists(id)", Placeholders()).matches(None)
    assert not parse_condition("attribute_exists(id)", Placeholders()).matches(None)


def test_a_condition_tells_what_it_reads():
    text = "#m.a = :n AND (attribute_exists(s) OR l[0] IN (big, :s))"
    condition = parse_condition(text, placeholders_of(text))
    assert condition.paths() == {"m", "s", "l", "big"}
    assert condition.nested() == {"m", "l"}
    condition.check_scalars(["id", "s"])
    with pytest.raises(ValidationFault) as fault:
        condition.check_scalars(["id", "l"])
    assert fault.value.message == (
        "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: l"
    )


@pytest.mark.parametrize(
    ("text", "token", "near"),
    [
        ("a", "<EOF>", "a"),
        ("a =", "<EOF>", "="),
        ("a = ", "<EOF>", "= "),
        ("   ", "<EOF>", "   "),
        ("  a  b   ", "b", "a  b   "),
        (" AND a", "AND", " AND a"),
        ("a = :", ":", "= :"),
        ("= :s", "=", "= :s"),
        ("a = :s and", "<EOF>", "and"),
        ("a == :s", "=", "== :s"),
        ("a = 1", "1", "= 1"),
        ("a = 'x'", "'", "= 'x"),
        ("a b", "b", "a b"),
        ("(a = :s", "<EOF>", ":s"),
        ("a = :s)", ")", ":s)"),
        ("(a)", "<EOF>", ")"),
        ("(a=b) = c", "=", ") = c"),
        ("a and b", "and", "a and b"),
        ("not", "<EOF>", "not"),
        ("attribute_exists()", ")", "()"),
        ("attribute_exists(a) and attribute_exists", "<EOF>", "attribute_exists"),
        ("a.[0] = :s", "[", ".[0"),
        ("a[x] = :s", "x", "[x]"),
        ("a[-1] = :s", "-", "[-1"),
        ("a[0 = :s", "=", "0 = :s"),
        ("a[00] = :s", "0", "00]"),
        ("a.0 = :s", "0", ".0 ="),
        ("a in ()", ")", "()"),
        ("a in :s", ":s", "in :s"),
        ("a in (:s,)", ")", ",)"),
        ("a in (b,c", "<EOF>", "c"),
        ("a between :s", "<EOF>", ":s"),
        ("a!=:s", "!", "a!="),
        ("a = :s; ", ";", ":s; "),
        ("a = :s --", "-", ":s --"),
        ("é = :s", "é", "é ="),
        ("_a = :s", "_", "_a"),
        ("1a = :s", "1", "1a"),
        ("a-b = :s", "-", "a-b"),
        ("a + b = :s", "+", "a + b"),
        ("set = :s", "set", "set ="),
        ("a = :s\x00", "\x00", ":s\x00"),
    ],
)
def test_syntax_errors_name_the_token_and_what_is_around_it(text: str, token: str, near: str):
    assert refused(text) == f'Syntax error; token: "{token}", near: "{near}"'


OPERAND = "Incorrect operand type for operator or function; operator or function: "
DISTINCT = "The first operand must be distinct from the remaining operands for this operator or function; operator: "
MISUSED = "The function is not allowed to be used this way in an expression; function: "
COUNT = "Incorrect number of operands for operator or function; operator or function: "
BOUNDS = "lower bound operand: AttributeValue: "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The expression can not be empty;"),
        ("((a = :s))", "The expression has redundant parentheses;"),
        ("((a)) = :s", "The expression has redundant parentheses;"),
        ("(((a = :s) and b = :s))", "The expression has redundant parentheses;"),
        ("a = ((:s))", "The expression has redundant parentheses;"),
        ("foo(a)", "Invalid function name; function: foo"),
        ("Attribute_Exists(a)", "Invalid function name; function: Attribute_Exists"),
        ("if_not_exists(a, :s) = :s", "The function is not allowed in a condition expression; function: if_not_exists"),
        ("size(a)", MISUSED + "size"),
        ("size(name)", MISUSED + "size"),
        ("name = b and size(a)", "Attribute name is a reserved keyword; reserved keyword: name"),
        ("attribute_exists(a) = :s", MISUSED + "attribute_exists"),
        ("a in (attribute_exists(b))", MISUSED + "attribute_exists"),
        ("NAME = :s", "Attribute name is a reserved keyword; reserved keyword: NAME"),
        ("a.name = :s", "Attribute name is a reserved keyword; reserved keyword: name"),
        ("attribute_exists(:s)", "Operator or function requires a document path; operator or function: attribute_exists"),
        ("attribute_exists(size(a))", "Operator or function requires a document path; operator or function: attribute_exists"),
        ("attribute_exists(a, b)", COUNT + "attribute_exists, number of operands: 2"),
        ("begins_with(a)", COUNT + "begins_with, number of operands: 1"),
        ("begins_with(a, :n)", OPERAND + "begins_with, operand type: N"),
        ("begins_with(size(a), :s)", OPERAND + "begins_with, operand type: N"),
        ("size(:n) = :n", OPERAND + "size, operand type: N"),
        ("size(size(a)) = :n", OPERAND + "size, operand type: N"),
        ("a < :ss", OPERAND + "<, operand type: SS"),
        ("a between :bool and :bool", OPERAND + "BETWEEN, operand type: BOOL"),
        ("attribute_type(a, :n)", OPERAND + "attribute_type, operand type: N"),
        (
            "attribute_type(a, :s)",
            "Invalid attribute type name found; type: x, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}",
        ),
        ("a = a", DISTINCT + "=, first operand: [a]"),
        ("a[0].b <> a[0].b", DISTINCT + "<>, first operand: [a, [0], b]"),
        ("a in (b, a)", DISTINCT + "IN, first operand: [a]"),
        ("contains(#n, n)", DISTINCT + "contains, first operand: [n]"),
        (
            "a between :s and :n",
            "The BETWEEN operator requires same data type for lower and upper bounds; "
            f"{BOUNDS}{{S:x}}, upper bound operand: AttributeValue: {{N:1}}",
        ),
        (
            "a between :five and :n",
            "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; "
            f"{BOUNDS}{{N:5}}, upper bound operand: AttributeValue: {{N:1}}",
        ),
        (
            "a.#zz = :s",
            "An expression attribute name used in the document path is not defined; attribute name: #zz",
        ),
        ("a = :zz and b = b", "An expression attribute value used in expression is not defined; attribute value: :zz"),
        ("a[2147483648] = :s", "List index is not within the allowable range; index: [2147483648]"),
        (
            "attribute_exists(" + ".".join("a" * 33) + ")",
            "The document path has too many nesting levels; nesting levels: 33",
        ),
        (
            "a in (" + ",".join("b" * 101) + ")",
            "The IN operator is provided with too many operands; number of operands: 101",
        ),
        (" and ".join(["a=b"] * 151), "The expression contains too many operators; operator count: 301"),
        ("not " * 300 + "a=b", "The expression contains too many operators; operator count: 301"),
        ("a" * 4097, "Expression size has exceeded the maximum allowed size; expression size: 4097"),
        ("(not " * 300 + "a=b" + ")" * 300, "The expression contains too many operators; operator count: 301"),
        ("size(" * 150 + "a" + ")" * 150 + " = b", "The expression is nested too deeply;"),
    ],
)
def test_what_is_wrong_is_told_in_the_services_words(text: str, message: str):
    assert refused(text) == message
    assert refused(text, "FilterExpression") == message


@pytest.mark.parametrize(
    "text",
    [
        " and ".join(["a=b"] * 150),
        "not " * 299 + "a=b",
        "a in (" + ",".join("b" * 100) + ")",
        "(not " * 299 + "a=b" + ")" * 299,
        "(" * 149 + "a=b" + " and a=b)" * 149,
        "attribute_exists(" + ".".join("a" * 32) + ")",
        "attribute_exists(a[2147483647])",
    ],
)
def test_what_is_just_within_the_limits_passes(text: str):
    parse_condition(text, Placeholders()).matches(ITEM)


@pytest.mark.parametrize("opening", ["(not ", "(a=b or ", "(a=b and (not "])
def test_a_limit_of_python_is_never_the_limit_of_an_expression(opening: str):
    """At the deepest nesting that is allowed, with half of the interpreter's stack in use."""
    levels = 299 // (1 + opening.count("=") + opening.count("and"))
    text = opening * levels + "a=b" + ")" * (levels * opening.count("("))

    def deeper(frames: int) -> bool:
        return deeper(frames - 1) if frames else parse_condition(text, Placeholders()).matches(ITEM)

    assert deeper(500) in (True, False)
