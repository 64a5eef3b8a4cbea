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
_MAXIMUM_DEPTH = 100  # of calls, and of parentheses around operands

_Any = ConditionNode | Path | ValueName


class _Group:
    """What was read inside of one parenthesis: members joined by AND, and those joined by OR; `negations` wait for what follows."""

    def __init__(self, opening: int) -> None:
        self.opening = opening
        self.negations = 0
        self.either: list[ConditionNode] = []
        self.both: list[ConditionNode] = []


def parse(text: str) -> ConditionNode:
    """Raises Invalid."""
    parser = _ConditionParser(text)
    node = parser.whole()
    parser.check_operators()
    parser.finish()
    return node


class _ConditionParser(Parser):
    """A parenthesis may hold a condition or an operand, which only what follows tells: both come as nodes, and are asked then.

    Parentheses are kept on a stack of our own: there can be as many in each other as there are operators.
    """

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
        groups = [_Group(-1)]
        while True:
            group = groups[-1]
            while self.takes("NOT"):
                self.count_operator()
                group.negations += 1
            if self.kind == "(":
                groups.append(_Group(self.at))
                self.take()
                continue
            node = self._compared(self._primary())
            while self.kind == ")" and len(groups) > 1:
                node = self._compared(self._closed(groups.pop(), node))
            group = groups[-1]
            if self.kind not in ("AND", "OR"):
                break
            self._join(group, node)
        if self.kind != "end" or len(groups) > 1:
            self.fail()
        return self._condition(self._ended(group, node))

    def _closed(self, group: _Group, node: _Any) -> _Any:
        """What the parenthesis that ends here holds."""
        node = self._ended(group, node)
        self.take()
        if self.closes.get(group.opening + 1) == self.at - 2:
            raise Invalid(REDUNDANT)
        return node

    def _join(self, group: _Group, node: _Any) -> None:
        """An AND or OR stands behind the node."""
        group.both.append(self._negated(group, node))
        self.count_operator()
        if self.take().kind == "OR":
            group.either.append(_flat(Both, group.both))
            group.both = []

    def _ended(self, group: _Group, node: _Any) -> _Any:
        """The group as one node: an operand, if it is nothing but that."""
        if not (group.negations or group.both or group.either):
            return node
        group.both.append(self._negated(group, node))
        both = _flat(Both, group.both)
        return _flat(Either, [*group.either, both])

    def _negated(self, group: _Group, node: _Any) -> ConditionNode:
        negations, group.negations = group.negations, 0
        condition = self._condition(node)
        if not negations:
            return condition
        return Negation(condition) if negations % 2 else Negation(Negation(condition))

    def _condition(self, node: _Any) -> ConditionNode:
        """What stands as a condition must be one."""
        if isinstance(node, (Path, ValueName)):
            self.fail()
        if isinstance(node, Function) and node.name == "size":
            self._misused(node)
        return node

    def _compared(self, node: _Any) -> _Any:
        """The node, or what it is compared with, too."""
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

    def _primary(self) -> Path | ValueName | Function:
        if self.kind == "value":
            return ValueName(self.take().text)
        if self.kind == "word" and self.tokens[self.at + 1].kind == "(":
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
        return self._value(self._primary())

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


def _flat(kind: type[Both] | type[Either], members: list[ConditionNode]) -> ConditionNode:
    """Members of a chain that are chains of its kind are its own: clients write (((a AND b) AND c) AND d)."""
    if len(members) == 1:
        return members[0]
    found: list[ConditionNode] = []
    for member in members:
        if isinstance(member, kind):
            found += member.members
        else:
            found.append(member)
    return kind(tuple(found))
