"""Expressions of the data API: text and placeholders in, values with `matches` or `apply` out. Pure.

Texts are parsed once and kept: what depends on a request's names and values alone is done for each request.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TypeVar

from cumulet.services.tables.errors import ValidationFault
from cumulet.services.tables.expressions import condition_parser, conditions, key_conditions, update_parser, updates
from cumulet.services.tables.expressions.conditions import Condition
from cumulet.services.tables.expressions.key_conditions import Clause, KeyCondition
from cumulet.services.tables.expressions.nodes import Assignment, ConditionNode, Invalid, Path
from cumulet.services.tables.expressions.paths import check_apart
from cumulet.services.tables.expressions.placeholders import Placeholders
from cumulet.services.tables.expressions.projections import Projection
from cumulet.services.tables.expressions.syntax import check_size
from cumulet.services.tables.expressions.updates import Update

__all__ = [
    "Clause",
    "Condition",
    "KeyCondition",
    "Placeholders",
    "Projection",
    "Update",
    "parse_condition",
    "parse_key_condition",
    "parse_projection",
    "parse_update",
]

_KEPT = 1024
_KEPT_CHARS = 512  # longer ones are parsed anew each time, so that what is kept stays small
_Parsed = TypeVar("_Parsed")


def parse_condition(text: str, placeholders: Placeholders, kind: str = "ConditionExpression") -> Condition:
    """`kind` is the name of the parameter. Raises ValidationFault."""
    try:
        check_size(text)
        return conditions.bind(_condition(text), placeholders)
    except Invalid as error:
        raise ValidationFault(f"Invalid {kind}: {error}") from None


def parse_key_condition(
    text: str, placeholders: Placeholders, hash_attributes: Mapping[str, str], range_attributes: Mapping[str, str]
) -> KeyCondition:
    """The attributes are the schema's: names to types ("S", "N", "B") in its order. Raises ValidationFault."""
    try:
        check_size(text)
        node = _condition(text)
        clauses = key_conditions.plain_clauses_of(node, placeholders)
        if clauses is None:
            condition = conditions.bind(node, placeholders)  # what any condition must obey comes first
            condition.check_scalars((*hash_attributes, *range_attributes))
            clauses = key_conditions.clauses_of(node, placeholders)
    except Invalid as error:
        raise ValidationFault(f"Invalid KeyConditionExpression: {error}") from None
    return key_conditions.fitted(clauses, hash_attributes, range_attributes)


def parse_projection(text: str, placeholders: Placeholders) -> Projection:
    """Raises ValidationFault."""
    try:
        check_size(text)
        paths = [placeholders.parts_of(path) for path in _projection(text)]
        check_apart(paths)
    except Invalid as error:
        raise ValidationFault(f"Invalid ProjectionExpression: {error}") from None
    return Projection(paths)


def parse_update(text: str, placeholders: Placeholders) -> Update:
    """Raises ValidationFault."""
    try:
        check_size(text, tells_size=False)
        return updates.bind(_update(text), placeholders)
    except Invalid as error:
        raise ValidationFault(f"Invalid UpdateExpression: {error}") from None


def _kept(parse: Callable[[str], _Parsed]) -> Callable[[str], _Parsed]:
    kept = lru_cache(_KEPT)(parse)
    return lambda text: kept(text) if len(text) <= _KEPT_CHARS else parse(text)


_condition: Callable[[str], ConditionNode] = _kept(condition_parser.parse)
_update: Callable[[str], tuple[Assignment, ...]] = _kept(update_parser.parse)
_projection: Callable[[str], tuple[Path, ...]] = _kept(update_parser.parse_projection)
