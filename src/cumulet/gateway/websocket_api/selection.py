r"""Selection expressions: text with variables (`$request.body.action`, `${context.stage}-x`, `\$default`) that become a key. Pure.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-selection-expressions.html
"""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass

_PART = re.compile(r"\\\$|\$\{([^}]*)\}|\$([A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z0-9_-]+|\[[^\]]*\])*)")
_ROOTS = frozenset(("request", "integration", "context", "stageVariables", "route"))


@dataclass(frozen=True, slots=True)
class Selection:
    """Literal texts and variables in turn; a variable is its name without `$`."""

    parts: tuple[tuple[str, bool], ...]

    def evaluate(self, value_of: Callable[[str], str | None]) -> str:
        """The key; a variable without a value leaves nothing."""
        return "".join((value_of(text) or "") if is_variable else text for text, is_variable in self.parts)


@functools.lru_cache(maxsize=2048)
def compile_selection(expression: str) -> Selection:
    """Takes any text: what is no variable stands for itself, so that `$default` without its backslash is that key too."""
    parts: list[tuple[str, bool]] = []
    at = 0
    for found in _PART.finditer(expression):
        parts.append((expression[at : found.start()], False))
        at = found.end()
        name = found[1] if found[1] is not None else found[2]
        if name is None:
            parts.append(("$", False))
        elif name.partition(".")[0] in _ROOTS:
            parts.append((name, True))
        else:
            parts.append((found[0], False))
    parts.append((expression[at:], False))
    return Selection(tuple((text, is_variable) for text, is_variable in parts if text))
