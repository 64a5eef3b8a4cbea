"""Renders a parsed template. What a template may take is bounded: steps, output, string lengths, calls within calls."""

from collections.abc import Iterable
from typing import Any

from cumulet.gateway.templates.errors import TemplateError
from cumulet.gateway.templates.methods import MAXIMUM_ITEMS, NoMethod, call_method, get_index, get_property, set_index
from cumulet.gateway.templates.nodes import (
    Binary,
    Block,
    Break,
    Define,
    Expression,
    Foreach,
    If,
    Index,
    Interpolated,
    ListLiteral,
    Literal,
    Macro,
    MacroCall,
    MapLiteral,
    Method,
    Not,
    Property,
    RangeLiteral,
    Reference,
    Set,
    Stop,
    Text,
)
from cumulet.gateway.templates.values import Callables, JavaList, are_equal, bounded, calculate, compare, is_true, to_text

MAXIMUM_STEPS = 100_000
MAXIMUM_OUTPUT = 10 * 1024 * 1024
MAXIMUM_WORK = 64 * 1024 * 1024
_MAXIMUM_CALLS = 20


class _Break(Exception):
    """#break: leaves the innermost loop."""


class _Stop(Exception):
    """#stop: leaves the template."""


class _Deferred:
    """What #define keeps: rendered anew wherever it is shown."""

    def __init__(self, body: Block) -> None:
        self.body = body


_NOTHING = object()
_COSTLY = frozenset(("replaceAll", "split", "matches", "hashCode", "toCharArray"))


