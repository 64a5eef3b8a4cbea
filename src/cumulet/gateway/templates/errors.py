"""What can be wrong with a template: the only exception that parsing and rendering raise."""


class TemplateError(Exception):
    """The template cannot be parsed, does what is not allowed, or takes more than it may."""
