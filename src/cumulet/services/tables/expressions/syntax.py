"""Texts of expressions as tokens, and what all the parsers share: paths, and the words of a syntax error."""

import re
from dataclasses import dataclass
from typing import NoReturn

from cumulet.services.tables.expressions.nodes import Invalid, Path
from cumulet.services.tables.reserved_words import is_reserved

REDUNDANT = "The expression has redundant parentheses;"
MAXIMUM_BYTES = 4096
MAXIMUM_OPERATORS = 300
MAXIMUM_PATH_PARTS = 32
MAXIMUM_INDEX = 2**31 - 1
SECTIONS = frozenset({"SET", "REMOVE", "ADD", "DELETE"})
KEYWORDS = frozenset({"AND", "OR", "NOT", "BETWEEN", "IN", *SECTIONS})

_TOKEN = re.compile(
    r"[ \t\r\n]*(?:"
    r"(?P<word>[A-Za-z][A-Za-z0-9_]*)|(?P<name>#[A-Za-z0-9_]+)|(?P<value>:[A-Za-z0-9_]+)|(?P<index>0|[1-9][0-9]*)"
    r"|(?P<symbol><>|<=|>=|[=<>()\[\],.+-])|(?P<stray>[^ \t\r\n])|\Z)"
)


@dataclass(frozen=True, slots=True)
class Token:
    """`kind`: word, name, value, index, stray, end; or the keyword or symbol itself."""

    kind: str
    text: str
    start: int
    end: int


def tokens_of(text: str) -> list[Token]:
    """At least the end, which stands for what spaces are left, too."""
    tokens: list[Token] = []
    at = 0
    while True:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            tokens.append(Token("end", "<EOF>", at, len(text)))
            return tokens
        kind, word = match.lastgroup, match[match.lastgroup]
        if kind == "word" and word.upper() in KEYWORDS:
            kind = word.upper()
        elif kind == "symbol":
            kind = word
        tokens.append(Token(kind, word, match.start(match.lastgroup), match.end()))
        at = match.end()


class Parser:
    """A position in the tokens of one expression."""

    def __init__(self, text: str):
        self.text = text
        self.tokens = tokens_of(text)
        self.at = 0
        self.operators = 0
        self.found: tuple[int, str] | None = None

    @property
    def kind(self) -> str:
        return self.tokens[self.at].kind

    def take(self) -> Token:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def expect(self, kind: str) -> Token:
        if self.tokens[self.at].kind != kind:
            self.fail()
        return self.take()

    def takes(self, kind: str) -> bool:
        """Whether that stood here; it is consumed."""
        if self.tokens[self.at].kind != kind:
            return False
        self.at += 1
        return True

    def fail(self) -> NoReturn:
        """The token here is not what may stand here."""
        token = self.tokens[self.at]
        before = self.tokens[max(self.at - 1, 0)]
        after = self.tokens[min(self.at + 1, len(self.tokens) - 1)]
        start = before.start if self.at else 0
        raise Invalid(f'Syntax error; token: "{token.text}", near: "{self.text[start : after.end]}"')

    def complain(self, message: str, token: int) -> None:
        """A rule is broken by that token: told when the whole text has proven to be well formed; the first one counts."""
        if self.found is None or token < self.found[0]:
            self.found = (token, message)

    def finish(self) -> None:
        """Nothing may follow. Raises Invalid with the first complaint."""
        if self.kind != "end":
            self.fail()
        if self.found is not None:
            raise Invalid(self.found[1])

    def count_operator(self) -> None:
        self.operators += 1

    def check_operators(self) -> None:
        if self.operators > MAXIMUM_OPERATORS:
            raise Invalid(f"The expression contains too many operators; operator count: {self.operators}")

    def path(self) -> Path:
        first = self.at
        parts: list[str | int] = [self.part()]
        while True:
            if self.takes("."):
                parts.append(self.part())
            elif self.takes("["):
                parts.append(self.index())
                self.expect("]")
            else:
                break
        if len(parts) > MAXIMUM_PATH_PARTS:
            self.complain(f"The document path has too many nesting levels; nesting levels: {len(parts)}", first)
        return Path(tuple(parts))

    def part(self) -> str:
        if self.kind not in ("word", "name"):
            self.fail()
        token = self.take()
        if token.kind == "word" and is_reserved(token.text):
            self.complain(f"Attribute name is a reserved keyword; reserved keyword: {token.text}", self.at - 1)
        return token.text

    def index(self) -> int:
        text = self.expect("index").text
        if len(text) > 10 or int(text) > MAXIMUM_INDEX:
            self.complain(f"List index is not within the allowable range; index: [{text}]", self.at - 1)
            return 0
        return int(text)


def check_size(text: str, *, tells_size: bool = True) -> None:
    """Raises Invalid for nothing and for more than 4 KB."""
    if not text:
        raise Invalid("The expression can not be empty;")
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    if size > MAXIMUM_BYTES:
        told = f" expression size: {size}" if tells_size else ""
        raise Invalid(f"Expression size has exceeded the maximum allowed size;{told}")
