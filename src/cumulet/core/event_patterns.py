"""Event patterns: the one language in which EventBridge rules and Lambda's event filters say which events they want.

Compiled once, matched often. What is allowed, and what a refusal says down to line and column, follows the compiler that AWS
publishes (event-ruler). Pure.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

Test = Callable[[Any], bool]
"""Whether one leaf of an event (string, number, boolean or None) is wanted."""

_TOKEN = re.compile(
    r"""[ \t\r\n]*(?:(?P<string>"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")
    |(?P<number>-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?P<word>true|false|null)|(?P<mark>[{}\[\]:,]))""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_SURROGATES = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_SHOWN = 500
_OPERATORS = (
    "exactly", "prefix", "suffix", "equals-ignore-case", "wildcard", "numeric", "anything-but", "exists", "cidr"
)  # fmt: skip
_LARGEST = 5_000_000_000
_TOO_DEEP = 100
_LONGEST_INTEGER = 300


class InvalidPattern(ValueError):
    """Says what is wrong with a pattern; EventBridge puts "Event pattern is not valid. Reason: " before it."""


class Pattern:
    """A compiled pattern."""

    def __init__(self, root: "_Fields") -> None:
        self._root = root

    def matches(self, event: Any) -> bool:
        """Whether an event, as JSON's own Python values, is wanted."""
        return self._root.matches(event, event)


def compile_pattern(text: str) -> Pattern:
    """The pattern that a JSON text spells. Raises InvalidPattern."""
    return Pattern(_Compiler(text).compile())


@dataclass(slots=True)
class _Leaf:
    """A field's wanted values, of which one must be there. `path` leads to it from the root."""

    path: tuple[str, ...]
    tests: list[Test] = field(default_factory=list)
    may_be_absent: bool = False

    def matches(self, value: Any, root: Any) -> bool:
        if self.may_be_absent and not _has_leaf(root, self.path):
            return True
        return any(test(leaf) for leaf in _leaves(value) for test in self.tests)


@dataclass(slots=True)
class _Fields:
    """Fields that must all match, and alternatives (`$or`) of each of which one must."""

    fields: dict[str, "_Fields | _Leaf"] = field(default_factory=dict)
    alternatives: list[list["_Fields"]] = field(default_factory=list)

    def matches(self, value: Any, root: Any) -> bool:
        if isinstance(value, list):  # fields asked for together must be found in the same element
            return any(self._fit(each if isinstance(each, dict) else {}, root) for each in _elements(value) or [{}])
        return self._fit(value if isinstance(value, dict) else {}, root)

    def _fit(self, value: dict[str, Any], root: Any) -> bool:
        for name, wanted in self.fields.items():
            if not wanted.matches(value.get(name, _ABSENT), root):
                return False
        return all(any(each.matches(value, root) for each in either) for either in self.alternatives)


class _Absent:
    """What is not there; None is JSON's null."""


_ABSENT = _Absent()


def _leaves(value: Any) -> list[Any]:
    """The values that a field holds: those of an array count each for itself, objects are no values."""
    return [each for each in _elements(value) if not isinstance(each, dict | _Absent)]


def _elements(value: Any) -> list[Any]:
    """A value, or the elements of an array and of arrays in it, in no order; without recursion, since events nest as they like."""
    found, todo = [], [value]
    while todo:
        each = todo.pop()
        if isinstance(each, list):
            todo += each
        else:
            found.append(each)
    return found


def _has_leaf(value: Any, path: tuple[str, ...]) -> bool:
    here = _elements(value)
    for name in path:
        here = [leaf for each in here if isinstance(each, dict) and name in each for leaf in _elements(each[name])]
    return any(not isinstance(each, dict) for each in here)


@dataclass(frozen=True, slots=True)
class _Token:
    """`kind` is one of "string", "number", "word" or the mark itself; `read_to` is how far a reader has come that sees it."""

    kind: str
    text: str
    read_to: int


