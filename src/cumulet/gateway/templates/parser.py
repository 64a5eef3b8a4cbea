"""Velocity Template Language 1.7, from text to nodes. Pure; linear in the text but for what nesting costs, which is bounded.

https://velocity.apache.org/engine/1.7/vtl-reference.html
"""

import re

from cumulet.gateway.templates.errors import TemplateError
from cumulet.gateway.templates.expressions import IDENTIFIER, ExpressionParser
from cumulet.gateway.templates.nodes import (
    Block,
    Break,
    Define,
    Expression,
    Foreach,
    If,
    Interpolated,
    Literal,
    Macro,
    MacroCall,
    Node,
    Set,
    Stop,
    Text,
)

MAXIMUM_TEMPLATE_CHARS = 1024 * 1024
_SPECIAL = re.compile(r"\\*[$#]")
_DIRECTIVE = re.compile(r"#(@?)(?:([A-Za-z_][A-Za-z0-9_-]*)|\{([A-Za-z_][A-Za-z0-9_-]*)\})")
_REST_OF_LINE = re.compile(r"[ \t]*(?:\r\n|\n|\r)")
_LINE_END = re.compile(r"\r\n|\n|\r")
_ENDS = ("end", "else", "elseif")
_REFUSED = ("evaluate", "include", "parse")


def parse(text: str) -> Block:
    """Raises TemplateError."""
    if len(text) > MAXIMUM_TEMPLATE_CHARS:
        raise TemplateError(f"a template has at most {MAXIMUM_TEMPLATE_CHARS} characters")
    return _Parser(text).whole()


