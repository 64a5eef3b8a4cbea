"""A network namespace for one jail: nothing but its own loopback, on which the node may listen.

`none` leaves it at that; `platform` adds a socket that is made inside and accepted from outside, so that the node is reached
without any link; `egress` adds a link to a router (`egress.Router`) that lets packets to public addresses through.
"""

import os
import socket
from typing import Optional, Tuple

from cumulet.sandbox import kernel, namespaces
from cumulet.sandbox.netlink import LOOPBACK, Netlink, set_up

POLICIES = ("none", "platform", "egress", "host")
"""From the narrowest to the widest. `host` is no wall at all: the machine's own network."""

_OWN = "/proc/thread-self/ns/net"
_BACKLOG = 64


def enter_new() -> None:
    """A namespace of the calling thread's own, its loopback up. Raises OSError."""
    kernel.unshare(namespaces.NEWNET)
    netlink = Netlink()
    try:
        netlink.ask(set_up(LOOPBACK))
    finally:
        netlink.close()


def enter(namespace: int) -> None:
    kernel.setns(namespace, namespaces.NEWNET)


def open_own() -> int:
    """The calling thread's namespace, as a descriptor that keeps it alive."""
    return os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)


def listen(port: int) -> socket.socket:
    """The node's ear in the calling thread's namespace. Raises OSError."""
    ear = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ear.bind(("127.0.0.1", port))
        ear.listen(_BACKLOG)
        ear.setblocking(False)
    except BaseException:
        ear.close()
        raise
    return ear


def make(port: Optional[int]) -> "Tuple[int, Optional[socket.socket]]":
    """A namespace as a descriptor, and the ear at that port in it. The calling thread stays in it until it enters another."""
    enter_new()
    namespace = open_own()
    try:
        return namespace, listen(port) if port is not None else None
    except BaseException:
        os.close(namespace)
        raise
