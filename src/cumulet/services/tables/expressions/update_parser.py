"""Update expressions, and projections, from text to trees. Pure; bounded by the text's 4 KB.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html
"""

from cumulet.services.tables.expressions.nodes import Arithmetic, Assignment, Function, Invalid, Operand, Path, ValueName
from cumulet.services.tables.expressions.syntax import REDUNDANT, SECTIONS, Parser

_FUNCTIONS = frozenset({"if_not_exists", "list_append"})
_CONDITION_FUNCTIONS = frozenset({"attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains", "size"})
_MAXIMUM_DEPTH = 100


def parse(text: str) -> tuple[Assignment, ...]:
    """The actions in the order of the text. Raises Invalid."""
    parser = _UpdateParser(text)
    actions = parser.whole()
    parser.check_operators()
    parser.finish()
    return actions


def parse_projection(text: str) -> tuple[Path, ...]:
    """Raises Invalid."""
    parser = Parser(text)
    paths = [parser.path()]
    while parser.takes(","):
        paths.append(parser.path())
    parser.finish()
    return tuple(paths)


class _UpdateParser(Parser):
    def whole(self) -> tuple[Assignment, ...]:
        actions: list[Assignment] = []
        seen: set[str] = set()
        while True:
            section = self.kind
            if section not in SECTIONS:
                self.fail()
            if section in seen:
                self.complain(f'The "{section}" section can only be used once in an update expression;', self.at)
            seen.add(section)
            self.take()
            actions.append(self._action(section))
            while self.takes(","):
                actions.append(self._action(section))
            if self.kind == "end":
                return tuple(actions)

    def _action(self, section: str) -> Assignment:
        path = self.path()
        if section == "REMOVE":
            return Assignment(section, path, None)
        if section == "SET":
            self.expect("=")
            return Assignment(section, path, self._right_side())
        return Assignment(section, path, ValueName(self.expect("value").text))

    def _right_side(self, depth: int = 0) -> Operand:
        """A value, or two with + or - between them; as a whole it may stand in parentheses, and then no operator can follow."""
        if depth > _MAXIMUM_DEPTH:
            raise Invalid("The expression is nested too deeply;")
        first = self.at
        if self.takes("("):
            left = self._right_side(depth + 1)
            self._close(first)
            if isinstance(left, Arithmetic):
                return left
        else:
            left = self._operand(depth)
        if self.kind not in ("+", "-"):
            return left
        operator = self.take().text
        self.count_operator()
        self._refuse_append(left, first)
        second = self.at
        right = self._operand(depth)
        self._refuse_append(right, second)
        return Arithmetic(operator, left, right)

    def _operand(self, depth: int) -> Operand:
        if depth > _MAXIMUM_DEPTH:
            raise Invalid("The expression is nested too deeply;")
        first = self.at
        if self.takes("("):
            node = self._operand(depth + 1)
            self._close(first)
            return node
        if self.kind == "value":
            return ValueName(self.take().text)
        if self.kind == "word" and self.tokens[first + 1].kind == "(":
            return self._function(depth)
        return self.path()

    def _close(self, opening: int) -> None:
        self.expect(")")
        if self.tokens[opening + 1].kind == "(" and self.tokens[self.at - 2].kind == ")":
            raise Invalid(REDUNDANT)

    def _function(self, depth: int) -> Function:
        at = self.at
        name = self.take().text
        self.count_operator()
        self.expect("(")
        if name in _CONDITION_FUNCTIONS:
            self.complain(f"The function is not allowed in an update expression; function: {name}", at)
        elif name not in _FUNCTIONS:
            self.complain(f"Invalid function name; function: {name}", at)
        arguments: list[Operand] = []
        while not arguments or self.takes(","):
            first = self.at
            arguments.append(self._operand(depth + 1))
            self._refuse_append(arguments[-1], first)
        self.expect(")")
        return Function(name, tuple(arguments))

    def _refuse_append(self, node: Operand, token: int) -> None:
        """A list that is made can be stored, and nothing else."""
        if isinstance(node, Function) and node.name == "list_append":
            self.complain("The function is not allowed to be used this way in an expression; function: list_append", token)
