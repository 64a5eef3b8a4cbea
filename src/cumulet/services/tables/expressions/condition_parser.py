"""Condition expressions from text to trees. Pure; bounded by the text's 4 KB and by its operators.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html
"""

from cumulet.services.tables.expressions.nodes import (
    Both,
    Comparison,
    ConditionNode,
    Either,
    Function,
    Invalid,
    Negation,
    Operand,
    Path,
    ValueName,
)
from cumulet.services.tables.expressions.syntax import REDUNDANT, Parser

COMPARATORS = frozenset({"=", "<>", "<", "<=", ">", ">="})
CONDITIONS = frozenset({"attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains"})
_UPDATE_FUNCTIONS = frozenset({"if_not_exists", "list_append"})
_MAXIMUM_CANDIDATES = 100
_MAXIMUM_DEPTH = 100  # of parentheses and calls; each costs the interpreter five frames

_Any = ConditionNode | Path | ValueName


def parse(text: str) -> ConditionNode:
    """Raises Invalid."""
    parser = _ConditionParser(text)
    node = parser.whole()
    parser.check_operators()
    parser.finish()
    return node


class _ConditionParser(Parser):
    """A parenthesis may hold a condition or an operand, which only what follows tells: both come as nodes, and are asked then."""

    def __init__(self, text: str):
        super().__init__(text)
        self.depth = 0
        self.closes = self._parentheses()
        self.calls: list[Function] = []  # kept alive, so that their identities stay theirs
        self.called_at: dict[int, int] = {}

    def _parentheses(self) -> dict[int, int]:
        """Which token closes what each opening one opens."""
        closes: dict[int, int] = {}
        opened: list[int] = []
        for at, token in enumerate(self.tokens):
            if token.kind == "(":
                opened.append(at)
            elif token.kind == ")" and opened:
                closes[opened.pop()] = at
        return closes

    def whole(self) -> ConditionNode:
        node = self._condition(self._either())
        if self.kind != "end":
            self.fail()
        return node

    def _condition(self, node: _Any) -> ConditionNode:
        """What stands as a condition must be one."""
        if isinstance(node, (Path, ValueName)):
            self.fail()
        if isinstance(node, Function) and node.name == "size":
            self._misused(node)
        return node

    def _either(self) -> _Any:
        self._deeper()
        node = self._both()
        if self.kind == "OR":
            members = [self._condition(node)]
            while self.takes("OR"):
                self.count_operator()
                members.append(self._condition(self._both()))
            node = Either(tuple(members))
        self.depth -= 1
        return node

    def _both(self) -> _Any:
        node = self._negation()
        if self.kind != "AND":
            return node
        members = [self._condition(node)]
        while self.takes("AND"):
            self.count_operator()
            members.append(self._condition(self._negation()))
        return Both(tuple(members))

    def _negation(self) -> _Any:
        negations = 0
        while self.takes("NOT"):
            self.count_operator()
            negations += 1
        node = self._predicate()
        if not negations:
            return node
        node = self._condition(node)
        return Negation(node) if negations % 2 else Negation(Negation(node))

    def _predicate(self) -> _Any:
        node = self._primary()
        if isinstance(node, (Comparison, Both, Either, Negation)):
            return node
        kind = self.kind
        if kind in COMPARATORS:
            self.take()
            self.count_operator()
            return Comparison(kind, (self._value(node), self._operand()))
        if kind == "BETWEEN":
            self.take()
            self.count_operator()
            low = self._operand()
            self.expect("AND")
            return Comparison("BETWEEN", (self._value(node), low, self._operand()))
        if kind == "IN":
            self.take()
            self.count_operator()
            return self._in(node)
        return node

    def _in(self, node: Operand) -> Comparison:
        opening = self.at
        self.expect("(")
        candidates = [self._operand()]
        while self.takes(","):
            candidates.append(self._operand())
        self.expect(")")
        if len(candidates) > _MAXIMUM_CANDIDATES:
            self.complain(f"The IN operator is provided with too many operands; number of operands: {len(candidates)}", opening)
        return Comparison("IN", (self._value(node), *candidates))

    def _primary(self) -> _Any:
        """A condition in parentheses, or an operand."""
        kind = self.kind
        if kind == "(":
            self.take()
            inner = self.closes.get(self.at)
            node = self._either()
            self.expect(")")
            if inner == self.at - 2:
                raise Invalid(REDUNDANT)
            return node
        if kind == "value":
            return ValueName(self.take().text)
        if kind == "word" and self.tokens[self.at + 1].kind == "(":
            return self._function()
        return self.path()

    def _operand(self) -> Operand:
        """An operand where only one can stand."""
        if self.kind == "(":
            self._deeper()
            self.take()
            is_redundant = self.kind == "("
            inner = self._operand()
            self.expect(")")
            self.depth -= 1
            if is_redundant:
                raise Invalid(REDUNDANT)
            return inner
        node = self._primary()
        assert not isinstance(node, (Comparison, Both, Either, Negation))
        return self._value(node)

    def _value(self, node: Operand) -> Operand:
        """What stands as an operand must be one; `size` is the only function that answers a value."""
        if isinstance(node, Function) and node.name in CONDITIONS:
            self._misused(node)
        return node

    def _function(self) -> Function:
        at = self.at
        name = self.take().text
        self.count_operator()
        self.expect("(")
        if name in _UPDATE_FUNCTIONS:
            self.complain(f"The function is not allowed in a condition expression; function: {name}", at)
        elif name not in CONDITIONS and name != "size":
            self.complain(f"Invalid function name; function: {name}", at)
        self._deeper()
        arguments = [self._operand()]
        while self.takes(","):
            arguments.append(self._operand())
        self.depth -= 1
        self.expect(")")
        node = Function(name, tuple(arguments))
        self.called_at[id(node)] = at
        self.calls.append(node)
        return node

    def _deeper(self) -> None:
        self.depth += 1
        if self.depth > _MAXIMUM_DEPTH:
            raise Invalid("The expression is nested too deeply;")

    def _misused(self, node: Function) -> None:
        self.complain(
            f"The function is not allowed to be used this way in an expression; function: {node.name}", self.called_at[id(node)]
        )
