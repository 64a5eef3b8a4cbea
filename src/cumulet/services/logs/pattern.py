"""Filter patterns: which messages a filter wants. Pure.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
Three kinds: terms (`ERROR -debug ?a ?b "two words" %regex%`), space-delimited fields (`[ip, user, status=4*, size>100]`), and JSON
(`{ $.a.b = "x*" && ($.n > 1 || $.t IS TRUE) }`).
"""

import json
import operator
import re
from collections.abc import Callable
from typing import Any

from cumulet.core import patterns
from cumulet.services.logs.errors import InvalidParameter

Wants = Callable[[str], bool]

_TERM = re.compile(r'\s*([-?]?)(?:"((?:[^"\\]|\\.)*)"|%((?:[^%\\]|\\.)*)%|([^\s"]+))')
_JSON_TOKEN = re.compile(
    r'\s*(?:(\(|\)|&&|\|\||!=|>=|<=|=|>|<)|("(?:[^"\\]|\\.)*")|%((?:[^%\\]|\\.)*)%|(\$(?:\.[\w@#-]+|\[\d+\]|\["[^"]+"\]|\.\*)*)|([^\s()=<>!&|]+))'
)
_FIELD_SPLIT = re.compile(r'\[[^\]]*\]|"[^"]*"|\S+')
_COMPARE = {"=": operator.eq, "!=": operator.ne, ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}


def compile_pattern(text: str) -> Wants:
    """The test that a pattern means. Raises InvalidParameter for what is no pattern."""
    text = text.strip()
    if not text:
        return lambda message: True
    if len(text) > 1024:
        raise InvalidParameter("A filter pattern has at most 1024 characters.")
    if text.startswith("{"):
        if not text.endswith("}"):
            raise InvalidParameter("Invalid filter pattern: } is missing")
        return _JsonPattern(text[1:-1]).compile()
    if text.startswith("["):
        if not text.endswith("]"):
            raise InvalidParameter("Invalid filter pattern: ] is missing")
        return _fields(text[1:-1])
    return _terms(text)


def _terms(text: str) -> Wants:
    wanted: list[Wants] = []
    refused: list[Wants] = []
    any_of: list[Wants] = []
    at = 0
    while at < len(text):
        match = _TERM.match(text, at)
        if match is None:
            raise InvalidParameter(f"Invalid filter pattern at character {at}")
        sign, quoted, regex, plain = match.groups()
        test = _regex(regex) if regex is not None else _contains(_unescape(quoted) if quoted is not None else plain)
        (refused if sign == "-" else any_of if sign == "?" else wanted).append(test)
        at = match.end()
        if not text[at:].strip():
            break

    def wants(message: str) -> bool:
        if any(test(message) for test in refused) or not all(test(message) for test in wanted):
            return False
        return not any_of or bool(wanted) or any(test(message) for test in any_of)

    return wants


def _contains(word: str) -> Wants:
    return lambda message: word in message


def _regex(text: str) -> Wants:
    try:
        compiled = patterns.compile_pattern(text)
    except patterns.PatternError as error:
        raise InvalidParameter(f"Invalid filter pattern: {error}") from None
    return lambda message: compiled.search(message) is not None


def _fields(text: str) -> Wants:
    """Fields in order; `...` stands for any number of them."""
    specs = [part.strip() for part in text.split(",")]
    tests: list[Callable[[str], bool] | None] = []
    for spec in specs:
        tests.append(None if spec == "..." else _field(spec))

    def wants(message: str) -> bool:
        values = [value.strip('"') if value.startswith('"') else value for value in _FIELD_SPLIT.findall(message)]
        if None in tests:
            gap = tests.index(None)
            before, after = tests[:gap], tests[gap + 1 :]
            if len(values) < len(before) + len(after):
                return False
            chosen = [*values[: len(before)], *values[len(values) - len(after) :]]
            return all(test(value) for test, value in zip([*before, *after], chosen, strict=True) if test is not None)
        if len(values) < len(tests):
            return False
        values = [*values[: len(tests) - 1], " ".join(values[len(tests) - 1 :])]
        return all(test(value) for test, value in zip(tests, values, strict=True) if test is not None)

    return wants


def _field(spec: str) -> Callable[[str], bool]:
    """One field: a name, or conditions on it joined by && and ||."""
    either = [[_condition(part.strip()) for part in alternative.split("&&")] for alternative in spec.split("||")]
    return lambda value: any(all(test(value) for test in tests) for tests in either)


