"""The expressions of the template language: references, literals and operators."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from cumulet.gateway.templates.errors import TemplateError
from cumulet.gateway.templates.nodes import (
    Binary,
    Expression,
    Index,
    ListLiteral,
    Literal,
    MapLiteral,
    Method,
    Not,
    Property,
    RangeLiteral,
    Reference,
)

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_REFERENCE = re.compile(r"\$(!?)(\{?)([A-Za-z_][A-Za-z0-9_-]*)")
_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?\d+(?:\.\d+(?:[eE][+-]?\d+)?)?")
_OPERATOR = re.compile(r"\|\||&&|==|!=|<=|>=|[<>+\-*/%]|(?:or|and|eq|ne|lt|gt|le|ge)\b")
_NEGATION = re.compile(r"!(?!=)|not\b")
_WORDS = re.compile(r"(true|false|null)\b")
_SYNONYMS = {"or": "||", "and": "&&", "eq": "==", "ne": "!=", "lt": "<", "gt": ">", "le": "<=", "ge": ">="}
_BINDS = {"||": 1, "&&": 2, "==": 3, "!=": 3, "<": 4, ">": 4, "<=": 4, ">=": 4, "+": 5, "-": 5, "*": 6, "/": 6, "%": 6}
_WORD_VALUES = {"true": True, "false": False, "null": None}
_MAXIMUM_DEPTH = 40
_MAXIMUM_DIGITS = 300


class ExpressionParser:
    """A place in a text, and what can be read there."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    @contextmanager
    def deeper(self) -> Iterator[None]:
        """One level of nesting. Raises TemplateError beyond what a template may have."""
        self.depth += 1
        if self.depth > _MAXIMUM_DEPTH:
            raise TemplateError(f"a template may be nested {_MAXIMUM_DEPTH} levels deep")
        try:
            yield
        finally:
            self.depth -= 1

    def interpolated(self, text: str) -> Expression:
        raise NotImplementedError

    def skip_space(self) -> None:
        match = _SPACE.match(self.text, self.at)
        assert match is not None
        self.at = match.end()

    def skip_separator(self) -> None:
        self.skip_space()
        if self.text.startswith(",", self.at):
            self.at += 1
            self.skip_space()

    def expect(self, sign: str) -> None:
        self.skip_space()
        if not self.text.startswith(sign, self.at):
            line = self.text.count("\n", 0, self.at) + 1
            raise TemplateError(f"'{sign}' was expected in line {line}")
        self.at += len(sign)

    def is_at(self, sign: str) -> bool:
        """Whether the next thing is `sign`. Raises TemplateError at the end of the text."""
        self.skip_space()
        if self.at >= len(self.text):
            raise TemplateError(f"'{sign}' was expected at the end")
        return self.text.startswith(sign, self.at)

    def expression(self, binding: int = 0) -> Expression:
        with self.deeper():
            left = self._operand()
            while True:
                self.skip_space()
                match = _OPERATOR.match(self.text, self.at)
                if match is None:
                    return left
                operator = _SYNONYMS.get(match[0], match[0])
                if _BINDS[operator] <= binding:
                    return left
                self.at = match.end()
                left = Binary(operator, left, self.expression(_BINDS[operator]))

    def reference(self, backslashes: int) -> Reference | None:
        """The reference that begins here; None when the `$` is only a character."""
        match = _REFERENCE.match(self.text, self.at)
        if match is None:
            return None
        start, self.at = self.at, match.end()
        accesses = self._accesses()
        if match[2]:
            if not self.text.startswith("}", self.at):
                raise TemplateError(f"the reference {self.text[start : start + 40]!r} is not closed by '}}'")
            self.at += 1
        return Reference(match[3], accesses, bool(match[1]), self.text[start : self.at], backslashes)

    def _accesses(self) -> tuple[Property | Method | Index, ...]:
        found: list[Property | Method | Index] = []
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                found.append(self._index())
                continue
            name = IDENTIFIER.match(self.text, self.at + 1) if self.text[self.at] == "." else None
            if name is None:
                break
            self.at = name.end()
            if self.text.startswith("(", self.at):
                self.at += 1
                found.append(Method(name[0], self._arguments()))
            else:
                found.append(Property(name[0]))
        return tuple(found)

    def _index(self) -> Index:
        self.at += 1
        at = self.expression()
        self.expect("]")
        return Index(at)

    def _arguments(self) -> tuple[Expression, ...]:
        found: list[Expression] = []
        while not self.is_at(")"):
            found.append(self.expression())
            if not self.is_at(")"):
                self.expect(",")
        self.at += 1
        return tuple(found)

    def _operand(self) -> Expression:
        self.skip_space()
        negation = _NEGATION.match(self.text, self.at)
        if negation is not None:
            self.at = negation.end()
            with self.deeper():
                return Not(self._operand())
        sign = self.text[self.at : self.at + 1]
        if sign == "(":
            self.at += 1
            inner = self.expression()
            self.expect(")")
            return inner
        if sign == "$":
            reference = self.reference(0)
            if reference is not None:
                return reference
        elif sign in ("'", '"'):
            return self._string(sign)
        elif sign == "[":
            return self._list()
        elif sign == "{":
            return self._map()
        return self._scalar()

    def _scalar(self) -> Expression:
        number = _NUMBER.match(self.text, self.at)
        if number is not None:
            if len(number[0]) > _MAXIMUM_DIGITS:
                raise TemplateError("a number is too long")
            self.at = number.end()
            return Literal(float(number[0]) if "." in number[0] else int(number[0]))
        word = _WORDS.match(self.text, self.at)
        if word is not None:
            self.at = word.end()
            return Literal(_WORD_VALUES[word[0]])
        line = self.text.count("\n", 0, self.at) + 1
        raise TemplateError(f"an expression was expected in line {line}")

    def _string(self, quote: str) -> Expression:
        """Backslashes stand for themselves; a doubled quote is one."""
        end = self.at + 1
        while True:
            end = self.text.find(quote, end)
            if end < 0:
                raise TemplateError("a string is not closed")
            if self.text.startswith(quote, end + 1):
                end += 2
            elif quote == '"' and self._is_escaped(end):
                end += 1
            else:
                break
        inner = self.text[self.at + 1 : end].replace(quote * 2, quote)
        self.at = end + 1
        return Literal(inner) if quote == "'" else self.interpolated(inner)

    def _is_escaped(self, at: int) -> bool:
        """Whether an odd number of backslashes stands before."""
        count = 0
        while at - count > 0 and self.text[at - count - 1] == "\\":
            count += 1
        return count % 2 == 1

    def _list(self) -> Expression:
        self.at += 1
        if self.is_at("]"):
            self.at += 1
            return ListLiteral(())
        first = self.expression()
        self.skip_space()
        if self.text.startswith("..", self.at):
            self.at += 2
            last = self.expression()
            self.expect("]")
            return RangeLiteral(first, last)
        items = [first]
        while not self.is_at("]"):
            self.expect(",")
            items.append(self.expression())
        self.at += 1
        return ListLiteral(tuple(items))

    def _map(self) -> Expression:
        self.at += 1
        items: list[tuple[Expression, Expression]] = []
        while not self.is_at("}"):
            key = self.expression()
            self.expect(":")
            items.append((key, self.expression()))
            if not self.is_at("}"):
                self.expect(",")
        self.at += 1
        return MapLiteral(tuple(items))
