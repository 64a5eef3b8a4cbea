"""Mapping templates: the Velocity Template Language of API Gateway. Pure: text and values in, text out; a template that does not
end, or wants too much, raises TemplateError like one that cannot be parsed.
"""

from typing import Any

from cumulet.gateway.templates.errors import TemplateError
from cumulet.gateway.templates.interpreter import Interpreter
from cumulet.gateway.templates.nodes import Block, Text
from cumulet.gateway.templates.parser import parse

__all__ = ["Template", "TemplateError", "compile_template"]


class Template:
    """A parsed template, used by any number of requests."""

    def __init__(self, block: Block) -> None:
        self._block = block
        is_constant = all(isinstance(node, Text) for node in block)
        self.constant = "".join(node.text for node in block if isinstance(node, Text)) if is_constant else None
        """The text of a template in which nothing is looked up."""
        self.constant_bytes = self.constant.encode("utf-8", "replace") if self.constant is not None else None

    def render(self, variables: dict[str, Any]) -> str:
        """The text. `variables` keep what the template #set. Raises TemplateError."""
        return Interpreter(variables).render(self._block)


def compile_template(text: str) -> Template:
    """Raises TemplateError."""
    try:
        return Template(parse(text))
    except RecursionError:
        raise TemplateError("the template is nested too deeply") from None