class _Parser(ExpressionParser):
    """Text and directives; expressions are the base class's."""

    def whole(self) -> Block:
        block, end = self._block(())
        assert end is None
        return block

    def interpolated(self, text: str) -> Expression:
        """A string in double quotes, whose text is a template unless nothing in it could be one."""
        if "$" not in text and "#" not in text:
            return Literal(text)
        with self.deeper():
            inner = _Parser(text)
            inner.depth = self.depth
            return Interpolated(inner.whole())

    def _block(self, until: tuple[str, ...]) -> tuple[Block, str | None]:
        """Nodes up to one of the directives `until`, which is consumed but for its arguments; (nodes, that directive)."""
        nodes: list[Node] = []
        with self.deeper():
            while self.at < len(self.text):
                found = _SPECIAL.search(self.text, self.at)
                if found is None:
                    nodes.append(Text(self.text[self.at :]))
                    self.at = len(self.text)
                    break
                if found.start() > self.at:
                    nodes.append(Text(self.text[self.at : found.start()]))
                self.at = found.end() - 1
                slashes = found.end() - 1 - found.start()
                end = self._special(nodes, slashes, until)
                if end is not None:
                    return tuple(nodes), end
        if until:
            raise TemplateError("a directive is not closed: #end is missing")
        return tuple(nodes), None

    def _special(self, nodes: list[Node], slashes: int, until: tuple[str, ...]) -> str | None:
        """What begins with `$` or `#` here, behind that many backslashes."""
        if self.text[self.at] == "$":
            reference = self.reference(slashes)
            if reference is None:
                nodes.append(Text("\\" * slashes + "$"))
                self.at += 1
            else:
                nodes.append(reference)
            return None
        match = _DIRECTIVE.match(self.text, self.at)
        if slashes and match is not None:
            nodes.append(Text("\\" * (slashes // 2)))
            if slashes % 2:
                nodes.append(Text("#"))
                self.at += 1
                return None
        elif slashes:
            nodes.append(Text("\\" * slashes))
        if self._is_comment(nodes):
            return None
        if match is None:
            nodes.append(Text("#"))
            self.at += 1
            return None
        return self._directive(nodes, match, until)

    def _is_comment(self, nodes: list[Node]) -> bool:
        """Comments and unparsed blocks. True when there was one."""
        text, at = self.text, self.at
        if text.startswith("##", at):
            end = _LINE_END.search(text, at)
            self.at = end.end() if end else len(text)
        elif text.startswith("#*", at):
            close = text.find("*#", at + 2)
            self.at = close + 2 if close >= 0 else len(text)
        elif text.startswith("#[[", at):
            close = text.find("]]#", at + 3)
            if close < 0:
                raise TemplateError("an unparsed block #[[ is not closed by ]]#")
            nodes.append(Text(text[at + 3 : close]))
            self.at = close + 3
        else:
            return False
        return True

    def _directive(self, nodes: list[Node], match: re.Match[str], until: tuple[str, ...]) -> str | None:
        name = match[2] or match[3]
        start, self.at = self.at, match.end()
        if not match[1] and name in _ENDS:
            if name not in until:
                raise TemplateError(f"#{name} stands where no directive is open")
            if name != "elseif":
                self._skip_line_end()
            return name
        if match[1]:
            nodes.append(self._macro_call(name, start, has_body=True))
        elif name in _REFUSED:
            raise TemplateError(f"#{name} is not supported in mapping templates")
        elif (made := self._known(name)) is not None:
            nodes.append(made)
        else:
            nodes.append(self._macro_call(name, start, has_body=False))
        return None

    def _known(self, name: str) -> Node | None:
        match name:
            case "set":
                return self._set()
            case "if":
                return self._if()
            case "foreach":
                return self._foreach()
            case "define":
                return self._define()
            case "macro":
                return self._macro()
            case "break" | "stop":
                self._skip_line_end()
                return Break() if name == "break" else Stop()
        return None

    def _set(self) -> Node:
        self.expect("(")
        self.skip_space()
        target = self.reference(0)
        if target is None:
            raise TemplateError("#set needs a reference on its left side")
        self.skip_space()
        self.expect("=")
        value = self.expression()
        self._close()
        return Set(target, value)

    def _if(self) -> Node:
        branches: list[tuple[Expression, Block]] = []
        end: str | None = "elseif"
        while end == "elseif":
            self.expect("(")
            condition = self.expression()
            self._close()
            body, end = self._block(_ENDS)
            branches.append((condition, body))
        otherwise: Block | None = None
        if end == "else":
            otherwise, _ = self._block(("end",))
        return If(tuple(branches), otherwise)

    def _foreach(self) -> Node:
        self.expect("(")
        self.skip_space()
        item = self.reference(0)
        if item is None or item.accesses:
            raise TemplateError("#foreach needs a variable")
        self.skip_space()
        if not self.text.startswith("in", self.at):
            raise TemplateError("#foreach needs `in`")
        self.at += 2
        over = self.expression()
        self._close()
        body, _ = self._block(("end",))
        return Foreach(item.name, over, body)

    def _define(self) -> Node:
        self.expect("(")
        self.skip_space()
        target = self.reference(0)
        if target is None or target.accesses:
            raise TemplateError("#define needs a variable")
        self._close()
        body, _ = self._block(("end",))
        return Define(target.name, body)

    def _macro(self) -> Node:
        self.expect("(")
        self.skip_space()
        name = IDENTIFIER.match(self.text, self.at)
        if name is None:
            raise TemplateError("#macro needs a name")
        self.at = name.end()
        parameters: list[str] = []
        while not self.is_at(")"):
            self.skip_separator()
            parameter = self.reference(0)
            if parameter is None or parameter.accesses:
                raise TemplateError("the parameters of a #macro are variables")
            parameters.append(parameter.name)
        self._close()
        body, _ = self._block(("end",))
        return Macro(name[0], tuple(parameters), body)

    def _macro_call(self, name: str, start: int, *, has_body: bool) -> Node:
        """A call, where a parenthesis follows; else just text."""
        at = self.at
        while at < len(self.text) and self.text[at] in " \t":
            at += 1
        if not self.text.startswith("(", at):
            return Text(self.text[start : self.at])
        self.at = at + 1
        arguments: list[Expression] = []
        while not self.is_at(")"):
            arguments.append(self.expression())
            self.skip_separator()
        self.at += 1
        source = self.text[start : self.at]
        body: Block | None = None
        self._skip_line_end()
        if has_body:
            body, _ = self._block(("end",))
        return MacroCall(name, tuple(arguments), source, body)

    def _close(self) -> None:
        """A directive's closing parenthesis takes the rest of its line along when there is nothing on it."""
        self.skip_space()
        self.expect(")")
        self._skip_line_end()

    def _skip_line_end(self) -> None:
        rest = _REST_OF_LINE.match(self.text, self.at)
        if rest is not None:
            self.at = rest.end()