class _Compiler:
    """Reads a pattern from front to back, so that the first mistake is the one that is told."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._at = 0

    def compile(self) -> _Fields:
        if self._next().kind != "{":
            self._refuse("Filter is not an object")
        found = self._fields((), is_inside_or=False)
        if self._peek().kind != "end":
            raise InvalidPattern("Invalid JSON")
        return found

    def _fields(self, path: tuple[str, ...], *, is_inside_or: bool) -> _Fields:
        if len(path) > _TOO_DEEP:
            self._refuse("Event pattern is nested too deeply")
        found = _Fields()
        for name in self._names():
            if name == "$or":
                found.alternatives.append(self._either(path))
                continue
            if is_inside_or and name in _OPERATORS:
                self._refuse(f"{name} is Ruler reserved fieldName which cannot be used inside $or.")
            kind = self._next().kind
            if kind == "{":
                found.fields[name] = self._fields((*path, name), is_inside_or=is_inside_or)
            elif kind == "[":
                found.fields[name] = self._values((*path, name))
            else:
                self._refuse(f'"{name}" must be an object or an array')
        if not found.fields and not found.alternatives:
            self._refuse("Empty objects are not allowed")
        return found

    def _either(self, path: tuple[str, ...]) -> list[_Fields]:
        if self._next().kind != "[":
            self._refuse("It must be an Array followed with $or.")
        found = []
        for token in self._items():
            if token.kind != "{":
                self._refuse("Only JSON object is allowed in array of $or relationship.")
            found.append(self._fields(path, is_inside_or=True))
        if len(found) < 2:
            self._refuse("There must have at least 2 Objects in $or relationship.")
        return found

    def _values(self, path: tuple[str, ...]) -> _Leaf:
        leaf = _Leaf(path)
        for token in self._items():
            if token.kind == "{":
                self._operator(leaf)
            elif token.kind in ("string", "number", "word"):
                leaf.tests.append(_equal(_value(token)))
            else:
                self._refuse("Match value must be String, number, true, false, or null")
        if not leaf.tests and not leaf.may_be_absent:
            self._refuse("Empty arrays are not allowed")
        return leaf

    def _operator(self, leaf: _Leaf) -> None:
        """`{"prefix": "a"}` and its kind, after the brace."""
        token = self._next()
        if token.kind == "}":
            self._refuse("Match expression name not found")
        name = _value(token)
        self._mark(":")
        if name == "exists":
            kept = _value(self._next()) if self._peek().kind == "word" else None
            if not isinstance(kept, bool):
                self._refuse("exists match pattern must be either true or false.")
            if kept:
                leaf.tests.append(lambda value: True)
            else:
                leaf.may_be_absent = True
        elif name in ("exactly", "suffix", "prefix", "equals-ignore-case", "wildcard", "cidr"):
            leaf.tests.append(self._of_text(name))
        elif name == "numeric":
            leaf.tests.append(self._numeric())
        elif name == "anything-but":
            leaf.tests.append(self._anything_but())
        else:
            self._refuse(f"Unrecognized match type {name}", self._peek())
        self._end("Only one key allowed in match expression")

    def _of_text(self, name: str) -> Test:
        token = self._next()
        if token.kind == "{" and name in ("prefix", "suffix"):
            if _value(self._next()) != "equals-ignore-case":
                self._refuse(f"Unsupported {name} pattern")
            self._mark(":")
            text = self._string(f"{name} match pattern must be a string").casefold()
            self._end("Only one key allowed in match expression")
            return _folded(_prefix_or_suffix(name, text))
        if token.kind != "string":
            self._refuse(f"{'prefix' if name == 'cidr' else 'exact' if name == 'exactly' else name} match pattern must be a string")
        return _text_test(name, _value(token))

    def _anything_but(self) -> Test:
        token = self._next()
        if token.kind == "{":
            return self._anything_but_like()
        if token.kind in ("string", "number"):
            return _none_of([_equal(_value(token))])
        if token.kind != "[":
            self._refuse("Value of anything-but must be an array or single string/number value.")
        kinds, tests = set(), []
        for each in self._items():
            if each.kind not in ("string", "number"):
                self._refuse("Inside anything but list, start|null|boolean is not supported.")
            kinds.add(each.kind)
            tests.append(_equal(_value(each)))
        if len(kinds) != 1:
            self._refuse("Inside anything but list, either all values are number or string, mixed type is not supported")
        return _none_of(tests)

    def _anything_but_like(self) -> Test:
        """`{"prefix": …}` and its kind after "anything-but", each with one text or a list of them."""
        name = _value(self._next())
        if name not in ("prefix", "suffix", "equals-ignore-case", "wildcard"):
            self._refuse(f"Unsupported anything-but pattern: {name}", self._peek())
        self._mark(":")
        listed = [self._next()]
        if listed[0].kind == "[":
            listed = list(self._items())
        if not listed or any(token.kind != "string" for token in listed):
            self._refuse("prefix/suffix match pattern must be a string" if name in ("prefix", "suffix") else
                         f"Inside anything-but/{name} list, number|start|null|boolean is not supported.")  # fmt: skip
        texts = [str(_value(token)) for token in listed]
        if name in ("prefix", "suffix") and not all(texts):
            self._refuse("Null prefix/suffix not allowed")
        self._end("Only one key allowed in match expression")
        return _none_of([_text_test(name, text) for text in texts])

    def _numeric(self) -> Test:
        """`["=", n]`, or one bound, or a lower and then an upper one."""
        if self._next().kind != "[":
            self._refuse("Value of numeric must be an array.")
        token = self._item_of_list()
        if token.kind != "string":
            self._refuse(f"Invalid member in numeric match: {token.text}")
        operator = str(_value(token))
        if operator not in ("=", ">", ">=", "<", "<="):
            self._refuse(f"Unrecognized numeric range operator: {operator}")
        bound = self._number("equals" if operator == "=" else operator)
        tests = [_compared(operator, bound)]
        if operator in (">", ">=") and self._peek().kind == ",":
            token = self._item_of_list()
            if token.kind != "string":
                self._refuse(f"Bad value in numeric range: {token.text}")
            second = str(_value(token))
            if second not in ("<", "<="):
                self._refuse(f"Bad numeric range operator: {second}")
            top = self._number(second)
            if bound > top or (bound == top and (operator, second) != (">=", "<=")):
                self._refuse("Bottom must be less than top")
            tests.append(_compared(second, top))
            if self._peek().kind != "]":
                self._refuse("Too many terms in numeric range expression")
        if self._next().kind != "]":
            self._refuse("Too many elements in numeric expression")
        return lambda value: _is_number(value) and all(test(value) for test in tests)

    def _number(self, name: str) -> float:
        token = self._item_of_list()
        if token.kind != "number":
            self._refuse(f"Value of {name} must be numeric")
        number = float(token.text)
        if not -_LARGEST <= number <= _LARGEST:
            self._refuse(f"Value must be between -{_LARGEST}.0 and {_LARGEST}.0, inclusive")
        return number

    def _names(self) -> Iterator[str]:
        """The names of an object's members; each is followed by its value, which the caller reads."""
        if self._peek().kind == "}":
            self._next()
            return
        while True:
            token = self._next()
            if token.kind != "string":
                raise InvalidPattern("Invalid JSON")
            self._mark(":")
            yield str(_value(token))
            if self._next().kind == "}":
                return
            self._back_on(",")

    def _items(self) -> Iterator[_Token]:
        """The first tokens of an array's items, of which the caller reads the rest."""
        if self._peek().kind == "]":
            self._next()
            return
        while True:
            yield self._next()
            if self._next().kind == "]":
                return
            self._back_on(",")

    def _item_of_list(self) -> _Token:
        if self._peek().kind == ",":
            self._next()
        return self._next()

    def _string(self, otherwise: str) -> str:
        token = self._next()
        if token.kind != "string":
            self._refuse(otherwise)
        return str(_value(token))

    def _end(self, otherwise: str) -> None:
        if self._next().kind != "}":
            if self._current.kind == ",":
                self._next()
            self._refuse(otherwise, self._peek())

    def _mark(self, kind: str) -> None:
        if self._next().kind != kind:
            raise InvalidPattern("Invalid JSON")

    def _back_on(self, kind: str) -> None:
        if self._current.kind != kind:
            raise InvalidPattern("Invalid JSON")

    @property
    def _current(self) -> _Token:
        return self._tokens[self._at - 1]

    def _peek(self) -> _Token:
        return self._tokens[min(self._at, len(self._tokens) - 1)]

    def _next(self) -> _Token:
        token = self._peek()
        self._at += 1
        if token.kind == "end":
            raise InvalidPattern("Invalid JSON")
        return token

    def _refuse(self, words: str, at: _Token | None = None) -> NoReturn:
        before = self._text[: (at or self._current).read_to]
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        shown = f'"{self._text[:_SHOWN]}"'
        if len(self._text) > _SHOWN:
            shown += f"[truncated {len(self._text) - _SHOWN} chars]"
        raise InvalidPattern(f"{words}\n at [Source: (String){shown}; line: {line}, column: {column}]")


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at, end = 0, len(text.rstrip(" \t\r\n"))
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise InvalidPattern("Invalid JSON")
        kind, at = str(match.lastgroup), match.end()
        token = match[kind]
        # A string is read when somebody asks for it: until then the reader stands behind its first quote.
        read_to = match.start(kind) + 1 if kind == "string" else at
        found.append(_Token(token if kind == "mark" else kind, token, read_to))
    return [*found, _Token("end", "", end)]


