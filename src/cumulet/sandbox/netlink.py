"""Links, addresses and routes of a network namespace, by netlink: the few requests that walls need, as bytes."""

import os
import socket
import struct
from typing import List, Optional, Sequence, Tuple

_NEWLINK, _NEWADDR, _NEWROUTE = 16, 20, 24
_ERROR = 2
_REQUEST, _ACK, _EXCL, _CREATE = 1, 4, 0x200, 0x400
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_AF_SPEC, _IFLA_NET_NS_FD = 1, 3, 18, 26, 28
_IFLA_INET6_ADDR_GEN_MODE, _NONE = 8, 1
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF = 1, 4
_UP, _NOARP = 0x1, 0x80
_MAIN, _STATIC, _LINK_SCOPE, _UNICAST = 254, 4, 253, 1
_MAC = b"\x02\x00\x00\x00\x00\x01"
"""Of both ends of every pair. Without ARP a packet is addressed to its sender's own hardware address, and so the other end takes
it: no neighbour ever has to be asked for."""

LOOPBACK = 1

End = Tuple[int, str, int]
"""(index, name, network namespace as a descriptor, or -1 for that of the socket) of one end of a pair."""


class Netlink:
    """Requests to the kernel about the network namespace in which this was made."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.bind((0, 0))

    def ask(self, *requests: bytes) -> None:
        """All of them, in one go. Raises OSError for the first that is refused."""
        self._socket.send(b"".join(requests))
        refused = 0
        for _ in requests:
            answer = self._socket.recv(1 << 16)
            kind, code = struct.unpack_from("=4xH10xi", answer)
            if kind == _ERROR and code and not refused:
                refused = -code
        if refused:
            raise OSError(refused, os.strerror(refused), "netlink")

    def close(self) -> None:
        self._socket.close()


def set_up(index: int) -> bytes:
    return _message(_NEWLINK, 0, _link(index, _UP))


def make_no_addresses(index: int) -> bytes:
    """A link that is not up yet gets no IPv6 address by itself. To switch IPv6 off would be to write to a file of /proc/sys, which
    the kernel looks for among those of all namespaces that there are."""
    spec = _attribute(socket.AF_INET6, _attribute(_IFLA_INET6_ADDR_GEN_MODE, bytes([_NONE])))
    return _message(_NEWLINK, 0, _link(index, 0, 0) + _attribute(_IFLA_AF_SPEC, spec))


def new_pair(here: End, there: End, *, is_up: bool = True) -> bytes:
    """A pair of links; what goes in at one end comes out at the other, once both are up: `here` is if `is_up`."""
    peer = _link(there[0], _NOARP) + _attributes(_named(there))
    data = _attribute(_INFO_DATA, _attribute(_VETH_PEER, peer))
    info = _attribute(_IFLA_LINKINFO, _attribute(_INFO_KIND, b"veth\0") + data)
    return _message(_NEWLINK, _CREATE | _EXCL, _link(here[0], _UP * is_up | _NOARP) + _attributes(_named(here)) + info)


def new_address(index: int, address: str) -> bytes:
    """An IPv4 address that stands alone: no network comes with it."""
    raw = socket.inet_aton(address)
    body = struct.pack("=BBBBI", socket.AF_INET, 32, 0, 0, index)
    return _message(_NEWADDR, _CREATE | _EXCL, body + _attributes([(_IFA_LOCAL, raw), (_IFA_ADDRESS, raw)]))


def new_route(index: int, address: str = "") -> bytes:
    """Packets to one address, or to all that no other route is for, leave by a link."""
    body = struct.pack("=BBBBBBBBI", socket.AF_INET, 32 if address else 0, 0, 0, _MAIN, _STATIC, _LINK_SCOPE, _UNICAST, 0)
    attributes = [(_RTA_OIF, struct.pack("=i", index))]
    if address:
        attributes.append((_RTA_DST, socket.inet_aton(address)))
    return _message(_NEWROUTE, _CREATE | _EXCL, body + _attributes(attributes))


def _named(end: End) -> "List[Tuple[int, bytes]]":
    _index, name, namespace = end
    found = [(_IFLA_IFNAME, name.encode() + b"\0"), (_IFLA_ADDRESS, _MAC)]
    if namespace >= 0:
        found.append((_IFLA_NET_NS_FD, struct.pack("=i", namespace)))
    return found


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | _ACK | flags, 0, 0) + body


def _link(index: int, flags: int, changed: Optional[int] = None) -> bytes:
    return struct.pack("=BxHiII", 0, 0, index, flags, flags if changed is None else changed)


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + b"\0" * (-length % 4)


def _attributes(pairs: "Sequence[Tuple[int, bytes]]") -> bytes:
    return b"".join(_attribute(kind, value) for kind, value in pairs)
