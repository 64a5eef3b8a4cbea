"""Which handlers are web applications, and as which handlers they are served.

An application is named as servers of them name it, `module:attribute`, or as handlers are, `module.attribute`: then it is told
apart by what it wants to be called with.
"""

import inspect
from typing import Any, Callable, Optional

from cumulet.guest import concurrent
from cumulet.guest.errors import RuntimeFault
from cumulet.guest.web import asgi, wsgi

_WSGI, _ASGI = "wsgi", "asgi"


def find(module: Any, name: str) -> Any:
    """The attribute `name` of a module: dots go on, and "()" at its end calls a factory. Raises RuntimeFault."""
    is_factory = name.endswith("()")
    found = module
    for part in (name[:-2] if is_factory else name).split("."):
        found = getattr(found, part, None)
    if found is None:
        raise RuntimeFault("Runtime.HandlerNotFound", "Application '%s' missing on module '%s'" % (name, module.__name__))
    if is_factory and callable(found):
        found = found()
    if not callable(found):
        raise RuntimeFault("Runtime.HandlerNotFound", "Application '%s' on module '%s' is not callable" % (name, module.__name__))
    return found


def handler_of(application: Any) -> Callable[[Any, Any], Any]:
    """A handler that serves what is known to be an application."""
    return _serve(application, _kind_of(application) or (_ASGI if _is_coroutine(application) else _WSGI))


def handler_or_itself(found: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A handler that serves `found` when it is an application; else `found` is the handler."""
    kind = _kind_of(found)
    return _serve(found, kind) if kind else found


def begin(handler: Any) -> None:
    """What an application does when its server starts: in each environment, so after a snapshot. Raises RuntimeFault."""
    if isinstance(handler, asgi.AsgiHandler):
        handler.begin()


def _serve(application: Any, kind: str) -> Callable[[Any, Any], Any]:
    if kind == _ASGI:
        return concurrent.takes_several(asgi.AsgiHandler(application))
    threads = concurrent.wanted()
    if threads > 1:
        return concurrent.takes_several(wsgi.threaded_handler_of(application, threads))
    return wsgi.handler_of(application)


def _kind_of(found: Any) -> Optional[str]:
    """By the names and number of the arguments: frameworks keep to those of the specifications."""
    code = getattr(found, "__code__", None)
    if code is not None:  # a plain function, as nearly all handlers are
        names = code.co_varnames[: code.co_argcount]
    else:
        try:
            names = tuple(inspect.signature(found).parameters)
        except (TypeError, ValueError):
            return None
    if len(names) == 3 and names[1:] == ("receive", "send"):
        return _ASGI
    if len(names) == 2 and names[1] == "start_response":
        return _WSGI
    return None


def _is_coroutine(application: Any) -> bool:
    return inspect.iscoroutinefunction(application) or inspect.iscoroutinefunction(type(application).__call__)
