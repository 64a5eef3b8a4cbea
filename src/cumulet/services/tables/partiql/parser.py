"""PartiQL statements from text. Pure; bounded by the text's 8 KB and by its nesting. Raises ValidationFault."""

from functools import lru_cache

from cumulet.services.tables.errors import ValidationFault
from cumulet.services.tables.expressions.nodes import (
    Arithmetic,
    Assignment,
    ConditionNode,
    Function,
    Invalid,
    Operand,
    Parts,
    Path,
)
from cumulet.services.tables.expressions.paths import check_apart
from cumulet.services.tables.partiql.conditions import ConditionParser
from cumulet.services.tables.partiql.statements import Delete, Exists, Insert, Select, Statement, Update, name_of

_KEPT = 512
_KEPT_CHARS = 1024
_SETS = {"set_add": "ADD", "set_delete": "DELETE"}
_RETURNS = {
    ("ALL", "OLD"): "ALL_OLD",
    ("ALL", "NEW"): "ALL_NEW",
    ("MODIFIED", "OLD"): "UPDATED_OLD",
    ("MODIFIED", "NEW"): "UPDATED_NEW",
}


def parse(text: str) -> Statement:
    """Texts are kept parsed; what is long is parsed anew each time."""
    return _parse_kept(text) if len(text) <= _KEPT_CHARS else _parse(text)


def _parse(text: str) -> Statement:
    try:
        return _StatementParser(text).whole()
    except Invalid as error:
        raise ValidationFault(str(error)) from None


_parse_kept = lru_cache(_KEPT)(_parse)