class Interpreter:
    """One rendering. `variables` are changed by #set."""

    def __init__(self, variables: dict[str, Any]) -> None:
        self._variables = variables
        self._macros: dict[str, Macro] = {}
        self._steps = 0
        self._work = 0
        self._calls = 0
        self._output_size = 0

    def render(self, block: Block) -> str:
        """Raises TemplateError."""
        output: list[str] = []
        try:
            self._run(block, output)
        except (_Break, _Stop):
            pass
        except RecursionError:
            raise TemplateError("the template is nested too deeply") from None
        return "".join(output)

    def _step(self, count: int = 1) -> None:
        self._steps += count
        if self._steps > MAXIMUM_STEPS:
            raise TemplateError(f"a template may take {MAXIMUM_STEPS} steps")

    def _spend(self, value: Any) -> Any:
        """Count the memory that a new string cost."""
        if isinstance(value, str):
            self._work += len(value)
            if self._work > MAXIMUM_WORK:
                raise TemplateError("the template makes too much text")
        return value

    def _emit(self, text: str, output: list[str]) -> None:
        self._output_size += len(text)
        if self._output_size > MAXIMUM_OUTPUT:
            raise TemplateError(f"a template may write {MAXIMUM_OUTPUT} characters")
        output.append(text)

    def _run(self, block: Block, output: list[str]) -> None:
        for node in block:
            self._step()
            match node:
                case Text(text):
                    self._emit(text, output)
                case Reference():
                    self._show(node, output)
                case Set(target, value):
                    self._assign(target, self._value(value))
                case If():
                    self._choose(node, output)
                case Foreach():
                    self._loop(node, output)
                case MacroCall():
                    self._call(node, output)
                case Define(name, body):
                    self._variables[name] = _Deferred(body)
                case Macro():
                    self._macros[node.name] = node
                case Break():
                    raise _Break
                case Stop():
                    raise _Stop

    def _show(self, node: Reference, output: list[str]) -> None:
        """A reference in the text: its value, or what is written when it has none."""
        value = self._resolve(node)
        slashes = node.backslashes
        if value is None:
            self._emit("\\" * slashes + ("" if node.is_quiet else node.source), output)
            return
        if slashes:
            self._emit("\\" * (slashes // 2), output)
            if slashes % 2:
                self._emit(node.source, output)
                return
        self._emit(self._spend(to_text(value)), output)

    def _choose(self, node: If, output: list[str]) -> None:
        for condition, body in node.branches:
            if is_true(self._value(condition)):
                self._run(body, output)
                return
        if node.otherwise is not None:
            self._run(node.otherwise, output)

    def _loop(self, node: Foreach, output: list[str]) -> None:
        items = _items_of(self._value(node.over))
        kept = {name: self._variables.get(name, _NOTHING) for name in (node.name, "foreach", "velocityCount", "velocityHasNext")}
        parent = self._variables.get("foreach")
        try:
            for at, item in enumerate(items):
                self._step()
                has_next = at + 1 < len(items)
                self._variables[node.name] = item
                self._variables["velocityCount"] = at + 1
                self._variables["velocityHasNext"] = has_next
                self._variables["foreach"] = _loop_state(at, has_next, parent)
                self._run(node.body, output)
        except _Break:
            pass
        finally:
            for name, value in kept.items():
                if value is _NOTHING:
                    self._variables.pop(name, None)
                else:
                    self._variables[name] = value

    def _call(self, node: MacroCall, output: list[str]) -> None:
        macro = self._macros.get(node.name)
        if macro is None:
            self._emit(node.source, output)
            if node.body is not None:
                self._run(node.body, output)
            return
        given = [self._value(argument) for argument in node.arguments]
        values: dict[str, Any] = dict(zip(macro.parameters, given, strict=False))
        for name in macro.parameters[len(given) :]:
            values[name] = None
        if node.body is not None:
            values["bodyContent"] = _Deferred(node.body)
        kept = {name: self._variables.get(name, _NOTHING) for name in values}
        self._variables.update(values)
        try:
            self._within(macro.body, output)
        finally:
            for name, value in kept.items():
                if value is _NOTHING:
                    self._variables.pop(name, None)
                else:
                    self._variables[name] = value

    def _within(self, body: Block, output: list[str]) -> None:
        """A macro's or definition's body: these may use each other, and themselves, only so deep."""
        self._calls += 1
        if self._calls > _MAXIMUM_CALLS:
            raise TemplateError(f"macros may call each other {_MAXIMUM_CALLS} levels deep")
        try:
            self._run(body, output)
        finally:
            self._calls -= 1

    def _assign(self, target: Reference, value: Any) -> None:
        """Null is not assigned: the variable keeps what it had, as in Velocity 1.7."""
        if value is None:
            return
        if not target.accesses:
            self._variables[target.name] = value
            return
        place = self._walk(self._variables.get(target.name), target.accesses[:-1])
        last = target.accesses[-1]
        try:
            if isinstance(last, Property):
                set_index(place, last.name, value)
            elif isinstance(last, Index):
                set_index(place, self._value(last.at), value)
            else:
                raise TemplateError("#set cannot assign to a method call")
        except NoMethod:
            return

    def _resolve(self, node: Reference) -> Any:
        value = self._walk(self._variables.get(node.name), node.accesses)
        if isinstance(value, _Deferred):
            parts: list[str] = []
            size = self._output_size
            self._within(value.body, parts)
            self._output_size = size
            return self._spend("".join(parts))
        return value

    def _walk(self, value: Any, accesses: Iterable[Property | Method | Index]) -> Any:
        for access in accesses:
            if value is None:
                return None
            self._step()
            try:
                match access:
                    case Property(name):
                        value = get_property(value, name)
                    case Method(name, arguments):
                        given = [self._value(argument) for argument in arguments]
                        self._step(_call_weight(value, name, given))
                        value = self._spend(call_method(value, name, given))
                    case Index(at):
                        value = get_index(value, self._value(at))
            except NoMethod:
                return None
        return value

    def _value(self, node: Expression) -> Any:
        self._step()
        match node:
            case Reference():
                return self._resolve(node)
            case Literal(value):
                return value
            case Interpolated(block):
                parts: list[str] = []
                size = self._output_size
                self._run(block, parts)
                self._output_size = size
                return self._spend(bounded("".join(parts)))
            case Binary():
                return self._binary(node)
            case Not(operand):
                return not is_true(self._value(operand))
            case ListLiteral(items):
                return JavaList(self._value(item) for item in items)
            case MapLiteral(pairs):
                return {to_text(self._value(key)): self._value(item) for key, item in pairs}
            case RangeLiteral(first, last):
                return _range(self._value(first), self._value(last))
        raise TemplateError("not an expression")

    def _binary(self, node: Binary) -> Any:
        left = self._value(node.left)
        if node.operator == "&&":
            return is_true(left) and is_true(self._value(node.right))
        if node.operator == "||":
            return is_true(left) or is_true(self._value(node.right))
        right = self._value(node.right)
        self._step(_weight(left) + _weight(right))
        match node.operator:
            case "==":
                return are_equal(left, right)
            case "!=":
                return not are_equal(left, right)
            case "<" | ">" | "<=" | ">=":
                return compare(node.operator, left, right)
        return self._spend(calculate(node.operator, left, right))


def _weight(value: Any) -> int:
    """How many steps it may cost to look through a value."""
    if isinstance(value, str):
        return len(value) // 1000
    if isinstance(value, list | dict):
        return len(value) // 10
    return value.weight if isinstance(value, Callables) else 0


def _call_weight(value: Any, name: str, arguments: list[Any]) -> int:
    """The same for a method: regular expressions and our own functions cost more for each character than a search does."""
    weight = sum(map(_weight, arguments), _weight(value))
    if isinstance(value, str):
        return weight + (len(value) // 5 if name in _COSTLY else 0)
    if isinstance(value, Callables):
        return weight + sum(len(each) // 200 for each in arguments if isinstance(each, str))
    return weight


def _items_of(value: Any) -> list[Any]:
    if isinstance(value, list):
        return list(value)
    if isinstance(value, dict):
        return list(value.values())
    return []


def _range(first: Any, last: Any) -> Any:
    if not isinstance(first, int) or not isinstance(last, int) or isinstance(first, bool) or isinstance(last, bool):
        return None
    if abs(last - first) >= MAXIMUM_ITEMS:
        raise TemplateError(f"a range may have {MAXIMUM_ITEMS} members")
    return JavaList(range(first, last + 1) if first <= last else range(first, last - 1, -1))


def _loop_state(at: int, has_next: bool, parent: Any) -> Callables:
    """`$foreach`."""
    state = {"index": at, "count": at + 1, "hasNext": has_next, "first": at == 0, "last": not has_next}
    if isinstance(parent, Callables):
        state["parent"] = parent  # type: ignore[assignment]
    methods = {
        "getIndex": lambda: at,
        "getCount": lambda: at + 1,
        "hasNext": lambda: has_next,
        "isFirst": lambda: at == 0,
        "isLast": lambda: not has_next,
    }
    return Callables(methods, state)
