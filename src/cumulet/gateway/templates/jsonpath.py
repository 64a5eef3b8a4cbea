"""JSON paths as Jayway's library reads them: what `$input.json`, `$input.path` and body mappings look things up with. Pure."""

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cumulet.core.patterns import PatternError, compile_pattern

_NAME = re.compile(r"[^\s.\[\]()*?@,:'\"=<>!&|]+")
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
_INTEGER = re.compile(r"-?\d{1,9}")
_SLICE = re.compile(r"(-?\d{1,9})?\s*:\s*(-?\d{1,9})?(?:\s*:\s*(-?\d{1,9})?)?")
_COMPARISON = re.compile(r"==|!=|<=|>=|=~|<|>|\bin\b|\bnin\b")
_MAXIMUM_FOUND = 100_000
_MAXIMUM_PATH = 2000

Step = Callable[[Any], Iterator[Any]]


class JsonPathError(ValueError):
    """The path cannot be read, or finds more than may be found."""


@dataclass(frozen=True, slots=True)
class _Path:
    steps: tuple[Step, ...]
    is_definite: bool
    function: str | None


def find_path(document: Any, path: str) -> Any:
    """The value at a definite path (None where there is none), or the list of all that an indefinite one finds.

    Raises JsonPathError.
    """
    compiled = _compile(path)
    found: list[Any] = [document]
    try:
        for step in compiled.steps:
            following: list[Any] = []
            for value in found:
                for each in step(value):
                    following.append(each)
                    if len(following) > _MAXIMUM_FOUND:
                        raise JsonPathError(f"the path finds more than {_MAXIMUM_FOUND} values")
            found = following
    except RecursionError:
        raise JsonPathError("the document is nested too deeply") from None
    value = (found[0] if found else None) if compiled.is_definite else found
    return _apply(compiled.function, value) if compiled.function else value


def _apply(function: str, value: Any) -> Any:
    if function in ("length", "size"):
        return len(value) if isinstance(value, list | dict | str) else None
    if function == "keys":
        return list(value) if isinstance(value, dict) else None
    numbers = [each for each in value if isinstance(each, int | float)] if isinstance(value, list) else []
    if not numbers:
        return None
    if function in ("min", "max"):
        return min(numbers) if function == "min" else max(numbers)
    return sum(numbers) if function == "sum" else sum(numbers) / len(numbers)


@functools.lru_cache(maxsize=4096)
def _compile(path: str) -> _Path:
    if len(path) > _MAXIMUM_PATH:
        raise JsonPathError("the path is too long")
    text = path.strip()
    if not text.startswith("$"):
        text = "$." + text if not text.startswith("[") else "$" + text
    steps: list[Step] = []
    is_definite, at, function = True, 1, None
    while at < len(text):
        if text.startswith("..", at):
            steps.append(_descend)
            is_definite = False
            at += 2
            if text.startswith("[", at):
                continue
        elif text[at] == ".":
            at += 1
        elif text[at] == "[":
            step, at, is_one = _bracket(text, at)
            steps.append(step)
            is_definite = is_definite and is_one
            continue
        else:
            raise JsonPathError(f"cannot read the path {path[:100]!r}")
        if text.startswith("*", at):
            steps.append(_all)
            is_definite = False
            at += 1
            continue
        name = _NAME.match(text, at)
        if name is None:
            raise JsonPathError(f"cannot read the path {path[:100]!r}")
        at = name.end()
        if text.startswith("()", at):
            if at + 2 != len(text) or name[0] not in ("length", "size", "keys", "min", "max", "sum", "avg"):
                raise JsonPathError(f"the function {name[0]}() is not known")
            function, at = name[0], at + 2
            continue
        steps.append(_member(name[0]))
    return _Path(tuple(steps), is_definite, function)


