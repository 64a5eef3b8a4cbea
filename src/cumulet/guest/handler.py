"""From "file.function" to the function, with Lambda's own words for what can go wrong on the way; and from "file:application"
to a handler that serves that web application."""

import importlib
import sys
from typing import Any, Callable

from cumulet.guest.errors import RuntimeFault, stack_of
from cumulet.guest.web import applications


def load(name: str) -> Callable[[Any, Any], Any]:
    """The handler called `name`: a module path with dots or slashes, a dot, and an attribute; or a module path, a colon, and a
    web application. Raises RuntimeFault, or what the module's own code raises."""
    module_name, colon, attribute = name.partition(":")
    if colon:
        return applications.handler_of(applications.find(_import(module_name), attribute))
    module_name, dot, attribute = name.rpartition(".")
    if not dot or not module_name:
        raise RuntimeFault(
            "Runtime.MalformedHandlerName", "Bad handler '%s': not enough values to unpack (expected 2, got 1)" % name
        )
    module = _import(module_name)
    found = getattr(module, attribute, None)
    if found is None:
        raise RuntimeFault("Runtime.HandlerNotFound", "Handler '%s' missing on module '%s'" % (attribute, module_name))
    if not callable(found):
        raise RuntimeFault("Runtime.HandlerNotFound", "Handler '%s' on module '%s' is not callable" % (attribute, module_name))
    return applications.handler_or_itself(found)


def _import(module_name: str) -> Any:
    module_path = module_name.replace("/", ".")
    if module_path.split(".")[0] in sys.builtin_module_names:
        raise RuntimeFault("Runtime.BuiltInModuleConflict", "Cannot use built-in module %s as a handler module" % module_name)
    try:
        return importlib.import_module(module_path)
    except ImportError as error:
        raise RuntimeFault("Runtime.ImportModuleError", "Unable to import module '%s': %s" % (module_name, error), stack_of(error))
    except SyntaxError as error:
        shown = ['  File "%s" Line %s\n    %s\n' % (error.filename, error.lineno, error.text)]
        raise RuntimeFault("Runtime.UserCodeSyntaxError", "Syntax error in module '%s': %s" % (module_name, error), shown)
