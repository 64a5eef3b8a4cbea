"""What a model demands of an input beyond its types: presence, length, range, pattern, enumeration. Compiled once per shape."""

import re
import warnings
from collections.abc import Callable
from typing import Any

from cumulet.core.errors import Fault
from cumulet.wire.models import Shape
from cumulet.wire.trees import is_opaque

Check = Callable[[Any, str, list[str]], None]
"""(value, path, findings): adds a sentence for everything that is wrong."""


class ValidationFault(Fault):
    """The input breaks the model's constraints."""

    code = "ValidationException"
    status = 400


class BadRequestFault(ValidationFault):
    """The same in the words of services whose models know no ValidationException."""

    code = "BadRequestException"


class Constraints:
    """The checks of a service's shapes. Messages have the form that AWS services use. What `opaque` names is not looked into."""

    def __init__(self, opaque: frozenset[str] = frozenset(), fault: type[ValidationFault] = ValidationFault) -> None:
        self._opaque = opaque
        self._fault = fault
        self._checks: dict[str, Check | None] = {}

    def check(self, shape: Shape, value: dict[str, Any]) -> None:
        """Raises the fault, naming everything that is wrong."""
        check = self._of(shape)
        findings: list[str] = []
        if check is not None:
            check(value, "", findings)
        if findings:
            count = f"{len(findings)} validation error{'s' if len(findings) > 1 else ''} detected: "
            raise self._fault(count + "; ".join(findings))

    def _of(self, shape: Shape) -> Check | None:
        if shape.name not in self._checks:
            self._checks[shape.name] = lambda value, path, findings: self._later(shape, value, path, findings)
            self._checks[shape.name] = self._make(shape)
        return self._checks[shape.name]

    def _later(self, shape: Shape, value: Any, path: str, findings: list[str]) -> None:
        check = self._checks[shape.name]
        if check is not None:
            check(value, path, findings)

    def _make(self, shape: Shape) -> Check | None:
        kind = shape.type_name
        if shape.name in self._opaque:
            return None
        if kind == "structure":
            return self._structure(shape)
        own = _own_rules(shape)
        inner = self._inner(shape.member) if kind == "list" else self._inner(shape.value) if kind == "map" else None
        is_walked = kind == "list" and not is_opaque(shape.member, self._opaque) and not shape.metadata.get("sparse")
        if not own and inner is None and not is_walked:
            return None

        def check(value: Any, path: str, findings: list[str]) -> None:
            for rule, words in own:
                if not rule(value):
                    findings.append(f"Value {_shown(value)} at '{path}' failed to satisfy constraint: {words}")
            if is_walked and None in value:
                where = f"{path}.{value.index(None) + 1}.member"
                findings.append(f"Value null at '{where}' failed to satisfy constraint: Member must not be null")
            if inner is not None:
                pairs = value.items() if kind == "map" else enumerate(value, 1)
                for key, item in pairs:
                    if item is not None:
                        inner(item, f"{path}.{key}" if kind == "map" else f"{path}.{key}.member", findings)

        return check

    def _inner(self, shape: Shape) -> Check | None:
        """Items of what the service judges itself are not even walked over."""
        return None if is_opaque(shape, self._opaque) else self._of(shape)

    def _structure(self, shape: Shape) -> Check:
        members = [
            (name, _lower_first(name), self._of(member), name in shape.required_members) for name, member in shape.members.items()
        ]
        members = [member for member in members if member[2] is not None or member[3]]

        def check(value: Any, path: str, findings: list[str]) -> None:
            for name, shown, inner, is_required in members:
                item = value.get(name)
                if item is None and not is_required:
                    continue
                where = f"{path}.{shown}" if path else shown
                if item is None:
                    findings.append(f"Value null at '{where}' failed to satisfy constraint: Member must not be null")
                elif inner is not None:
                    inner(item, where, findings)

        return check


def _own_rules(shape: Shape) -> list[tuple[Callable[[Any], bool], str]]:
    rules: list[tuple[Callable[[Any], bool], str]] = []
    traits, kind = shape.metadata, shape.type_name
    is_sized = kind in ("string", "blob", "list", "map")
    size: Callable[[Any], Any] = len if is_sized else lambda value: value
    less, more = (
        ("length less than or equal to", "length greater than or equal to")
        if is_sized
        else ("value less than or equal to", "value greater than or equal to")
    )
    if (low := traits.get("min")) is not None:
        rules.append((lambda value: size(value) >= low, f"Member must have {more} {low}"))
    if (high := traits.get("max")) is not None:
        rules.append((lambda value: size(value) <= high, f"Member must have {less} {high}"))
    if pattern := _compiled(traits.get("pattern")):
        rules.append(
            (
                lambda value: pattern.fullmatch(value) is not None,
                f"Member must satisfy regular expression pattern: {traits['pattern']}",
            )
        )
    if values := traits.get("enum"):
        known = frozenset(values)
        rules.append((lambda value: value in known, f"Member must satisfy enum value set: [{', '.join(values)}]"))
    return rules


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    """Models are written for Java: a pattern that Python cannot read is not checked."""
    if not pattern:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that a later Python may read otherwise
        try:
            return re.compile(pattern.replace(r"\p{L}", r"\w").replace(r"\p{Z}", r"\s").replace(r"\p{N}", r"\d"), re.DOTALL)
        except re.error:
            return None


def _lower_first(name: str) -> str:
    return name[:1].lower() + name[1:]


def _shown(value: Any) -> str:
    text = f"'{value}'"
    return text if len(text) <= 1000 else text[:1000] + "…'"