def _bracket(text: str, at: int) -> tuple[Step, int, bool]:
    """(step, where it ends, whether it finds one value at most) of `[…]`."""
    inside = at + 1
    while inside < len(text) and text[inside] == " ":
        inside += 1
    if text.startswith("?", inside):
        return _filter(text, inside + 1)
    if text.startswith("*", inside):
        return _all, _closed(text, inside + 1), False
    names: list[str] = []
    while (quoted := _QUOTED.match(text, inside)) is not None:
        names.append(re.sub(r"\\(.)", r"\1", quoted[1] if quoted[1] is not None else quoted[2]))
        inside = _comma(text, quoted.end())
    if names:
        return _members(names), _closed(text, inside), len(names) == 1
    section = _SLICE.match(text, inside)
    if section is not None:
        bounds = slice(*(int(part) if part else None for part in section.groups()[:3]))
        if bounds.step == 0:
            raise JsonPathError("a slice's step is not 0")
        return _sliced(bounds), _closed(text, section.end()), False
    numbers: list[int] = []
    while (number := _INTEGER.match(text, inside)) is not None:
        numbers.append(int(number[0]))
        inside = _comma(text, number.end())
    if not numbers:
        raise JsonPathError(f"cannot read the path {text[:100]!r}")
    return _items(numbers), _closed(text, inside), len(numbers) == 1


def _comma(text: str, at: int) -> int:
    while at < len(text) and text[at] in " ,":
        at += 1
    return at


def _closed(text: str, at: int) -> int:
    at = _comma(text, at)
    if not text.startswith("]", at):
        raise JsonPathError(f"a bracket is not closed in {text[:100]!r}")
    return at + 1


def _member(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _members(names: list[str]) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict):
            yield from (value[name] for name in names if name in value)

    return step


def _items(numbers: list[int]) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield from (value[number] for number in numbers if -len(value) <= number < len(value))

    return step


def _sliced(bounds: slice) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield from value[bounds]

    return step


def _all(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        yield from value
    elif isinstance(value, dict):
        yield from value.values()


def _descend(value: Any) -> Iterator[Any]:
    """The value and all below it."""
    yield value
    for each in _all(value):
        if isinstance(each, list | dict):
            yield from _descend(each)


def _filter(text: str, at: int) -> tuple[Step, int, bool]:
    """`[?(@.price < 10 && @.name)]`: terms joined by && and ||, without parentheses of their own."""
    end = text.find(")]", at)
    if not text.startswith("(", at) or end < 0:
        raise JsonPathError(f"a filter is not closed in {text[:100]!r}")
    choices = [[_term(part) for part in choice.split("&&")] for choice in text[at + 1 : end].split("||")]

    def step(value: Any) -> Iterator[Any]:
        for each in _all(value):
            if any(all(term(each) for term in choice) for choice in choices):
                yield each

    return step, end + 2, False


def _term(text: str) -> Callable[[Any], bool]:
    text = text.strip()
    comparison = _COMPARISON.search(text)
    if comparison is None:
        is_negated = text.startswith("!")
        path = _operand(text.lstrip("! "))
        return lambda value: (path(value) is None) == is_negated
    left, right = _operand(text[: comparison.start()].strip()), _operand(text[comparison.end() :].strip())
    operator = comparison[0]
    return lambda value: _holds(operator, left(value), right(value))


def _operand(text: str) -> Callable[[Any], Any]:
    if text.startswith("@"):
        path = "$" + text[1:]
        _compile(path)
        return lambda value: find_path(value, path)
    quoted = _QUOTED.fullmatch(text)
    if quoted is not None:
        constant: Any = quoted[1] if quoted[1] is not None else quoted[2]
    elif text in ("true", "false", "null"):
        constant = {"true": True, "false": False, "null": None}[text]
    elif text.startswith("/") and text.endswith(("/", "/i")):
        constant = ("(?i)" if text.endswith("i") else "") + text[1 : text.rindex("/")]
    else:
        try:
            constant = float(text) if "." in text else int(text[:20])
        except ValueError:
            raise JsonPathError(f"cannot read {text[:100]!r} in a filter") from None
    return lambda value: constant


def _holds(operator: str, left: Any, right: Any) -> bool:
    if operator == "==":
        return bool(left == right)
    if operator == "!=":
        return bool(left != right)
    if operator == "=~":
        try:
            return isinstance(left, str) and compile_pattern(str(right)).fullmatch(left) is not None
        except PatternError:
            return False
    if operator in ("in", "nin"):
        return isinstance(right, list) and (left in right) == (operator == "in")
    numbers = isinstance(left, int | float) and isinstance(right, int | float)
    if not numbers and not (isinstance(left, str) and isinstance(right, str)):
        return False
    return bool({"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[operator])