class _StatementParser(ConditionParser):
    def whole(self) -> Statement:
        kind = self.kind
        if kind == "SELECT":
            statement: Statement = self._select()
        elif kind == "INSERT":
            statement = self._insert()
        elif kind == "UPDATE":
            statement = self._update()
        elif kind == "DELETE":
            statement = self._delete()
        elif kind == "EXISTS":
            statement = self._exists()
        else:
            self.fail()
        self.takes(";")
        if self.kind != "end":
            self.fail()
        return statement

    def _select(self) -> Select:
        self.expect("SELECT")
        if self.kind in ("VALUE", "PIVOT"):
            raise ValidationFault("Select projection doesn't support value or pivot keywords")
        if self.kind == "DISTINCT":
            raise ValidationFault("Unsupported token in expression: DISTINCT")
        paths = None if self.takes("*") else self._selected()
        self.expect("FROM")
        table, index = self._source()
        if self.kind == ",":
            raise ValidationFault("Only select from a single table or index is supported.")
        where = self._where()
        if self.kind in ("GROUP", "HAVING"):
            raise ValidationFault("Unsupported clause: GROUP BY")
        if self.kind in ("LIMIT", "OFFSET"):
            self.refuse_here(f"Unsupported clause: {self.take().kind}")
        order = self._order() if self.takes("ORDER") else ()
        if order and where is None:
            raise ValidationFault("Must have WHERE clause in the statement when using ORDER BY clause.")
        return Select(table, index, tuple(self.literals), self.parameters, paths, where, order)

    def _selected(self) -> tuple[Parts, ...]:
        paths: list[Parts] = []
        while not paths or self.takes(","):
            if self.kind != "word" or self.ahead == "(":
                if self.kind not in ("word", "ion", "?", "string", "number"):
                    self.fail()
                self.refuse_here("Unexpected path component")
            paths.append(self.path().parts)
            if self.kind in ("AS", "word"):
                raise ValidationFault("Aliasing is not supported")
        names = [name_of(parts) for parts in paths]
        for name in names:
            if names.count(name) > 1:
                raise ValidationFault(f"Duplicate identifiers in select clause: {name}")
        check_apart(paths)
        return tuple(paths)

    def _source(self) -> tuple[str, str | None]:
        """A table, and an index of it."""
        if self.kind != "word":
            if self.kind in ("?", "string", "number", "("):
                raise ValidationFault("Unexpected from source")
            self.fail()
        table, index = self._name()
        if self.kind in ("AS", "word"):
            raise ValidationFault("Aliasing is not supported")
        return table, index

    def _name(self) -> tuple[str, str | None]:
        return self.expect("word").text, self.expect("word").text if self.takes(".") else None

    def _table(self) -> str:
        table, index = self._name()
        if index is not None:
            raise ValidationFault("This operation is not supported on an index")
        return table

    def _where(self) -> ConditionNode | None:
        return self.condition() if self.takes("WHERE") else None

    def _order(self) -> tuple[tuple[str, bool], ...]:
        self.expect("BY")
        order: list[tuple[str, bool]] = []
        while not order or self.takes(","):
            name = self.expect("word").text
            is_descending = self.takes("DESC")
            if not is_descending:
                self.takes("ASC")
            order.append((name, is_descending))
        return tuple(order)

    def _insert(self) -> Insert:
        self.expect("INSERT")
        self.expect("INTO")
        table, index = self._name()
        if index is not None:
            raise ValidationFault("FROM clause may only contain a single table name in data manipulation statements")
        self.expect("VALUE")
        if self.kind != "{":
            if self.kind == "end":
                self.fail()
            self.refuse_here(
                "Unsupported format in item expression. Please use struct format {...} to express item values for insert statement."
            )
        item = self.value()
        if self.kind == "RETURNING":
            raise ValidationFault("RETURNING is not supported in INSERT")
        return Insert(table, None, tuple(self.literals), self.parameters, item.name)

    def _update(self) -> Update:
        self.expect("UPDATE")
        table = self._table()
        actions: list[Assignment] = []
        while self.kind in ("SET", "REMOVE"):
            if self.take().kind == "REMOVE":
                actions.append(Assignment("REMOVE", self.path(), None))
                continue
            actions.append(self._assignment())
            while self.takes(","):
                actions.append(self._assignment())
        if not actions:
            self.fail()
        where = self._where()
        returns = self._returning()
        return Update(table, None, tuple(self.literals), self.parameters, tuple(actions), where, returns)

    def _assignment(self) -> Assignment:
        path = self.path()
        self.expect("=")
        if self.kind == "word" and self.ahead == "(" and (name := self.tokens[self.at].text.lower()) in _SETS:
            return self._set_change(_SETS[name], path)
        return Assignment("SET", path, self._sum())

    def _set_change(self, section: str, path: Path) -> Assignment:
        """`a = set_add(a, <<…>>)`: the attribute itself, and a set."""
        name = self.take().text.upper()
        self.expect("(")
        first = self.at
        if self.path() != path:
            raise ValidationFault(f"The first argument to {name} must equal the assignment value")
        self.expect(",")
        if self.kind not in ("<<", "?"):
            self.at = first
            self.refuse_here(f"The second argument to {name} must be a value with type SET")
        value = self.value()
        self.expect(")")
        return Assignment(section, path, value)

    def _sum(self) -> Operand:
        left = self._term()
        while self.kind in ("+", "-"):
            operator = self.take().kind
            left = Arithmetic(operator, left, self._term())
        return left

    def _term(self) -> Operand:
        self.deeper()
        if self.takes("("):
            node = self._sum()
            self.expect(")")
        elif self.kind == "word" and self.ahead == "(":
            node = self._function()
        elif self.kind == "word":
            node = self.path()
        elif self.kind == "MISSING":
            raise ValidationFault("MISSING must be compared using IS operator")
        else:
            node = self.value()
        self.depth -= 1
        return node

    def _function(self) -> Operand:
        name = self.take().text
        lowered = name.lower()
        if lowered not in ("if_not_exists", "list_append"):
            self.refuse_function(name, "The function is not allowed in an update expression; function: ")
        self.expect("(")
        arguments: list[Operand] = []
        while not arguments or self.takes(","):
            arguments.append(self._term())
        self.expect(")")
        return Function(lowered, tuple(arguments))

    def _delete(self) -> Delete:
        self.expect("DELETE")
        self.expect("FROM")
        table = self._table()
        where = self._where()
        returns = self._returning()
        if returns not in ("NONE", "ALL_OLD"):
            words = next(words for words, meant in _RETURNS.items() if meant == returns)
            raise ValidationFault(
                f"Invalid returning clause: RETURNING {' '.join(words)} *. "
                "Only RETURNING ALL OLD * is allowed in DELETE statements."
            )
        return Delete(table, None, tuple(self.literals), self.parameters, where, returns)

    def _returning(self) -> str:
        if not self.takes("RETURNING"):
            return "NONE"
        which, when = self.take_kind("ALL", "MODIFIED"), self.take_kind("OLD", "NEW")
        if self.kind == "end":
            self.fail()
        if not self.takes("*"):
            raise ValidationFault("Expected '*' after ( MODIFIED | ALL ) ( NEW | OLD ) in RETURNING clause")
        if self.kind == ",":
            raise ValidationFault("Invalid syntax with multiple returning elements in RETURNING clause")
        return _RETURNS[which, when]

    def _exists(self) -> Exists:
        self.expect("EXISTS")
        self.expect("(")
        self.expect("SELECT")
        self.expect("*")
        self.expect("FROM")
        table = self._table()
        where = self._where()
        self.expect(")")
        return Exists(table, None, tuple(self.literals), self.parameters, where)