def _condition(text: str) -> Callable[[str], bool]:
    match = re.match(r"\s*[\w.@-]+\s*(!=|>=|<=|=|>|<)\s*(.+)\Z", text)
    if match is None:
        return lambda value: True
    return _value_test(match[1], match[2].strip())


def _value_test(sign: str, wanted: str) -> Callable[[Any], bool]:
    """A comparison with a number, a regular expression, or a text with wildcards."""
    compare = _COMPARE[sign]
    if wanted.startswith("%") and wanted.endswith("%") and len(wanted) > 1:
        regex = _regex(wanted[1:-1])
        return lambda value: regex(str(value)) is (sign == "=")
    number = _number(wanted)
    if number is not None:

        def compare_numbers(value: Any) -> bool:
            found = _number(value)
            return compare(found, number) if found is not None else sign == "!="

        return compare_numbers
    if sign not in ("=", "!="):
        raise InvalidParameter(f"Invalid filter pattern: {wanted} is not a number")
    text = _unescape(wanted[1:-1]) if wanted.startswith('"') else wanted
    is_like = patterns.wildcards(text)
    return lambda value: is_like(value if isinstance(value, str) else json.dumps(value)) is (sign == "=")


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


_MISSING = object()


class _JsonPattern:
    """A recursive-descent parser: alternatives of conjunctions of comparisons or groups in parentheses."""

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = []
        at = 0
        while text[at:].strip():
            match = _JSON_TOKEN.match(text, at)
            if match is None:
                raise InvalidParameter(f"Invalid filter pattern at character {at}")
            self._tokens.append(f"%{match[3]}%" if match[3] is not None else match[0].strip())
            at = match.end()
        self._at = 0

    def compile(self) -> Wants:
        test = self._either(0)
        if self._at != len(self._tokens):
            raise InvalidParameter(f"Invalid filter pattern: {self._tokens[self._at]} is not expected")

        def wants(message: str) -> bool:
            try:
                return test(json.loads(message))
            except (ValueError, RecursionError):
                return False

        return wants

    def _either(self, depth: int) -> Callable[[Any], bool]:
        tests = [self._both(depth)]
        while self._next_is("||"):
            tests.append(self._both(depth))
        return lambda document: any(test(document) for test in tests)

    def _both(self, depth: int) -> Callable[[Any], bool]:
        tests = [self._one(depth)]
        while self._next_is("&&"):
            tests.append(self._one(depth))
        return lambda document: all(test(document) for test in tests)

    def _one(self, depth: int) -> Callable[[Any], bool]:
        if self._next_is("("):
            if depth > 20:
                raise InvalidParameter("Invalid filter pattern: nested too deeply")
            inner = self._either(depth + 1)
            if not self._next_is(")"):
                raise InvalidParameter("Invalid filter pattern: ) is missing")
            return inner
        select = _selector(self._take())
        sign = self._take().upper()
        if sign == "IS":
            return _is(select, self._take().upper())
        if sign == "NOT" and self._take().upper() == "EXISTS":
            return lambda document: select(document) is _MISSING
        if sign == "EXISTS":
            return lambda document: select(document) is not _MISSING
        if sign not in _COMPARE:
            raise InvalidParameter(f"Invalid filter pattern: {sign} is no comparison")
        test = _value_test(sign, self._take())
        return lambda document: (value := select(document)) is not _MISSING and test(value)

    def _next_is(self, token: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == token:
            self._at += 1
            return True
        return False

    def _take(self) -> str:
        if self._at >= len(self._tokens):
            raise InvalidParameter("Invalid filter pattern: it ends too early")
        self._at += 1
        return self._tokens[self._at - 1]


def _is(select: Callable[[Any], Any], word: str) -> Callable[[Any], bool]:
    values = {"NULL": None, "TRUE": True, "FALSE": False}
    if word not in values:
        raise InvalidParameter(f"Invalid filter pattern: IS {word}")
    return lambda document: select(document) is values[word]


def _selector(text: str) -> Callable[[Any], Any]:
    if not text.startswith("$"):
        raise InvalidParameter(f"Invalid filter pattern: {text} is no property")
    steps = [m[0] or m[1] or int(m[2]) for m in re.findall(r'\.([\w@#-]+)|\["([^"]+)"\]|\[(\d+)\]', text)]

    def select(document: Any) -> Any:
        for step in steps:
            if (isinstance(document, dict) and step in document) or (
                isinstance(document, list) and isinstance(step, int) and step < len(document)
            ):
                document = document[step]
            else:
                return _MISSING
        return document

    return select