def _value(token: _Token) -> Any:
    if token.kind == "number":
        is_whole = len(token.text) < _LONGEST_INTEGER and not any(mark in token.text for mark in ".eE")
        return int(token.text) if is_whole else float(token.text)
    if token.kind == "word":
        return {"true": True, "false": False, "null": None}[token.text]
    if token.kind != "string":
        raise InvalidPattern("Invalid JSON")
    text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)) if match[1] else _ESCAPED.get(match[2], match[2]), token.text[1:-1])
    return _SURROGATES.sub(lambda match: match[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(wanted: Any) -> Test:
    if _is_number(wanted):
        return lambda value: _is_number(value) and value == wanted
    if isinstance(wanted, str):
        return lambda value: isinstance(value, str) and value == wanted
    return lambda value: value is wanted


def _compared(operator: str, bound: float) -> Test:
    tests: dict[str, Test] = {
        "=": lambda value: bool(value == bound),
        "<": lambda value: bool(value < bound),
        "<=": lambda value: bool(value <= bound),
        ">": lambda value: bool(value > bound),
        ">=": lambda value: bool(value >= bound),
    }
    return tests[operator]


def _none_of(tests: list[Test]) -> Test:
    return lambda value: not any(test(value) for test in tests)


def _text_test(name: str, text: str) -> Test:
    if name == "exactly":
        return _equal(text)
    if name == "equals-ignore-case":
        folded = text.casefold()
        return _folded(lambda value: value == folded)
    if name == "wildcard":
        pattern = _wildcard(text)
        return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None
    if name == "cidr":
        return _in_network(text)
    return _prefix_or_suffix(name, text)


def _prefix_or_suffix(name: str, text: str) -> Test:
    if name == "prefix":
        return lambda value: isinstance(value, str) and value.startswith(text)
    return lambda value: isinstance(value, str) and value.endswith(text)


def _folded(test: Test) -> Test:
    return lambda value: isinstance(value, str) and test(value.casefold())


def _wildcard(text: str) -> re.Pattern[str]:
    """`*` is any text; `\\*` and `\\\\` are the characters themselves."""
    parts: list[str] = []
    literal, at, was_star = "", 0, False
    while at < len(text):
        mark = text[at]
        if mark == "\\":
            if at + 1 >= len(text) or text[at + 1] not in "*\\":
                raise InvalidPattern(f"Invalid escape character at pos {at + 1}")
            literal, at, was_star = literal + text[at + 1], at + 2, False
            continue
        if mark == "*":
            if was_star:
                raise InvalidPattern(f"Consecutive wildcard characters at pos {at}")
            parts.append(re.escape(literal))
            literal, was_star = "", True
        else:
            literal, was_star = literal + mark, False
        at += 1
    parts.append(re.escape(literal))
    # The shortest text up to each next literal is as good as any, and never tried again: `(?>…)` keeps hostile events cheap.
    if len(parts) == 1:
        return re.compile(parts[0], re.DOTALL)
    middle = "".join(f"(?>.*?{part})" for part in parts[1:-1])
    return re.compile(f"{parts[0]}{middle}.*{parts[-1]}", re.DOTALL)


def _in_network(text: str) -> Test:
    address, slash, bits = text.partition("/")
    if not slash:
        raise InvalidPattern("Malformed CIDR, one '/' required")
    try:
        int(bits)
    except ValueError:
        raise InvalidPattern("Malformed CIDR, mask bits must be an integer") from None
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise InvalidPattern(f"Malformed CIDR: {text}" if address else "Malformed CIDR, IP address required") from None

    def is_inside(value: Any) -> bool:
        try:
            return isinstance(value, str) and ipaddress.ip_address(value) in network
        except ValueError:
            return False

    return is_inside
