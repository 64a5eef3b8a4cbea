"""WHERE clauses, paths and literals of PartiQL, to the very trees that condition expressions are. Pure."""

from typing import Any, NoReturn

from cumulet.services.tables.errors import ValidationFault
from cumulet.services.tables.expressions.nodes import (
    Both,
    Comparison,
    ConditionNode,
    Either,
    Function,
    Negation,
    Operand,
    Path,
    ValueName,
)
from cumulet.services.tables.partiql.bindings import Parameter, Unfilled, set_of
from cumulet.services.tables.partiql.tokens import MAXIMUM_CHARS, Token, place_of, tokens_of
from cumulet.services.tables.values import normalise

MAXIMUM_DEPTH = 64  # of parentheses, calls and literals; each costs the interpreter up to seven frames
MAXIMUM_OPERATORS = 300
_MAXIMUM_PATH_PARTS = 32
_COMPARATORS = {"=": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_FUNCTIONS = frozenset({"attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains", "size"})
_UPDATE_FUNCTIONS = frozenset({"if_not_exists", "list_append", "set_add", "set_delete"})
_TYPE_NAMES = {"STRING": "S", "BOOL": "BOOL", "BOOLEAN": "BOOL", "LIST": "L", "STRUCT": "M"}
_UNSUPPORTED = ("+", "-", "*", "/", "%", "||", "LIKE")
_IN_NEEDS = (
    "IN operator must have a left hand argument of type Variable Reference "
    "and right hand argument of type Seq with at least one member"
)


class ConditionParser:
    """A position in the tokens of one statement, and the literals it has met."""

    def __init__(self, text: str):
        self.text = text
        if not text or len(text) > MAXIMUM_CHARS:
            self.fail()
        self.tokens = tokens_of(text)
        self.at = 0
        self.depth = 0
        self.operators = 0
        self.parameters = 0
        self.literals: list[Any] = []

    @property
    def kind(self) -> str:
        return self.tokens[self.at].kind

    @property
    def ahead(self) -> str:
        return self.tokens[min(self.at + 1, len(self.tokens) - 1)].kind

    def take(self) -> Token:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def take_kind(self, *kinds: str) -> str:
        if self.kind not in kinds:
            self.fail()
        return self.take().kind

    def expect(self, kind: str) -> Token:
        if self.kind != kind:
            self.fail()
        return self.take()

    def takes(self, kind: str) -> bool:
        """Whether that stood here; it is consumed."""
        if self.kind != kind:
            return False
        self.at += 1
        return True

    def fail(self) -> NoReturn:
        raise ValidationFault(f"Statement wasn't well formed, can't be processed: {self.text}")

    def refuse_here(self, message: str) -> NoReturn:
        raise ValidationFault(f"{message} {place_of(self.text, self.tokens[self.at])}")

    def refuse_function(self, name: str, message: str) -> NoReturn:
        """A function that is not for here, or none at all."""
        if name.lower() in _FUNCTIONS | _UPDATE_FUNCTIONS:
            raise ValidationFault(message + name.lower())
        raise ValidationFault(f"Unrecognized function: {name}")

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAXIMUM_DEPTH:
            self.fail()

    def path(self) -> Path:
        parts: list[str | int] = [self._part()]
        while self.kind in (".", "["):
            if self.take().kind == ".":
                parts.append(self._part())
                continue
            digits = self.expect("number").text
            if not digits.isdigit() or len(digits) > 9:
                self.fail()
            parts.append(int(digits))
            self.expect("]")
        if len(parts) > _MAXIMUM_PATH_PARTS:
            raise ValidationFault(f"The document path has too many nesting levels; nesting levels: {len(parts)}")
        return Path(tuple(parts))

    def _part(self) -> str:
        name = self.expect("word").text
        if not name:
            raise ValidationFault("Path component cannot be an empty string")
        return name

    def condition(self) -> ConditionNode:
        node = self._checked(self._either())
        if self.operators > MAXIMUM_OPERATORS:
            raise ValidationFault(f"The expression contains too many operators; operator count: {self.operators}")
        return node

    def _checked(self, node: ConditionNode | Operand) -> ConditionNode:
        if isinstance(node, (Comparison, Both, Either, Negation)) or (isinstance(node, Function) and node.name != "size"):
            return node
        raise ValidationFault("WHERE clause must contain an expression that resolves to a boolean")

    def _either(self) -> ConditionNode | Operand:
        self.deeper()
        node = self._both()
        if self.kind == "OR":
            members = [self._checked(node)]
            while self.takes("OR"):
                self.operators += 1
                members.append(self._checked(self._both()))
            node = Either(tuple(members))
        self.depth -= 1
        return node

    def _both(self) -> ConditionNode | Operand:
        node = self._negation()
        if self.kind != "AND":
            return node
        members = [self._checked(node)]
        while self.takes("AND"):
            self.operators += 1
            members.append(self._checked(self._negation()))
        return Both(tuple(members))

    def _negation(self) -> ConditionNode | Operand:
        negations = 0
        while self.takes("NOT"):
            self.operators += 1
            negations += 1
        node = self._predicate()
        if not negations:
            return node
        checked = self._checked(node)
        return Negation(checked) if negations % 2 else Negation(Negation(checked))

    def _predicate(self) -> ConditionNode | Operand:
        node = self._primary()
        if isinstance(node, (Comparison, Both, Either, Negation)):
            return node
        kind = self.kind
        if kind in _UNSUPPORTED:
            raise ValidationFault(f"Unsupported operator in Condition Expression. Operator: {kind.lower()}")
        if kind in _COMPARATORS:
            self.take()
            self.operators += 1
            return Comparison(_COMPARATORS[kind], (self._operand(node), self._operand(self._primary())))
        if kind == "IS":
            self.take()
            return self._is(node)
        is_negated = kind == "NOT" and self.ahead in ("IN", "BETWEEN", "LIKE")
        if is_negated:
            self.take()
        found = self._between_or_in(node)
        if found is None:
            return node
        return Negation(found) if is_negated else found

    def _between_or_in(self, node: Operand) -> Comparison | None:
        if self.takes("BETWEEN"):
            self.operators += 1
            low = self._operand(self._primary())
            self.expect("AND")
            return Comparison("BETWEEN", (self._operand(node), low, self._operand(self._primary())))
        if self.takes("IN"):
            self.operators += 1
            return self._in(self._operand(node))
        if self.kind == "LIKE":
            raise ValidationFault("Unsupported operator in Condition Expression. Operator: like")
        return None

    def _in(self, node: Operand) -> Comparison:
        closing = {"[": "]", "(": ")", "<<": ">>"}.get(self.kind)
        if closing is None or self.ahead == closing:
            raise ValidationFault(_IN_NEEDS)
        self.take()
        candidates = [self._operand(self._primary())]
        while self.takes(","):
            candidates.append(self._operand(self._primary()))
        self.expect(closing)
        if len(candidates) > 100:
            raise ValidationFault(f"The IN operator is provided with too many operands; number of operands: {len(candidates)}")
        return Comparison("IN", (node, *candidates))

    def _is(self, node: Operand) -> ConditionNode:
        is_negated = self.takes("NOT")
        self.operators += 1
        token = self.take()
        if token.kind == "MISSING":
            return Function("attribute_exists" if is_negated else "attribute_not_exists", (node,))
        kind = "NULL" if token.kind == "NULL" else _TYPE_NAMES.get(token.text.upper()) if token.kind == "word" else None
        if kind is None:
            self.fail()
        found = Function("attribute_type", (node, self._literal({"S": kind})))
        return Negation(found) if is_negated else found

    def _primary(self) -> ConditionNode | Operand:
        if self.kind == "(":
            self.take()
            node = self._either()
            self.expect(")")
            return node
        if self.kind == "word" and self.ahead == "(":
            return self._call()
        if self.kind == "@":
            self.take()
        if self.kind == "word":
            return self.path()
        if self.takes("EXISTS"):
            self.expect("(")
        if self.kind == "SELECT":
            self.refuse_here(f"Unsupported token in expression: {self.kind}")
        if self.kind == "MISSING":
            raise ValidationFault("MISSING must be compared using IS operator")
        return self.value()

    def _operand(self, node: ConditionNode | Operand) -> Operand:
        if not isinstance(node, (Path, ValueName)) and not (isinstance(node, Function) and node.name == "size"):
            self.fail()
        return node

    def _call(self) -> Function:
        name = self.take().text
        if name.lower() not in _FUNCTIONS:
            self.refuse_function(name, "The function is not allowed in a condition expression; function: ")
        self.operators += 1
        self.expect("(")
        self.deeper()
        arguments: list[Operand] = []
        while not arguments or self.takes(","):
            arguments.append(self._operand(self._primary()))
        self.depth -= 1
        self.expect(")")
        return Function(name.lower(), tuple(arguments))

    def value(self) -> ValueName:
        """A literal or a parameter, by the name under which Bindings has it."""
        if self.kind == "?":
            found = self._constant()
            assert isinstance(found, Parameter)
            return ValueName(f"?{found.number}")
        found = self._constant()
        return self._literal(found if isinstance(found, Unfilled) else normalise(found))

    def _literal(self, value: Any) -> ValueName:
        self.literals.append(value)
        return ValueName(f":{len(self.literals) - 1}")

    def _constant(self) -> Any:
        """An attribute value, a Parameter, or an Unfilled."""
        self.deeper()
        token = self.tokens[self.at]
        found: Any
        if token.kind == "?":
            found = Parameter(self.parameters)
            self.parameters += 1
            self.take()
        elif token.kind == "string":
            found = {"S": self.take().text}
        elif token.kind in ("number", "-", "+"):
            found = {"N": self._signed()}
        elif token.kind in ("TRUE", "FALSE"):
            found = {"BOOL": self.take().kind == "TRUE"}
        elif token.kind == "NULL":
            self.take()
            found = {"NULL": True}
        elif token.kind == "[":
            found = _filled_or_not("L", self._members("[", "]"))
        elif token.kind == "<<":
            found = self._bag()
        elif token.kind == "{":
            found = self._struct()
        elif token.kind == "ion":
            raise ValidationFault(f"Ion Literals are not supported {place_of(self.text, token)}")
        else:
            if token.kind in ("word", "MISSING"):
                raise ValidationFault(f"Unsupported data type: {token.text} {place_of(self.text, token)}")
            self.fail()
        self.depth -= 1
        return found

    def _signed(self) -> str:
        sign = ""
        while self.kind in ("-", "+"):
            sign = ("" if sign else "-") if self.take().kind == "-" else sign
        return sign + self.expect("number").text

    def _members(self, opening: str, closing: str) -> list[Any]:
        self.expect(opening)
        members: list[Any] = []
        if self.takes(closing):
            return members
        members.append(self._constant())
        while self.takes(","):
            members.append(self._constant())
        self.expect(closing)
        return members

    def _bag(self) -> Any:
        place = place_of(self.text, self.tokens[self.at])
        members = self._members("<<", ">>")
        if not members:
            raise ValidationFault(f"Empty bags are not supported {place}")
        if any(isinstance(member, (Parameter, Unfilled)) for member in members):
            return Unfilled({"BAG": members})
        return set_of(members)

    def _struct(self) -> Any:
        self.expect("{")
        members: dict[str, Any] = {}
        while self.kind != "}":
            token = self.tokens[self.at]
            if token.kind == "word":
                self.refuse_here("Tuple keys must be of type String. Actual type: VariableReference")
            name = self.expect("string").text
            if not name:
                raise ValidationFault("Path component cannot be an empty string")
            if name in members:
                raise ValidationFault(f"Duplicate keys in tuple. Key: {name} {place_of(self.text, token)}")
            self.expect(":")
            members[name] = self._constant()
            if not self.takes(","):
                break
        self.expect("}")
        is_filled = not any(isinstance(member, (Parameter, Unfilled)) for member in members.values())
        return {"M": members} if is_filled else Unfilled({"M": members})


def _filled_or_not(kind: str, members: list[Any]) -> Any:
    is_filled = not any(isinstance(member, (Parameter, Unfilled)) for member in members)
    return {kind: members} if is_filled else Unfilled({kind: members})
