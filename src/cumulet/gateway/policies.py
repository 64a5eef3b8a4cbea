"""Policy documents, as authorizers return them and APIs carry them: may this be done? Pure.

A condition that is not known here is never met: a statement that depends on it allows nothing.
"""

import functools
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cumulet.core.patterns import PatternError, compile_pattern

Verdict = Literal["allow", "deny", "none"]


@dataclass(frozen=True, slots=True)
class Question:
    """`principal` None: nobody signed. `facts` are condition keys in lower case."""

    action: str
    resource: str
    principal: str | None = None
    account: str | None = None
    facts: Mapping[str, str] | None = None


class PolicyError(ValueError):
    """The document is no policy."""


def evaluate(document: Any, question: Question, *, has_principals: bool = False) -> Verdict:
    """An explicit deny wins, else any allow. Raises PolicyError."""
    if not isinstance(document, Mapping):
        raise PolicyError("a policy is an object")
    statements = document.get("Statement")
    if isinstance(statements, Mapping):
        statements = [statements]
    if not isinstance(statements, list):
        raise PolicyError("a policy has statements")
    verdict: Verdict = "none"
    for statement in statements:
        if not isinstance(statement, Mapping) or statement.get("Effect") not in ("Allow", "Deny"):
            raise PolicyError("a statement has an Effect")
        if _applies(statement, question, has_principals):
            if statement["Effect"] == "Deny":
                return "deny"
            verdict = "allow"
    return verdict


def _applies(statement: Mapping[str, Any], question: Question, has_principals: bool) -> bool:
    return (
        _names(statement, "Action", question.action, is_folded=True)
        and _names(statement, "Resource", question.resource, is_folded=False)
        and (not has_principals or _is_principal(statement, question))
        and _are_met(statement.get("Condition"), question.facts or {})
    )


def _names(statement: Mapping[str, Any], member: str, value: str, *, is_folded: bool) -> bool:
    is_negated = f"Not{member}" in statement
    patterns = _texts(statement.get(f"Not{member}" if is_negated else member))
    if is_folded:
        patterns, value = [pattern.lower() for pattern in patterns], value.lower()
    return any(matches(pattern, value) for pattern in patterns) != is_negated


def _is_principal(statement: Mapping[str, Any], question: Question) -> bool:
    is_negated = "NotPrincipal" in statement
    principal = statement.get("NotPrincipal" if is_negated else "Principal")
    if principal == "*":
        return not is_negated
    named = _texts(principal.get("AWS")) if isinstance(principal, Mapping) else []
    root = f"arn:aws:iam::{question.account}:root"
    known = {"*"} if question.principal is None else {"*", question.principal, question.account, root}
    return any(name in known for name in named) != is_negated


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def matches(pattern: str, value: str) -> bool:
    """`*` is any run of characters, `?` any one; in linear time, whatever the pattern."""
    if "*" not in pattern and "?" not in pattern:
        return pattern == value
    try:
        return compile_pattern(_expression(pattern)).fullmatch(value) is not None
    except PatternError:
        return False


@functools.lru_cache(maxsize=512)
def _expression(pattern: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(part) or re.escape(part) for part in re.split(r"([*?])", pattern))


def _in_network(network: str, address: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _number(test: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    def compare(wanted: str, found: str) -> bool:
        try:
            return test(float(found), float(wanted))
        except ValueError:
            return False

    return compare


_TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "stringequals": lambda wanted, found: wanted == found,
    "stringequalsignorecase": lambda wanted, found: wanted.lower() == found.lower(),
    "stringlike": matches,
    "arnequals": matches,
    "arnlike": matches,
    "bool": lambda wanted, found: wanted.lower() == found.lower(),
    "ipaddress": _in_network,
    "numericequals": _number(lambda found, wanted: found == wanted),
    "numericlessthan": _number(lambda found, wanted: found < wanted),
    "numericlessthanequals": _number(lambda found, wanted: found <= wanted),
    "numericgreaterthan": _number(lambda found, wanted: found > wanted),
    "numericgreaterthanequals": _number(lambda found, wanted: found >= wanted),
}
_NEGATED: Mapping[str, str] = {
    "stringnotequals": "stringequals",
    "stringnotequalsignorecase": "stringequalsignorecase",
    "stringnotlike": "stringlike",
    "arnnotequals": "arnequals",
    "arnnotlike": "arnlike",
    "notipaddress": "ipaddress",
    "numericnotequals": "numericequals",
}


def _are_met(conditions: Any, facts: Mapping[str, str]) -> bool:
    if conditions is None:
        return True
    if not isinstance(conditions, Mapping):
        return False
    return all(
        isinstance(pairs, Mapping) and all(_is_met(operator, key, wanted, facts) for key, wanted in pairs.items())
        for operator, pairs in conditions.items()
    )


def _is_met(operator: str, key: str, wanted: Any, facts: Mapping[str, str]) -> bool:
    name = operator.lower()
    is_optional = name.endswith("ifexists")
    name = name.removesuffix("ifexists")
    found = facts.get(key.lower())
    if name == "null":
        return (found is None) == (str(wanted).lower() == "true")
    test = _TESTS.get(_NEGATED.get(name, name))
    if test is None:
        return False
    if found is None:
        return is_optional or name in _NEGATED
    is_any = any(test(each, found) for each in (_texts(wanted) if isinstance(wanted, list) else [str(wanted)]))
    return is_any != (name in _NEGATED)


@functools.lru_cache(maxsize=512)
def expand(resource: str, api_arn: str) -> str:
    """`execute-api:/stage/…` in an API's own policy means that API."""
    return re.sub(r"\Aexecute-api:/", api_arn.replace("\\", "") + "/", resource)


def expanded(document: Any, api_arn: str) -> Any:
    """A policy with the short form of its resources written out."""
    if not isinstance(document, Mapping) or not isinstance(document.get("Statement"), Sequence | Mapping):
        return document
    statements = document["Statement"]
    statements = [statements] if isinstance(statements, Mapping) else statements
    return {**document, "Statement": [_expanded(each, api_arn) for each in statements]}


def _expanded(statement: Any, api_arn: str) -> Any:
    if not isinstance(statement, Mapping):
        return statement
    members = {
        member: [expand(each, api_arn) for each in _texts(statement[member])]
        for member in ("Resource", "NotResource")
        if member in statement
    }
    return {**statement, **members}
