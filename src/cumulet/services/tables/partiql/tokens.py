"""Texts of PartiQL statements as tokens.

https://partiql.org/assets/PartiQL-Specification.pdf, of which DynamoDB takes a part:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.html
"""

import re
from dataclasses import dataclass

MAXIMUM_CHARS = 8192
KEYWORDS = frozenset(
    [
        *("ALL", "AND", "AS", "ASC", "BETWEEN", "BY", "DELETE", "DESC", "DISTINCT", "EXISTS", "FALSE", "FROM", "GROUP", "HAVING"),
        *("IN", "INSERT", "INTO", "IS", "LIKE", "LIMIT", "MISSING", "MODIFIED", "NEW", "NOT", "NULL", "OFFSET", "OLD", "OR"),
        *("ORDER", "PIVOT", "REMOVE", "RETURNING", "SELECT", "SET", "TRUE", "UPDATE", "VALUE", "WHERE"),
    ]
)
_TOKEN = re.compile(
    r"(?:[ \t\r\n]+|--[^\r\n]*|/\*(?:[^*]|\*(?!/))*(?:\*/|(?P<unclosed>\Z)))*(?:"
    r"(?P<word>[A-Za-z_$][A-Za-z0-9_$]*)"
    r'|(?P<quoted>"(?:[^"]|"")*")'
    r"|(?P<string>'(?:[^']|'')*')"
    r"|(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<ion>`[^`]*`)"
    r"|(?P<symbol><<|>>|<>|!=|<=|>=|\|\||[=<>()\[\]{},.:+*/%?;@-])"
    r"|(?P<stray>[^ \t\r\n])|\Z)"
)


@dataclass(frozen=True, slots=True)
class Token:
    """`kind`: word (a bare or quoted name), string, number, ion, stray, end; or the keyword or symbol itself."""

    kind: str
    text: str
    start: int
    chars: int
    is_quoted: bool = False


def tokens_of(text: str) -> list[Token]:
    tokens: list[Token] = []
    at = 0
    while True:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            tokens.append(Token("end", "", len(text), 0))
            return tokens
        tokens.append(_token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        at = match.end()


def _token(kind: str, text: str, start: int) -> Token:
    if kind == "word" and text.upper() in KEYWORDS:
        return Token(text.upper(), text, start, len(text))
    if kind == "quoted":
        return Token("word", text[1:-1].replace('""', '"'), start, len(text), is_quoted=True)
    if kind == "string":
        return Token("string", text[1:-1].replace("''", "'"), start, len(text))
    return Token(text if kind == "symbol" else kind, text, start, len(text))


def place_of(text: str, token: Token) -> str:
    """`at line:column:length`, as messages tell where a token is."""
    line = text.count("\n", 0, token.start)
    column = token.start - (text.rfind("\n", 0, token.start) + 1)
    return f"at {line + 1}:{column + 1}:{token.chars}"
